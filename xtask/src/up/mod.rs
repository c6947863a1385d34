//! `cargo xtask up`: runs the whole application until Ctrl-C.
//!
//! - [`flags`] is the command line. [`plan`] checks it, and gets and builds what is missing.
//! - [`project`] checks a real Supabase project, [`redis_url`] a Redis of the user.
//! - [`variables`] are the application's variables. [`state`] is the folder that outlives a run.
//! - [`children`] starts and ends the processes. [`worker`] supervises the worker's process,
//!   and [`scheduler`] calls the worker where it has none of its own.
//! - [`output`] shows their lines.

mod children;
mod flags;
mod output;
mod plan;
mod project;
mod redis_url;
mod scheduler;
mod state;
mod variables;
mod worker;

use std::pin::pin;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::wasm_target::TargetSource;

use children::Children;
use plan::Plan;

pub use flags::Flags;
pub use state::Running;

/// The first line of output.
const NOTICE: &str = "This is for development only. To serve a real project, run Spin itself: see \
                      \"On Spin itself\" in README.md.";

/// Gets and builds what is missing, and runs everything until SIGINT, SIGTERM or SIGHUP.
///
/// # Errors
///
/// When something cannot be had or does not start, or a part ends that is not restarted.
pub async fn run(flags: Flags, source: TargetSource) -> Result<()> {
    println!("{NOTICE}\n");
    // Listen from the start: cargo and apt have to end with this program, too.
    let mut signalled = pin!(signalled());
    let plan = tokio::select! {
        plan = Plan::make(flags, source) => plan?,
        result = &mut signalled => return result,
    };
    let mut children = Children::default();
    let outcome = tokio::select! {
        outcome = children.run(&plan) => outcome.map(|never| match never {}),
        result = signalled => result,
    };
    children.end().await;
    outcome
}

async fn signalled() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    eprintln!("ending");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_names_a_section_of_the_readme() {
        let section = NOTICE.split('"').nth(1).unwrap();
        let readme = include_str!("../../../README.md");
        assert!(readme.contains(&format!("\n## {section}\n")));
    }
}
