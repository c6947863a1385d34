//! Webhook authentication: bearer tokens and signatures, and what refused webhooks cost.

use std::time::{SystemTime, UNIX_EPOCH};

use afterword_scenarios::{Afterword, Response, SECRET, Setup, reuses_instances};
use futures_util::future::join_all;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::store_file;

const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

const RECORDED: &str = include_str!("../../../data/pg_net-webhooks.jsonl");

async fn with_secret(secret: impl Into<String>) -> Afterword {
    let setup = Setup::default().variable("webhook_secret", secret);
    setup.no_worker().start().await
}

fn now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_1970.as_secs()).unwrap()
}

/// Sends a webhook with a signature by `secret`, and a timestamp that many seconds from now.
async fn signed(afterword: &Afterword, secret: &str, body: &str, seconds: i64) -> Response {
    let (id, time) = ("msg_ba6f027c-8480-42d7-9cc6-32f5dc8dfae4", now() + seconds);
    let webhook = Webhook::new(secret).unwrap();
    let signature = webhook.sign(id, time, body.as_bytes()).unwrap();
    let headers = [
        ("webhook-id", id),
        ("webhook-timestamp", &time.to_string()),
        ("webhook-signature", &format!("v1,bm90IGl0 {signature}")),
    ];
    afterword.webhook_with(&headers, body.to_owned()).await
}

/// Sends a webhook with this `Authorization`.
async fn authorized(afterword: &Afterword, authorization: &str, body: &str) -> Response {
    let headers = [("authorization", authorization)];
    afterword.webhook_with(&headers, body.to_owned()).await
}

#[tokio::test]
async fn only_the_configured_bearer_token_is_accepted() {
    let afterword = Setup::default().no_worker().start().await;
    let shorter = format!("Bearer {}", &SECRET[1..]);
    let longer = format!("Bearer {SECRET}x");
    let basic = format!("Basic {SECRET}");
    for authorization in ["", "Bearer", "Bearer ", SECRET, &shorter, &longer, &basic] {
        let response = authorized(&afterword, authorization, "{}").await;
        assert_eq!(
            (response.status, response.header("www-authenticate")),
            (401, "Bearer"),
            "{authorization}"
        );
    }
    let response = afterword.webhook_with(&[], "{}").await;
    assert_eq!(response.status, 401);
    assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
    // The name of the scheme is case-insensitive.
    let accepted = format!("bearer {SECRET}");
    assert_eq!(authorized(&afterword, &accepted, "{}").await.status, 202);
    afterword.assert_not_in_log(&[SECRET]);
}

#[tokio::test]
async fn the_recorded_signatures_have_expired_and_new_ones_of_the_same_webhooks_are_accepted() {
    let afterword = with_secret(SIGNING).await;
    let mut replayed = 0;
    for recorded in RECORDED.lines() {
        let webhook: Value = serde_json::from_str(recorded).unwrap();
        if webhook["path"] != "/signed" {
            continue;
        }
        replayed += 1;
        let body = webhook["body"].as_str().unwrap();
        let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"]
            .map(|name| (name, webhook["headers"][name].as_str().unwrap()));
        let expired = afterword.webhook_with(&headers, body.to_owned()).await;
        assert_eq!(expired.status, 401);
        assert_eq!(
            expired.json()["type"],
            "urn:problem-type:afterword:out-of-tolerance"
        );
        let response = signed(&afterword, SIGNING, body, 0).await;
        assert_eq!(response.status, 202, "{response:?}");
    }
    assert_eq!(replayed, 15);
    assert_eq!(afterword.counter().await, replayed);
}

#[tokio::test]
async fn a_wrong_or_expired_signature_queues_nothing_and_a_replayed_one_costs_a_refresh() {
    let afterword = with_secret(SIGNING).await;
    let body = r#"{"type": "UPDATE", "record": {"id": 7}}"#;
    for (secret, seconds) in [(OTHER, 0), (SIGNING, -310), (SIGNING, 310)] {
        let response = signed(&afterword, secret, body, seconds).await;
        assert_eq!(response.status, 401, "{secret} {seconds}");
        assert_eq!(response.header("www-authenticate"), "Bearer");
    }
    assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
    for seconds in [-290, 290] {
        assert_eq!(signed(&afterword, SIGNING, body, seconds).await.status, 202);
    }
    assert_eq!(
        afterword.queue().await.unwrap(),
        ["/articles#7", "/articles/7"]
    );
}

#[tokio::test]
async fn during_a_rotation_both_secrets_are_accepted() {
    let afterword = with_secret(format!("{SECRET} {SIGNING}")).await;
    afterword.invalidate_list().await;
    assert_eq!(signed(&afterword, SIGNING, "{}", 0).await.status, 202);
    let both = format!("Bearer {SECRET} {SIGNING}");
    assert_eq!(authorized(&afterword, &both, "{}").await.status, 401);
    afterword.assert_not_in_log(&[SECRET, SIGNING]);
}

#[tokio::test]
async fn a_signing_secret_is_a_bearer_token_only_if_it_is_configured_as_one() {
    let bearer = format!("bearer:{SIGNING}");
    for (secret, as_token, as_signature) in [
        (SIGNING.to_owned(), 401, 202),
        (bearer.clone(), 202, 401),
        (format!("{bearer} {SIGNING}"), 202, 202),
    ] {
        let afterword = with_secret(secret).await;
        let authorization = format!("Bearer {SIGNING}");
        let response = authorized(&afterword, &authorization, "{}").await;
        assert_eq!(response.status, as_token);
        if as_token == 401 {
            // The log says how to configure it as one.
            afterword.wait_for_http_log("bearer:whsec_").await;
        }
        let response = signed(&afterword, SIGNING, "{}", 0).await;
        assert_eq!(response.status, as_signature);
        afterword.assert_not_in_log(&[SIGNING]);
    }
}

#[tokio::test]
async fn an_invalid_secret_is_an_error_that_says_what_to_remove_without_showing_it() {
    for (secret, reason) in [
        ("", "empty"),
        ("one two three-of-them", "more than two"),
        ("whsec_not/base64-at-all!", "base64"),
        ("v1,whsec_bm90L2Jhc2U2NA==", "`v1,`"),
        ("\"not/base64\"", "quotation marks"),
        ("Bearer three-of-them", "`Bearer`"),
    ] {
        let afterword = with_secret(secret).await;
        let response = afterword.webhook("{}").await;
        assert_eq!(response.status, 500, "{secret}");
        let line = afterword.wait_for_http_log("webhook_secret").await;
        assert!(line.contains(reason), "{line}");
        let parts = ["three-of-them", "not/base64", "bm90L2Jhc2U2NA"];
        afterword.assert_not_in_log(&parts);
        for part in parts {
            assert!(!response.body.contains(part), "{part}: {response:?}");
        }
    }
}

#[tokio::test]
async fn every_kind_of_refusal_is_logged_without_content_of_the_webhook() {
    let afterword = with_secret(format!("{SECRET} {SIGNING}")).await;
    let hidden = "what-only-the-sender-knows";
    let right = format!("Bearer {SECRET}");
    let wrong = format!("Bearer {hidden}");
    let deep = format!("{{\"{hidden}\":{}", "[".repeat(1_001));
    let string = format!("\"{hidden}\"");
    let large = "x".repeat(5 << 20);
    for _ in 0..3 {
        let missing = afterword.webhook_with(&[], hidden).await;
        assert_eq!(missing.status, 401);
        assert_eq!(authorized(&afterword, &wrong, hidden).await.status, 401);
        assert_eq!(signed(&afterword, OTHER, hidden, 0).await.status, 401);
        assert_eq!(signed(&afterword, SIGNING, hidden, 310).await.status, 401);
        for body in [hidden, &string, &deep] {
            assert_eq!(authorized(&afterword, &right, body).await.status, 400);
        }
    }
    assert_eq!(signed(&afterword, SIGNING, &large, 0).await.status, 413);
    for (status, reason) in [
        (401, "neither a bearer token nor a signature"),
        (401, "the bearer token is unknown"),
        (401, "the signature is wrong"),
        (401, "five minutes"),
        (400, "is not JSON"),
        (400, "is not a JSON object"),
        (413, "4 MiB"),
    ] {
        let line = afterword.wait_for_http_log(reason).await;
        let refused = format!("refused a webhook with {status}");
        assert!(line.contains(&refused), "{line}");
    }
    afterword.assert_not_in_log(&[hidden, SECRET, SIGNING]);
}

#[tokio::test]
async fn without_a_signing_secret_a_signed_webhook_is_refused_for_that_reason() {
    let afterword = Setup::default().no_worker().start().await;
    assert_eq!(signed(&afterword, SIGNING, "{}", 0).await.status, 401);
    let line = afterword.wait_for_http_log("no signing secret").await;
    assert!(line.contains("whsec_"), "{line}");
}

#[tokio::test]
async fn a_flood_of_invalid_webhooks_costs_a_report_of_each_instance() {
    let afterword = Setup::default().no_worker().start().await;
    let scripts = async || afterword.redis_statistic("cmdstat_evalsha:calls").await;
    let before = scripts().await;
    afterword.invalidate_list().await;
    assert!(scripts().await > before, "Redis counts its commands");
    let before = scripts().await;
    let right = &*format!("Bearer {SECRET}");
    let deep = &*"[".repeat(100_000);
    let senders = (0..20).map(async |sender| {
        for number in 0..50 {
            // Without reused instances, each webhook about another table is reported.
            let kinds = if reuses_instances() { 4 } else { 3 };
            let (authorization, body, status) = match (sender + number) % kinds {
                0 => ("Bearer wrong", "{}", 401),
                1 => (right, "no json", 400),
                2 => (right, deep, 400),
                _ => (right, r#"{"table": "another"}"#, 202),
            };
            let response = authorized(&afterword, authorization, body).await;
            assert_eq!(response.status, status);
        }
    });
    join_all(senders).await;
    // An instance handles up to 128 requests, and reports what it has counted once a second.
    let reports = scripts().await - before;
    assert!(reports < 60, "{reports} scripts for 1,000 webhooks");
}

#[tokio::test]
async fn the_content_of_a_webhook_is_in_no_log_store_or_redis() {
    let afterword = Setup::default().start().await;
    let hidden = "what-only-the-record-says";
    let row = json!({"id": 7, "notes": hidden});
    let body = json!({"type": "UPDATE", "table": "articles", "schema": "public",
        "record": row, "old_record": row, "extra": hidden});
    assert_eq!(afterword.webhook(body.to_string()).await.status, 202);
    for body in [hidden.to_owned(), format!("{{\"{hidden}")] {
        let response = afterword.webhook(body).await;
        assert_eq!(response.status, 400);
        assert!(!response.body.contains(hidden));
    }
    afterword.wait_until_drained().await.unwrap();
    afterword.assert_not_in_log(&[hidden]);
    for key in store_file::keys(&afterword) {
        let value = store_file::value(&afterword, &key);
        assert!(!String::from_utf8_lossy(&value).contains(hidden), "{key}");
    }
    let keys: Vec<String> = afterword.redis_command(&["KEYS", "*"]).await.unwrap();
    for key in keys {
        let dump: Vec<u8> = afterword.redis_command(&["DUMP", &key]).await.unwrap();
        assert!(!String::from_utf8_lossy(&dump).contains(hidden), "{key}");
    }
}
