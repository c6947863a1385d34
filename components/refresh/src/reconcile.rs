//! Reconciliation: pg_net never repeats a webhook, so some get lost. The stored items are held against the list as it is now.

use crate::drain::id;
use afterword::entry::Entry;
use afterword::key::Key;
use afterword::postgrest::{List, rows};
use afterword::row;
use afterword::store::{Error, Store};
use serde_json::value::RawValue;
use spin_sdk::wasip3::wit_bindgen::yield_async;

/// Those of the stored items that the list does not show as they are stored: their rows have changed, or are gone from it. (An item that
/// the list's query leaves out is among them each time: that it is gone from the list may mean that it is gone.)
pub async fn outdated(
    store: &Store,
    stored: Vec<Key>,
    list: Option<&List>,
    id_column: &str,
) -> Result<Vec<Key>, Error> {
    let rows = list
        .and_then(|list| rows::rows(&list.content).ok())
        .unwrap_or_default();
    let mut shown: Vec<(String, &RawValue)> = rows
        .into_iter()
        .filter_map(|row| Some((row::column(row, id_column)?, row)))
        .collect();
    shown.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    let mut outdated = Vec::new();
    for key in stored {
        let Some(id) = id(&key) else { continue };
        // A store on this machine answers without a pause: the renewal of the lease has to get its turn.
        yield_async().await;
        let entry = store.get(&key.to_string()).await?.and_then(Entry::decode);
        let at = shown.binary_search_by(|(shown, _)| shown.as_str().cmp(id.as_str()));
        let agrees = match (entry, at) {
            (Some(entry), Ok(at)) => row::agree(&entry.identity.content, shown[at].1),
            _ => false,
        };
        if !agrees {
            outdated.push(key);
        }
    }
    Ok(outdated)
}
