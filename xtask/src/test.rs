//! `cargo xtask test`: builds and finds what the tests need, and runs every test.

use std::path::Path;
use std::process::ExitCode;

use afterword_stack::Host;
use anyhow::{Context, Result};
use clap::Args;

use crate::host::{self, HostKind};
use crate::manifest::ManifestKind;
use crate::packages::{FAULTS, HOST_WITH_FAULTS, SCENARIOS};
use crate::prerequisite::Prerequisite;
use crate::wasi::Wasi;
use crate::wasm_target::TargetSource;
use crate::{
    browser, build, contract, deployments, former, fuzz, manifest, node, redis_server, scenarios,
    workspace,
};

/// With spin.toml, the tests that know no manifest run, too. It is also the one that former
/// versions have.
const FIRST: (ManifestKind, Wasi) = (ManifestKind::Redis, Wasi::V03);

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask test                      everything, on the embedded host: the scenarios with each
                                        manifest of the build for WASI 0.3 in turn
  cargo xtask test --manifest http      the scenarios with spin.http.toml
  cargo xtask test --wasi 0.2           the scenarios with spin.wasi02.toml and spin.cloud.toml
  cargo xtask test webhook              the tests with `webhook` in their names
  cargo xtask test model --rounds 2000  many rounds of random histories
  cargo xtask test rollout --rollout-from HEAD~1
                                        a rollout from that commit, and back
  cargo xtask test --host spin          the scenarios under the `spin` on the PATH
  cargo xtask test -- --nocapture       arguments after -- go to the test programs")]
pub struct Flags {
    /// Run only the tests whose names contain this text
    filter: Option<String>,

    /// The host that the scenarios run on
    #[arg(long, value_enum, default_value_t = HostKind::Embedded)]
    host: HostKind,

    /// The commit with which the scenarios `rollout` begin; without it, they are left out
    #[arg(long, value_name = "COMMIT")]
    rollout_from: Option<String>,

    /// Run the scenarios with this kind of manifest only [default: with each in turn]
    ///
    /// With `redis` and WASI 0.3, the tests of the tools run, too: they know no manifest.
    #[arg(long, value_enum)]
    manifest: Option<ManifestKind>,

    /// The build of the components that the scenarios run with
    #[arg(long, value_enum, default_value_t = Wasi::V03)]
    wasi: Wasi,

    /// The rounds of the fault tests; thousands take hours [default: a few]
    #[arg(long)]
    rounds: Option<u32>,

    /// Arguments of the test programs
    #[arg(last = true)]
    args: Vec<String>,
}

/// Builds what the tests need and runs them. Returns the exit code of the last run of cargo: the
/// first that fails is the last.
///
/// # Errors
///
/// When something that the tests need is missing or does not compile.
pub async fn run(flags: Flags, source: TargetSource) -> Result<ExitCode> {
    manifest::check()?;
    let wasi = flags.wasi;
    let kinds = flags
        .manifest
        .map_or(ManifestKind::ALL.to_vec(), |kind| vec![kind]);
    let host = host::choose(Some(flags.host), wasi).await?;
    let redis = redis_server::program().await?;
    build::components(wasi, source).await?;
    build::print_sizes(wasi)?;
    let is_whole = flags.filter.is_none() && flags.host == HostKind::Embedded;
    if is_whole && kinds.iter().any(|&kind| (kind, wasi) == FIRST) {
        run_unless_missing("contract", node::prerequisite().await?, contract::run()).await?;
        run_unless_missing("fuzz", fuzz::prerequisite(), fuzz::briefly()).await?;
        deployments::run(&redis, deployments::Missing::LeaveOut).await?;
        let browser = browser::get_prerequisites().await?;
        run_unless_missing("browser", browser, browser::run(&redis)).await?;
    }
    if let Host::Embedded(_) = host {
        build::host_with_faults().await?;
    }
    let former = match &flags.rollout_from {
        Some(commit) => Some(former::build(commit, source).await?),
        None => None,
    };
    for kind in kinds {
        println!("with {}", kind.file_name(wasi));
        let former = former.as_deref().filter(|_| (kind, wasi) == FIRST);
        let mut cargo = cargo_test(&flags, (kind, wasi), &host, &redis, former)?;
        let status = cargo.status().await.context("starting cargo")?;
        if !status.success() {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `cargo test` with this manifest.
fn cargo_test(
    flags: &Flags,
    (kind, wasi): (ManifestKind, Wasi),
    host: &Host,
    redis: &Path,
    former: Option<&Path>,
) -> Result<tokio::process::Command> {
    let mut cargo = workspace::cargo("test");
    cargo.args(["--workspace", "--features", FAULTS]);
    if (kind, wasi) == FIRST {
        // No doc tests: there are none, and their empty run would be the last output.
        cargo.args(["--lib", "--bins", "--tests"]);
    } else {
        cargo.args(["--test", SCENARIOS]);
    }
    cargo.args(&flags.filter);
    cargo.env("AFTERWORD_TEST_MANIFEST", kind.name());
    cargo.env("AFTERWORD_TEST_WASI", wasi.name());
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        // More than one per processor, since scenarios mostly wait.
        cargo.env("RUST_TEST_THREADS", "4");
    }
    if let Some(manifest) = former {
        cargo.env("AFTERWORD_TEST_FORMER", manifest);
    }
    if let Some(rounds) = flags.rounds {
        cargo.env("AFTERWORD_ROUNDS", rounds.to_string());
    }
    if !flags.args.is_empty() {
        cargo.arg("--").args(&flags.args);
    }
    let host = match host {
        Host::Embedded(_) => Host::Embedded(workspace::built_program(HOST_WITH_FAULTS)),
        Host::Spin(program) => Host::Spin(program.clone()),
    };
    cargo.envs(scenarios::environment(&host, redis)?);
    Ok(cargo)
}

/// Runs tests that need more than Rust and a C compiler. If their prerequisite is missing, leaves
/// them out with a message. In CI, they fail instead.
async fn run_unless_missing(
    command: &str,
    prerequisite: Prerequisite,
    tests: impl Future<Output = Result<()>>,
) -> Result<()> {
    match prerequisite {
        Prerequisite::Missing(advice) if std::env::var_os("CI").is_none() => {
            eprintln!("left out: `cargo xtask {command}`: {advice}");
            Ok(())
        }
        _ => tests.await,
    }
}
