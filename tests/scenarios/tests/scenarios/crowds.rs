//! Crowds that ask for what is not stored: the origin is asked a few times at most.

use std::time::{Duration, Instant};

use afterword_scenarios::{Afterword, Response, Setup, host_has_dials};
use afterword_supabase::{Dials, Fault, RestDial};
use futures_util::future::join_all;
use futures_util::stream::{StreamExt, iter};
use serde_json::json;

/// The readers of a crowd.
const CROWD: usize = 1_000;

/// So many of them at once. Spin takes some more: each needs a stack of its own, and so does each instance, and Spin has a thousand.
const AT_ONCE: usize = 300;

/// As many requests may a thousand readers cost the origin, the worker's own among them.
const HANDFUL: usize = 8;

/// Holds the origin's requests against that. An instance that cannot reach Redis in time, as on a machine that is busy with everything
/// else, asks once by itself, and says so.
fn assert_handful(afterword: &Afterword) {
    let said = afterword.log();
    let alone = said.matches("could not acquire the fetch lock").count();
    let asked = afterword.supabase().requests();
    assert!(
        (1..=HANDFUL + alone).contains(&asked.len()),
        "{} requests, {alone} without Redis: {asked:?}",
        asked.len()
    );
}

fn dial(afterword: &Afterword, dial: RestDial) {
    let dials = Dials {
        rest: vec![dial],
        ..Dials::default()
    };
    afterword.supabase().set_dials(dials).unwrap();
}

/// An origin whose answers take so long.
fn slow(afterword: &Afterword, delay_ms: u64) {
    let every = RestDial {
        delay_ms,
        ..RestDial::default()
    };
    dial(afterword, every);
}

async fn crowd(afterword: &Afterword, paths: impl Iterator<Item = String>) -> Vec<Response> {
    let reads = iter(paths).map(async |path| afterword.get(&path).await);
    reads.buffered(AT_ONCE).collect().await
}

fn same(path: &str) -> impl Iterator<Item = String> {
    std::iter::repeat_n(path.to_owned(), CROWD)
}

#[tokio::test]
async fn a_thousand_readers_of_a_cold_key_cost_a_handful_of_requests() {
    let afterword = Setup::default().start().await;
    for (path, delay_ms) in [("/articles/7", 20), ("/articles/8", 300)] {
        slow(&afterword, delay_ms);
        afterword.supabase().clear_requests();
        let answers = crowd(&afterword, same(path)).await;
        for answer in &answers {
            assert_eq!((answer.status, &answer.body), (200, &answers[0].body));
        }
        assert_handful(&afterword);
        afterword.wait_for_hit(path).await;
    }
}

#[tokio::test]
async fn a_crowd_on_two_replicas_costs_a_handful_of_requests_too() {
    let mut afterword = Setup::default().shared_store().start().await;
    let replica = afterword.start_replica().await.unwrap();
    slow(&afterword, 200);
    afterword.supabase().clear_requests();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let at_the_replica = join_all((0..AT_ONCE).map(async |_| {
        let answer = client.get(format!("{replica}/articles/7")).send().await;
        answer.unwrap().status().as_u16()
    }));
    let here = crowd(&afterword, same("/articles/7").take(AT_ONCE));
    let (there, here) = futures_util::join!(at_the_replica, here);
    assert!(there.iter().all(|status| *status == 200));
    assert!(here.iter().all(|answer| answer.status == 200));
    assert_handful(&afterword);
}

#[tokio::test]
async fn without_redis_each_instance_asks_once_a_second() {
    if !host_has_dials() {
        return;
    }
    let afterword = Setup::default().no_worker().dials().start().await;
    afterword.redis.kill().await;
    slow(&afterword, 300);
    let before = afterword.http_calls("key-value.open").await;
    let began = Instant::now();
    let answers = crowd(&afterword, same("/articles/7")).await;
    let seconds = began.elapsed().as_secs() + 1;
    assert!(answers.iter().all(|answer| answer.status == 200));
    // An instance opens the store once, and takes sixteen requests at once. It shares a response
    // for a second: on a busy machine the crowd may be there for longer.
    let instances = afterword.http_calls("key-value.open").await - before + 1;
    let asked = afterword.supabase().requests().len() as u64;
    assert!(
        (1..=instances * seconds).contains(&asked),
        "{asked} requests of {instances} instances in {seconds} s"
    );
    assert!(asked < CROWD as u64, "{asked} requests");
    let collapsed = answers
        .iter()
        .filter(|answer| answer.header("cache-status").ends_with("; collapsed"));
    assert_eq!(collapsed.count() as u64, CROWD as u64 - asked);
}

#[tokio::test]
async fn while_the_store_fails_the_origin_gets_one_request_after_the_other() {
    /// So few that each instance has its turn before its patience ends.
    const AT_ONCE: usize = 40;
    const READERS: usize = 5 * AT_ONCE;
    const DELAY: Duration = Duration::from_millis(100);
    if !host_has_dials() {
        return;
    }
    for how in [json!({"fail": true}), json!({"delay_ms": 600_000})] {
        let afterword = Setup::default().dials().start().await;
        afterword.wait_for_hit("/articles/7").await;
        let fails = json!({ "key-value.get": how });
        afterword.set_http_faults(fails).await;
        slow(&afterword, u64::try_from(DELAY.as_millis()).unwrap());
        afterword.supabase().clear_requests();
        let began = Instant::now();
        let reads =
            iter(same("/articles/7").take(READERS)).map(async |path| afterword.get(&path).await);
        let answers: Vec<Response> = reads.buffered(AT_ONCE).collect().await;
        // As many requests as fit, and those of instances that could not reach Redis in time.
        let fit = began.elapsed().as_millis() / DELAY.as_millis() + 1;
        let said = afterword.log();
        let alone = said.matches("could not acquire the fetch lock").count();
        let most = usize::try_from(fit).unwrap() + alone;
        for answer in &answers {
            assert_eq!((answer.status, &answer.body), (200, &answers[0].body));
            let told = answer.header("cache-status");
            assert!(told.starts_with("afterword; fwd=bypass; "), "{told}");
        }
        let asked = afterword.supabase().requests().len();
        eprintln!("{how}: {asked} requests for {READERS} readers, {most} at most");
        assert!(asked <= most, "{asked} requests, not {most} at most");
        let marks = afterword.queue().await.unwrap();
        assert_eq!(marks, [""; 0], "what is stored needs no refresh");
    }
}

#[tokio::test]
async fn a_crowd_before_a_failing_origin_gets_a_very_old_entry_for_a_request_a_second() {
    let mut afterword = Setup::default().start().await;
    let held = afterword.wait_for_hit("/articles/7").await;
    afterword.kill_workers().await;
    crate::stored::make_old(&afterword, "/articles/7", Duration::from_secs(700_000));
    for fault in [Fault::Status(503), Fault::Drop] {
        let fails = RestDial {
            delay_ms: 300,
            fault: Some(fault),
            ..RestDial::default()
        };
        dial(&afterword, fails);
        afterword.supabase().clear_requests();
        for answer in crowd(&afterword, same("/articles/7")).await {
            assert_eq!((answer.status, &answer.body), (200, &held.body));
            let told = answer.header("cache-status");
            assert!(told.ends_with("; detail=stale-if-error"), "{told}");
        }
        assert_handful(&afterword);
        afterword.release_fetch_locks().await;
    }
}

#[tokio::test]
async fn a_crowd_that_asks_for_what_does_not_exist_costs_a_handful_and_fills_nothing() {
    let afterword = Setup::default().start().await;
    afterword.supabase().clear_requests();
    let keys = crate::stored::keys(&afterword);
    for _ in 0..3 {
        let answers = crowd(&afterword, same("/articles/4711")).await;
        assert!(answers.iter().all(|answer| answer.status == 404));
    }
    assert_handful(&afterword);
    // Ever other ids: each is asked for once, and leaves nothing in the store.
    let others = (0..CROWD).map(|id| format!("/articles/no-such-{id}"));
    let answers = crowd(&afterword, others).await;
    assert!(answers.iter().all(|answer| answer.status == 404));
    assert_eq!(crate::stored::keys(&afterword), keys);
    assert_eq!(afterword.queue().await.unwrap(), [""; 0]);
    let slots: u64 = afterword
        .redis_command(&["HLEN", "{afterword}:v1:fetch_locks"])
        .await
        .unwrap();
    assert!(slots <= 4_096, "{slots} slots");
    let lives: i64 = afterword
        .redis_command(&["PTTL", "{afterword}:v1:fetch_locks"])
        .await
        .unwrap();
    assert!((1..=60_000).contains(&lives), "{lives} ms");
}

#[tokio::test]
async fn an_insert_overrules_that_the_row_did_not_exist_a_moment_ago() {
    let afterword = Setup::default().start().await;
    for _ in 0..3 {
        assert_eq!(afterword.get("/articles/101").await.status, 404);
    }
    let row = json!({"id": 101, "slug": "new", "title": "New", "published": true});
    afterword.change(reqwest::Method::POST, "", row).await;
    afterword.wait_until_drained().await.unwrap();
    let answer = afterword.get("/articles/101").await;
    assert_eq!(
        (answer.status, &answer.json()["title"]),
        (200, &"New".into())
    );
}

#[tokio::test]
async fn a_crowd_before_a_failing_origin_costs_a_request_a_second() {
    let afterword = Setup::default().no_worker().start().await;
    let fails = RestDial {
        delay_ms: 300,
        fault: Some(Fault::Status(503)),
        ..RestDial::default()
    };
    dial(&afterword, fails);
    let answers = crowd(&afterword, same("/articles/7")).await;
    assert!(answers.iter().all(|answer| answer.status == 503));
    assert_handful(&afterword);
}

#[tokio::test]
async fn without_a_worker_one_reader_after_the_other_has_its_turn() {
    // Each gives its turn back when it has its answer, long before the turn's own end.
    let afterword = Setup::default().no_worker().start().await;
    for _ in 0..5 {
        let answer = afterword.get("/articles/7").await;
        assert_eq!(
            answer.header("cache-status"),
            "afterword; fwd=uri-miss; fwd-status=200"
        );
        let given_back = async || {
            let known: Vec<String> = afterword
                .redis_command(&["HVALS", "{afterword}:v1:fetch_locks"])
                .await?;
            let taken = known.iter().any(|known| known.ends_with(" 1 /articles/7"));
            anyhow::ensure!(!taken, "{known:?}");
            Ok(())
        };
        afterword_stack::eventually(Duration::from_secs(30), "giving it back", given_back)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_reader_who_dies_on_its_turn_holds_up_the_others_for_some_seconds_at_most() {
    let mut afterword = Setup::default().no_worker().start().await;
    let replica = afterword.start_replica().await.unwrap();
    slow(&afterword, 600_000);
    let dying = tokio::spawn(reqwest::get(format!("{replica}/articles/7")));
    afterword.wait_for_origin_request("id=eq.7").await;
    afterword.kill_workers().await;
    assert!(dying.await.unwrap().is_err(), "it has died");
    slow(&afterword, 0);
    afterword.supabase().clear_requests();
    let answer = afterword.get("/articles/7").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("cache-status"),
        "afterword; fwd=uri-miss; fwd-status=200"
    );
    assert_eq!(afterword.supabase().requests().len(), 1);
}
