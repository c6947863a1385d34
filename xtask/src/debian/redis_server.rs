//! A Redis server from Debian's packages. Unlike an installation, it needs no privileges and starts
//! no service.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::Result;

use super::apt;
use super::unpacked::Unpacked;

const UNPACKED: Unpacked = Unpacked {
    folder: "debian-redis",
    program: "redis-server",
};

/// Starts the server with its own libraries; under the name `redis-cli`, the client.
const SCRIPT: &str = r#"#!/bin/sh
root=${0%/*}
libraries=$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$root/usr/lib/$libraries:$root/lib/$libraries"
case ${0##*/} in
  redis-cli) program=redis-cli ;;
  *) program=redis-server ;;
esac
exec "$root/usr/bin/$program" "$@"
"#;

/// The server in `target/debian-redis`.
pub struct RedisServer;

impl RedisServer {
    /// The program, if an earlier [`get`](Self::get) has unpacked it.
    pub fn existing() -> Option<PathBuf> {
        UNPACKED.existing()
    }

    /// Why this machine cannot fetch it, if so.
    pub fn obstacle() -> Option<String> {
        apt::obstacle()
    }

    /// Fetches and unpacks it, unless it exists.
    ///
    /// # Errors
    ///
    /// When apt or dpkg fails, or the server does not run here.
    pub async fn get() -> Result<PathBuf> {
        match Self::existing() {
            Some(program) => Ok(program),
            None => {
                let program = UNPACKED
                    .set_up("redis-server", &["redis-server"], Ok, SCRIPT)
                    .await?;
                symlink("redis-server", program.with_file_name("redis-cli"))?;
                Ok(program)
            }
        }
    }
}
