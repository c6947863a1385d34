//! From marks to entries.

use crate::retry;
use afterword::entry::Entry;
use afterword::freshness;
use afterword::key::{Id, Key};
use afterword::marks::{self, Lease, Mark};
use afterword::postgrest::{Error as OriginError, List, Origin};
use afterword::store::{self, Store};
use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture};
use futures_util::stream::{self, StreamExt, TryStreamExt};

/// The most ids in a request, and the most characters that they may have together: gateways refuse a longer URL.
const BATCH: (usize, usize) = (100, 4_000);

/// Requests under way at once.
const AT_ONCE: usize = 8;

/// How often a list is paged at most, if changes keep coming meanwhile.
const PAGINGS: usize = 3;

/// What a refresh works with.
pub struct Refresh<'a> {
    /// The right to write.
    pub lease: &'a Lease<'a>,
    /// Where the content comes from.
    pub origin: &'a Origin,
    /// Where it goes.
    pub store: &'a Store,
}

/// Why a key was not refreshed.
enum Failure {
    Origin(OriginError),
    Store(store::Error),
    /// The list kept changing while it was paged.
    Torn,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Origin(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Torn => write!(f, "the list changed while it was fetched, {PAGINGS} times"),
        }
    }
}

impl Refresh<'_> {
    /// Refreshes what is marked: the items in batches, the list beside them. A key that fails is postponed and holds up no other;
    /// an error of the marks' own ends the drain, and leaves them as they are.
    pub async fn all(&self, marks: Vec<Mark>) -> Result<(), marks::Error> {
        let (items, lists): (Vec<Mark>, Vec<Mark>) = marks
            .into_iter()
            .partition(|mark| matches!(mark.key, Key::Item(_)));
        let lists = lists.into_iter().map(|mark| Either::Left(self.list(mark)));
        let items = batches(items)
            .into_iter()
            .map(|batch| Either::Right(self.items(batch)));
        stream::iter(lists.chain(items))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Refreshes a batch of items. One that the origin refuses is split until the bad key stands alone.
    fn items(&self, marks: Vec<Mark>) -> LocalBoxFuture<'_, Result<(), marks::Error>> {
        Box::pin(async move {
            let ids: Vec<Id> = marks
                .iter()
                .filter_map(|mark| id(&mark.key))
                .cloned()
                .collect();
            let fetched_at = freshness::now();
            match self.origin.items(&ids).await {
                Ok(rows) => {
                    for mark in &marks {
                        let row = rows
                            .iter()
                            .find(|(id, _)| Some(id) == self::id(&mark.key))
                            .map(|(_, row)| row.clone());
                        self.put(mark, row, fetched_at).await?;
                    }
                }
                Err(error) if error.is_about_the_request() && marks.len() > 1 => {
                    let (left, right) = marks.split_at(marks.len() / 2);
                    self.items(left.to_vec()).await?;
                    self.items(right.to_vec()).await?;
                }
                Err(error) => {
                    for mark in &marks {
                        self.postpone(mark, &Failure::Origin(error.clone())).await?;
                    }
                }
            }
            Ok(())
        })
    }

    async fn list(&self, mut mark: Mark) -> Result<(), marks::Error> {
        match self.whole_list(&mut mark).await? {
            Ok((list, fetched_at)) => {
                self.put(&mark, list.map(|list| list.content), fetched_at)
                    .await
            }
            Err(failure) => self.postpone(&mark, &failure).await,
        }
    }

    /// The list and when its fetch began, its pages of one state of the table as far as the marks tell: a change that is marked
    /// meanwhile pages it again, for that mark too. If changes keep coming, pages that follow each other by id will do
    /// (nothing that stood there throughout is missing, and the list stays marked), while those by offset may have lost a row
    /// between them, and are not stored.
    async fn whole_list(
        &self,
        mark: &mut Mark,
    ) -> Result<Result<(Option<List>, u64), Failure>, marks::Error> {
        for paging in 1..=PAGINGS {
            let fetched_at = freshness::now();
            let list = match self.origin.list().await {
                Ok(list) => list,
                Err(error) => return Ok(Err(Failure::Origin(error))),
            };
            if list.as_ref().is_none_or(|list| list.pages == 1) {
                return Ok(Ok((list, fetched_at)));
            }
            let latest = self.lease.latest(mark).await?;
            let by_id = list.as_ref().is_some_and(|list| list.by_id);
            if latest == mark.sequence || paging == PAGINGS && by_id {
                return Ok(Ok((list, fetched_at)));
            }
            mark.sequence = latest;
        }
        Ok(Err(Failure::Torn))
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
                self.store
                    .set(&name, &Entry::new(content, fetched_at).encode())
                    .await,
                "updated cache",
            ),
            None => (self.store.delete(&name).await, "removed from cache"),
        };
        if let Err(error) = written {
            return self.postpone(mark, &Failure::Store(error)).await;
        }
        println!("{done}: {name}");
        self.lease.clear(mark).await?;
        Ok(())
    }

    async fn postpone(&self, mark: &Mark, failure: &Failure) -> Result<(), marks::Error> {
        let pause = retry::pause(mark.failures);
        eprintln!(
            "could not refresh {}, next try in {} s: {failure}",
            mark.key,
            pause.as_secs()
        );
        self.lease
            .postpone(mark, pause, &failure.to_string())
            .await?;
        Ok(())
    }
}

fn id(key: &Key) -> Option<&Id> {
    match key {
        Key::Item(id) => Some(id),
        Key::List => None,
    }
}

/// Items in batches that fit into a request each.
fn batches(items: Vec<Mark>) -> Vec<Vec<Mark>> {
    let (most, longest) = BATCH;
    let mut batches: Vec<Vec<Mark>> = Vec::new();
    let mut length = 0;
    for item in items {
        let own = id(&item.key).map_or(0, |id| id.as_str().len());
        match batches.last_mut() {
            Some(batch) if batch.len() < most && length + own <= longest => {
                length += own;
                batch.push(item);
            }
            _ => {
                length = own;
                batches.push(vec![item]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(ids: impl Iterator<Item = String>) -> Vec<Mark> {
        ids.map(|id| Mark {
            key: Key::Item(Id::parse(&id).unwrap()),
            sequence: 1,
            failures: 0,
        })
        .collect()
    }

    #[test]
    fn a_batch_has_at_most_a_hundred_ids() {
        let lengths: Vec<usize> = batches(marks((0..250).map(|id| id.to_string())))
            .iter()
            .map(Vec::len)
            .collect();
        assert_eq!(lengths, [100, 100, 50]);
    }

    #[test]
    fn long_ids_make_smaller_batches() {
        let lengths: Vec<usize> = batches(marks((0..65).map(|id| format!("{id:0>128}"))))
            .iter()
            .map(Vec::len)
            .collect();
        assert_eq!(lengths, [31, 31, 3]);
    }

    #[test]
    fn nothing_makes_no_batch() {
        assert!(batches(Vec::new()).is_empty());
    }
}
