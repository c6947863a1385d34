//! (c) How long after its acknowledgement a change is read.

use std::time::{Duration, Instant};

use afterword_scenarios::Afterword;
use anyhow::{Result, ensure};
use tokio::time::sleep;

use crate::acknowledgements::webhook;
use crate::build::Build;
use crate::connection::{Connection, read_until};
use crate::request::Request;
use crate::results::Line;
use crate::series::Series;

/// The delays of the origin in milliseconds.
const DELAYS: [u32; 3] = [0, 50, 500];

/// What Afterword may add to the delay, in milliseconds.
const TARGET: u32 = 15;

/// The changes in a round.
const CHANGES: usize = 3;

/// The articles, which are changed in turn.
const ARTICLES: usize = 25;

/// The debounce window (`lua/queue.lua`), within which a second change of a key waits, and some more.
const DEBOUNCE_WINDOW: Duration = Duration::from_millis(600);

pub async fn measure(build: Build, rounds: usize) -> Result<Vec<Line>> {
    let setup = build.setup().no_articles().no_webhooks();
    let afterword = setup.start().await;
    afterword.insert_articles(ARTICLES);
    afterword.invalidate_list().await;
    for id in 1..=ARTICLES {
        afterword.get(&format!("/articles/{id}")).await;
    }
    afterword.wait_until_drained().await?;
    sleep(DEBOUNCE_WINDOW).await;
    let mut ids = (1..=ARTICLES).cycle();
    let mut lines = Vec::new();
    let mut series = vec![Series::default(); DELAYS.len()];
    for round in 0..rounds {
        for (delay, series) in DELAYS.iter().zip(&mut series) {
            afterword.slow_origin((*delay).into());
            for _ in 0..CHANGES {
                let id = ids.next().unwrap_or(1);
                let took = change(&afterword, id, &format!("{round} {delay} {id}")).await?;
                eprintln!(
                    "round {round}, origin delay {delay} ms: {} ms",
                    took.as_millis()
                );
                series.extend([took.as_secs_f64() * 1_000.0]);
            }
        }
    }
    for (delay, series) in DELAYS.iter().zip(&series) {
        let target = f64::from(delay + TARGET);
        lines.push(Line::at_most(
            'c',
            format!("acknowledgement to fresh read, origin delay {delay} ms"),
            target,
            "ms at the median",
            series.median(),
            format!("{series:.1} ms"),
        ));
    }
    Ok(lines)
}

/// Changes an article, and returns the time from the acknowledgement to the first fresh read.
async fn change(afterword: &Afterword, id: usize, title: &str) -> Result<Duration> {
    afterword.update_title_with_sql(u32::try_from(id)?, title);
    let mut connection = Connection::open(afterword.address()).await?;
    let webhook = webhook(afterword.address(), u32::try_from(id)?);
    let read = Request::get(afterword.address(), format!("/articles/{id}"));
    let response = connection.send(&webhook).await?;
    ensure!(response.status == 202, "{response:?}");
    let acknowledged = Instant::now();
    read_until(&mut connection, &read, |content| content.contains(title)).await?;
    let took = acknowledged.elapsed();
    afterword.wait_until_drained().await?;
    sleep(DEBOUNCE_WINDOW).await;
    Ok(took)
}
