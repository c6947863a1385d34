//! `cargo xtask up`: the whole application, until Ctrl-C.
//!
//! - [`Flags`]: what can be chosen; [`plan`]: what comes of it, with everything got and built.
//! - [`origin`]: the Supabase project in front of which it runs, checked first.
//! - [`variables`]: the application's variables, and [`redis_url`]: a Redis of the user's.
//! - [`state`]: the folder for everything that outlives a run.
//! - [`children`]: the processes, from their start to their end.
//! - [`worker`]: the one among them that is started again when it ends or does not answer.
//! - [`said`]: which of their lines a person sees.

mod children;
mod origin;
mod plan;
mod redis_url;
mod said;
mod state;
mod variables;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;

use anyhow::Result;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::programs::HostKind;
use crate::wasm_target::Way;

use children::Children;
use plan::Plan;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask up                        everything on this machine, with sample articles
  cargo xtask up --listen 127.0.0.1:8080
  SUPABASE_URL=https://abc.supabase.co SUPABASE_ANON_KEY=… cargo xtask up
                                        in front of a real Supabase project

SPIN_VARIABLE_<NAME> sets another variable of the application, such as SPIN_VARIABLE_ITEM_QUERY: see README.md.
Keys and secrets are better given in the environment: every user of a machine can read arguments.")]
pub struct Flags {
    /// What runs the components [default: spin where 4.1 or later is on the PATH, else embedded]
    #[arg(long, value_enum)]
    host: Option<HostKind>,

    /// The address to serve
    #[arg(long, default_value = "127.0.0.1:3000", value_parser = address)]
    listen: SocketAddr,

    /// The folder for the cache, Redis's file and the stand-in's database [default: .spin of this workspace]
    #[arg(long)]
    state_dir: Option<PathBuf>,

    /// Spin's runtime configuration: where the cache is, if not in the state folder
    ///
    /// A TOML file whose [key_value_store.default] has `type = "redis"` and a `url`, say. It is Spin's own format; the
    /// embedded host knows the types "spin" and "redis". Such a cache is not emptied when the Supabase project changes.
    #[arg(long)]
    runtime_config_file: Option<PathBuf>,

    /// A real Supabase project's base URL, instead of the stand-in
    #[arg(long, env = "SUPABASE_URL", hide_env_values = true)]
    supabase_url: Option<String>,

    /// That project's key for readers: anon or publishable
    #[arg(long, env = "SUPABASE_ANON_KEY", hide_env_values = true)]
    supabase_key: Option<String>,

    /// The schema of that project's table [default: public]
    #[arg(long)]
    schema: Option<String>,

    /// That project's table [default: articles]
    #[arg(long)]
    table: Option<String>,

    /// A running Redis, instead of one of our own
    ///
    /// Another application on it, or another Supabase project, takes another
    /// SPIN_VARIABLE_REDIS_PREFIX.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,

    /// The webhook secret: a bearer token, or the key of signatures (`whsec_…`) [default: made up
    /// and printed]
    ///
    /// While one is being replaced: both, with a space between.
    #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true)]
    webhook_secret: Option<String>,

    /// Show what Redis, the stand-in and the host say, too
    #[arg(long, short)]
    verbose: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "give an IP address and a port, such as 127.0.0.1:3000".to_owned())
}

/// Checks what was asked for, gets and builds what is missing, and runs everything until SIGINT, SIGTERM or SIGHUP.
///
/// # Errors
///
/// When something cannot be had or does not start, or a part ends by itself that is not started again.
pub async fn run(flags: Flags, way: Way) -> Result<()> {
    // From the first minute on: cargo and apt end with this program, too.
    let mut asked_to_end = pin!(asked_to_end());
    let plan = tokio::select! {
        plan = Plan::make(flags, way) => plan?,
        asked = &mut asked_to_end => return asked,
    };
    let mut children = Children::default();
    let outcome = tokio::select! {
        outcome = children.run(&plan) => outcome.map(|never| match never {}),
        asked = asked_to_end => asked,
    };
    children.end().await;
    outcome
}

async fn asked_to_end() -> Result<()> {
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
