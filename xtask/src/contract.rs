//! `cargo xtask contract`: runs Supabase's own JavaScript clients against the stand-in, to check
//! that it behaves like Supabase.

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use afterword_stack::find_program;

use crate::packages::SUPABASE;
use crate::prerequisite::Prerequisite;
use crate::{build, workspace};

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

/// Installs the clients from npm if needed, and runs the tests.
///
/// # Errors
///
/// When Node.js is missing, npm fails, or a test fails.
pub async fn run() -> Result<()> {
    if let Prerequisite::Missing(advice) = prerequisite().await? {
        bail!("there is no Node.js for the contract tests: {advice}");
    }
    build::programs(&[SUPABASE]).await?;
    let dir = workspace::root().join("tests/contract");
    let npm = |arguments: &[&str]| {
        let mut npm = Command::new("npm");
        npm.args(arguments).current_dir(&dir).kill_on_drop(true);
        npm
    };
    let mut install = npm(&[
        "ci",
        "--omit-lockfile-registry-resolved",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]);
    let status = install.status().await.context("starting npm")?;
    ensure!(
        status.success(),
        "npm cannot install Supabase's clients; its messages are above"
    );
    let mut test = npm(&["test"]);
    let program = workspace::built_program(SUPABASE);
    test.env("AFTERWORD_SUPABASE_PROGRAM", program);
    let status = test.status().await.context("starting npm")?;
    ensure!(
        status.success(),
        "the stand-in and Supabase's clients disagree; the failed tests are above"
    );
    Ok(())
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
