//! An origin that fails for a while, in each of the ways in which one does: readers do not notice, nothing bad is stored, it is left in
//! peace, and when it is back all is fresh by itself. A failure lasts 12 s, and a minute where `AFTERWORD_ROUNDS` is set.

use std::time::{Duration, Instant};

use afterword_scenarios::{Afterword, Setup};
use afterword_supabase::{Dials, Fault, RestDial};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Those that are read while the origin fails: all but the first have changed.
const READ: [&str; 7] = [
    "/articles",
    "/articles/1",
    "/articles/2",
    "/articles/3",
    "/articles/4",
    "/articles/5",
    "/articles/6",
];

/// The articles that change: four updates, a deletion, an insertion.
const CHANGED: [u32; 6] = [2, 3, 4, 5, 6, 100];

/// The requests of a drain that are under way when the first fails, at most.
const UNDER_WAY: usize = 8;

fn outage() -> Duration {
    Duration::from_secs(match std::env::var_os("AFTERWORD_ROUNDS") {
        Some(_) => 60,
        None => 12,
    })
}

/// An application with entries, and their content by path. No webhook comes by itself.
async fn with_entries(setup: Setup) -> (Afterword, Vec<(&'static str, String)>) {
    let afterword = setup.no_webhooks().start().await;
    let mut entries = Vec::new();
    for path in READ {
        entries.push((path, afterword.wait_for_hit(path).await.body));
    }
    afterword.supabase().clear_requests();
    (afterword, entries)
}

fn rows_change(afterword: &Afterword) {
    afterword
        .supabase()
        .execute(
            "UPDATE articles SET title = 'Changed ' || id WHERE id BETWEEN 2 AND 5;
             DELETE FROM articles WHERE id = 6;
             INSERT INTO articles (id, slug, title, published) VALUES (100, 'new', 'Changed 100', true)",
        )
        .unwrap();
}

async fn webhook_about(afterword: &Afterword, id: u32) {
    let body = json!({"type": "UPDATE", "record": {"id": id}}).to_string();
    assert_eq!(afterword.webhook(body).await.status, 202);
}

async fn webhooks_come(afterword: &Afterword) {
    for id in CHANGED {
        webhook_about(afterword, id).await;
    }
}

/// Makes the requests that contain one of these texts fail.
fn fault(afterword: &Afterword, matching: &[&str], fault: Option<Fault>, delay_ms: u64) {
    let rest = matching
        .iter()
        .map(|text| RestDial {
            matching: (*text).to_owned(),
            delay_ms,
            fault: fault.clone(),
            ..RestDial::default()
        })
        .collect();
    afterword
        .supabase()
        .set_dials(Dials {
            rest,
            ..Dials::default()
        })
        .unwrap();
}

fn mend(afterword: &Afterword) {
    afterword.supabase().set_dials(Dials::default()).unwrap();
}

/// Reads all entries again and again for as long as the outage lasts: they stay what they were, but for those in `fresh`.
async fn served_throughout(afterword: &Afterword, entries: &[(&str, String)], fresh: &[&str]) {
    let began = Instant::now();
    let mut rounds = 0;
    while began.elapsed() < outage() {
        for (path, content) in entries {
            let answer = afterword.get(path).await;
            assert!(
                answer.status == 200 && (answer.body == *content || fresh.contains(path)),
                "{path}: {answer:?}"
            );
        }
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(rounds > 1, "it was read while it failed");
}

/// Waits until the marks have been worked off, without a webhook, and compares all with the origin.
async fn all_is_fresh(afterword: &Afterword) {
    let back = Instant::now();
    afterword.wait_until_drained().await.unwrap();
    eprintln!(
        "all was fresh {:?} after the origin's return",
        back.elapsed()
    );
    // In pages, as the row cap of one scenario wants it.
    let mut rows = Vec::new();
    loop {
        let page = format!("?order=id.asc&limit=10&offset={}", rows.len());
        let Value::Array(page) = afterword.origin(&page).await else {
            panic!("PostgREST answers with an array")
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
            assert_eq!(&afterword.get(&format!("/articles/{id}")).await.json(), row);
        }
    }
    assert_eq!(
        afterword.supabase().requests(),
        [],
        "all of it came from the store"
    );
    assert_eq!(afterword.get("/articles/6").await.status, 404);
    let failures: usize = afterword
        .redis_command(&["HLEN", "{afterword}:v1:failures"])
        .await
        .unwrap();
    assert_eq!(failures, 0, "what failed once is forgotten");
}

/// The requests of the worker that failed, by what it said of them.
fn failed_requests(afterword: &Afterword) -> usize {
    let said = afterword.worker().output();
    said.matches("could not refresh").count()
}

/// Whether the origin was left in peace: a request in five seconds, beside those under way when it began to fail.
fn few(requests: usize, lasted: Duration) {
    eprintln!("{requests} requests in {lasted:?}");
    let probes = lasted.as_secs() as usize / 5;
    assert!(
        (2..=UNDER_WAY + probes).contains(&requests),
        "{requests} requests in {lasted:?}"
    );
}

/// All requests fail in one way for a while.
async fn every_request_fails(how: Option<Fault>, delay_ms: u64) {
    let (afterword, entries) = with_entries(Setup::default()).await;
    rows_change(&afterword);
    fault(&afterword, &[""], how, delay_ms);
    let began = Instant::now();
    webhooks_come(&afterword).await;
    served_throughout(&afterword, &entries, &[]).await;
    few(afterword.supabase().requests().len(), began.elapsed());
    assert_eq!(
        afterword.queue().await.unwrap().len(),
        CHANGED.len() + 1,
        "nothing is dropped"
    );
    mend(&afterword);
    all_is_fresh(&afterword).await;
}

#[tokio::test]
async fn an_origin_that_refuses_connections_is_served_through_and_all_is_fresh_after_it() {
    let (mut afterword, entries) = with_entries(Setup::default()).await;
    rows_change(&afterword);
    afterword.stop_origin().await;
    let began = Instant::now();
    webhooks_come(&afterword).await;
    served_throughout(&afterword, &entries, &[]).await;
    few(failed_requests(&afterword), began.elapsed());
    afterword.start_origin().await.unwrap();
    all_is_fresh(&afterword).await;
}

#[tokio::test]
async fn an_origin_that_answers_503_is_served_through_and_all_is_fresh_after_it() {
    every_request_fails(Some(Fault::Status(503)), 0).await;
}

#[tokio::test]
async fn an_origin_that_is_too_slow_is_served_through_and_all_is_fresh_after_it() {
    every_request_fails(None, 120_000).await;
}

#[tokio::test]
async fn an_origin_that_breaks_off_in_mid_body_is_served_through_and_all_is_fresh_after_it() {
    every_request_fails(Some(Fault::Cut), 0).await;
}

#[tokio::test]
async fn an_origin_that_sends_a_page_of_html_is_served_through_and_all_is_fresh_after_it() {
    every_request_fails(Some(Fault::Html), 0).await;
}

#[tokio::test]
async fn half_a_list_is_not_stored_and_holds_up_no_article() {
    let (afterword, entries) = with_entries(Setup::default().row_cap(10)).await;
    rows_change(&afterword);
    fault(&afterword, &["id=gt."], Some(Fault::Status(503)), 0);
    // The sixth is deleted: an article without an entry is not among those that are served through.
    for id in CHANGED.into_iter().filter(|id| *id != 6) {
        webhook_about(&afterword, id).await;
    }
    let fresh = ["/articles/2", "/articles/3", "/articles/4", "/articles/5"];
    let began = Instant::now();
    served_throughout(&afterword, &entries, &fresh).await;
    assert_eq!(afterword.queue().await.unwrap(), ["/articles"]);
    let requests = afterword.supabase().requests();
    let failed = requests
        .iter()
        .filter(|request| request.status == Some(503))
        .count();
    few(failed, began.elapsed());
    for path in fresh {
        let title = afterword.get(path).await.json()["title"].clone();
        assert!(title.as_str().unwrap().starts_with("Changed"), "{path}");
    }
    webhook_about(&afterword, 6).await;
    mend(&afterword);
    all_is_fresh(&afterword).await;
}

#[tokio::test]
async fn stale_entries_that_are_read_and_reconciliations_that_are_due_do_not_press_a_failing_origin()
 {
    let (afterword, entries) = with_entries(Setup::default().variable("max_age", "2")).await;
    rows_change(&afterword);
    fault(&afterword, &[""], Some(Fault::Status(503)), 0);
    afterword.supabase().clear_requests();
    let began = Instant::now();
    served_throughout(&afterword, &entries, &[]).await;
    few(afterword.supabase().requests().len(), began.elapsed());
    mend(&afterword);
    // The deleted row and the new one are found by the reconciliation. It goes on for ever: no mark is left only for a moment.
    for (path, _) in &entries[1..6] {
        let id = path.rsplit('/').next().unwrap();
        let row = afterword.origin(&format!("?id=eq.{id}")).await;
        reads(&afterword, path, |answer| {
            ensure!(answer.json() == row[0], "{answer:?}");
            Ok(())
        })
        .await;
    }
    reads(&afterword, "/articles/6", |answer| {
        ensure!(answer.status == 404, "{answer:?}");
        Ok(())
    })
    .await;
}

/// Reads a path until the answer is as it should be.
async fn reads(
    afterword: &Afterword,
    path: &str,
    check: impl Fn(afterword_scenarios::Response) -> Result<()>,
) {
    let limit = Duration::from_secs(60);
    afterword_stack::eventually(limit, path, async || check(afterword.get(path).await))
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
}

/// Waits until a refresh has failed, and what was under way with it has ended: until the lease is given back.
async fn drain_has_ended(afterword: &Afterword) {
    afterword.wait_for_failures(1).await;
    afterword_stack::eventually(Duration::from_secs(60), "the drain's end", async || {
        let held: u64 = afterword
            .redis_command(&["EXISTS", "{afterword}:v1:lease"])
            .await?;
        ensure!(held == 0, "a worker is at work");
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

/// In the origin's place: answers every request with 503 and `Retry-After`, and counts them.
async fn asks_for_patience(listener: TcpListener, seconds: u64, count: watch::Sender<usize>) {
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
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.ok();
    }
}

#[tokio::test]
async fn an_origin_that_asks_for_patience_is_given_it() {
    let (mut afterword, entries) = with_entries(Setup::default()).await;
    rows_change(&afterword);
    let address = afterword.supabase().address();
    afterword.stop_origin().await;
    let (count, counted) = watch::channel(0);
    let listener = TcpListener::bind(address).await.unwrap();
    // More than the outage, and less than a test may wait for it.
    let patience = outage().as_secs() + 10;
    let server = tokio::spawn(asks_for_patience(listener, patience, count));
    webhooks_come(&afterword).await;
    drain_has_ended(&afterword).await;
    let before = *counted.borrow();
    assert!((1..=UNDER_WAY).contains(&before), "{before} requests");
    webhooks_come(&afterword).await;
    served_throughout(&afterword, &entries, &[]).await;
    let after = *counted.borrow();
    server.abort();
    let _ = server.await;
    assert_eq!(after, before, "it was asked again too soon");
    afterword.start_origin().await.unwrap();
    all_is_fresh(&afterword).await;
}

#[tokio::test]
async fn a_key_that_is_not_accepted_is_reported_as_stuck_and_not_tried_again_and_again() {
    let (afterword, entries) = with_entries(Setup::default()).await;
    rows_change(&afterword);
    fault(&afterword, &[""], Some(Fault::Status(401)), 0);
    webhooks_come(&afterword).await;
    afterword.wait_for_failures(1).await;
    // As if it had been refused for hours, so that the pauses have grown to minutes.
    let _: u64 = afterword
        .redis_command(&[
            "HSET",
            "{afterword}:v1:breaker",
            "opened_at",
            "0",
            "trips",
            "20",
        ])
        .await
        .unwrap();
    afterword
        .worker()
        .line_with("stuck: ", Duration::from_secs(60))
        .await
        .unwrap();
    // What was under way has ended when the lease is given back.
    afterword_stack::eventually(Duration::from_secs(60), "the drain's end", async || {
        let held: u64 = afterword
            .redis_command(&["EXISTS", "{afterword}:v1:lease"])
            .await?;
        ensure!(held == 0, "a worker is at work");
        Ok(())
    })
    .await
    .unwrap();
    let before = afterword.supabase().requests().len();
    assert!((2..=UNDER_WAY + 1).contains(&before), "{before} requests");
    webhooks_come(&afterword).await;
    served_throughout(&afterword, &entries, &[]).await;
    assert_eq!(afterword.supabase().requests().len(), before);
    assert_eq!(afterword.queue().await.unwrap().len(), CHANGED.len() + 1);
    mend(&afterword);
    // As if five minutes had passed.
    let _: u64 = afterword
        .redis_command(&["HSET", "{afterword}:v1:breaker", "probe", "0"])
        .await
        .unwrap();
    webhook_about(&afterword, 2).await;
    all_is_fresh(&afterword).await;
}

/// The keys that are due in more than a second: that back off.
async fn put_off(afterword: &Afterword) -> Result<Vec<String>> {
    let (now, _): (u64, u64) = afterword.redis_command(&["TIME"]).await?;
    let from = format!("{}", (now + 2) * 1000);
    afterword
        .redis_command(&["ZRANGE", "{afterword}:v1:queue", &from, "+inf", "BYSCORE"])
        .await
}

#[tokio::test]
async fn an_article_whose_request_fails_with_500_holds_up_no_other() {
    let (mut afterword, entries) = with_entries(Setup::default()).await;
    afterword.kill_workers().await;
    rows_change(&afterword);
    webhooks_come(&afterword).await;
    let third = ["%223%22", "id=eq.3"];
    fault(&afterword, &third, Some(Fault::Status(500)), 0);
    afterword.start_worker().await.unwrap();
    // Until the others are fresh, none of them is put off because of the third.
    let others_are_fresh = async || {
        let put_off = put_off(&afterword).await?;
        if put_off.iter().any(|key| key != "/articles/3") {
            return Ok(Err(put_off));
        }
        let marks = afterword.queue().await?;
        ensure!(marks == ["/articles/3"], "marked are {marks:?}");
        Ok(Ok(()))
    };
    let limit = Duration::from_secs(60);
    afterword_stack::eventually(limit, "the others' refresh", others_are_fresh)
        .await
        .unwrap_or_else(|error| panic!("{error:#}"))
        .unwrap_or_else(|keys| panic!("put off because of one of them: {keys:?}"));
    let requests = afterword.supabase().requests();
    assert!(
        requests.iter().any(|request| request.status == Some(500)),
        "{requests:?}"
    );
    assert_eq!(afterword.get("/articles/3").await.body, entries[3].1);
    // It goes on being so for changes that come later.
    for round in 1..=3 {
        let title = format!("Round {round}");
        let sql = format!("UPDATE articles SET title = '{title}' WHERE id = 4");
        afterword.supabase().execute(&sql).unwrap();
        webhook_about(&afterword, 4).await;
        webhook_about(&afterword, 3).await;
        afterword.wait_for_queue(&["/articles/3"]).await;
        assert_eq!(afterword.get("/articles/4").await.json()["title"], title);
    }
    mend(&afterword);
    all_is_fresh(&afterword).await;
}
