//! The four manifests of the application, and the [`template`] that they are made from.

mod template;

use std::path::PathBuf;

use clap::ValueEnum;

use crate::wasi::Wasi;
use crate::workspace;

pub use template::{check, write};

/// What wakes the worker. With the build of the components, it selects a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ManifestKind {
    /// A Redis trigger wakes the worker: spin.toml, and spin.wasi02.toml for WASI 0.2
    Redis,
    /// Requests wake the worker: spin.http.toml, and spin.cloud.toml for WASI 0.2
    Http,
}

impl ManifestKind {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::Redis, Self::Http];

    /// The file's name.
    pub fn file_name(self, wasi: Wasi) -> &'static str {
        match (self, wasi) {
            (Self::Redis, Wasi::V03) => "spin.toml",
            (Self::Http, Wasi::V03) => "spin.http.toml",
            (Self::Redis, Wasi::V02) => "spin.wasi02.toml",
            (Self::Http, Wasi::V02) => "spin.cloud.toml",
        }
    }

    /// The file.
    pub fn path(self, wasi: Wasi) -> PathBuf {
        workspace::root().join(self.file_name(wasi))
    }

    /// The value of `--manifest`.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
