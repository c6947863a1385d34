//! The recorded webhooks of a real Supabase trigger, in the order of their arrival. The changes had
//! another order.

use afterword_scenarios::{SECRET, Setup};
use reqwest::Method;
use serde_json::{Value, json};

const RECORDED: &str = include_str!("../../../data/pg_net-webhooks.jsonl");

fn recorded() -> impl Iterator<Item = Value> {
    RECORDED
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is a webhook"))
}

/// The final rows of the table: the forty rows of the bulk insert, one of them after the last of
/// its twelve updates.
fn final_rows() -> Vec<Value> {
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
async fn the_cache_equals_the_database_after_the_recorded_webhooks() {
    let afterword = Setup::default().no_articles().start().await;
    let rows = final_rows();
    assert_eq!(rows.len(), 40);
    afterword.replace_articles(&rows);
    let mut replayed = 0;
    for webhook in recorded().filter(|webhook| webhook["path"] == "/revalidate") {
        // As recorded, except for the secret.
        let header = |name: &str| webhook["headers"][name].as_str().unwrap();
        let headers = [
            ("authorization", &*format!("Bearer {SECRET}")),
            ("content-type", header("content-type")),
            ("user-agent", header("user-agent")),
        ];
        let body = webhook["body"].as_str().unwrap().to_owned();
        let response = afterword
            .send(Method::POST, "/revalidate", &headers, body)
            .await;
        assert_eq!(response.status, 202, "{webhook}");
        replayed += 1;
    }
    assert_eq!(replayed, 57);
    afterword.wait_until_drained().await.unwrap();
    let origin = afterword.origin_list().await;
    afterword.supabase().clear_requests();
    assert_eq!(afterword.get("/articles").await.json(), origin);
    for row in origin.as_array().unwrap() {
        let item = afterword.get(&format!("/articles/{}", row["id"])).await;
        assert_eq!(&item.json(), row);
    }
    afterword.assert_no_origin_request();
    assert!(
        origin
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["title"] == "v12")
    );
    // The first article was deleted in the end, though its webhooks arrived in another order.
    assert_eq!(afterword.get("/articles/1").await.status, 404);
    assert_eq!(json!(afterword.queue().await.unwrap()), json!([]));
}
