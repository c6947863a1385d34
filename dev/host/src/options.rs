//! The host's options. Names and defaults are `spin up`'s where Spin has the same option.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// How to run an application.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The application's manifest
    #[arg(short, long, value_name = "FILE", default_value = "spin.toml")]
    pub from: PathBuf,

    /// Run only this component; may be given several times
    #[arg(short, long = "component-id", value_name = "ID")]
    pub components: Vec<String>,

    /// The address of the HTTP server
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,

    /// The folder of the key-value store [default: .spin beside the manifest]
    ///
    /// The runtime configuration overrides it.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Spin's runtime configuration, a TOML file with the place of the key-value store
    ///
    /// Its [key_value_store.default] has `type = "redis"` and a `url`, or `type = "spin"` and the
    /// `path` of an SQLite file, relative to this file. Without a path, the store is in memory.
    #[arg(long, value_name = "FILE", env = "RUNTIME_CONFIG_FILE")]
    pub runtime_config_file: Option<PathBuf>,

    /// Set a variable; may be given several times, overrides `SPIN_VARIABLE_<NAME>`
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    pub variables: Vec<(String, String)>,

    /// Drop what the components print
    #[arg(short, long)]
    pub quiet: bool,

    /// The folder of compiled components [default: afterword-host in Cargo's target folder]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Log what each instance has cost: its requests, its fuel and its memory
    ///
    /// For measurements only: code that counts fuel is slower. A unit of fuel is about one
    /// WebAssembly instruction. The memory is what the instance's memory has grown to. The line
    /// comes when the instance ends.
    #[arg(long)]
    pub measure: bool,

    /// Serve the fault dials on this address: GET and PUT /dials
    ///
    /// Anyone who reaches this address can make the application fail or die.
    #[cfg(feature = "faults")]
    #[arg(long, value_name = "ADDR")]
    pub dials: Option<SocketAddr>,
}

impl Options {
    /// The defaults, for the manifest at `from`.
    pub fn new(from: impl Into<PathBuf>) -> Self {
        Self {
            from: from.into(),
            components: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            state_dir: None,
            runtime_config_file: None,
            variables: Vec::new(),
            quiet: false,
            cache_dir: None,
            measure: false,
            #[cfg(feature = "faults")]
            dials: None,
        }
    }
}

fn variable(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("give it as name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}
