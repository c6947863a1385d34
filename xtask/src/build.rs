//! `cargo xtask build`: the components, and the tools that run them.

use anyhow::{Context, Result, ensure};

use crate::wasm_target::{self, WasmTarget, Way};
use crate::workspace;

/// The packages that are compiled to WebAssembly, one component each.
pub const COMPONENTS: [&str; 3] = ["articles", "revalidate", "refresh"];

/// The embedded host's package and program.
pub const HOST: &str = "afterword-host";

/// The package and program of the stand-in for Supabase.
pub const SUPABASE: &str = "afterword-supabase";

const KILOBYTE: u64 = 1_000;

/// The most that a component may be, in kilobytes: it is loaded at each start, and sent to wherever it runs. `refresh` compresses.
fn most(component: &str) -> u64 {
    if component == "refresh" { 1_100 } else { 400 }
}

/// Builds everything and prints the components' sizes.
///
/// # Errors
///
/// When there is no way to the target, or cargo fails, or a component is too large.
pub async fn run(way: Way) -> Result<()> {
    components(&wasm_target::ensure(way).await?).await?;
    tools(&[HOST, SUPABASE]).await?;
    sizes()
}

/// Prints the components' sizes.
///
/// # Errors
///
/// When one is not there, or too large.
pub fn sizes() -> Result<()> {
    for component in COMPONENTS {
        let file = workspace::target()
            .join(wasm_target::NAME)
            .join("release")
            .join(format!("{component}.wasm"));
        let size = file
            .metadata()
            .with_context(|| format!("reading {}", file.display()))?
            .len();
        let most = most(component);
        ensure!(
            size <= most * KILOBYTE,
            "{component} is of {} kB, and may be of {most} at most",
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

/// Compiles the three components.
///
/// # Errors
///
/// When cargo fails; it has said why on standard error.
pub async fn components(target: &WasmTarget) -> Result<()> {
    let mut cargo = workspace::cargo("build");
    cargo.args(["--release", "--target", wasm_target::NAME]);
    cargo.args(COMPONENTS.iter().flat_map(|package| ["-p", package]));
    target.apply(&mut cargo).await?;
    let status = cargo.status().await.context("starting cargo")?;
    ensure!(
        status.success(),
        "the components do not compile; cargo's messages are above"
    );
    Ok(())
}

/// Compiles native programs of this workspace.
///
/// # Errors
///
/// When cargo fails; it has said why on standard error.
pub async fn tools(packages: &[&str]) -> Result<()> {
    let mut cargo = workspace::cargo("build");
    cargo.args(packages.iter().flat_map(|package| ["-p", package]));
    let status = cargo.status().await.context("starting cargo")?;
    ensure!(
        status.success(),
        "{} cannot be built; cargo's messages are above",
        packages.join(" and ")
    );
    Ok(())
}
