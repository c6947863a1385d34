//! Writes entries, under the lease.

use crate::capacity::{Capacity, Room};
use crate::compress::compress;
use crate::failures::Failures;
use crate::lease::{Claimed, Lease, longest_queued};
use crate::pace::Pace;
use crate::settings::Settings;
use afterword::chunk::ChunkName;
use afterword::directory::Directory;
use afterword::entry::Entry;
use afterword::freshness::{Freshness, Lifetime};
use afterword::host;
use afterword::key::Key;
use afterword::log::{self, event};
use afterword::metrics;
use afterword::postgrest::Origin;
use afterword::queue::Error;
use afterword::store::{self, Store};
use bytes::Bytes;
use std::slice;

/// The writer of entries.
pub struct Writer<'a> {
    /// The right to write.
    pub lease: &'a Lease<'a>,
    /// Where the content is from.
    pub origin: &'a Origin,
    /// Where entries are written.
    pub store: &'a Store,
    /// Where failed writes are reported.
    pub failures: &'a Failures<'a>,
    /// `replica_lag`, and the host's limits.
    pub settings: &'a Settings,
    /// Spaces the writes.
    pub pace: Pace,
    /// The keys in the store.
    pub capacity: Capacity,
}

/// The result of a write.
pub enum Written {
    /// The store has it: this many bytes.
    Stored(usize),
    /// The store does not have the key, and has no room for it.
    NoRoom,
    /// The store failed, with this error.
    Failed(String),
    /// Another worker holds the lease.
    LeaseLost,
}

/// Why a key has not been written.
pub enum NotWritten {
    /// The store does not have it, and has no room for it.
    NoRoom,
    /// The store failed, with this error.
    Failed(String),
    /// Another worker holds the lease.
    LeaseLost,
}

impl From<NotWritten> for Written {
    fn from(not_written: NotWritten) -> Self {
        match not_written {
            NotWritten::NoRoom => Self::NoRoom,
            NotWritten::Failed(why) => Self::Failed(why),
            NotWritten::LeaseLost => Self::LeaseLost,
        }
    }
}

impl Writer<'_> {
    /// Writes the entry of a key, or removes it if there is no content. `fetched_at` is the start of
    /// the fetch. The log says how long the tasks `claimed` have been queued. Without the lease,
    /// nothing is written, and the tasks stay queued for the worker that holds it.
    pub async fn write(
        &self,
        key: &Key,
        content: Option<Bytes>,
        fetched_at: u64,
        claimed: &[Claimed],
    ) -> Result<Written, Error> {
        let name = key.to_string();
        let mut room = None;
        let entry = match content {
            Some(content) => {
                match self.take_room(&name, key.id().is_none()).await? {
                    Ok(taken) => room = Some(taken),
                    Err(not_written) => return Ok(not_written.into()),
                }
                let entry = Entry::new(content, fetched_at, self.origin.source(key));
                Some(self.prepare(&name, entry).await)
            }
            None => None,
        };
        if !self.may_write().await? {
            return Ok(Written::LeaseLost);
        }
        let bytes = entry.as_ref().map_or(0, Entry::encoded_length);
        let (written, event, done, counter) = match entry {
            Some(entry) => (
                self.set(&name, entry).await,
                event::ENTRY_WRITTEN,
                "updated cache",
                metrics::ENTRY_WRITTEN,
            ),
            None => (
                self.delete(&name).await,
                event::ENTRY_REMOVED,
                "removed from cache",
                metrics::ENTRY_REMOVED,
            ),
        };
        if let Err(error) = written {
            return Ok(Written::Failed(error.to_string()));
        }
        if let Some(room) = room {
            room.keep();
        }
        metrics::count(counter);
        let line = log::event(event, format!("{done}: {name}"));
        line.key(&name).ms(longest_queued(claimed)).emit();
        Ok(Written::Stored(bytes))
    }

    /// Waits for the turn of the next write. Returns whether the lease permits it.
    pub async fn may_write(&self) -> Result<bool, Error> {
        self.pace.wait().await;
        self.lease.permits_write().await
    }

    /// Takes the room for a key before it is written. If the store is full, a key of the list takes
    /// the room of an item. Readers then get that item from the origin.
    pub async fn take_room(
        &self,
        name: &str,
        is_of_list: bool,
    ) -> Result<Result<Room<'_>, NotWritten>, Error> {
        loop {
            match self.has_room(name).await {
                Ok(true) => return Ok(Ok(self.capacity.take(name))),
                Ok(false) => {}
                Err(error) => return Ok(Err(NotWritten::Failed(error.to_string()))),
            }
            let Some(item) = self.capacity.any_item().filter(|_| is_of_list) else {
                return Ok(Err(NotWritten::NoRoom));
            };
            if !self.may_write().await? {
                return Ok(Err(NotWritten::LeaseLost));
            }
            if let Err(error) = self.delete(&item).await {
                return Ok(Err(NotWritten::Failed(error.to_string())));
            }
            metrics::count(metrics::ENTRY_REMOVED);
        }
    }

    /// Whether the store has a key, or room for it.
    pub async fn has_room(&self, name: &str) -> Result<bool, store::Error> {
        if !self.capacity.fits(name) {
            return Ok(false);
        }
        // The store of a full cache is asked, because a listing may lag behind.
        Ok(self.capacity.admits(name) || self.store.exists(name).await?)
    }

    /// Deletes a key.
    pub async fn delete(&self, name: &str) -> Result<(), store::Error> {
        self.store.delete(name).await?;
        self.capacity.remove(name);
        Ok(())
    }

    /// Logs once a day that the store is full.
    pub async fn log_if_full(&self) {
        let is_new =
            self.capacity.is_full() == Some(true) && !self.capacity.is_logged.replace(true);
        if !is_new || !self.lease.queue.is_first_of_the_day("store-full").await {
            return;
        }
        let message = "the store has as many keys as `max_keys` allows: what it lacks is read from \
                       the origin each time";
        log::event(event::STORE_FULL, message).emit();
    }

    /// The largest value that the host's store takes.
    pub fn max_value(&self) -> usize {
        let max = self.settings.limits.value_bytes;
        max.and_then(|max| usize::try_from(max).ok())
            .unwrap_or(usize::MAX)
    }

    /// Makes the entry the successor of the stored one, and compresses new content. Content that is
    /// too large is left out.
    async fn prepare(&self, name: &str, mut entry: Entry) -> Entry {
        // Treat an unreadable previous entry as absent.
        let previous = self.store.get(name).await.ok().flatten().map(Bytes::from);
        if let Some(directory) = previous.as_ref().and_then(Directory::decode) {
            // The list was long.
            let later = directory.last_modified.saturating_add(1);
            entry.last_modified = entry.last_modified.max(later);
        }
        let previous = previous.and_then(|previous| Entry::decode(previous.into()));
        if let Some(previous) = &previous {
            entry = entry.succeeding(previous);
        }
        let fits = |entry: &Entry| entry.encoded_length() <= self.max_value();
        let without_codings = Entry {
            brotli: None,
            gzip: None,
            ..entry.clone()
        };
        if !fits(&without_codings) {
            if !previous.is_some_and(|previous| previous.is_too_large()) {
                log_too_large(name, without_codings.encoded_length());
            }
            return entry.without_content();
        }
        if previous.is_none_or(|previous| previous.identity != entry.identity) {
            compress(&mut entry).await;
        }
        if fits(&entry) { entry } else { without_codings }
    }

    async fn set(&self, name: &str, mut entry: Entry) -> Result<(), store::Error> {
        match self.store.set(name, &entry.encode()).await {
            // The store may have refused the size. Try again without the codings.
            Err(_) if entry.brotli.is_some() || entry.gzip.is_some() => {
                (entry.brotli, entry.gzip) = (None, None);
                self.store.set(name, &entry.encode()).await
            }
            result => result,
        }
    }

    /// Removes everything: the items and the list, whose keys are `stored`, and then the chunks of
    /// lists. A refresh that is under way may write an entry before or after this, which readers
    /// cannot tell from a miss. Returns false if the task backs off, or stays queued.
    pub async fn purge(
        &self,
        claimed: &Claimed,
        stored: &[Key],
        chunks: &[ChunkName],
    ) -> Result<bool, Error> {
        let names = stored.iter().map(Key::to_string);
        for name in names.chain(chunks.iter().map(ChunkName::to_string)) {
            if !self.may_write().await? {
                return Ok(false);
            }
            if let Err(error) = self.delete(&name).await {
                let why = error.to_string();
                self.failures
                    .back_off(slice::from_ref(claimed), &why)
                    .await?;
                return Ok(false);
            }
        }
        let entries = stored.len();
        metrics::add(
            metrics::ENTRY_REMOVED,
            u32::try_from(entries).unwrap_or(u32::MAX),
        );
        log::event(event::PURGED, format!("purged: {entries} entries removed"))
            .number("entries", entries)
            .emit();
        Ok(true)
    }

    /// Removes expired entries, unless they have been written meanwhile.
    pub async fn evict(&self, keys: &[Key], lifetime: Lifetime) -> Result<(), Error> {
        for key in keys {
            let name = key.to_string();
            let entry = self.store.get(&name).await.ok().flatten();
            let Some(entry) = entry.and_then(Entry::decode) else {
                continue;
            };
            if lifetime.judge(entry.fetched_at, host::now()) != Freshness::Expired {
                continue;
            }
            if !self.may_write().await? {
                return Ok(());
            }
            let line = match self.delete(&name).await {
                Ok(()) => {
                    metrics::count(metrics::ENTRY_REMOVED);
                    log::event(
                        event::ENTRY_EXPIRED,
                        format!("removed from cache: {name}, it has not been read for long"),
                    )
                }
                Err(error) => {
                    let message = format!("could not remove {name}");
                    log::event(event::ENTRY_NOT_REMOVED, message).error(error)
                }
            };
            line.key(name).emit();
        }
        Ok(())
    }
}

/// Logs that a value is larger than the host's store takes.
pub fn log_too_large(name: &str, bytes: usize) {
    let message = format!(
        "{name} is read from the origin each time, because its {bytes} bytes are more than \
         `max_value_bytes` allows"
    );
    log::event(event::ENTRY_TOO_LARGE, message)
        .key(name)
        .number("bytes", bytes)
        .emit();
}
