//! Chooses the manifest of the application.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::workspace;

/// What describes the application to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ManifestKind {
    /// spin.toml: a Redis trigger wakes the worker
    Redis,
    /// spin.http.toml, for hosts without a Redis trigger: requests wake the worker
    Http,
}

impl ManifestKind {
    /// The file's name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Redis => "spin.toml",
            Self::Http => "spin.http.toml",
        }
    }

    /// The file.
    pub fn path(self) -> PathBuf {
        workspace::root().join(self.file_name())
    }

    /// The value of `--manifest`.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
