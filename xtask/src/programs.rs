//! The programs that the application runs on: Spin, and a Redis or Valkey server.

use std::path::PathBuf;

use afterword_stack::{Host, Redis, find_program};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use tokio::process::Command;

use crate::apt;
use crate::doctor::Outlook;
use crate::unpacked::Unpacked;
use crate::{build, workspace};

/// The first Spin that takes components of the final WASI 0.3, as spin-sdk 7 makes them. Its pre-releases do too.
const SPIN_SINCE: (u64, u64) = (4, 1);

const REDIS_ADVICE: &str = "install redis-server or valkey-server (`brew install redis`, `dnf install valkey`, \
                            `apt-get install redis-server`), or name a running server with --redis-url";

/// What runs the components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostKind {
    /// The `spin` program, 4.1 or later
    Spin,
    /// The embedded host of this repository
    Embedded,
}

/// The `spin` program on the `PATH`.
#[derive(Debug, PartialEq, Eq)]
pub enum Spin {
    /// There is none.
    Missing,
    /// It cannot run these components.
    TooOld {
        /// As it says itself.
        version: String,
    },
    /// It can.
    Usable {
        /// Where it is.
        program: PathBuf,
        /// As it says itself.
        version: String,
    },
}

impl Spin {
    /// Looks for it and asks for its version.
    ///
    /// # Errors
    ///
    /// When it is there but does not run, or its version cannot be understood.
    pub async fn find() -> Result<Self> {
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
        let number = number(&version)
            .with_context(|| format!("`spin --version` says {text:?}, which names no version"))?;
        Ok(if number < SPIN_SINCE {
            Self::TooOld { version }
        } else {
            Self::Usable { program, version }
        })
    }
}

/// Major and minor of `4.1.0-pre0`.
fn number(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The host to use: the one asked for; else Spin where a usable one is installed, else the embedded host.
///
/// # Errors
///
/// When Spin is asked for and there is no usable one.
pub async fn host(wanted: Option<HostKind>) -> Result<Host> {
    let embedded = Host::Embedded(workspace::built_program(build::HOST));
    if wanted == Some(HostKind::Embedded) {
        return Ok(embedded);
    }
    match (Spin::find().await?, wanted) {
        (Spin::Usable { program, .. }, _) => Ok(Host::Spin(program)),
        (Spin::Missing, None) => Ok(embedded),
        (Spin::TooOld { version }, None) => {
            eprintln!(
                "Spin {version} is too old for these components (4.1 or later); using the embedded host"
            );
            Ok(embedded)
        }
        (Spin::Missing, Some(_)) => bail!(
            "there is no `spin` on the PATH; install Spin 4.1 or later (https://spinframework.dev), or use `--host embedded`"
        ),
        (Spin::TooOld { version }, Some(_)) => {
            bail!(
                "Spin {version} is too old for these components; install 4.1 or later, or use `--host embedded`"
            )
        }
    }
}

const UNPACKED_REDIS: Unpacked = Unpacked {
    folder: "debian-redis",
    program: "redis-server",
};

/// On the `PATH`, or unpacked by an earlier [`redis()`].
fn existing_redis() -> Option<PathBuf> {
    Redis::find().or_else(|| UNPACKED_REDIS.existing())
}

/// What [`redis()`] would do, without doing it.
pub fn redis_outlook() -> Outlook {
    match (existing_redis(), apt::obstacle()) {
        (Some(program), _) => Outlook::Here(program.display().to_string()),
        (None, None) => {
            Outlook::Fetched("`up` fetches Debian's package (1 MB) into target/debian-redis".into())
        }
        (None, Some(_)) => Outlook::Missing(REDIS_ADVICE.into()),
    }
}

/// The Redis server's program. Where there is none, it is fetched from Debian and unpacked below `target`: that takes no
/// privileges and, unlike an installation, starts no service.
///
/// # Errors
///
/// When it cannot be had: why, and what to do.
pub async fn redis() -> Result<PathBuf> {
    if let Some(program) = existing_redis() {
        return Ok(program);
    }
    unpack_redis()
        .await
        .with_context(|| format!("there is no Redis server here; {REDIS_ADVICE}"))
}

async fn unpack_redis() -> Result<PathBuf> {
    // The packages' libraries are beside the program, and not where the system looks.
    let libraries = format!("{}-linux-gnu", std::env::consts::ARCH);
    let script = format!(
        "#!/bin/sh\nroot=${{0%/*}}\n\
         export LD_LIBRARY_PATH=\"$root/usr/lib/{libraries}:$root/lib/{libraries}\"\n\
         exec \"$root/usr/bin/redis-server\" \"$@\"\n"
    );
    UNPACKED_REDIS
        .set_up("redis-server", &["redis-server"], Ok, &script)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pre_release_counts_as_its_version() {
        assert_eq!(number("4.1.0-pre0"), Some((4, 1)));
        assert_eq!(number("4.0.2"), Some((4, 0)));
        assert_eq!(number("10.0.0"), Some((10, 0)));
        assert!(number("4.10.0").unwrap() > SPIN_SINCE);
        assert!(number("3.9.1").unwrap() < SPIN_SINCE);
        assert_eq!(number("canary"), None);
    }
}
