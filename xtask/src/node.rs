//! Node.js and npm, which run Supabase's clients and the browser.

use std::path::Path;

use afterword_stack::find_program;
use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::prerequisite::Prerequisite;
use crate::workspace;

/// The first Node.js that runs the clients and the tests.
const MIN_NODE: u32 = 20;

const ADVICE: &str = "install Node.js 20 or later with npm (https://nodejs.org)";

/// Whether Node.js is installed.
///
/// # Errors
///
/// When Node.js does not print its version.
pub async fn prerequisite() -> Result<Prerequisite> {
    let (Some(node), Some(_)) = (find_program("node"), find_program("npm")) else {
        return Ok(Prerequisite::Missing(format!("{ADVICE}; for the tests")));
    };
    let mut version = Command::new(&node);
    version.arg("--version");
    let version = workspace::output(version).await?;
    Ok(match major(&version) {
        Some(major) if major >= MIN_NODE => {
            Prerequisite::Installed(format!("{version}, {}", node.display()))
        }
        _ => Prerequisite::Missing(format!("{version} is too old; {ADVICE}")),
    })
}

fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Installs what the lock file in `dir` names, if needed. The lock files name no registry: npm uses
/// the user's.
///
/// # Errors
///
/// When npm fails.
pub async fn install(dir: &Path) -> Result<()> {
    let mut npm = npm(dir);
    npm.args([
        "ci",
        "--omit-lockfile-registry-resolved",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]);
    let status = npm.status().await.context("starting npm")?;
    ensure!(
        status.success(),
        "npm cannot install the packages of {}; its messages are above",
        dir.display()
    );
    Ok(())
}

/// `npm` in this folder.
pub fn npm(dir: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(dir).kill_on_drop(true);
    npm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_node_is_parsed() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("20.20.2"), None);
        assert_eq!(major(""), None);
    }
}
