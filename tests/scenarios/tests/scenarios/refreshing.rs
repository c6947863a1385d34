//! From a change in the database to a fresh read.

use afterword_scenarios::Setup;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn an_insert_is_stored_before_anyone_reads_it() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles").await;
    afterword
        .change(
            Method::POST,
            "",
            json!({"id": 100, "slug": "new", "title": "New", "published": true}),
        )
        .await;
    afterword.wait_until_drained().await.unwrap();
    afterword.supabase().clear_requests();
    assert_eq!(afterword.get("/articles/100").await.json()["title"], "New");
    assert!(
        afterword
            .get("/articles")
            .await
            .json()
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["id"] == 100)
    );
    assert_eq!(
        afterword.supabase().requests(),
        [],
        "both came from the store"
    );
    assert!(afterword.log().contains("updated cache"));
}

#[tokio::test]
async fn an_update_is_read_fresh_from_the_store() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({"title": "Changed"}))
        .await;
    assert_eq!(
        afterword.wait_for_hit("/articles/7").await.json()["title"],
        "Changed"
    );
    assert_eq!(
        afterword.wait_for_hit("/articles").await.json(),
        afterword.origin("?order=id.asc").await
    );
    assert!(
        afterword
            .supabase()
            .webhooks()
            .iter()
            .all(|webhook| webhook.outcome == afterword_supabase::Outcome::Status(202))
    );
}

#[tokio::test]
async fn a_deleted_row_is_gone_from_the_store() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.wait_for_hit("/articles").await;
    afterword
        .change(Method::DELETE, "?id=eq.7", json!(null))
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
}

#[tokio::test]
async fn a_webhook_of_the_type_skip_refreshes_the_list_alone() {
    let afterword = Setup::default().no_webhooks().start().await;
    let item = afterword.wait_for_hit("/articles/7").await;
    afterword.wait_for_hit("/articles").await;
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({"title": "Changed"}))
        .await;
    let skip = json!({"type": "skip", "table": "articles", "schema": "public", "record": {"id": 7}, "old_record": null});
    assert_eq!(afterword.webhook(skip.to_string()).await.status, 202);
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(
        afterword.wait_for_hit("/articles").await.json(),
        afterword.origin("?order=id.asc").await
    );
    assert_eq!(afterword.wait_for_hit("/articles/7").await.body, item.body);
}

#[tokio::test]
async fn a_change_of_the_id_moves_the_entry() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({"id": 700}))
        .await;
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(
        afterword.wait_for_hit("/articles/700").await.json()["id"],
        700
    );
    assert_eq!(afterword.get("/articles/7").await.status, 404);
}

#[tokio::test]
async fn a_webhook_about_a_row_that_is_not_there_stores_nothing() {
    let afterword = Setup::default().start().await;
    for id in [
        json!(999_999),
        json!("no-such-article"),
        json!("007"),
        json!("null"),
    ] {
        let body = json!({"type": "INSERT", "table": "articles", "schema": "public", "record": {"id": id}, "old_record": null});
        assert_eq!(afterword.webhook(body.to_string()).await.status, 202);
    }
    // They share a batch with one that is there: a bad id holds up no other.
    afterword
        .webhook(json!({"type": "UPDATE", "record": {"id": 7}}).to_string())
        .await;
    afterword.wait_until_drained().await.unwrap();
    afterword.supabase().clear_requests();
    assert_eq!(afterword.get("/articles/7").await.status, 200);
    assert_eq!(afterword.supabase().requests(), []);
    assert_eq!(afterword.get("/articles/999999").await.status, 404);
}

#[tokio::test]
async fn marked_items_are_fetched_a_hundred_at_a_time() {
    let afterword = Setup::default().no_articles().no_worker().start().await;
    afterword.supabase().execute(&rows(250)).unwrap();
    for id in 1..=250 {
        afterword
            .webhook(json!({"type": "UPDATE", "record": {"id": id}}).to_string())
            .await;
    }
    let mut afterword = afterword;
    afterword.supabase().clear_requests();
    afterword.start_worker().await.unwrap();
    afterword.wait_until_drained().await.unwrap();
    let requests = afterword.supabase().requests();
    let batches = requests
        .iter()
        .filter(|request| request.query.contains("id=in."))
        .count();
    assert_eq!(
        (batches, requests.len()),
        (3, 4),
        "three batches and the list: {requests:?}"
    );
    afterword.supabase().clear_requests();
    for id in [1, 100, 101, 250] {
        assert_eq!(
            afterword.get(&format!("/articles/{id}")).await.json()["id"],
            id
        );
    }
    assert_eq!(afterword.supabase().requests(), []);
}

pub fn rows(count: usize) -> String {
    format!(
        "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {count})
         INSERT INTO articles (id, slug, title, body, published) SELECT n, 'row-' || n, 'Row ' || n, 'Text', true FROM number"
    )
}

#[tokio::test]
async fn a_burst_about_one_article_costs_few_requests() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.wait_for_hit("/articles").await;
    afterword.supabase().clear_requests();
    for _ in 0..300 {
        assert_eq!(
            afterword
                .webhook(json!({"type": "UPDATE", "record": {"id": 7}}).to_string())
                .await
                .status,
            202
        );
    }
    afterword.wait_until_drained().await.unwrap();
    // Two refreshes a second of two keys, and far fewer than one for each webhook, however slow this machine is.
    let requests = afterword.supabase().requests().len();
    assert!((2..150).contains(&requests), "{requests} requests");
}

#[tokio::test]
async fn two_readers_and_a_webhook_racing_for_one_row_end_with_the_newer_row() {
    let afterword = Setup::default().start().await;
    for version in 1..=20 {
        let title = format!("Version {version}");
        tokio::join!(
            afterword.get("/articles/7"),
            afterword.change(Method::PATCH, "?id=eq.7", json!({ "title": title })),
            afterword.get("/articles/7"),
        );
        assert_eq!(
            afterword.wait_for_hit("/articles/7").await.json()["title"],
            title
        );
    }
}

#[tokio::test]
async fn of_two_workers_one_drains() {
    let mut afterword = Setup::default().start().await;
    afterword.start_worker().await.unwrap();
    afterword.wait_until_drained().await.unwrap();
    afterword.supabase().clear_requests();
    for version in 1..=10 {
        let title = format!("Version {version}");
        afterword
            .change(Method::PATCH, "?id=eq.8", json!({ "title": title }))
            .await;
        afterword.wait_until_drained().await.unwrap();
        assert_eq!(
            afterword.wait_for_hit("/articles/8").await.json()["title"],
            title
        );
    }
    let reads = afterword
        .supabase()
        .requests()
        .iter()
        .filter(|request| request.method == "GET")
        .count();
    assert_eq!(reads, 20, "the item and the list, once for each change");
}
