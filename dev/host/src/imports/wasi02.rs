//! The interfaces of `fermyon:spin`, for components of WASI 0.2. The calls are the same as for WASI
//! 0.3, but each blocks the instance.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::redis::unknown_connection;
use crate::bindings::fermyon::spin::redis_types;
use crate::bindings::fermyon::spin2_0_0 as spin2;
use crate::bindings::spin::key_value::key_value;
use crate::bindings::spin::redis::redis;
use crate::bindings::spin::variables::variables;
use crate::component::Component;
use crate::instance::State;
use crate::resources::{OpenStore, RedisConnection};

impl redis_types::Host for State {}

impl spin2::key_value::Host for State {}

impl spin2::key_value::HostStore for State {
    async fn open(
        &mut self,
        label: String,
    ) -> Result<Resource<OpenStore>, spin2::key_value::Error> {
        let store = self.component.open_store(label).await?;
        let pushed = self.table.push(store);
        pushed.map_err(|_| spin2::key_value::Error::StoreTableFull)
    }

    async fn get(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
    ) -> Result<Option<Vec<u8>>, spin2::key_value::Error> {
        let (component, store) = find(self, &store)?;
        Ok(component.get(store, &key).await?)
    }

    async fn exists(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
    ) -> Result<bool, spin2::key_value::Error> {
        let (component, store) = find(self, &store)?;
        Ok(component.exists(store, &key).await?)
    }

    async fn set(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), spin2::key_value::Error> {
        let (component, store) = find(self, &store)?;
        Ok(component.set(store, &key, &value).await?)
    }

    async fn delete(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
    ) -> Result<(), spin2::key_value::Error> {
        let (component, store) = find(self, &store)?;
        Ok(component.delete(store, &key).await?)
    }

    async fn get_keys(
        &mut self,
        store: Resource<OpenStore>,
    ) -> Result<Vec<String>, spin2::key_value::Error> {
        let (component, store) = find(self, &store)?;
        let (keys, outcome) = component.list_at_once(store).await.collect().await;
        outcome?;
        Ok(keys)
    }

    async fn drop(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

/// The component and the store behind its handle.
fn find<'a>(
    state: &'a State,
    store: &Resource<OpenStore>,
) -> Result<(&'a Arc<Component>, &'a OpenStore), key_value::Error> {
    let store = state.table.get(store);
    let store = store.map_err(|_| key_value::Error::NoSuchStore)?;
    Ok((&state.component, store))
}

impl spin2::redis::Host for State {}

impl spin2::redis::HostConnection for State {
    async fn open(
        &mut self,
        address: String,
    ) -> Result<Resource<RedisConnection>, spin2::redis::Error> {
        let connection = self.component.open_redis(address).await?;
        let pushed = self.table.push(connection);
        pushed.map_err(|_| spin2::redis::Error::TooManyConnections)
    }

    async fn execute(
        &mut self,
        connection: Resource<RedisConnection>,
        command: String,
        arguments: Vec<spin2::redis::RedisParameter>,
    ) -> Result<Vec<spin2::redis::RedisResult>, spin2::redis::Error> {
        use spin2::redis::{RedisParameter, RedisResult};

        let connection = self.table.get(&connection).cloned();
        let connection = connection.map_err(|_| unknown_connection())?;
        let arguments = arguments.into_iter().map(|argument| match argument {
            RedisParameter::Int64(number) => redis::RedisParameter::Int64(number),
            RedisParameter::Binary(bytes) => redis::RedisParameter::Binary(bytes),
        });
        let replies = self
            .component
            .execute(connection, &command, arguments.collect());
        let replies = replies.await?.into_iter().map(|reply| match reply {
            redis::RedisResult::Nil => RedisResult::Nil,
            redis::RedisResult::Status(text) => RedisResult::Status(text),
            redis::RedisResult::Int64(number) => RedisResult::Int64(number),
            redis::RedisResult::Binary(bytes) => RedisResult::Binary(bytes),
        });
        Ok(replies.collect())
    }

    async fn drop(&mut self, connection: Resource<RedisConnection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl spin2::variables::Host for State {
    async fn get(&mut self, name: String) -> Result<String, spin2::variables::Error> {
        Ok(self.component.variable(&name)?)
    }
}

impl From<key_value::Error> for spin2::key_value::Error {
    fn from(error: key_value::Error) -> Self {
        match error {
            key_value::Error::StoreTableFull => Self::StoreTableFull,
            key_value::Error::NoSuchStore => Self::NoSuchStore,
            key_value::Error::AccessDenied => Self::AccessDenied,
            key_value::Error::Other(text) => Self::Other(text),
        }
    }
}

impl From<redis::Error> for spin2::redis::Error {
    fn from(error: redis::Error) -> Self {
        match error {
            redis::Error::InvalidAddress => Self::InvalidAddress,
            redis::Error::TooManyConnections => Self::TooManyConnections,
            redis::Error::TypeError => Self::TypeError,
            redis::Error::Other(text) => Self::Other(text),
        }
    }
}

impl From<variables::Error> for spin2::variables::Error {
    fn from(error: variables::Error) -> Self {
        match error {
            variables::Error::InvalidName(text) => Self::InvalidName(text),
            variables::Error::Undefined(text) => Self::Undefined(text),
            variables::Error::Provider(text) => Self::Provider(text),
            variables::Error::Other(text) => Self::Other(text),
        }
    }
}
