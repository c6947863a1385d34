//! Prometheus's `promtool`, for the tests of `deploy/monitoring`: the machine's, or that of
//! Debian's package.

use std::path::PathBuf;

use afterword_stack::find_program;
use anyhow::Result;

use super::unpacked::Unpacked;

const UNPACKED: Unpacked = Unpacked {
    folder: "debian-prometheus",
    program: "promtool",
};

/// Starts the program, which is in the server's package.
const SCRIPT: &str = r#"#!/bin/sh
exec "${0%/*}/usr/bin/promtool" "$@"
"#;

/// The program on the `PATH`, or else the one in `target/debian-prometheus`, which it fetches and
/// unpacks unless it exists.
///
/// # Errors
///
/// When apt or dpkg fails, or the program does not run here.
pub async fn promtool() -> Result<PathBuf> {
    match find_program("promtool").or_else(|| UNPACKED.existing()) {
        Some(program) => Ok(program),
        None => {
            UNPACKED
                .set_up("promtool", &["prometheus"], Ok, SCRIPT)
                .await
        }
    }
}
