//! `cargo xtask build`: builds the components and the tools that run them.

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::process::Command;

use crate::packages::{
    COMPONENTS, FAULTS, HOST, HOST_WITH_FAULTS, LIMIT, LIMIT_02, SUPABASE, WASM_TARGET,
};
use crate::wasi::Wasi;
use crate::wasm_target::{self, TargetSource};
use crate::workspace;

const KILOBYTE: u64 = 1_000;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask build                     for Spin 4.1, into target
  cargo xtask build --wasi 0.2          for SpinKube's shim and Fermyon Cloud, into target/wasi02")]
pub struct Flags {
    /// The version of WASI that the components are built for
    #[arg(long, value_enum, default_value_t = Wasi::V03)]
    wasi: Wasi,
}

/// The size limit of a component in kilobytes, since hosts load it at each start. The workers
/// contain compressors, and `status` a page. The build for WASI 0.2 may be a tenth larger.
fn size_limit(component: &str, wasi: Wasi) -> u64 {
    let limit = match component {
        "refresh" => 1_360,
        "refresh-http" => 1_400,
        "status" => 940,
        "articles" => 600,
        _ => 540,
    };
    match wasi {
        Wasi::V02 => limit + limit / 10,
        Wasi::V03 => limit,
    }
}

/// Builds everything and prints the components' sizes.
///
/// # Errors
///
/// When the target cannot be had, cargo fails, or a component is too large.
pub async fn run(flags: Flags, source: TargetSource) -> Result<()> {
    components(flags.wasi, source).await?;
    programs(&[HOST, SUPABASE]).await?;
    print_sizes(flags.wasi)
}

/// Prints the components' sizes.
///
/// # Errors
///
/// When a component is missing or too large.
pub fn print_sizes(wasi: Wasi) -> Result<()> {
    for component in COMPONENTS {
        let file = workspace::root().join(wasi.component(component));
        let size = file
            .metadata()
            .with_context(|| format!("reading {}", file.display()))?
            .len();
        let limit = size_limit(component, wasi);
        ensure!(
            size <= limit * KILOBYTE,
            "{component} has {} kB, more than its limit of {limit} kB",
            size.div_ceil(KILOBYTE)
        );
        println!(
            "{component:<12} {:>4} kB  {}",
            size.div_ceil(KILOBYTE),
            file.display()
        );
    }
    Ok(())
}

/// Gets the target and compiles the components.
///
/// # Errors
///
/// When the target cannot be had, or cargo fails.
pub async fn components(wasi: Wasi, source: TargetSource) -> Result<()> {
    let environment = wasm_target::ensure(source).await?;
    let target = workspace::root().join(wasi.folder());
    // One package at a time: with several, cargo would unify the features of what they share.
    for component in COMPONENTS {
        let mut cargo = workspace::cargo_into("rustc", &target);
        cargo
            .args(wasi.rustc_arguments(component))
            .envs(environment.clone());
        build(cargo, component).await?;
    }
    Ok(())
}

/// Gets the target and compiles the benchmark's baselines.
///
/// # Errors
///
/// When the target cannot be had, or cargo fails.
pub async fn baselines(wasi: Wasi, source: TargetSource) -> Result<()> {
    let environment = wasm_target::ensure(source).await?;
    let package = match wasi {
        Wasi::V02 => LIMIT_02,
        Wasi::V03 => LIMIT,
    };
    let mut cargo = workspace::cargo("build");
    cargo
        .args(["--release", "--target", WASM_TARGET, "--examples"])
        .args(["--package", package])
        .envs(environment);
    build(cargo, package).await
}

/// Compiles native programs of this workspace.
///
/// # Errors
///
/// When cargo fails.
pub async fn programs(programs: &[&str]) -> Result<()> {
    let mut cargo = build_programs();
    cargo.args(programs.iter().flat_map(|program| ["--bin", program]));
    build(cargo, &programs.join(" and ")).await
}

/// Compiles the embedded host with fault dials.
///
/// # Errors
///
/// When cargo fails.
pub async fn host_with_faults() -> Result<()> {
    let mut cargo = build_programs();
    cargo.args(["--features", FAULTS, "--bin", HOST_WITH_FAULTS]);
    build(cargo, HOST_WITH_FAULTS).await
}

/// `cargo build` of programs.
///
/// `--workspace` makes cargo unify the features of all dependencies over all packages, as in
/// `cargo test --workspace`. So every program and every test shares one compiled wasmtime and one
/// tokio, whichever programs a command needs. With `--package`, each selection of packages would
/// have its own features, and compile its own wasmtime for a minute.
fn build_programs() -> Command {
    let mut cargo = workspace::cargo("build");
    cargo.arg("--workspace");
    cargo
}

async fn build(mut cargo: Command, what: &str) -> Result<()> {
    let status = cargo.status().await.context("starting cargo")?;
    ensure!(
        status.success(),
        "cannot build {what}; cargo's messages are above"
    );
    Ok(())
}
