//! Reconciliation: refreshes every stored item that differs from the list. pg_net does not retry
//! webhooks, so some get lost.

use crate::compare::Comparison;
use crate::failures::Failures;
use crate::lease::{Claimed, Found, Lease};
use crate::refresh::{CHANGING, NoList, Refresher};
use crate::write::Writer;
use afterword::freshness::Lifetime;
use afterword::host;
use afterword::key::Key;
use afterword::log::{self, event};
use afterword::postgrest::{Blame, Origin};
use afterword::queue::{Error, Task};
use afterword::store::Store;
use bytes::Bytes;
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
    /// Fetches the list.
    pub refresher: &'a Refresher<'a>,
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
    pub async fn work(&self, claimed: Vec<Claimed>, stored: Vec<Key>) -> Result<(), Error> {
        let (purges, reconciliations): (Vec<_>, Vec<_>) = claimed
            .into_iter()
            .partition(|claimed| claimed.task == Task::Purge);
        let stored = match &purges[..] {
            [] => stored,
            [purge, ..] => {
                self.writer.purge(purge, &stored).await?;
                Vec::new()
            }
        };
        if reconciliations.is_empty() {
            return Ok(());
        }
        self.reconcile(reconciliations, stored).await
    }

    /// Works on the claimed reconciliations. Fetches the list, writes it, and compares the items in
    /// `stored` with it. If the list alone cannot be fetched, every stored item is refreshed
    /// instead.
    async fn reconcile(&self, claimed: Vec<Claimed>, stored: Vec<Key>) -> Result<(), Error> {
        let began = host::now();
        let list_task = Task::Refresh(Key::List);
        let mut list_claim = Claimed {
            version: self
                .lease
                .queue
                .version(&list_task)
                .await?
                .unwrap_or_default(),
            task: list_task.clone(),
            ..claimed[0].clone()
        };
        let mut list_bytes = 0;
        let list = match self.refresher.fetch_list(&mut list_claim).await? {
            Ok((list, fetched_at)) => {
                let content = list.map(|list| list.content);
                let written = self.writer.write(&list_claim, content.clone(), fetched_at);
                let Some(bytes) = written.await? else {
                    let why = "the list could not be written";
                    return self.failures.back_off(&claimed, why).await;
                };
                list_bytes = bytes;
                // A table that the anonymous key may not read shows no items.
                Some(content.unwrap_or_else(|| Bytes::from_static(b"[]")))
            }
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
                    let probes = stored.into_iter().take(PROBES);
                    let probes: Vec<Task> = probes.map(Task::from).collect();
                    self.lease.queue.requeue(&probes).await?;
                }
                return self.failures.handle(&claimed, &error).await;
            }
            Err(no_list) => {
                let why = match no_list {
                    NoList::Failed { error, .. } => error.to_string(),
                    NoList::Changing => CHANGING.to_owned(),
                };
                log::event(
                    event::LIST_UNAVAILABLE,
                    "refreshing every stored item, because there is no list",
                )
                .error(why)
                .emit();
                self.lease.queue.requeue(&[list_task]).await?;
                None
            }
        };
        let resource = &self.origin.resource;
        let comparison = Comparison {
            list: list.as_deref(),
            shows_all: list.is_some() && resource.list_query.shows_all(),
            related: claimed
                .iter()
                .any(|claimed| claimed.task == Task::RefreshRelated),
            id_column: &resource.table.id_column,
            source: self.origin.item_source(),
            lifetime: self.lifetime,
        };
        let compared = comparison.run(self.store, stored).await;
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
            entries: compared.items + usize::from(list_bytes > 0),
            bytes: compared.bytes + list_bytes,
            outdated: compared.outdated.len(),
            evicted: compared.expired.len(),
        };
        let configuration = self.configuration();
        self.lease.reconciled(ago, &configuration, found).await?;
        for claimed in &claimed {
            let replica_lag = self.writer.settings.replica_lag;
            self.lease.complete(claimed, replica_lag).await?;
        }
        Ok(())
    }
}
