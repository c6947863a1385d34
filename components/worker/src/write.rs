//! Writes entries, under the lease.

use crate::compress::compress;
use crate::failures::Failures;
use crate::lease::{Claimed, Lease};
use crate::pace::Pace;
use crate::settings::Settings;
use afterword::entry::Entry;
use afterword::freshness::{Freshness, Lifetime};
use afterword::host;
use afterword::key::Key;
use afterword::log::{self, event};
use afterword::metrics;
use afterword::postgrest::Origin;
use afterword::queue::{Error, Task};
use afterword::store::{self, Store};
use bytes::Bytes;
use std::slice;
use std::time::Duration;

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
}

impl Writer<'_> {
    /// Writes the entry of a task, or removes it if there is no content, and completes the task.
    /// `fetched_at` is the start of the fetch. Returns the bytes of the entry; `None` if the lease is
    /// lost, or if the write failed and the task backs off.
    pub async fn write(
        &self,
        claimed: &Claimed,
        content: Option<Bytes>,
        fetched_at: u64,
    ) -> Result<Option<usize>, Error> {
        let Task::Refresh(key) = &claimed.task else {
            return Ok(None);
        };
        let name = key.to_string();
        let entry = match content {
            Some(content) => {
                let entry = Entry::new(content, fetched_at, self.origin.source(key));
                Some(self.prepare(&name, entry).await)
            }
            None => None,
        };
        self.pace.wait().await;
        // Without the lease, the task stays queued for the worker that holds it.
        if !self.lease.permits_write().await? {
            return Ok(None);
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
                self.store.delete(&name).await,
                event::ENTRY_REMOVED,
                "removed from cache",
                metrics::ENTRY_REMOVED,
            ),
        };
        if let Err(error) = written {
            let why = error.to_string();
            let task = slice::from_ref(claimed);
            self.failures.back_off(task, &why).await?;
            return Ok(None);
        }
        metrics::count(counter);
        log::event(event, format!("{done}: {name}"))
            .key(&name)
            .ms(claimed.age())
            .emit();
        let replica_lag = self.settings.replica_lag;
        self.lease.complete(claimed, replica_lag).await?;
        Ok(Some(bytes))
    }

    /// Makes the entry the successor of the stored one, and compresses new content. Content that is
    /// too large is left out.
    async fn prepare(&self, name: &str, mut entry: Entry) -> Entry {
        // Treat an unreadable previous entry as absent.
        let previous = self.store.get(name).await.ok().flatten();
        let previous = previous.and_then(Entry::decode);
        if let Some(previous) = &previous {
            entry = entry.succeeding(previous);
        }
        let max = self.settings.limits.value_bytes;
        let max = max.and_then(|max| usize::try_from(max).ok());
        let fits = |entry: &Entry| max.is_none_or(|max| entry.encoded_length() <= max);
        let without_codings = Entry {
            brotli: None,
            gzip: None,
            ..entry.clone()
        };
        if !fits(&without_codings) {
            if !previous.is_some_and(|previous| previous.is_too_large()) {
                let bytes = without_codings.encoded_length();
                let message = format!(
                    "{name} is read from the origin each time, because its {bytes} bytes are more \
                     than `max_value_bytes` allows"
                );
                log::event(event::ENTRY_TOO_LARGE, message)
                    .key(name)
                    .number("bytes", bytes)
                    .emit();
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

    /// Removes all entries, and completes the task. A refresh that is under way may write an entry
    /// before or after this, which readers cannot tell from a miss.
    pub async fn purge(&self, claimed: &Claimed, stored: &[Key]) -> Result<(), Error> {
        for key in stored {
            self.pace.wait().await;
            if !self.lease.permits_write().await? {
                return Ok(());
            }
            if let Err(error) = self.store.delete(&key.to_string()).await {
                let why = error.to_string();
                return self.failures.back_off(slice::from_ref(claimed), &why).await;
            }
            metrics::count(metrics::ENTRY_REMOVED);
        }
        let message = format!("purged: {} entries removed", stored.len());
        log::event(event::PURGED, message)
            .number("entries", stored.len())
            .emit();
        self.lease.complete(claimed, Duration::ZERO).await
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
            self.pace.wait().await;
            if !self.lease.permits_write().await? {
                return Ok(());
            }
            let line = match self.store.delete(&name).await {
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
