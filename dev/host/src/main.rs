//! `afterword-host up`: runs Afterword, or an application of the same shape, without Spin.

use std::process::ExitCode;

use afterword_host::{Host, Options};
use anyhow::{Error, Result};
use clap::Parser;
use tokio::runtime::Runtime;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

/// Afterword's embedded host: runs what spin.toml describes, where Spin is not installed or faults are wanted.
#[derive(Parser)]
#[command(name = "afterword-host", version)]
enum Command {
    /// Start the application and run it until Ctrl-C or SIGTERM, or until one of its triggers ends
    Up(Options),
}

fn main() -> ExitCode {
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
    // Ends with the process, not here: waiting for components would keep alive one that computes
    // without end, and a runtime that shuts down drops instances at work, of which each is then
    // said to have panicked.
    std::mem::forget(runtime);
    result
}

async fn run(options: Options) -> Error {
    match Host::start(options).await {
        Ok(host) => host.ended().await,
        Err(error) => error,
    }
}
