//! The outbox: marks that Redis did not take, in the key-value store, until a worker that reaches Redis moves them there.
//!
//! Each webhook has a key of its own, `outbox/…`, so that no two writers share one; its value is the marked keys, a line each. A
//! flag, `outbox`, says that there are some, and is written after them: who sees it deletes it first and then lists, so that
//! what comes meanwhile raises it again.

use crate::key::Key;
use crate::limit::limit;
use crate::store::{Error, Store};
use spin_sdk::wasip3::random::random::get_random_u64;
use std::time::Duration;

const FLAG: &str = "outbox";
const PREFIX: &str = "outbox/";

/// How long a webhook may wait for it: Redis has had its half of the second before.
const LIMIT: Duration = Duration::from_millis(500);

/// Keeps marks; they are kept if this succeeds.
pub async fn put(keys: &[Key]) -> Result<(), Error> {
    let lines: String = keys.iter().map(|key| format!("{key}\n")).collect();
    limit(LIMIT, async {
        let store = Store::open().await?;
        let name = format!("{PREFIX}{:016x}{:016x}", get_random_u64(), get_random_u64());
        store.set(&name, lines.as_bytes()).await?;
        store.set(FLAG, b"").await
    })
    .await?
}

/// Kept marks, with the name to [`remove`] them by once they are in Redis.
pub struct Kept {
    name: String,
    /// The marked keys.
    pub keys: Vec<Key>,
}

/// All kept marks, if the flag says that there are some, or if `all_the_same`: a flag may have got lost.
pub async fn kept(store: &Store, all_the_same: bool) -> Result<Vec<Kept>, Error> {
    let flagged = store.get(FLAG).await?.is_some();
    if flagged {
        store.delete(FLAG).await?;
    } else if !all_the_same {
        return Ok(Vec::new());
    }
    let mut kept = Vec::new();
    for name in store.keys().await? {
        if name.starts_with(PREFIX)
            && let Some(lines) = store.get(&name).await?
        {
            let keys = String::from_utf8_lossy(&lines)
                .lines()
                .filter_map(Key::from_path)
                .collect();
            kept.push(Kept { name, keys });
        }
    }
    Ok(kept)
}

/// Forgets kept marks that are in Redis now.
pub async fn remove(store: &Store, kept: &Kept) -> Result<(), Error> {
    store.delete(&kept.name).await
}
