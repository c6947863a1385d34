//! The log. Whether each line of each scenario is as docs/logs.md says, the harness checks.

use afterword_scenarios::{REFRESH_SECRET, SECRET, Setup, instances_are_reused, wait_until};
use afterword_supabase::{Fault, RestDial};
use anyhow::{Context, ensure};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::json;

const INSERT: &str =
    r#"{"type":"INSERT","table":"articles","schema":"public","record":{"id":7},"old_record":null}"#;

#[tokio::test]
async fn a_change_is_logged_from_its_webhook_to_its_entries() {
    let afterword = Setup::default().start().await;
    afterword.wait_for_hit("/articles/7").await;
    afterword.update_title(7, "Changed").await;
    afterword.assert_hit_has_title(7, "Changed").await;
    let acknowledged = wait_until("waiting for the acknowledgement", async || {
        let lines = afterword.logged_about("webhook-acknowledged");
        lines.first().cloned().context("there is none")
    })
    .await;
    assert_eq!(acknowledged["component"], "revalidate");
    assert_eq!(acknowledged["level"], "info");
    assert_eq!(acknowledged["keys"], json!(["/articles/7", "/articles#7"]));
    assert_eq!(acknowledged["key_count"], 2);
    let id = &acknowledged["id"];
    let message = format!("sending response: version {id} invalidated /articles/7, /articles#7");
    assert_eq!(acknowledged["message"], *message);

    let time = acknowledged["time"].as_str().unwrap();
    let item = wait_until("waiting for the entry", async || {
        let mut lines = afterword.logged_about("entry-written");
        lines.retain(|line| line["key"] == "/articles/7" && line["time"].as_str() >= Some(time));
        lines.pop().context("there is none")
    })
    .await;
    assert_eq!(item["message"], "updated cache: /articles/7");
    assert!(item["ms"].is_u64(), "{item:?}");
}

#[tokio::test]
async fn a_failure_is_logged_with_its_keys_and_its_error() {
    let afterword = Setup::default().start().await;
    afterword.set_origin_fault(RestDial {
        matching: "id=eq.7".into(),
        fault: Some(Fault::refusal(500, "57014")),
        ..RestDial::default()
    });
    afterword.invalidate(7).await;
    let failed = wait_until("waiting for the failure", async || {
        let lines = afterword.logged_about("key-backs-off");
        ensure!(!lines.is_empty(), "{}", afterword.log());
        Ok(lines[0].clone())
    })
    .await;
    assert_eq!(failed["level"], "warn");
    assert_eq!(failed["key"], "/articles/7");
    assert_eq!(
        failed["error"],
        "the origin answered 500 Internal Server Error 57014 The stand-in was told to fail"
    );
    assert_eq!(
        failed["message"],
        "could not refresh /articles/7, backing off"
    );
    afterword.heal_origin();
    afterword.wait_until_drained().await.unwrap();
}

#[tokio::test]
async fn the_end_of_an_outage_is_logged_once() {
    let afterword = Setup::default().start().await;
    afterword.fail_origin(503);
    for id in 1..=5 {
        afterword.invalidate(id).await;
    }
    afterword.wait_for_worker_log("the origin fails").await;
    assert!(afterword.logged_about("breaker-closed").is_empty());
    afterword.heal_origin();
    afterword.wait_until_drained().await.unwrap();
    // The host's output may arrive a moment later.
    afterword
        .wait_for_worker_log("the circuit breaker is closed")
        .await;
    let closed = afterword.logged_about("breaker-closed");
    assert_eq!(closed.len(), 1, "{closed:?}");
}

#[tokio::test]
async fn the_end_of_an_outage_that_left_one_task_is_logged() {
    let afterword = Setup::default().start().await;
    afterword.fail_origin(503);
    let only_the_list = r#"{"type":"skip","table":"articles","schema":"public"}"#;
    assert_eq!(afterword.webhook(only_the_list).await.status, 202);
    afterword.wait_for_worker_log("the origin fails").await;
    afterword.heal_origin();
    afterword.wait_until_drained().await.unwrap();
    afterword
        .wait_for_worker_log("the circuit breaker is closed")
        .await;
}

#[tokio::test]
async fn under_load_some_acknowledgements_are_logged_and_the_others_are_counted() {
    const WEBHOOKS: u64 = 300;
    if !instances_are_reused() {
        return;
    }
    let afterword = Setup::default().no_worker().start().await;
    let webhooks = (0..WEBHOOKS).map(async |_| {
        assert_eq!(afterword.webhook(INSERT).await.status, 202);
    });
    let webhooks = futures_util::stream::iter(webhooks).buffer_unordered(8);
    webhooks.collect::<()>().await;
    let lines = wait_until("waiting for lines that add up", async || {
        let lines = afterword.logged_about("webhook-acknowledged");
        let left_out = lines
            .iter()
            .filter_map(|line| line.get("suppressed")?.as_u64());
        let counted = lines.len() as u64 + left_out.sum::<u64>();
        ensure!(counted == WEBHOOKS, "{counted}: {lines:?}");
        Ok(lines)
    })
    .await;
    assert!((lines.len() as u64) < WEBHOOKS, "{}", lines.len());
}

#[tokio::test]
async fn text_is_for_people() {
    for (format, line) in [
        (
            "text",
            " info  revalidate   sending response: version 1 invalidated ",
        ),
        (
            "ansi",
            " \u{1b}[32minfo \u{1b}[0m \u{1b}[36mrevalidate  \u{1b}[0m sending response: version 1 \
             invalidated ",
        ),
    ] {
        let setup = Setup::default().variable("log_format", format);
        let afterword = setup.no_worker().start().await;
        assert_eq!(afterword.webhook(INSERT).await.status, 202);
        afterword.wait_for_http_log(line).await;
        assert!(afterword.logged().is_empty(), "{}", afterword.log());
    }
}

#[tokio::test]
async fn an_invalid_format_is_an_error_that_names_the_formats() {
    let setup = Setup::default().variable("log_format", "xml");
    let mut afterword = setup.no_worker().start().await;
    afterword.start_worker().await.unwrap();
    assert_eq!(afterword.get("/articles/7").await.status, 500);
    assert_eq!(afterword.webhook(INSERT).await.status, 500);
    let error = "the variable `log_format` cannot be used: it must be `json`, `text`, or `ansi`";
    afterword.wait_for_http_log(error).await;
    afterword.wait_for_worker_log(error).await;
    let components = || {
        let lines = afterword.logged_about("not-configured");
        let mut names: Vec<_> = lines.iter().map(|it| it["component"].to_string()).collect();
        names.sort();
        names.dedup();
        names
    };
    wait_until("waiting for the line of each component", async || {
        ensure!(components().len() == 3, "{:?}", components());
        Ok(())
    })
    .await;
}

/// The events of the scenario below. Each is a way for a secret or a row into the log.
const EVENTS: [&str; 12] = [
    "breaker-tripped",
    "entry-removed",
    "entry-written",
    "fetch-failed",
    "fetch-lock-failed",
    "key-backs-off",
    "outbox-emptied",
    "read-not-reported",
    "webhook-acknowledged",
    "webhook-ignored",
    "webhook-in-outbox",
    "webhook-refused",
];

#[tokio::test]
async fn no_secret_and_no_content_is_in_the_log_whatever_fails() {
    const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const USER: &str = "application:the-password-of-redis";
    const SENT: &str = "a-token-that-nobody-knows";
    const TITLE: &str = "A title of this scenario";
    let mut afterword = Setup::default()
        .variable("webhook_secret", format!("{SECRET} {SIGNING}"))
        .redis_acl(USER, &["~*", "&*", "+@all"])
        .start()
        .await;

    // Hits, a miss, a change, and a deletion.
    afterword.update_title(7, TITLE).await;
    afterword.assert_hit_has_title(7, TITLE).await;
    afterword.wait_for_hit("/articles").await;
    let row = json!({"id": 101, "slug": TITLE, "title": TITLE, "published": true,
        "editor_notes": TITLE});
    afterword.change(Method::POST, "", row).await;
    afterword.wait_until_drained().await.unwrap();
    afterword
        .change(Method::DELETE, "?id=eq.101", json!({}))
        .await;
    afterword.wait_until_drained().await.unwrap();

    // Webhooks that are refused, and one that is ignored.
    let body = json!({"type": "INSERT", "table": "articles", "schema": "public",
        "record": {"id": 7, "title": TITLE}, "old_record": null})
    .to_string();
    let (known, unknown) = (format!("Bearer {SECRET}"), format!("Bearer {SENT}"));
    let signing = format!("Bearer {SIGNING}");
    for (authorization, body, status) in [
        (&unknown, &*body, 401),
        (&signing, &body, 401),
        (&known, &body[..body.len() - 3], 400),
        (&known, &json!([TITLE]).to_string(), 400),
        (&known, &body.replace("\"articles\"", "\"others\""), 202),
    ] {
        let headers = [("authorization", authorization.as_str())];
        let response = afterword.webhook_with(&headers, body.to_owned()).await;
        assert_eq!(response.status, status, "{response:?}");
    }
    let signature = [
        ("webhook-id", SENT),
        ("webhook-timestamp", "1"),
        ("webhook-signature", SENT),
    ];
    let response = afterword.webhook_with(&signature, body.clone()).await;
    assert_eq!(response.status, 401);

    // Errors whose messages quote the row and the key.
    let key = afterword.supabase().anon_key().to_owned();
    let quoting = |status: u16, code: &str| Fault::Refusal {
        status,
        code: code.to_owned(),
        message: format!("{TITLE} is not a number, and {key} no key"),
    };
    for (id, fault) in [
        (11, quoting(500, "22012")),
        (12, quoting(500, "XX000")),
        (13, quoting(401, "PGRST301")),
        (14, quoting(401, "")),
        (15, quoting(503, "")),
        (16, Fault::Html),
        (17, Fault::Cut),
        (18, Fault::Drop),
    ] {
        afterword.fail_origin_with(fault);
        afterword.invalidate(7).await;
        let response = afterword.get_article(id).await;
        assert!(response.status >= 500, "{response:?}");
        let lines = || afterword.logged_about("fetch-failed");
        wait_until("waiting for the failure", async || {
            let path = format!("/articles/{id}");
            ensure!(lines().iter().any(|line| line["key"] == *path), "{id}");
            // The row's own fault, unlike most others: the worker must have seen it.
            let has_backed_off = !afterword.logged_about("key-backs-off").is_empty();
            ensure!(id != 11 || has_backed_off, "{}", afterword.log());
            Ok(())
        })
        .await;
    }
    wait_until("waiting for the worker's failures", async || {
        let tripped = afterword.logged_about("breaker-tripped");
        ensure!(!tripped.is_empty(), "{}", afterword.log());
        Ok(())
    })
    .await;
    afterword.heal_origin();

    // Redis is away.
    afterword.redis.kill().await;
    assert_eq!(afterword.webhook(body).await.status, 202);
    assert_eq!(afterword.get_article(21).await.status, 200);
    afterword.kill_workers().await;
    afterword.redis.restart().await.unwrap();
    afterword.start_worker().await.unwrap();
    wait_until("waiting for the events", async || {
        let missing = EVENTS.map(|event| (event, afterword.logged_about(event).len()));
        ensure!(missing.iter().all(|(_, lines)| *lines > 0), "{missing:?}");
        Ok(())
    })
    .await;

    let hidden = [
        SECRET,
        SIGNING.trim_start_matches("whsec_"),
        REFRESH_SECRET,
        USER.trim_start_matches("application:"),
        &key,
        SENT,
        TITLE,
    ];
    afterword.assert_not_in_log(&hidden);
    let redis = afterword.redis.process().output();
    for text in hidden {
        assert!(!redis.contains(text), "{text:?} is in the log of Redis");
    }
}
