//! Several replicas of the whole application, on one Redis, with a store that they share.

use std::time::Instant;

use afterword_scenarios::{SECRET, Setup};
use reqwest::Method;
use serde_json::json;

const DEBOUNCE_WINDOW_MS: u128 = 500;

#[tokio::test]
async fn every_wake_up_reaches_three_replicas_one_drains_and_none_writes_an_older_row_over_a_newer()
{
    let mut afterword = Setup::default()
        .no_webhooks()
        .no_worker()
        .shared_store()
        .start()
        .await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(afterword.start_replica().await.unwrap());
    }
    afterword.webhook("{}").await;
    afterword.wait_until_reconciled().await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for version in 1..=15 {
        let title = format!("Version {version}");
        afterword
            .change(Method::PATCH, "?id=eq.7", json!({ "title": title }))
            .await;
        afterword.supabase().clear_requests();
        let began = Instant::now();
        // Each replica is told, as if webhooks were repeated, and each tells Redis.
        let told = replicas.iter().map(|url| {
            let request = client.post(format!("{url}/revalidate")).bearer_auth(SECRET);
            request
                .body(json!({"type": "UPDATE", "record": {"id": 7}}).to_string())
                .send()
        });
        for answer in futures_util::future::join_all(told).await {
            assert_eq!(answer.unwrap().status(), 202);
        }
        let windows = began.elapsed().as_millis() / DEBOUNCE_WINDOW_MS;
        afterword.wait_until_drained().await.unwrap();
        for url in &replicas {
            let read = client
                .get(format!("{url}/articles/7"))
                .send()
                .await
                .unwrap();
            assert_eq!(
                read.json::<serde_json::Value>().await.unwrap()["title"],
                title
            );
        }
        let asked = afterword.supabase().requests().len();
        // Three invalidations coalesce into one refresh of two requests, or two where the worker
        // was at it already; three workers would make six requests. On a busy machine the webhooks
        // take longer than a debounce window.
        let most = 4 + 2 * windows as usize;
        assert!(
            (2..=most).contains(&asked),
            "the origin was asked {asked} times in {windows} debounce windows"
        );
    }
    let subscribers: (String, usize) = afterword
        .redis_command(&["PUBSUB", "NUMSUB", "{afterword}:refresh"])
        .await
        .unwrap();
    assert_eq!(subscribers.1, 3, "all three heard every wake-up");
}
