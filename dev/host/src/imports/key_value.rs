//! `spin:key-value` (Spin: `crates/factor-key-value`).

use std::sync::Arc;

use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::bindings::spin::key_value::key_value::{
    Error, Host, HostStore, HostStoreWithStore, Store,
};
use crate::call::Call;
use crate::component::Component;
use crate::instance::State;
use crate::key_value::listing::{Listing, Readers};
use crate::resources::OpenStore;

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
        let store = component.open_store(label).await?;
        accessor.with(|mut access| {
            let pushed = access.get().table.push(store);
            pushed.map_err(|_| Error::StoreTableFull)
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<Option<Vec<u8>>, Error> {
        let (component, store) = find(accessor, &store)?;
        component.get(&store, &key).await
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<bool, Error> {
        let (component, store) = find(accessor, &store)?;
        component.exists(&store, &key).await
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        let (component, store) = find(accessor, &store)?;
        component.set(&store, &key, &value).await
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<(), Error> {
        let (component, store) = find(accessor, &store)?;
        component.delete(&store, &key).await
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
    ) -> wasmtime::Result<Readers> {
        let (component, store) = find(accessor, &store)?;
        let listing = component.list(&store).await;
        accessor.with(|access| listing.into_readers(access))
    }
}

/// The calling component and the store behind its handle.
fn find<T: Send>(
    accessor: &Accessor<T, HasSelf<State>>,
    store: &Resource<Store>,
) -> Result<(Arc<Component>, OpenStore), Error> {
    accessor.with(|mut access| {
        let state = access.get();
        let store = state.table.get(store).map_err(|_| Error::NoSuchStore)?;
        Ok((state.component.clone(), store.clone()))
    })
}

/// The calls of a component, as far as the manifest and the dials allow.
impl Component {
    pub(super) async fn open_store(&self, label: String) -> Result<OpenStore, Error> {
        if !self.key_value_stores.contains(&label) {
            return Err(Error::AccessDenied);
        }
        self.around(Call::KeyValueOpen, self.key_value.open())
            .await?;
        Ok(OpenStore { label })
    }

    pub(super) async fn get(&self, store: &OpenStore, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let get = async {
            if self.dials.hide_keys() {
                return Ok(None);
            }
            self.key_value.get(&store.label, key).await
        };
        self.around(Call::KeyValueGet, get).await
    }

    pub(super) async fn exists(&self, store: &OpenStore, key: &str) -> Result<bool, Error> {
        let exists = async {
            if self.dials.hide_keys() {
                return Ok(false);
            }
            self.key_value.exists(&store.label, key).await
        };
        self.around(Call::KeyValueExists, exists).await
    }

    pub(super) async fn set(
        &self,
        store: &OpenStore,
        key: &str,
        value: &[u8],
    ) -> Result<(), Error> {
        let set = self.key_value.set(&store.label, key, value);
        self.around(Call::KeyValueSet, set).await
    }

    pub(super) async fn delete(&self, store: &OpenStore, key: &str) -> Result<(), Error> {
        let delete = self.key_value.delete(&store.label, key);
        self.around(Call::KeyValueDelete, delete).await
    }

    /// All keys. If it fails, so does the listing.
    pub(super) async fn list(&self, store: &OpenStore) -> Listing {
        self.listing(self.key_value.keys(&store.label)).await
    }

    /// The same for components for WASI 0.2, which get all keys at once.
    pub(super) async fn list_at_once(&self, store: &OpenStore) -> Listing {
        self.listing(self.key_value.keys_at_once(&store.label))
            .await
    }

    async fn listing(&self, keys: impl Future<Output = Result<Listing, Error>>) -> Listing {
        let listing = self.around(Call::KeyValueGetKeys, keys).await;
        let listing = listing.unwrap_or_else(Listing::failed);
        listing.slowed(self.dials.pause_per_key())
    }

    async fn around<R>(
        &self,
        call: Call,
        make_call: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Error> {
        let failure = || self.key_value.failure();
        self.dials.around(call, failure, make_call).await
    }
}
