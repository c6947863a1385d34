//! From tasks to entries.

use crate::drain::id;
use crate::reconcile::{self, Comparison};
use crate::{compress, retry};
use afterword::entry::Entry;
use afterword::freshness::{self, Freshness, Lifetime};
use afterword::key::{Id, Key};
use afterword::marks::{self, Lease, Mark, Queue, Task};
use afterword::outbox;
use afterword::postgrest::{Blame, Error as OriginError, List, Origin};
use afterword::store::{self, Store};
use bytes::Bytes;
use retry::Streak;
use spin_sdk::wasip3::random::random::get_random_u64;
use std::cell::Cell;
use std::time::Duration;

/// How often a list is paged at most, if changes keep coming meanwhile.
const PAGINGS: usize = 3;

/// A failure that has lasted for this long is not likely to pass by itself.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// What a refresh works with.
pub struct Refresh<'a> {
    /// The right to write.
    pub lease: &'a Lease<'a>,
    /// Where the content comes from.
    pub origin: &'a Origin,
    /// Which origin that is, as which reader, asked how: the circuit breaker is about that.
    pub setup: String,
    /// Where the content goes.
    pub store: &'a Store,
    /// Whether the circuit breaker is not closed, so that the next outcome decides.
    pub probing: Cell<bool>,
    lifetime: Lifetime,
    /// How long after a change the origin's replicas may still show the old row.
    replica_lag: Duration,
    /// The requests that have failed in a row.
    streak: Cell<Streak>,
    /// How often the circuit breaker has tripped. What was sent before says nothing afterwards.
    trips: Cell<u32>,
}

/// What a listing of the store brought.
pub struct Listed {
    /// The stored items; `None` if the store did not say.
    pub items: Option<Vec<Key>>,
    /// Whether the outbox is empty now, if that was asked for.
    pub outbox_is_empty: bool,
}

impl<'a> Refresh<'a> {
    /// Nothing has been asked yet.
    pub fn new(
        lease: &'a Lease<'a>,
        origin: &'a Origin,
        store: &'a Store,
        lifetime: Lifetime,
        replica_lag: Duration,
    ) -> Self {
        Self {
            lease,
            origin,
            setup: origin.digest(),
            store,
            probing: Cell::new(false),
            lifetime,
            replica_lag,
            streak: Cell::default(),
            trips: Cell::default(),
        }
    }

    /// The time from one reconciliation to the next: `max_age`, but not less than a second.
    pub fn reconcile_every(&self) -> Duration {
        self.lifetime.max_age.max(Duration::from_secs(1))
    }

    /// Queues a reconciliation if one is due. A Redis that is full does not take it: the work that
    /// is queued goes on.
    pub async fn queue_reconciliation(&self) {
        let every = self.reconcile_every();
        let queued = self.lease.reconcile(every, &self.configuration()).await;
        if let Err(error) = queued {
            eprintln!("no reconciliation is queued: {error}");
        }
    }

    /// A digest of all that decides what the store holds.
    fn configuration(&self) -> String {
        format!("{}{}", self.origin.list_source(), self.origin.item_source())
    }

    /// Lists the store: for the `outbox`, whose tasks are moved to Redis, and for reconciliations,
    /// which back off if the store does not answer. Nothing else of this instance may use the store
    /// meanwhile.
    pub async fn list_store(
        &self,
        outbox: bool,
        reconciliations: &[Mark],
    ) -> Result<Listed, marks::Error> {
        let listed = async {
            if outbox {
                outbox::begin(self.store).await?;
            }
            self.store.keys().await
        };
        let names = match listed.await {
            Ok(names) => names,
            Err(error) => {
                eprintln!("the store could not be listed: {error}");
                if !reconciliations.is_empty() {
                    self.back_off(reconciliations, &error.to_string()).await?;
                }
                return Ok(Listed {
                    items: None,
                    outbox_is_empty: false,
                });
            }
        };
        let emptied = outbox::empty(self.store, self.lease.worker, &names).await;
        match &emptied {
            Ok(0) => {}
            Ok(moved) => println!("moved the changes of {moved} webhooks from the outbox to Redis"),
            Err(error) => eprintln!("the outbox could not be emptied: {error}"),
        }
        let items = names.iter().filter_map(|name| Key::from_path(name));
        Ok(Listed {
            items: Some(items.collect()),
            outbox_is_empty: emptied.is_ok(),
        })
    }

    /// Refreshes the list, or a batch of items. A failure is the task's, or the origin's, and is
    /// noted in the queue; an error of Redis ends the drain, and leaves the tasks as they are.
    pub async fn batch(&self, marks: Vec<Mark>) -> Result<(), marks::Error> {
        match &marks[..] {
            [mark] if mark.task == Task::Refresh(Key::List) => self.list(mark.clone()).await,
            _ => self.items(marks).await,
        }
    }

    /// Refreshes items. A request that fails because of a key in it is split until the bad key
    /// stands alone; also if the failure looks like the origin's but all keys are suspects. Should
    /// too many requests fail in a row, it is the origin's after all.
    async fn items(&self, marks: Vec<Mark>) -> Result<(), marks::Error> {
        let mut parts = vec![marks];
        let trips = self.trips.get();
        while let Some(part) = parts.pop() {
            // Another request has tripped the circuit breaker: the rest stays queued for it.
            if self.trips.get() != trips {
                return Ok(());
            }
            let ids: Vec<Id> = part
                .iter()
                .filter_map(|mark| id(&mark.task))
                .cloned()
                .collect();
            let fetched_at = freshness::now();
            let error = match self.origin.items(&ids).await {
                Ok(rows) => {
                    self.succeeded(trips).await?;
                    for mark in &part {
                        let row = rows.iter().find(|(found, _)| Some(found) == id(&mark.task));
                        self.put(mark, row.map(|(_, row)| row.clone()), fetched_at)
                            .await?;
                    }
                    continue;
                }
                Err(error) => error,
            };
            if self.failed_once_more(&error) {
                let rest: Vec<Mark> = parts.drain(..).flatten().chain(part).collect();
                self.trip(&rest, &error, true).await?;
                continue;
            }
            let splits = match error.blame() {
                Blame::Key => true,
                Blame::Origin => part.iter().all(|mark| mark.suspect),
                Blame::Query | Blame::Setup => false,
            };
            if splits && part.len() > 1 {
                let (left, right) = part.split_at(part.len() / 2);
                parts.extend([right.to_vec(), left.to_vec()]);
            } else {
                self.failed(&part, &error).await?;
            }
        }
        Ok(())
    }

    async fn list(&self, mut mark: Mark) -> Result<(), marks::Error> {
        match self.whole_list(&mut mark).await? {
            Ok((list, fetched_at)) => {
                let content = list.map(|list| list.content);
                self.put(&mark, content, fetched_at).await.map(drop)
            }
            Err(Unfetched::Failed { error, after_all }) if after_all => {
                self.trip(&[mark], &error, true).await
            }
            Err(Unfetched::Failed { error, .. }) => self.failed(&[mark], &error).await,
            Err(Unfetched::Changing) => self.back_off(&[mark], CHANGING).await,
        }
    }

    /// Fetches the list, writes it, and compares the stored items with it. If it cannot be fetched
    /// while the origin answers other requests, all stored items are refreshed instead.
    pub async fn reconcile(&self, marks: Vec<Mark>, stored: Vec<Key>) -> Result<(), marks::Error> {
        let began = freshness::now();
        let task = Task::Refresh(Key::List);
        let mut mark = Mark {
            version: self.lease.version(&task).await?.unwrap_or_default(),
            task: task.clone(),
            ..marks[0].clone()
        };
        let list = match self.whole_list(&mut mark).await? {
            Ok((list, fetched_at)) => {
                let content = list.map(|list| list.content);
                if !self.put(&mark, content.clone(), fetched_at).await? {
                    return self.back_off(&marks, "the list could not be written").await;
                }
                // The anonymous key may read none: an answer, and it shows no item.
                Some(content.unwrap_or_else(|| Bytes::from_static(b"[]")))
            }
            Err(Unfetched::Failed { error, after_all }) if after_all => {
                return self.trip(&marks, &error, true).await;
            }
            Err(Unfetched::Failed { error, .. })
                if matches!(error.blame(), Blame::Origin | Blame::Setup)
                    && !marks.iter().any(|mark| mark.suspect) =>
            {
                // Is it the list alone? On a quiet site nothing else is due that could show it.
                if marks[0].failures > 0 {
                    let probes: Vec<Task> = stored.into_iter().take(2).map(Task::from).collect();
                    self.lease.worker.queue(Queue::Outdated, &probes).await?;
                }
                return self.failed(&marks, &error).await;
            }
            Err(unfetched) => {
                let why = match unfetched {
                    Unfetched::Failed { error, .. } => error.to_string(),
                    Unfetched::Changing => CHANGING.to_owned(),
                };
                eprintln!("without the list, every stored item is refreshed: {why}");
                self.lease.worker.queue(Queue::Outdated, &[task]).await?;
                None
            }
        };
        let comparison = Comparison {
            list: list.as_deref(),
            shows_all: list.is_some() && self.origin.list_query.shows_all(),
            related: marks.iter().any(|mark| mark.task == Task::RefreshRelated),
            id_column: &self.origin.table.id_column,
            source: self.origin.item_source(),
            lifetime: self.lifetime,
        };
        let compared = reconcile::compare(self.store, stored, &comparison).await;
        let outdated = &compared.outdated;
        println!("reconciled: {} entries are to be refreshed", outdated.len());
        self.evict(&compared.unwanted).await?;
        if let Err(error) = self.lease.worker.queue(Queue::Outdated, outdated).await {
            return self.back_off(&marks, &error.to_string()).await;
        }
        let ago = Duration::from_millis(freshness::now().saturating_sub(began));
        self.lease.reconciled(ago, &self.configuration()).await?;
        for mark in &marks {
            self.lease.complete(mark, self.replica_lag).await?;
        }
        Ok(())
    }

    /// Removes entries that nobody has wanted for longer than they may be served, unless they have been
    /// written meanwhile.
    async fn evict(&self, keys: &[Key]) -> Result<(), marks::Error> {
        for key in keys {
            let name = key.to_string();
            let entry = self.store.get(&name).await.ok().flatten();
            let Some(entry) = entry.and_then(Entry::decode) else {
                continue;
            };
            let expired =
                self.lifetime.judge(entry.fetched_at, freshness::now()) == Freshness::Expired;
            if !expired {
                continue;
            }
            if !self.lease.permits_write().await? {
                return Ok(());
            }
            match self.store.delete(&name).await {
                Ok(()) => println!("removed from cache: {name}, nobody has read it for long"),
                Err(error) => eprintln!("could not remove {name}: {error}"),
            }
        }
        Ok(())
    }

    /// The list and when its fetch began, its pages of one state of the table as far as the queue
    /// tells: a change that is queued meanwhile pages it again, for that change too. If changes
    /// keep coming, pages that follow each other by id will do (nothing that stood there throughout
    /// is missing, and the list stays queued), while those by offset may have lost a row between
    /// them, and are not stored.
    async fn whole_list(
        &self,
        mark: &mut Mark,
    ) -> Result<Result<(Option<List>, u64), Unfetched>, marks::Error> {
        for paging in 1..=PAGINGS {
            let trips = self.trips.get();
            let fetched_at = freshness::now();
            let list = match self.origin.list().await {
                Ok(list) => list,
                Err(error) => {
                    let after_all = self.failed_once_more(&error);
                    return Ok(Err(Unfetched::Failed { error, after_all }));
                }
            };
            self.succeeded(trips).await?;
            if list.as_ref().is_none_or(|list| list.pages == 1) {
                return Ok(Ok((list, fetched_at)));
            }
            // A task that is not queued any more has no version: somebody else has removed it.
            let latest = self.lease.version(&mark.task).await?;
            let unchanged = latest.as_ref().is_none_or(|latest| *latest == mark.version);
            let by_id = list.as_ref().is_some_and(|list| list.by_id);
            if unchanged || paging == PAGINGS && by_id {
                return Ok(Ok((list, fetched_at)));
            }
            mark.version = latest.unwrap_or_default();
        }
        Ok(Err(Unfetched::Changing))
    }

    /// Writes a key's entry, or removes it if there is no content any more, and completes the task.
    /// Returns whether the entry was written.
    async fn put(
        &self,
        mark: &Mark,
        content: Option<Bytes>,
        fetched_at: u64,
    ) -> Result<bool, marks::Error> {
        let Task::Refresh(key) = &mark.task else {
            return Ok(false);
        };
        let name = key.to_string();
        let entry = match content {
            Some(content) => {
                let source = self.origin.source(key);
                Some(
                    self.prepare(&name, Entry::new(content, fetched_at, source))
                        .await,
                )
            }
            None => None,
        };
        // The task stays queued, for whoever has the lease now.
        if !self.lease.permits_write().await? {
            return Ok(false);
        }
        let (written, done) = match entry {
            Some(entry) => (self.write(&name, entry).await, "updated cache"),
            None => (self.store.delete(&name).await, "removed from cache"),
        };
        if let Err(error) = written {
            let why = error.to_string();
            self.back_off(std::slice::from_ref(mark), &why).await?;
            return Ok(false);
        }
        println!("{done}: {name}");
        self.lease.complete(mark, self.replica_lag).await?;
        Ok(true)
    }

    /// An entry that follows the former one, which says when the content has changed; compressed,
    /// unless it was before.
    async fn prepare(&self, name: &str, mut entry: Entry) -> Entry {
        // One that cannot be read is treated as absent.
        let former = self.store.get(name).await.ok().flatten();
        let former = former.and_then(Entry::decode);
        if let Some(former) = &former {
            entry = entry.after(former);
        }
        if former.is_none_or(|former| former.identity != entry.identity) {
            compress::compress(&mut entry).await;
        }
        entry
    }

    async fn write(&self, name: &str, mut entry: Entry) -> Result<(), store::Error> {
        match self.store.set(name, &entry.encode()).await {
            // Perhaps it is just too large with the codings beside it.
            Err(_) if entry.brotli.is_some() || entry.gzip.is_some() => {
                (entry.brotli, entry.gzip) = (None, None);
                self.store.set(name, &entry.encode()).await
            }
            written => written,
        }
    }

    /// A request succeeded that was sent when the circuit breaker had tripped so often.
    async fn succeeded(&self, trips: u32) -> Result<(), marks::Error> {
        self.streak.set(Streak::default());
        if self.probing.get() && self.trips.get() == trips {
            self.probing.set(!self.lease.recovered().await?);
        }
        Ok(())
    }

    /// Counts a failure; whether so many came in a row that the origin is at fault, whatever the
    /// failure looks like.
    fn failed_once_more(&self, error: &OriginError) -> bool {
        let streak = self.streak.get().and(error);
        self.streak.set(streak);
        error.may_be_the_origins() && streak.is_the_origins(self.probing.get())
    }

    async fn failed(&self, marks: &[Mark], error: &OriginError) -> Result<(), marks::Error> {
        match error.blame() {
            Blame::Key | Blame::Query => self.back_off(marks, &error.to_string()).await,
            Blame::Origin | Blame::Setup => self.trip(marks, error, false).await,
        }
    }

    /// The tasks failed by the origin's fault.
    async fn trip(
        &self,
        marks: &[Mark],
        error: &OriginError,
        after_all: bool,
    ) -> Result<(), marks::Error> {
        let why = error.to_string();
        let pause = error
            .is_an_outage()
            .then(|| retry::probe(error.retry_after()));
        let tasks = with_pauses(marks);
        let open = self
            .lease
            .trip(tasks, &why, &self.setup, pause, after_all)
            .await?;
        if open.is_some() {
            self.probing.set(true);
            self.trips.set(self.trips.get() + 1);
            self.streak.set(Streak::default());
        }
        let what = described(marks);
        match open {
            Some(open) if pause.is_none() && open >= STUCK_AFTER => eprintln!(
                "stuck: could not refresh {what} for {} s, and this may not mend by itself: {why}",
                open.as_secs()
            ),
            Some(_) => eprintln!("could not refresh {what}, the origin fails: {why}"),
            None => report(marks, &why),
        }
        Ok(())
    }

    async fn back_off(&self, marks: &[Mark], why: &str) -> Result<(), marks::Error> {
        report(marks, why);
        self.lease.back_off(with_pauses(marks), why).await
    }
}

const CHANGING: &str = "the list changed each time while it was fetched";

/// Why there is no list.
enum Unfetched {
    /// A request failed; `after_all`: the last of so many in a row that the origin is at fault.
    Failed { error: OriginError, after_all: bool },
    /// Changes kept coming.
    Changing,
}

fn with_pauses(marks: &[Mark]) -> Vec<(Task, Duration)> {
    let with_pause = |mark: &Mark| {
        let pause = retry::pause(mark.failures, get_random_u64());
        (mark.task.clone(), pause)
    };
    marks.iter().map(with_pause).collect()
}

/// Says in the log that tasks back off.
fn report(marks: &[Mark], why: &str) {
    let what = described(marks);
    match marks.iter().map(|mark| mark.queued_for).max() {
        Some(queued) if queued >= STUCK_AFTER => eprintln!(
            "stuck: could not refresh {what} for {} s, and readers get what is stored: {why}",
            queued.as_secs()
        ),
        _ => eprintln!("could not refresh {what}, backing off: {why}"),
    }
}

/// The tasks in a line of the log.
fn described(marks: &[Mark]) -> String {
    match marks {
        [] => String::new(),
        [mark] => mark.task.to_string(),
        [first, others @ ..] => format!("{} and {} more", first.task, others.len()),
    }
}
