//! Refreshes entries: fetches items in batches, and the list.

use crate::failures::Failures;
use crate::lease::{Claimed, Lease};
use crate::write::Writer;
use afterword::host;
use afterword::key::{Id, Key};
use afterword::postgrest::{Blame, Error as OriginError, List, Origin};
use afterword::queue::{Error, Task};

/// How often a list is fetched at most if changes arrive during each fetch.
const MAX_LIST_FETCHES: usize = 3;

/// Fetches and writes entries.
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

/// Why there is no list.
pub enum NoList {
    /// A request failed. `always`: so many failed in a row that the origin is at fault.
    Failed {
        /// The error.
        error: OriginError,
        /// Trip the circuit breaker in any case.
        always: bool,
    },
    /// The list changed during each fetch.
    Changing,
}

/// The error text of [`NoList::Changing`].
pub const CHANGING: &str = "the list changed each time while it was fetched";

impl Refresher<'_> {
    /// Refreshes the list, or a batch of items. Failures of the origin and of the store are
    /// recorded in the work queue. An error of Redis ends the drain, and leaves the tasks queued.
    pub async fn refresh(&self, batch: Vec<Claimed>) -> Result<(), Error> {
        match &batch[..] {
            [claimed] if claimed.task == Task::Refresh(Key::List) => {
                self.refresh_list(claimed.clone()).await
            }
            _ => self.refresh_items(batch).await,
        }
    }

    /// A request that fails because of one of its keys is halved until that key is alone. So is a
    /// request of suspects that fails as if the origin failed. If too many requests fail in a row,
    /// the origin is at fault after all.
    async fn refresh_items(&self, batch: Vec<Claimed>) -> Result<(), Error> {
        let mut parts = vec![batch];
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
                    for claimed in &part {
                        let mut rows = fetched.content.iter();
                        let row = rows.find(|(row_id, _)| Some(row_id) == id(claimed));
                        let content = row.map(|(_, row)| row.clone());
                        self.writer.write(claimed, content, fetched_at).await?;
                    }
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

    async fn refresh_list(&self, mut claimed: Claimed) -> Result<(), Error> {
        match self.fetch_list(&mut claimed).await? {
            Ok((list, fetched_at)) => {
                let content = list.map(|list| list.content);
                self.writer.write(&claimed, content, fetched_at).await?;
                Ok(())
            }
            Err(NoList::Failed { error, always }) if always => {
                self.failures.trip(&[claimed], &error, true).await
            }
            Err(NoList::Failed { error, .. }) => self.failures.handle(&[claimed], &error).await,
            Err(NoList::Changing) => self.failures.back_off(&[claimed], CHANGING).await,
        }
    }

    /// Fetches the list. Returns it with the start of the fetch; `None` in place of the list if the
    /// anonymous key may not read the table. Updates the version in `claimed`.
    ///
    /// The pages of a list may be of different moments. An invalidation that is queued meanwhile
    /// fetches the list again, and is thereby done. If invalidations keep arriving, pages by id are
    /// accepted, because no row that existed throughout is missing, and the list stays queued.
    /// Pages by offset may have missed a row, and are not stored.
    pub async fn fetch_list(
        &self,
        claimed: &mut Claimed,
    ) -> Result<Result<(Option<List>, u64), NoList>, Error> {
        for fetch in 1..=MAX_LIST_FETCHES {
            let trips = self.failures.trips();
            let fetched_at = host::now();
            let list = match self.origin.list().await {
                Ok(fetched) => fetched.content,
                Err(error) => {
                    let always = self.failures.count(&error);
                    return Ok(Err(NoList::Failed { error, always }));
                }
            };
            self.failures.succeeded(trips).await?;
            if list.as_ref().is_none_or(|list| list.pages == 1) {
                return Ok(Ok((list, fetched_at)));
            }
            // Without a version, the task is not queued any more: another worker has completed it.
            let latest = self.lease.queue.version(&claimed.task).await?;
            let unchanged = latest
                .as_ref()
                .is_none_or(|latest| *latest == claimed.version);
            let by_id = list.as_ref().is_some_and(|list| list.by_id);
            if unchanged || fetch == MAX_LIST_FETCHES && by_id {
                return Ok(Ok((list, fetched_at)));
            }
            claimed.version = latest.unwrap_or_default();
        }
        Ok(Err(NoList::Changing))
    }
}

/// The id of the item that a task refreshes.
fn id(claimed: &Claimed) -> Option<&Id> {
    claimed.task.key()?.id()
}
