//! The key-value store "default", in SQLite or in Redis (Spin: `crates/factor-key-value`).

use std::path::Path;

use crate::runtime_config::KeyValueStore;
use error::{Error, other};
use listing::Listing;

mod error;
pub(crate) mod listing;
mod redis;
mod sqlite;

/// The name of SQLite's file in the state folder, the same as in Spin.
const FILE: &str = "sqlite_key_value.db";

/// Where all components of a process keep their entries.
pub(crate) enum Backend {
    Sqlite(sqlite::Database),
    // A TLS configuration makes it large.
    Redis(Box<redis::Server>),
}

impl Backend {
    /// The backend of the runtime configuration, or the SQLite file in `state_dir`.
    ///
    /// # Errors
    /// When SQLite cannot make or read its file, or the Redis URL is invalid.
    pub(crate) fn new(configured: Option<KeyValueStore>, state_dir: &Path) -> anyhow::Result<Self> {
        Ok(match configured {
            None => Self::Sqlite(sqlite::Database::open(&state_dir.join(FILE))?),
            Some(KeyValueStore::Spin { path: Some(file) }) => {
                Self::Sqlite(sqlite::Database::open(&file)?)
            }
            Some(KeyValueStore::Spin { path: None }) => {
                Self::Sqlite(sqlite::Database::in_memory()?)
            }
            Some(KeyValueStore::Redis { url }) => Self::Redis(Box::new(redis::Server::new(&url)?)),
        })
    }

    pub(crate) async fn open(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Redis(server) => server.open().await.map_err(other),
        }
    }

    pub(crate) async fn get(&self, label: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Sqlite(database) => database.get(label, key).map_err(other),
            Self::Redis(server) => server.get(key).await.map_err(other),
        }
    }

    pub(crate) async fn exists(&self, label: &str, key: &str) -> Result<bool, Error> {
        match self {
            // As Spin does.
            Self::Sqlite(database) => {
                let value = database.get(label, key).map_err(other)?;
                Ok(value.is_some())
            }
            Self::Redis(server) => server.exists(key).await.map_err(other),
        }
    }

    pub(crate) async fn set(&self, label: &str, key: &str, value: &[u8]) -> Result<(), Error> {
        match self {
            Self::Sqlite(database) => database.set(label, key, value).map_err(other),
            Self::Redis(server) => server.set(key, value).await.map_err(other),
        }
    }

    pub(crate) async fn delete(&self, label: &str, key: &str) -> Result<(), Error> {
        match self {
            Self::Sqlite(database) => database.delete(label, key).map_err(other),
            Self::Redis(server) => server.delete(key).await.map_err(other),
        }
    }

    pub(crate) async fn keys(&self, label: &str) -> Result<Listing, Error> {
        match self {
            Self::Sqlite(database) => Ok(database.keys(label)),
            Self::Redis(server) => server.keys().await,
        }
    }

    pub(crate) async fn keys_at_once(&self, label: &str) -> Result<Listing, Error> {
        match self {
            Self::Sqlite(database) => Ok(database.keys(label)),
            Self::Redis(server) => server.keys_at_once().await,
        }
    }

    /// The error of a failing dial.
    pub(crate) fn failure(&self) -> Error {
        match self {
            Self::Sqlite(_) => other(sqlite::failure()),
            Self::Redis(_) => other(redis::failure()),
        }
    }
}
