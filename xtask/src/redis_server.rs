//! The Redis or Valkey server that `up` and the tests start.

use std::path::PathBuf;

use afterword_stack::Redis;
use anyhow::{Context, Result};

use crate::debian::RedisServer;
use crate::prerequisite::Prerequisite;

const ADVICE: &str = "install redis-server or valkey-server (`brew install redis`, \
                      `dnf install valkey`, `apt-get install redis-server`), or name a running \
                      server with --redis-url";

/// The program: on the `PATH`, or else Debian's.
///
/// # Errors
///
/// When there is none and Debian's cannot be had. The error gives advice.
pub async fn program() -> Result<PathBuf> {
    match Redis::find() {
        Some(program) => Ok(program),
        None => RedisServer::get()
            .await
            .with_context(|| format!("there is no Redis server here; {ADVICE}")),
    }
}

/// What [`program()`] would do.
pub fn prerequisite() -> Prerequisite {
    let existing = Redis::find().or_else(RedisServer::existing);
    match (existing, RedisServer::obstacle()) {
        (Some(program), _) => Prerequisite::Installed(program.display().to_string()),
        (None, None) => Prerequisite::Fetchable(
            "`up` fetches Debian's package (1 MB) into target/debian-redis".into(),
        ),
        (None, Some(_)) => Prerequisite::Missing(ADVICE.into()),
    }
}
