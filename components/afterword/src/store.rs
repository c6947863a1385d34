//! Spin's key-value store, with time limits.

use crate::limit::{TimeUp, limit};
use spin_sdk::key_value;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// How long a call may take: a dead store must not hold a read for longer before it is passed through to the origin.
pub const LIMIT: Duration = Duration::from_secs(1);

/// How long a store may take to give the next key of a listing. A whole listing takes as long as
/// there are keys: Spin's Redis store gives ten to a round trip.
const NEXT_KEY_LIMIT: Duration = Duration::from_secs(10);

/// Why the store did not do it. Says nothing about what is stored.
#[derive(Debug)]
pub enum Error {
    /// The store said no.
    Store(key_value::Error),
    /// The store did not answer within this time.
    TimeUp(Duration),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "key-value store: {error}"),
            Self::TimeUp(limit) => {
                write!(f, "key-value store: no answer within {} s", limit.as_secs())
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

impl From<TimeUp> for Error {
    fn from(TimeUp(limit): TimeUp) -> Self {
        Self::TimeUp(limit)
    }
}

/// The application's store, `default`.
#[derive(Clone)]
pub struct Store(Rc<key_value::Store>);

impl Store {
    /// The store, opened once in an instance and then kept, which saves a call to the host at each further request.
    pub async fn open() -> Result<Self, Error> {
        thread_local! {
            static KEPT: RefCell<Option<Store>> = const { RefCell::new(None) };
        }
        if let Some(store) = KEPT.with_borrow(Clone::clone) {
            return Ok(store);
        }
        let store = Self(Rc::new(
            limit(LIMIT, key_value::Store::open_default()).await??,
        ));
        KEPT.set(Some(store.clone()));
        Ok(store)
    }

    /// The value of a key, if there is one.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(limit(LIMIT, self.0.get(key)).await??)
    }

    /// Stores a value, in place of what was there.
    pub async fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        Ok(limit(LIMIT, self.0.set(key, value)).await??)
    }

    /// All keys. A store on this machine keeps every other call waiting while it lists them, and the thread with it: an instance
    /// that made one before it had the last key would wait for ever.
    pub async fn keys(&self) -> Result<Vec<String>, Error> {
        let mut listed = limit(NEXT_KEY_LIMIT, self.0.get_keys()).await?;
        let mut keys = Vec::new();
        while let Some(key) = limit(NEXT_KEY_LIMIT, listed.next()).await? {
            keys.push(key);
        }
        limit(NEXT_KEY_LIMIT, listed.result()).await??;
        Ok(keys)
    }

    /// Deletes a key, if it is there.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        Ok(limit(LIMIT, self.0.delete(key)).await??)
    }
}
