//! `cargo xtask bench`: measures what Afterword costs, beside the least components. The measurements
//! are in `bench/measure`, the least components in `bench/limit`.

use std::process::ExitCode;

use afterword_stack::Host;
use anyhow::{Context, Result};
use clap::Args;

use crate::debian::wrk;
use crate::host::{self, HostKind, Spin};
use crate::packages::{BENCH, HOST};
use crate::wasi::Wasi;
use crate::wasm_target::TargetSource;
use crate::{build, redis_server, scenarios, workspace};

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench                     everything, on the embedded host
  cargo xtask bench --host spin         everything, under the `spin` on the PATH
  cargo xtask bench --wasi 0.2          both builds side by side
  cargo xtask bench --only a,g          two of the measurements; prints the table only

Measurements:
  a  cached article, 304, list of 25    e  tables of 100 to 100,000 rows
  b  acknowledgement                    f  1,000 readers of a cold key
  c  acknowledgement to fresh read      g  stalled responses
  d  a burst of 10,000 webhooks         h  fuel (the embedded host only)")]
pub struct Flags {
    /// What runs the components
    #[arg(long, value_enum, default_value_t = HostKind::Embedded)]
    host: HostKind,

    /// The version of WASI that the components are built for. With 0.2, the build for WASI 0.3 is
    /// measured beside it
    #[arg(long, value_enum, default_value_t = Wasi::V03)]
    wasi: Wasi,

    /// The rounds of each measurement
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// Only these measurements, such as a,b: prints the table, and leaves bench/RESULTS.md alone
    #[arg(long, value_name = "LETTERS")]
    only: Option<String>,
}

/// Builds what the measurements need, runs them, and writes the table to `bench/RESULTS.md`.
///
/// # Errors
///
/// When something is missing or does not compile.
pub async fn run(flags: Flags, source: TargetSource) -> Result<ExitCode> {
    let host = host::choose(Some(flags.host), Wasi::V03).await?;
    let redis = redis_server::program().await?;
    let wrk = wrk().await?;
    let builds = match flags.wasi {
        Wasi::V03 => vec![Wasi::V03],
        Wasi::V02 => Wasi::ALL.to_vec(),
    };
    for build in &builds {
        build::components(*build, source).await?;
        build::baselines(*build, source).await?;
    }
    build::programs(&[HOST, BENCH]).await?;

    let mut bench = tokio::process::Command::new(workspace::built_program(BENCH));
    bench
        .arg("--wrk")
        .arg(wrk)
        .args(["--rounds", &flags.rounds.to_string()])
        .args([
            "--wasi",
            &builds
                .iter()
                .map(|it| it.name())
                .collect::<Vec<_>>()
                .join(","),
        ])
        .args(["--host", &name(&host).await?])
        .args(["--commit", &commit().await])
        .envs(scenarios::environment(&host, &redis)?)
        // As cargo would set it: the scenarios find the manifests by it.
        .env(
            "CARGO_MANIFEST_DIR",
            workspace::root().join("bench/measure"),
        )
        .kill_on_drop(true);
    match flags.only {
        Some(letters) => bench.args(["--only", &letters]),
        None => bench
            .arg("--results")
            .arg(workspace::root().join("bench/RESULTS.md")),
    };
    let status = bench.status().await.context("starting the benchmark")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The host's name in the table.
async fn name(host: &Host) -> Result<String> {
    Ok(match (host, Spin::find(Wasi::V03).await?) {
        (Host::Spin(_), Spin::Usable { version, .. }) => format!("Spin {version}"),
        (Host::Spin(_), _) => "Spin".to_owned(),
        (Host::Embedded(_), _) => "The embedded host, a development build".to_owned(),
    })
}

/// The commit that is checked out, with a mark if files differ from it.
async fn commit() -> String {
    let mut git = tokio::process::Command::new("git");
    git.args(["describe", "--always", "--dirty", "--exclude", "*"])
        .current_dir(workspace::root());
    let commit = workspace::output(git).await;
    commit.unwrap_or_else(|_| "unknown".to_owned())
}
