//! The state folder, which outlives a run.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The subfolder of the Redis that `up` starts, with the work queue.
const REDIS: &str = "redis";

/// The files of Spin's key-value store in SQLite.
const CACHE: [&str; 4] = [
    "sqlite_key_value.db",
    "sqlite_key_value.db-journal",
    "sqlite_key_value.db-shm",
    "sqlite_key_value.db-wal",
];

/// A state folder that only this run uses.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Locked until this is dropped: two runs must not write one append-only file.
    _lock: File,
}

impl StateDir {
    /// Locks the folder, and makes it if needed.
    ///
    /// `origin` names the origin of the cached rows. If the folder has another origin's rows, this
    /// empties the cache, since readers must not see them. It also empties the work queue, which
    /// the worker would refuse.
    ///
    /// # Errors
    ///
    /// When the folder is not writable, or another run uses it.
    pub fn open(path: &Path, origin: &str) -> Result<Self> {
        let path = std::path::absolute(path)?;
        let cannot_write = || {
            format!(
                "cannot write to {}; choose another folder with --state-dir",
                path.display()
            )
        };
        std::fs::create_dir_all(&path).with_context(cannot_write)?;
        let lock = File::create(path.join("up.lock")).with_context(cannot_write)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another `cargo xtask up` uses {}: stop it, or choose another folder with \
                 --state-dir",
                path.display()
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot_write),
        }
        let origin_file = path.join("origin");
        if std::fs::read_to_string(&origin_file).is_ok_and(|last| last != origin) {
            eprintln!(
                "the cache in {} holds another origin's rows: starting with an empty cache and \
                 work queue",
                path.display()
            );
            let redis = path.join(REDIS);
            if redis.exists() {
                std::fs::remove_dir_all(redis).with_context(cannot_write)?;
            }
            for file in CACHE.map(|name| path.join(name)) {
                if file.exists() {
                    std::fs::remove_file(&file).with_context(cannot_write)?;
                }
            }
        }
        std::fs::write(origin_file, origin).with_context(cannot_write)?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the Redis that `up` starts.
    pub fn redis(&self) -> PathBuf {
        self.path.join(REDIS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_run_uses_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path(), "one").unwrap();
        let error = StateDir::open(dir.path(), "one").unwrap_err();
        assert!(error.to_string().contains("--state-dir"), "{error}");
        drop(first);
        StateDir::open(dir.path(), "one").unwrap();
    }

    #[test]
    fn another_origin_empties_the_cache_and_the_work_queue() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), "one").unwrap();
        let cache = dir.path().join(CACHE[0]);
        let queue = state
            .redis()
            .join("appendonlydir/appendonly.aof.1.incr.aof");
        drop(state);
        std::fs::write(&cache, "rows").unwrap();
        std::fs::create_dir_all(queue.parent().unwrap()).unwrap();
        std::fs::write(&queue, "keys").unwrap();
        drop(StateDir::open(dir.path(), "one").unwrap());
        assert!(cache.exists() && queue.exists());
        drop(StateDir::open(dir.path(), "other").unwrap());
        assert!(!cache.exists() && !queue.exists());
    }

    #[test]
    fn an_error_names_a_folder_that_cannot_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = StateDir::open(&file.join("state"), "one").unwrap_err();
        assert!(error.to_string().contains("file/state"), "{error}");
    }
}
