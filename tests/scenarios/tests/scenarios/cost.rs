//! What requests and changes cost, counted: WebAssembly instructions, and requests to the origin. No
//! noisy machine blurs these numbers. `cargo xtask bench` measures what takes time.
//!
//! `concurrent_misses.rs` counts what a crowd that reads a missing key costs the origin.

use std::collections::BTreeSet;

use afterword_scenarios::{
    Afterword, Setup, host_measures, instances_are_reused, redis_wakes_workers,
};
use futures_util::stream::{StreamExt, iter};
use serde_json::json;

/// The limits are what was measured and a tenth. A change that makes a path faster should lower its
/// limit.
const HIT_FUEL: u64 = 28_000;
const NOT_MODIFIED_FUEL: u64 = 23_000;
const ACKNOWLEDGEMENT_FUEL: u64 = 68_500;

/// Asserts that a request burns no more fuel than this, and not so little that the limit is useless.
fn assert_fuel(what: &str, fuel: u64, limit: u64) {
    eprintln!("{what}: {fuel} fuel, {limit} at most");
    assert!(fuel <= limit, "{what} burns {fuel} fuel, more than {limit}");
    assert!(
        fuel > limit / 2,
        "{what} burns {fuel} fuel: lower its limit, which is {limit}"
    );
}

#[tokio::test]
async fn a_hit_and_a_304_burn_little_fuel() {
    if !instances_are_reused() {
        return;
    }
    if !host_measures() {
        return;
    }
    let afterword = Setup::default().measure().start().await;
    let hit = afterword.wait_for_hit("/articles/7").await;
    let fuel = afterword.fuel_of("articles", async || {
        assert_eq!(afterword.get("/articles/7").await.body, hit.body);
    });
    assert_fuel("a hit", fuel.await, HIT_FUEL);

    let etag = [("if-none-match", hit.header("etag"))];
    let fuel = afterword.fuel_of("articles", async || {
        let response = afterword.get_with("/articles/7", &etag).await;
        assert_eq!(response.status, 304);
    });
    assert_fuel("a 304", fuel.await, NOT_MODIFIED_FUEL);
}

#[tokio::test]
async fn an_acknowledgement_burns_little_fuel() {
    if !instances_are_reused() {
        return;
    }
    if !host_measures() {
        return;
    }
    let afterword = Setup::default().no_worker().measure().start().await;
    let fuel = afterword.fuel_of("revalidate", async || {
        afterword.invalidate(7).await;
    });
    assert_fuel("an acknowledgement", fuel.await, ACKNOWLEDGEMENT_FUEL);
}

/// The length of a list, and the memory that its read and its refresh may take. Longer lists take
/// hardly more: a few chunks, a page of a thousand rows, and the directory.
const LIST: usize = 16 << 20;
const MEMORY: u64 = 24 << 20;

#[tokio::test]
async fn the_memory_of_a_read_and_of_a_refresh_does_not_grow_with_the_list() {
    if !host_measures() {
        return;
    }
    let afterword = Setup::default().no_articles().no_webhooks().measure();
    let afterword = afterword.start().await;
    let body = "Sixty-four characters, of which a thousand bytes are made here. ".repeat(22);
    let rows = (1..=11_000).map(|id| {
        json!({"id": id, "slug": format!("s-{id}"), "title": "T", "body": body, "published": true})
    });
    afterword.replace_articles(&rows.collect::<Vec<_>>());
    afterword.invalidate_list().await;
    afterword.wait_until_drained().await.unwrap();
    let read = afterword.costs_of("articles", 1, async || {
        let list = afterword.get("/articles").await;
        assert!(list.cache_status().contains("hit"), "{list:?}");
        assert!(list.bytes.len() > LIST, "{}", list.bytes.len());
    });
    let read = read.await.into_iter().map(|cost| cost.memory).max();
    let refresh = afterword
        .costs("refresh")
        .into_iter()
        .map(|cost| cost.memory)
        .max();
    eprintln!("bytes of memory: {read:?} for a read, {refresh:?} for a refresh");
    assert!(read < Some(MEMORY) && read.is_some(), "{read:?}");
    // An instance of `refresh-http` takes further calls, and does not end.
    assert!(refresh < Some(MEMORY), "{refresh:?}");
    assert_eq!(refresh.is_some(), redis_wakes_workers());
}

/// What the refresh of a changed row may cost, however long the list is: its item and its chunk.
const ROW_REQUESTS: usize = 2;
const ROW_ROWS: u64 = 502;
const ROW_BYTES: u64 = 300_000;

#[tokio::test]
async fn the_refresh_of_a_row_costs_two_requests_and_its_chunk_however_long_the_list_is() {
    for rows in [2_000_u32, 20_000] {
        let setup = Setup::default().no_articles().no_webhooks().shared_store();
        let afterword = setup.start().await;
        afterword.insert_articles(rows as usize);
        afterword.invalidate_list().await;
        let id = rows / 2;
        afterword.get_article(id).await;
        afterword.wait_until_drained().await.unwrap();
        afterword.supabase().clear_requests();
        let before = afterword.bytes_to_the_store().await;
        afterword.execute(&format!(
            "UPDATE articles SET title = 'New' WHERE id = {id}"
        ));
        afterword.invalidate(id).await;
        afterword.wait_until_drained().await.unwrap();
        let bytes = afterword.bytes_to_the_store().await - before;
        let requests = afterword.supabase().requests();
        let sent: u64 = requests.iter().map(|request| request.rows).sum();
        eprintln!(
            "{rows} rows: {} requests, {sent} rows, {bytes} bytes",
            requests.len()
        );
        assert!(requests.len() <= ROW_REQUESTS, "{requests:?}");
        assert!(
            sent <= ROW_ROWS && bytes <= ROW_BYTES,
            "{sent} rows, {bytes} bytes"
        );
        afterword.assert_article_hit_equals_origin(id).await;
    }
}

/// The webhooks of a burst, and the rows that they are about.
const WEBHOOKS: u32 = 1_000;
const ROWS: u32 = 100;
/// The requests that the burst may cost.
const MAX_REQUESTS: usize = 200;

/// The webhooks that are under way at the same time.
const CONCURRENT_WEBHOOKS: usize = 16;

/// The webhooks about each row in turn.
async fn send_webhooks(afterword: &Afterword, count: u32) {
    let sent = iter(0..count).map(async |number| afterword.invalidate(number % ROWS + 1).await);
    sent.buffer_unordered(CONCURRENT_WEBHOOKS)
        .for_each(async |_| {})
        .await;
}

#[tokio::test]
async fn a_burst_of_webhooks_costs_a_few_requests_and_ends_fresh() {
    let afterword = Setup::default().no_articles().no_webhooks().start().await;
    afterword.insert_articles(ROWS as usize);
    afterword.invalidate_list().await;
    for id in 1..=ROWS {
        afterword.get_article(id).await;
    }
    afterword.wait_until_drained().await.unwrap();

    afterword.supabase().clear_requests();
    send_webhooks(&afterword, WEBHOOKS - ROWS).await;
    afterword.execute("UPDATE articles SET title = 'Final'");
    send_webhooks(&afterword, ROWS).await;
    afterword.wait_until_drained().await.unwrap();
    let requests = afterword.count_origin_requests();
    eprintln!("{requests} requests");
    assert!(requests <= MAX_REQUESTS, "{requests} requests");

    afterword.supabase().clear_requests();
    for id in 1..=ROWS {
        let article = afterword.get_article(id).await;
        assert_eq!(article.json()["title"], "Final", "{id}");
    }
    let list = afterword.get("/articles").await.rows();
    let titles: BTreeSet<_> = list.iter().map(|row| row["title"].to_string()).collect();
    assert_eq!(titles, BTreeSet::from([json!("Final").to_string()]));
    afterword.assert_no_origin_request();
}
