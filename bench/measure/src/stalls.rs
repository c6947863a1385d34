//! (g) Stalls. A response whose head leaves before its body waits 40 ms for the client's delayed
//! acknowledgement: `afterword::host::http_server::respond`.

use std::time::Duration;

use afterword_scenarios::Setup;
use anyhow::Result;

use crate::build::Build;
use crate::connection::send_many;
use crate::limit::Limit;
use crate::request::Request;
use crate::results::Line;
use crate::series::Series;

/// A response that takes longer has stalled.
const STALL: Duration = Duration::from_millis(35);

/// The numbers of connections.
const CONNECTIONS: [usize; 3] = [1, 4, 16];

/// The requests of a round over all connections.
const REQUESTS: usize = 4_000;

pub async fn measure(build: Build, rounds: usize) -> Result<Vec<Line>> {
    let mut lines = on_store("SQLite", build, build.setup(), rounds).await?;
    lines.extend(on_store("Redis", build, build.setup().shared_store(), rounds).await?);
    Ok(lines)
}

async fn on_store(store: &str, build: Build, setup: Setup, rounds: usize) -> Result<Vec<Line>> {
    let afterword = setup.start().await;
    let article = afterword.wait_for_hit("/articles/7").await;
    let limit = Limit::start(build, &afterword.redis.url(), afterword.runtime_config()).await?;
    let own = Request::get(afterword.address(), "/articles/7");
    let least = Request::get(&limit.address(), format!("/get/{}", article.bytes.len()));
    let mut lines = Vec::new();
    for connections in CONNECTIONS {
        let (mut stalls, mut least_stalls) = (Series::default(), Series::default());
        for round in 0..rounds {
            for (name, request, stalls) in [
                ("article", &own, &mut stalls),
                ("one get", &least, &mut least_stalls),
            ] {
                let count = REQUESTS / connections;
                let took = send_many(request, connections, count, 200).await?;
                let stalled = took.iter().filter(|took| **took > STALL).count();
                eprintln!(
                    "round {round}, {store} store, {connections} connections, {name}: {stalled} of \
                     {REQUESTS} stalled"
                );
                stalls.extend([stalled as f64 * 1_000.0 / REQUESTS as f64]);
            }
        }
        // All rounds together, since single stalls are rare.
        let mean = |series: &Series| series.sum() / rounds as f64;
        let (stalls, least) = (mean(&stalls), mean(&least_stalls));
        let (target, is_met) = match connections {
            1 => ("0".to_owned(), stalls == 0.0),
            _ => (
                "fewer than one get".to_owned(),
                stalls < least || stalls == 0.0,
            ),
        };
        lines.push(Line {
            letter: 'g',
            what: format!("stalls per thousand, {store} store, {connections} connections"),
            target: Some((target, is_met)),
            measured: format!("{stalls:.2}; one get {least:.2}"),
        });
    }
    Ok(lines)
}
