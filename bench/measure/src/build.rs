//! The builds of the application that are measured side by side.

use afterword_scenarios::{Setup, Wasi};
use clap::ValueEnum;

/// A build of the application, and of the baselines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Build {
    /// WASI 0.3
    #[value(name = "0.3")]
    Wasi03,
    /// WASI 0.2
    #[value(name = "0.2")]
    Wasi02,
}

impl Build {
    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wasi03 => "WASI 0.3",
            Self::Wasi02 => "WASI 0.2",
        }
    }

    /// The application.
    pub fn setup(self) -> Setup {
        Setup::default().wasi(match self {
            Self::Wasi03 => Wasi::V03,
            Self::Wasi02 => Wasi::V02,
        })
    }

    /// The manifest of the baselines, in `bench/limit`.
    pub fn baselines(self) -> &'static str {
        match self {
            Self::Wasi03 => "spin.toml",
            Self::Wasi02 => "spin.wasi02.toml",
        }
    }
}
