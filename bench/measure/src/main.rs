//! `afterword-bench`: what Afterword costs, measured beside the least components (`bench/limit`) and
//! in front of the stand-in for Supabase. `cargo xtask bench` builds what it needs and runs it.
//!
//! | module | content |
//! | --- | --- |
//! | `hits` | (a) cached article, 304 and list of 25 |
//! | `acknowledgements` | (b) acknowledgements |
//! | `freshness` | (c) from the acknowledgement to a fresh read |
//! | `burst` | (d) a burst of webhooks |
//! | `table_sizes` | (e) tables of 100 to 100,000 rows |
//! | `cold_key` | (f) a crowd that reads a missing key |
//! | `stalls` | (g) responses that take more than 35 ms |
//! | `fuel` | (h) WebAssembly instructions |
//! | `limit` | the running baselines |
//! | `request`, `wrk`, `connection` | requests, and the two clients that send them |
//! | `contest` | contenders that are measured in turn |
//! | `series` | the median and the spread of some numbers |
//! | `results` | the table |

mod acknowledgements;
mod burst;
mod cold_key;
mod connection;
mod contest;
mod freshness;
mod fuel;
mod hits;
mod limit;
mod request;
mod results;
mod series;
mod stalls;
mod table_sizes;
mod wrk;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use results::{Line, Run};
use wrk::Wrk;

/// A measurement of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measurement {
    A,
    B,
    C,
    D,
    E,
    F,
    G,
    H,
}

#[derive(Parser)]
struct Arguments {
    /// The program wrk
    #[arg(long)]
    wrk: PathBuf,

    /// The rounds of each measurement
    #[arg(long)]
    rounds: usize,

    /// The measurements, such as a,b [default: all]
    #[arg(long, value_delimiter = ',')]
    only: Vec<Measurement>,

    /// The host's name in the table
    #[arg(long)]
    host: String,

    /// The commit in the table
    #[arg(long)]
    commit: String,

    /// The file of the table. Without one, it is only printed
    #[arg(long)]
    results: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut lines = Vec::new();
    for measurement in Measurement::value_variants() {
        if arguments.only.is_empty() || arguments.only.contains(measurement) {
            let measured = measure(*measurement, &arguments).await?;
            measured.iter().for_each(|line| println!("{line}"));
            lines.extend(measured);
        }
    }
    let run = Run {
        host: arguments.host,
        commit: arguments.commit,
        rounds: arguments.rounds,
        lines,
    };
    match &arguments.results {
        Some(file) => run.write(file),
        None => Ok(()),
    }
}

async fn measure(measurement: Measurement, arguments: &Arguments) -> Result<Vec<Line>> {
    let rounds = arguments.rounds;
    let wrk = Wrk::new(&arguments.wrk);
    match measurement {
        Measurement::A => hits::measure(&wrk, rounds).await,
        Measurement::B => acknowledgements::measure(&wrk, rounds).await,
        Measurement::C => freshness::measure(rounds).await,
        Measurement::D => burst::measure(rounds).await,
        Measurement::E => table_sizes::measure(rounds).await,
        Measurement::F => cold_key::measure(rounds).await,
        Measurement::G => stalls::measure(rounds).await,
        Measurement::H => Ok(fuel::measure().await),
    }
}
