//! What the anonymous key may not read never gets into the cache.

use std::time::Duration;

use afterword_scenarios::{Afterword, Setup};
use afterword_stack::eventually;
use anyhow::ensure;
use reqwest::Method;
use serde_json::json;

use crate::stored::value;

const HIDDEN: &str = "a note that no reader may see";

#[tokio::test]
async fn an_unpublished_row_and_the_hidden_column_never_appear_although_the_webhook_carries_them() {
    let afterword = Setup::default().start().await;
    let row = |id: u64, published: bool| json!({"id": id, "slug": format!("s-{id}"), "title": "T", "published": published, "editor_notes": HIDDEN});
    afterword.change(Method::POST, "", row(101, false)).await;
    afterword.change(Method::POST, "", row(102, true)).await;
    assert!(
        afterword
            .supabase()
            .webhooks()
            .iter()
            .all(|webhook| webhook.body.contains(HIDDEN)),
        "the webhooks carry it"
    );
    afterword.wait_until_drained().await.unwrap();

    assert_eq!(afterword.get("/articles/101").await.status, 404);
    let (item, list) = (
        afterword.wait_for_hit("/articles/102").await,
        afterword.wait_for_hit("/articles").await,
    );
    assert_eq!(item.json()["title"], "T");
    assert!(!item.body.contains(HIDDEN) && !item.body.contains("editor_notes"));
    assert!(!list.body.contains(HIDDEN) && !list.body.contains("s-101"));
    assert!(!afterword.log().contains(HIDDEN), "nor in a log");
    let stored = std::fs::read(afterword.state_dir().join("sqlite_key_value.db")).unwrap();
    assert!(
        !contains(&stored, HIDDEN) && !contains(&stored, "s-101"),
        "nor anywhere in the store's file"
    );
}

#[tokio::test]
async fn a_column_that_configuration_hides_is_served_no_more() {
    let mut afterword = Setup::default().start().await;
    let (item, list) = ("/articles/7", "/articles");
    assert!(afterword.wait_for_hit(item).await.json()["body"].is_string());
    assert!(afterword.wait_for_hit(list).await.json()[0]["body"].is_string());
    let hides = [
        ("item_query", "select=id,title"),
        ("list_query", "select=id,title&order=id.asc"),
    ];
    afterword.reconfigure(&hides).await.unwrap();
    let columns = |row: &serde_json::Value| row.as_object().unwrap().keys().count();
    let read = async |afterword: &Afterword| {
        let (item, list) = (afterword.get(item).await, afterword.get(list).await);
        assert_eq!(columns(&item.json()), 2, "{item:?}");
        assert_eq!(columns(&list.json()[0]), 2, "{list:?}");
        [item, list]
    };
    for answer in read(&afterword).await {
        let told = answer.header("cache-status");
        assert_eq!(told, "afterword; fwd=uri-miss; fwd-status=200");
    }
    afterword.start_worker().await.unwrap();
    for path in [item, list] {
        afterword.wait_for_hit(path).await;
    }
    read(&afterword).await;
}

#[tokio::test]
async fn after_a_change_of_configuration_everything_stored_is_refreshed_without_a_reader() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    let paths = ["/articles/7", "/articles/8", "/articles"];
    for path in paths {
        afterword.wait_for_hit(path).await;
        assert!(contains(&value(&afterword, path), "\"body\""));
    }
    let narrower = [
        ("item_query", "select=id,title"),
        ("list_query", "select=id,title&order=id.asc"),
    ];
    afterword.reconfigure(&narrower).await.unwrap();
    afterword.start_worker().await.unwrap();
    eventually(Duration::from_secs(60), "the refresh", async || {
        for path in paths {
            let value = value(&afterword, path);
            ensure!(!contains(&value, "\"body\""), "{path} is as it was");
        }
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

#[tokio::test]
async fn another_cache_version_makes_every_entry_a_miss() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    for path in ["/articles/7", "/articles"] {
        afterword.wait_for_hit(path).await;
    }
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({"title": "Changed"}))
        .await;
    let version = [("cache_version", "2026-11-26 b")];
    afterword.reconfigure(&version).await.unwrap();
    let title = afterword.get("/articles/7").await.json()["title"].clone();
    assert_eq!(title, "Changed");
    assert_eq!(afterword.get("/articles").await.json()[6]["title"], title);
}

#[tokio::test]
async fn another_key_of_the_same_role_leaves_what_is_stored() {
    let mut afterword = Setup::default().start().await;
    for path in ["/articles/7", "/articles"] {
        afterword.wait_for_hit(path).await;
    }
    let publishable = afterword_supabase::Options::default().keys.publishable;
    let rotated = [("supabase_anon_key", publishable.as_str())];
    afterword.reconfigure(&rotated).await.unwrap();
    for path in ["/articles/7", "/articles"] {
        let answer = afterword.get(path).await;
        let told = answer.header("cache-status");
        assert!(told.starts_with("afterword; hit; ttl="), "{told}");
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_row_that_is_unpublished_is_gone_with_the_next_refresh() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({"published": false}))
        .await;
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(afterword.get("/articles/7").await.status, 404);
    assert!(
        afterword
            .wait_for_hit("/articles")
            .await
            .json()
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["id"] != 7)
    );
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({"published": true}))
        .await;
    assert_eq!(afterword.wait_for_hit("/articles/7").await.status, 200);
}

#[tokio::test]
async fn postgrests_refusal_is_an_answer_and_removes_what_may_no_longer_be_read() {
    let afterword = Setup::default()
        .variable("item_query", "select=id,title,editor_notes")
        .no_webhooks()
        .start()
        .await;
    let answer = afterword.get("/articles/7").await;
    assert_eq!(answer.status, 404, "{answer:?}");
    afterword
        .webhook(json!({"type": "UPDATE", "record": {"id": 7}}).to_string())
        .await;
    afterword.wait_until_drained().await.unwrap();
    assert!(afterword.log().contains("removed from cache: /articles/7"));
    assert_eq!(
        afterword.get("/articles").await.status,
        200,
        "the list's query asks for no hidden column"
    );
}

#[tokio::test]
async fn a_wrong_key_is_a_failure_and_removes_nothing() {
    let afterword = Setup::default().start().await;
    let before = afterword.wait_for_hit("/articles/7").await;
    let refused = afterword_supabase::RestDial {
        fault: Some(afterword_supabase::Fault::Status(401)),
        ..Default::default()
    };
    afterword
        .supabase()
        .set_dials(afterword_supabase::Dials {
            rest: vec![refused],
            ..Default::default()
        })
        .unwrap();
    afterword
        .webhook(json!({"type": "UPDATE", "record": {"id": 7}}).to_string())
        .await;
    afterword.wait_for_failures(1).await;
    assert_eq!(afterword.get("/articles/7").await.body, before.body);
    assert_eq!(
        afterword.queue().await.unwrap().len(),
        2,
        "both stay marked"
    );
}
