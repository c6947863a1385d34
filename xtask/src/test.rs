//! `cargo xtask test`: every test, with what it needs built and found.

use std::path::Path;
use std::process::ExitCode;

use afterword_stack::Host;
use anyhow::{Context, Result};
use clap::Args;

use crate::doctor::Outlook;
use crate::programs::{self, HostKind};
use crate::wasm_target::{self, Way};
use crate::{build, contract, fuzz, workspace};

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask test                      everything, on the embedded host
  cargo xtask test webhook              the tests with `webhook` in their names
  cargo xtask test model --rounds 2000  the random histories, at length
  cargo xtask test --host spin          the scenarios under the `spin` on the PATH
  cargo xtask test -- --nocapture       what comes after -- goes to the test programs")]
pub struct Flags {
    /// Run only the tests whose names contain this
    filter: Option<String>,

    /// What the scenarios run the components on
    #[arg(long, value_enum, default_value_t = HostKind::Embedded)]
    host: HostKind,

    /// How many rounds the fault tests run: a few if not given, thousands take hours
    #[arg(long)]
    rounds: Option<u32>,

    /// Arguments of the test programs
    #[arg(last = true)]
    args: Vec<String>,
}

/// Builds what the tests need and runs them; the result is cargo's.
///
/// # Errors
///
/// When something that the tests need is missing or does not compile.
pub async fn run(flags: Flags, way: Way) -> Result<ExitCode> {
    let host = programs::host(Some(flags.host)).await?;
    let redis = programs::redis().await?;
    build::components(&wasm_target::ensure(way).await?).await?;
    build::sizes()?;
    if flags.filter.is_none() && flags.host == HostKind::Embedded {
        beside(contract::outlook().await?, "contract", contract::run()).await?;
        beside(fuzz::outlook(), "fuzz", fuzz::briefly()).await?;
    }

    let mut cargo = workspace::cargo("test");
    // Not the examples in the documentation, of which there are none: their empty run would come last.
    cargo.args(["--workspace", "--lib", "--bins", "--tests"]);
    cargo.args(&flags.filter);
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        // More than the usual one for each processor: scenarios mostly wait.
        cargo.env("RUST_TEST_THREADS", "4");
    }
    if let Some(rounds) = flags.rounds {
        cargo.env("AFTERWORD_ROUNDS", rounds.to_string());
    }
    if !flags.args.is_empty() {
        cargo.arg("--").args(&flags.args);
    }
    match &host {
        Host::Embedded(program) => {
            build::tools(&[build::HOST]).await?;
            cargo
                .env("AFTERWORD_TEST_HOST", "embedded")
                .env("AFTERWORD_HOST_PROGRAM", program)
        }
        Host::Spin(program) => cargo
            .env("AFTERWORD_TEST_HOST", "spin")
            .env("AFTERWORD_SPIN_PROGRAM", program),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folder = redis.parent().unwrap_or(Path::new("")).to_owned();
    cargo.env(
        "PATH",
        std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path)))?,
    );
    let status = cargo.status().await.context("starting cargo")?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs tests that take more than Rust and a C compiler. Where that is missing they are left out, with a word about it; CI has to have
/// it.
async fn beside(
    outlook: Outlook,
    name: &str,
    tests: impl Future<Output = Result<()>>,
) -> Result<()> {
    match outlook {
        Outlook::Missing(advice) if std::env::var_os("CI").is_none() => {
            eprintln!("left out: `cargo xtask {name}`: {advice}");
            Ok(())
        }
        _ => tests.await,
    }
}
