//! `cargo xtask contract`: Supabase's own JavaScript clients against the stand-in, so that what the tests take for Supabase is what
//! Supabase's clients take for it.

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use afterword_stack::find_program;

use crate::doctor::Outlook;
use crate::{build, workspace};

/// The first Node.js that the clients and the tests take.
const NODE_SINCE: u32 = 20;

const ADVICE: &str = "install Node.js 20 or later with npm (https://nodejs.org)";

/// Whether there is a Node.js for it.
///
/// # Errors
///
/// When a Node.js is there but does not say its version.
pub async fn outlook() -> Result<Outlook> {
    let (Some(node), Some(_)) = (find_program("node"), find_program("npm")) else {
        return Ok(Outlook::Missing(format!("{ADVICE}; it is for the tests")));
    };
    let mut version = Command::new(&node);
    version.arg("--version");
    let version = workspace::output(version).await?;
    Ok(match major(&version) {
        Some(major) if major >= NODE_SINCE => {
            Outlook::Here(format!("{version}, {}", node.display()))
        }
        _ => Outlook::Missing(format!("{version} is too old; {ADVICE}")),
    })
}

fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Installs the clients from npm, unless they are there, and runs the tests.
///
/// # Errors
///
/// When Node.js is missing, the clients cannot be had, or a test fails.
pub async fn run() -> Result<()> {
    if let Outlook::Missing(advice) = outlook().await? {
        bail!("there is no Node.js for the contract tests: {advice}");
    }
    build::tools(&[build::SUPABASE]).await?;
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
    let program = workspace::built_program(build::SUPABASE);
    test.env("AFTERWORD_SUPABASE_PROGRAM", program);
    let status = test.status().await.context("starting npm")?;
    ensure!(
        status.success(),
        "the stand-in does not answer Supabase's clients as they expect; the failed tests are above"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_major_version_is_read() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("20.20.2"), None);
        assert_eq!(major(""), None);
    }
}
