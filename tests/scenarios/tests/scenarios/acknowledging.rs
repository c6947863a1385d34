//! Webhooks: what is let in, what it marks, and how it is acknowledged.

use afterword_scenarios::{SECRET, Setup, host_has_dials};
use afterword_supabase::{Dials, RestDial};
use reqwest::Method;
use serde_json::json;

/// Far longer than anything here takes on an idle machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

const INSERT: &str = r#"{"type": "INSERT", "table": "articles", "record": {"id": 7}, "schema": "public", "old_record": null}"#;

#[tokio::test]
async fn a_webhook_is_acknowledged_with_the_number_of_its_mark() {
    let afterword = Setup::default().no_worker().start().await;
    for number in 1..=3 {
        let answer = afterword.webhook(INSERT).await;
        assert_eq!(
            (answer.status, answer.json()),
            (202, json!({"received": true, "id": number}))
        );
        assert_eq!(answer.header("content-type"), "application/json");
    }
    assert_eq!(
        afterword.queue().await.unwrap(),
        ["/articles", "/articles/7"]
    );
    assert!(afterword.log().contains("sending response"));
}

#[tokio::test]
async fn the_acknowledgement_does_not_wait_for_an_origin_that_takes_two_seconds() {
    let afterword = Setup::default().start().await;
    let slow = RestDial {
        delay_ms: 2_000,
        ..RestDial::default()
    };
    afterword
        .supabase()
        .set_dials(Dials {
            rest: vec![slow],
            ..Dials::default()
        })
        .unwrap();
    assert_eq!(afterword.webhook(INSERT).await.status, 202);
    // Marks are cleared when the origin has answered: what is still marked was acknowledged before that.
    assert_eq!(
        afterword.queue().await.unwrap(),
        ["/articles", "/articles/7"]
    );
    afterword.wait_until_drained().await.unwrap();
}

#[tokio::test]
async fn only_the_right_bearer_token_is_let_in() {
    let afterword = Setup::default().no_worker().start().await;
    let almost = format!("Bearer {}", &SECRET[1..]);
    let longer = format!("Bearer {SECRET}x");
    let basic = format!("Basic {SECRET}");
    for authorization in ["", "Bearer", "Bearer ", SECRET, &almost, &longer, &basic] {
        let answer = afterword
            .send(
                Method::POST,
                "/revalidate",
                &[("authorization", authorization)],
                INSERT,
            )
            .await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, "Bearer"),
            "{authorization}"
        );
    }
    let answer = afterword
        .send(Method::POST, "/revalidate", &[], INSERT)
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
    let right = format!("bearer {SECRET}");
    let answer = afterword
        .send(
            Method::POST,
            "/revalidate",
            &[("authorization", &right)],
            INSERT,
        )
        .await;
    assert_eq!(
        answer.status, 202,
        "the scheme's name is written in any case"
    );
    assert!(!afterword.log().contains(SECRET));
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_400() {
    let afterword = Setup::default().no_worker().start().await;
    for body in ["", "hello", "[]", "{\"type\":", "{\"type\":\"INSERT\"}x"] {
        let answer = afterword.webhook(body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
}

/// A body over the limit, with these members before a long one, and those after it.
fn too_long(before: &str, after: &str) -> String {
    format!(r#"{{{before}"body":"{}"{after}}}"#, "x".repeat(5 << 20))
}

#[tokio::test]
async fn a_body_over_four_mebibytes_queues_the_id_that_stands_in_its_first_part() {
    let afterword = Setup::default().no_worker().start().await;
    let answer = afterword
        .webhook(too_long(
            r#""type":"UPDATE","table":"articles","record":{"id":7,"#,
            r#"},"schema":"public","old_record":{"id":8}"#,
        ))
        .await;
    assert_eq!(
        (answer.status, answer.json()),
        (202, json!({"received": true, "id": 1, "truncated": true}))
    );
    assert_eq!(
        afterword.queue().await.unwrap(),
        ["/articles", "/articles/7"]
    );
    afterword
        .http()
        .line_with("exceeds 4 MiB", PATIENCE)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_body_over_four_mebibytes_whose_id_comes_later_queues_the_list() {
    let afterword = Setup::default().no_worker().start().await;
    let answer = afterword
        .webhook(too_long("", r#","type":"UPDATE","record":{"id":7}"#))
        .await;
    assert_eq!(
        (answer.status, answer.json()),
        (202, json!({"received": true, "id": 1, "truncated": true}))
    );
    assert_eq!(afterword.queue().await.unwrap(), ["/articles"]);
}

#[tokio::test]
async fn a_body_just_below_four_mebibytes_is_read_to_its_end() {
    let afterword = Setup::default().no_worker().start().await;
    let text = "x".repeat((4 << 20) - 100);
    let body = format!(r#"{{"type":"INSERT","body":"{text}","record":{{"id":7}}}}"#);
    let answer = afterword.webhook(body).await;
    assert_eq!(
        (answer.status, answer.json()),
        (202, json!({"received": true, "id": 1}))
    );
    assert_eq!(
        afterword.queue().await.unwrap(),
        ["/articles", "/articles/7"]
    );
}

#[tokio::test]
async fn a_webhook_of_another_table_or_schema_queues_nothing_and_its_table_is_logged() {
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
        let answer = afterword.webhook(body.to_string()).await;
        assert_eq!(
            (answer.status, answer.json()),
            (202, json!({"received": true, "id": null}))
        );
        let line = afterword.http().line_with(logged, PATIENCE).await.unwrap();
        for variable in ["webhook_tables", "related_tables"] {
            assert!(line.contains(variable), "{line}");
        }
    }
    assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn webhooks_of_partitions_and_base_tables_count_as_the_tables_own() {
    for (schema, table) in [("public", "articles_2026"), ("cms", "posts")] {
        let afterword = Setup::default()
            .variable("webhook_tables", "articles_2026, cms.posts")
            .no_worker()
            .start()
            .await;
        let body = json!({"type": "UPDATE", "schema": schema, "table": table,
            "record": {"id": 8}, "old_record": {"id": 8}});
        assert_eq!(afterword.webhook(body.to_string()).await.status, 202);
        assert_eq!(
            afterword.queue().await.unwrap(),
            ["/articles", "/articles/8"],
            "{schema}.{table}"
        );
    }
}

#[tokio::test]
async fn a_webhook_of_a_related_table_queues_the_list_and_the_related_items() {
    let afterword = Setup::default()
        .variable("related_tables", "authors")
        .no_worker()
        .start()
        .await;
    let body = json!({"type": "UPDATE", "schema": "public", "table": "authors",
        "record": {"id": 7}, "old_record": {"id": 7}});
    let answer = afterword.webhook(body.to_string()).await;
    assert_eq!(
        (answer.status, answer.json()),
        (202, json!({"received": true, "id": 1}))
    );
    assert_eq!(afterword.queue().await.unwrap(), ["/articles", "related"]);
}

#[tokio::test]
async fn names_of_tables_that_cannot_be_used_are_refused_with_the_form_that_they_have() {
    for variable in ["webhook_tables", "related_tables"] {
        let afterword = Setup::default()
            .variable(variable, "articles_2026 \"posts\"")
            .no_worker()
            .start()
            .await;
        assert_eq!(afterword.webhook(INSERT).await.status, 500);
        let said = afterword
            .http()
            .line_with(&format!("`{variable}`"), PATIENCE)
            .await
            .unwrap();
        assert!(said.contains("`schema.table`"), "{said}");
    }
}

#[tokio::test]
async fn ten_thousand_webhooks_about_ten_articles_are_eleven_marks() {
    let afterword = Setup::default().no_worker().start().await;
    let senders = (0..20).map(|sender| {
        let afterword = &afterword;
        async move {
            for number in 0..500 {
                let body =
                    json!({"type": "UPDATE", "record": {"id": (sender + number) % 10}}).to_string();
                assert_eq!(afterword.webhook(body).await.status, 202);
            }
        }
    });
    futures_util::future::join_all(senders).await;
    assert_eq!(afterword.queue().await.unwrap().len(), 11);
    let keys: Vec<String> = afterword.redis_command(&["KEYS", "*"]).await.unwrap();
    assert!(
        keys.iter().all(|key| key.starts_with("{afterword}:")),
        "{keys:?}"
    );
    let counter: u64 = afterword
        .redis_command(&["GET", "{afterword}:v1:counter"])
        .await
        .unwrap();
    assert_eq!(counter, 10_000, "every webhook got a number of its own");
}

#[tokio::test]
async fn while_redis_is_away_marks_wait_in_the_outbox_and_are_moved_when_it_is_back() {
    let mut afterword = Setup::default().no_webhooks().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.redis.kill().await;
    afterword
        .change(Method::PATCH, "?id=eq.7", json!({"title": "Changed"}))
        .await;
    for _ in 0..3 {
        let answer = afterword.webhook(INSERT).await;
        assert_eq!(
            (answer.status, answer.json()),
            (
                202,
                json!({"received": true, "id": null, "deferred": "outbox"})
            )
        );
    }
    afterword.kill_workers().await;
    afterword.redis.restart().await.unwrap();
    afterword.start_worker().await.unwrap();
    afterword
        .worker()
        .line_with("moved 3 webhooks from the outbox", PATIENCE)
        .await
        .unwrap();
    assert_eq!(
        afterword.wait_for_hit("/articles/7").await.json()["title"],
        "Changed"
    );
}

#[tokio::test]
async fn a_webhook_that_neither_redis_nor_the_store_takes_is_503() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().no_worker().dials().start().await;
    assert_eq!(afterword.webhook(INSERT).await.status, 202);
    afterword.redis.kill().await;
    for how in [json!({"fail": true}), json!({"delay_ms": 600_000})] {
        afterword
            .set_http_faults(json!({ "key-value.set": how }))
            .await;
        let answer = afterword.webhook(INSERT).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(!answer.body.contains("redis://"), "{answer:?}");
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
async fn an_acknowledgement_costs_one_command_on_a_connection_that_is_kept() {
    let afterword = Setup::default().no_worker().start().await;
    // The first takes the script to a server that does not know it.
    assert_eq!(afterword.webhook(INSERT).await.status, 202);
    let _: String = afterword
        .redis_command(&["CONFIG", "RESETSTAT"])
        .await
        .unwrap();
    for _ in 0..100 {
        assert_eq!(afterword.webhook(INSERT).await.status, 202);
    }
    let stats: String = afterword.redis_command(&["INFO", "all"]).await.unwrap();
    let number = |name: &str| -> u64 {
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("{name} in {stats}"));
        line.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .unwrap()
    };
    assert_eq!(number("cmdstat_evalsha:calls="), 100);
    // An instance takes up to 128 requests: some connections may be new, and this reading is one.
    let connections = number("total_connections_received:");
    assert!(
        connections < 20,
        "{connections} connections for 100 webhooks"
    );
}
