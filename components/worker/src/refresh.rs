//! Refreshes items in batches.

use crate::failures::Failures;
use crate::lease::{Claimed, Lease};
use crate::write::{Writer, Written};
use afterword::host;
use afterword::key::{Id, Key};
use afterword::postgrest::{Blame, Origin};
use afterword::queue::Error;
use bytes::Bytes;
use std::slice;
use std::time::Duration;

/// Fetches and writes items.
pub struct Refresher<'a> {
    /// The right to write.
    pub lease: &'a Lease<'a>,
    /// Where the content is from.
    pub origin: &'a Origin,
    /// Where failed requests are reported.
    pub failures: &'a Failures<'a>,
    /// Writes the entries.
    pub writer: &'a Writer<'a>,
}

impl Refresher<'_> {
    /// Refreshes a batch of items. Failures of the origin and of the store are recorded in the work
    /// queue. An error of Redis ends the drain, and leaves the tasks queued.
    ///
    /// A request that fails because of one of its keys is halved until that key is alone. So is a
    /// request of suspects that fails as if the origin failed. If too many requests fail in a row,
    /// the origin is at fault after all.
    pub async fn refresh(&self, batch: Vec<Claimed>) -> Result<(), Error> {
        let batch = self.complete_without_room(batch).await?;
        let mut parts = Vec::from_iter(Some(batch).filter(|batch| !batch.is_empty()));
        let trips = self.failures.trips();
        while let Some(part) = parts.pop() {
            // Another request has tripped the circuit breaker. The rest stays queued.
            if self.failures.trips() != trips {
                return Ok(());
            }
            let ids: Vec<Id> = part.iter().filter_map(id).cloned().collect();
            let fetched_at = host::now();
            let error = match self.origin.items(&ids).await {
                Ok(fetched) => {
                    self.failures.succeeded(trips).await?;
                    self.write(&part, &fetched.content, fetched_at).await?;
                    continue;
                }
                Err(error) => error,
            };
            if self.failures.count(&error) {
                let rest: Vec<Claimed> = parts.drain(..).flatten().chain(part).collect();
                self.failures.trip(&rest, &error, true).await?;
                continue;
            }
            let may_be_one_key = match error.blame() {
                Blame::Key => true,
                Blame::Origin => part.iter().all(|claimed| claimed.suspect),
                Blame::Query | Blame::Configuration => false,
            };
            if may_be_one_key && part.len() > 1 {
                let (left, right) = part.split_at(part.len() / 2);
                parts.extend([right.to_vec(), left.to_vec()]);
            } else {
                self.failures.handle(&part, &error).await?;
            }
        }
        Ok(())
    }

    /// Completes the tasks of items that the store has no room for, without a request to the
    /// origin: there is nothing to write or to remove. Returns the others.
    async fn complete_without_room(&self, batch: Vec<Claimed>) -> Result<Vec<Claimed>, Error> {
        let (mut others, mut without_room) = (Vec::with_capacity(batch.len()), Vec::new());
        for claimed in batch {
            // If the store fails, so will the write.
            let name = claimed.task.to_string();
            if self.writer.has_room(&name).await.unwrap_or(true) {
                others.push(claimed);
            } else {
                without_room.push(claimed);
            }
        }
        self.lease.complete(&without_room, Duration::ZERO).await?;
        Ok(others)
    }

    /// Writes the entries of these tasks from the fetched rows, and completes the tasks.
    async fn write(
        &self,
        tasks: &[Claimed],
        rows: &[(Id, Bytes)],
        fetched_at: u64,
    ) -> Result<(), Error> {
        let mut done = Vec::with_capacity(tasks.len());
        for claimed in tasks {
            let Some(key) = claimed.task.key() else {
                continue;
            };
            let row = rows.iter().find(|(row_id, _)| Some(row_id) == key.id());
            let content = row.map(|(_, row)| row.clone());
            let alone = slice::from_ref(claimed);
            let written = self.writer.write(key, content, fetched_at, alone);
            match written.await? {
                Written::Stored(_) | Written::NoRoom => done.push(claimed.clone()),
                Written::Failed(why) => {
                    self.failures.back_off(alone, &why).await?;
                }
                Written::LeaseLost => break,
            }
        }
        let replica_lag = self.writer.settings.replica_lag;
        self.lease.complete(&done, replica_lag).await
    }
}

/// The id of the item that a task refreshes.
fn id(claimed: &Claimed) -> Option<&Id> {
    claimed.task.key().and_then(Key::id)
}
