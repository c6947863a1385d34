//! Contenders that are measured in turn, so that a change of the machine's speed concerns all.

use anyhow::Result;

use crate::build::Build;
use crate::request::Request;
use crate::results::Line;
use crate::series::Series;
use crate::wrk::Wrk;

/// The numbers of connections.
const CONNECTIONS: [usize; 2] = [1, 16];

/// A build's contenders, each with a name.
pub type Contenders = (Build, Vec<(&'static str, Request)>);

/// Measures the contenders of all builds in turn, with each number of connections. `lines` makes a
/// build's lines out of that number in words and the rates of its contenders.
///
/// # Errors
/// wrk fails.
pub async fn compare(
    wrk: &Wrk,
    rounds: usize,
    builds: &[Contenders],
    lines: impl Fn(&str, &[Series]) -> Vec<Line>,
) -> Result<Vec<Vec<Line>>> {
    let mut columns = vec![Vec::new(); builds.len()];
    for connections in CONNECTIONS {
        let at = match connections {
            1 => "1 connection".to_owned(),
            _ => format!("{connections} connections"),
        };
        let mut rates = rates(wrk, rounds, connections, builds).await?.into_iter();
        for ((_, contenders), column) in builds.iter().zip(&mut columns) {
            let rates: Vec<_> = rates.by_ref().take(contenders.len()).collect();
            column.extend(lines(&at, &rates));
        }
    }
    Ok(columns)
}

/// The responses in a second of each request, in so many rounds. Each round begins with another.
async fn rates(
    wrk: &Wrk,
    rounds: usize,
    connections: usize,
    builds: &[Contenders],
) -> Result<Vec<Series>> {
    let contenders: Vec<_> = builds
        .iter()
        .flat_map(|(build, contenders)| contenders.iter().map(move |it| (build.name(), it)))
        .collect();
    let mut rates = vec![Series::default(); contenders.len()];
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            let (build, (name, request)) = contenders[at];
            let rate = wrk.run(request, connections).await?;
            eprintln!(
                "round {round}, {connections} connections, {name}, {build}: {rate:.0} in a second"
            );
            rates[at].extend([rate]);
        }
    }
    Ok(rates)
}
