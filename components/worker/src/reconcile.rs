//! Reconciliation: refreshes every stored item that differs from the list. pg_net does not retry
//! webhooks, so some get lost.

use crate::compare::{Comparison, Rules};
use crate::failures::Failures;
use crate::lease::{Claimed, Found, Lease};
use crate::list::{CHANGING, ListRefresher, NoList};
use crate::listing::Listed;
use crate::write::Writer;
use crate::write_list::StoredList;
use afterword::freshness::Lifetime;
use afterword::host;
use afterword::key::Key;
use afterword::log::{self, event};
use afterword::postgrest::{Blame, Origin};
use afterword::queue::{Error, Task};
use afterword::store::Store;
use std::time::Duration;

/// The number of items that are refreshed to tell whether the list alone fails.
const PROBES: usize = 2;

/// Reconciles the store with the list.
pub struct Reconciler<'a> {
    /// The right to write.
    pub lease: &'a Lease<'a>,
    /// Where the list is from.
    pub origin: &'a Origin,
    /// The stored items.
    pub store: &'a Store,
    /// Where failed requests are reported.
    pub failures: &'a Failures<'a>,
    /// Writes the list.
    pub writer: &'a Writer<'a>,
    /// Refreshes the list.
    pub list: &'a ListRefresher<'a>,
    /// How long entries are served.
    pub lifetime: Lifetime,
}

impl Reconciler<'_> {
    /// The time from one reconciliation to the next: `max_age`, but at least a second.
    pub fn interval(&self) -> Duration {
        self.lifetime.max_age.max(Duration::from_secs(1))
    }

    /// Queues a reconciliation if one is due. A failure is logged; the queued tasks must go on.
    pub async fn queue_if_due(&self) {
        let configuration = self.configuration();
        let queued = self
            .lease
            .queue_reconciliation(self.interval(), &configuration);
        if let Err(error) = queued.await {
            log::event(
                event::RECONCILIATION_NOT_QUEUED,
                "could not queue a reconciliation",
            )
            .error(error)
            .emit();
        }
    }

    /// A digest of the configuration that decides the content of the store.
    fn configuration(&self) -> String {
        format!("{}{}", self.origin.list_source(), self.origin.item_source())
    }

    /// Works on the claimed tasks that need all stored keys: a purge first, then reconciliations.
    /// `of_list` are claimed tasks of the list, which a reconciliation refreshes.
    pub async fn work(
        &self,
        claimed: Vec<Claimed>,
        of_list: Vec<Claimed>,
        mut listed: Listed,
    ) -> Result<(), Error> {
        let (purges, reconciliations): (Vec<_>, Vec<_>) = claimed
            .into_iter()
            .partition(|claimed| claimed.task == Task::Purge);
        if let Some(purge) = purges.first() {
            let Listed { stored, chunks, .. } = &mut listed;
            if self.writer.purge(purge, stored, chunks).await? {
                self.lease.complete(&purges, Duration::ZERO).await?;
            }
            stored.clear();
            chunks.clear();
        }
        if reconciliations.is_empty() {
            return Ok(());
        }
        self.reconcile(reconciliations, of_list, listed).await
    }

    /// Works on the claimed reconciliations. Fetches the list, writes it, and compares the stored
    /// items with it. If the list alone cannot be fetched, every stored item is refreshed instead.
    async fn reconcile(
        &self,
        claimed: Vec<Claimed>,
        of_list: Vec<Claimed>,
        listed: Listed,
    ) -> Result<(), Error> {
        let began = host::now();
        let resource = &self.origin.resource;
        let rules = Rules {
            shows_all: resource.list_query.shows_all(),
            related: claimed
                .iter()
                .any(|claimed| claimed.task == Task::RefreshRelated),
            id_column: &resource.table.id_column,
            source: self.origin.item_source(),
            lifetime: self.lifetime,
            evicts_unread: self.writer.capacity.is_limited(),
        };
        let probes: Vec<Task> = listed
            .stored
            .iter()
            .take(PROBES)
            .cloned()
            .map(Task::from)
            .collect();
        let mut comparison = Comparison::new(rules, self.store, listed.stored);
        let was_missing = matches!(self.writer.stored_list().await, StoredList::Missing);
        let mut list_claims = self.list_claims(&claimed[0], of_list).await?;
        let refreshed = self
            .list
            .refresh_whole(&mut list_claims, Some(&mut comparison));
        let mut list_bytes = None;
        match refreshed.await? {
            Ok(bytes) => {
                let replica_lag = self.writer.settings.replica_lag;
                self.lease.complete(&list_claims, replica_lag).await?;
                self.writer
                    .remove_orphans(&listed.chunks, was_missing)
                    .await?;
                list_bytes = Some(bytes);
            }
            Err(NoList::LeaseLost) => return Ok(()),
            Err(NoList::NotWritten(why)) => return self.failures.back_off(&claimed, &why).await,
            Err(NoList::Failed { error, always }) if always => {
                return self.failures.trip(&claimed, &error, true).await;
            }
            Err(NoList::Failed { error, .. })
                if matches!(error.blame(), Blame::Origin | Blame::Configuration)
                    && !claimed.iter().any(|claimed| claimed.suspect) =>
            {
                // Perhaps the list alone fails. On a quiet site, no other task is due whose success
                // would show that.
                if claimed[0].failures > 0 {
                    self.lease.queue.requeue(&probes).await?;
                }
                return self.failures.handle(&claimed, &error).await;
            }
            Err(NoList::Failed { error, .. }) => self.without_list(&error.to_string()).await?,
            Err(NoList::Changing) => self.without_list(CHANGING).await?,
        }
        let compared = comparison.finish(list_bytes.is_some()).await;
        let outdated = compared.outdated.len();
        log::event(
            event::RECONCILED,
            format!("reconciled: {outdated} entries queued"),
        )
        .number("entries", outdated)
        .ms(Duration::from_millis(host::now().saturating_sub(began)))
        .emit();
        self.writer.evict(&compared.expired, self.lifetime).await?;
        if let Err(error) = self.lease.queue.requeue(&compared.outdated).await {
            let why = error.to_string();
            return self.failures.back_off(&claimed, &why).await;
        }
        let ago = Duration::from_millis(host::now().saturating_sub(began));
        let found = Found {
            entries: compared.items + usize::from(list_bytes.is_some_and(|bytes| bytes > 0)),
            bytes: compared.bytes + list_bytes.unwrap_or_default(),
            outdated: compared.outdated.len(),
            evicted: compared.expired.len(),
        };
        let configuration = self.configuration();
        self.lease.reconciled(ago, &configuration, found).await?;
        let replica_lag = self.writer.settings.replica_lag;
        self.lease.complete(&claimed, replica_lag).await
    }

    /// The claimed tasks of the list, and the list's own task as it is now.
    async fn list_claims(
        &self,
        claimed: &Claimed,
        mut of_list: Vec<Claimed>,
    ) -> Result<Vec<Claimed>, Error> {
        let list = Task::Refresh(Key::List);
        if !of_list.iter().any(|claimed| claimed.task == list) {
            let tasks = [list];
            let versions = self.lease.queue.versions(&tasks).await?;
            let [task] = tasks;
            of_list.push(Claimed {
                version: versions.into_iter().next().unwrap_or_default(),
                task,
                ..claimed.clone()
            });
        }
        Ok(of_list)
    }

    /// The list alone cannot be fetched: it is queued.
    async fn without_list(&self, why: &str) -> Result<(), Error> {
        log::event(
            event::LIST_UNAVAILABLE,
            "refreshing every stored item, because there is no list",
        )
        .error(why)
        .emit();
        self.lease.queue.requeue(&[Task::Refresh(Key::List)]).await
    }
}
