//! What readers get while something fails.

use std::time::Duration;

use afterword_scenarios::{Afterword, Response, Setup, host_has_dials};
use afterword_stack::eventually;
use afterword_supabase::{Dials, Fault, RestDial};
use reqwest::Method;
use serde_json::json;

/// Far longer than anything here takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn fault(afterword: &Afterword, fault: Fault) {
    let every = RestDial {
        fault: Some(fault),
        ..RestDial::default()
    };
    dial(afterword, every);
}

fn dial(afterword: &Afterword, dial: RestDial) {
    let dials = Dials {
        rest: vec![dial],
        ..Dials::default()
    };
    afterword.supabase().set_dials(dials).unwrap();
}

#[tokio::test]
async fn an_origin_that_is_down_leaves_what_is_stored_and_it_is_served() {
    let mut afterword = Setup::default().start().await;
    let (item, list) = (
        afterword.wait_for_hit("/articles/7").await,
        afterword.wait_for_hit("/articles").await,
    );
    afterword.stop_origin().await;
    for _ in 0..5 {
        assert_eq!(
            afterword
                .webhook(json!({"type": "UPDATE", "record": {"id": 7}}).to_string())
                .await
                .status,
            202
        );
        assert_eq!(afterword.get("/articles/7").await.body, item.body);
        assert_eq!(afterword.get("/articles").await.body, list.body);
    }
    afterword.wait_for_failures(1).await;
    assert_eq!(
        afterword.queue().await.unwrap(),
        ["/articles", "/articles/7"],
        "nothing is dropped"
    );
}

#[tokio::test]
async fn with_nothing_stored_a_failing_origin_is_told_by_its_status_and_never_a_trap() {
    let mut afterword = Setup::default().no_worker().start().await;
    for (how, status) in [
        (Fault::Status(500), 502),
        (Fault::Status(503), 503),
        (Fault::Status(429), 503),
        (Fault::Status(401), 502),
        (Fault::Html, 502),
        (Fault::Cut, 502),
        (Fault::Drop, 502),
    ] {
        fault(&afterword, how.clone());
        for path in ["/articles", "/articles/7"] {
            let answer = afterword.get(path).await;
            assert_eq!(answer.status, status, "{how:?} {path}: {answer:?}");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert!(
                !answer.body.contains("127.0.0.1"),
                "no internals: {answer:?}"
            );
        }
        afterword.release_fetch_locks().await;
    }
    afterword.stop_origin().await;
    assert_eq!(afterword.get("/articles/7").await.status, 502);
    afterword.start_origin().await.unwrap();
    afterword.release_fetch_locks().await;
    assert_eq!(afterword.get("/articles/7").await.status, 200);
    assert!(!afterword.log().contains("trap"), "{}", afterword.log());
    afterword.wait_for_queue(&["/articles/7"]).await;
}

#[tokio::test]
async fn an_error_says_when_to_try_again_and_the_origin_is_left_alone_until_then() {
    let afterword = Setup::default().no_worker().start().await;
    for (status, asked) in [(503, 40), (429, 7_200), (503, u64::MAX)] {
        let asks_for_patience = RestDial {
            fault: Some(Fault::Status(status)),
            retry_after: Some(asked),
            ..RestDial::default()
        };
        dial(&afterword, asks_for_patience);
        let failed = afterword.get("/articles/7").await;
        assert_eq!(failed.status, 503);
        assert_eq!(failed.header("retry-after"), asked.to_string());
        let known = known_error(&afterword, "/articles/7").await;
        assert_eq!(known.status, 503);
        let left: u64 = known.header("retry-after").parse().unwrap();
        assert!((1..=asked.min(60)).contains(&left), "{left} s");
        assert!(left > 10, "{left} s of {asked}");
        afterword.release_fetch_locks().await;
    }
    // Without the origin's word, as long as the failure is remembered.
    for (how, status) in [(Fault::Status(503), 503), (Fault::Drop, 502)] {
        fault(&afterword, how);
        let failed = afterword.get("/articles/8").await;
        assert_eq!((failed.status, failed.header("retry-after")), (status, "1"));
        afterword.release_fetch_locks().await;
    }
    afterword.supabase().set_dials(Dials::default()).unwrap();
    assert!(!afterword.get("/articles/4711").await.has("retry-after"));
    let known = known_error(&afterword, "/articles/4711").await;
    assert!(!known.has("retry-after"), "{known:?}");
}

/// Reads until the error is one that another reader came to.
async fn known_error(afterword: &Afterword, path: &str) -> Response {
    let known = async || {
        let answer = afterword.get(path).await;
        let told = answer.header("cache-status");
        anyhow::ensure!(told.ends_with("; detail=negative"), "{told}");
        Ok(answer)
    };
    let known = eventually(PATIENCE, "waiting for a known error", known).await;
    known.unwrap_or_else(|error| panic!("{error:#}"))
}

#[tokio::test]
async fn an_origin_that_does_not_answer_in_time_is_504() {
    let afterword = Setup::default().no_worker().start().await;
    let slow = RestDial {
        delay_ms: 600_000,
        ..RestDial::default()
    };
    afterword
        .supabase()
        .set_dials(Dials {
            rest: vec![slow],
            ..Dials::default()
        })
        .unwrap();
    assert_eq!(afterword.get("/articles/7").await.status, 504);
}

#[tokio::test]
async fn a_failing_key_value_store_is_passed_by() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    afterword.wait_for_hit("/articles/7").await;
    for how in [json!({"fail": true}), json!({"delay_ms": 600_000})] {
        afterword
            .set_http_faults(json!({ "key-value.get": how }))
            .await;
        let answer = afterword.get("/articles/7").await;
        assert_eq!(
            (answer.status, &answer.json()["id"]),
            (200, &json!(7)),
            "{how}"
        );
    }
    afterword.set_http_faults(json!({})).await;
    afterword.wait_for_hit("/articles/7").await;
}

#[tokio::test]
async fn a_slow_or_refused_redis_is_not_noticed_by_readers() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    for how in [json!({"fail": true}), json!({"delay_ms": 600_000})] {
        afterword
            .set_http_faults(json!({"redis.open": how, "redis.execute": how}))
            .await;
        assert_eq!(afterword.get("/articles/7").await.status, 200, "{how}");
        let answer = afterword.webhook("{}").await;
        assert_eq!(
            (answer.status, &answer.json()["deferred"]),
            (202, &json!("outbox")),
            "{how}"
        );
    }
    afterword.set_http_faults(json!({})).await;
    let answer = afterword.webhook("{}").await;
    assert_eq!(
        (answer.status, answer.json()["id"].is_u64()),
        (202, true),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_entry_that_cannot_be_written_stays_marked() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    afterword
        .set_worker_dials(json!({"faults": {"key-value.set": {"fail": true}}}))
        .await;
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({"title": "Changed"}))
        .await;
    afterword.wait_for_failures(1).await;
    assert_eq!(afterword.queue().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_former_entry_that_cannot_be_read_does_not_keep_the_new_one_out() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().dials().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword
        .set_worker_dials(json!({"faults": {"key-value.get": {"fail": true}}}))
        .await;
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({"title": "Changed"}))
        .await;
    assert_eq!(
        afterword.wait_for_hit("/articles/7").await.json()["title"],
        "Changed"
    );
}

#[tokio::test]
async fn a_worker_that_dies_wherever_it_is_leaves_its_mark() {
    if !host_has_dials() {
        return;
    }
    for (call, when) in [
        ("http.send", "before"),
        ("key-value.set", "before"),
        ("key-value.set", "after"),
    ] {
        let mut afterword = Setup::default().dials().start().await;
        let die = json!({"die": {"call": call, "nth": 1, "when": when}});
        afterword.set_worker_dials(die).await;
        afterword
            .change(Method::PATCH, "?id=eq.7", json!({"title": "Changed"}))
            .await;
        afterword.worker().wait().await;
        assert_eq!(
            afterword.queue().await.unwrap(),
            ["/articles", "/articles/7"],
            "{when} {call}"
        );
        afterword.kill_workers().await;
        // Nobody helps: the dead worker's lease runs out, and that wakes this one.
        afterword.start_worker().await.unwrap();
        assert_eq!(
            afterword.wait_for_hit("/articles/7").await.json()["title"],
            "Changed",
            "{when} {call}"
        );
    }
}

#[tokio::test]
async fn the_worker_ends_when_redis_does_and_the_http_side_goes_on() {
    let mut afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.redis.kill().await;
    afterword.worker().wait().await;
    assert_eq!(afterword.get("/articles/7").await.status, 200);
    afterword.redis.restart().await.unwrap();
    afterword.kill_workers().await;
    afterword.start_worker().await.unwrap();
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({"title": "Changed"}))
        .await;
    assert_eq!(
        afterword.wait_for_hit("/articles/7").await.json()["title"],
        "Changed"
    );
}

#[tokio::test]
async fn an_answer_over_the_byte_cap_is_not_taken() {
    let afterword = Setup::default().start().await;
    let before = afterword.wait_for_hit("/articles/7").await;
    // A text of 64 MiB and a row around it.
    afterword
        .supabase()
        .execute("UPDATE articles SET body = hex(zeroblob(33554432)) WHERE id IN (7, 8)")
        .unwrap();
    assert_eq!(afterword.get("/articles/8").await.status, 502);
    afterword
        .webhook(json!({"type": "UPDATE", "record": {"id": 7}}).to_string())
        .await;
    afterword.wait_for_failures(1).await;
    assert_eq!(afterword.get("/articles/7").await.body, before.body);
}
