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
        let (component, store) = find(accessor, &store)?;
        let get = async {
            if component.dials.hide_keys() {
                return Ok(None);
            }
            component.key_value.get(&store.label, &key).await
        };
        around(&component, Call::KeyValueGet, get).await
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<bool, Error> {
        let (component, store) = find(accessor, &store)?;
        let exists = async {
            if component.dials.hide_keys() {
                return Ok(false);
            }
            component.key_value.exists(&store.label, &key).await
        };
        around(&component, Call::KeyValueExists, exists).await
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        let (component, store) = find(accessor, &store)?;
        let set = component.key_value.set(&store.label, &key, &value);
        around(&component, Call::KeyValueSet, set).await
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<(), Error> {
        let (component, store) = find(accessor, &store)?;
        let delete = component.key_value.delete(&store.label, &key);
        around(&component, Call::KeyValueDelete, delete).await
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
    ) -> wasmtime::Result<Readers> {
        let (component, store) = find(accessor, &store)?;
        let keys = component.key_value.keys(&store.label);
        let listing = around(&component, Call::KeyValueGetKeys, keys).await;
        let listing = listing
            .unwrap_or_else(Listing::failed)
            .slowed(component.dials.pause_per_key());
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

/// Makes a call as far as the dials allow.
async fn around<R>(
    component: &Component,
    call: Call,
    make_call: impl Future<Output = Result<R, Error>>,
) -> Result<R, Error> {
    let failure = || component.key_value.failure();
    component.dials.around(call, failure, make_call).await
}
