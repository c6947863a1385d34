//! The load generator wrk, for `cargo xtask bench`: the machine's, or that of Debian's package.

use std::path::PathBuf;

use afterword_stack::find_program;
use anyhow::Result;

use super::unpacked::Unpacked;

const UNPACKED: Unpacked = Unpacked {
    folder: "debian-wrk",
    program: "wrk",
};

/// Runs it with its own libraries. It prints its version, but then fails.
const SCRIPT: &str = r#"#!/bin/sh
root=${0%/*}
libraries=$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$root/usr/lib/$libraries:$root/lib/$libraries"
case $1 in
  --version) "$root/usr/bin/wrk" --version | grep '^wrk' ;;
  *) exec "$root/usr/bin/wrk" "$@" ;;
esac
"#;

/// The program on the `PATH`, or else the one in `target/debian-wrk`, which it fetches and unpacks
/// unless it exists.
///
/// # Errors
///
/// When apt or dpkg fails, or the program does not run here.
pub async fn wrk() -> Result<PathBuf> {
    match find_program("wrk").or_else(|| UNPACKED.existing()) {
        Some(program) => Ok(program),
        None => UNPACKED.set_up("wrk", &["wrk"], Ok, SCRIPT).await,
    }
}
