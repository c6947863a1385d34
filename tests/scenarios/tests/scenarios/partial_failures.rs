//! What readers get, and what is kept, while one part fails.

use afterword_scenarios::{Setup, failing_calls, host_has_dials, redis_wakes_workers};
use afterword_supabase::{Fault, RestDial};
use serde_json::json;

#[tokio::test]
async fn while_the_origin_is_down_stored_entries_are_kept_and_served() {
    let mut afterword = Setup::default().start().await;
    let item = afterword.wait_for_hit("/articles/7").await;
    let list = afterword.wait_for_hit("/articles").await;
    afterword.stop_origin().await;
    for _ in 0..5 {
        afterword.invalidate(7).await;
        assert_eq!(afterword.get("/articles/7").await.body, item.body);
        assert_eq!(afterword.get("/articles").await.body, list.body);
    }
    afterword.wait_for_failures(1).await;
    afterword.assert_queued([7]).await;
}

#[tokio::test]
async fn a_miss_at_a_failing_origin_has_the_failures_status_and_never_traps() {
    let mut afterword = Setup::default().no_worker().start().await;
    for (fault, status) in [
        (Fault::Status(500), 502),
        (Fault::Status(503), 503),
        (Fault::Status(429), 503),
        (Fault::Status(401), 502),
        (Fault::Html, 502),
        (Fault::Cut, 502),
        (Fault::Drop, 502),
    ] {
        afterword.fail_origin_with(fault.clone());
        for path in ["/articles", "/articles/7"] {
            let response = afterword.get(path).await;
            assert_eq!(response.status, status, "{fault:?} {path}: {response:?}");
            assert_eq!(response.header("cache-control"), "no-store");
            assert!(
                !response.body.contains("127.0.0.1"),
                "the origin's address is internal: {response:?}"
            );
        }
        let paths = ["/articles", "/articles/7"];
        afterword.forget_failures(&paths).await;
    }
    afterword.stop_origin().await;
    assert_eq!(afterword.get("/articles/7").await.status, 502);
    afterword.start_origin().await.unwrap();
    afterword.forget_failures(&["/articles/7"]).await;
    assert_eq!(afterword.get("/articles/7").await.status, 200);
    afterword.assert_not_in_log(&["trap"]);
    afterword.wait_for_queue(&["/articles/7"]).await;
}

#[tokio::test]
async fn an_error_has_retry_after_and_the_origin_gets_no_request_until_then() {
    let afterword = Setup::default().no_worker().start().await;
    for (status, retry_after) in [(503, 40), (429, 7_200), (503, u64::MAX)] {
        afterword.set_origin_fault(RestDial {
            fault: Some(Fault::Status(status)),
            retry_after: Some(retry_after),
            ..RestDial::default()
        });
        let failed = afterword.get("/articles/7").await;
        assert_eq!(failed.status, 503);
        assert_eq!(failed.header("retry-after"), retry_after.to_string());
        let negative = afterword.wait_for_negative_hit("/articles/7").await;
        assert_eq!(negative.status, 503);
        let left: u64 = negative.header("retry-after").parse().unwrap();
        assert!((1..=retry_after.min(60)).contains(&left), "{left} s");
        assert!(left > 10, "{left} s of {retry_after}");
        afterword.release_fetch_locks().await;
    }
    // Without the origin's `Retry-After`, the time that the failure is remembered.
    for (fault, status) in [(Fault::Status(503), 503), (Fault::Drop, 502)] {
        afterword.fail_origin_with(fault);
        let failed = afterword.get("/articles/8").await;
        assert_eq!((failed.status, failed.header("retry-after")), (status, "1"));
        // It is remembered after the response.
        afterword.wait_for_negative_hit("/articles/8").await;
        afterword.release_fetch_locks().await;
    }
    afterword.heal_origin();
    assert!(!afterword.get("/articles/4711").await.has("retry-after"));
    let negative = afterword.wait_for_negative_hit("/articles/4711").await;
    assert!(!negative.has("retry-after"), "{negative:?}");
}

#[tokio::test]
async fn an_origin_that_does_not_respond_in_time_is_504() {
    let afterword = Setup::default().no_worker().start().await;
    afterword.slow_origin(600_000);
    assert_eq!(afterword.get("/articles/7").await.status, 504);
}

#[tokio::test]
async fn a_failing_key_value_store_is_bypassed() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    afterword.wait_for_hit("/articles/7").await;
    for fault in failing_calls() {
        let faults = json!({ "key-value.get": fault });
        afterword.set_http_faults(faults).await;
        let response = afterword.get("/articles/7").await;
        let id = &response.json()["id"];
        assert_eq!((response.status, id), (200, &json!(7)), "{fault}");
    }
    afterword.set_http_faults(json!({})).await;
    afterword.wait_for_hit("/articles/7").await;
}

#[tokio::test]
async fn a_slow_or_refusing_redis_fails_no_read_and_no_webhook() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    for fault in failing_calls() {
        let faults = json!({"redis.open": fault, "redis.execute": fault});
        afterword.set_http_faults(faults).await;
        assert_eq!(afterword.get("/articles/7").await.status, 200, "{fault}");
        let response = afterword.webhook("{}").await;
        let deferred = &response.json()["deferred"];
        assert_eq!((response.status, deferred), (202, &json!("outbox")));
    }
    afterword.set_http_faults(json!({})).await;
    let response = afterword.webhook("{}").await;
    let has_version = response.json()["id"].is_u64();
    assert_eq!((response.status, has_version), (202, true), "{response:?}");
}

#[tokio::test]
async fn an_entry_that_cannot_be_written_stays_queued() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    let unwritable = json!({"key-value.set": {"fail": true}});
    afterword.set_worker_faults(unwritable).await;
    afterword.update_title(7, "Changed").await;
    afterword.wait_for_failures(1).await;
    afterword.assert_queued([7]).await;
}

#[tokio::test]
async fn an_unreadable_previous_entry_is_replaced() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    afterword.wait_for_hit("/articles/7").await;
    let unreadable = json!({"key-value.get": {"fail": true}});
    afterword.set_worker_faults(unreadable).await;
    afterword.update_title(7, "Changed").await;
    afterword.assert_hit_has_title(7, "Changed").await;
}

#[tokio::test]
async fn a_worker_that_dies_at_any_point_leaves_its_tasks_queued() {
    if !host_has_dials() {
        return;
    }
    for (call, when) in [
        ("http.send", "before"),
        ("key-value.set", "before"),
        ("key-value.set", "after"),
    ] {
        let mut afterword = Setup::default().dials().start().await;
        afterword.kill_worker_at(call, 1, when).await;
        afterword.update_title(7, "Changed").await;
        afterword.worker().wait().await;
        eprintln!("it dies {when} {call}");
        afterword.assert_queued([7]).await;
        afterword.kill_workers().await;
        // Only the expiry of the dead worker's lease wakes this one.
        afterword.start_worker().await.unwrap();
        afterword.assert_hit_has_title(7, "Changed").await;
    }
}

#[tokio::test]
async fn the_worker_ends_with_redis_and_the_http_side_continues() {
    if !redis_wakes_workers() {
        return;
    }
    let mut afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.redis.kill().await;
    afterword.worker().wait().await;
    assert_eq!(afterword.get("/articles/7").await.status, 200);
    afterword.redis.restart().await.unwrap();
    afterword.kill_workers().await;
    afterword.start_worker().await.unwrap();
    afterword.update_title(7, "Changed").await;
    afterword.assert_hit_has_title(7, "Changed").await;
}

#[tokio::test]
async fn without_a_redis_trigger_everything_continues_after_an_outage_of_redis() {
    let mut afterword = Setup::default().http_manifest().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.redis.kill().await;
    assert_eq!(afterword.get("/articles/7").await.status, 200);
    assert_eq!(afterword.refresh().await.status, 503);
    afterword.redis.restart().await.unwrap();
    afterword.update_title(7, "Changed").await;
    afterword.assert_hit_has_title(7, "Changed").await;
}

#[tokio::test]
async fn a_response_of_the_origin_over_64_mib_is_refused() {
    let afterword = Setup::default().start().await;
    let before = afterword.wait_for_hit("/articles/7").await;
    // The text alone has 64 MiB.
    afterword.execute("UPDATE articles SET body = hex(zeroblob(33554432)) WHERE id IN (7, 8)");
    assert_eq!(afterword.get("/articles/8").await.status, 502);
    afterword.invalidate(7).await;
    afterword.wait_for_failures(1).await;
    assert_eq!(afterword.get("/articles/7").await.body, before.body);
}
