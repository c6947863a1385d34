//! (e) Tables of 100 to 100,000 rows: what a read and the refresh of one row cost. The store is in
//! a Redis, which counts the bytes that it is sent.

use std::time::{Duration, Instant};

use afterword_scenarios::{Afterword, host_measures, redis_program};
use afterword_stack::{Redis, eventually};
use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use crate::acknowledgements::webhook;
use crate::build::Build;
use crate::connection::Connection;
use crate::request::Request;
use crate::results::Line;
use crate::series::Series;

const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];

/// The largest table, whose costs have targets.
const LARGEST: usize = SIZES[SIZES.len() - 1];

/// What a read may take with the largest table, as a ratio to the smallest.
const FLAT: f64 = 1.3;

/// What the refresh of one row may cost with the largest table.
const MAX_REQUESTS: f64 = 2.0;
const MAX_ROWS: f64 = 1_000.0;
const MAX_KILOBYTES: f64 = 600.0;

/// The reads in a round. As long as a page is the whole list, it has 20 MB.
const ITEM_READS: usize = 300;
const PAGE_READS: usize = 15;

/// The debounce window (`lua/queue.lua`), within which a second change of a key waits, and some more.
const DEBOUNCE_WINDOW: Duration = Duration::from_millis(600);

/// How long a table's list may take to be stored.
const PATIENCE: Duration = Duration::from_secs(600);

/// A table in front of an application.
struct Table {
    rows: usize,
    afterword: Afterword,
    store: Redis,
    item: Series,
    page: Series,
    refresh: Refresh,
    // Last, because it must outlive the store.
    _dir: tempfile::TempDir,
}

/// What the refreshes of one row have cost.
#[derive(Default)]
struct Refresh {
    requests: Series,
    rows: Series,
    kilobytes: Series,
    milliseconds: Series,
}

pub async fn measure(build: Build, rounds: usize) -> Result<Vec<Line>> {
    let mut tables = Vec::new();
    for rows in SIZES {
        eprintln!("storing a list of {rows} rows");
        tables.push(Table::start(build, rows).await?);
    }
    for round in 0..rounds {
        for table in &mut tables {
            table.read().await?;
            table.refresh(&format!("Round {round}")).await?;
            eprintln!("round {round} of {} rows is done", table.rows);
        }
    }
    let mut lines = Vec::new();
    let smallest = &tables[0];
    for table in &tables {
        lines.extend(table.lines(smallest));
    }
    drop(tables);
    if host_measures() {
        for rows in SIZES {
            lines.extend(memory(build, rows).await?);
        }
    }
    Ok(lines)
}

/// Stores a list of so many rows.
async fn store_list(afterword: &Afterword, rows: usize) -> Result<()> {
    afterword.insert_articles(rows);
    afterword.invalidate_list().await;
    drained(afterword).await
}

/// Waits until the queue is empty and no worker holds the lease.
async fn drained(afterword: &Afterword) -> Result<()> {
    let began = Instant::now();
    while !afterword.queue().await?.is_empty() || afterword.key_exists("lease").await? {
        ensure!(began.elapsed() < PATIENCE, "{}", afterword.log());
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

impl Table {
    async fn start(build: Build, rows: usize) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let store = Redis::start(&redis_program(), dir.path(), &["--appendonly", "no"]).await?;
        let setup = build.setup().no_articles().no_webhooks();
        let afterword = setup.store_url(store.url()).start().await;
        store_list(&afterword, rows).await?;
        let table = Self {
            rows,
            afterword,
            store,
            item: Series::default(),
            page: Series::default(),
            refresh: Refresh::default(),
            _dir: dir,
        };
        table.afterword.get(&table.item_path()).await;
        drained(&table.afterword).await?;
        Ok(table)
    }

    fn item_path(&self) -> String {
        format!("/articles/{}", self.rows / 2)
    }

    /// Reads an item and a page many times, on one connection.
    async fn read(&mut self) -> Result<()> {
        let offset = self.rows / 2;
        let item = self.item_path();
        let page = format!("/articles?limit=20&offset={offset}");
        let mut connection = Connection::open(self.afterword.address()).await?;
        for (path, reads, series) in [
            (item, ITEM_READS, &mut self.item),
            (page, PAGE_READS, &mut self.page),
        ] {
            let request = Request::get(self.afterword.address(), path);
            let mut took = Vec::new();
            for _ in 0..reads {
                let response = connection.send(&request).await?;
                ensure!(matches!(response.status, 200 | 206), "{}", response.status);
                took.push(response.took.as_secs_f64() * 1_000.0);
            }
            series.extend([Series::from_iter(took).median()]);
        }
        Ok(())
    }

    /// Changes one row, and waits until the worker has done what follows.
    async fn refresh(&mut self, title: &str) -> Result<()> {
        sleep(DEBOUNCE_WINDOW).await;
        let afterword = &self.afterword;
        let id = u32::try_from(self.rows / 2)?;
        afterword.update_title_with_sql(id, title);
        let mut connection = Connection::open(afterword.address()).await?;
        afterword.supabase().clear_requests();
        let before = received(&self.store).await?;
        let response = connection.send(&webhook(afterword.address(), id)).await?;
        ensure!(response.status == 202, "{response:?}");
        let acknowledged = Instant::now();
        drained(afterword).await?;
        let took = acknowledged.elapsed();
        let bytes = received(&self.store).await? - before;
        let requests = afterword.supabase().requests();
        let item = afterword.get(&self.item_path()).await;
        ensure!(item.body.contains(title), "{item:?}");

        let refresh = &mut self.refresh;
        refresh.requests.extend([requests.len() as f64]);
        let rows: u64 = requests.iter().map(|request| request.rows).sum();
        refresh.rows.extend([rows as f64]);
        refresh.kilobytes.extend([bytes as f64 / 1_000.0]);
        refresh.milliseconds.extend([took.as_secs_f64() * 1_000.0]);
        Ok(())
    }

    fn lines(&self, smallest: &Self) -> Vec<Line> {
        let rows = self.rows;
        let is_largest = rows == LARGEST;
        let mut lines = Vec::new();
        for (what, took, least) in [
            ("item read", &self.item, &smallest.item),
            ("page of 20", &self.page, &smallest.page),
        ] {
            let what = format!("{rows} rows: {what}");
            let ratio = took.ratio(least).median();
            let measured = format!("{took:.2} ms, {ratio:.2} × of {} rows", smallest.rows);
            lines.push(if is_largest {
                let unit = format!("× of {} rows", smallest.rows);
                Line::at_most('e', what, FLAT, &unit, ratio, measured)
            } else {
                Line::number('e', what, measured)
            });
        }
        let refresh = &self.refresh;
        for (what, series, unit, limit) in [
            ("origin requests", &refresh.requests, "", MAX_REQUESTS),
            ("origin rows", &refresh.rows, "", MAX_ROWS),
            (
                "written to the store",
                &refresh.kilobytes,
                "kB",
                MAX_KILOBYTES,
            ),
        ] {
            let what = format!("{rows} rows: refresh of one row, {what}");
            let measured = format!("{series} {unit}");
            lines.push(if is_largest {
                Line::at_most('e', what, limit, unit, series.max(), measured)
            } else {
                Line::number('e', what, measured)
            });
        }
        let what = format!("{rows} rows: refresh of one row, from the acknowledgement to the end");
        lines.push(Line::number(
            'e',
            what,
            format!("{} ms", refresh.milliseconds),
        ));
        lines
    }
}

/// The bytes that a Redis has received so far.
async fn received(redis: &Redis) -> Result<u64> {
    let info = afterword_scenarios::redis_info(&redis.url(), "stats").await?;
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix("total_net_input_bytes:"));
    Ok(value.context("Redis counts its input")?.trim().parse()?)
}

/// The memory of an instance that reads the whole list, and of the worker that refreshes a row.
async fn memory(build: Build, rows: usize) -> Result<Vec<Line>> {
    let setup = build.setup().no_articles().no_webhooks().measure();
    let afterword = setup.start().await;
    store_list(&afterword, rows).await?;
    let read = afterword.costs_of("articles", 1, async || {
        let list = afterword.get("/articles").await;
        assert_eq!(list.status, 200);
    });
    let read = read.await.iter().map(|cost| cost.memory).max();
    sleep(DEBOUNCE_WINDOW).await;
    let before = afterword.costs("refresh").len();
    afterword.invalidate(rows / 2).await;
    drained(&afterword).await?;
    // The instance ends a moment after its drain.
    let costs = eventually(PATIENCE, "waiting for the end of a worker", async || {
        let costs = afterword.costs("refresh").split_off(before);
        ensure!(!costs.is_empty(), "none has ended");
        Ok(costs)
    });
    let refresh = costs.await?.iter().map(|cost| cost.memory).max();
    let megabytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let what = |what: &str| format!("{rows} rows: guest memory of {what}");
    let lines = [
        ("a read of the whole list", read),
        ("the refresh of one row", refresh),
    ];
    let lines = lines
        .into_iter()
        .filter_map(|(name, memory)| Some(Line::number('e', what(name), megabytes(memory?))));
    Ok(lines.collect())
}
