//! `spin:key-value`: Spin's default store, an SQLite file (Spin: `crates/key-value-spin`).

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use rusqlite::{Connection, ffi, params};
use tokio::task::block_in_place;
use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::bindings::spin::key_value::key_value::{
    Error, Host, HostStore, HostStoreWithStore, Store,
};
use crate::component::State;
use crate::dials::Call;

/// The file's name in the state folder, which Spin gives it too.
const FILE: &str = "sqlite_key_value.db";

/// The database that all components of a process share through one connection, and with other processes through the
/// file. As in Spin, it has SQLite's own settings (a rollback journal) and rusqlite's (5 s of waiting for a lock).
#[derive(Debug)]
pub(crate) struct Database(Mutex<Connection>);

impl Database {
    /// Opens the database in `state_dir`, and makes both if they are missing.
    ///
    /// # Errors
    /// When either cannot be made, or the file is no such database.
    pub(crate) fn open(state_dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(state_dir)
            .with_context(|| format!("cannot make the state folder {}", state_dir.display()))?;
        let file = state_dir.join(FILE);
        Self::open_file(&file)
            .with_context(|| format!("cannot open the key-value store {}", file.display()))
    }

    fn open_file(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        connection.execute(
            "CREATE TABLE IF NOT EXISTS spin_key_value (
                store TEXT NOT NULL,
                key   TEXT NOT NULL,
                value BLOB NOT NULL,
                PRIMARY KEY (store, key)
            )",
            [],
        )?;
        Ok(Self(Mutex::new(connection)))
    }

    fn get(&self, store: &str, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        self.with(|connection| {
            connection
                .prepare_cached("SELECT value FROM spin_key_value WHERE store=?1 AND key=?2")?
                .query_map([store, key], |row| row.get(0))?
                .next()
                .transpose()
        })
    }

    fn set(&self, store: &str, key: &str, value: &[u8]) -> rusqlite::Result<()> {
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

    fn delete(&self, store: &str, key: &str) -> rusqlite::Result<()> {
        self.with(|connection| {
            connection
                .prepare_cached("DELETE FROM spin_key_value WHERE store=?1 AND key=?2")?
                .execute([store, key])
                .map(drop)
        })
    }

    /// Blocks in place, as Spin does, rather than on a thread of its own: it is what makes the head of an HTTP response
    /// overtake its body there, and the components have to be tested against that.
    fn with<T>(&self, act: impl FnOnce(&Connection) -> T) -> T {
        block_in_place(|| act(&self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A store that a component has opened.
#[derive(Clone, Debug)]
pub struct OpenStore {
    label: String,
}

/// SQLite's error as Spin passes it on.
fn other(error: rusqlite::Error) -> Error {
    Error::Other(format!("{error:?}"))
}

/// What a failing dial gives: a disk that cannot be read or written.
fn disk_failure() -> Error {
    other(rusqlite::Error::SqliteFailure(
        ffi::Error::new(ffi::SQLITE_IOERR),
        Some("disk I/O error".to_owned()),
    ))
}

impl Host for State {}

impl HostStore for State {
    fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl<T: Send> HostStoreWithStore<T> for HasSelf<State> {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> Result<Resource<Store>, Error> {
        accessor.with(|mut access| {
            let state = access.get();
            if !state.component.key_value_stores.contains(&label) {
                return Err(Error::AccessDenied);
            }
            state
                .table
                .push(OpenStore { label })
                .map_err(|_| Error::StoreTableFull)
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<Option<Vec<u8>>, Error> {
        call(accessor, store, Call::KeyValueGet, |database, label| {
            database.get(label, &key)
        })
        .await
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        call(accessor, store, Call::KeyValueSet, |database, label| {
            database.set(label, &key, &value)
        })
        .await
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<(), Error> {
        call(accessor, store, Call::KeyValueDelete, |database, label| {
            database.delete(label, &key)
        })
        .await
    }
}

async fn call<T: Send, R>(
    accessor: &Accessor<T, HasSelf<State>>,
    store: Resource<Store>,
    kind: Call,
    act: impl FnOnce(&Database, &str) -> rusqlite::Result<R>,
) -> Result<R, Error> {
    let (component, store) = accessor.with(|mut access| {
        let state = access.get();
        let store = state.table.get(&store).cloned();
        store
            .map(|store| (state.component.clone(), store))
            .map_err(|_| Error::NoSuchStore)
    })?;
    let carry_out = async { act(&component.database, &store.label).map_err(other) };
    component.dials.around(kind, disk_failure, carry_out).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn entries_are_kept_by_store_and_key_in_spins_table() {
        let folder = tempfile::tempdir().unwrap();
        let state_dir = folder.path().join("state");
        let database = Database::open(&state_dir).unwrap();
        database.set("default", "/articles", b"old").unwrap();
        database.set("default", "/articles", b"new").unwrap();
        database.set("other", "/articles", b"else").unwrap();

        let spins = Connection::open(state_dir.join("sqlite_key_value.db")).unwrap();
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

    #[test]
    fn a_file_that_is_no_database_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "x".repeat(4096)).unwrap();
        let error = Database::open(folder.path()).unwrap_err();
        assert!(format!("{error:#}").contains(FILE));
    }
}
