//! Reads: hits, misses, and invalid requests.

use afterword_scenarios::{Setup, redis_key, wait_until};
use afterword_supabase::RestDial;
use anyhow::ensure;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn the_first_read_misses_and_the_second_hits() {
    let mut afterword = Setup::default().no_worker().start().await;
    let mut misses = Vec::new();
    for path in ["/articles", "/articles/7"] {
        let response = afterword.get(path).await;
        assert_eq!(response.status, 200, "{response:?}");
        misses.push((path, response));
    }
    let requests = afterword.count_origin_requests();
    assert_eq!(requests, 2, "each miss sent one request to the origin");
    afterword
        .wait_for_queue(&["/articles", "/articles/7"])
        .await;
    afterword.start_worker().await.unwrap();
    for (path, miss) in misses {
        let hit = afterword.wait_for_hit(path).await;
        assert_eq!((hit.status, &hit.body), (200, &miss.body));
        assert_eq!(
            hit.header("etag"),
            miss.header("etag"),
            "the reader and the worker fetched the same content"
        );
        assert_eq!(hit.header("content-type"), "application/json");
    }
    assert_eq!(
        afterword.wait_for_hit("/articles/7").await.json(),
        afterword.origin("?id=eq.7").await[0]
    );
    assert_eq!(
        afterword.wait_for_hit("/articles").await.json(),
        afterword.origin_list().await
    );
}

#[tokio::test]
async fn a_hit_needs_neither_the_origin_nor_redis() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.redis.kill().await;
    afterword.supabase().clear_requests();
    for _ in 0..20 {
        assert_eq!(afterword.get("/articles/7").await.status, 200);
    }
    afterword.assert_no_origin_request();
}

#[tokio::test]
async fn a_thousand_hits_queue_nothing() {
    let mut afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    // A worker that is woken by a schedule acquires the lease each time.
    afterword.kill_workers().await;
    let counter = ["GET", &redis_key("counter")];
    let before: u64 = afterword.redis_command(&counter).await.unwrap();
    for _ in 0..1_000 {
        assert_eq!(afterword.get("/articles/7").await.status, 200);
    }
    let after: u64 = afterword.redis_command(&counter).await.unwrap();
    assert_eq!(
        before, after,
        "every version and every lease takes a number"
    );
}

#[tokio::test]
async fn a_stale_entry_is_sent_and_refreshed_after_the_response() {
    let afterword = Setup::default()
        .variable("max_age", "0")
        .no_webhooks()
        .start()
        .await;
    let before = afterword.get("/articles/7").await;
    wait_until("waiting for the entry", async || {
        let stored = afterword.log().contains("updated cache: /articles/7");
        ensure!(stored, "it is not stored");
        Ok(())
    })
    .await;
    let title = json!({"title": "Changed"});
    afterword.change(Method::PATCH, "?id=eq.7", title).await;
    // The origin is too slow for any read, so the response must come from the store.
    afterword.set_origin_faults(vec![RestDial {
        delay_ms: 600_000,
        ..RestDial::default()
    }]);
    assert_eq!(afterword.get("/articles/7").await.body, before.body);
    afterword.heal_origin();
    wait_until("refreshing the entry", async || {
        let item = afterword.get("/articles/7").await.json();
        ensure!(item["title"] == "Changed", "it is still the old row");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_entry_older_than_stale_if_error_is_not_sent() {
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
async fn a_head_response_is_the_get_response_without_the_content() {
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
async fn an_unknown_id_gets_404_and_is_not_queued() {
    let afterword = Setup::default().no_worker().start().await;
    for id in [
        "999999",
        "no-such-article",
        "99999999999999999999999999",
        "007",
    ] {
        let response = afterword.get_article(id).await;
        assert_eq!(response.status, 404, "{id}: {response:?}");
        assert_eq!(response.header("content-type"), "application/problem+json");
        assert_eq!(response.json()["status"], 404);
    }
    // A task queued after one of these responses would precede this one.
    afterword.get("/articles/7").await;
    afterword.wait_for_queue(&["/articles/7"]).await;
}

#[tokio::test]
async fn an_impossible_path_gets_404_without_a_request_to_the_origin() {
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
        let response = afterword.get(path).await;
        assert_eq!(response.status, 404, "{path}: {response:?}");
    }
    afterword.assert_no_origin_request();
}

#[tokio::test]
async fn another_method_gets_405_and_the_allowed_methods() {
    let afterword = Setup::default().start().await;
    for method in [
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::TRACE,
        Method::from_bytes(b"PURGE").unwrap(),
    ] {
        let response = afterword.send(method, "/articles/7", &[], "{}").await;
        assert_eq!(
            (response.status, response.header("allow")),
            (405, "GET, HEAD, OPTIONS")
        );
    }
    let response = afterword.get("/revalidate").await;
    assert_eq!(
        (response.status, response.header("allow")),
        (405, "POST, OPTIONS")
    );
    for (path, allow) in [
        ("/articles/7", "GET, HEAD, OPTIONS"),
        ("/revalidate", "POST, OPTIONS"),
    ] {
        let response = afterword.send(Method::OPTIONS, path, &[], "").await;
        assert_eq!((response.status, response.header("allow")), (204, allow));
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
    let slug = json!({"slug": "another-slug"});
    afterword.change(Method::PATCH, "?id=eq.7", slug).await;
    let renamed = afterword.wait_for_hit("/articles/another-slug").await;
    assert_eq!(renamed.json()["slug"], "another-slug");
    assert_eq!(
        afterword.get(&path).await.status,
        404,
        "the entry of the old slug is removed"
    );
}

#[tokio::test]
async fn a_publishable_key_can_be_used() {
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
async fn a_key_that_bypasses_row_level_security_is_refused_by_name() {
    let keys = afterword_supabase::Options::default().keys;
    for (key, name) in [(keys.service, "service_role"), (keys.secret, "sb_secret_")] {
        let mut afterword = Setup::default()
            .variable("supabase_anon_key", &key)
            .no_worker()
            .start()
            .await;
        afterword.start_worker().await.unwrap();
        afterword.wait_for_worker_log(name).await;
        assert_eq!(afterword.get("/articles/7").await.status, 500);
        afterword.assert_no_origin_request();
        assert!(afterword.log().contains(name), "the log names its kind");
        assert!(
            !afterword.log().contains(&key),
            "the log does not show the key"
        );
    }
}
