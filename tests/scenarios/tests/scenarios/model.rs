//! Random histories of changes, reads, faults and restarts, checked against a model. In the end the
//! cache equals the origin, and no reader ever gets an older version than before.
//!
//! `AFTERWORD_ROUNDS` sets the number of histories, [`HISTORIES`] by default. `AFTERWORD_SEED`
//! replays one history.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant, SystemTime};

use afterword_scenarios::{Afterword, Setup, redis_key, wait_at_most};
use afterword_supabase::{Fault, RestDial};
use anyhow::{Result, ensure};
use fastrand::Rng;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};

/// The steps of a history.
const STEPS: usize = 30;

/// The number of histories that run concurrently. They mostly wait.
const CONCURRENT: usize = 16;

/// The default number of histories.
const HISTORIES: u64 = 200;

/// A lease, a pause of the circuit breaker and an alarm may have to expire, one after another.
const LIMIT: Duration = Duration::from_secs(120);

/// The values of `item_query`, in turn.
const QUERIES: [&str; 2] = ["select=*", "select=id,title,slug"];

/// Rows that always exist. So do their entries, so every read of one is a hit.
const LASTING: std::ops::RangeInclusive<u64> = 1..=4;

/// Rows that are deleted and inserted again.
const PASSING: std::ops::RangeInclusive<u64> = 5..=7;

/// The bytes of a row's body, twice, at random: the list is one value, or several chunks, and a row
/// may be larger than a chunk.
const BODIES: [u64; 6] = [0, 1_000, 10_000, 20_000, 40_000, 60_000];

/// The model of a row.
#[derive(Default)]
struct Row {
    /// The latest version, also if the row is deleted.
    version: u64,
    exists: bool,
    /// Whether the webhook about its latest change was acknowledged.
    acknowledged: bool,
    /// Whether its entry may be missing, because the configuration has changed.
    may_be_missing: bool,
    /// The latest version that a reader got from its entry.
    read: u64,
    /// The latest version that a reader got from the list.
    read_in_list: u64,
}

struct History {
    afterword: Afterword,
    random: Rng,
    rows: BTreeMap<u64, Row>,
    /// The number of steps for which Redis stays down.
    redis_down: usize,
    /// The number of steps for which Redis refuses writes.
    redis_refuses: usize,
    /// The number of changes of the configuration.
    configurations: usize,
    origin_fails: bool,
    /// The time at which the origin last began to fail or to work again.
    origin_changed: Instant,
}

impl History {
    async fn start(seed: u64) -> Self {
        // With `everysec`, a Redis that is killed while a slow disk syncs loses what it
        // acknowledged in the last two seconds.
        let setup = Setup::default().redis_args(&["--appendfsync", "always"]);
        let afterword = setup.no_articles().no_webhooks().start().await;
        let mut history = Self {
            afterword,
            random: Rng::with_seed(seed),
            rows: BTreeMap::new(),
            redis_down: 0,
            redis_refuses: 0,
            configurations: 0,
            origin_fails: false,
            origin_changed: Instant::now(),
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
                if self.rows[&id].exists {
                    self.delete(id).await;
                } else {
                    self.insert(id).await;
                }
            }
            45..75 => {
                for _ in 0..3 {
                    let id = self.random.u64(0..=*PASSING.end());
                    self.read(id).await;
                }
            }
            75..83 => self.kill_worker().await,
            83..91 => self.switch_origin(),
            91..93 if self.redis_works() => {
                eprintln!("Redis refuses writes");
                self.refuse_writes("1").await;
                self.redis_refuses = 4;
            }
            93..95 if self.redis_works() => self.reconfigure().await,
            95..97 if self.redis_works() => {
                eprintln!("Redis is killed");
                self.afterword.redis.kill().await;
                self.redis_down = 4;
            }
            _ => {
                let pause = self.random.u64(..600);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
        if self.redis_down > 0 {
            self.redis_down -= 1;
            if self.redis_down == 0 {
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

    fn redis_works(&self) -> bool {
        self.redis_down == 0 && self.redis_refuses == 0
    }

    /// Redis refuses writes, like a primary that has lost its replicas, unless `replicas` is 0.
    async fn refuse_writes(&self, replicas: &str) {
        let set = ["CONFIG", "SET", "min-replicas-to-write", replicas];
        self.afterword.redis_command::<()>(&set).await.unwrap();
    }

    /// Restarts the application with the other query for items.
    async fn reconfigure(&mut self) {
        self.configurations += 1;
        let query = QUERIES[self.configurations % QUERIES.len()];
        eprintln!("the item query is {query}");
        let variables = [("item_query", query)];
        self.afterword.reconfigure(&variables).await.unwrap();
        self.afterword.start_worker().await.unwrap();
        // The stored entries are misses until they are fetched again, which needs a working origin.
        self.origin_changed = Instant::now();
        for row in self.rows.values_mut() {
            row.may_be_missing = true;
        }
    }

    async fn update(&mut self, id: u64) {
        let version = self.next_version(id);
        let body = self.body();
        let sql = format!("UPDATE articles SET title = '{version}', body = {body} WHERE id = {id}");
        self.change(id, &sql).await;
    }

    async fn insert(&mut self, id: u64) {
        let version = self.next_version(id);
        self.rows.get_mut(&id).expect("it has a version").exists = true;
        let body = self.body();
        let sql = format!(
            "INSERT INTO articles (id, slug, title, body, published)
             VALUES ({id}, 'row-{id}', '{version}', {body}, true)"
        );
        self.change(id, &sql).await;
    }

    async fn delete(&mut self, id: u64) {
        self.rows.get_mut(&id).expect("it exists").exists = false;
        self.change(id, &format!("DELETE FROM articles WHERE id = {id}"))
            .await;
    }

    /// The SQL of a random body.
    fn body(&mut self) -> String {
        let bytes = self.random.choice(BODIES).expect("there are some");
        format!("hex(zeroblob({bytes}))")
    }

    fn next_version(&mut self, id: u64) -> u64 {
        let row = self.rows.entry(id).or_default();
        row.version += 1;
        row.version
    }

    /// Changes a row. One webhook in five is sent twice. One in five is lost, but none before all
    /// rows have been inserted.
    async fn change(&mut self, id: u64, sql: &str) {
        self.afterword.execute(sql);
        let all_are_inserted = self.rows.len() as u64 == *PASSING.end();
        let times = match self.random.u64(..5) {
            0 if all_are_inserted => 0,
            1 => 2,
            _ => 1,
        };
        eprintln!("{sql}: {times} webhooks");
        for _ in 0..times {
            self.afterword.invalidate(id).await;
        }
        self.rows
            .get_mut(&id)
            .expect("it has a version")
            .acknowledged = times > 0;
    }

    /// Reads an item, or the list as number 0, whole or in part.
    async fn read(&mut self, id: u64) {
        if id == 0 {
            let path = [
                "/articles",
                "/articles?limit=2",
                "/articles?offset=1&limit=3",
            ];
            let path = self.random.choice(path).expect("there are some");
            let response = self.afterword.get(path).await;
            assert_eq!(response.status, 200, "{path}: {response:?}");
            for listed in response.json().as_array().unwrap() {
                let row = self.rows.get_mut(&listed["id"].as_u64().unwrap()).unwrap();
                let version = version(listed);
                assert!(
                    (row.read_in_list..=row.version).contains(&version),
                    "{} was read before: {listed}",
                    row.read_in_list
                );
                row.read_in_list = version;
            }
            return;
        }
        let response = self.afterword.get_article(id).await;
        let row = self.rows.get_mut(&id).expect("the model has all rows");
        let fails = self.origin_fails || self.origin_changed.elapsed() < Duration::from_secs(5);
        let failing = fails && matches!(response.status, 502..=504);
        if LASTING.contains(&id) && !(row.may_be_missing && failing) {
            assert_eq!(response.status, 200, "{response:?}");
            if !response.cache_status().starts_with("afterword; hit") {
                assert!(row.may_be_missing, "{response:?}");
                return;
            }
            row.may_be_missing = false;
            let version = version(&response.json());
            assert!(
                (row.read..=row.version).contains(&version),
                "{} was read before: {response:?}",
                row.read
            );
            row.read = version;
        } else if response.status == 200 {
            assert!(version(&response.json()) <= row.version, "{response:?}");
        } else {
            // For a second, readers get the remembered failure of another reader.
            assert!(response.status == 404 || failing, "{response:?}");
        }
    }

    async fn kill_worker(&mut self) {
        if self.redis_down > 0 {
            return;
        }
        eprintln!("the worker is killed");
        self.afterword.kill_workers().await;
        self.afterword.start_worker().await.unwrap();
    }

    async fn restart_redis(&mut self) {
        eprintln!("Redis is started");
        self.afterword.redis.restart().await.unwrap();
        // Workers end without Redis, and whoever runs them restarts them.
        self.afterword.kill_workers().await;
        self.afterword.start_worker().await.unwrap();
    }

    fn switch_origin(&mut self) {
        self.origin_fails = !self.origin_fails;
        self.origin_changed = Instant::now();
        if self.origin_fails && self.random.u64(..6) == 0 {
            eprintln!("the origin flaps");
            return self.afterword.set_origin_faults(flapping());
        }
        let (fault, delay_ms) = match self.random.u64(..5) {
            0 => (Some(Fault::Status(503)), 0),
            1 => (Some(Fault::Html), 0),
            2 => (Some(Fault::Cut), 0),
            3 => (Some(Fault::Drop), 0),
            _ => (None, 1_500),
        };
        let faulty = RestDial {
            delay_ms,
            fault,
            ..RestDial::default()
        };
        eprintln!("the origin fails: {} ({faulty:?})", self.origin_fails);
        if self.origin_fails {
            self.afterword.set_origin_fault(faulty);
        } else {
            self.afterword.heal_origin();
        }
    }

    /// Ends all faults and compares the cache with the origin: first the rows whose webhooks were
    /// acknowledged, then all rows, after a reconciliation.
    async fn settle(mut self) {
        if self.redis_down > 0 {
            self.restart_redis().await;
        }
        self.refuse_writes("0").await;
        self.afterword.heal_origin();
        self.origin_fails = false;
        self.origin_changed = Instant::now();
        let origin = self.afterword.origin_list().await;
        wait_at_most(LIMIT, "waiting for the acknowledged changes", async || {
            for (id, _) in self.rows.iter().filter(|(_, row)| row.acknowledged) {
                self.check_item(*id, &origin).await?;
            }
            Ok(())
        })
        .await;

        // A reconciliation that has begun before would count as the one that follows.
        self.afterword.wait_until_drained().await.unwrap();
        let delete = ["DEL", &redis_key("reconciled")];
        self.afterword.redis_command::<u64>(&delete).await.unwrap();
        self.afterword.wake_worker().await;
        self.afterword.wait_until_reconciled().await.unwrap();
        assert!(self.afterword.get("/articles").await.json() == origin);
        let part = self.afterword.get("/articles?offset=1&limit=3").await;
        assert!(part.json() == json!(origin.as_array().unwrap()[1..4]));
        // The negative cache may have a row whose webhook was lost: in Redis, or, if Redis refused
        // writes, in an instance's memory.
        self.afterword.release_fetch_locks().await;
        wait_at_most(
            LIMIT,
            "waiting for the end of the negative cache",
            async || {
                for id in self.rows.keys() {
                    self.check_item(*id, &origin).await?;
                }
                Ok(())
            },
        )
        .await;
        for id in 0..=*PASSING.end() {
            self.read(id).await;
        }
    }

    /// Checks that an item equals its row.
    async fn check_item(&self, id: u64, origin: &Value) -> Result<()> {
        let response = self.afterword.get_article(id).await;
        match origin
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["id"] == id)
        {
            Some(row) => {
                let expected = self.selected(row);
                ensure!(
                    response.status == 200 && response.json() == expected,
                    "{response:?} instead of {expected}"
                );
            }
            None => ensure!(response.status == 404, "{response:?} without a row"),
        }
        Ok(())
    }

    /// The columns of a row that the present query selects.
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

/// Requests that succeed and fail in turn, a few of each.
fn flapping() -> Vec<RestDial> {
    (0..40)
        .map(|index| RestDial {
            times: Some(1 + index % 3),
            fault: (index % 2 == 0).then_some(Fault::Status(503)),
            ..RestDial::default()
        })
        .collect()
}

fn version(row: &Value) -> u64 {
    row["title"].as_str().unwrap().parse().unwrap()
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
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
            let history = AssertUnwindSafe(run(seed)).catch_unwind().await;
            history.is_err().then_some(seed)
        })
        .buffer_unordered(CONCURRENT)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(
        failed.is_empty(),
        "replay each with AFTERWORD_SEED: {failed:?}"
    );
}

async fn run(seed: u64) {
    let mut history = History::start(seed).await;
    for _ in 0..STEPS {
        history.step().await;
    }
    history.settle().await;
}
