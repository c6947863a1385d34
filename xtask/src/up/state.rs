//! The folder for everything that outlives a run.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The folder of a Redis of our own, with its work queue.
const REDIS: &str = "redis";

/// Spin's key-value store, with what SQLite keeps beside it.
const CACHE: [&str; 4] = [
    "sqlite_key_value.db",
    "sqlite_key_value.db-journal",
    "sqlite_key_value.db-shm",
    "sqlite_key_value.db-wal",
];

/// A state folder in use by this run alone.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Held until this is dropped: two runs on one folder would write one append-only file.
    _lock: File,
}

impl StateDir {
    /// Takes the folder, and makes it if need be. `origin` names whose rows the cache holds. A
    /// cache of another origin is emptied, because readers would be shown that one's rows. So is
    /// the work queue: the worker refuses another origin's.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written, or another run uses it.
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
                "another `cargo xtask up` uses {}: stop it, or choose another folder with --state-dir",
                path.display()
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot_write),
        }
        let note = path.join("origin");
        if std::fs::read_to_string(&note).is_ok_and(|last| last != origin) {
            eprintln!(
                "the cache in {} holds another origin's rows: starting with an empty cache and work queue",
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
        std::fs::write(note, origin).with_context(cannot_write)?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a Redis of our own.
    pub fn redis(&self) -> PathBuf {
        self.path.join(REDIS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_serves_one_run_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path(), "one").unwrap();
        let error = StateDir::open(dir.path(), "one").unwrap_err();
        assert!(error.to_string().contains("--state-dir"), "{error}");
        drop(first);
        StateDir::open(dir.path(), "one").unwrap();
    }

    #[test]
    fn the_cache_and_the_work_queue_are_kept_for_their_own_origin_only() {
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
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = StateDir::open(&file.join("state"), "one").unwrap_err();
        assert!(error.to_string().contains("file/state"), "{error}");
    }
}
