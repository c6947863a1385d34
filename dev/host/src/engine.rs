//! The WebAssembly engine and its cache of compiled components.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use wasmtime::{Cache, CacheConfig, Config, Engine};

/// An engine that caches compiled components in `cache_dir` or [`default_cache_dir`]. With `measure`,
/// its code counts fuel, which makes it slower.
///
/// # Errors
/// When the cache's folder cannot be made, or wasmtime does not support this machine.
pub(crate) fn engine(cache_dir: Option<&Path>, measure: bool) -> Result<Engine> {
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
        .consume_fuel(measure)
        // The components are stripped, so frames have no names. A panic message has its place.
        .wasm_backtrace_max_frames(None);
    Ok(Engine::new(&config)?)
}

/// `afterword-host` in Cargo's target folder, if this program lies in one. Otherwise, wasmtime
/// chooses a folder of the user. The shared temporary folder would be unsafe: the host runs the
/// cache's files as native code.
fn default_cache_dir() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    // Cargo marks its target folder with this file.
    let target = program
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())?;
    Some(target.join("afterword-host"))
}
