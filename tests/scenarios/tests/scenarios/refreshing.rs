//! Refreshes: from a change in the database to a fresh read.

use afterword_scenarios::Setup;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn an_inserted_row_is_stored_before_its_first_read() {
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
    let list = afterword.get("/articles").await.json();
    let mut rows = list.as_array().unwrap().iter();
    assert!(rows.any(|row| row["id"] == 100));
    let requests = afterword.supabase().requests();
    assert_eq!(requests, [], "both came from the store");
    assert!(afterword.log().contains("updated cache"));
}

#[tokio::test]
async fn an_updated_row_is_read_from_the_store() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.update_title(7, "Changed").await;
    afterword.assert_hit_has_title(7, "Changed").await;
    assert_eq!(
        afterword.wait_for_hit("/articles").await.json(),
        afterword.origin_list().await
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
async fn a_deleted_row_is_removed_from_the_store() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.wait_for_hit("/articles").await;
    afterword
        .change(Method::DELETE, "?id=eq.7", json!(null))
        .await;
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(afterword.get("/articles/7").await.status, 404);
    let list = afterword.wait_for_hit("/articles").await.json();
    let mut rows = list.as_array().unwrap().iter();
    assert!(rows.all(|row| row["id"] != 7));
}

#[tokio::test]
async fn a_webhook_of_type_skip_refreshes_only_the_list() {
    let afterword = Setup::default().no_webhooks().start().await;
    let item = afterword.wait_for_hit("/articles/7").await;
    afterword.wait_for_hit("/articles").await;
    afterword.update_title(7, "Changed").await;
    let skip = json!({
        "type": "skip", "table": "articles", "schema": "public",
        "record": {"id": 7}, "old_record": null,
    });
    assert_eq!(afterword.webhook(skip.to_string()).await.status, 202);
    afterword.wait_until_drained().await.unwrap();
    assert_eq!(
        afterword.wait_for_hit("/articles").await.json(),
        afterword.origin_list().await
    );
    assert_eq!(afterword.wait_for_hit("/articles/7").await.body, item.body);
}

#[tokio::test]
async fn a_changed_id_moves_the_entry() {
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
async fn a_webhook_about_a_missing_row_stores_nothing() {
    let afterword = Setup::default().start().await;
    for id in [
        json!(999_999),
        json!("no-such-article"),
        json!("007"),
        json!("null"),
    ] {
        let body = json!({
            "type": "INSERT", "table": "articles", "schema": "public",
            "record": {"id": id}, "old_record": null,
        });
        assert_eq!(afterword.webhook(body.to_string()).await.status, 202);
    }
    // They share a batch with an existing row, which an invalid id does not delay.
    afterword.invalidate(7).await;
    afterword.wait_until_drained().await.unwrap();
    afterword.supabase().clear_requests();
    assert_eq!(afterword.get("/articles/7").await.status, 200);
    afterword.assert_no_origin_request();
    assert_eq!(afterword.get("/articles/999999").await.status, 404);
}

#[tokio::test]
async fn queued_items_are_fetched_in_batches_of_a_hundred() {
    let setup = Setup::default().no_articles().no_worker();
    let setup = setup.variable("max_writes_per_second", "0");
    let mut afterword = setup.start().await;
    afterword.insert_articles(250);
    for id in 1..=250 {
        afterword.invalidate(id).await;
    }
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
        let item = afterword.get_article(id).await;
        assert_eq!(item.json()["id"], id);
    }
    afterword.assert_no_origin_request();
}

#[tokio::test]
async fn a_burst_of_webhooks_about_one_article_costs_few_requests() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.wait_for_hit("/articles").await;
    afterword.supabase().clear_requests();
    for _ in 0..300 {
        afterword.invalidate(7).await;
    }
    afterword.wait_until_drained().await.unwrap();
    // Two refreshes a second of two keys: far fewer than one for each webhook, even on a slow
    // machine.
    let requests = afterword.count_origin_requests();
    assert!((2..150).contains(&requests), "{requests} requests");
}

#[tokio::test]
async fn two_readers_and_a_webhook_that_race_for_a_row_leave_the_newer_row() {
    let afterword = Setup::default().start().await;
    for version in 1..=20 {
        let title = format!("Version {version}");
        tokio::join!(
            afterword.get("/articles/7"),
            afterword.update_title(7, &title),
            afterword.get("/articles/7"),
        );
        assert_eq!(
            afterword.wait_for_hit("/articles/7").await.json()["title"],
            title
        );
    }
}

#[tokio::test]
async fn only_one_of_two_workers_drains() {
    let mut afterword = Setup::default().start().await;
    afterword.start_worker().await.unwrap();
    afterword.wait_until_drained().await.unwrap();
    afterword.supabase().clear_requests();
    for version in 1..=10 {
        let title = format!("Version {version}");
        afterword.update_title(8, &title).await;
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
