//! The folders of this workspace, and the commands that run in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// Found at run time, since a checkout may be moved after this program was compiled.
static ROOT: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    // Cargo's folder comes first: `cargo xtask --manifest-path` works from anywhere.
    let starts = [
        std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from),
        std::env::current_dir().ok(),
        std::env::current_exe().ok(),
    ];
    find(starts.into_iter().flatten())
});

/// Checks that there is a workspace. [`root`] relies on it.
///
/// # Errors
///
/// When cargo, the current folder and the program's own folder are all outside of one.
pub fn check() -> Result<()> {
    ensure!(
        ROOT.is_some(),
        "this is no checkout of Afterword, and the program is in none: run `cargo xtask` in one"
    );
    Ok(())
}

/// The workspace's folder.
///
/// # Panics
///
/// When there is none: see [`check`].
pub fn root() -> &'static Path {
    ROOT.as_deref().expect("`check` has found it")
}

/// The first workspace at or above one of these paths.
fn find(starts: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    starts.into_iter().find_map(|start| {
        let mut folders = start.ancestors();
        let found = folders.find(|folder| {
            folder.join("spin.toml").is_file() && folder.join("xtask/Cargo.toml").is_file()
        });
        found.map(Path::to_owned)
    })
}

/// Cargo's target folder: always the one in `spin.toml`, whatever `CARGO_TARGET_DIR` is. A build of
/// the components may have another: [`crate::wasi::Wasi::folder`].
pub fn target() -> PathBuf {
    root().join("target")
}

/// A program of this workspace in the dev profile.
pub fn built_program(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// `cargo <subcommand>` in this workspace.
pub fn cargo(subcommand: &str) -> Command {
    cargo_into(subcommand, &target())
}

/// `cargo <subcommand>` in this workspace, with another target folder.
pub fn cargo_into(subcommand: &str, target: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .arg(subcommand)
        .arg("--target-dir")
        .arg(target)
        .current_dir(root())
        .kill_on_drop(true);
    // `cargo xtask` sets variables about the package xtask. Some build scripts read them, so that
    // cargo would rebuild their packages whenever it runs with and without `cargo xtask` in turn.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// The Rust compiler that cargo uses here.
pub fn rustc() -> Command {
    let mut command =
        Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc")));
    command.current_dir(root());
    command
}

/// The trimmed standard output of `command`.
///
/// # Errors
///
/// When it does not start or fails. The error shows its standard error.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn checkout(dir: &Path) -> PathBuf {
        std::fs::create_dir_all(dir.join("xtask/src")).unwrap();
        std::fs::create_dir_all(dir.join("target/debug")).unwrap();
        for file in ["spin.toml", "xtask/Cargo.toml"] {
            std::fs::write(dir.join(file), "").unwrap();
        }
        dir.to_owned()
    }

    #[test]
    fn the_first_path_in_a_workspace_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (
            checkout(&dir.path().join("one")),
            checkout(&dir.path().join("other")),
        );
        for (starts, found) in [
            (vec![one.join("xtask")], Some(&one)),
            (vec![one.clone()], Some(&one)),
            (
                vec![dir.path().into(), other.join("target/debug/xtask")],
                Some(&other),
            ),
            (vec![one.join("xtask/src"), other.clone()], Some(&one)),
            (vec![dir.path().into()], None),
        ] {
            assert_eq!(find(starts.clone()).as_ref(), found, "{starts:?}");
        }
    }
}
