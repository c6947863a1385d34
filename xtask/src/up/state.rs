//! The state folder, which outlives a run.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// The subfolder of the Redis that `up` starts, with the work queue.
const REDIS: &str = "redis";

/// The files of Spin's key-value store in SQLite.
const CACHE: [&str; 4] = [
    "sqlite_key_value.db",
    "sqlite_key_value.db-journal",
    "sqlite_key_value.db-shm",
    "sqlite_key_value.db-wal",
];

/// The file that tells other commands about the run.
const RUNNING: &str = "up.json";

/// A running application, for `cargo xtask status` and `cargo xtask refresh`.
#[derive(Deserialize, Serialize)]
pub struct Running {
    /// Its base URL.
    pub url: String,
    /// Its variable `admin_token`.
    pub admin_token: String,
}

impl Running {
    /// The application whose state folder this is.
    ///
    /// # Errors
    ///
    /// When `up` does not run there.
    pub fn find(dir: &Path) -> Result<Self> {
        let read =
            || -> Result<Self> { Ok(serde_json::from_slice(&std::fs::read(dir.join(RUNNING))?)?) };
        read().with_context(|| {
            format!(
                "no `cargo xtask up` runs with {}: start it, or name an application with --url",
                dir.display()
            )
        })
    }
}

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

    /// Tells other commands of this user about the run, until it ends.
    ///
    /// # Errors
    ///
    /// When the folder is not writable.
    pub fn tell(&self, running: &Running) -> Result<()> {
        let path = self.path.join(RUNNING);
        let cannot_write = || format!("cannot write {}", path.display());
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .with_context(cannot_write)?;
        file.write_all(&serde_json::to_vec(running)?)
            .with_context(cannot_write)
    }

    /// The folder of the Redis that `up` starts.
    pub fn redis(&self) -> PathBuf {
        self.path.join(REDIS)
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        // A file that stays names an application that does not respond.
        let _ = std::fs::remove_file(self.path.join(RUNNING));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_run_is_found_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), "one").unwrap();
        let running = Running {
            url: "http://127.0.0.1:3000".to_owned(),
            admin_token: "secret".to_owned(),
        };
        state.tell(&running).unwrap();
        assert_eq!(Running::find(dir.path()).unwrap().url, running.url);
        let file = std::fs::metadata(dir.path().join(RUNNING)).unwrap();
        assert_eq!(
            file.permissions().mode() & 0o077,
            0,
            "only this user may read it"
        );
        drop(state);
        assert!(Running::find(dir.path()).is_err());
    }

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
