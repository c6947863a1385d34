//! Divides claimed tasks into batches, one request each.

use crate::lease::Claimed;
use afterword::key::{Id, Key};
use afterword::postgrest::query::length_in_list;
use afterword::queue::Task;

/// The maximum number of ids in a request.
pub const MAX_IDS: usize = 100;

/// The maximum number of characters of all ids in a request: gateways refuse long URLs.
const MAX_LENGTH: usize = 4_000;

/// Divides tasks into batches. The list is a separate batch, and left out if a reconciliation will
/// fetch it. Suspects are not in a batch with other tasks.
pub fn batches(tasks: Vec<Claimed>, reconciling: bool) -> Vec<Vec<Claimed>> {
    let (lists, items): (Vec<_>, Vec<_>) = tasks
        .into_iter()
        .partition(|claimed| claimed.task == Task::Refresh(Key::List));
    let (suspects, others): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|claimed| claimed.suspect);
    let lists = lists.into_iter().filter(|_| !reconciling);
    lists
        .map(|list| vec![list])
        .chain(chunks(others))
        .chain(chunks(suspects))
        .collect()
}

fn chunks(items: Vec<Claimed>) -> Vec<Vec<Claimed>> {
    let (mut chunks, mut chunk, mut length) = (Vec::new(), Vec::new(), 0);
    for claimed in items {
        let id: Option<&Id> = claimed.task.key().and_then(Key::id);
        let own = id.map_or(0, length_in_list);
        if chunk.len() == MAX_IDS || length + own > MAX_LENGTH {
            chunks.push(std::mem::take(&mut chunk));
            length = 0;
        }
        length += own;
        chunk.push(claimed);
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn claimed(key: Key) -> Claimed {
        Claimed {
            task: Task::Refresh(key),
            version: "1-1".into(),
            claimed_at: 1,
            failures: 0,
            suspect: false,
            queued_for: Duration::ZERO,
            received_at: Instant::now(),
        }
    }

    fn items(ids: impl Iterator<Item = String>) -> Vec<Claimed> {
        ids.map(|id| claimed(Key::Item(Id::parse(&id).unwrap())))
            .collect()
    }

    fn lengths(tasks: Vec<Claimed>) -> Vec<usize> {
        batches(tasks, false).iter().map(Vec::len).collect()
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
    fn the_list_is_a_separate_batch_or_left_to_a_reconciliation() {
        let tasks = || {
            let mut tasks = items((0..2).map(|id| id.to_string()));
            tasks.insert(1, claimed(Key::List));
            tasks
        };
        let first = |reconciling| {
            batches(tasks(), reconciling)
                .iter()
                .map(|batch| batch[0].task.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(first(false), ["/articles", "/articles/0"]);
        assert_eq!(first(true), ["/articles/0"]);
        assert_eq!(lengths(Vec::new()), [0; 0]);
    }

    #[test]
    fn suspects_are_in_separate_batches() {
        let mut tasks = items((0..3).map(|id| id.to_string()));
        tasks[1].suspect = true;
        assert_eq!(lengths(tasks), [2, 1]);
    }
}
