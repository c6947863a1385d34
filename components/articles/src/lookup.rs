//! The store lookup: the only key-value call of a cache hit.

use crate::settings::Settings;
use afterword::directory::Directory;
use afterword::entry::{Entry, Source};
use afterword::key::Key;
use afterword::limit::limit;
use afterword::store::{self, CALL_LIMIT, Store};
use bytes::Bytes;

/// What the store has for a key.
#[derive(Clone, Debug)]
pub enum Stored {
    /// One value: an item, or a list that is not long.
    Entry(Entry),
    /// A long list in chunks.
    Directory(Directory),
}

impl Stored {
    fn decode(value: Vec<u8>) -> Option<Self> {
        if !Directory::is(&value) {
            return Entry::decode(value).map(Self::Entry);
        }
        Directory::decode(&Bytes::from(value)).map(Self::Directory)
    }

    fn source(&self) -> Source {
        match self {
            Self::Entry(entry) => entry.source,
            Self::Directory(directory) => directory.source,
        }
    }

    /// When it was fetched, in milliseconds since 1970.
    pub fn fetched_at(&self) -> u64 {
        match self {
            Self::Entry(entry) => entry.fetched_at,
            Self::Directory(directory) => directory.fetched_at,
        }
    }

    /// Whether the content was too large for the store.
    pub fn is_too_large(&self) -> bool {
        match self {
            Self::Entry(entry) => entry.is_too_large(),
            Self::Directory(_) => false,
        }
    }
}

/// What the store has for `key`, if it belongs to the present configuration. A store that hangs
/// delays the read by at most a second.
pub async fn lookup(key: &Key, settings: &Settings) -> Result<Option<Stored>, store::Error> {
    let value = async { Store::open().await?.get(&key.to_string()).await };
    let stored = limit(CALL_LIMIT, value).await??.and_then(Stored::decode);
    Ok(stored.filter(|stored| stored.source() == settings.source(key)))
}
