//! Stale entries: served while they are revalidated, and beyond that only if the origin fails (RFC
//! 5861).

use std::time::Duration;

use afterword_scenarios::{Afterword, Response, Setup};
use afterword_stack::eventually;
use afterword_supabase::{Dials, Fault, RestDial};
use reqwest::Method;
use serde_json::json;

use crate::stored::make_old;

/// Far longer than anything here takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

const ITEM: &str = "/articles/7";

/// An application that holds [`ITEM`], and its answer. An entry is fresh for 300 s and served stale
/// for 600 s more; if the origin fails, for 1,200 s more.
async fn holding() -> (Afterword, Response) {
    let mut afterword = Setup::default()
        .variable("max_age", "300")
        .variable("stale_while_revalidate", "600")
        .variable("stale_if_error", "1200")
        .no_webhooks()
        .start()
        .await;
    let held = afterword.wait_for_hit(ITEM).await;
    afterword.kill_workers().await;
    (afterword, held)
}

fn fail(afterword: &Afterword, fault: Option<Fault>) {
    let every = RestDial {
        fault,
        ..RestDial::default()
    };
    let dials = Dials {
        rest: vec![every],
        ..Dials::default()
    };
    afterword.supabase().set_dials(dials).unwrap();
}

/// What `Cache-Status` says, without its `ttl`, which moves.
fn told(answer: &Response) -> String {
    let told = answer.header("cache-status").split("; ");
    let lasting: Vec<&str> = told.filter(|part| !part.starts_with("ttl=-")).collect();
    lasting.join("; ")
}

#[tokio::test]
async fn an_entry_beyond_its_window_waits_for_the_origin() {
    let (afterword, held) = holding().await;
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({"title": "Changed"}))
        .await;
    make_old(&afterword, ITEM, Duration::from_secs(800));
    let within = afterword.get(ITEM).await;
    assert_eq!(within.body, held.body);
    assert_eq!(told(&within), "afterword; hit");
    make_old(&afterword, ITEM, Duration::from_secs(1_000));
    let beyond = afterword.get(ITEM).await;
    assert_eq!(beyond.json()["title"], "Changed");
    assert_eq!(told(&beyond), "afterword; fwd=stale; fwd-status=200");
}

#[tokio::test]
async fn an_entry_beyond_its_window_is_served_if_the_origin_fails() {
    let (mut afterword, held) = holding().await;
    make_old(&afterword, ITEM, Duration::from_secs(1_000));
    for (fault, status) in [
        (Fault::Status(503), "; fwd-status=503"),
        (Fault::Status(429), "; fwd-status=429"),
        (Fault::Status(500), "; fwd-status=500"),
        (Fault::Html, ""),
        (Fault::Drop, ""),
        (Fault::Cut, ""),
    ] {
        fail(&afterword, Some(fault));
        let answer = afterword.get(ITEM).await;
        assert_eq!((answer.status, &answer.body), (200, &held.body));
        assert_eq!(
            told(&answer),
            format!("afterword; fwd=stale{status}; detail=stale-if-error")
        );
        let age: u64 = answer.header("age").parse().unwrap();
        assert!(age >= 1_000, "{age} s");
        afterword.release_fetch_locks().await;
    }
    let unchanged = [("if-none-match", held.header("etag"))];
    assert_eq!(afterword.get_with(ITEM, &unchanged).await.status, 304);

    // The failure is remembered; the next reader gets the entry without a request.
    fail(&afterword, Some(Fault::Status(503)));
    let known = eventually(PATIENCE, "waiting for a known failure", async || {
        let answer = afterword.get(ITEM).await;
        assert_eq!((answer.status, &answer.body), (200, &held.body));
        anyhow::ensure!(told(&answer) == "afterword; hit; detail=stale-if-error");
        Ok(())
    });
    known.await.unwrap();

    make_old(&afterword, ITEM, Duration::from_secs(1_600));
    afterword.release_fetch_locks().await;
    assert_eq!(afterword.get(ITEM).await.status, 503);
    make_old(&afterword, ITEM, Duration::from_secs(1_000));
    afterword.stop_origin().await;
    afterword.release_fetch_locks().await;
    assert_eq!(afterword.get(ITEM).await.body, held.body);
}

#[tokio::test]
async fn an_entry_beyond_its_window_is_not_served_if_its_row_is_gone() {
    let (afterword, _) = holding().await;
    make_old(&afterword, ITEM, Duration::from_secs(1_000));
    afterword
        .change(Method::DELETE, "?id=eq.7", json!(null))
        .await;
    for _ in 0..2 {
        assert_eq!(afterword.get(ITEM).await.status, 404);
    }
}

#[tokio::test]
async fn an_entry_that_stays_stale_is_told_in_the_log() {
    const SAYS: &str = "has been stale for";
    let (afterword, _) = holding().await;
    make_old(&afterword, ITEM, Duration::from_secs(330));
    assert_eq!(told(&afterword.get(ITEM).await), "afterword; hit");
    make_old(&afterword, ITEM, Duration::from_secs(400));
    assert_eq!(told(&afterword.get(ITEM).await), "afterword; hit");
    let line = afterword.http().line_with(SAYS, PATIENCE).await.unwrap();
    assert!(line.contains(ITEM), "{line}");
    assert!(line.contains("docs/operating.md"), "{line}");
    assert_eq!(afterword.log().matches(SAYS).count(), 1, "not the first");
}
