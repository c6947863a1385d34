use std::future::pending;

use afterword_supabase::{Dials, Options, Outcome, Webhook, WebhookDials};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    client::{StandIn, send, with_articles},
    receiver::Receiver,
};

async fn stand_in(receiver: &Receiver) -> StandIn {
    let webhook = Some(Webhook::bearer(&receiver.url, "s3cret"));
    with_articles(
        0,
        Options {
            webhook,
            ..Options::default()
        },
    )
    .await
}

async fn insert(stand_in: &StandIn, rows: Value) {
    let (status, body) = send(stand_in.service(Method::POST, "articles").json(&rows)).await;
    assert_eq!(status, 201, "{body}");
}

fn articles(count: usize) -> Value {
    (1..=count)
        .map(|i| json!({"id": i, "slug": format!("s{i}"), "title": "T"}))
        .collect()
}

fn ids(stand_in: &StandIn) -> Vec<i64> {
    let id = |body: &str| {
        let body: Value = serde_json::from_str(body).unwrap();
        body["record"]["id"].as_i64().unwrap()
    };
    stand_in
        .supabase
        .webhooks()
        .iter()
        .map(|sent| id(&sent.body))
        .collect()
}

#[tokio::test]
async fn webhooks_are_like_the_recorded_ones() {
    let mut receiver = Receiver::start().await;
    let stand_in = stand_in(&receiver).await;
    let recording = include_str!("../../../../tests/data/pg_net-webhooks.jsonl");
    let recorded: Value = serde_json::from_str(recording.lines().next().unwrap()).unwrap();
    let recorded_body: Value = serde_json::from_str(recorded["body"].as_str().unwrap()).unwrap();
    insert(&stand_in, recorded_body["record"].clone()).await;

    let request = receiver.requests.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    // The recorded table has the same columns, except for `editor_notes`.
    let without_notes = body.replace(", \"editor_notes\": null}", "}");
    assert_eq!(without_notes, recorded["body"].as_str().unwrap());
    let mut lines = head.lines();
    assert_eq!(lines.next().unwrap(), "POST /revalidate HTTP/1.1");
    let mut headers: Vec<_> = lines.filter(|line| !line.starts_with("host: ")).collect();
    headers.sort_unstable();
    let length = format!("content-length: {}", body.len());
    assert_eq!(
        headers,
        [
            "accept: */*",
            "authorization: Bearer s3cret",
            &length,
            "content-type: application/json",
            "user-agent: pg_net/0.20.4",
        ]
    );

    let change = json!({"title": "Cool — «second» blog 🚀"});
    send(
        stand_in
            .service(Method::PATCH, "articles?id=eq.1")
            .json(&change),
    )
    .await;
    let update = receiver.body().await;
    assert!(update.starts_with(r#"{"type": "UPDATE", "table": "articles", "record": {"id": 1, "body": "Hello", "slug": "first-blog", "title": "Cool — «second» blog 🚀", "published": true, "created_at": "2026-11-23T03:57:00.969392+00:00", "updated_at": "#), "{update}");
    assert!(update.contains(r#", "schema": "public", "old_record": {"id": 1, "body": "Hello", "slug": "first-blog", "title": "First blog", "published": true, "#), "{update}");

    send(stand_in.service(Method::DELETE, "articles?id=eq.1")).await;
    let delete = receiver.body().await;
    assert!(delete.starts_with(r#"{"type": "DELETE", "table": "articles", "record": null, "schema": "public", "old_record": {"id": 1, "#), "{delete}");
}

#[tokio::test]
async fn a_webhook_has_the_hidden_column_and_drafts() {
    let mut receiver = Receiver::start().await;
    let stand_in = stand_in(&receiver).await;
    let row =
        json!({"slug": "s", "title": "T", "published": false, "editor_notes": "secret plans"});
    insert(&stand_in, row).await;
    let body = receiver.body().await;
    assert!(body.contains(r#""published": false"#), "{body}");
    assert!(
        body.contains(r#""editor_notes": "secret plans"}, "schema""#),
        "{body}"
    );
}

#[tokio::test]
async fn an_upsert_sends_an_update_and_a_changed_id_both_ids() {
    let mut receiver = Receiver::start().await;
    let stand_in = stand_in(&receiver).await;
    stand_in
        .supabase
        .replace_rows("articles", &[json!({"id": 1, "slug": "s", "title": "T"})])
        .unwrap();
    let upsert = stand_in
        .service(Method::POST, "articles")
        .header("prefer", "resolution=merge-duplicates")
        .json(&json!({"id": 1, "slug": "s", "title": "U"}));
    assert_eq!(send(upsert).await.0, 200);
    assert!(receiver.body().await.starts_with(r#"{"type": "UPDATE""#));
    send(
        stand_in
            .service(Method::PATCH, "articles?id=eq.1")
            .json(&json!({"id": 2})),
    )
    .await;
    let moved: Value = serde_json::from_str(&receiver.body().await).unwrap();
    assert_eq!(
        (&moved["record"]["id"], &moved["old_record"]["id"]),
        (&json!(2), &json!(1))
    );
}

#[tokio::test]
async fn seeds_other_tables_and_failed_requests_send_no_webhook() {
    let receiver = Receiver::start().await;
    let stand_in = stand_in(&receiver).await;
    stand_in
        .supabase
        .execute(
            "INSERT INTO articles (slug, title) VALUES ('a', 'A'); CREATE TABLE notes (id bigint)",
        )
        .unwrap();
    stand_in
        .supabase
        .replace_rows("articles", articles(3).as_array().unwrap())
        .unwrap();
    send(
        stand_in
            .service(Method::POST, "notes")
            .json(&json!({"id": 1})),
    )
    .await;
    send(
        stand_in
            .service(Method::POST, "articles")
            .json(&json!({"slug": "s1", "title": "A"})),
    )
    .await;
    stand_in.supabase.webhooks_settled().await;
    assert_eq!(stand_in.supabase.webhooks(), []);
}

#[tokio::test]
async fn each_webhook_has_an_outcome() {
    let receiver = Receiver::start().await;
    let stand_in = stand_in(&receiver).await;
    insert(&stand_in, articles(2)).await;
    stand_in.supabase.webhooks_settled().await;
    let outcomes: Vec<_> = stand_in
        .supabase
        .webhooks()
        .into_iter()
        .map(|sent| sent.outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::Status(202), Outcome::Status(202)]);

    stand_in.supabase.clear_webhooks();
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    stand_in
        .supabase
        .set_webhook(Some(&Webhook::bearer(format!("http://{closed}/"), "x")))
        .unwrap();
    send(stand_in.service(Method::DELETE, "articles?id=eq.1")).await;
    stand_in.supabase.webhooks_settled().await;
    let outcome = stand_in.supabase.webhooks().remove(0).outcome;
    assert!(
        matches!(&outcome, Outcome::Failed(why) if why.contains("refused")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_silent_receiver_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = Webhook::bearer(format!("http://{}/", listener.local_addr().unwrap()), "x");
    tokio::spawn(async move {
        let _held = listener.accept().await.unwrap();
        pending::<()>().await;
    });
    let stand_in = with_articles(
        0,
        Options {
            webhook: Some(webhook),
            ..Options::default()
        },
    )
    .await;
    insert(&stand_in, articles(1)).await;
    stand_in.supabase.webhooks_settled().await;
    assert_eq!(
        stand_in.supabase.webhooks()[0].outcome,
        Outcome::Failed("no response within 1 s".to_owned())
    );
}

#[tokio::test]
async fn dropping_duplicating_and_shuffling_depend_on_the_seed() {
    let receiver = Receiver::start().await;
    let set = |stand_in: &StandIn, webhooks: WebhookDials| {
        stand_in
            .supabase
            .set_dials(Dials {
                webhooks,
                ..Dials::default()
            })
            .unwrap();
    };
    let all = WebhookDials {
        drop: 1.0,
        ..WebhookDials::default()
    };
    let twice = WebhookDials {
        duplicate: 1.0,
        ..WebhookDials::default()
    };
    let some = WebhookDials {
        drop: 0.5,
        seed: 7,
        ..WebhookDials::default()
    };
    let shuffled = WebhookDials {
        reorder_ms: 200,
        seed: 7,
        ..WebhookDials::default()
    };

    let stand_in = stand_in(&receiver).await;
    set(&stand_in, all);
    insert(&stand_in, articles(3)).await;
    stand_in.supabase.webhooks_settled().await;
    assert!(
        stand_in
            .supabase
            .webhooks()
            .iter()
            .all(|sent| sent.outcome == Outcome::Dropped)
    );

    let mut sent = Vec::new();
    for dials in [twice, some.clone(), some, shuffled] {
        stand_in.supabase.execute("DELETE FROM articles").unwrap();
        stand_in.supabase.clear_webhooks();
        set(&stand_in, dials);
        insert(&stand_in, articles(20)).await;
        stand_in.supabase.webhooks_settled().await;
        let mut deliveries = stand_in.supabase.webhooks();
        deliveries.retain(|delivery| delivery.outcome != Outcome::Dropped);
        sent.push((deliveries.len(), ids(&stand_in)));
    }
    assert_eq!(sent[0].0, 40);
    assert!((1..20).contains(&sent[1].0) && sent[1].0 == sent[2].0);
    let mut order = sent[3].1.clone();
    // Webhooks overtake each other a little anyway. A shuffle reverses half of all pairs.
    let pairs = || (0..20).flat_map(|i| (0..i).map(move |j| (j, i)));
    let turned = pairs().filter(|(j, i)| order[*j] > order[*i]).count();
    assert!(turned > 50, "{order:?}");
    order.sort_unstable();
    assert_eq!(order, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_response_to_a_change_precedes_its_webhook() {
    let mut receiver = Receiver::start().await;
    let stand_in = stand_in(&receiver).await;
    let delayed = |delay_ms| {
        let webhooks = WebhookDials {
            delay_ms,
            ..WebhookDials::default()
        };
        stand_in
            .supabase
            .set_dials(Dials {
                webhooks,
                ..Dials::default()
            })
            .unwrap();
    };
    delayed(600_000);
    insert(&stand_in, json!({"id": 1, "slug": "a", "title": "A"})).await;
    delayed(5);
    insert(&stand_in, json!({"id": 2, "slug": "b", "title": "B"})).await;
    // The second webhook arrives, while the first waits for ten minutes.
    assert!(receiver.body().await.contains(r#""id": 2"#));
    assert!(receiver.requests.try_recv().is_err());
}

#[tokio::test]
async fn setting_an_invalid_webhook_is_an_error() {
    let receiver = Receiver::start().await;
    let stand_in = stand_in(&receiver).await;
    let error = |webhook: Webhook| {
        stand_in
            .supabase
            .set_webhook(Some(&webhook))
            .unwrap_err()
            .to_string()
    };
    assert!(error(Webhook::bearer("revalidate", "x")).contains("\"revalidate\" is invalid"));
    assert!(error(Webhook::bearer("https://example.com/", "x")).contains("http://"));
    let message = error(Webhook::bearer(&receiver.url, "hidden\n"));
    assert!(
        message.contains("Authorization") && !message.contains("hidden"),
        "{message}"
    );
}
