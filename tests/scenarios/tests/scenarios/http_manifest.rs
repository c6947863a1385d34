//! `spin.http.toml`, the manifest for hosts without a Redis trigger: `POST /refresh` is the worker.

use afterword_scenarios::{REFRESH_SECRET, Setup, redis_key};
use afterword_supabase::Fault;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_change_is_refreshed_after_the_response_without_a_redis_trigger() {
    let afterword = Setup::default().http_manifest().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.update_title(7, "Changed").await;
    afterword.wait_until_drained().await.unwrap();
    afterword.supabase().clear_requests();
    let response = afterword.get("/articles/7").await;
    assert_eq!(response.json()["title"], "Changed");
    assert_eq!(afterword.supabase().requests(), [], "it is from the store");
}

#[tokio::test]
async fn a_refresh_needs_the_secret_and_tells_what_it_did() {
    let setup = Setup::default().http_manifest().no_webhooks();
    let afterword = setup.start().await;
    afterword.refresh_when_free().await;
    for authorization in ["", "Bearer", "Bearer wrong", "Basic wrong", REFRESH_SECRET] {
        let headers = [("authorization", authorization)];
        let refused = afterword.send(Method::POST, "/refresh", &headers, "").await;
        assert_eq!(refused.status, 401, "{authorization}");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
    let other_method = afterword.get("/refresh").await;
    assert_eq!(other_method.status, 405);
    assert_eq!(other_method.header("allow"), "POST, OPTIONS");

    let report = afterword.refresh_when_free().await.json();
    assert_eq!(report["completed"], 0, "{report}");
    assert_eq!(report["due"], 0, "{report}");
    assert!(report["next_in_ms"].as_u64() > Some(0), "{report}");
}

#[tokio::test]
async fn a_refresh_while_another_worker_holds_the_lease_is_accepted_and_does_nothing() {
    let setup = Setup::default().http_manifest().no_webhooks();
    let afterword = setup.start().await;
    afterword.refresh_when_free().await;
    let lease = redis_key("lease");
    let command = ["SET", &lease, "another", "PX", "15000"];
    let _: String = afterword.redis_command(&command).await.unwrap();
    let response = afterword.refresh().await;
    assert_eq!(
        (response.status, response.json()),
        (202, json!({"held": true}))
    );
}

#[tokio::test]
async fn a_lost_wake_up_is_made_up_for_by_the_scheduler() {
    let afterword = Setup::default().http_manifest().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.refresh_when_free().await;
    // As if a wake-up were under way that never arrives.
    let pending = redis_key("wake_pending");
    let command = ["SET", &pending, "1", "PX", "600000"];
    let _: String = afterword.redis_command(&command).await.unwrap();
    afterword.update_title(7, "Changed").await;
    let queued = ["/articles#7", "/articles/7"];
    assert_eq!(afterword.queue().await.unwrap(), queued);
    let response = afterword.refresh().await;
    assert_eq!(response.json()["completed"], 2, "{response:?}");
    let response = afterword.get("/articles/7").await;
    assert_eq!(response.json()["title"], "Changed");
}

#[tokio::test]
async fn a_worker_that_runs_out_of_time_wakes_the_next_one() {
    let setup = Setup::default().http_manifest().no_articles().no_webhooks();
    let setup = setup.variable("refresh_seconds", "5");
    let setup = setup.variable("max_writes_per_second", "0");
    let afterword = setup.start().await;
    afterword.insert_articles(2_000);
    afterword.refresh_when_free().await;
    afterword.supabase().clear_requests();
    // 24 batches, of which eight run at once and take a second: more than one request has time for.
    afterword.slow_origin(1_000);
    let queue = redis_key("queue");
    let tasks: Vec<String> = (1..=2_400).map(|id| format!("/articles/{id}")).collect();
    let mut command = vec!["ZADD", &queue];
    for task in &tasks {
        command.extend(["1", task]);
    }
    let _: u64 = afterword.redis_command(&command).await.unwrap();
    // Unless an instance has found the overdue tasks, and has woken a worker before this call does.
    afterword.refresh().await;
    afterword.wait_until_drained().await.unwrap();
    let reports = afterword.logged_about("drained");
    let out_of_time = reports
        .iter()
        .position(|report| report["due"].as_u64() > Some(0));
    let out_of_time = out_of_time.unwrap_or_else(|| panic!("{reports:?}"));
    assert!(
        reports.len() > out_of_time + 1,
        "the next worker was woken without another call"
    );
}

#[tokio::test]
async fn a_failed_refresh_is_retried_without_another_call() {
    let setup = Setup::default().http_manifest().no_webhooks();
    let afterword = setup.start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.fail_origin_with(Fault::Status(503));
    afterword.update_title_with_sql(7, "Changed");
    afterword.invalidate(7).await;
    afterword.wait_for_failures(2).await;
    afterword.heal_origin();
    afterword.wait_until_drained().await.unwrap();
    afterword.assert_hit_has_title(7, "Changed").await;
}

#[tokio::test]
async fn a_burst_of_webhooks_wakes_a_few_workers() {
    const WEBHOOKS: usize = 20;
    let setup = Setup::default().http_manifest().no_webhooks();
    // With a limit, Redis counts all requests: those to the origin and the wake-ups.
    let setup = setup.variable("max_requests_per_hour", "100000");
    let afterword = setup.start().await;
    afterword.refresh_when_free().await;
    afterword.supabase().clear_requests();
    let requests = redis_key("requests");
    let set = ["HSET", &requests, "count", "0"];
    afterword.redis_command::<u64>(&set).await.unwrap();
    afterword.slow_origin(500);
    for _ in 0..WEBHOOKS {
        afterword.invalidate(7).await;
    }
    afterword.wait_until_drained().await.unwrap();
    afterword.refresh_when_free().await;
    let get = ["HGET", &requests, "count"];
    let sent: usize = afterword.redis_command(&get).await.unwrap();
    let wake_ups = sent - afterword.supabase().requests().len();
    assert!((1..WEBHOOKS / 2).contains(&wake_ups), "{wake_ups} wake-ups");
}
