//! Contenders that are measured in turn, so that a change of the machine's speed concerns all.

use anyhow::Result;

use crate::request::Request;
use crate::series::Series;
use crate::wrk::Wrk;

/// The responses in a second of each request, in so many rounds. Each round begins with another one.
///
/// # Errors
/// wrk fails.
pub async fn rates(
    wrk: &Wrk,
    rounds: usize,
    connections: usize,
    contenders: &[(&str, Request)],
) -> Result<Vec<Series>> {
    let mut rates = vec![Series::default(); contenders.len()];
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            let (name, request) = &contenders[at];
            let rate = wrk.run(request, connections).await?;
            eprintln!("round {round}, {connections} connections, {name}: {rate:.0} in a second");
            rates[at].extend([rate]);
        }
    }
    Ok(rates)
}
