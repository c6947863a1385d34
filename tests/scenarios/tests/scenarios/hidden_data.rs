//! Rows and columns that the anonymous key may not read, or that the configuration hides, are
//! neither served nor stored.

use afterword_scenarios::{Afterword, Response, Setup, wait_until};
use afterword_supabase::Fault;
use anyhow::ensure;
use reqwest::Method;
use serde_json::{Value, json};

use crate::store_file::content;

const HIDDEN: &str = "a note that no reader may see";

const NARROWER: [(&str, &str); 2] = [
    ("item_query", "select=id,title"),
    ("list_query", "select=id,title&order=id.asc"),
];

#[tokio::test]
async fn unpublished_rows_and_hidden_columns_are_not_stored_although_webhooks_carry_them() {
    let afterword = Setup::default().start().await;
    let row = |id: u64, published: bool| {
        json!({"id": id, "slug": format!("s-{id}"), "title": "T", "published": published,
            "editor_notes": HIDDEN})
    };
    afterword.change(Method::POST, "", row(101, false)).await;
    afterword.change(Method::POST, "", row(102, true)).await;
    for webhook in afterword.supabase().webhooks() {
        assert!(webhook.body.contains(HIDDEN), "{webhook:?}");
    }
    afterword.wait_until_drained().await.unwrap();

    assert_eq!(afterword.get("/articles/101").await.status, 404);
    let item = afterword.wait_for_hit("/articles/102").await;
    let list = afterword.wait_for_hit("/articles").await;
    assert_eq!(item.json()["title"], "T");
    assert!(!item.body.contains(HIDDEN) && !item.body.contains("editor_notes"));
    assert!(!list.body.contains(HIDDEN) && !list.body.contains("s-101"));
    afterword.assert_not_in_log(&[HIDDEN]);
    let file = std::fs::read(afterword.state_dir().join("sqlite_key_value.db")).unwrap();
    for hidden in [HIDDEN, "s-101"] {
        let mut windows = file.windows(hidden.len());
        let found = windows.any(|window| window == hidden.as_bytes());
        assert!(!found, "{hidden:?} is in the store's file");
    }
}

#[tokio::test]
async fn a_column_that_the_configuration_hides_is_no_longer_served() {
    let mut afterword = Setup::default().start().await;
    let (item, list) = ("/articles/7", "/articles");
    assert!(afterword.wait_for_hit(item).await.json()["body"].is_string());
    assert!(afterword.wait_for_hit(list).await.json()[0]["body"].is_string());
    afterword.reconfigure(&NARROWER).await.unwrap();
    let columns = |row: &Value| row.as_object().unwrap().keys().count();
    let read = async |afterword: &Afterword| -> [Response; 2] {
        let (item, list) = (afterword.get(item).await, afterword.get(list).await);
        assert_eq!(columns(&item.json()), 2, "{item:?}");
        assert_eq!(columns(&list.json()[0]), 2, "{list:?}");
        [item, list]
    };
    for response in read(&afterword).await {
        let status = response.cache_status();
        assert_eq!(status, "afterword; fwd=uri-miss; fwd-status=200");
    }
    afterword.start_worker().await.unwrap();
    for path in [item, list] {
        afterword.wait_for_hit(path).await;
    }
    read(&afterword).await;
}

#[tokio::test]
async fn after_a_change_of_configuration_every_stored_entry_is_refreshed_without_a_read() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    let paths = ["/articles/7", "/articles/8", "/articles"];
    for path in paths {
        afterword.wait_for_hit(path).await;
        assert!(content(&afterword, path).contains("\"body\""));
    }
    afterword.reconfigure(&NARROWER).await.unwrap();
    afterword.start_worker().await.unwrap();
    wait_until("waiting for the refresh", async || {
        for path in paths {
            let content = content(&afterword, path);
            ensure!(!content.contains("\"body\""), "{path}: {content}");
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn another_cache_version_makes_every_entry_a_miss() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    for path in ["/articles/7", "/articles"] {
        afterword.wait_for_hit(path).await;
    }
    afterword.update_title(7, "Changed").await;
    let version = [("cache_version", "2026-11-26 b")];
    afterword.reconfigure(&version).await.unwrap();
    let title = afterword.get("/articles/7").await.json()["title"].clone();
    assert_eq!(title, "Changed");
    assert_eq!(afterword.get("/articles").await.json()[6]["title"], title);
}

#[tokio::test]
async fn another_key_of_the_same_role_keeps_the_stored_entries() {
    let mut afterword = Setup::default().start().await;
    for path in ["/articles/7", "/articles"] {
        afterword.wait_for_hit(path).await;
    }
    let publishable = afterword_supabase::Options::default().keys.publishable;
    let rotated = [("supabase_anon_key", publishable.as_str())];
    afterword.reconfigure(&rotated).await.unwrap();
    for path in ["/articles/7", "/articles"] {
        let response = afterword.get(path).await;
        let status = response.cache_status();
        assert!(status.starts_with("afterword; hit; ttl="), "{status}");
    }
}

#[tokio::test]
async fn an_unpublished_row_is_removed_by_the_next_refresh() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    let publish = async |published: bool| {
        let row = json!({ "published": published });
        afterword.change(Method::PATCH, "?id=eq.7", row).await;
    };
    publish(false).await;
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(afterword.get("/articles/7").await.status, 404);
    let list = afterword.wait_for_hit("/articles").await;
    assert!(list.rows().iter().all(|row| row["id"] != 7));
    publish(true).await;
    assert_eq!(afterword.wait_for_hit("/articles/7").await.status, 200);
}

#[tokio::test]
async fn a_refusal_by_postgrest_is_a_404_and_removes_the_entry() {
    let afterword = Setup::default()
        .variable("item_query", "select=id,title,editor_notes")
        .no_webhooks()
        .start()
        .await;
    let response = afterword.get("/articles/7").await;
    assert_eq!(response.status, 404, "{response:?}");
    afterword.invalidate(7).await;
    afterword.wait_until_drained().await.unwrap();
    assert!(afterword.log().contains("removed from cache: /articles/7"));
    let list = afterword.get("/articles").await;
    assert_eq!(list.status, 200, "its query selects no hidden column");
}

#[tokio::test]
async fn a_rejected_key_is_a_failure_and_removes_nothing() {
    let afterword = Setup::default().start().await;
    let before = afterword.wait_for_hit("/articles/7").await;
    afterword.fail_origin_with(Fault::Status(401));
    afterword.invalidate(7).await;
    afterword.wait_for_failures(1).await;
    assert_eq!(afterword.get("/articles/7").await.body, before.body);
    assert_eq!(
        afterword.queue().await.unwrap().len(),
        2,
        "both stay queued"
    );
}
