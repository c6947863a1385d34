//! Chromium from Debian's packages, for the tests of the status page.

use std::path::PathBuf;

use anyhow::Result;

use super::apt;
use super::unpacked::Unpacked;

const UNPACKED: Unpacked = Unpacked {
    folder: "debian-chromium",
    program: "chromium",
};

/// The Chromium without windows, which needs fewer libraries, and a font.
const PACKAGES: [&str; 2] = ["chromium-headless-shell", "fonts-dejavu-core"];

/// Runs it with its own libraries, and with its own fonts where the machine has none.
const SCRIPT: &str = r#"#!/bin/sh
root=${0%/*}
libraries=$root/usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$libraries:$root/lib/${libraries##*/}:$libraries/pulseaudio"
[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_SYSROOT="$root"
exec "$root/usr/lib/chromium/chromium-headless-shell" "$@"
"#;

/// The program in `target/debian-chromium`.
pub struct Chromium;

impl Chromium {
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
    /// When apt or dpkg fails, or Chromium does not run here.
    pub async fn get() -> Result<PathBuf> {
        match Self::existing() {
            Some(program) => Ok(program),
            None => UNPACKED.set_up("chromium", &PACKAGES, Ok, SCRIPT).await,
        }
    }
}
