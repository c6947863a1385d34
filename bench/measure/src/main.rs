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
//! | `build` | the builds that are measured side by side |
//! | `limit` | the running baselines |
//! | `request`, `wrk`, `connection` | requests, and the two clients that send them |
//! | `contest` | contenders that are measured in turn |
//! | `series` | the median and the spread of some numbers |
//! | `results` | the table |

mod acknowledgements;
mod build;
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

use build::Build;
use results::{Line, Run, rows};
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

    /// The builds, such as 0.3,0.2
    #[arg(long, value_delimiter = ',', required = true)]
    wasi: Vec<Build>,

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
    let builds: Vec<_> = arguments.wasi.iter().map(|build| build.name()).collect();
    let mut lines = Vec::new();
    for measurement in Measurement::value_variants() {
        if arguments.only.is_empty() || arguments.only.contains(measurement) {
            let measured = rows(&measure(*measurement, &arguments).await?);
            measured.iter().for_each(|row| println!("{row}"));
            lines.extend(measured);
        }
    }
    let run = Run {
        host: arguments.host,
        commit: arguments.commit,
        rounds: arguments.rounds,
        builds,
        rows: lines,
    };
    match &arguments.results {
        Some(file) => run.write(file),
        None => Ok(()),
    }
}

/// The lines of each build. Those that are compared with baselines by their speed take turns.
async fn measure(measurement: Measurement, arguments: &Arguments) -> Result<Vec<Vec<Line>>> {
    let (rounds, builds) = (arguments.rounds, &arguments.wasi[..]);
    let wrk = Wrk::new(&arguments.wrk);
    match measurement {
        Measurement::A => hits::measure(&wrk, rounds, builds).await,
        Measurement::B => acknowledgements::measure(&wrk, rounds, builds).await,
        Measurement::C => each(builds, async |it| freshness::measure(it, rounds).await).await,
        Measurement::D => each(builds, async |it| burst::measure(it, rounds).await).await,
        Measurement::E => each(builds, async |it| table_sizes::measure(it, rounds).await).await,
        Measurement::F => each(builds, async |it| cold_key::measure(it, rounds).await).await,
        Measurement::G => each(builds, async |it| stalls::measure(it, rounds).await).await,
        Measurement::H => each(builds, async |it| Ok(fuel::measure(it).await)).await,
    }
}

/// Measures one build after the other.
async fn each(
    builds: &[Build],
    measure: impl AsyncFn(Build) -> Result<Vec<Line>>,
) -> Result<Vec<Vec<Line>>> {
    let mut columns = Vec::new();
    for build in builds {
        eprintln!("{}:", build.name());
        columns.push(measure(*build).await?);
    }
    Ok(columns)
}
