//! `cargo xtask`: how people run everything here.
//!
//! - `up` runs the application, with whatever it needs, until Ctrl-C ([`up`]).
//! - `build`, `test`, `contract`, `fuzz` and `doctor` are what their names say ([`build`], [`test`](mod@test), [`contract`], [`fuzz`],
//!   [`doctor`]).
//! - What has to be there first: the target that components are compiled for ([`wasm_target`], from Debian if need be:
//!   [`debian_rust`]) and the programs ([`programs`]). [`apt`] fetches Debian's packages without touching the machine,
//!   [`debian_source`] knows from where, [`unpacked`] where to.
//! - [`workspace`] knows the folders and calls cargo.

mod apt;
mod build;
mod contract;
mod debian_rust;
mod debian_source;
mod doctor;
mod fuzz;
mod programs;
mod test;
mod unpacked;
mod up;
mod wasm_target;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use wasm_target::Way;

/// Builds, runs and tests Afterword.
#[derive(Parser)]
#[command(
    bin_name = "cargo xtask",
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Where the compiler for the target wasm32-wasip2 comes from
    #[arg(
        long,
        global = true,
        value_enum,
        env = "AFTERWORD_WASM_TARGET",
        hide_env_values = true,
        default_value_t = Way::Auto,
        help_heading = "Building"
    )]
    wasm_target: Way,
}

#[derive(Subcommand)]
enum Command {
    /// Run the application, with a Redis and a stand-in for Supabase of its own, until Ctrl-C
    Up(up::Flags),
    /// Build the three components and the tools that run and test them
    Build,
    /// Run every test
    Test(test::Flags),
    /// Run Supabase's own JavaScript clients against the stand-in for Supabase
    Contract,
    /// Look for inputs that break what takes bytes from strangers
    Fuzz(fuzz::Flags),
    /// Show what is installed, what is missing, and what `up` would do about it
    Doctor,
}

#[tokio::main]
async fn main() -> ExitCode {
    run(Cli::parse()).await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    workspace::check()?;
    match cli.command {
        Command::Up(flags) => up::run(flags, cli.wasm_target).await?,
        Command::Build => build::run(cli.wasm_target).await?,
        Command::Test(flags) => return test::run(flags, cli.wasm_target).await,
        Command::Contract => contract::run().await?,
        Command::Fuzz(flags) => fuzz::run(flags).await?,
        Command::Doctor => return doctor::run(cli.wasm_target).await,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
