//! A key-value store in SQLite (Spin: `crates/key-value-spin`).

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use rusqlite::{Connection, ffi, params};
use tokio::task::{block_in_place, spawn_blocking};

use super::error::{Error, other};
use super::listing::{Listing, Sender};

/// A database behind one connection, shared by all components of a process. Other processes share
/// its file.
///
/// As in Spin, SQLite's defaults apply (a rollback journal), and rusqlite's (waiting 5 s for a
/// lock).
#[derive(Debug)]
pub(crate) struct Database(Arc<Mutex<Connection>>);

impl Database {
    /// Opens the database in `file`. Makes the file and its folder if they are missing.
    ///
    /// # Errors
    /// When either cannot be made, or the file is no such database.
    pub(super) fn open(file: &Path) -> Result<Self> {
        let folder = file.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder).with_context(|| {
            format!(
                "cannot make the key-value store's folder {}",
                folder.display()
            )
        })?;
        Connection::open(file)
            .and_then(Self::with_table)
            .with_context(|| format!("cannot open the key-value store {}", file.display()))
    }

    /// A new database that lives as long as this process.
    ///
    /// # Errors
    /// When SQLite runs out of memory.
    pub(super) fn in_memory() -> Result<Self> {
        Connection::open_in_memory()
            .and_then(Self::with_table)
            .context("cannot open a key-value store in memory")
    }

    fn with_table(connection: Connection) -> rusqlite::Result<Self> {
        connection.execute(
            "CREATE TABLE IF NOT EXISTS spin_key_value (
                store TEXT NOT NULL,
                key   TEXT NOT NULL,
                value BLOB NOT NULL,
                PRIMARY KEY (store, key)
            )",
            [],
        )?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    pub(super) fn get(&self, store: &str, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        self.with(|connection| {
            connection
                .prepare_cached("SELECT value FROM spin_key_value WHERE store=?1 AND key=?2")?
                .query_map([store, key], |row| row.get(0))?
                .next()
                .transpose()
        })
    }

    pub(super) fn set(&self, store: &str, key: &str, value: &[u8]) -> rusqlite::Result<()> {
        self.with(|connection| {
            connection
                .prepare_cached(
                    "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
                     ON CONFLICT(store, key) DO UPDATE SET value=?3",
                )?
                .execute(params![store, key, value])
                .map(drop)
        })
    }

    pub(super) fn delete(&self, store: &str, key: &str) -> rusqlite::Result<()> {
        self.with(|connection| {
            connection
                .prepare_cached("DELETE FROM spin_key_value WHERE store=?1 AND key=?2")?
                .execute([store, key])
                .map(drop)
        })
    }

    /// Lists the keys of `store`.
    ///
    /// As in Spin, the connection stays locked until the component has read the last key. A
    /// component that calls the store earlier waits forever and blocks a thread.
    pub(super) fn keys(&self, store: &str) -> Listing {
        let (sender, listing) = Listing::new();
        let connection = self.0.clone();
        let store = store.to_owned();
        spawn_blocking(move || {
            let outcome = send_keys(&lock(&connection), &store, &sender);
            sender.end(outcome);
        });
        listing
    }

    /// Blocks in place, as Spin does. This lets the head of an HTTP response overtake its body, and
    /// components are tested against that.
    fn with<T>(&self, act: impl FnOnce(&Connection) -> T) -> T {
        block_in_place(|| act(&lock(&self.0)))
    }
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send_keys(connection: &Connection, store: &str, sender: &Sender) -> Result<(), Error> {
    let mut statement = connection
        .prepare_cached("SELECT key FROM spin_key_value WHERE store=?1")
        .map_err(other)?;
    let mut rows = statement.query([store]).map_err(other)?;
    while let Some(row) = rows.next().map_err(other)? {
        let key = row.get(0).map_err(other)?;
        sender.keys.blocking_send(key).map_err(other)?;
    }
    Ok(())
}

/// The error of a failing dial: the disk cannot be read or written.
pub(super) fn failure() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        ffi::Error::new(ffi::SQLITE_IOERR),
        Some("disk I/O error".to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn entries_are_in_spins_table_by_store_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/sqlite_key_value.db");
        let database = Database::open(&file).unwrap();
        database.set("default", "/articles", b"old").unwrap();
        database.set("default", "/articles", b"new").unwrap();
        database.set("other", "/articles", b"else").unwrap();

        let spins = Connection::open(file).unwrap();
        let query = "SELECT value FROM spin_key_value WHERE store='default' AND key='/articles'";
        let value: Vec<u8> = spins.query_row(query, [], |row| row.get(0)).unwrap();
        assert_eq!(value, b"new");

        database.delete("default", "/articles").unwrap();
        database.delete("default", "/articles").unwrap();
        assert_eq!(database.get("default", "/articles").unwrap(), None);
        assert_eq!(
            database.get("other", "/articles").unwrap().as_deref(),
            Some(b"else".as_slice())
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_finished_listing_frees_the_database() {
        let database = Database::in_memory().unwrap();
        let keys: Vec<String> = (10..30).map(|id| format!("/articles/{id}")).collect();
        for key in &keys {
            database.set("default", key, b"").unwrap();
        }
        database.set("other", "/else", b"").unwrap();
        let (mut listed, outcome) = database.keys("default").collect().await;
        listed.sort();
        assert_eq!(listed, keys);
        outcome.unwrap();
        assert!(database.get("default", "/articles/10").unwrap().is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_dropped_listing_frees_the_database() {
        let database = Database::in_memory().unwrap();
        for id in 0..100 {
            database.set("default", &format!("/{id}"), b"").unwrap();
        }
        drop(database.keys("default"));
        assert!(database.get("default", "/1").unwrap().is_some());
    }

    #[test]
    fn an_error_names_a_file_that_is_no_database() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key_value.db");
        std::fs::write(&file, "x".repeat(4096)).unwrap();
        let error = Database::open(&file).unwrap_err();
        assert!(format!("{error:#}").contains("key_value.db"));
    }
}
