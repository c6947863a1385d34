//! Stale entries: served while they are refreshed, and beyond that time only if the origin fails
//! (RFC 5861).

use std::time::Duration;

use afterword_scenarios::{Afterword, Response, Setup, reuses_instances, wait_until};
use afterword_supabase::{Fault, RestDial};
use anyhow::ensure;
use reqwest::Method;
use serde_json::json;

use crate::store_file::make_old;

const ITEM: &str = "/articles/7";

/// An application that stores [`ITEM`], and its response. An entry is fresh for 300 s, and served
/// stale for 600 s more; if the origin fails, for 1,200 s more.
async fn with_entry() -> (Afterword, Response) {
    let mut afterword = Setup::default()
        .variable("max_age", "300")
        .variable("stale_while_revalidate", "600")
        .variable("stale_if_error", "1200")
        .no_webhooks()
        .start()
        .await;
    let stored = afterword.wait_for_hit(ITEM).await;
    afterword.kill_workers().await;
    (afterword, stored)
}

/// `Cache-Status` without `ttl`, which changes every second.
fn cache_status(response: &Response) -> String {
    let parts = response.cache_status().split("; ");
    let parts: Vec<&str> = parts.filter(|part| !part.starts_with("ttl=-")).collect();
    parts.join("; ")
}

#[tokio::test]
async fn a_reader_beyond_stale_while_revalidate_waits_for_the_origin() {
    let (afterword, stored) = with_entry().await;
    afterword.update_title(7, "Changed").await;
    make_old(&afterword, ITEM, Duration::from_secs(800));
    let within = afterword.get(ITEM).await;
    assert_eq!(within.body, stored.body);
    assert_eq!(cache_status(&within), "afterword; hit");
    make_old(&afterword, ITEM, Duration::from_secs(1_000));
    let beyond = afterword.get(ITEM).await;
    assert_eq!(beyond.json()["title"], "Changed");
    assert_eq!(
        cache_status(&beyond),
        "afterword; fwd=stale; fwd-status=200"
    );
}

#[tokio::test]
async fn an_entry_beyond_stale_while_revalidate_is_served_if_the_origin_fails() {
    let (mut afterword, stored) = with_entry().await;
    make_old(&afterword, ITEM, Duration::from_secs(1_000));
    for (fault, status) in [
        (Fault::Status(503), "; fwd-status=503"),
        (Fault::Status(429), "; fwd-status=429"),
        (Fault::Status(500), "; fwd-status=500"),
        (Fault::Html, ""),
        (Fault::Drop, ""),
        (Fault::Cut, ""),
    ] {
        afterword.set_origin_faults(vec![RestDial {
            fault: Some(fault),
            ..RestDial::default()
        }]);
        let response = afterword.get(ITEM).await;
        assert_eq!((response.status, &response.body), (200, &stored.body));
        assert_eq!(
            cache_status(&response),
            format!("afterword; fwd=stale{status}; detail=stale-if-error")
        );
        let age: u64 = response.header("age").parse().unwrap();
        assert!(age >= 1_000, "{age} s");
        afterword.forget_failures(&[ITEM]).await;
    }
    let unchanged = [("if-none-match", stored.header("etag"))];
    assert_eq!(afterword.get_with(ITEM, &unchanged).await.status, 304);

    // The negative cache has the failure, so the next reader gets the entry without a request.
    afterword.fail_origin(503);
    let remembered = wait_until("waiting for the negative cache", async || {
        let response = afterword.get(ITEM).await;
        assert_eq!((response.status, &response.body), (200, &stored.body));
        ensure!(cache_status(&response) == "afterword; hit; detail=stale-if-error");
        Ok(())
    });
    remembered.await;
    wait_until("the reads of a stale entry", async || {
        let counter = r#"reads_total{outcome="stale_if_error"}"#;
        let counted = afterword.metric(counter).await;
        // Six failures, the 304, and one of the negative cache at least.
        ensure!(counted >= Some(8.0), "{counted:?}");
        Ok(())
    })
    .await;

    make_old(&afterword, ITEM, Duration::from_secs(1_600));
    afterword.forget_failures(&[ITEM]).await;
    assert_eq!(afterword.get(ITEM).await.status, 503);
    make_old(&afterword, ITEM, Duration::from_secs(1_000));
    afterword.stop_origin().await;
    afterword.forget_failures(&[ITEM]).await;
    assert_eq!(afterword.get(ITEM).await.body, stored.body);
}

#[tokio::test]
async fn an_entry_beyond_stale_while_revalidate_is_not_served_if_its_row_is_deleted() {
    let (afterword, _) = with_entry().await;
    make_old(&afterword, ITEM, Duration::from_secs(1_000));
    afterword
        .change(Method::DELETE, "?id=eq.7", json!(null))
        .await;
    for _ in 0..2 {
        assert_eq!(afterword.get(ITEM).await.status, 404);
    }
}

#[tokio::test]
async fn an_entry_that_stays_stale_is_logged() {
    const MESSAGE: &str = "has been stale for";
    let (afterword, _) = with_entry().await;
    make_old(&afterword, ITEM, Duration::from_secs(330));
    assert_eq!(cache_status(&afterword.get(ITEM).await), "afterword; hit");
    make_old(&afterword, ITEM, Duration::from_secs(400));
    // Without reused instances, one in 64 looks.
    let reads = if reuses_instances() { 1 } else { 1_000 };
    for _ in 0..reads {
        assert_eq!(cache_status(&afterword.get(ITEM).await), "afterword; hit");
    }
    let line = afterword.wait_for_http_log(MESSAGE).await;
    assert!(line.contains(ITEM), "{line}");
    assert!(line.contains("docs/operating.md"), "{line}");
    if reuses_instances() {
        let lines = afterword.log().matches(MESSAGE).count();
        assert_eq!(lines, 1, "not for the younger entry");
    }
}
