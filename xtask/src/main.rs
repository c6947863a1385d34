//! `cargo xtask`: builds, runs and tests Afterword.
//!
//! - Commands: [`up`], [`build`], [`manifests`](manifest), [`test`](mod@test), [`contract`],
//!   [`browser`], [`bench`](mod@bench), [`fuzz`], [`deployments`] and [`doctor`]; [`admin`] has
//!   those for a running application.
//! - What they need: [`wasm_target`] (the target of the components), [`host`], [`redis_server`] and
//!   [`node`]. [`stand_in`] holds the keys of the stand-in for Supabase.
//!   A [`prerequisite`] tells whether it is there. [`debian`] fetches some of it from Debian.
//!   [`former`] builds the components of another commit.
//!   [`scenarios`] is what the library of the scenarios needs.
//!   [`wasi`] is one of the two builds of the components, [`manifest`] one of the four manifests.
//! - [`workspace`] knows the folders and calls cargo. [`packages`] are the names of what it builds.

mod admin;
mod bench;
mod browser;
mod build;
mod contract;
mod debian;
mod deployments;
mod doctor;
mod former;
mod fuzz;
mod host;
mod manifest;
mod node;
mod packages;
mod prerequisite;
mod redis_server;
mod scenarios;
mod stand_in;
mod test;
mod up;
mod wasi;
mod wasm_target;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use wasi::Wasi;
use wasm_target::TargetSource;

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

    /// How to get the compiler for the target wasm32-wasip2
    #[arg(
        long,
        global = true,
        value_enum,
        env = "AFTERWORD_WASM_TARGET",
        hide_env_values = true,
        default_value_t = TargetSource::Auto,
        help_heading = "Building"
    )]
    wasm_target: TargetSource,
}

#[derive(Subcommand)]
enum Command {
    /// Run the application for development, with its own Redis and a stand-in for Supabase
    ///
    /// It runs until Ctrl-C. This is for development only: the embedded host and the tools are
    /// development builds. To serve a real project, run Spin itself: see "On Spin itself" in
    /// README.md.
    Up(up::Flags),
    /// Show the state of a running application, or what became of a webhook
    Status(admin::StatusFlags),
    /// Refresh a key, or everything, and wait until the cache is fresh
    Refresh(admin::RefreshFlags),
    /// Build the components and the development tools
    Build(build::Flags),
    /// Write the four manifests (spin.toml and the others) as their template has them
    Manifests,
    /// Run every test
    Test(test::Flags),
    /// Run Supabase's own JavaScript clients against the stand-in for Supabase
    Contract,
    /// Run the status page in Chromium, in front of a running application
    Browser,
    /// Measure what Afterword costs, beside the least components on the same host
    ///
    /// It takes ten minutes for each build, and wants an idle machine.
    Bench(bench::Flags),
    /// Fuzz the parsers of untrusted input
    Fuzz(fuzz::Flags),
    /// Validate deploy/ and its pages, and run supabase/ on a PostgreSQL
    Deployments,
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
        Command::Status(flags) => return admin::status(flags),
        Command::Refresh(flags) => return admin::refresh(flags),
        Command::Build(flags) => build::run(flags, cli.wasm_target).await?,
        Command::Manifests => manifest::write()?,
        Command::Test(flags) => return test::run(flags, cli.wasm_target).await,
        Command::Contract => contract::run().await?,
        Command::Browser => {
            let redis = redis_server::program().await?;
            build::components(Wasi::V03, cli.wasm_target).await?;
            browser::run(&redis).await?;
        }
        Command::Bench(flags) => return bench::run(flags, cli.wasm_target).await,
        Command::Fuzz(flags) => fuzz::run(flags).await?,
        Command::Deployments => {
            let redis = redis_server::program().await?;
            for wasi in Wasi::ALL {
                build::components(wasi, cli.wasm_target).await?;
            }
            deployments::run(&redis, deployments::Missing::Fail).await?;
        }
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
