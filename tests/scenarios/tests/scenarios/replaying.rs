//! The webhooks that a real Supabase trigger sent, in the order in which they arrived: not the order of the changes.

use afterword_scenarios::Setup;
use reqwest::Method;
use serde_json::{Value, json};

const RECORDED: &str = include_str!("../../../data/pg_net-webhooks.jsonl");

fn recorded() -> impl Iterator<Item = Value> {
    RECORDED
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is a webhook"))
}

/// The table at the end: the forty rows of the bulk insert, one of them at the last of its twelve updates.
fn end_state() -> Vec<Value> {
    let bodies: Vec<Value> = recorded()
        .filter(|webhook| webhook["path"] == "/revalidate")
        .map(|webhook| serde_json::from_str(webhook["body"].as_str().unwrap()).unwrap())
        .collect();
    let inserted = bodies.iter().filter(|body| {
        body["type"] == "INSERT"
            && body["record"]["slug"]
                .as_str()
                .unwrap()
                .starts_with("bulk-")
    });
    let last = bodies
        .iter()
        .find(|body| body["record"]["title"] == "v12")
        .expect("the last update was recorded");
    inserted
        .map(|body| {
            if body["record"]["id"] == last["record"]["id"] {
                &last["record"]
            } else {
                &body["record"]
            }
        })
        .cloned()
        .collect()
}

#[tokio::test]
async fn the_recorded_webhooks_in_their_order_leave_the_cache_equal_to_the_database() {
    let afterword = Setup::default().no_articles().start().await;
    let rows = end_state();
    assert_eq!(rows.len(), 40);
    afterword
        .supabase()
        .replace_rows("articles", &rows)
        .unwrap();
    let mut replayed = 0;
    for webhook in recorded().filter(|webhook| webhook["path"] == "/revalidate") {
        // As it was sent, but for this application's own secret.
        let answer = afterword
            .send(
                Method::POST,
                "/revalidate",
                &[
                    (
                        "authorization",
                        &format!("Bearer {}", afterword_scenarios::SECRET),
                    ),
                    (
                        "content-type",
                        webhook["headers"]["content-type"].as_str().unwrap(),
                    ),
                    (
                        "user-agent",
                        webhook["headers"]["user-agent"].as_str().unwrap(),
                    ),
                ],
                webhook["body"].as_str().unwrap().to_owned(),
            )
            .await;
        assert_eq!(answer.status, 202, "{webhook}");
        replayed += 1;
    }
    assert_eq!(replayed, 57);
    afterword.wait_until_drained().await.unwrap();
    let origin = afterword.origin("?order=id.asc").await;
    afterword.supabase().clear_requests();
    assert_eq!(afterword.get("/articles").await.json(), origin);
    for row in origin.as_array().unwrap() {
        assert_eq!(
            &afterword
                .get(&format!("/articles/{}", row["id"]))
                .await
                .json(),
            row
        );
    }
    assert_eq!(
        afterword.supabase().requests(),
        [],
        "all of it came from the store"
    );
    assert!(
        origin
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["title"] == "v12")
    );
    // The first article was deleted in the end, whatever order its webhooks came in.
    assert_eq!(afterword.get("/articles/1").await.status, 404);
    assert_eq!(json!(afterword.queue().await.unwrap()), json!([]));
}
