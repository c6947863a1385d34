//! The application's key-value store, with time limits.

use crate::host::key_value;
use crate::limit::{TimedOut, limit};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// The time limit of one call: a store that hangs delays a read by this much before the read is
/// answered by the origin.
pub const CALL_LIMIT: Duration = Duration::from_secs(1);

/// The time limit for the next key of a listing. A whole listing grows with the number of keys:
/// Spin's Redis store returns ten keys a round trip.
const NEXT_KEY_LIMIT: Duration = Duration::from_secs(10);

/// Why a call failed. Never contains stored data.
#[derive(Debug)]
pub enum Error {
    /// The store returned an error.
    Store(key_value::Error),
    /// The store did not respond within this time.
    TimedOut(Duration),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "key-value store: {error}"),
            Self::TimedOut(limit) => {
                let seconds = limit.as_secs();
                write!(f, "key-value store: no response within {seconds} s")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<key_value::Error> for Error {
    fn from(error: key_value::Error) -> Self {
        Self::Store(error)
    }
}

impl From<TimedOut> for Error {
    fn from(TimedOut(limit): TimedOut) -> Self {
        Self::TimedOut(limit)
    }
}

/// The store named `default`.
#[derive(Clone)]
pub struct Store(Rc<key_value::Store>);

impl Store {
    /// Opens the store. An instance keeps it open, which saves later requests a host call.
    pub async fn open() -> Result<Self, Error> {
        thread_local! {
            static OPEN: RefCell<Option<Store>> = const { RefCell::new(None) };
        }
        if let Some(store) = OPEN.with_borrow(Clone::clone) {
            return Ok(store);
        }
        let opened = limit(CALL_LIMIT, key_value::Store::open_default()).await??;
        let store = Self(Rc::new(opened));
        OPEN.set(Some(store.clone()));
        Ok(store)
    }

    /// The value of a key, or `None` if the key is missing.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(limit(CALL_LIMIT, self.0.get(key)).await??)
    }

    /// Whether there is a value for a key.
    pub async fn exists(&self, key: &str) -> Result<bool, Error> {
        Ok(limit(CALL_LIMIT, self.0.exists(key)).await??)
    }

    /// Stores a value, and replaces an existing one.
    pub async fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        Ok(limit(CALL_LIMIT, self.0.set(key, value)).await??)
    }

    /// All keys.
    ///
    /// The instance must make no other call to the store until this returns. A SQLite store blocks
    /// every other call during a listing, and the thread with it, so a second call from the same
    /// instance would never return.
    pub async fn keys(&self) -> Result<Vec<String>, Error> {
        let mut listing = limit(NEXT_KEY_LIMIT, self.0.get_keys()).await?;
        let mut keys = Vec::new();
        while let Some(key) = limit(NEXT_KEY_LIMIT, listing.next()).await? {
            keys.push(key);
        }
        limit(NEXT_KEY_LIMIT, listing.result()).await??;
        Ok(keys)
    }

    /// Deletes a key, if it exists.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        Ok(limit(CALL_LIMIT, self.0.delete(key)).await??)
    }
}
