//! `fermyon:spin/key-value`. Every call blocks the instance.

use spin_sdk_02::key_value;

pub use spin_sdk_02::key_value::Error;

/// An open store.
pub struct Store(key_value::Store);

/// All keys of a store.
pub struct Keys(Result<std::vec::IntoIter<String>, Error>);

impl Store {
    /// Opens the store named `default`.
    pub async fn open_default() -> Result<Self, Error> {
        key_value::Store::open_default().map(Self)
    }

    /// The value of a key.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(key)
    }

    /// Whether there is a value for a key.
    pub async fn exists(&self, key: &str) -> Result<bool, Error> {
        self.0.exists(key)
    }

    /// Stores a value.
    pub async fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.0.set(key, value)
    }

    /// Deletes a key.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.0.delete(key)
    }

    /// Lists the keys.
    pub async fn get_keys(&self) -> Keys {
        Keys(self.0.get_keys().map(Vec::into_iter))
    }
}

impl Keys {
    /// The next key.
    pub async fn next(&mut self) -> Option<String> {
        self.0.as_mut().ok()?.next()
    }

    /// Whether all keys were listed.
    pub async fn result(self) -> Result<(), Error> {
        self.0.map(drop)
    }
}
