//! The folders of this workspace, and calling its cargo.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// The workspace's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
}

/// Where everything is built: always the folder that `spin.toml` names, whatever `CARGO_TARGET_DIR` says.
pub fn target() -> PathBuf {
    root().join("target")
}

/// A program of this workspace, built with the dev profile.
pub fn built_program(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// `cargo <subcommand>` in this workspace.
pub fn cargo(subcommand: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .arg(subcommand)
        .arg("--target-dir")
        .arg(target())
        .current_dir(root())
        .kill_on_drop(true);
    command
}

/// The compiler that cargo uses here.
pub fn rustc() -> Command {
    let mut command =
        Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc")));
    command.current_dir(root());
    command
}

/// What `command` writes to its standard output, trimmed.
///
/// # Errors
///
/// When it cannot be started or fails: with what it wrote to its standard error.
pub async fn output(mut command: Command) -> Result<String> {
    let program = command.as_std().get_program().to_owned();
    let output = command
        .output()
        .await
        .with_context(|| format!("starting {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{} failed ({}): {}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
