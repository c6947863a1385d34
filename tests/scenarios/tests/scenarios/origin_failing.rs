//! An origin that fails for a while, in several ways. Readers get the stored entries, the origin
//! gets few requests, and after it recovers everything becomes fresh.
//!
//! A failure lasts 12 s, or a minute if `AFTERWORD_ROUNDS` is set.

use std::time::{Duration, Instant};

use afterword_scenarios::{Afterword, Response, Setup, redis_key, wait_until};
use afterword_supabase::{Fault, RestDial};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The paths that are read while the origin fails. The article 1 does not change.
const PATHS: [&str; 7] = [
    "/articles",
    "/articles/1",
    "/articles/2",
    "/articles/3",
    "/articles/4",
    "/articles/5",
    "/articles/6",
];

/// The articles that change: four are updated, 6 is deleted, 100 is inserted.
const CHANGED: [u32; 6] = [2, 3, 4, 5, 6, 100];

/// The maximum number of concurrent requests of a drain.
const CONCURRENT: usize = 8;

fn outage() -> Duration {
    let long = std::env::var_os("AFTERWORD_ROUNDS").is_some();
    Duration::from_secs(if long { 60 } else { 12 })
}

/// An application that stores [`PATHS`], and their content. The origin sends no webhooks.
async fn with_entries(setup: Setup) -> (Afterword, Vec<(&'static str, String)>) {
    let afterword = setup.no_webhooks().start().await;
    let mut entries = Vec::new();
    for path in PATHS {
        entries.push((path, afterword.wait_for_hit(path).await.body));
    }
    afterword.supabase().clear_requests();
    (afterword, entries)
}

fn change_rows(afterword: &Afterword) {
    afterword
        .supabase()
        .execute(
            "UPDATE articles SET title = 'Changed ' || id WHERE id BETWEEN 2 AND 5;
             DELETE FROM articles WHERE id = 6;
             INSERT INTO articles (id, slug, title, published)
             VALUES (100, 'new', 'Changed 100', true)",
        )
        .unwrap();
}

async fn send_webhooks(afterword: &Afterword) {
    for id in CHANGED {
        afterword.invalidate(id).await;
    }
}

/// Makes the requests that contain one of these texts fail.
fn fail(afterword: &Afterword, matching: &[&str], fault: Option<Fault>, delay_ms: u64) {
    let faults = matching
        .iter()
        .map(|text| RestDial {
            matching: (*text).to_owned(),
            delay_ms,
            fault: fault.clone(),
            ..RestDial::default()
        })
        .collect();
    afterword.set_origin_faults(faults);
}

/// Reads all entries repeatedly during the outage. Only those in `fresh` may change.
async fn check_reads_during_outage(
    afterword: &Afterword,
    entries: &[(&str, String)],
    fresh: &[&str],
) {
    let began = Instant::now();
    let mut rounds = 0;
    while began.elapsed() < outage() {
        for (path, content) in entries {
            let response = afterword.get(path).await;
            assert!(
                response.status == 200 && (response.body == *content || fresh.contains(path)),
                "{path}: {response:?}"
            );
        }
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(rounds > 1, "it was read repeatedly");
}

/// Waits until the queue is drained, without a webhook, and compares everything with the origin.
async fn check_all_fresh(afterword: &Afterword) {
    let healed = Instant::now();
    afterword.wait_until_drained().await.unwrap();
    eprintln!(
        "everything was fresh {:?} after the origin's recovery",
        healed.elapsed()
    );
    // In pages, because of the row cap of one scenario.
    let mut rows = Vec::new();
    loop {
        let page = format!("?order=id.asc&limit=10&offset={}", rows.len());
        let Value::Array(page) = afterword.origin(&page).await else {
            panic!("PostgREST responds with an array")
        };
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    afterword.supabase().clear_requests();
    assert_eq!(afterword.get("/articles").await.json(), json!(rows));
    for id in [1].into_iter().chain(CHANGED) {
        let row = rows.iter().find(|row| row["id"] == id);
        assert_eq!(row.is_none(), id == 6, "{id}: {rows:?}");
        if let Some(row) = row {
            assert_eq!(&afterword.get_article(id).await.json(), row);
        }
    }
    afterword.assert_no_origin_request();
    assert_eq!(afterword.get("/articles/6").await.status, 404);
    let failures = afterword.key_exists("failures").await.unwrap();
    assert!(!failures, "completion forgets the failures");
}

/// The number of failed requests in the worker's log.
fn failed_requests(afterword: &Afterword) -> usize {
    let log = afterword.worker().output();
    log.matches("could not refresh").count()
}

/// Checks that the origin got one request in five seconds, beside the requests that were in
/// progress when it began to fail.
fn check_few(requests: usize, lasted: Duration) {
    eprintln!("{requests} requests in {lasted:?}");
    let probes = lasted.as_secs() as usize / 5;
    assert!(
        (2..=CONCURRENT + probes).contains(&requests),
        "{requests} requests in {lasted:?}"
    );
}

/// All requests fail in the same way for a while.
async fn check_outage(kind: Option<Fault>, delay_ms: u64) {
    let (afterword, entries) = with_entries(Setup::default()).await;
    change_rows(&afterword);
    fail(&afterword, &[""], kind, delay_ms);
    let began = Instant::now();
    send_webhooks(&afterword).await;
    check_reads_during_outage(&afterword, &entries, &[]).await;
    check_few(afterword.count_origin_requests(), began.elapsed());
    afterword.assert_queued(CHANGED).await;
    afterword.heal_origin();
    check_all_fresh(&afterword).await;
}

#[tokio::test]
async fn reads_and_changes_survive_an_origin_that_refuses_connections() {
    let (mut afterword, entries) = with_entries(Setup::default()).await;
    change_rows(&afterword);
    afterword.stop_origin().await;
    let began = Instant::now();
    send_webhooks(&afterword).await;
    check_reads_during_outage(&afterword, &entries, &[]).await;
    check_few(failed_requests(&afterword), began.elapsed());
    afterword.start_origin().await.unwrap();
    check_all_fresh(&afterword).await;
}

#[tokio::test]
async fn reads_and_changes_survive_an_origin_that_responds_with_503() {
    check_outage(Some(Fault::Status(503)), 0).await;
}

#[tokio::test]
async fn reads_and_changes_survive_an_origin_that_is_too_slow() {
    check_outage(None, 120_000).await;
}

#[tokio::test]
async fn reads_and_changes_survive_an_origin_that_closes_the_connection_within_the_body() {
    check_outage(Some(Fault::Cut), 0).await;
}

#[tokio::test]
async fn reads_and_changes_survive_an_origin_that_sends_an_html_page() {
    check_outage(Some(Fault::Html), 0).await;
}

#[tokio::test]
async fn half_a_list_is_not_stored_and_delays_no_article() {
    let (afterword, entries) = with_entries(Setup::default().row_cap(10)).await;
    change_rows(&afterword);
    fail(&afterword, &["id=gt."], Some(Fault::Status(503)), 0);
    // The article 6 is deleted: its refresh would remove the entry.
    for id in CHANGED.into_iter().filter(|id| *id != 6) {
        afterword.invalidate(id).await;
    }
    let fresh = ["/articles/2", "/articles/3", "/articles/4", "/articles/5"];
    let began = Instant::now();
    check_reads_during_outage(&afterword, &entries, &fresh).await;
    assert_eq!(afterword.queue().await.unwrap(), ["/articles"]);
    let requests = afterword.supabase().requests();
    let failed = requests
        .iter()
        .filter(|request| request.status == Some(503))
        .count();
    check_few(failed, began.elapsed());
    for path in fresh {
        let title = afterword.get(path).await.json()["title"].clone();
        assert!(title.as_str().unwrap().starts_with("Changed"), "{path}");
    }
    afterword.invalidate(6).await;
    afterword.heal_origin();
    check_all_fresh(&afterword).await;
}

#[tokio::test]
async fn stale_reads_and_due_reconciliations_send_few_requests_to_a_failing_origin() {
    let (afterword, entries) = with_entries(Setup::default().variable("max_age", "2")).await;
    change_rows(&afterword);
    afterword.fail_origin(503);
    afterword.supabase().clear_requests();
    let began = Instant::now();
    check_reads_during_outage(&afterword, &entries, &[]).await;
    check_few(afterword.count_origin_requests(), began.elapsed());
    afterword.heal_origin();
    // The reconciliation finds the deleted row and the new one. It is due again all the time, so
    // the queue hardly ever is empty.
    for (path, _) in &entries[1..6] {
        let id = path.rsplit('/').next().unwrap();
        let row = afterword.origin(&format!("?id=eq.{id}")).await;
        wait_for_read(&afterword, path, |response| {
            ensure!(response.json() == row[0], "{response:?}");
            Ok(())
        })
        .await;
    }
    wait_for_read(&afterword, "/articles/6", |response| {
        ensure!(response.status == 404, "{response:?}");
        Ok(())
    })
    .await;
}

/// Reads a path until the response passes the check.
async fn wait_for_read(afterword: &Afterword, path: &str, check: impl Fn(Response) -> Result<()>) {
    wait_until(path, async || check(afterword.get(path).await)).await;
}

/// Replaces the origin: counts the requests, and responds with 503 and `Retry-After`.
async fn ask_for_a_pause(listener: TcpListener, seconds: u64, count: watch::Sender<usize>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else {
                break;
            };
            request.push(byte);
        }
        if !request.is_empty() {
            count.send_modify(|count| *count += 1);
        }
        let response = format!(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {seconds}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(response.as_bytes()).await.ok();
    }
}

#[tokio::test]
async fn an_origin_that_asks_for_a_pause_gets_it() {
    let (mut afterword, entries) = with_entries(Setup::default()).await;
    change_rows(&afterword);
    let address = afterword.supabase().address();
    afterword.stop_origin().await;
    let (count, requests) = watch::channel(0);
    let listener = TcpListener::bind(address).await.unwrap();
    // Longer than the outage, but short enough to wait for.
    let pause = outage().as_secs() + 10;
    let server = tokio::spawn(ask_for_a_pause(listener, pause, count));
    send_webhooks(&afterword).await;
    afterword.wait_for_failures(1).await;
    // The worker releases the lease when its last request has ended.
    afterword.wait_for_key("lease", false).await;
    let before = *requests.borrow();
    assert!((1..=CONCURRENT).contains(&before), "{before} requests");
    send_webhooks(&afterword).await;
    check_reads_during_outage(&afterword, &entries, &[]).await;
    let after = *requests.borrow();
    server.abort();
    let _ = server.await;
    assert_eq!(after, before, "it got a request too soon");
    afterword.start_origin().await.unwrap();
    check_all_fresh(&afterword).await;
}

#[tokio::test]
async fn a_rejected_api_key_is_logged_as_stuck_and_not_retried_all_the_time() {
    let (afterword, entries) = with_entries(Setup::default()).await;
    change_rows(&afterword);
    afterword.fail_origin(401);
    send_webhooks(&afterword).await;
    afterword.wait_for_failures(1).await;
    // As if the key had been rejected for hours: the pauses have grown to minutes.
    let breaker = redis_key("breaker");
    let rejected_for_hours = ["HSET", &breaker, "opened_at", "0", "trips", "20"];
    let set = afterword.redis_command::<u64>(&rejected_for_hours).await;
    set.unwrap();
    afterword.wait_for_worker_log("stuck: ").await;
    // The worker releases the lease when its last request has ended.
    afterword.wait_for_key("lease", false).await;
    let before = afterword.count_origin_requests();
    assert!((2..=CONCURRENT + 1).contains(&before), "{before} requests");
    send_webhooks(&afterword).await;
    check_reads_during_outage(&afterword, &entries, &[]).await;
    assert_eq!(afterword.count_origin_requests(), before);
    afterword.assert_queued(CHANGED).await;
    afterword.heal_origin();
    // As if five minutes had passed.
    let probe_now = ["HSET", &breaker, "probe", "0"];
    afterword.redis_command::<u64>(&probe_now).await.unwrap();
    afterword.invalidate(2).await;
    check_all_fresh(&afterword).await;
}

/// The tasks that back off: they are due in more than a second.
async fn backing_off(afterword: &Afterword) -> Result<Vec<String>> {
    let (now, _): (u64, u64) = afterword.redis_command(&["TIME"]).await?;
    let from = format!("{}", (now + 2) * 1000);
    let queue = redis_key("queue");
    afterword
        .redis_command(&["ZRANGE", &queue, &from, "+inf", "BYSCORE"])
        .await
}

#[tokio::test]
async fn an_article_whose_request_fails_with_500_delays_no_other() {
    let (mut afterword, entries) = with_entries(Setup::default()).await;
    afterword.kill_workers().await;
    change_rows(&afterword);
    send_webhooks(&afterword).await;
    let article_3 = ["%223%22", "id=eq.3"];
    fail(&afterword, &article_3, Some(Fault::Status(500)), 0);
    afterword.start_worker().await.unwrap();
    // No other article backs off because of this one.
    let others_are_fresh = async || {
        let backing_off = backing_off(&afterword).await?;
        if backing_off.iter().any(|task| task != "/articles/3") {
            return Ok(Err(backing_off));
        }
        let queue = afterword.queue().await?;
        ensure!(queue == ["/articles/3"], "queued are {queue:?}");
        Ok(Ok(()))
    };
    wait_until("waiting for the other articles", others_are_fresh)
        .await
        .unwrap_or_else(|tasks| panic!("others back off, too: {tasks:?}"));
    let requests = afterword.supabase().requests();
    assert!(
        requests.iter().any(|request| request.status == Some(500)),
        "{requests:?}"
    );
    assert_eq!(afterword.get("/articles/3").await.body, entries[3].1);
    // The same holds for later changes.
    for round in 1..=3 {
        let title = format!("Round {round}");
        let sql = format!("UPDATE articles SET title = '{title}' WHERE id = 4");
        afterword.execute(&sql);
        afterword.invalidate(4).await;
        afterword.invalidate(3).await;
        afterword.wait_for_queue(&["/articles/3"]).await;
        assert_eq!(afterword.get("/articles/4").await.json()["title"], title);
    }
    afterword.heal_origin();
    check_all_fresh(&afterword).await;
}
