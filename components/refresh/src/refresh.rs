//! From marks to entries.

use crate::drain::id;
use crate::{compress, reconcile, retry};
use afterword::entry::Entry;
use afterword::freshness;
use afterword::key::{Id, Key};
use afterword::marks::{self, Lease, Mark, Setup, Task};
use afterword::postgrest::{Blame, Error as OriginError, List, Origin};
use afterword::store::{self, Store};
use bytes::Bytes;
use spin_sdk::wasip3::random::random::get_random_u64;
use std::cell::RefCell;
use std::time::Duration;

/// How often a list is paged at most, if changes keep coming meanwhile.
const PAGINGS: usize = 3;

/// How often a hundred keys can be halved.
const HALVINGS: usize = 7;

/// What a refresh works with.
pub struct Refresh<'a> {
    /// The right to write.
    pub lease: &'a Lease<'a>,
    /// Where the content comes from.
    pub origin: &'a Origin,
    /// Which origin that is.
    pub setup: Setup,
    /// Where the content goes.
    pub store: &'a Store,
    /// The stored items that are to be held against the list when it has been fetched: if a reconciliation is due, and until it
    /// is done. They are listed before anything else is under way: while a store on this machine lists its keys, it keeps every other call
    /// waiting, and the thread with it.
    pub reconciles: RefCell<Option<Vec<Key>>>,
}

impl Refresh<'_> {
    /// Refreshes the list, or a batch of items. A failure is the key's, or the origin's, and is noted with the marks; an error of
    /// the marks' own ends the drain, and leaves them as they are.
    pub async fn batch(&self, marks: Vec<Mark>) -> Result<(), marks::Error> {
        match &marks[..] {
            [mark] if mark.key == Key::List => self.list(mark.clone()).await,
            _ => self.items(marks).await,
        }
    }

    /// Refreshes items. A request that fails because of a key in it is split until the bad key stands alone; also if the failure
    /// looks like the origin's but all keys are suspects. Should nothing succeed on the way, it is the origin's after all.
    async fn items(&self, marks: Vec<Mark>) -> Result<(), marks::Error> {
        let mut parts = vec![marks];
        let mut failures_in_a_row = 0;
        while let Some(part) = parts.pop() {
            let ids: Vec<Id> = part
                .iter()
                .filter_map(|mark| id(&mark.key))
                .cloned()
                .collect();
            let fetched_at = freshness::now();
            let error = match self.origin.items(&ids).await {
                Ok(rows) => {
                    failures_in_a_row = 0;
                    for mark in &part {
                        let row = rows.iter().find(|(found, _)| Some(found) == id(&mark.key));
                        self.put(mark, row.map(|(_, row)| row.clone()), fetched_at)
                            .await?;
                    }
                    continue;
                }
                Err(error) => error,
            };
            failures_in_a_row += 1;
            let splits = match error.blame() {
                Blame::Key => true,
                Blame::Origin => part.iter().all(|mark| mark.suspect),
                Blame::Query | Blame::Setup => false,
            };
            if failures_in_a_row > HALVINGS && error.blame() == Blame::Origin {
                let rest: Vec<Mark> = parts.drain(..).flatten().chain(part).collect();
                self.failed(&rest, &error).await?;
            } else if splits && part.len() > 1 {
                let (left, right) = part.split_at(part.len() / 2);
                parts.extend([right.to_vec(), left.to_vec()]);
            } else {
                self.failed(&part, &error).await?;
            }
        }
        Ok(())
    }

    async fn list(&self, mut mark: Mark) -> Result<(), marks::Error> {
        let began = freshness::now();
        let (list, fetched_at) = match self.whole_list(&mut mark).await? {
            Ok(fetched) => fetched,
            Err(Some(error)) => return self.failed(&[mark], &error).await,
            Err(None) => {
                let why = format!("the list changed while it was fetched, {PAGINGS} times");
                return self.postpone(&mark, &why).await;
            }
        };
        let stored = self.reconciles.borrow().clone();
        if let Some(stored) = stored {
            let id_column = &self.origin.table.id_column;
            let outdated =
                match reconcile::outdated(self.store, stored, list.as_ref(), id_column).await {
                    Ok(outdated) => outdated,
                    Err(error) => return self.postpone(&mark, &error.to_string()).await,
                };
            println!("reconciled: {} entries are to be refreshed", outdated.len());
            let outdated: Vec<Task> = outdated.into_iter().map(Task::from).collect();
            self.lease.worker.changed(&outdated).await?;
            self.lease
                .reconciled(Duration::from_millis(
                    freshness::now().saturating_sub(began),
                ))
                .await?;
            self.reconciles.replace(None);
        }
        self.put(&mark, list.map(|list| list.content), fetched_at)
            .await
    }

    /// The list and when its fetch began, its pages of one state of the table as far as the marks tell: a change that is marked
    /// meanwhile pages it again, for that mark too. If changes keep coming, pages that follow each other by id will do
    /// (nothing that stood there throughout is missing, and the list stays marked), while those by offset may have lost a row
    /// between them, and are not stored: no list, and no error.
    async fn whole_list(
        &self,
        mark: &mut Mark,
    ) -> Result<Result<(Option<List>, u64), Option<OriginError>>, marks::Error> {
        for paging in 1..=PAGINGS {
            let fetched_at = freshness::now();
            let list = match self.origin.list().await {
                Ok(list) => list,
                Err(error) => return Ok(Err(Some(error))),
            };
            if list.as_ref().is_none_or(|list| list.pages == 1) {
                return Ok(Ok((list, fetched_at)));
            }
            // Without a mark the lease is another's by now, as the clear will find.
            let latest = self.lease.latest(mark).await?.unwrap_or(mark.sequence);
            let by_id = list.as_ref().is_some_and(|list| list.by_id);
            if latest == mark.sequence || paging == PAGINGS && by_id {
                return Ok(Ok((list, fetched_at)));
            }
            mark.sequence = latest;
        }
        Ok(Err(None))
    }

    /// Writes a key's entry, or removes it if there is no content any more, and clears the mark.
    async fn put(
        &self,
        mark: &Mark,
        content: Option<Bytes>,
        fetched_at: u64,
    ) -> Result<(), marks::Error> {
        let name = mark.key.to_string();
        let (written, done) = match content {
            Some(content) => (
                {
                    let source = self.origin.source(&mark.key);
                    let entry = Entry::new(content, fetched_at, source);
                    self.write(&name, entry).await
                },
                "updated cache",
            ),
            None => (self.store.delete(&name).await, "removed from cache"),
        };
        if let Err(error) = written {
            return self.postpone(mark, &error.to_string()).await;
        }
        println!("{done}: {name}");
        self.lease.clear(mark).await?;
        Ok(())
    }

    /// Writes an entry in place of the former one, which says when the content has changed; compressed, unless it was before.
    async fn write(&self, name: &str, mut entry: Entry) -> Result<(), store::Error> {
        // One that cannot be read is none: it does not keep the new one out.
        let former = self.store.get(name).await.ok().flatten();
        let former = former.and_then(Entry::decode);
        if let Some(former) = &former {
            entry = entry.after(former);
        }
        if former.is_none_or(|former| former.identity != entry.identity) {
            compress::compress(&mut entry).await;
        }
        match self.store.set(name, &entry.encode()).await {
            // Perhaps it is just too large with the codings beside it.
            Err(_) if entry.brotli.is_some() || entry.gzip.is_some() => {
                (entry.brotli, entry.gzip) = (None, None);
                self.store.set(name, &entry.encode()).await
            }
            written => written,
        }
    }

    async fn failed(&self, marks: &[Mark], error: &OriginError) -> Result<(), marks::Error> {
        let why = error.to_string();
        let first = marks
            .first()
            .map(|mark| mark.key.to_string())
            .unwrap_or_default();
        let what = if marks.len() == 1 {
            first
        } else {
            format!("{first} and {} more", marks.len() - 1)
        };
        let pauses = || {
            marks.iter().map(|mark| {
                (
                    mark.key.clone(),
                    retry::pause(mark.failures, get_random_u64()),
                )
            })
        };
        let probe = match error.blame() {
            Blame::Key | Blame::Query => {
                eprintln!("could not refresh {what}, backing off: {why}");
                return self.lease.postpone(pauses(), &why).await;
            }
            Blame::Origin => {
                eprintln!("could not refresh {what}, the origin fails: {why}");
                retry::probe(error.retry_after())
            }
            Blame::Setup => {
                eprintln!(
                    "stuck: could not refresh {what}, and this will not mend by itself: {why}"
                );
                retry::slowest()
            }
        };
        self.lease.hold(pauses(), &why, &self.setup, probe).await
    }

    async fn postpone(&self, mark: &Mark, why: &str) -> Result<(), marks::Error> {
        eprintln!("could not refresh {}, backing off: {why}", mark.key);
        let pause = retry::pause(mark.failures, get_random_u64());
        self.lease
            .postpone(std::iter::once((mark.key.clone(), pause)), why)
            .await
    }
}
