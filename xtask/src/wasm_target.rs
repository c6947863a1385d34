//! The target that components are compiled for, and the ways to get it.

use std::ffi::OsString;
use std::time::Duration;

use afterword_stack::find_program;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use tokio::process::Command;
use tokio::time::timeout;

use crate::debian::RustCompiler;
use crate::packages::WASM_TARGET;
use crate::prerequisite::Prerequisite;
use crate::workspace;

/// How long rustup may take to fetch some 20 MB. If its server is unreachable, rustup retries for
/// minutes.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

const ADVICE: &str =
    "install it with `rustup target add wasm32-wasip2`, and run `cargo xtask doctor` to check";

/// Where the compiler for the target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TargetSource {
    /// The first of the others that works
    Auto,
    /// The compiler in use has the target
    Installed,
    /// `rustup target add wasm32-wasip2`
    Rustup,
    /// Debian's compiler, unpacked into target/debian-rust
    Debian,
}

/// Environment variables that make cargo compile for the target. An installed target needs none.
pub type CargoEnvironment = Vec<(&'static str, OsString)>;

/// Makes the target available.
///
/// # Errors
///
/// When `source`, or with [`TargetSource::Auto`] every source, fails. The error gives advice.
pub async fn ensure(source: TargetSource) -> Result<CargoEnvironment> {
    match source {
        TargetSource::Installed => {
            ensure!(
                is_installed().await?,
                "the Rust compiler in use lacks the target {WASM_TARGET}; {ADVICE}"
            );
            Ok(CargoEnvironment::new())
        }
        TargetSource::Rustup => {
            add_by_rustup().await?;
            Ok(CargoEnvironment::new())
        }
        TargetSource::Debian => RustCompiler::get().await?.cargo_environment().await,
        TargetSource::Auto => {
            if is_installed().await? {
                return Ok(CargoEnvironment::new());
            }
            if let Some(compiler) = RustCompiler::existing() {
                return compiler.cargo_environment().await;
            }
            let Err(rustup) = add_by_rustup().await else {
                return Ok(CargoEnvironment::new());
            };
            eprintln!("{WASM_TARGET}: {rustup:#}; trying Debian's packages");
            match RustCompiler::get().await {
                Ok(compiler) => compiler.cargo_environment().await,
                Err(debian) => {
                    bail!("cannot get the target {WASM_TARGET}: {rustup:#}; {debian:#}; {ADVICE}")
                }
            }
        }
    }
}

/// What [`ensure()`] would do.
///
/// # Errors
///
/// When the compiler does not list its targets.
pub async fn prerequisite(source: TargetSource) -> Result<Prerequisite> {
    let installed = is_installed().await?;
    let unpacked = RustCompiler::existing().is_some();
    Ok(match source {
        TargetSource::Auto | TargetSource::Installed | TargetSource::Rustup if installed => {
            Prerequisite::Installed("the compiler in use has it".into())
        }
        TargetSource::Auto | TargetSource::Debian if unpacked => {
            Prerequisite::Installed("Debian's compiler in target/debian-rust".into())
        }
        TargetSource::Installed => Prerequisite::Missing(ADVICE.into()),
        TargetSource::Auto | TargetSource::Rustup if find_program("rustup").is_some() => {
            Prerequisite::Fetchable("`up` runs `rustup target add wasm32-wasip2`".into())
        }
        TargetSource::Rustup => Prerequisite::Missing(
            "there is no rustup on the PATH; install it from https://rustup.rs".into(),
        ),
        TargetSource::Auto | TargetSource::Debian => match RustCompiler::obstacle() {
            None => Prerequisite::Fetchable(
                "`up` fetches Debian's compiler (190 MB) into target/debian-rust".into(),
            ),
            Some(obstacle) => Prerequisite::Missing(format!("{obstacle}; {ADVICE}")),
        },
    })
}

async fn is_installed() -> Result<bool> {
    let mut rustc = workspace::rustc();
    rustc.args(["--print", "target-libdir", "--target", WASM_TARGET]);
    let folder = workspace::output(rustc)
        .await
        .context("asking the Rust compiler for its targets")?;
    let Ok(mut files) = std::fs::read_dir(folder) else {
        return Ok(false);
    };
    Ok(files.any(|file| {
        file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
    }))
}

async fn add_by_rustup() -> Result<()> {
    let rustup = find_program("rustup").context("there is no rustup on the PATH")?;
    eprintln!("{WASM_TARGET}: rustup target add {WASM_TARGET}");
    let mut command = Command::new(rustup);
    command
        .args(["target", "add", WASM_TARGET])
        .current_dir(workspace::root())
        .kill_on_drop(true);
    match timeout(RUSTUP_LIMIT, command.status()).await {
        Err(_) => bail!("rustup took more than {} seconds", RUSTUP_LIMIT.as_secs()),
        Ok(status) => ensure!(
            status.context("starting rustup")?.success(),
            "rustup failed"
        ),
    }
    ensure!(
        is_installed().await?,
        "rustup added the target, but not to the compiler in use"
    );
    Ok(())
}
