//! No acknowledged webhook is lost, although workers die, Redis dies, webhooks get lost, and many
//! more arrive than necessary. The changes are random. `AFTERWORD_ROUNDS` makes the scenarios
//! longer, and a failure prints the seed that replays it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::pin::pin;
use std::time::{Duration, Instant};

use afterword_scenarios::{Afterword, SECRET, Setup, host_has_dials, redis_key, wait_at_most};
use afterword_supabase::{Outcome, WebhookDials};
use anyhow::ensure;
use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::random_rounds::{rounds, seeded};

/// How long these scenarios wait for something: far longer than it takes on an idle machine. A
/// heartbeat (a minute) and a lease (15 s) fit in.
const LIMIT: Duration = Duration::from_secs(180);

/// A setup in which no reconciliation hides a lost webhook.
fn without_reconciliation() -> Setup {
    Setup::default().variable("max_age", "86400")
}

/// The application in front of the articles 1 to `count`, with an entry for each.
async fn with_entries(setup: Setup, count: u32) -> Afterword {
    let afterword = setup.no_articles().start().await;
    afterword.insert_articles(count as usize);
    store(&afterword, 1..=count).await;
    afterword.assert_cache_equals_origin(1..=count).await;
    afterword
}

/// Stores these articles, without a read.
async fn store(afterword: &Afterword, ids: RangeInclusive<u32>) {
    for id in ids {
        afterword.invalidate(id).await;
    }
    afterword.wait_until_drained().await.unwrap();
}

/// The articles of [`with_entries`], which change at random.
struct Table {
    random: Rng,
    /// The rows that always exist. Only their titles change.
    permanent: Vec<u32>,
    /// The ids of the other rows.
    temporary: Vec<u32>,
    /// Those of the other rows that exist.
    existing: BTreeSet<u32>,
    changes: u32,
}

impl Table {
    /// The table of 40 articles. The first 20 are permanent.
    fn new(random: Rng) -> Self {
        Self {
            random,
            permanent: (1..=20).collect(),
            temporary: (21..=60).collect(),
            existing: (21..=40).collect(),
            changes: 0,
        }
    }

    /// Makes one change, and waits until its webhooks are acknowledged or have failed.
    async fn change(&mut self, afterword: &Afterword) {
        self.changes += 1;
        let version = format!("Version {}", self.changes);
        if self.random.u32(..2) == 0 {
            let id = choice(&mut self.random, &self.permanent);
            return afterword.update_title(id, &version).await;
        }
        let id = choice(&mut self.random, &self.temporary);
        if !self.existing.contains(&id) {
            self.existing.insert(id);
            let row = json!({"id": id, "slug": version, "title": version, "published": true});
            return afterword.change(Method::POST, "", row).await;
        }
        let query = format!("?id=eq.{id}");
        match self.random.u32(..3) {
            0 => {
                self.existing.remove(&id);
                afterword.change(Method::DELETE, &query, json!(null)).await;
            }
            1 => {
                let published = json!({"published": self.random.u32(..2) == 0});
                afterword.change(Method::PATCH, &query, published).await;
            }
            _ => {
                let target = choice(&mut self.random, &self.temporary);
                let new_id = if self.existing.contains(&target) {
                    id
                } else {
                    target
                };
                self.existing.remove(&id);
                self.existing.insert(new_id);
                let moved = json!({"id": new_id, "title": version});
                afterword.change(Method::PATCH, &query, moved).await;
            }
        }
    }
}

fn choice(random: &mut Rng, ids: &[u32]) -> u32 {
    *random.choice(ids).expect("there are ids")
}

/// Sends unacknowledged webhooks again. pg_net gives up after a second, and a busy machine may need
/// longer.
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

/// Delays the origin's responses to the worker.
fn slow_refreshes(afterword: &Afterword, delay_ms: u64) {
    afterword.slow_origin_requests("select=", delay_ms);
}

#[tokio::test]
async fn a_worker_that_is_killed_at_random_moments_loses_no_change() {
    const CHANGES: u32 = 100;
    let mut afterword = with_entries(without_reconciliation(), 40).await;
    // So that many moments are between a claim and a write.
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
        if afterword.key_exists("lease").await.unwrap() {
            at_work += 1;
            if round < rounds {
                // As if most of the dead worker's 15 s had passed. The last lease lasts that long.
                let expire = ["PEXPIRE", &redis_key("lease"), "700"];
                let _: u64 = afterword.redis_command(&expire).await.unwrap();
            }
        }
        afterword.start_worker().await.unwrap();
    }
    eprintln!("{at_work} of {rounds} workers were killed at work");
    assert!(at_work > 0, "no worker was killed at work");
    afterword.wait_until_drained().await.unwrap();
    afterword.assert_cache_equals_origin(1..=60).await;
}

/// Concurrent writes and reads.
#[derive(Clone)]
struct Load {
    client: reqwest::Client,
    url: String,
    rest: String,
    service_key: String,
    acknowledged: watch::Sender<Acknowledged>,
    ended: watch::Receiver<bool>,
}

/// The numbers of webhooks by their responses.
#[derive(Clone, Copy, Debug, Default)]
struct Acknowledged {
    queued: usize,
    outbox: usize,
    refused: usize,
}

impl Load {
    /// Changes these articles in turn, and sends a webhook about each change. Returns the last
    /// acknowledged version of each article.
    async fn writes(self, ids: RangeInclusive<u32>) -> BTreeMap<u32, u64> {
        let mut acknowledged = BTreeMap::new();
        for (version, id) in (1..).zip(ids.cycle()) {
            if *self.ended.borrow() {
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
            let response = self
                .client
                .post(format!("{}/revalidate", self.url))
                .bearer_auth(SECRET)
                .body(webhook.to_string())
                .send()
                .await
                .expect("the webhook gets a response");
            let status = response.status().as_u16();
            let body: Value = response.json().await.unwrap();
            self.acknowledged.send_modify(|sum| match status {
                202 if body["deferred"] == "outbox" => sum.outbox += 1,
                202 => sum.queued += 1,
                503 => sum.refused += 1,
                _ => panic!("{status}: {body}"),
            });
            if status == 202 {
                acknowledged.insert(id, version);
            }
        }
        acknowledged
    }

    /// Reads the list and these articles in turn. All are stored. Returns the number of reads.
    async fn reads(self, ids: RangeInclusive<u32>) -> usize {
        let mut reads = 0;
        for id in ids.cycle() {
            if *self.ended.borrow() {
                break;
            }
            for path in ["/articles".to_owned(), format!("/articles/{id}")] {
                let response = self
                    .client
                    .get(format!("{}{path}", self.url))
                    .send()
                    .await
                    .expect("the read gets a response");
                assert_eq!(response.status(), 200, "{path}");
                response.bytes().await.expect("the response is complete");
                reads += 1;
            }
            // Leaves the processor to the writers.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        reads
    }
}

/// What [`wait_for_more`] waits for.
const MORE: usize = 40;

/// Waits until a count of webhooks has grown by [`MORE`].
async fn wait_for_more(
    acknowledged: &watch::Sender<Acknowledged>,
    what: &str,
    count: impl Fn(&Acknowledged) -> usize,
) {
    let enough = count(&acknowledged.borrow()) + MORE;
    let mut sums = acknowledged.subscribe();
    let reached = sums.wait_for(|sums| count(sums) >= enough);
    tokio::time::timeout(LIMIT, reached)
        .await
        .unwrap_or_else(|_| panic!("no {MORE} more {what}: {:?}", acknowledged.borrow()))
        .unwrap();
}

/// Starts a worker whenever one ends, as `up` does, for as long as `load` lasts. Returns whether
/// that happened.
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
async fn a_redis_that_is_killed_and_restarted_under_load_loses_no_acknowledged_change() {
    const READ: u32 = 40;
    const WRITTEN: u32 = 1_000;
    const WRITERS: u32 = 4;
    let setup = without_reconciliation()
        .no_webhooks()
        .no_articles()
        .variable("list_query", "select=*&order=id.asc&limit=40")
        .redis_args(&["--appendfsync", "always"]);
    let mut afterword = setup.start().await;
    // So many that hardly any changes twice: a later change would hide the loss of an earlier one.
    afterword.insert_articles((READ + WRITERS * WRITTEN) as usize);
    store(&afterword, 1..=READ).await;
    slow_refreshes(&afterword, 200);
    let (end, ended) = watch::channel(false);
    let load = Load {
        client: afterword.client().clone(),
        url: afterword.url().to_owned(),
        rest: afterword.supabase().url(),
        service_key: afterword.supabase().service_key().to_owned(),
        acknowledged: watch::Sender::default(),
        ended,
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
        wait_for_more(&load.acknowledged, "queued webhooks", |sums| sums.queued).await;
        tokio::time::sleep(Duration::from_millis(random.u32(..600).into())).await;
        afterword.redis.kill().await;
        wait_for_more(&load.acknowledged, "webhooks in the outbox", |sums| {
            sums.outbox
        })
        .await;
        afterword.redis.restart().await.unwrap();
        let queued = wait_for_more(&load.acknowledged, "queued webhooks", |sums| sums.queued);
        restarted = restarting_workers(&mut afterword, queued).await;
    }
    end.send_replace(true);
    let mut acknowledged = BTreeMap::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    let mut reads = 0;
    for reader in readers {
        reads += reader.await.unwrap();
    }
    eprintln!("{:?}, {reads} reads", *load.acknowledged.borrow());
    if !restarted && afterword.workers_end_with_redis() {
        // The worker was busy, and continued when Redis was back.
        tokio::time::timeout(LIMIT, afterword.worker().wait())
            .await
            .expect("a worker that lost its subscription ends when the queue is empty");
        afterword.kill_workers().await;
        afterword.start_worker().await.unwrap();
    }
    assert!(afterword.http().is_running());
    afterword.wait_until_drained().await.unwrap();
    // What came into the outbox during a drain waits for the next one, which a webhook starts.
    afterword.invalidate_list().await;
    afterword.wait_until_drained().await.unwrap();
    afterword.supabase().clear_requests();
    let mut lost = Vec::new();
    for (id, version) in acknowledged {
        let before = afterword.count_origin_requests();
        let response = afterword.get_article(id).await;
        let title = response.json()["title"].clone();
        let stored: u64 = title
            .as_str()
            .and_then(|title| title.parse().ok())
            .unwrap_or(0);
        if stored < version || afterword.count_origin_requests() > before {
            lost.push((id, version, response.body));
        }
    }
    assert!(
        lost.is_empty(),
        "acknowledged, but not in the store: {lost:?}"
    );
    let list = afterword.origin("?order=id.asc&limit=40").await;
    assert_eq!(afterword.get("/articles").await.json(), list);
}

#[tokio::test]
async fn an_outbox_that_a_dying_worker_left_half_empty_is_emptied_by_the_next() {
    if !host_has_dials() {
        return;
    }
    const ARTICLES: u32 = 5;
    let setup = without_reconciliation().no_webhooks().dials();
    let mut afterword = with_entries(setup, ARTICLES).await;
    afterword.execute("UPDATE articles SET title = 'Changed ' || id");
    let away = json!({"fail": true});
    let faults = json!({"redis.open": away, "redis.execute": away});
    afterword.set_http_faults(faults).await;
    for id in 1..=ARTICLES {
        let response = afterword.invalidate(id).await;
        assert_eq!(response.json()["deferred"], "outbox");
    }
    // One of these deletions is that of the outbox's flag.
    let delete = "key-value.delete";
    afterword.kill_worker_at(delete, 3, "after").await;
    afterword.set_http_faults(json!({})).await;
    afterword.invalidate_list().await;
    afterword.worker().wait().await;
    afterword.kill_workers().await;
    afterword.start_worker().await.unwrap();
    afterword.wait_until_drained().await.unwrap();
    afterword.assert_cache_equals_origin(1..=ARTICLES).await;
}

/// Waits for a reconciliation that begins from now on, and for the end of its drain.
async fn wait_for_next_reconciliation(afterword: &Afterword) {
    let now = afterword.redis_now().await;
    let reconciled = redis_key("reconciled");
    wait_at_most(LIMIT, "waiting for a reconciliation", async || {
        let last: String = afterword.redis_command(&["GET", &reconciled]).await?;
        let last: u64 = last.split(' ').next().unwrap_or_default().parse()?;
        ensure!(last > now, "the last one began {} ms before", now - last);
        Ok(())
    })
    .await;
    afterword.wait_until_drained().await.unwrap();
}

#[tokio::test]
async fn one_reconciliation_makes_up_for_lost_repeated_and_reordered_webhooks() {
    let mut afterword = with_entries(Setup::default().variable("max_age", "5"), 40).await;
    let mut table = Table::new(seeded());
    afterword.set_webhook_faults(WebhookDials {
        drop: 0.2,
        duplicate: 0.2,
        reorder_ms: 100,
        seed: table.random.u64(..),
        ..WebhookDials::default()
    });
    let mut found = 0;
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
        wait_for_next_reconciliation(&afterword).await;
        found += found_by_reconciliation(&afterword);
        // Compares the result of the reconciliation, without the refreshes that reads request.
        afterword.kill_workers().await;
        afterword.assert_cache_equals_origin(1..=20).await;
        afterword.assert_responses_equal_origin(21..=60).await;
        afterword.start_worker().await.unwrap();
    }
    eprintln!("the reconciliations found {found} entries");
    assert!(found > 0, "no webhook that mattered was lost");
}

/// The number of entries that the worker's reconciliations have queued, by its log.
fn found_by_reconciliation(afterword: &Afterword) -> u32 {
    let log = afterword.worker().output();
    let queued = log.lines().filter_map(|line| {
        let (_, rest) = line.split_once("reconciled: ")?;
        rest.split(' ').next()?.parse::<u32>().ok()
    });
    queued.sum()
}

/// Sends ten thousand webhooks about a hundred articles, which change after half of them.
async fn burst(duration: Duration) {
    const ARTICLES: u32 = 100;
    const SENDERS: u32 = 20;
    const EACH: u32 = 500;
    let afterword = with_entries(without_reconciliation().no_webhooks(), ARTICLES).await;
    afterword.supabase().clear_requests();
    let began = Instant::now();
    let senders = (0..SENDERS).map(async |sender| {
        for number in 0..EACH {
            tokio::time::sleep_until((began + duration * number / EACH).into()).await;
            if sender == 0 && number == EACH / 2 {
                afterword.execute("UPDATE articles SET title = 'Changed ' || id");
            }
            let id = (sender * 7 + number) % ARTICLES + 1;
            afterword.invalidate(id).await;
        }
    });
    futures_util::future::join_all(senders).await;
    let lasted = began.elapsed();
    afterword.wait_until_drained().await.unwrap();
    let requests = afterword.count_origin_requests();
    eprintln!("{requests} requests to the origin for a burst of {lasted:?}");
    // Twenty a second if the machine takes longer than ten seconds.
    let allowed = 200.max(lasted.as_secs() as usize * 20);
    assert!(
        (2..=allowed).contains(&requests),
        "{requests} requests in {lasted:?}"
    );
    afterword.assert_cache_equals_origin(1..=ARTICLES).await;
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
