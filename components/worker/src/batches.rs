//! Divides claimed tasks into batches, one request each.

use crate::lease::Claimed;
use afterword::key::{Id, Key};
use afterword::postgrest::query::length_in_list;

/// The maximum number of ids in a request.
pub const MAX_IDS: usize = 100;

/// The maximum number of characters of all ids in a request: gateways refuse long URLs.
const MAX_LENGTH: usize = 4_000;

/// Divides tasks for items into batches. Suspects are not in a batch with other tasks.
pub fn batches(items: Vec<Claimed>) -> Vec<Vec<Claimed>> {
    let (suspects, others): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|claimed| claimed.suspect);
    let (others, suspects) = (chunks(others), chunks(suspects));
    others.into_iter().chain(suspects).collect()
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
    use afterword::queue::Task;
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
        batches(tasks).iter().map(Vec::len).collect()
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
    fn suspects_are_in_separate_batches() {
        let mut tasks = items((0..3).map(|id| id.to_string()));
        tasks[1].suspect = true;
        assert_eq!(lengths(tasks), [2, 1]);
    }
}
