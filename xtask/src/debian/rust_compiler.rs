//! Debian's Rust compiler with the target for components.
//!
//! The compiler runs on the C library of its own packages, so its Debian suite may be newer than
//! the machine. The machine's cargo uses it for the components only.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::apt::{self, Apt};
use super::sources;
use super::unpacked::Unpacked;
use crate::packages::WASM_TARGET;
use crate::workspace;

/// The first Debian suite with `wasm32-wasip2`, which works with its own `rustc` only.
const SUITE: &str = "forky";

const PACKAGES: [&str; 2] = ["rustc", "libstd-rust-dev-wasm32"];

/// `rustc`'s dependencies for linking, in dpkg's format. A machine with Rust has its own. Marked as
/// installed, they are not fetched.
const INSTALLED: &str = "\
Package: binutils
Status: install ok installed
Architecture: amd64
Multi-Arch: foreign
Version: 999
Maintainer: nobody
Description: the machine's own

Package: gcc
Status: install ok installed
Architecture: amd64
Multi-Arch: foreign
Version: 999
Maintainer: nobody
Description: the machine's own

Package: libc6-dev
Status: install ok installed
Architecture: amd64
Multi-Arch: foreign
Version: 999
Maintainer: nobody
Provides: libc-dev
Description: the machine's own

";

/// Starts the compiler with the loader and libraries of its packages.
const SCRIPT: &str = r#"#!/bin/sh
root=${0%/*}
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
    "$root/usr/bin/rustc" --sysroot "$root/usr" "$@"
"#;

const UNPACKED: Unpacked = Unpacked {
    folder: "debian-rust",
    program: "rustc",
};

/// The compiler in `target/debian-rust`.
#[derive(Debug)]
pub struct RustCompiler {
    script: PathBuf,
}

impl RustCompiler {
    /// The compiler, if an earlier [`get`](Self::get) has unpacked it.
    pub fn existing() -> Option<Self> {
        UNPACKED.existing().map(|script| Self { script })
    }

    /// Why this machine cannot fetch it, if so.
    pub fn obstacle() -> Option<String> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Some("Debian's compiler is used on x86-64 Linux only".to_owned());
        }
        let no_source = || sources::for_suite(SUITE).err();
        apt::obstacle().or_else(|| no_source().map(|error| error.to_string()))
    }

    /// Fetches and unpacks it, unless it exists.
    ///
    /// # Errors
    ///
    /// When there is an [obstacle](Self::obstacle), or apt or dpkg fails.
    pub async fn get() -> Result<Self> {
        match Self::existing() {
            Some(compiler) => Ok(compiler),
            None => Self::set_up().await.context("cannot use Debian's compiler"),
        }
    }

    async fn set_up() -> Result<Self> {
        if let Some(obstacle) = Self::obstacle() {
            bail!(obstacle);
        }
        // Check this before fetching 190 MB.
        Linker::find().await?;
        let (name, text) = sources::for_suite(SUITE)?;
        let configure = |apt: Apt| apt.with_sources(name, &text)?.with_status(INSTALLED);
        UNPACKED
            .set_up(WASM_TARGET, &PACKAGES, configure, SCRIPT)
            .await
            .map(|script| Self { script })
    }

    /// The environment that makes cargo use it.
    ///
    /// # Errors
    ///
    /// When the Rust toolchain in use has no linker for components.
    pub async fn cargo_environment(&self) -> Result<Vec<(&'static str, OsString)>> {
        let linker = Linker::find().await?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(
            std::iter::once(linker.folder).chain(std::env::split_paths(&path)),
        )?;
        Ok(vec![
            ("RUSTC", self.script.clone().into()),
            ("CARGO_TARGET_WASM32_WASIP2_LINKER", linker.program.into()),
            ("PATH", path),
        ])
    }
}

/// The linker for components. Debian has none, but every Rust toolchain of x86-64 Linux does.
struct Linker {
    program: PathBuf,
    /// The folder of its `wasm-ld`.
    folder: PathBuf,
}

impl Linker {
    async fn find() -> Result<Self> {
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
