//! Webhooks: what they invalidate, and how they are acknowledged.

use std::time::Instant;

use afterword_scenarios::{
    Afterword, Response, Setup, failing_calls, host_has_dials, instances_are_reused,
};
use futures_util::future::join_all;
use serde_json::{Value, json};

const INSERT: &str = r#"{"type": "INSERT", "table": "articles", "record": {"id": 7},
    "schema": "public", "old_record": null}"#;

const SEVENTH: [&str; 2] = ["/articles#7", "/articles/7"];

/// Sends a webhook, and asserts that it is acknowledged with this content.
async fn assert_acknowledged(
    afterword: &Afterword,
    webhook: impl Into<String>,
    content: Value,
) -> Response {
    let response = afterword.webhook(webhook.into()).await;
    assert_eq!((response.status, response.json()), (202, content));
    response
}

#[tokio::test]
async fn a_webhook_is_acknowledged_with_its_version() {
    let afterword = Setup::default().no_worker().start().await;
    for version in 1..=3 {
        let content = json!({"received": true, "id": version});
        let response = assert_acknowledged(&afterword, INSERT, content).await;
        assert_eq!(response.header("content-type"), "application/json");
    }
    assert_eq!(afterword.queue().await.unwrap(), SEVENTH);
    assert!(afterword.log().contains("sending response"));
}

#[tokio::test]
async fn the_acknowledgement_does_not_wait_for_a_slow_origin() {
    let afterword = Setup::default().start().await;
    afterword.slow_origin(2_000);
    assert_eq!(afterword.webhook(INSERT).await.status, 202);
    // Tasks are completed after the origin's response, so these were acknowledged before it.
    afterword.assert_queued([7]).await;
    afterword.wait_until_drained().await.unwrap();
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_400() {
    let afterword = Setup::default().no_worker().start().await;
    for body in ["", "hello", "[]", "{\"type\":", "{\"type\":\"INSERT\"}x"] {
        let response = afterword.webhook(body).await;
        assert_eq!(response.status, 400, "{body}: {response:?}");
    }
    assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_body_may_be_nested_as_deep_as_it_likes() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for levels in [1_001, 100_000] {
            let afterword = Setup::default().no_worker().start().await;
            let (open, close) = (open.repeat(levels), close.repeat(levels));
            let innermost = if close.starts_with('}') { "null" } else { "" };
            let body = format!(
                r#"{{"type":"UPDATE","deep":{open}{innermost}{close},"record":{{"id":7}}}}"#
            );
            let truncated = afterword.webhook(format!("{{\"deep\":{open}")).await;
            assert_eq!(truncated.status, 400, "{levels} levels: {truncated:?}");
            assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
            let content = json!({"received": true, "id": 1});
            assert_acknowledged(&afterword, body, content).await;
            let queue = afterword.queue().await.unwrap();
            assert_eq!(queue, SEVENTH, "{levels} levels");
        }
    }
}

/// A body over 4 MiB with these members before a long one, and those after it.
fn large_body(before: &str, after: &str) -> String {
    format!(r#"{{{before}"body":"{}"{after}}}"#, "x".repeat(5 << 20))
}

#[tokio::test]
async fn a_body_over_4_mib_invalidates_the_id_at_its_start() {
    let afterword = Setup::default().no_worker().start().await;
    let body = large_body(
        r#""type":"UPDATE","table":"articles","record":{"id":7,"#,
        r#"},"schema":"public","old_record":{"id":8}"#,
    );
    let content = json!({"received": true, "id": 1, "truncated": true});
    assert_acknowledged(&afterword, body, content).await;
    let queue = afterword.queue().await.unwrap();
    assert_eq!(
        queue,
        ["/articles", "/articles/7"],
        "its rest may have other ids"
    );
    let logged = "only the start of the body was read, it exceeds 4 MiB";
    afterword.wait_for_http_log(logged).await;
}

#[tokio::test]
async fn a_body_over_4_mib_whose_id_is_at_its_end_invalidates_the_list() {
    let afterword = Setup::default().no_worker().start().await;
    let body = large_body("", r#","type":"UPDATE","record":{"id":7}"#);
    let content = json!({"received": true, "id": 1, "truncated": true});
    assert_acknowledged(&afterword, body, content).await;
    assert_eq!(afterword.queue().await.unwrap(), ["/articles"]);
}

#[tokio::test]
async fn a_deeply_nested_body_over_4_mib_invalidates_the_list() {
    let afterword = Setup::default().no_worker().start().await;
    let body = "{\"a\":".repeat(1 << 20);
    let content = json!({"received": true, "id": 1, "truncated": true});
    assert_acknowledged(&afterword, body, content).await;
    assert_eq!(afterword.queue().await.unwrap(), ["/articles"]);
}

#[tokio::test]
async fn a_body_just_below_4_mib_is_read_to_its_end() {
    let afterword = Setup::default().no_worker().start().await;
    let text = "x".repeat((4 << 20) - 100);
    let body = format!(r#"{{"type":"INSERT","body":"{text}","record":{{"id":7}}}}"#);
    let content = json!({"received": true, "id": 1});
    assert_acknowledged(&afterword, body, content).await;
    assert_eq!(afterword.queue().await.unwrap(), SEVENTH);
}

#[tokio::test]
async fn a_webhook_of_another_table_or_schema_invalidates_nothing_and_its_table_is_logged() {
    let afterword = Setup::default().no_worker().start().await;
    let long = "x".repeat(10_000);
    for (table, schema, logged) in [
        ("authors", "public", "`public.authors`"),
        ("articles", "private", "`private.articles`"),
        ("a\nb\u{1b}[31m", "public", r"`public.a\nb\u{1b}[31m`"),
        (&*long, "public", &*format!("`public.{}…`", "x".repeat(63))),
    ] {
        let body = json!({"type": "INSERT", "table": table, "schema": schema,
            "record": {"id": 7}, "old_record": null});
        let content = json!({"received": true, "id": null});
        assert_acknowledged(&afterword, body.to_string(), content).await;
        let line = afterword.wait_for_http_log(logged).await;
        for variable in ["webhook_tables", "related_tables"] {
            assert!(line.contains(variable), "{line}");
        }
    }
    assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn webhooks_of_partitions_and_base_tables_count_as_webhooks_of_the_table() {
    for (schema, table) in [("public", "articles_2026"), ("cms", "posts")] {
        let afterword = Setup::default()
            .variable("webhook_tables", "articles_2026, cms.posts")
            .no_worker()
            .start()
            .await;
        let body = json!({"type": "UPDATE", "schema": schema, "table": table,
            "record": {"id": 8}, "old_record": {"id": 8}});
        assert_eq!(afterword.webhook(body.to_string()).await.status, 202);
        let queue = afterword.queue().await.unwrap();
        assert_eq!(queue, ["/articles#8", "/articles/8"], "{schema}.{table}");
    }
}

#[tokio::test]
async fn a_webhook_of_a_related_table_invalidates_the_list_and_the_related_items() {
    let afterword = Setup::default()
        .variable("related_tables", "authors")
        .no_worker()
        .start()
        .await;
    let body = json!({"type": "UPDATE", "schema": "public", "table": "authors",
        "record": {"id": 7}, "old_record": {"id": 7}});
    let content = json!({"received": true, "id": 1});
    assert_acknowledged(&afterword, body.to_string(), content).await;
    assert_eq!(afterword.queue().await.unwrap(), ["/articles", "related"]);
}

#[tokio::test]
async fn invalid_table_names_are_an_error_that_says_their_form() {
    for variable in ["webhook_tables", "related_tables"] {
        let afterword = Setup::default()
            .variable(variable, "articles_2026 \"posts\"")
            .no_worker()
            .start()
            .await;
        assert_eq!(afterword.webhook(INSERT).await.status, 500);
        let variable = format!("`{variable}`");
        let line = afterword.wait_for_http_log(&variable).await;
        assert!(line.contains("`schema.table`"), "{line}");
    }
}

#[tokio::test]
async fn ten_thousand_webhooks_about_ten_articles_queue_twenty_tasks() {
    let afterword = Setup::default().no_worker().start().await;
    let senders = (0..20).map(async |sender| {
        for number in 0..500 {
            afterword.invalidate((sender + number) % 10).await;
        }
    });
    join_all(senders).await;
    assert_eq!(afterword.queue().await.unwrap().len(), 20);
    let keys: Vec<String> = afterword.redis_command(&["KEYS", "*"]).await.unwrap();
    for key in keys {
        assert!(key.starts_with("{afterword}:"), "{key}");
    }
    assert_eq!(afterword.counter().await, 10_000, "a version for each");
}

#[tokio::test]
async fn while_redis_is_away_invalidations_wait_in_the_outbox() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.redis.kill().await;
    afterword.update_title(7, "Changed").await;
    for _ in 0..3 {
        let content = json!({"received": true, "id": null, "deferred": "outbox"});
        assert_acknowledged(&afterword, INSERT, content).await;
    }
    afterword.kill_workers().await;
    afterword.redis.restart().await.unwrap();
    afterword.start_worker().await.unwrap();
    let moved = "moved 3 webhooks from the outbox";
    afterword.wait_for_worker_log(moved).await;
    afterword.assert_hit_has_title(7, "Changed").await;
}

#[tokio::test]
async fn a_webhook_that_neither_redis_nor_the_store_accepts_is_503() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().no_worker().dials().start().await;
    assert_eq!(afterword.webhook(INSERT).await.status, 202);
    afterword.redis.kill().await;
    for fault in failing_calls() {
        let faults = json!({ "key-value.set": fault });
        afterword.set_http_faults(faults).await;
        let response = afterword.webhook(INSERT).await;
        assert_eq!(response.status, 503, "{response:?}");
        assert!(!response.body.contains("redis://"), "{response:?}");
    }
}

#[tokio::test]
async fn a_connection_that_redis_closed_is_replaced_within_the_request() {
    let mut afterword = Setup::default().no_worker().start().await;
    for _ in 0..3 {
        assert_eq!(afterword.webhook(INSERT).await.status, 202);
        afterword.redis.restart().await.unwrap();
    }
    assert_eq!(afterword.webhook(INSERT).await.status, 202);
}

#[tokio::test]
async fn an_acknowledgement_costs_one_command_on_a_connection_that_is_reused() {
    if !instances_are_reused() {
        return;
    }
    let afterword = Setup::default().no_worker().start().await;
    // The first one sends the script to the server.
    assert_eq!(afterword.webhook(INSERT).await.status, 202);
    let reset = ["CONFIG", "RESETSTAT"];
    afterword.redis_command::<()>(&reset).await.unwrap();
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(afterword.webhook(INSERT).await.status, 202);
    }
    // Each instance reports what it has counted once a second.
    let reports = 4 + began.elapsed().as_secs();
    assert!(reports < 50, "the machine is too slow to tell");
    let scripts = afterword.redis_statistic("cmdstat_evalsha:calls").await;
    assert!((100..=100 + reports).contains(&scripts), "{scripts}");
    // An instance takes up to 128 requests, so a few connections may be new. This one is, too.
    let connections = afterword
        .redis_statistic("total_connections_received")
        .await;
    assert!(
        (1..20).contains(&connections),
        "{connections} connections for 100 webhooks"
    );
}

#[tokio::test]
async fn a_webhook_for_a_statement_refreshes_the_items_of_its_ids() {
    let setup = Setup::default().no_webhooks().no_articles();
    let afterword = setup.start().await;
    afterword.insert_articles(1_000);
    for id in [1, 500, 1_000] {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    afterword.execute("UPDATE articles SET title = 'Changed'");
    let ids: Vec<u32> = (1..=1_000).collect();
    let body = json!({"type": "UPDATE", "table": "articles", "schema": "public", "ids": ids});
    assert_eq!(afterword.webhook(body.to_string()).await.status, 202);
    afterword.wait_until_drained().await.unwrap();
    for id in [1, 500, 1_000] {
        afterword.assert_hit_has_title(id, "Changed").await;
    }
    let line = "invalidated /articles/1, /articles/10, /articles/100 and 1997 more";
    assert!(afterword.log().contains(line), "{}", afterword.log());
}

#[tokio::test]
async fn a_webhook_for_a_truncation_or_for_very_many_rows_refreshes_every_stored_item() {
    // The list shows neither the rows nor their titles.
    let setup = Setup::default().no_webhooks();
    let afterword = setup
        .variable("list_query", "select=id&order=id.asc&limit=1")
        .start()
        .await;
    for id in [1, 7, 25] {
        afterword.wait_for_hit(&format!("/articles/{id}")).await;
    }
    afterword.execute("UPDATE articles SET title = 'Changed'");
    let ids: Vec<u32> = (1..=1_001).collect();
    let body = json!({"type": "UPDATE", "ids": ids});
    assert_eq!(afterword.webhook(body.to_string()).await.status, 202);
    afterword.wait_until_drained().await.unwrap();
    for id in [1, 7, 25] {
        afterword.assert_hit_has_title(id, "Changed").await;
    }

    afterword.execute("DELETE FROM articles");
    let body = json!({"type": "TRUNCATE", "table": "articles", "schema": "public"});
    assert_eq!(afterword.webhook(body.to_string()).await.status, 202);
    afterword.wait_until_drained().await.unwrap();
    for id in [1, 7, 25] {
        assert_eq!(afterword.get_article(id).await.status, 404);
    }
}
