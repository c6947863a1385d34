//! A Rust compiler with the target for components, from Debian's packages, for machines that reach a Debian mirror
//! but not rustup's server.
//!
//! The compiler runs on the C library of its own packages, so that the suite it comes from may be newer than the
//! machine's. The machine's cargo calls it for the components alone.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::apt::{self, Apt};
use crate::debian_source::for_suite;
use crate::unpacked::Unpacked;
use crate::wasm_target;
use crate::workspace;

/// The first Debian suite that carries `wasm32-wasip2`, for exactly its own `rustc`.
const SUITE: &str = "forky";

const PACKAGES: [&str; 2] = ["rustc", "libstd-rust-dev-wasm32"];

/// What `rustc` depends on for linking. The machine has its own, as it has a Rust already; said to be installed, they
/// are not fetched.
const MACHINES_OWN: [(&str, &str); 3] = [
    ("binutils", ""),
    ("gcc", ""),
    ("libc6-dev", "Provides: libc-dev\n"),
];

/// The compiler, under the loader and the libraries that it came with.
const WRAPPER: &str = r#"#!/bin/sh
root=${0%/*}
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
    "$root/usr/bin/rustc" --sysroot "$root/usr" "$@"
"#;

/// A set-up compiler.
#[derive(Debug)]
pub struct DebianRust {
    wrapper: PathBuf,
}

const UNPACKED: Unpacked = Unpacked {
    folder: "debian-rust",
    program: "rustc",
};

impl DebianRust {
    /// The compiler that an earlier [`set_up`](Self::set_up) has left.
    pub fn existing() -> Option<Self> {
        UNPACKED.existing().map(|wrapper| Self { wrapper })
    }

    /// Why this way is closed on this machine, as a sentence; `None` if it is open.
    pub fn obstacle() -> Option<String> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Some("Debian's compiler is used on x86-64 Linux only".to_owned());
        }
        apt::obstacle().or_else(|| for_suite(SUITE).err().map(|error| error.to_string()))
    }

    /// Fetches and unpacks the compiler.
    ///
    /// # Errors
    ///
    /// [`Self::obstacle`], or what apt or dpkg say.
    pub async fn set_up() -> Result<Self> {
        if let Some(obstacle) = Self::obstacle() {
            bail!(obstacle);
        }
        // Before 190 MB are fetched for nothing.
        Linker::installed().await?;
        let (name, sources) = for_suite(SUITE)?;
        let apt = |apt: Apt| apt.with_sources(name, &sources)?.with_status(&status());
        UNPACKED
            .set_up(wasm_target::NAME, &PACKAGES, apt, WRAPPER)
            .await
            .map(|wrapper| Self { wrapper })
            .with_context(|| format!("Debian's suite {SUITE} does not give its compiler"))
    }

    /// Makes `cargo` compile with it.
    ///
    /// # Errors
    ///
    /// When the toolchain in use has no linker for components.
    pub async fn apply(&self, cargo: &mut Command) -> Result<()> {
        let linker = Linker::installed().await?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(
            std::iter::once(linker.folder).chain(std::env::split_paths(&path)),
        )?;
        cargo
            .env("RUSTC", &self.wrapper)
            .env("CARGO_TARGET_WASM32_WASIP2_LINKER", linker.program)
            .env("PATH", path);
        Ok(())
    }
}

/// The linker for components that every Rust toolchain of x86-64 Linux brings along; Debian packages none.
struct Linker {
    program: PathBuf,
    /// Where it finds `wasm-ld`.
    folder: PathBuf,
}

impl Linker {
    async fn installed() -> Result<Self> {
        let mut rustc = workspace::rustc();
        rustc.args(["--print", "sysroot"]);
        let sysroot = workspace::output(rustc).await?;
        let bin = Path::new(&sysroot).join("lib/rustlib/x86_64-unknown-linux-gnu/bin");
        let (program, folder) = (bin.join("wasm-component-ld"), bin.join("gcc-ld"));
        ensure!(
            program.is_file() && folder.join("wasm-ld").is_file(),
            "the Rust toolchain in use has no wasm-component-ld; use one that rustup installed"
        );
        Ok(Self { program, folder })
    }
}

/// The dpkg status of a machine that has the linker's packages and nothing else.
fn status() -> String {
    MACHINES_OWN.iter().fold(String::new(), |mut status, (package, provides)| {
        let _ = writeln!(
            status,
            "Package: {package}\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: foreign\n\
             Version: 999\nMaintainer: nobody\n{provides}Description: the machine's own\n"
        );
        status
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linkers_packages_count_as_installed() {
        let status = status();
        assert_eq!(status.matches("Status: install ok installed").count(), 3);
        assert!(status.contains("Package: libc6-dev\n") && status.contains("Provides: libc-dev\n"));
    }
}
