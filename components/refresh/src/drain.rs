//! Working off what is due: a few requests at once, and a look for more while they are under way, so that a long list holds up no
//! item.

use crate::refresh::Refresh;
use afterword::key::{Id, Key};
use afterword::marks::{self, Mark, Released, Task};
use afterword::outbox;
use afterword::postgrest::length_among_others;
use afterword::store::Store;
use futures_util::future::{Either, LocalBoxFuture, select, select_all};
use std::pin::pin;
use std::time::{Duration, Instant};

/// Requests under way at once.
const AT_ONCE: usize = 8;

/// The most ids in a request, and the most characters that they may have together: gateways refuse a longer URL.
const BATCH: (usize, usize) = (100, 4_000);

/// The most tasks that are claimed at once: what is under way is among them, and a full load beside
/// it.
const CLAIM: usize = 2 * AT_ONCE * BATCH.0;

/// How long after a claim the next look is taken while requests are under way.
const LOOK: Duration = Duration::from_millis(250);

/// How often what belongs to every drain is looked after. Under steady writes a drain has no end.
const UPKEEP: Duration = Duration::from_secs(5);

type Job<'a> = LocalBoxFuture<'a, (Vec<Task>, Result<(), marks::Error>)>;

/// Works off what is due, until nothing is, or the lease is lost. However it ends, each job that
/// has begun comes to its completions, which queue again what was written without the lease.
pub async fn drain(refresh: &Refresh<'_>) -> Result<(), marks::Error> {
    let mut jobs = Vec::new();
    let mut drained = work_off(refresh, &mut jobs).await;
    while !jobs.is_empty() {
        let ((_, outcome), at, _) = select_all(&mut jobs).await;
        drop(jobs.swap_remove(at));
        drained = drained.and(outcome);
    }
    drained
}

async fn work_off<'a>(
    refresh: &'a Refresh<'a>,
    jobs: &mut Vec<Job<'a>>,
) -> Result<(), marks::Error> {
    let mut under_way: Vec<Task> = Vec::new();
    let mut reconciliations: Vec<Mark> = Vec::new();
    let mut outbox = Outbox::default();
    let mut looked_after: Option<Instant> = None;
    loop {
        if looked_after.is_none_or(|at| at.elapsed() >= UPKEEP) {
            looked_after = Some(Instant::now());
            refresh.queue_reconciliation().await;
            outbox.look(refresh.store).await;
        }
        if jobs.len() < AT_ONCE && !outbox.flagged && reconciliations.is_empty() {
            let Some(claim) = refresh.lease.claim(CLAIM, &refresh.setup).await? else {
                return Ok(());
            };
            refresh.probing.set(claim.probing);
            let (new, reconcile) = claim
                .marks
                .into_iter()
                .filter(|mark| !under_way.contains(&mark.task))
                .partition(|mark| matches!(mark.task, Task::Refresh(_)));
            reconciliations = reconcile;
            let free = AT_ONCE - jobs.len();
            for batch in batches(new, !reconciliations.is_empty())
                .into_iter()
                .take(free)
            {
                let tasks = tasks(&batch);
                under_way.extend(tasks.iter().cloned());
                jobs.push(Box::pin(async move { (tasks, refresh.batch(batch).await) }));
            }
        }
        if jobs.is_empty() && (outbox.flagged || !reconciliations.is_empty()) {
            // While a store on this machine lists its keys, it keeps every other call waiting, and
            // the thread with it: an instance that had made one before would wait for ever.
            let marks = std::mem::take(&mut reconciliations);
            let listed = refresh.list_store(outbox.flagged, &marks).await?;
            outbox.tried(listed.outbox_is_empty);
            if let (Some(items), [_, ..]) = (listed.items, &marks[..]) {
                let mut tasks = tasks(&marks);
                // It fetches the list and writes it.
                tasks.push(Task::Refresh(Key::List));
                under_way.extend(tasks.iter().cloned());
                jobs.push(Box::pin(async move {
                    (tasks, refresh.reconcile(marks, items).await)
                }));
            }
        } else if jobs.is_empty() {
            match refresh.lease.release(refresh.reconcile_every()).await? {
                Released::Done => return Ok(()),
                // A task completed a moment ago waits for the next debounce window: waiting here is
                // cheaper than being woken again.
                Released::Kept(wait) => spin_sdk::time::sleep(wait).await,
            }
        } else {
            let next = select_all(jobs.iter_mut());
            let ended = match select(next, pin!(spin_sdk::time::sleep(LOOK))).await {
                Either::Left((((done, outcome), at, _), _)) => Some((done, outcome, at)),
                Either::Right(_) => None,
            };
            if let Some((done, outcome, at)) = ended {
                drop(jobs.swap_remove(at));
                outcome?;
                under_way.retain(|task| !done.contains(task));
            }
        }
    }
}

/// What a drain knows of the outbox.
#[derive(Default)]
struct Outbox {
    /// Something may be in it, which a listing of the store shows.
    flagged: bool,
    /// When it could not be emptied.
    failed: Option<Instant>,
}

impl Outbox {
    /// How long it is left alone after it could not be emptied: listing a large store takes a
    /// while.
    const PAUSE: Duration = Duration::from_secs(60);

    async fn look(&mut self, store: &Store) {
        if self.failed.is_some_and(|at| at.elapsed() < Self::PAUSE) {
            return;
        }
        match outbox::is_flagged(store).await {
            Ok(flagged) => self.flagged |= flagged,
            Err(error) => eprintln!("could not look into the outbox: {error}"),
        }
    }

    fn tried(&mut self, is_empty: bool) {
        self.failed = (!is_empty).then(Instant::now);
        self.flagged = false;
    }
}

fn tasks(marks: &[Mark]) -> Vec<Task> {
    marks.iter().map(|mark| mark.task.clone()).collect()
}

/// Tasks in batches that fit into a request each; the list is one of its own, and left to the
/// reconciliation that is `reconciling`; suspects are apart from the others.
fn batches(marks: Vec<Mark>, reconciling: bool) -> Vec<Vec<Mark>> {
    let (lists, items): (Vec<Mark>, Vec<Mark>) = marks
        .into_iter()
        .partition(|mark| mark.task == Task::Refresh(Key::List));
    let (suspects, others): (Vec<Mark>, Vec<Mark>) =
        items.into_iter().partition(|mark| mark.suspect);
    let lists = lists.into_iter().filter(|_| !reconciling);
    lists
        .map(|list| vec![list])
        .chain(chunks(others))
        .chain(chunks(suspects))
        .collect()
}

fn chunks(items: Vec<Mark>) -> Vec<Vec<Mark>> {
    let (most, longest) = BATCH;
    let (mut chunks, mut chunk, mut length) = (Vec::new(), Vec::new(), 0);
    for mark in items {
        let own = id(&mark.task).map_or(0, length_among_others);
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

/// The id of the item that a task refreshes.
pub fn id(task: &Task) -> Option<&Id> {
    match task {
        Task::Refresh(Key::Item(id)) => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(key: Key) -> Mark {
        Mark {
            task: Task::Refresh(key),
            version: "1-1".into(),
            claimed_at: 1,
            failures: 0,
            suspect: false,
            queued_for: Duration::ZERO,
        }
    }

    fn items(ids: impl Iterator<Item = String>) -> Vec<Mark> {
        ids.map(|id| mark(Key::Item(Id::parse(&id).unwrap())))
            .collect()
    }

    fn lengths(marks: Vec<Mark>) -> Vec<usize> {
        batches(marks, false).iter().map(Vec::len).collect()
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
    fn the_list_is_a_batch_of_its_own_and_left_to_a_reconciliation() {
        let marks = || {
            let mut marks = items((0..2).map(|id| id.to_string()));
            marks.insert(1, mark(Key::List));
            marks
        };
        let first = |reconciling| {
            batches(marks(), reconciling)
                .iter()
                .map(|batch| batch[0].task.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(first(false), ["/articles", "/articles/0"]);
        assert_eq!(first(true), ["/articles/0"]);
        assert_eq!(lengths(Vec::new()), [0; 0]);
    }

    #[test]
    fn suspects_are_apart_from_the_others() {
        let mut marks = items((0..3).map(|id| id.to_string()));
        marks[1].suspect = true;
        assert_eq!(lengths(marks), [2, 1]);
    }
}
