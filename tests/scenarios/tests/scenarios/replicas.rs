//! Several replicas of the whole application that share a Redis and a store.

use std::time::Instant;

use afterword_scenarios::{SECRET, Setup, redis_wakes_workers};
use serde_json::{Value, json};

const DEBOUNCE_WINDOW_MS: u128 = 500;

#[tokio::test]
async fn every_wake_up_reaches_three_replicas() {
    if !redis_wakes_workers() {
        return;
    }
    let mut afterword = Setup::default().no_worker().shared_store().start().await;
    for _ in 0..3 {
        afterword.start_replica().await.unwrap();
    }
    let publish = ["PUBLISH", "{afterword}:refresh", "wake"];
    let receivers: u64 = afterword.redis_command(&publish).await.unwrap();
    assert_eq!(receivers, 3);
}

#[tokio::test]
async fn of_three_replicas_only_one_drains() {
    let mut afterword = Setup::default()
        .no_webhooks()
        .no_worker()
        .shared_store()
        .start()
        .await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(afterword.start_replica().await.unwrap());
    }
    afterword.invalidate_list().await;
    afterword.wait_until_reconciled().await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for version in 1..=15 {
        let title = format!("Version {version}");
        afterword.update_title(7, &title).await;
        afterword.supabase().clear_requests();
        let began = Instant::now();
        // Each replica gets the webhook and queues the key.
        let webhooks = replicas.iter().map(|url| {
            let request = client.post(format!("{url}/revalidate")).bearer_auth(SECRET);
            request
                .body(json!({"type": "UPDATE", "record": {"id": 7}}).to_string())
                .send()
        });
        for response in futures_util::future::join_all(webhooks).await {
            assert_eq!(response.unwrap().status(), 202);
        }
        let windows = began.elapsed().as_millis() / DEBOUNCE_WINDOW_MS;
        afterword.wait_until_drained().await.unwrap();
        for url in &replicas {
            let read = client.get(format!("{url}/articles/7")).send().await;
            let item: Value = read.unwrap().json().await.unwrap();
            assert_eq!(item["title"], title);
        }
        let requests = afterword.count_origin_requests();
        // Three invalidations cost one refresh of two requests, or two if the worker had already
        // begun. Three workers would send six requests. On a busy machine the webhooks take longer
        // than a debounce window.
        let most = 4 + 2 * windows as usize;
        assert!(
            (2..=most).contains(&requests),
            "the origin got {requests} requests in {windows} debounce windows"
        );
    }
}
