//! The components of another commit, for the scenarios about upgrades.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use toml::Table;

use crate::wasm_target::{self, TargetSource};
use crate::workspace;

/// Builds the components of a commit in `target/former/`, unless they are there. Returns the path
/// of their `spin.toml`.
///
/// # Errors
///
/// When this is no git checkout, the commit is unknown, or a command of its manifest fails.
pub async fn build(commit: &str, source: TargetSource) -> Result<PathBuf> {
    let commit = resolve(commit).await?;
    let folder = workspace::target().join("former").join(&commit);
    let manifest = folder.join("spin.toml");
    if !manifest.is_file() {
        unpack(&commit, &folder).await?;
    }
    let environment = wasm_target::ensure(source).await?;
    for command in build_commands(&manifest)? {
        println!("{commit:.7}: {command}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).current_dir(&folder);
        // Its spin.toml expects the components in its own target folder.
        shell.env_remove("CARGO_TARGET_DIR");
        shell.envs(environment.clone());
        let status = shell.kill_on_drop(true).status().await;
        let status = status.context("starting sh")?;
        ensure!(status.success(), "cannot build the components of {commit}");
    }
    Ok(manifest)
}

/// The whole hash of a commit.
async fn resolve(commit: &str) -> Result<String> {
    let mut git = git();
    git.args(["rev-parse", "--verify", "--end-of-options"]);
    git.arg(format!("{commit}^{{commit}}"));
    let resolved = workspace::output(git).await;
    resolved.with_context(|| {
        format!(
            "the commit {commit} is not in this checkout; a shallow one gets it by \
             `git fetch --unshallow`"
        )
    })
}

/// Unpacks the files of a commit. A run that is interrupted leaves no half-unpacked folder behind.
async fn unpack(commit: &str, folder: &Path) -> Result<()> {
    let partial = folder.with_extension("partial");
    if partial.exists() {
        std::fs::remove_dir_all(&partial).context("removing the rest of an interrupted run")?;
    }
    std::fs::create_dir_all(&partial)?;
    let archive = folder.with_extension("tar");
    let mut git = git();
    git.args(["archive", "--format=tar", "--output"]);
    git.arg(&archive).arg(commit);
    workspace::output(git).await?;
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(&archive).arg("-C").arg(&partial);
    workspace::output(tar).await?;
    std::fs::remove_file(&archive)?;
    std::fs::rename(&partial, folder)?;
    Ok(())
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.current_dir(workspace::root()).stdin(Stdio::null());
    git
}

/// The commands by which `spin build` builds the components of a manifest.
fn build_commands(manifest: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(manifest)
        .with_context(|| format!("reading {}", manifest.display()))?;
    let manifest: Table = text.parse()?;
    let components = manifest.get("component").and_then(toml::Value::as_table);
    let commands = components
        .into_iter()
        .flatten()
        .filter_map(|(_, component)| {
            let command = component.get("build")?.get("command")?.as_str()?;
            Some(command.to_owned())
        });
    Ok(commands.collect())
}
