//! Lists the store once for both purposes: to empty the outbox, and to reconcile.

use crate::work_queue::WorkQueue;
use afterword::chunk::ChunkName;
use afterword::key::Key;
use afterword::log::{self, event};
use afterword::metrics;
use afterword::outbox::{self, Records};
use afterword::queue;
use afterword::store::{self, Store};
use std::time::{Duration, Instant};

/// What the drain knows about the outbox.
#[derive(Default)]
pub struct OutboxState {
    /// There may be records.
    pub flagged: bool,
    /// When it could not be emptied.
    failed_at: Option<Instant>,
}

impl OutboxState {
    /// The pause after the outbox could not be emptied: listing a large store takes long.
    const PAUSE: Duration = Duration::from_secs(60);

    /// Reads the outbox's flag.
    pub async fn check(&mut self, store: &Store) {
        if self.failed_at.is_some_and(|at| at.elapsed() < Self::PAUSE) {
            return;
        }
        match outbox::is_flagged(store).await {
            Ok(flagged) => self.flagged |= flagged,
            Err(error) => log::event(event::OUTBOX_NOT_READ, "could not read the outbox")
                .error(error)
                .emit(),
        }
    }

    /// The worker has tried to empty the outbox.
    pub fn tried(&mut self, is_empty: bool) {
        self.failed_at = (!is_empty).then(Instant::now);
        self.flagged = false;
    }
}

/// The result of a listing.
pub struct Listed {
    /// The keys of the stored items and of the list.
    pub stored: Vec<Key>,
    /// The chunks of lists.
    pub chunks: Vec<ChunkName>,
    /// All keys but those of the outbox.
    pub keys: Vec<String>,
    /// Whether the outbox is empty.
    pub outbox_is_empty: bool,
}

/// Lists the store, and moves the outbox's tasks to the work queue. `flagged`: the outbox's flag is
/// set. No other call of this instance to the store may be under way.
pub async fn list_store(
    store: &Store,
    queue: &WorkQueue,
    flagged: bool,
) -> Result<Listed, store::Error> {
    if flagged {
        // A full store may refuse it. The records are moved nevertheless, which makes room, and the
        // flag stays set: the worker looks again.
        let _: Result<(), store::Error> = outbox::begin_emptying(store).await;
    }
    let names = store.keys().await?;
    let emptied = empty_outbox(store, queue, &names).await;
    match &emptied {
        Ok(0) => {}
        Ok(records) => {
            let count = u32::try_from(*records).unwrap_or(u32::MAX);
            metrics::add(metrics::WEBHOOK_OUTBOX, count);
            let message = format!("moved {records} webhooks from the outbox to the work queue");
            log::event(event::OUTBOX_EMPTIED, message)
                .number("webhooks", *records)
                .emit();
        }
        Err(why) => log::event(event::OUTBOX_NOT_EMPTIED, "could not empty the outbox")
            .error(why)
            .emit(),
    }
    let outbox_is_empty = emptied.is_ok();
    let stored = names.iter().filter_map(|name| Key::from_canonical(name));
    let chunks = names.iter().filter_map(|name| ChunkName::parse(name));
    let (stored, chunks) = (stored.collect(), chunks.collect());
    let mut keys = names;
    keys.retain(|key| !outbox::has(key));
    Ok(Listed {
        stored,
        chunks,
        keys,
        outbox_is_empty,
    })
}

/// Moves the records among `names` to the work queue, and returns their number.
async fn empty_outbox(store: &Store, queue: &WorkQueue, names: &[String]) -> Result<usize, String> {
    let store_failed = |error: store::Error| error.to_string();
    let redis_failed = |error: queue::Error| error.to_string();
    let records = Records::read(store, names).await.map_err(store_failed)?;
    let (count, unreadable) = (records.count(), records.unreadable);
    queue
        .invalidate(&records.tasks)
        .await
        .map_err(redis_failed)?;
    records.delete(store).await.map_err(store_failed)?;
    if unreadable > 0 {
        return Err(format!("{unreadable} of its records cannot be read yet"));
    }
    Ok(count)
}
