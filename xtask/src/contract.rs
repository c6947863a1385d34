//! `cargo xtask contract`: runs Supabase's own JavaScript clients against the stand-in, to check
//! that it behaves like Supabase.

use anyhow::{Context, Result, bail, ensure};

use crate::packages::SUPABASE;
use crate::prerequisite::Prerequisite;
use crate::{build, node, workspace};

/// Installs the clients from npm if needed, and runs the tests.
///
/// # Errors
///
/// When Node.js is missing, npm fails, or a test fails.
pub async fn run() -> Result<()> {
    if let Prerequisite::Missing(advice) = node::prerequisite().await? {
        bail!("there is no Node.js for the contract tests: {advice}");
    }
    build::programs(&[SUPABASE]).await?;
    let dir = workspace::root().join("tests/contract");
    node::install(&dir).await?;
    let mut test = node::npm(&dir);
    let program = workspace::built_program(SUPABASE);
    test.arg("test").env("AFTERWORD_SUPABASE_PROGRAM", program);
    let status = test.status().await.context("starting npm")?;
    ensure!(
        status.success(),
        "the stand-in and Supabase's clients disagree; the failed tests are above"
    );
    Ok(())
}
