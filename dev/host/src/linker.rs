//! Compiles components and connects their imports.

use std::path::Path;

use anyhow::{Context, Error, Result};
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use crate::bindings::{fermyon, spin};
use crate::instance::State;

/// A compiled component with its imports resolved. The exports of its trigger are not looked up
/// yet.
pub(crate) type Linked = InstancePre<State>;

/// A linker with everything that a component may import.
///
/// # Errors
/// When two interfaces define the same name, which would be a bug in this crate.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    // Rust's standard library on wasm32-wasip2 imports WASI 0.2, spin-sdk 7 imports 0.3.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    spin::key_value::key_value::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    spin::redis::redis::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    spin::variables::variables::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    fermyon::spin2_0_0::key_value::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    fermyon::spin2_0_0::redis::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    fermyon::spin2_0_0::variables::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    fermyon::spin::redis_types::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// Compiles the component at `source`, or loads it from the engine's cache, and resolves its
/// imports.
///
/// # Errors
/// When the file cannot be read or is no component, or when this host lacks one of its imports.
/// The error names the import.
pub(crate) fn link(linker: &Linker<State>, source: &Path) -> Result<Linked> {
    let bytes = std::fs::read(source).with_context(|| {
        format!(
            "cannot read its source {}; has it been built?",
            source.display()
        )
    })?;
    let component = Component::from_binary(linker.engine(), &bytes)
        .map_err(Error::from)
        .with_context(|| format!("{} is no WebAssembly component", source.display()))?;
    linker
        .instantiate_pre(&component)
        .map_err(Error::from)
        .context("the embedded host lacks one of its imports")
}
