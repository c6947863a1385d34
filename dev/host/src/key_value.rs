//! `spin:key-value`: the store "default", in SQLite or in Redis (Spin: `crates/factor-key-value`).

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::bindings::spin::key_value::key_value::{
    Error, Host, HostStore, HostStoreWithStore, Store,
};
use crate::component::{Component, State};
use crate::dials::Call;
use crate::runtime_config::KeyValueStore;
use listing::{Listing, Readers};

mod listing;
mod redis;
mod sqlite;

/// The name of SQLite's file in the state folder, which Spin gives it too.
const FILE: &str = "sqlite_key_value.db";

/// Where all components of a process keep their entries.
pub(crate) enum Backend {
    Sqlite(sqlite::Database),
    Redis(redis::Server),
}

impl Backend {
    /// The backend that the runtime configuration asks for; if it asks for none, the SQLite file in `state_dir`.
    ///
    /// # Errors
    /// When SQLite's file cannot be made or is no such database, or Redis's URL is none.
    pub(crate) fn new(configured: Option<KeyValueStore>, state_dir: &Path) -> anyhow::Result<Self> {
        Ok(match configured {
            None => Self::Sqlite(sqlite::Database::open(&state_dir.join(FILE))?),
            Some(KeyValueStore::Spin { path: Some(file) }) => {
                Self::Sqlite(sqlite::Database::open(&file)?)
            }
            Some(KeyValueStore::Spin { path: None }) => {
                Self::Sqlite(sqlite::Database::in_memory()?)
            }
            Some(KeyValueStore::Redis { url }) => Self::Redis(redis::Server::new(&url)?),
        })
    }

    async fn open(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Redis(server) => server.open().await.map_err(other),
        }
    }

    async fn get(&self, label: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Sqlite(database) => database.get(label, key).map_err(other),
            Self::Redis(server) => server.get(key).await.map_err(other),
        }
    }

    async fn set(&self, label: &str, key: &str, value: &[u8]) -> Result<(), Error> {
        match self {
            Self::Sqlite(database) => database.set(label, key, value).map_err(other),
            Self::Redis(server) => server.set(key, value).await.map_err(other),
        }
    }

    async fn delete(&self, label: &str, key: &str) -> Result<(), Error> {
        match self {
            Self::Sqlite(database) => database.delete(label, key).map_err(other),
            Self::Redis(server) => server.delete(key).await.map_err(other),
        }
    }

    async fn keys(&self, label: &str) -> Result<Listing, Error> {
        match self {
            Self::Sqlite(database) => Ok(database.keys(label)),
            Self::Redis(server) => server.keys().await,
        }
    }

    /// What a failing dial gives.
    fn failure(&self) -> Error {
        match self {
            Self::Sqlite(_) => other(sqlite::failure()),
            Self::Redis(_) => other(redis::failure()),
        }
    }
}

/// A backend's error as Spin passes it on.
fn other(error: impl fmt::Debug) -> Error {
    Error::Other(format!("{error:?}"))
}

/// A store that a component has opened.
#[derive(Clone, Debug)]
pub struct OpenStore {
    label: String,
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
        let component = accessor.with(|mut access| access.get().component.clone());
        if !component.key_value_stores.contains(&label) {
            return Err(Error::AccessDenied);
        }
        around(&component, Call::KeyValueOpen, component.key_value.open()).await?;
        accessor.with(|mut access| {
            let pushed = access.get().table.push(OpenStore { label });
            pushed.map_err(|_| Error::StoreTableFull)
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<Option<Vec<u8>>, Error> {
        let (component, store) = opened(accessor, &store)?;
        let get = async {
            match component.dials.fault(Call::KeyValueGet).absent {
                true => Ok(None),
                false => component.key_value.get(&store.label, &key).await,
            }
        };
        around(&component, Call::KeyValueGet, get).await
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        let (component, store) = opened(accessor, &store)?;
        let set = component.key_value.set(&store.label, &key, &value);
        around(&component, Call::KeyValueSet, set).await
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<(), Error> {
        let (component, store) = opened(accessor, &store)?;
        let delete = component.key_value.delete(&store.label, &key);
        around(&component, Call::KeyValueDelete, delete).await
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
    ) -> wasmtime::Result<Readers> {
        let (component, store) = opened(accessor, &store)?;
        let keys = component.key_value.keys(&store.label);
        let listing = around(&component, Call::KeyValueGetKeys, keys).await;
        let each = component.dials.fault(Call::KeyValueGetKeys).each_ms;
        let listing = listing
            .unwrap_or_else(Listing::failed)
            .slowed(Duration::from_millis(each));
        accessor.with(|access| listing.into_readers(access))
    }
}

/// The component that calls, and the store that it calls.
fn opened<T: Send>(
    accessor: &Accessor<T, HasSelf<State>>,
    store: &Resource<Store>,
) -> Result<(Arc<Component>, OpenStore), Error> {
    accessor.with(|mut access| {
        let state = access.get();
        let store = state.table.get(store).map_err(|_| Error::NoSuchStore)?;
        Ok((state.component.clone(), store.clone()))
    })
}

/// Carries a call out, as far as the dials let it.
async fn around<R>(
    component: &Component,
    kind: Call,
    carry_out: impl Future<Output = Result<R, Error>>,
) -> Result<R, Error> {
    let failure = || component.key_value.failure();
    component.dials.around(kind, failure, carry_out).await
}
