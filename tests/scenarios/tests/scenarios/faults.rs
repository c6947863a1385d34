//! Nothing acknowledged is lost: the worker killed, Redis killed, webhooks lost, and more webhooks than anyone needs. Random, and
//! longer where `AFTERWORD_ROUNDS` is set; a failure shows the seed to replay it with.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::pin::pin;
use std::time::{Duration, Instant};

use afterword_scenarios::{Afterword, Response, SECRET, Setup, host_has_dials};
use afterword_stack::eventually;
use afterword_supabase::{Dials, Outcome, RestDial, WebhookDials};
use anyhow::ensure;
use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::equal::{answers_equal_origin, cache_equals_origin, rounds, seeded};
use crate::refreshing::rows;

/// Far longer than anything here takes on an idle machine. A heartbeat (a minute) and a lease (15 s) fit in.
const PATIENCE: Duration = Duration::from_secs(180);

/// Entries that no reconciliation refreshes: what is lost stays lost, and is seen.
fn without_reconciliation() -> Setup {
    Setup::default().variable("max_age", "86400")
}

/// The application in front of so many articles, all of them stored.
async fn with_entries(setup: Setup, count: u32) -> Afterword {
    let afterword = setup.no_articles().start().await;
    afterword.supabase().execute(&rows(count as usize)).unwrap();
    store(&afterword, 1..=count).await;
    cache_equals_origin(&afterword, 1..=count).await;
    afterword
}

/// Has these articles stored, which nobody has read.
async fn store(afterword: &Afterword, ids: RangeInclusive<u32>) {
    for id in ids {
        assert_eq!(webhook_about(afterword, id).await.status, 202);
    }
    afterword.wait_until_drained().await.unwrap();
}

async fn webhook_about(afterword: &Afterword, id: u32) -> Response {
    let update = json!({"type": "UPDATE", "record": {"id": id}});
    afterword.webhook(update.to_string()).await
}

/// A table that changes at random.
struct Table {
    random: Rng,
    /// The rows that only ever get other titles.
    lasting: Vec<u32>,
    /// The other ids, and which of them have a row.
    passing: Vec<u32>,
    there: BTreeSet<u32>,
    changes: u32,
}

impl Table {
    /// The table of [`with_entries`]: of its forty articles the first twenty last.
    fn new(random: Rng) -> Self {
        Self {
            random,
            lasting: (1..=20).collect(),
            passing: (21..=60).collect(),
            there: (21..=40).collect(),
            changes: 0,
        }
    }

    /// One change, with its webhooks answered or failed.
    async fn change(&mut self, afterword: &Afterword) {
        self.changes += 1;
        let version = format!("Version {}", self.changes);
        if self.random.u32(..2) == 0 {
            let id = self
                .random
                .choice(&self.lasting)
                .copied()
                .expect("there are some");
            let title = json!({ "title": version });
            return afterword
                .change(Method::PATCH, &format!("?id=eq.{id}"), title)
                .await;
        }
        let id = self
            .random
            .choice(&self.passing)
            .copied()
            .expect("there are some");
        if !self.there.contains(&id) {
            self.there.insert(id);
            let row = json!({"id": id, "slug": version, "title": version, "published": true});
            return afterword.change(Method::POST, "", row).await;
        }
        let query = format!("?id=eq.{id}");
        match self.random.u32(..3) {
            0 => {
                self.there.remove(&id);
                afterword.change(Method::DELETE, &query, json!(null)).await;
            }
            1 => {
                let hidden = json!({"published": self.random.u32(..2) == 0});
                afterword.change(Method::PATCH, &query, hidden).await;
            }
            _ => {
                let to = self
                    .random
                    .choice(&self.passing)
                    .copied()
                    .expect("there are some");
                let moved =
                    json!({"id": if self.there.contains(&to) { id } else { to }, "title": version});
                self.there.remove(&id);
                self.there
                    .insert(moved["id"].as_u64().expect("it is an id") as u32);
                afterword.change(Method::PATCH, &query, moved).await;
            }
        }
    }
}

/// pg_net gives up after a second, which a busy machine may need: such a webhook was not acknowledged, and is sent again.
async fn send_unacknowledged_again(afterword: &Afterword) {
    for webhook in afterword.supabase().webhooks() {
        match webhook.outcome {
            Outcome::Status(status) => assert_eq!(status, 202, "{webhook:?}"),
            Outcome::Failed(_) => {
                assert_eq!(afterword.webhook(webhook.body).await.status, 202);
            }
            Outcome::Dropped => {}
        }
    }
    afterword.supabase().clear_webhooks();
}

/// The origin takes so many milliseconds for a request of the worker's.
fn slow_refreshes(afterword: &Afterword, delay_ms: u64) {
    let slow = RestDial {
        matching: "select=".to_owned(),
        delay_ms,
        fault: None,
        ..RestDial::default()
    };
    afterword
        .supabase()
        .set_dials(Dials {
            rest: vec![slow],
            ..Dials::default()
        })
        .unwrap();
}

async fn lease_is_held(afterword: &Afterword) -> bool {
    let held: u64 = afterword
        .redis_command(&["EXISTS", "{afterword}:v1:lease"])
        .await
        .unwrap();
    held == 1
}

#[tokio::test]
async fn a_worker_killed_at_random_moments_under_a_thousand_changes_loses_none() {
    const CHANGES: u32 = 100;
    let mut afterword = with_entries(without_reconciliation(), 40).await;
    // So that many a moment is one between a claim and a write.
    slow_refreshes(&afterword, 20);
    let mut table = Table::new(seeded());
    let (rounds, mut at_work) = (rounds(10), 0);
    for round in 1..=rounds {
        let (done, mut progress) = watch::channel(0);
        let (changes, moment) = (table.random.u32(..CHANGES), table.random.u32(..30));
        tokio::join!(
            async {
                for _ in 0..CHANGES {
                    table.change(&afterword).await;
                    done.send_modify(|done| *done += 1);
                }
            },
            async {
                progress.wait_for(|done| *done >= changes).await.unwrap();
                tokio::time::sleep(Duration::from_millis(moment.into())).await;
                afterword.worker().kill().await;
            }
        );
        send_unacknowledged_again(&afterword).await;
        afterword.kill_workers().await;
        if lease_is_held(&afterword).await {
            at_work += 1;
            if round < rounds {
                // As if most of the dead worker's 15 s had passed. The last one's do.
                let _: u64 = afterword
                    .redis_command(&["PEXPIRE", "{afterword}:v1:lease", "700"])
                    .await
                    .unwrap();
            }
        }
        afterword.start_worker().await.unwrap();
    }
    eprintln!("{at_work} of {rounds} workers were killed at work");
    assert!(at_work > 0, "no worker was killed at work");
    afterword.wait_until_drained().await.unwrap();
    cache_equals_origin(&afterword, 1..=60).await;
}

/// What load sends its requests to.
#[derive(Clone)]
struct Load {
    client: reqwest::Client,
    url: String,
    rest: String,
    service_key: String,
    acknowledged: watch::Sender<Acknowledged>,
    over: watch::Receiver<bool>,
}

/// Webhooks by their answers.
#[derive(Clone, Copy, Debug, Default)]
struct Acknowledged {
    marked: usize,
    outbox: usize,
    refused: usize,
}

impl Load {
    /// Changes these articles in turn, tells the application of each change, and returns the latest acknowledged version of each.
    async fn writes(self, ids: RangeInclusive<u32>) -> BTreeMap<u32, u64> {
        let mut acknowledged = BTreeMap::new();
        for (version, id) in (1..).zip(ids.cycle()) {
            if *self.over.borrow() {
                break;
            }
            let query = format!("{}/rest/v1/articles?id=eq.{id}", self.rest);
            let changed = self
                .client
                .patch(query)
                .header("apikey", &self.service_key)
                .json(&json!({"title": version.to_string()}))
                .send()
                .await
                .unwrap();
            assert!(changed.status().is_success(), "{changed:?}");
            let webhook = json!({"type": "UPDATE", "record": {"id": id}});
            let answer = self
                .client
                .post(format!("{}/revalidate", self.url))
                .bearer_auth(SECRET)
                .body(webhook.to_string())
                .send()
                .await
                .expect("the webhook is answered");
            let status = answer.status().as_u16();
            let body: Value = answer.json().await.unwrap();
            self.acknowledged.send_modify(|sum| match status {
                202 if body["deferred"] == "outbox" => sum.outbox += 1,
                202 => sum.marked += 1,
                503 => sum.refused += 1,
                _ => panic!("{status}: {body}"),
            });
            if status == 202 {
                acknowledged.insert(id, version);
            }
        }
        acknowledged
    }

    /// Reads these articles and the list in turn, all of which are stored, and returns how often.
    async fn reads(self, ids: RangeInclusive<u32>) -> usize {
        let mut reads = 0;
        for id in ids.cycle() {
            if *self.over.borrow() {
                break;
            }
            for path in ["/articles".to_owned(), format!("/articles/{id}")] {
                let answer = self
                    .client
                    .get(format!("{}{path}", self.url))
                    .send()
                    .await
                    .expect("the read is answered");
                assert_eq!(answer.status(), 200, "{path}");
                answer.bytes().await.expect("the answer is whole");
                reads += 1;
            }
            // Readers are not to take the machine from those who write.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        reads
    }
}

async fn more(
    acknowledged: &watch::Sender<Acknowledged>,
    what: &str,
    count: impl Fn(&Acknowledged) -> usize,
) {
    const MORE: usize = 40;
    let enough = count(&acknowledged.borrow()) + MORE;
    let mut sums = acknowledged.subscribe();
    let reached = sums.wait_for(|sums| count(sums) >= enough);
    tokio::time::timeout(PATIENCE, reached)
        .await
        .unwrap_or_else(|_| panic!("no {MORE} more {what}: {:?}", acknowledged.borrow()))
        .unwrap();
}

/// Starts a worker whenever one's process ends, as `up` does, for as long as `load` takes; whether that happened.
async fn restarting_workers(afterword: &mut Afterword, load: impl Future) -> bool {
    let (mut load, mut restarted) = (pin!(load), false);
    loop {
        tokio::select! {
            _ = &mut load => return restarted,
            _ = afterword.worker().wait() => {}
        }
        afterword.kill_workers().await;
        afterword.start_worker().await.unwrap();
        restarted = true;
    }
}

#[tokio::test]
async fn redis_killed_and_restarted_under_load_loses_no_acknowledged_change() {
    const READ: u32 = 40;
    const WRITTEN: u32 = 1_000;
    const WRITERS: u32 = 4;
    let setup = without_reconciliation()
        .no_webhooks()
        .no_articles()
        .variable("list_query", "select=*&order=id.asc&limit=40")
        .redis_args(&["--appendfsync", "always"]);
    let mut afterword = setup.start().await;
    // So many that hardly one changes twice: a change that got lost is not made good by the next.
    let articles = rows((READ + WRITERS * WRITTEN) as usize);
    afterword.supabase().execute(&articles).unwrap();
    store(&afterword, 1..=READ).await;
    slow_refreshes(&afterword, 200);
    let (over, is_over) = watch::channel(false);
    let load = Load {
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        url: afterword.url().to_owned(),
        rest: afterword.supabase().url(),
        service_key: afterword.supabase().service_key().to_owned(),
        acknowledged: watch::Sender::default(),
        over: is_over,
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| READ + 1 + writer * WRITTEN..=READ + (writer + 1) * WRITTEN)
        .map(|ids| tokio::spawn(load.clone().writes(ids)))
        .collect();
    let readers: Vec<_> = (0..2)
        .map(|_| tokio::spawn(load.clone().reads(1..=READ)))
        .collect();
    let (mut random, mut restarted) = (seeded(), false);
    for _ in 0..rounds(4) {
        more(&load.acknowledged, "marks", |sums| sums.marked).await;
        tokio::time::sleep(Duration::from_millis(random.u32(..600).into())).await;
        afterword.redis.kill().await;
        more(&load.acknowledged, "webhooks in the outbox", |sums| {
            sums.outbox
        })
        .await;
        afterword.redis.restart().await.unwrap();
        let marks = more(&load.acknowledged, "marks", |sums| sums.marked);
        restarted = restarting_workers(&mut afterword, marks).await;
    }
    over.send_replace(true);
    let mut acknowledged = BTreeMap::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    let mut reads = 0;
    for reader in readers {
        reads += reader.await.unwrap();
    }
    eprintln!("{:?}, {reads} reads", *load.acknowledged.borrow());
    if !restarted {
        // It was at work, and went on when Redis was back.
        tokio::time::timeout(PATIENCE, afterword.worker().wait())
            .await
            .expect("a worker that Redis has cut off ends when it has nothing to do");
        afterword.kill_workers().await;
        afterword.start_worker().await.unwrap();
    }
    assert!(afterword.http().is_running());
    afterword.wait_until_drained().await.unwrap();
    // What came into the outbox while a drain was under way waits for the next: for a minute at most, or for a webhook.
    assert_eq!(afterword.webhook("{}").await.status, 202);
    afterword.wait_until_drained().await.unwrap();
    afterword.supabase().clear_requests();
    let mut lost = Vec::new();
    for (id, version) in acknowledged {
        let before = afterword.supabase().requests().len();
        let answer = afterword.get(&format!("/articles/{id}")).await;
        let title = answer.json()["title"].clone();
        let stored: u64 = title
            .as_str()
            .and_then(|title| title.parse().ok())
            .unwrap_or(0);
        if stored < version || afterword.supabase().requests().len() > before {
            lost.push((id, version, answer.body));
        }
    }
    assert!(
        lost.is_empty(),
        "acknowledged, and not in the store: {lost:?}"
    );
    let list = afterword.origin("?order=id.asc&limit=40").await;
    assert_eq!(afterword.get("/articles").await.json(), list);
}

#[tokio::test]
async fn an_outbox_that_a_dead_worker_emptied_by_half_is_emptied_by_the_next() {
    if !host_has_dials() {
        return;
    }
    const ARTICLES: u32 = 5;
    let setup = without_reconciliation().no_webhooks().dials();
    let mut afterword = with_entries(setup, ARTICLES).await;
    afterword
        .supabase()
        .execute("UPDATE articles SET title = 'Changed ' || id")
        .unwrap();
    let away = json!({"fail": true});
    afterword
        .set_http_faults(json!({"redis.open": away, "redis.execute": away}))
        .await;
    for id in 1..=ARTICLES {
        let answer = webhook_about(&afterword, id).await;
        assert_eq!(answer.json()["deferred"], "outbox");
    }
    // One of these deletions is the flag's.
    afterword
        .set_worker_dials(json!({"die": {"call": "key-value.delete", "nth": 3, "when": "after"}}))
        .await;
    afterword.set_http_faults(json!({})).await;
    assert_eq!(afterword.webhook("{}").await.status, 202);
    afterword.worker().wait().await;
    afterword.kill_workers().await;
    afterword.start_worker().await.unwrap();
    afterword.wait_until_drained().await.unwrap();
    cache_equals_origin(&afterword, 1..=ARTICLES).await;
}

/// Waits for a reconciliation that begins from now on to have been worked off.
async fn reconciled_from_now_on(afterword: &Afterword) {
    let (seconds, micros): (u64, u64) = afterword.redis_command(&["TIME"]).await.unwrap();
    let now = seconds * 1_000 + micros / 1_000;
    let done = eventually(PATIENCE, "waiting for a reconciliation", async || {
        let last: String = afterword
            .redis_command(&["GET", "{afterword}:v1:reconciled"])
            .await?;
        let last: u64 = last.split(' ').next().unwrap_or_default().parse()?;
        ensure!(last > now, "the last began {} ms before", now - last);
        Ok(())
    });
    done.await.unwrap_or_else(|error| panic!("{error:#}"));
    afterword.wait_until_drained().await.unwrap();
}

#[tokio::test]
async fn webhooks_dropped_doubled_and_shuffled_are_made_good_by_one_reconciliation() {
    let mut afterword = with_entries(Setup::default().variable("max_age", "5"), 40).await;
    let mut table = Table::new(seeded());
    let faults = WebhookDials {
        drop: 0.2,
        duplicate: 0.2,
        reorder_ms: 100,
        seed: table.random.u64(..),
        ..WebhookDials::default()
    };
    afterword
        .supabase()
        .set_dials(Dials {
            webhooks: faults,
            ..Dials::default()
        })
        .unwrap();
    let mut made_good = 0;
    for _ in 0..rounds(2) {
        afterword.supabase().clear_webhooks();
        for _ in 0..100 {
            table.change(&afterword).await;
        }
        let webhooks = afterword.supabase().webhooks();
        let dropped = webhooks
            .iter()
            .filter(|webhook| webhook.outcome == Outcome::Dropped)
            .count();
        assert!(dropped > 0 && webhooks.len() > 100, "{webhooks:?}");
        reconciled_from_now_on(&afterword).await;
        made_good += found_by_reconciliation(&afterword);
        // What is compared is what the reconciliation left, and not what a reader wanted.
        afterword.kill_workers().await;
        cache_equals_origin(&afterword, 1..=20).await;
        answers_equal_origin(&afterword, 21..=60).await;
        afterword.start_worker().await.unwrap();
    }
    eprintln!("the reconciliations found {made_good} entries");
    assert!(made_good > 0, "webhooks got lost for nothing");
}

/// How many entries the worker's reconciliations have found to be refreshed.
fn found_by_reconciliation(afterword: &Afterword) -> u32 {
    let said = afterword.worker().output();
    said.lines()
        .filter_map(|line| {
            line.split_once("reconciled: ")?
                .1
                .split(' ')
                .next()?
                .parse::<u32>()
                .ok()
        })
        .sum()
}

/// Ten thousand webhooks about a hundred articles, which change half-way.
async fn burst(lasts: Duration) {
    const ARTICLES: u32 = 100;
    const SENDERS: u32 = 20;
    const EACH: u32 = 500;
    let afterword = with_entries(without_reconciliation().no_webhooks(), ARTICLES).await;
    afterword.supabase().clear_requests();
    let began = Instant::now();
    let senders = (0..SENDERS).map(|sender| {
        let afterword = &afterword;
        async move {
            for number in 0..EACH {
                tokio::time::sleep_until((began + lasts * number / EACH).into()).await;
                if sender == 0 && number == EACH / 2 {
                    afterword
                        .supabase()
                        .execute("UPDATE articles SET title = 'Changed ' || id")
                        .unwrap();
                }
                let id = (sender * 7 + number) % ARTICLES + 1;
                assert_eq!(webhook_about(afterword, id).await.status, 202);
            }
        }
    });
    futures_util::future::join_all(senders).await;
    let lasted = began.elapsed();
    afterword.wait_until_drained().await.unwrap();
    let requests = afterword.supabase().requests().len();
    eprintln!("{requests} requests to the origin for a burst of {lasted:?}");
    // Twenty a second, where the machine takes longer than ten.
    let allowed = 200.max(lasted.as_secs() as usize * 20);
    assert!(
        (2..=allowed).contains(&requests),
        "{requests} requests in {lasted:?}"
    );
    cache_equals_origin(&afterword, 1..=ARTICLES).await;
    let title = afterword.get("/articles/100").await.json()["title"].clone();
    assert_eq!(title, "Changed 100");
}

#[tokio::test]
async fn ten_thousand_webhooks_at_once_cost_at_most_two_hundred_requests() {
    burst(Duration::ZERO).await;
}

#[tokio::test]
async fn ten_thousand_webhooks_in_ten_seconds_cost_at_most_two_hundred_requests() {
    burst(Duration::from_secs(10)).await;
}
