//! The command line: `afterword-host up`.

use std::process::ExitCode;

use anyhow::{Error, Result};
use clap::Parser;
use tokio::runtime::Runtime;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

use crate::host::Host;
use crate::options::Options;

/// Afterword's embedded host, for development: runs what spin.toml describes without Spin
#[derive(Parser)]
#[command(name = "afterword-host", version)]
enum Command {
    /// Run the application until Ctrl-C, SIGTERM, or the end of one of its triggers
    Up(Options),
}

/// Runs the program with the arguments of this process.
pub fn run_program() -> ExitCode {
    let Command::Up(options) = Command::parse();
    match up(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn up(options: Options) -> Result<()> {
    let runtime = Runtime::new()?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            reason = run(options) => Err(reason),
            _ = terminate.recv() => Ok(()),
            interrupted = ctrl_c() => Ok(interrupted?),
        }
    });
    // Leave the shutdown to the end of the process. A runtime that waits for its components hangs
    // on an endless loop, and a runtime that drops them reports each as a panic.
    std::mem::forget(runtime);
    result
}

async fn run(options: Options) -> Error {
    match Host::start(options).await {
        Ok(host) => host.ended().await,
        Err(error) => error,
    }
}
