//! Working off what is due: a few requests at once, and a look for more while they are under way, so that a long list holds up no
//! item.

use crate::refresh::Refresh;
use afterword::key::{Id, Key};
use afterword::marks::{self, Mark, Released};
use afterword::postgrest::length_among_others;
use futures_util::future::{Either, LocalBoxFuture, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::pin::pin;
use std::time::Duration;

/// Requests under way at once.
const AT_ONCE: usize = 8;

/// The most ids in a request, and the most characters that they may have together: gateways refuse a longer URL.
const BATCH: (usize, usize) = (100, 4_000);

/// The most marks that are claimed at once: what is under way is among them, and a full load beside it.
const CLAIM: usize = 2 * AT_ONCE * BATCH.0;

/// How long after a claim the next look is taken while requests are under way.
const LOOK: Duration = Duration::from_millis(250);

type Job<'a> = LocalBoxFuture<'a, (Vec<Key>, Result<(), marks::Error>)>;

/// Works off what is due, until nothing is, or the lease is lost. However it ends, each job that has begun comes to its clears,
/// which mark again what was written without the lease.
pub async fn drain(refresh: &Refresh<'_>, reconcile_every: Duration) -> Result<(), marks::Error> {
    let mut jobs = FuturesUnordered::new();
    let drained = work_off(refresh, reconcile_every, &mut jobs).await;
    jobs.fold(drained, async |drained, (_, outcome)| drained.and(outcome))
        .await
}

async fn work_off<'a>(
    refresh: &'a Refresh<'a>,
    reconcile_every: Duration,
    jobs: &mut FuturesUnordered<Job<'a>>,
) -> Result<(), marks::Error> {
    let mut under_way: Vec<Key> = Vec::new();
    loop {
        if jobs.len() < AT_ONCE {
            let Some(due) = refresh.lease.claim(CLAIM, &refresh.setup).await? else {
                return Ok(());
            };
            let new = due
                .into_iter()
                .filter(|mark| !under_way.contains(&mark.key))
                .collect();
            for batch in batches(new).into_iter().take(AT_ONCE - jobs.len()) {
                under_way.extend(batch.iter().map(|mark| mark.key.clone()));
                jobs.push(job(refresh, batch));
            }
        }
        if jobs.is_empty() {
            match refresh.lease.release(reconcile_every).await? {
                Released::Done => return Ok(()),
                // A key refreshed a moment ago waits for its next turn: waiting here is cheaper than being woken again.
                Released::Kept(wait) => spin_sdk::time::sleep(wait).await,
            }
        } else if let Either::Left((Some((done, outcome)), _)) =
            select(jobs.next(), pin!(spin_sdk::time::sleep(LOOK))).await
        {
            outcome?;
            under_way.retain(|key| !done.contains(key));
        }
    }
}

fn job<'a>(refresh: &'a Refresh<'a>, batch: Vec<Mark>) -> Job<'a> {
    Box::pin(async move {
        let keys = batch.iter().map(|mark| mark.key.clone()).collect();
        (keys, refresh.batch(batch).await)
    })
}

/// Marks in batches that fit into a request each; the list is one of its own, and suspects are apart from the others.
fn batches(marks: Vec<Mark>) -> Vec<Vec<Mark>> {
    let (lists, items): (Vec<Mark>, Vec<Mark>) =
        marks.into_iter().partition(|mark| mark.key == Key::List);
    let (suspects, others): (Vec<Mark>, Vec<Mark>) =
        items.into_iter().partition(|mark| mark.suspect);
    let lists = lists.into_iter().map(|list| vec![list]);
    lists
        .chain(chunks(others))
        .chain(chunks(suspects))
        .collect()
}

fn chunks(items: Vec<Mark>) -> Vec<Vec<Mark>> {
    let (most, longest) = BATCH;
    let (mut chunks, mut chunk, mut length) = (Vec::new(), Vec::new(), 0);
    for mark in items {
        let own = id(&mark.key).map_or(0, length_among_others);
        if chunk.len() == most || length + own > longest {
            chunks.push(std::mem::take(&mut chunk));
            length = 0;
        }
        length += own;
        chunk.push(mark);
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

/// The id of an item.
pub fn id(key: &Key) -> Option<&Id> {
    match key {
        Key::Item(id) => Some(id),
        Key::List => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(key: Key) -> Mark {
        Mark {
            key,
            sequence: 1,
            failures: 0,
            suspect: false,
        }
    }

    fn items(ids: impl Iterator<Item = String>) -> Vec<Mark> {
        ids.map(|id| mark(Key::Item(Id::parse(&id).unwrap())))
            .collect()
    }

    fn lengths(marks: Vec<Mark>) -> Vec<usize> {
        batches(marks).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_batch_has_at_most_a_hundred_ids() {
        assert_eq!(
            lengths(items((0..250).map(|id| id.to_string()))),
            [100, 100, 50]
        );
    }

    #[test]
    fn long_ids_make_smaller_batches() {
        assert_eq!(
            lengths(items((0..65).map(|id| format!("{id:0>128}")))),
            [29, 29, 7]
        );
        let encoded = (0..65).map(|id| format!("{id:0>40}{}", "検".repeat(10)));
        assert_eq!(lengths(items(encoded)), [29, 29, 7]);
    }

    #[test]
    fn the_list_is_a_batch_of_its_own() {
        let mut marks = items((0..2).map(|id| id.to_string()));
        marks.insert(1, mark(Key::List));
        assert_eq!(
            batches(marks)
                .iter()
                .map(|batch| batch[0].key.to_string())
                .collect::<Vec<_>>(),
            ["/articles", "/articles/0"]
        );
        assert_eq!(lengths(Vec::new()), [0; 0]);
    }

    #[test]
    fn suspects_are_apart_from_the_others() {
        let mut marks = items((0..3).map(|id| id.to_string()));
        marks[1].suspect = true;
        assert_eq!(lengths(marks), [2, 1]);
    }
}
