//! Who may post a webhook, and what a flood of them costs.

use std::time::{SystemTime, UNIX_EPOCH};

use afterword_scenarios::{Afterword, Response, SECRET, Setup};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Far longer than anything here takes on an idle machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

const RECORDED: &str = include_str!("../../../data/pg_net-webhooks.jsonl");

fn now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_1970.as_secs()).unwrap()
}

/// Posts a body as somebody would who signs it with `secret`, so many seconds from now.
async fn signed(afterword: &Afterword, secret: &str, body: &str, seconds: i64) -> Response {
    let (id, time) = ("msg_ba6f027c-8480-42d7-9cc6-32f5dc8dfae4", now() + seconds);
    let webhook = Webhook::new(secret).unwrap();
    let signature = webhook.sign(id, time, body.as_bytes()).unwrap();
    let fields = [
        ("webhook-id", id),
        ("webhook-timestamp", &time.to_string()),
        ("webhook-signature", &format!("v1,bm90IGl0 {signature}")),
    ];
    afterword
        .send(Method::POST, "/revalidate", &fields, body.to_owned())
        .await
}

fn commands(stats: &str) -> u64 {
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.expect("a count").trim().parse().unwrap()
}

#[tokio::test]
async fn the_recorded_signed_webhooks_are_let_in_signed_anew_and_not_as_they_are() {
    let afterword = Setup::default()
        .variable("webhook_secret", SIGNING)
        .no_worker()
        .start()
        .await;
    let mut replayed = 0;
    for recorded in RECORDED.lines() {
        let webhook: Value = serde_json::from_str(recorded).unwrap();
        if webhook["path"] != "/signed" {
            continue;
        }
        replayed += 1;
        let body = webhook["body"].as_str().unwrap();
        let fields = ["webhook-id", "webhook-timestamp", "webhook-signature"]
            .map(|name| (name, webhook["headers"][name].as_str().unwrap()));
        let late = afterword
            .send(Method::POST, "/revalidate", &fields, body.to_owned())
            .await;
        assert_eq!(late.status, 401);
        assert_eq!(
            late.json()["type"],
            "urn:problem-type:afterword:out-of-tolerance"
        );
        let answer = signed(&afterword, SIGNING, body, 0).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    assert_eq!(replayed, 15);
    let counter: u64 = afterword
        .redis_command(&["GET", "{afterword}:v1:counter"])
        .await
        .unwrap();
    assert_eq!(counter, replayed);
}

#[tokio::test]
async fn a_wrong_or_old_signature_marks_nothing_and_a_replayed_one_costs_a_refresh() {
    let afterword = Setup::default()
        .variable("webhook_secret", SIGNING)
        .no_worker()
        .start()
        .await;
    let body = r#"{"type": "UPDATE", "record": {"id": 7}}"#;
    for (secret, seconds) in [(OTHER, 0), (SIGNING, -310), (SIGNING, 310)] {
        let answer = signed(&afterword, secret, body, seconds).await;
        assert_eq!(answer.status, 401, "{secret} {seconds}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
    for seconds in [-290, 290] {
        assert_eq!(signed(&afterword, SIGNING, body, seconds).await.status, 202);
    }
    assert_eq!(
        afterword.queue().await.unwrap(),
        ["/articles", "/articles/7"]
    );
}

#[tokio::test]
async fn while_a_secret_is_replaced_both_are_let_in() {
    let afterword = Setup::default()
        .variable("webhook_secret", format!("{SECRET} {SIGNING}"))
        .no_worker()
        .start()
        .await;
    assert_eq!(afterword.webhook("{}").await.status, 202);
    assert_eq!(signed(&afterword, SIGNING, "{}", 0).await.status, 202);
    let both = format!("Bearer {SECRET} {SIGNING}");
    let fields = [("authorization", both.as_str())];
    let answer = afterword
        .send(Method::POST, "/revalidate", &fields, "{}")
        .await;
    assert_eq!(answer.status, 401);
    for secret in [SECRET, SIGNING] {
        assert!(!afterword.log().contains(secret), "a secret in the log");
    }
}

#[tokio::test]
async fn a_signing_secret_is_a_bearer_token_only_where_it_is_configured_as_one() {
    let bearer = format!("bearer:{SIGNING}");
    for (secret, as_token, as_signature) in [
        (SIGNING.to_owned(), 401, 202),
        (bearer.clone(), 202, 401),
        (format!("{bearer} {SIGNING}"), 202, 202),
    ] {
        let afterword = Setup::default()
            .variable("webhook_secret", secret)
            .no_worker()
            .start()
            .await;
        let authorization = format!("Bearer {SIGNING}");
        let fields = [("authorization", authorization.as_str())];
        let answer = afterword
            .send(Method::POST, "/revalidate", &fields, "{}")
            .await;
        assert_eq!(answer.status, as_token);
        if as_token == 401 {
            let line = afterword.http().line_with("bearer:whsec_", PATIENCE).await;
            line.expect("the log says how to make it one");
        }
        let answer = signed(&afterword, SIGNING, "{}", 0).await;
        assert_eq!(answer.status, as_signature);
        assert!(!afterword.log().contains(SIGNING), "a secret in the log");
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_refused_with_what_to_cut_off_and_not_shown() {
    for (secret, said) in [
        ("", "empty"),
        ("one two three-of-them", "more than two"),
        ("whsec_not/base64-at-all!", "base64"),
        ("v1,whsec_bm90L2Jhc2U2NA==", "`v1,`"),
        ("\"not/base64\"", "quotation marks"),
        ("Bearer three-of-them", "`Bearer`"),
    ] {
        let afterword = Setup::default()
            .variable("webhook_secret", secret)
            .no_worker()
            .start()
            .await;
        let answer = afterword.webhook("{}").await;
        assert_eq!(answer.status, 500, "{secret}");
        let line = afterword.http().line_with("webhook_secret", PATIENCE).await;
        let line = line.unwrap();
        assert!(line.contains(said), "{line}");
        for part in ["three-of-them", "not/base64", "bm90L2Jhc2U2NA"] {
            assert!(!afterword.log().contains(part) && !answer.body.contains(part));
        }
    }
}

#[tokio::test]
async fn every_kind_of_refusal_is_logged_without_what_was_sent() {
    let afterword = Setup::default()
        .variable("webhook_secret", format!("{SECRET} {SIGNING}"))
        .no_worker()
        .start()
        .await;
    let hidden = "what-only-the-sender-knows";
    let (right, wrong) = (format!("Bearer {SECRET}"), format!("Bearer {hidden}"));
    let right = [("authorization", right.as_str())];
    let wrong = [("authorization", wrong.as_str())];
    let send = async |fields: &[(&str, &str)], body: &str| {
        let sent = afterword.send(Method::POST, "/revalidate", fields, body.to_owned());
        sent.await.status
    };
    let deep = format!("{{\"{hidden}\":{}", "[".repeat(1_001));
    let json = format!("\"{hidden}\"");
    let large = "x".repeat(5 << 20);
    for _ in 0..3 {
        assert_eq!(send(&[], hidden).await, 401);
        assert_eq!(send(&wrong, hidden).await, 401);
        assert_eq!(signed(&afterword, OTHER, hidden, 0).await.status, 401);
        assert_eq!(signed(&afterword, SIGNING, hidden, 310).await.status, 401);
        assert_eq!(send(&right, hidden).await, 400);
        assert_eq!(send(&right, &json).await, 400);
        assert_eq!(send(&right, &deep).await, 400);
    }
    assert_eq!(signed(&afterword, SIGNING, &large, 0).await.status, 413);
    for (status, why) in [
        (401, "neither a bearer token nor a signature"),
        (401, "the bearer token is unknown"),
        (401, "the signature is wrong"),
        (401, "five minutes"),
        (400, "is not JSON"),
        (400, "is not a JSON object"),
        (400, "more than a thousand deep"),
        (413, "4 MiB"),
    ] {
        let line = afterword.http().line_with(why, PATIENCE).await.unwrap();
        assert!(
            line.contains(&format!("refused a webhook with {status}")),
            "{line}"
        );
    }
    let said = afterword.log();
    for secret in [hidden, SECRET, SIGNING] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn without_a_signing_secret_a_signed_webhook_is_refused_with_that_reason() {
    let afterword = Setup::default().no_worker().start().await;
    assert_eq!(signed(&afterword, SIGNING, "{}", 0).await.status, 401);
    let line = afterword.http().line_with("no signing secret", PATIENCE);
    assert!(line.await.unwrap().contains("whsec_"));
}

#[tokio::test]
async fn a_flood_of_invalid_webhooks_costs_no_redis_command() {
    let afterword = Setup::default().no_worker().start().await;
    let stats = async || -> u64 {
        let stats: String = afterword.redis_command(&["INFO", "stats"]).await.unwrap();
        commands(&stats)
    };
    assert_eq!(afterword.webhook("{}").await.status, 202);
    let (first, second) = (stats().await, stats().await);
    let asking = second - first;
    let long = "[".repeat(100_000);
    let senders = (0..20).map(async |sender| {
        for number in 0..50 {
            let (authorization, body, status) = match (sender + number) % 4 {
                0 => ("Bearer wrong".to_owned(), "{}", 401),
                1 => (format!("Bearer {SECRET}"), "no json", 400),
                2 => (format!("Bearer {SECRET}"), &*long, 400),
                _ => (format!("Bearer {SECRET}"), r#"{"table": "another"}"#, 202),
            };
            let fields = [("authorization", authorization.as_str())];
            let answer = afterword
                .send(Method::POST, "/revalidate", &fields, body.to_owned())
                .await;
            assert_eq!(answer.status, status);
        }
    });
    join_all(senders).await;
    assert_eq!(
        stats().await - second,
        asking,
        "but for the question itself"
    );
}

#[tokio::test]
async fn what_a_webhook_carries_is_in_no_log_store_or_redis() {
    let afterword = Setup::default().start().await;
    let hidden = "what-only-the-record-says";
    let body = json!({"type": "UPDATE", "table": "articles", "schema": "public",
        "record": {"id": 7, "notes": hidden}, "old_record": {"id": 7, "notes": hidden}, "extra": hidden});
    assert_eq!(afterword.webhook(body.to_string()).await.status, 202);
    for body in [hidden.to_owned(), format!("{{\"{hidden}")] {
        let answer = afterword.webhook(body).await;
        assert_eq!(answer.status, 400);
        assert!(!answer.body.contains(hidden));
    }
    afterword.wait_until_drained().await.unwrap();
    assert!(!afterword.log().contains(hidden), "in a log");
    for key in crate::stored::keys(&afterword) {
        let value = crate::stored::value(&afterword, &key);
        assert!(!String::from_utf8_lossy(&value).contains(hidden), "{key}");
    }
    let keys: Vec<String> = afterword.redis_command(&["KEYS", "*"]).await.unwrap();
    for key in keys {
        let dump: Vec<u8> = afterword.redis_command(&["DUMP", &key]).await.unwrap();
        assert!(!String::from_utf8_lossy(&dump).contains(hidden), "{key}");
    }
}
