//! Reads: hits, misses, and requests that are none.

use std::time::Duration;

use afterword_scenarios::Setup;
use afterword_supabase::{Dials, RestDial};
use reqwest::Method;

/// Far longer than anything here takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_first_read_misses_and_the_second_hits() {
    let mut afterword = Setup::default().no_worker().start().await;
    let mut missed = Vec::new();
    for path in ["/articles", "/articles/7"] {
        let answer = afterword.get(path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        missed.push((path, answer));
    }
    assert_eq!(
        afterword.supabase().requests().len(),
        2,
        "each asked the origin once"
    );
    afterword
        .wait_for_queue(&["/articles", "/articles/7"])
        .await;
    afterword.start_worker().await.unwrap();
    for (path, missed) in missed {
        let hit = afterword.wait_for_hit(path).await;
        assert_eq!((hit.status, &hit.body), (200, &missed.body));
        assert_eq!(
            hit.header("etag"),
            missed.header("etag"),
            "the content is the same, whoever fetched it"
        );
        assert_eq!(hit.header("content-type"), "application/json");
    }
    assert_eq!(
        afterword.wait_for_hit("/articles/7").await.json(),
        afterword.origin("?id=eq.7").await[0]
    );
    assert_eq!(
        afterword.wait_for_hit("/articles").await.json(),
        afterword.origin("?order=id.asc").await
    );
}

#[tokio::test]
async fn a_hit_asks_neither_the_origin_nor_redis() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.redis.kill().await;
    afterword.supabase().clear_requests();
    for _ in 0..20 {
        assert_eq!(afterword.get("/articles/7").await.status, 200);
    }
    assert_eq!(afterword.supabase().requests(), []);
}

#[tokio::test]
async fn a_thousand_hits_leave_no_mark() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    let before: u64 = afterword
        .redis_command(&["GET", "{afterword}:v1:counter"])
        .await
        .unwrap();
    for _ in 0..1_000 {
        assert_eq!(afterword.get("/articles/7").await.status, 200);
    }
    let after: u64 = afterword
        .redis_command(&["GET", "{afterword}:v1:counter"])
        .await
        .unwrap();
    assert_eq!(before, after, "each mark and each lease takes a number");
}

#[tokio::test]
async fn a_stale_entry_is_sent_and_refreshed_after_the_response() {
    let afterword = Setup::default()
        .variable("max_age", "0")
        .no_webhooks()
        .start()
        .await;
    let before = afterword.get("/articles/7").await;
    afterword_stack::eventually(PATIENCE, "storing the entry", async || {
        anyhow::ensure!(
            afterword.log().contains("updated cache: /articles/7"),
            "not stored"
        );
        Ok(())
    })
    .await
    .unwrap();
    afterword
        .change(
            Method::PATCH,
            "?id=eq.7",
            serde_json::json!({"title": "Changed"}),
        )
        .await;
    // The origin answers no read in time: what comes can only come from the store.
    afterword.supabase().set_dials(slow_reads()).unwrap();
    assert_eq!(afterword.get("/articles/7").await.body, before.body);
    afterword.supabase().set_dials(Dials::default()).unwrap();
    afterword_stack::eventually(PATIENCE, "refreshing the entry", async || {
        anyhow::ensure!(
            afterword.get("/articles/7").await.json()["title"] == "Changed",
            "it is still the old one"
        );
        Ok(())
    })
    .await
    .unwrap();
}

fn slow_reads() -> Dials {
    let slow = RestDial {
        delay_ms: 600_000,
        ..RestDial::default()
    };
    Dials {
        rest: vec![slow],
        ..Dials::default()
    }
}

#[tokio::test]
async fn an_entry_too_old_for_its_failing_origin_is_not_sent() {
    let mut afterword = Setup::default()
        .variable("max_age", "0")
        .variable("stale_while_revalidate", "0")
        .variable("stale_if_error", "0")
        .start()
        .await;
    assert_eq!(afterword.get("/articles/7").await.status, 200);
    afterword.wait_until_drained().await.unwrap();
    afterword.stop_origin().await;
    assert_eq!(afterword.get("/articles/7").await.status, 502);
}

#[tokio::test]
async fn head_equals_get_without_the_content() {
    let afterword = Setup::default().start().await;
    for _ in 0..2 {
        let head = afterword.send(Method::HEAD, "/articles/7", &[], "").await;
        let get = afterword.wait_for_hit("/articles/7").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        for name in ["content-length", "content-type", "etag"] {
            assert_eq!(head.header(name), get.header(name), "{name}");
        }
        assert_eq!(get.header("content-length"), get.body.len().to_string());
    }
}

#[tokio::test]
async fn an_unknown_id_is_404_and_leaves_no_trace() {
    let afterword = Setup::default().no_worker().start().await;
    for id in [
        "999999",
        "no-such-article",
        "99999999999999999999999999",
        "007",
    ] {
        let answer = afterword.get(&format!("/articles/{id}")).await;
        assert_eq!(answer.status, 404, "{id}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["status"], 404);
    }
    // What is marked after the response would be there by the time of another's mark.
    afterword.get("/articles/7").await;
    afterword.wait_for_queue(&["/articles/7"]).await;
}

#[tokio::test]
async fn a_path_that_no_article_can_have_is_404_without_a_request_to_the_origin() {
    let afterword = Setup::default().start().await;
    let long = format!("/articles/{}", "x".repeat(256));
    for path in [
        "/articles/",
        "/articles/1/2",
        "/articles/%00",
        "/articles/%ff",
        "/articles/7%",
        "/articles/%3x",
        &long,
    ] {
        let answer = afterword.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    assert_eq!(afterword.supabase().requests(), []);
}

#[tokio::test]
async fn another_method_is_405_with_what_is_allowed() {
    let afterword = Setup::default().start().await;
    for method in [
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::TRACE,
        Method::from_bytes(b"PURGE").unwrap(),
    ] {
        let answer = afterword.send(method, "/articles/7", &[], "{}").await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, "GET, HEAD, OPTIONS")
        );
    }
    let answer = afterword.get("/revalidate").await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, "POST, OPTIONS")
    );
    for (path, allow) in [
        ("/articles/7", "GET, HEAD, OPTIONS"),
        ("/revalidate", "POST, OPTIONS"),
    ] {
        let answer = afterword.send(Method::OPTIONS, path, &[], "").await;
        assert_eq!((answer.status, answer.header("allow")), (204, allow));
    }
}

#[tokio::test]
async fn another_unique_column_can_be_the_id() {
    let afterword = Setup::default()
        .variable("id_column", "slug")
        .variable("list_query", "select=slug,title&order=title.desc")
        .start()
        .await;
    let row = &afterword.origin("?id=eq.7").await[0];
    let path = format!("/articles/{}", row["slug"].as_str().unwrap());
    assert_eq!(&afterword.wait_for_hit(&path).await.json(), row);
    assert_eq!(
        afterword.wait_for_hit("/articles").await.json(),
        afterword
            .origin("?select=slug,title&order=title.desc")
            .await
    );
    afterword
        .change(
            Method::PATCH,
            "?id=eq.7",
            serde_json::json!({"slug": "another-slug"}),
        )
        .await;
    assert_eq!(
        afterword
            .wait_for_hit("/articles/another-slug")
            .await
            .json()["slug"],
        "another-slug"
    );
    assert_eq!(
        afterword.get(&path).await.status,
        404,
        "the old slug's entry is gone"
    );
}

#[tokio::test]
async fn a_publishable_key_reads_too() {
    let keys = afterword_supabase::Options::default().keys;
    let afterword = Setup::default()
        .variable("supabase_anon_key", keys.publishable)
        .start()
        .await;
    assert_eq!(
        afterword.wait_for_hit("/articles/7").await.json(),
        afterword.origin("?id=eq.7").await[0]
    );
}

#[tokio::test]
async fn a_key_that_reads_past_row_level_security_is_refused_by_name() {
    let keys = afterword_supabase::Options::default().keys;
    for (key, name) in [(keys.service, "service_role"), (keys.secret, "sb_secret_")] {
        let mut afterword = Setup::default()
            .variable("supabase_anon_key", &key)
            .no_worker()
            .start()
            .await;
        afterword.start_worker().await.unwrap();
        afterword.worker().line_with(name, PATIENCE).await.unwrap();
        assert_eq!(afterword.get("/articles/7").await.status, 500);
        assert_eq!(
            afterword.supabase().requests(),
            [],
            "nothing was fetched with it"
        );
        assert!(afterword.log().contains(name), "the log names it");
        assert!(!afterword.log().contains(&key), "but does not show it");
    }
}
