//! A rollout: two versions of the application share the work queue and the store.

use afterword_scenarios::{SECRET, Setup, former_manifest};
use serde_json::json;

#[tokio::test]
async fn two_versions_of_the_application_read_each_others_entries_and_tasks() {
    let Some(former) = former_manifest() else {
        return;
    };
    let mut afterword = Setup::default().start().await;
    let current = afterword.manifest().to_owned();
    for id in 1..=3 {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    let steps = [
        (&former, &former),
        (&current, &former),
        (&former, &current),
        (&current, &current),
        (&current, &former),
    ];
    for (step, (http, worker)) in steps.into_iter().enumerate() {
        afterword.use_manifest(http);
        afterword.reconfigure(&[]).await.unwrap();
        // The entries are those of the last step's worker.
        afterword.assert_cache_equals_origin(1..=3).await;
        // The task waits in the queue until the worker of the other version starts.
        afterword.update_title(1, &format!("Step {step}")).await;
        afterword.use_manifest(worker);
        afterword.start_worker().await.unwrap();
        afterword.wait_until_drained().await.unwrap();
        afterword.assert_cache_equals_origin(1..=3).await;
    }
}

#[tokio::test]
async fn two_versions_of_the_application_run_at_the_same_time() {
    let Some(former) = former_manifest() else {
        return;
    };
    let mut afterword = Setup::default().no_webhooks().start().await;
    let own = afterword.url().to_owned();
    afterword.use_manifest(&former);
    let other = afterword.start_replica().await.unwrap();
    for id in 1..=5 {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    for round in 0..20 {
        let id = 1 + round % 5;
        afterword.update_title(id, &format!("Round {round}")).await;
        // Either version takes the webhook, and either worker refreshes.
        let url = [&own, &other][round as usize % 2];
        let request = afterword.client().post(format!("{url}/revalidate"));
        let request = request.bearer_auth(SECRET);
        let body = json!({"type": "UPDATE", "record": {"id": id}}).to_string();
        assert_eq!(request.body(body).send().await.unwrap().status(), 202);
    }
    afterword.wait_until_drained().await.unwrap();
    afterword.assert_cache_equals_origin(1..=5).await;
}
