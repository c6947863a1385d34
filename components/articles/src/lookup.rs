//! The store lookup: the only key-value call of a cache hit.

use crate::settings::Settings;
use afterword::entry::Entry;
use afterword::key::Key;
use afterword::limit::limit;
use afterword::store::{self, CALL_LIMIT, Store};

/// The entry of `key`, if there is one and it belongs to the present configuration. Its content may
/// be [too large](Entry::is_too_large) to be stored. A store that hangs delays the read by at most a
/// second.
pub async fn lookup(key: &Key, settings: &Settings) -> Result<Option<Entry>, store::Error> {
    let value = async { Store::open().await?.get(&key.to_string()).await };
    let entry = limit(CALL_LIMIT, value).await??.and_then(Entry::decode);
    Ok(entry.filter(|entry| entry.source == settings.source(key)))
}
