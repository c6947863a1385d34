//! Many readers of missing keys at once cost the origin a few requests.

use std::time::{Duration, Instant};

use afterword_scenarios::{
    Afterword, Response, Setup, failing_calls, host_has_dials, instances_are_reused, redis_key,
    wait_until,
};
use afterword_supabase::{Fault, RestDial};
use anyhow::ensure;
use futures_util::future::join_all;
use futures_util::stream::{StreamExt, iter};
use serde_json::json;

use crate::store_file;

/// The number of reads in a crowd.
const CROWD: usize = 1_000;

/// The concurrent reads of a crowd. Spin takes a few more: it has a thousand stacks, and each
/// request and each instance needs one.
const CONCURRENT_READS: usize = 300;

/// The maximum number of requests that a crowd costs the origin, including the worker's.
const MAX_REQUESTS: usize = 8;

const MISS: &str = "afterword; fwd=uri-miss; fwd-status=200";

/// The number of requests without a fetch lock. An instance that cannot reach Redis in time, as on
/// a busy machine, fetches once by itself and logs that.
fn fetches_without_lock(afterword: &Afterword) -> usize {
    afterword.count_in_log("could not acquire the fetch lock")
}

fn assert_few_requests(afterword: &Afterword) {
    let without_lock = fetches_without_lock(afterword);
    let requests = afterword.supabase().requests();
    assert!(
        (1..=MAX_REQUESTS + without_lock).contains(&requests.len()),
        "{} requests, {without_lock} without a lock: {requests:?}",
        requests.len()
    );
}

/// Makes every request to the origin fail after a delay.
fn fail_slowly(afterword: &Afterword, fault: Fault) {
    afterword.set_origin_fault(RestDial {
        delay_ms: 300,
        fault: Some(fault),
        ..RestDial::default()
    });
}

async fn read_all(
    afterword: &Afterword,
    concurrent: usize,
    paths: impl Iterator<Item = String>,
) -> Vec<Response> {
    let reads = iter(paths).map(async |path| afterword.get(&path).await);
    reads.buffered(concurrent).collect().await
}

/// Reads one path as a crowd.
async fn crowd(afterword: &Afterword, path: &str) -> Vec<Response> {
    let paths = std::iter::repeat_n(path.to_owned(), CROWD);
    read_all(afterword, CONCURRENT_READS, paths).await
}

fn assert_all_have_status(responses: &[Response], status: u16) {
    for response in responses {
        assert_eq!(response.status, status, "{response:?}");
    }
}

fn assert_all_are_equal(responses: &[Response]) {
    for response in responses {
        assert_eq!((response.status, &response.body), (200, &responses[0].body));
    }
}

#[tokio::test]
async fn a_thousand_readers_of_a_missing_key_cost_a_few_requests() {
    let afterword = Setup::default().start().await;
    for (path, delay_ms) in [("/articles/7", 20), ("/articles/8", 300)] {
        afterword.slow_origin(delay_ms);
        afterword.supabase().clear_requests();
        assert_all_are_equal(&crowd(&afterword, path).await);
        assert_few_requests(&afterword);
        afterword.wait_for_hit(path).await;
    }
}

#[tokio::test]
async fn a_crowd_on_two_replicas_costs_a_few_requests() {
    let mut afterword = Setup::default().shared_store().start().await;
    let replica = afterword.start_replica().await.unwrap();
    afterword.slow_origin(200);
    afterword.supabase().clear_requests();
    let on_the_replica = join_all((0..CONCURRENT_READS).map(async |_| {
        let url = format!("{replica}/articles/7");
        let response = afterword.client().get(url).send().await;
        response.unwrap().status().as_u16()
    }));
    let paths = std::iter::repeat_n("/articles/7".to_owned(), CONCURRENT_READS);
    let on_the_first = read_all(&afterword, CONCURRENT_READS, paths);
    let (on_the_replica, on_the_first) = futures_util::join!(on_the_replica, on_the_first);
    assert!(on_the_replica.iter().all(|status| *status == 200));
    assert_all_have_status(&on_the_first, 200);
    assert_few_requests(&afterword);
}

#[tokio::test]
async fn without_redis_each_instance_fetches_once_a_second() {
    if !instances_are_reused() {
        return;
    }
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().no_worker().dials().start().await;
    afterword.redis.kill().await;
    afterword.slow_origin(300);
    let before = afterword.http_calls("key-value.open").await;
    let began = Instant::now();
    let responses = crowd(&afterword, "/articles/7").await;
    let seconds = began.elapsed().as_secs() + 1;
    assert_all_have_status(&responses, 200);
    // An instance opens the store once, and takes sixteen requests at once. It shares a response
    // for a second: on a busy machine, the crowd may take longer.
    let instances = afterword.http_calls("key-value.open").await - before + 1;
    let requests = afterword.count_origin_requests() as u64;
    assert!(
        (1..=instances * seconds).contains(&requests),
        "{requests} requests of {instances} instances in {seconds} s"
    );
    assert!(requests < CROWD as u64, "{requests} requests");
    let collapsed = responses
        .iter()
        .filter(|response| response.cache_status().ends_with("; collapsed"));
    assert_eq!(collapsed.count() as u64, CROWD as u64 - requests);
}

#[tokio::test]
async fn while_the_store_fails_the_origin_gets_one_request_at_a_time() {
    /// Few enough for each instance to acquire the fetch lock before it stops waiting.
    const CONCURRENT_READS: usize = 40;
    const READS: usize = 5 * CONCURRENT_READS;
    const DELAY: Duration = Duration::from_millis(100);
    if !host_has_dials() {
        return;
    }
    for fault in failing_calls() {
        let afterword = Setup::default().dials().start().await;
        afterword.wait_for_hit("/articles/7").await;
        let faults = json!({ "key-value.get": fault });
        afterword.set_http_faults(faults).await;
        afterword.slow_origin(u64::try_from(DELAY.as_millis()).unwrap());
        afterword.supabase().clear_requests();
        let began = Instant::now();
        let paths = std::iter::repeat_n("/articles/7".to_owned(), READS);
        let responses = read_all(&afterword, CONCURRENT_READS, paths).await;
        // As many requests as fit one after another, and those without a lock.
        let fit = began.elapsed().as_millis() / DELAY.as_millis() + 1;
        let most = usize::try_from(fit).unwrap() + fetches_without_lock(&afterword);
        assert_all_are_equal(&responses);
        for response in &responses {
            let status = response.cache_status();
            assert!(status.starts_with("afterword; fwd=bypass; "), "{status}");
        }
        let requests = afterword.count_origin_requests();
        eprintln!("{fault}: {requests} requests for {READS} reads, {most} at most");
        assert!(requests <= most, "{requests} requests, more than {most}");
        let queue = afterword.queue().await.unwrap();
        assert_eq!(queue, [""; 0], "a stored entry needs no refresh");
    }
}

#[tokio::test]
async fn while_the_origin_fails_a_crowd_gets_a_very_old_entry_for_a_few_requests() {
    let mut afterword = Setup::default().start().await;
    let held = afterword.wait_for_hit("/articles/7").await;
    afterword.kill_workers().await;
    store_file::make_old(&afterword, "/articles/7", Duration::from_secs(700_000));
    for fault in [Fault::Status(503), Fault::Drop] {
        fail_slowly(&afterword, fault);
        afterword.supabase().clear_requests();
        for response in crowd(&afterword, "/articles/7").await {
            assert_eq!((response.status, &response.body), (200, &held.body));
            let status = response.cache_status();
            assert!(status.ends_with("; detail=stale-if-error"), "{status}");
        }
        assert_few_requests(&afterword);
        afterword.forget_failures(&["/articles/7"]).await;
    }
}

#[tokio::test]
async fn a_crowd_that_reads_unknown_ids_costs_a_few_requests_and_stores_nothing() {
    let afterword = Setup::default().start().await;
    afterword.supabase().clear_requests();
    let keys = store_file::keys(&afterword);
    for _ in 0..3 {
        let responses = crowd(&afterword, "/articles/4711").await;
        assert_all_have_status(&responses, 404);
    }
    assert_few_requests(&afterword);
    // Each of these ids is fetched once, and leaves nothing in the store.
    let paths = (0..CROWD).map(|id| format!("/articles/no-such-{id}"));
    let responses = read_all(&afterword, CONCURRENT_READS, paths).await;
    assert_all_have_status(&responses, 404);
    assert_eq!(store_file::keys(&afterword), keys);
    assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
    let locks = redis_key("fetch_locks");
    let slots: u64 = afterword.redis_command(&["HLEN", &locks]).await.unwrap();
    assert!(slots <= 4_096, "{slots} slots");
    let expiry: i64 = afterword.redis_command(&["PTTL", &locks]).await.unwrap();
    assert!((1..=60_000).contains(&expiry), "{expiry} ms");
}

#[tokio::test]
async fn an_insert_overrides_the_negative_cache() {
    let afterword = Setup::default().start().await;
    for _ in 0..3 {
        assert_eq!(afterword.get("/articles/101").await.status, 404);
    }
    let row = json!({"id": 101, "slug": "new", "title": "New", "published": true});
    afterword.change(reqwest::Method::POST, "", row).await;
    afterword.wait_until_drained().await.unwrap();
    let response = afterword.get("/articles/101").await;
    assert_eq!(
        (response.status, &response.json()["title"]),
        (200, &"New".into())
    );
}

#[tokio::test]
async fn a_crowd_before_a_failing_origin_costs_a_few_requests() {
    let afterword = Setup::default().no_worker().start().await;
    fail_slowly(&afterword, Fault::Status(503));
    let responses = crowd(&afterword, "/articles/7").await;
    assert_all_have_status(&responses, 503);
    assert_few_requests(&afterword);
}

#[tokio::test]
async fn a_reader_releases_the_fetch_lock_with_its_response() {
    // Long before the lock would expire.
    let afterword = Setup::default().no_worker().start().await;
    for _ in 0..5 {
        let response = afterword.get("/articles/7").await;
        assert_eq!(response.cache_status(), MISS);
        wait_until("waiting for the release", async || {
            let locks = ["HVALS", &redis_key("fetch_locks")];
            let locks: Vec<String> = afterword.redis_command(&locks).await?;
            let held = locks.iter().any(|lock| lock.ends_with(" 1 /articles/7"));
            ensure!(!held, "{locks:?}");
            Ok(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_reader_that_dies_with_the_fetch_lock_delays_others_for_a_few_seconds_at_most() {
    let mut afterword = Setup::default().no_worker().start().await;
    let replica = afterword.start_replica().await.unwrap();
    afterword.slow_origin(600_000);
    let dying = tokio::spawn(reqwest::get(format!("{replica}/articles/7")));
    afterword.wait_for_origin_request("id=eq.7").await;
    afterword.kill_workers().await;
    assert!(dying.await.unwrap().is_err(), "the replica was killed");
    afterword.heal_origin();
    afterword.supabase().clear_requests();
    let response = afterword.get("/articles/7").await;
    assert_eq!((response.status, response.cache_status()), (200, MISS));
    assert_eq!(afterword.count_origin_requests(), 1);
}
