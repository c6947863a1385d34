//! Chooses what runs the components: Spin or the embedded host.

use std::path::PathBuf;

use afterword_stack::{Host, find_program};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use tokio::process::Command;

use crate::packages::HOST;
use crate::wasi::Wasi;
use crate::workspace;

/// What runs the components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostKind {
    /// The `spin` program: 4.1 or later, or 3.6 for WASI 0.2
    Spin,
    /// The embedded host of this repository, for development
    Embedded,
}

/// The `spin` program on the `PATH`.
#[derive(Debug, PartialEq, Eq)]
pub enum Spin {
    /// There is none.
    Missing,
    /// It cannot run the components.
    TooOld {
        /// Its version.
        version: String,
    },
    /// It can run the components.
    Usable {
        /// Its path.
        program: PathBuf,
        /// Its version.
        version: String,
    },
}

impl Spin {
    /// Finds the program and its version, for the components of a build.
    ///
    /// # Errors
    ///
    /// When it does not run, or does not print a version.
    pub async fn find(wasi: Wasi) -> Result<Self> {
        let Some(program) = find_program("spin") else {
            return Ok(Self::Missing);
        };
        let mut command = Command::new(&program);
        command.arg("--version");
        let text = workspace::output(command).await?;
        let version = text
            .split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let number = major_and_minor(&version)
            .with_context(|| format!("`spin --version` prints {text:?}, which is no version"))?;
        Ok(if number < wasi.min_spin() {
            Self::TooOld { version }
        } else {
            Self::Usable { program, version }
        })
    }
}

/// Major and minor of `4.1.0-pre0`.
fn major_and_minor(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The host of `kind` for the components of a build. Without a kind, a usable Spin, or else the
/// embedded host.
///
/// # Errors
///
/// When `kind` is Spin and there is no usable one.
pub async fn choose(kind: Option<HostKind>, wasi: Wasi) -> Result<Host> {
    let embedded = Host::Embedded(workspace::built_program(HOST));
    if kind == Some(HostKind::Embedded) {
        return Ok(embedded);
    }
    let (major, minor) = wasi.min_spin();
    match (Spin::find(wasi).await?, kind) {
        (Spin::Usable { program, .. }, _) => Ok(Host::Spin(program)),
        (Spin::Missing, None) => Ok(embedded),
        (Spin::TooOld { version }, None) => {
            eprintln!(
                "Spin {version} is too old for these components ({major}.{minor} or later); using \
                 the embedded host"
            );
            Ok(embedded)
        }
        (Spin::Missing, Some(_)) => bail!(
            "there is no `spin` on the PATH; install Spin {major}.{minor} or later \
             (https://spinframework.dev), or use `--host embedded`"
        ),
        (Spin::TooOld { version }, Some(_)) => bail!(
            "Spin {version} is too old for components of WASI {}; install {major}.{minor} or \
             later, or use `--host embedded`",
            wasi.name()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pre_release_counts_as_its_version() {
        assert_eq!(major_and_minor("4.1.0-pre0"), Some((4, 1)));
        assert_eq!(major_and_minor("4.0.2"), Some((4, 0)));
        assert_eq!(major_and_minor("10.0.0"), Some((10, 0)));
        let min_spin = Wasi::V03.min_spin();
        assert!(major_and_minor("4.10.0").unwrap() > min_spin);
        assert!(major_and_minor("3.9.1").unwrap() < min_spin);
        assert_eq!(major_and_minor("canary"), None);
    }
}
