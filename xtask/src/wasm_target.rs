//! The target that components are compiled for, and the ways to get it.

use std::time::Duration;

use afterword_stack::find_program;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use tokio::process::Command;
use tokio::time::timeout;

use crate::debian_rust::DebianRust;
use crate::doctor::Outlook;
use crate::workspace;

/// Rust's name for WASI components.
pub const NAME: &str = "wasm32-wasip2";

/// How long rustup may try: it fetches some 20 MB, and where its server is unreachable it would retry for minutes.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// Which way to take to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// The first of the others that works
    Auto,
    /// The compiler in use has it
    Installed,
    /// `rustup target add wasm32-wasip2`
    Rustup,
    /// A compiler that has it, from Debian's packages, unpacked into target/debian-rust
    Debian,
}

/// A way that has led to the target.
#[derive(Debug)]
pub enum WasmTarget {
    /// The compiler in use compiles for it.
    Installed,
    /// Debian's compiler does.
    Debian(DebianRust),
}

/// Makes the target available, by `way`.
///
/// # Errors
///
/// When that way, or with [`Way::Auto`] every way, fails: why, and what to do.
pub async fn ensure(way: Way) -> Result<WasmTarget> {
    match way {
        Way::Installed => {
            ensure!(
                is_installed().await?,
                "the Rust compiler in use has no {NAME}; {ADVICE}"
            );
            Ok(WasmTarget::Installed)
        }
        Way::Rustup => by_rustup().await.map(|()| WasmTarget::Installed),
        Way::Debian => by_debian().await.map(WasmTarget::Debian),
        Way::Auto => {
            if is_installed().await? {
                return Ok(WasmTarget::Installed);
            }
            if let Some(debian) = DebianRust::existing() {
                return Ok(WasmTarget::Debian(debian));
            }
            let Err(rustup) = by_rustup().await else {
                return Ok(WasmTarget::Installed);
            };
            eprintln!("{NAME}: {rustup:#}; trying Debian's packages");
            match by_debian().await {
                Ok(debian) => Ok(WasmTarget::Debian(debian)),
                Err(debian) => {
                    bail!("there is no way to the target {NAME}: {rustup:#}; {debian:#}; {ADVICE}")
                }
            }
        }
    }
}

const ADVICE: &str =
    "install it with `rustup target add wasm32-wasip2`, and run `cargo xtask doctor` to check";

/// What [`ensure()`] would do, without doing it.
///
/// # Errors
///
/// When the compiler cannot be asked.
pub async fn outlook(way: Way) -> Result<Outlook> {
    let installed = is_installed().await?;
    let unpacked = DebianRust::existing().is_some();
    Ok(match way {
        Way::Auto | Way::Installed | Way::Rustup if installed => {
            Outlook::Here("the compiler in use has it".into())
        }
        Way::Auto | Way::Debian if unpacked => {
            Outlook::Here("Debian's compiler in target/debian-rust".into())
        }
        Way::Installed => Outlook::Missing(ADVICE.into()),
        Way::Auto | Way::Rustup if find_program("rustup").is_some() => {
            Outlook::Fetched("`up` runs `rustup target add wasm32-wasip2`".into())
        }
        Way::Rustup => {
            Outlook::Missing("there is no rustup on the PATH; get it from https://rustup.rs".into())
        }
        Way::Auto | Way::Debian => match DebianRust::obstacle() {
            None => Outlook::Fetched(
                "`up` fetches Debian's compiler (190 MB) into target/debian-rust".into(),
            ),
            Some(obstacle) => Outlook::Missing(format!("{obstacle}; {ADVICE}")),
        },
    })
}

impl WasmTarget {
    /// Makes `cargo` compile with it.
    ///
    /// # Errors
    ///
    /// When the toolchain in use has no linker for components.
    pub async fn apply(&self, cargo: &mut Command) -> Result<()> {
        match self {
            Self::Installed => Ok(()),
            Self::Debian(debian) => debian.apply(cargo).await,
        }
    }
}

async fn is_installed() -> Result<bool> {
    let mut rustc = workspace::rustc();
    rustc.args(["--print", "target-libdir", "--target", NAME]);
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

async fn by_rustup() -> Result<()> {
    let rustup = find_program("rustup").context("there is no rustup on the PATH")?;
    eprintln!("{NAME}: rustup target add {NAME}");
    let mut command = Command::new(rustup);
    command
        .args(["target", "add", NAME])
        .current_dir(workspace::root())
        .kill_on_drop(true);
    match timeout(RUSTUP_LIMIT, command.status()).await {
        Err(_) => bail!(
            "rustup did not get it within {} seconds",
            RUSTUP_LIMIT.as_secs()
        ),
        Ok(status) => ensure!(
            status.context("starting rustup")?.success(),
            "rustup could not get it"
        ),
    }
    ensure!(
        is_installed().await?,
        "rustup got it, but for another compiler than the one in use"
    );
    Ok(())
}

async fn by_debian() -> Result<DebianRust> {
    match DebianRust::existing() {
        Some(debian) => Ok(debian),
        None => DebianRust::set_up()
            .await
            .context("Debian's packages could not be had"),
    }
}
