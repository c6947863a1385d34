//! Random histories of changes, reads, faults and restarts, against a model: whatever happened, the cache equals the origin in the
//! end, and no reader ever goes back in time. `AFTERWORD_ROUNDS` says how many histories ([`HISTORIES`] else), `AFTERWORD_SEED` replays one.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant, SystemTime};

use afterword_scenarios::{Afterword, Setup};
use afterword_stack::eventually;
use afterword_supabase::{Dials, Fault, RestDial};
use anyhow::{Result, ensure};
use fastrand::Rng;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};

const STEPS: usize = 30;

/// Histories at once: they mostly wait.
const AT_ONCE: usize = 16;

/// How many there are if nobody says.
const HISTORIES: u64 = 200;

/// A lease, a probe and a heartbeat may have to run out, one after another.
const LIMIT: Duration = Duration::from_secs(120);

/// Rows that are there throughout, and so are their entries: every read of one is from the store.
/// What items are asked for, in turn.
const QUERIES: [&str; 2] = ["select=*", "select=id,title,slug"];

const LASTING: std::ops::RangeInclusive<u64> = 1..=4;

/// Rows that come and go.
const PASSING: std::ops::RangeInclusive<u64> = 5..=7;

/// What is known of a row.
#[derive(Default)]
struct Row {
    /// The latest version, also if the row is gone.
    version: u64,
    there: bool,
    /// Whether the webhook about its latest change was acknowledged.
    told: bool,
    /// Whether its entry may be missing, since the configuration has changed.
    missing: bool,
    /// The versions that have been seen in its entry and in the list: no reader sees an older one again.
    seen: u64,
    seen_in_list: u64,
}

struct History {
    afterword: Afterword,
    random: Rng,
    rows: BTreeMap<u64, Row>,
    /// The steps for which Redis stays away.
    redis_away: usize,
    /// The steps for which Redis takes no writes.
    redis_refuses: usize,
    /// How often the configuration was changed.
    configurations: usize,
    origin_fails: bool,
    /// When it was last dialled to fail or to work again.
    turned: Instant,
}

impl History {
    async fn start(seed: u64) -> Self {
        // With `everysec`, a Redis that is killed while a slow disk syncs loses what it acknowledged
        // in the last two seconds.
        let setup = Setup::default().redis_args(&["--appendfsync", "always"]);
        let afterword = setup.no_articles().no_webhooks().start().await;
        let mut history = Self {
            afterword,
            random: Rng::with_seed(seed),
            rows: BTreeMap::new(),
            redis_away: 0,
            redis_refuses: 0,
            configurations: 0,
            origin_fails: false,
            turned: Instant::now(),
        };
        for id in LASTING.chain(PASSING) {
            history.insert(id).await;
        }
        history.afterword.wait_until_drained().await.unwrap();
        history
    }

    async fn step(&mut self) {
        match self.random.u64(..100) {
            0..35 => {
                let id = self.random.u64(1..=*PASSING.end());
                self.update(id).await;
            }
            35..45 => {
                let id = self.random.u64(PASSING);
                match self.rows[&id].there {
                    true => self.delete(id).await,
                    false => self.insert(id).await,
                }
            }
            45..75 => {
                for _ in 0..3 {
                    let id = self.random.u64(0..=*PASSING.end());
                    self.read(id).await;
                }
            }
            75..83 => self.kill_worker().await,
            83..91 => self.turn_origin(),
            91..93 if self.redis_is_well() => {
                eprintln!("Redis refuses writes");
                self.refuse_writes("1").await;
                self.redis_refuses = 4;
            }
            93..95 if self.redis_is_well() => self.reconfigure().await,
            95..97 if self.redis_is_well() => {
                eprintln!("Redis is killed");
                self.afterword.redis.kill().await;
                self.redis_away = 4;
            }
            _ => {
                let pause = self.random.u64(..600);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
        if self.redis_away > 0 {
            self.redis_away -= 1;
            if self.redis_away == 0 {
                self.restart_redis().await;
            }
        }
        if self.redis_refuses > 0 {
            self.redis_refuses -= 1;
            if self.redis_refuses == 0 {
                self.refuse_writes("0").await;
            }
        }
    }

    fn redis_is_well(&self) -> bool {
        self.redis_away == 0 && self.redis_refuses == 0
    }

    /// As a primary does that has lost its replicas.
    async fn refuse_writes(&self, replicas: &str) {
        let set = ["CONFIG", "SET", "min-replicas-to-write", replicas];
        self.afterword.redis_command::<()>(&set).await.unwrap();
    }

    /// Restarts the application with another query for items, one that selects the same columns in
    /// another order or not.
    async fn reconfigure(&mut self) {
        self.configurations += 1;
        let query = QUERIES[self.configurations % QUERIES.len()];
        eprintln!("the item query is {query}");
        let variables = [("item_query", query)];
        self.afterword.reconfigure(&variables).await.unwrap();
        self.afterword.start_worker().await.unwrap();
        // What was stored is a miss until it has been fetched anew, which a failing origin does not
        // allow.
        self.turned = Instant::now();
        for row in self.rows.values_mut() {
            row.missing = true;
        }
    }

    async fn update(&mut self, id: u64) {
        let version = self.next_version(id);
        self.change(
            id,
            &format!("UPDATE articles SET title = '{version}' WHERE id = {id}"),
        )
        .await;
    }

    async fn insert(&mut self, id: u64) {
        let version = self.next_version(id);
        self.rows.get_mut(&id).expect("it has a version").there = true;
        let sql = format!(
            "INSERT INTO articles (id, slug, title, published) VALUES ({id}, 'row-{id}', '{version}', true)"
        );
        self.change(id, &sql).await;
    }

    async fn delete(&mut self, id: u64) {
        self.rows.get_mut(&id).expect("it is there").there = false;
        self.change(id, &format!("DELETE FROM articles WHERE id = {id}"))
            .await;
    }

    fn next_version(&mut self, id: u64) -> u64 {
        let row = self.rows.entry(id).or_default();
        row.version += 1;
        row.version
    }

    /// Changes a row. Of its webhooks one in five gets lost and one in five comes twice; none does before all are stored.
    async fn change(&mut self, id: u64, sql: &str) {
        self.afterword.supabase().execute(sql).unwrap();
        let all_are_stored = self.rows.len() as u64 == *PASSING.end();
        let times = match self.random.u64(..5) {
            0 if all_are_stored => 0,
            1 => 2,
            _ => 1,
        };
        eprintln!("{sql}: {times} webhooks");
        for _ in 0..times {
            let body = json!({"type": "UPDATE", "record": {"id": id}}).to_string();
            let answer = self.afterword.webhook(body).await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        self.rows.get_mut(&id).expect("it has a version").told = times > 0;
    }

    /// Reads an item, or the list as number 0.
    async fn read(&mut self, id: u64) {
        if id == 0 {
            let answer = self.afterword.get("/articles").await;
            assert_eq!(answer.status, 200, "{answer:?}");
            for shown in answer.json().as_array().unwrap() {
                let row = self.rows.get_mut(&shown["id"].as_u64().unwrap()).unwrap();
                let version = version(shown);
                assert!(
                    (row.seen_in_list..=row.version).contains(&version),
                    "{} was seen before: {shown}",
                    row.seen_in_list
                );
                row.seen_in_list = version;
            }
            return;
        }
        let answer = self.afterword.get(&format!("/articles/{id}")).await;
        let row = self.rows.get_mut(&id).expect("all rows are known");
        let fails = self.origin_fails || self.turned.elapsed() < Duration::from_secs(5);
        let failing = fails && matches!(answer.status, 502..=504);
        if LASTING.contains(&id) && !(row.missing && failing) {
            assert_eq!(answer.status, 200, "{answer:?}");
            if !answer.header("cache-status").starts_with("afterword; hit") {
                assert!(row.missing, "{answer:?}");
                return;
            }
            row.missing = false;
            let version = version(&answer.json());
            assert!(
                (row.seen..=row.version).contains(&version),
                "{} was seen before: {answer:?}",
                row.seen
            );
            row.seen = version;
        } else if answer.status == 200 {
            assert!(version(&answer.json()) <= row.version, "{answer:?}");
        } else {
            // For a second, readers get what another came to: a failure, too.
            assert!(answer.status == 404 || failing, "{answer:?}");
        }
    }

    async fn kill_worker(&mut self) {
        if self.redis_away > 0 {
            return;
        }
        eprintln!("the worker is killed");
        self.afterword.kill_workers().await;
        self.afterword.start_worker().await.unwrap();
    }

    async fn restart_redis(&mut self) {
        eprintln!("Redis is started");
        self.afterword.redis.restart().await.unwrap();
        // Without Redis, workers end: whoever runs them starts them again.
        self.afterword.kill_workers().await;
        self.afterword.start_worker().await.unwrap();
    }

    fn turn_origin(&mut self) {
        self.origin_fails = !self.origin_fails;
        self.turned = Instant::now();
        if self.origin_fails && self.random.u64(..6) == 0 {
            eprintln!("the origin flaps");
            return self.set_origin(self.flapping());
        }
        let (fault, delay_ms) = match self.random.u64(..5) {
            0 => (Some(Fault::Status(503)), 0),
            1 => (Some(Fault::Html), 0),
            2 => (Some(Fault::Cut), 0),
            3 => (Some(Fault::Drop), 0),
            _ => (None, 1_500),
        };
        let faulty = RestDial {
            matching: String::new(),
            delay_ms,
            fault,
            ..RestDial::default()
        };
        eprintln!("the origin fails: {} ({faulty:?})", self.origin_fails);
        self.set_origin(match self.origin_fails {
            true => vec![faulty],
            false => vec![],
        });
    }

    /// Requests that succeed and fail in turn, a few of each.
    fn flapping(&self) -> Vec<RestDial> {
        (0..40)
            .map(|turn| RestDial {
                times: Some(1 + turn % 3),
                fault: (turn % 2 == 0).then_some(Fault::Status(503)),
                ..RestDial::default()
            })
            .collect()
    }

    fn set_origin(&self, rest: Vec<RestDial>) {
        let dials = Dials {
            rest,
            ..Dials::default()
        };
        self.afterword.supabase().set_dials(dials).unwrap();
    }

    /// Ends all faults, and holds the cache against the origin: first what was acknowledged, then all, after a reconciliation.
    async fn settle(mut self) {
        if self.redis_away > 0 {
            self.restart_redis().await;
        }
        self.refuse_writes("0").await;
        self.afterword
            .supabase()
            .set_dials(Dials::default())
            .unwrap();
        self.origin_fails = false;
        self.turned = Instant::now();
        let origin = self.afterword.origin("?order=id.asc").await;
        eventually(LIMIT, "what was acknowledged", async || {
            for (id, _) in self.rows.iter().filter(|(_, row)| row.told) {
                self.equal(*id, &origin).await?;
            }
            Ok(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));

        // A reconciliation that has begun before would count as the one that follows.
        self.afterword.wait_until_drained().await.unwrap();
        let _: u64 = self
            .afterword
            .redis_command(&["DEL", "{afterword}:v1:reconciled"])
            .await
            .unwrap();
        let wake_up = self.afterword.wake_up();
        wake_up.until_heard(LIMIT).await.unwrap();
        self.afterword.wait_until_reconciled().await.unwrap();
        assert_eq!(self.afterword.get("/articles").await.json(), origin);
        // A row whose webhook got lost may be known not to exist for some seconds: in Redis, and in
        // an instance whose Redis refused writes.
        self.afterword.release_fetch_locks().await;
        eventually(LIMIT, "the end of the negative cache", async || {
            for id in self.rows.keys() {
                self.equal(*id, &origin).await?;
            }
            Ok(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
        for id in 0..=*PASSING.end() {
            self.read(id).await;
        }
    }

    async fn equal(&self, id: u64, origin: &Value) -> Result<()> {
        let answer = self.afterword.get(&format!("/articles/{id}")).await;
        match origin
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["id"] == id)
        {
            Some(row) => {
                let expected = self.selected(row);
                ensure!(
                    answer.status == 200 && answer.json() == expected,
                    "{answer:?} instead of {expected}"
                );
            }
            None => ensure!(answer.status == 404, "{answer:?} without a row"),
        }
        Ok(())
    }
}

impl History {
    /// The columns of a row that items have at present.
    fn selected(&self, row: &Value) -> Value {
        let query = QUERIES[self.configurations % QUERIES.len()];
        match query.trim_start_matches("select=") {
            "*" => row.clone(),
            columns => columns
                .split(',')
                .map(|column| (column.to_owned(), row[column].clone()))
                .collect(),
        }
    }
}

fn version(row: &Value) -> u64 {
    row["title"].as_str().unwrap().parse().unwrap()
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

#[tokio::test]
async fn whatever_happens_the_cache_equals_the_origin_in_the_end_and_no_reader_goes_back_in_time() {
    let seeds: Vec<u64> = match number("AFTERWORD_SEED") {
        Some(seed) => vec![seed],
        None => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let first = now.unwrap().as_secs() * 100_000;
            (first..first + number("AFTERWORD_ROUNDS").unwrap_or(HISTORIES)).collect()
        }
    };
    let failed: Vec<u64> = futures_util::stream::iter(seeds)
        .map(async |seed| {
            eprintln!("history {seed} begins");
            let history = AssertUnwindSafe(live(seed)).catch_unwind().await;
            history.is_err().then_some(seed)
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(
        failed.is_empty(),
        "replay each with AFTERWORD_SEED: {failed:?}"
    );
}

async fn live(seed: u64) {
    let mut history = History::start(seed).await;
    for _ in 0..STEPS {
        history.step().await;
    }
    history.settle().await;
}
