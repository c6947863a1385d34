//! The WebAssembly engine and its cache of compiled components.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use wasmtime::{Cache, CacheConfig, Config, Engine};

/// An engine that keeps what it compiles in `cache_dir`, or in [`default_cache_dir`].
///
/// # Errors
/// When the cache's folder cannot be made, or the machine is one that wasmtime does not compile for.
pub(crate) fn engine(cache_dir: Option<&Path>) -> Result<Engine> {
    let mut cache = CacheConfig::new();
    if let Some(folder) = cache_dir.map(Path::to_owned).or_else(default_cache_dir) {
        let folder = std::path::absolute(&folder)
            .with_context(|| format!("{} is no path", folder.display()))?;
        cache.with_directory(folder);
    }
    let cache = Cache::new(cache)
        .map_err(Error::from)
        .context("cannot use the folder for compiled components")?;
    let mut config = Config::new();
    config
        .cache(Some(cache))
        .wasm_component_model_async(true)
        // The components are stripped: the frames would have no names, and a panic says itself where it happened.
        .wasm_backtrace_max_frames(None);
    Ok(Engine::new(&config)?)
}

/// `afterword-host` in Cargo's target folder, if this program lies in one; else wasmtime's own choice, a folder of the
/// user's. Not the shared temporary folder: what lies in the cache is run as native code.
fn default_cache_dir() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    // Cargo marks its target folder, wherever it is, with this file.
    let target = program
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())?;
    Some(target.join("afterword-host"))
}
