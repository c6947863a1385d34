//! The drain: works on due tasks until none is left. Several requests run at once, and more tasks
//! are claimed while they run, so that a long list does not delay items.

use crate::batches::{MAX_IDS, batches};
use crate::lease::{Claimed, Released};
use crate::listing::{OutboxState, list_store};
use crate::reconcile::Reconciler;
use crate::refresh::Refresher;
use afterword::host;
use afterword::key::Key;
use afterword::queue::{Error, Task};
use futures_util::future::{Either, LocalBoxFuture, select, select_all};
use std::pin::pin;
use std::time::{Duration, Instant};

/// The maximum number of concurrent requests.
const MAX_JOBS: usize = 8;

/// The maximum number of tasks in a claim. A claim includes the tasks that are under way, and
/// should still find a full load beside them.
const MAX_CLAIMED: usize = 2 * MAX_JOBS * MAX_IDS;

/// The interval of claims while requests are under way.
const CLAIM_INTERVAL: Duration = Duration::from_millis(250);

/// The interval of looking for a due reconciliation and into the outbox. Under steady writes a
/// drain does not end.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The tasks of a job, and its result.
type Job<'a> = LocalBoxFuture<'a, (Vec<Task>, Result<(), Error>)>;

/// Works on due tasks until none is left, or until the lease is lost. Every job that
/// has begun runs to its completions, even then: they queue again what was written without the
/// lease.
pub async fn drain(refresher: &Refresher<'_>, reconciler: &Reconciler<'_>) -> Result<(), Error> {
    let mut jobs = Vec::new();
    let mut drained = run(refresher, reconciler, &mut jobs).await;
    while !jobs.is_empty() {
        let ((_, result), at, _) = select_all(&mut jobs).await;
        drop(jobs.swap_remove(at));
        drained = drained.and(result);
    }
    drained
}

async fn run<'a>(
    refresher: &'a Refresher<'a>,
    reconciler: &'a Reconciler<'a>,
    jobs: &mut Vec<Job<'a>>,
) -> Result<(), Error> {
    let (lease, store, failures) = (refresher.lease, reconciler.store, refresher.failures);
    let mut under_way: Vec<Task> = Vec::new();
    let mut reconciliations: Vec<Claimed> = Vec::new();
    let mut outbox = OutboxState::default();
    let mut upkeep_at: Option<Instant> = None;
    loop {
        if upkeep_at.is_none_or(|at| at.elapsed() >= UPKEEP_INTERVAL) {
            upkeep_at = Some(Instant::now());
            reconciler.queue_if_due().await;
            outbox.check(store).await;
        }
        if jobs.len() < MAX_JOBS && !outbox.flagged && reconciliations.is_empty() {
            let claim = lease.claim(MAX_CLAIMED, &failures.configuration).await?;
            let Some(claim) = claim else {
                return Ok(());
            };
            failures.set_probing(claim.probing);
            let (refreshes, reconcile) = claim
                .tasks
                .into_iter()
                .filter(|claimed| !under_way.contains(&claimed.task))
                .partition(|claimed| claimed.task.key().is_some());
            reconciliations = reconcile;
            let batches = batches(refreshes, !reconciliations.is_empty());
            for batch in batches.into_iter().take(MAX_JOBS - jobs.len()) {
                let tasks = tasks(&batch);
                under_way.extend(tasks.iter().cloned());
                jobs.push(Box::pin(
                    async move { (tasks, refresher.refresh(batch).await) },
                ));
            }
        }
        if jobs.is_empty() && (outbox.flagged || !reconciliations.is_empty()) {
            // A listing must be the instance's only call to the store: see `Store::keys`.
            let claimed = std::mem::take(&mut reconciliations);
            let listed = list_store(store, lease.queue, outbox.flagged).await;
            outbox.tried(listed.as_ref().is_ok_and(|listed| listed.outbox_is_empty));
            match listed {
                Ok(listed) if !claimed.is_empty() => {
                    let mut tasks = tasks(&claimed);
                    // The reconciliation fetches and writes the list.
                    tasks.push(Task::Refresh(Key::List));
                    under_way.extend(tasks.iter().cloned());
                    jobs.push(Box::pin(async move {
                        let reconciled = reconciler.reconcile(claimed, listed.items).await;
                        (tasks, reconciled)
                    }));
                }
                Ok(_) => {}
                Err(error) => {
                    eprintln!("could not list the store: {error}");
                    if !claimed.is_empty() {
                        failures.back_off(&claimed, &error.to_string()).await?;
                    }
                }
            }
        } else if jobs.is_empty() {
            match lease.release(reconciler.interval()).await? {
                Released::Done => return Ok(()),
                // A task waits for the next debounce window. Waiting here is cheaper than another
                // wake-up.
                Released::Kept(wait) => host::sleep(wait).await,
            }
        } else {
            let next = select_all(jobs.iter_mut());
            let ended = match select(next, pin!(host::sleep(CLAIM_INTERVAL))).await {
                Either::Left((((done, result), at, _), _)) => Some((done, result, at)),
                Either::Right(_) => None,
            };
            if let Some((done, result, at)) = ended {
                drop(jobs.swap_remove(at));
                result?;
                under_way.retain(|task| !done.contains(task));
            }
        }
    }
}

fn tasks(claimed: &[Claimed]) -> Vec<Task> {
    claimed.iter().map(|claimed| claimed.task.clone()).collect()
}
