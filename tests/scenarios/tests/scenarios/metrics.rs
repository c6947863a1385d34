//! The metrics: what instances count, and how it gets to Redis.

use afterword_scenarios::{Setup, instances_are_reused, reuses_instances, wait_until};
use anyhow::ensure;
use serde_json::json;

#[tokio::test]
async fn reads_are_counted_by_where_their_response_came_from() {
    let afterword = Setup::default()
        .no_webhooks()
        .no_worker()
        .variable("stale_while_revalidate", "0")
        .start()
        .await;
    // The probe of the start was a miss without a row.
    let reads = |outcome: &str| format!("reads_total{{outcome=\"{outcome}\"}}");
    afterword.wait_for_metric(&reads("not_found"), 1.0).await;
    assert_eq!(afterword.get("/articles/7").await.status, 200);
    assert_eq!(afterword.get("/articles/no-such-article").await.status, 404);
    assert_eq!(afterword.get("/articles/no-such-article").await.status, 404);
    afterword.wait_for_metric(&reads("miss"), 1.0).await;
    let negative = afterword.metric(&reads("negative")).await.unwrap();
    let not_found = afterword.metric(&reads("not_found")).await.unwrap();
    assert_eq!(negative + not_found, 3.0);
    afterword.fail_origin(503);
    assert_eq!(afterword.get("/articles/8").await.status, 503);
    afterword.wait_for_metric(&reads("failed"), 1.0).await;
    let requests = r#"origin_requests_total{component="articles",result="failure"}"#;
    afterword.wait_for_metric(requests, 1.0).await;
}

#[tokio::test]
async fn hits_are_counted_although_they_cost_no_redis_call() {
    if !instances_are_reused() {
        return;
    }
    let afterword = Setup::default().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    let hits = r#"reads_total{outcome="hit"}"#;
    let before = afterword.metric(hits).await.unwrap();
    for _ in 0..100 {
        assert_eq!(afterword.get("/articles/7").await.status, 200);
    }
    let first = before + 100.0;
    // Hits from before may be reported late.
    wait_until("the hits", async || {
        let counted = afterword.metric(hits).await.unwrap();
        ensure!((first..first + 10.0).contains(&counted), "{counted}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn webhooks_and_refreshes_are_counted() {
    let afterword = Setup::default().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.wait_until_drained().await.unwrap();
    let refreshes = "refresh_seconds_count";
    let before = afterword.metric(refreshes).await.unwrap();
    let written = afterword.metric("entries_written_total").await.unwrap();
    for _ in 0..3 {
        afterword.invalidate(7).await;
        afterword.wait_until_drained().await.unwrap();
    }
    let other = json!({"type": "UPDATE", "table": "others", "record": {"id": 1}});
    assert_eq!(afterword.webhook(other.to_string()).await.status, 202);
    assert_eq!(afterword.webhook("no json").await.status, 400);
    let mut counts = vec![("queued", 3.0), ("ignored", 1.0)];
    // Without reused instances, one refused webhook in 64 is reported.
    counts.extend(reuses_instances().then_some(("refused", 1.0)));
    for (result, count) in counts {
        let sample = format!("webhooks_total{{result=\"{result}\"}}");
        afterword.wait_for_metric(&sample, count).await;
    }
    assert!(afterword.metric(refreshes).await.unwrap() >= before + 6.0);
    assert!(afterword.metric("refresh_seconds_sum").await.unwrap() > 0.0);
    let all = afterword
        .metric("refresh_seconds_bucket{le=\"+Inf\"}")
        .await;
    assert_eq!(all, afterword.metric(refreshes).await);
    let now = afterword.metric("entries_written_total").await.unwrap();
    assert!(now >= written + 6.0, "{written} {now}");
}

#[tokio::test]
async fn retries_and_trips_are_counted() {
    let afterword = Setup::default().no_webhooks().start().await;
    afterword.fail_origin(503);
    afterword.invalidate(7).await;
    afterword.wait_for_metric("breaker_trips_total", 1.0).await;
    assert!(afterword.metric("retries_total").await >= Some(1.0));
    let failures = r#"origin_requests_total{component="worker",result="failure"}"#;
    wait_until("the failed requests", async || {
        ensure!(afterword.metric(failures).await >= Some(1.0));
        Ok(())
    })
    .await;
}
