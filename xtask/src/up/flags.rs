//! The command line of `up`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::host::HostKind;
use crate::manifest::ManifestKind;
use crate::wasi::Wasi;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask up                        everything on this machine, with sample articles
  cargo xtask up --listen 127.0.0.1:8080
  cargo xtask up --manifest http        without a Redis trigger, as on hosts that have none
  cargo xtask up --manifest http --wasi 0.2
                                        as on Fermyon Cloud, with its limits
  SUPABASE_URL=https://abc.supabase.co SUPABASE_ANON_KEY=… cargo xtask up
                                        in front of a real Supabase project

SPIN_VARIABLE_<NAME> sets another variable of the application, such as SPIN_VARIABLE_ITEM_QUERY.
README.md lists them. Set keys and secrets in the environment, not as arguments: every user of a
machine can read arguments.")]
pub struct Flags {
    /// What runs the components [default: spin if it is on the PATH and new enough, else embedded]
    #[arg(long, value_enum)]
    pub host: Option<HostKind>,

    /// What wakes the worker
    #[arg(long, value_enum, default_value_t = ManifestKind::Redis)]
    pub manifest: ManifestKind,

    /// The version of WASI that the components are built for
    #[arg(long, value_enum, default_value_t = Wasi::V03)]
    pub wasi: Wasi,

    /// The address to serve
    #[arg(long, default_value = "127.0.0.1:3000", value_parser = address)]
    pub listen: SocketAddr,

    /// The folder of the cache, Redis's file and the stand-in's database [default: .spin]
    #[arg(long)]
    pub state_dir: Option<PathBuf>,

    /// Spin's runtime configuration, which can put the cache outside of the state folder
    ///
    /// A TOML file in Spin's format. Its [key_value_store.default] may have `type = "redis"` and a
    /// `url`. The embedded host knows the types "spin" and "redis". `up` does not empty such a
    /// cache when the Supabase project changes.
    #[arg(long)]
    pub runtime_config_file: Option<PathBuf>,

    /// The base URL of a real Supabase project, instead of the stand-in
    #[arg(long, env = "SUPABASE_URL", hide_env_values = true)]
    pub supabase_url: Option<String>,

    /// The anon or publishable key of that project
    #[arg(long, env = "SUPABASE_ANON_KEY", hide_env_values = true)]
    pub supabase_key: Option<String>,

    /// The schema of that project's table [default: public]
    #[arg(long)]
    pub schema: Option<String>,

    /// The table of that project [default: articles]
    #[arg(long)]
    pub table: Option<String>,

    /// A running Redis, instead of one that `up` starts
    ///
    /// `rediss://…` for TLS. If an authority of your own signed its certificate, set SSL_CERT_FILE.
    /// Another application or Supabase project on it needs another SPIN_VARIABLE_REDIS_PREFIX.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// The webhook secret: a bearer token or a signing key (`whsec_…`) [default: random, printed]
    ///
    /// To replace one, set both with a space between them.
    #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true)]
    pub webhook_secret: Option<String>,

    /// Show the output of Redis, the stand-in and the host, too
    #[arg(long, short)]
    pub verbose: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "give an IP address and a port, such as 127.0.0.1:3000".to_owned())
}
