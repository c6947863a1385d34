//! The drain: works on due tasks until none is left. Several requests run at once, and more tasks
//! are claimed while they run, so that a long list does not delay items.

use crate::batches::{MAX_IDS, batches};
use crate::lease::{Claimed, Released};
use crate::listing::{OutboxState, list_store};
use crate::reconcile::Reconciler;
use crate::refresh::Refresher;
use afterword::host;
use afterword::key::Key;
use afterword::log::{self, event};
use afterword::queue::{Error, Task};
use afterword::store;
use futures_util::future::{Either, LocalBoxFuture, select, select_all};
use std::pin::pin;
use std::time::{Duration, Instant};

/// The maximum number of concurrent jobs.
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

/// The end of the worker's time, if the host limits the time of a request. A drain then stops
/// although tasks are due.
#[derive(Clone, Copy, Default)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// The time before the deadline in which no task is claimed any more. A request takes less,
    /// unless the origin is slow. If the host then ends the worker, its tasks stay queued, and its
    /// lease expires.
    const RESERVE: Duration = Duration::from_secs(3);

    /// A deadline after this time.
    pub fn after(time: Duration) -> Self {
        Self(Some(Instant::now() + time))
    }

    /// Whether no task may be claimed any more.
    fn is_near(self) -> bool {
        self.0
            .is_some_and(|at| Instant::now() + Self::RESERVE >= at)
    }

    /// The time that is left; zero without a deadline.
    fn left(self) -> Duration {
        let now = Instant::now();
        self.0
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

/// Works on due tasks until none is left, or until the deadline. Returns the state of the queue;
/// `None` if another worker holds the lease. Every job that has begun runs to its completions in any
/// case: they queue again what was written without the lease.
pub async fn drain(
    refresher: &Refresher<'_>,
    reconciler: &Reconciler<'_>,
    deadline: Deadline,
) -> Result<Option<Released>, Error> {
    let mut jobs = Vec::new();
    let mut drained = run(refresher, reconciler, deadline, &mut jobs).await;
    while !jobs.is_empty() {
        let ((_, result), at, _) = select_all(&mut jobs).await;
        drop(jobs.swap_remove(at));
        drained = drained.and_then(|released| result.map(|()| released));
    }
    drained
}

async fn run<'a>(
    refresher: &'a Refresher<'a>,
    reconciler: &'a Reconciler<'a>,
    deadline: Deadline,
    jobs: &mut Vec<Job<'a>>,
) -> Result<Option<Released>, Error> {
    let (lease, store, failures) = (refresher.lease, reconciler.store, refresher.failures);
    let list = reconciler.list;
    let mut under_way: Vec<Task> = Vec::new();
    let mut reconciliations: Vec<Claimed> = Vec::new();
    // The tasks of the list that were claimed with them.
    let mut of_list: Vec<Claimed> = Vec::new();
    let mut outbox = OutboxState::default();
    let mut upkeep_at: Option<Instant> = None;
    let mut quota_is_logged = false;
    let capacity = &refresher.writer.capacity;
    let mut must_count = capacity.is_limited();
    let max_requests = refresher.writer.settings.limits.requests_per_hour;
    // If writes wait for each other, so would the jobs, and each would fetch a few rows.
    let max_claimed = MAX_CLAIMED.min(refresher.writer.pace.max_under_way());
    let max_jobs = MAX_JOBS.min(max_claimed.div_ceil(MAX_IDS));
    loop {
        let stop = deadline.is_near();
        if upkeep_at.is_none_or(|at| at.elapsed() >= UPKEEP_INTERVAL) {
            upkeep_at = Some(Instant::now());
            reconciler.queue_if_due().await;
            outbox.check(store).await;
            lease.queue.report().await?;
        }
        if !stop && jobs.len() < max_jobs && !outbox.flagged && reconciliations.is_empty() {
            let sent = refresher.origin.take_sent();
            let configuration = &failures.configuration;
            let is_full = capacity.is_full();
            let claim = lease.claim(max_claimed, configuration, sent, max_requests, is_full);
            let Some(claim) = claim.await? else {
                return Ok(None);
            };
            refresher.writer.log_if_full().await;
            if must_count && claim.tasks.iter().any(|claimed| !lists(&claimed.task)) {
                // No job has begun: a listing must be the instance's only call to the store.
                must_count = false;
                match list_store(store, lease.queue, false).await {
                    Ok(listed) => capacity.listed(listed.keys),
                    Err(error) => log_not_listed(&error),
                }
            }
            if let Some(wait) = claim.quota_wait
                && !quota_is_logged
            {
                quota_is_logged = true;
                let message = format!(
                    "`max_requests_per_hour` is used up: the queue waits for {} s",
                    wait.as_secs()
                );
                log::event(event::REQUESTS_USED_UP, message).emit();
            }
            failures.claimed(&claim);
            let mut items = Vec::new();
            let list_is_busy = under_way.iter().any(Task::is_of_list);
            of_list.clear();
            for claimed in claim.tasks {
                match &claimed.task {
                    task if under_way.contains(task) => {}
                    Task::Refresh(Key::Item(_)) => items.push(claimed),
                    // One job at a time: it reads, changes and writes the directory.
                    Task::Refresh(Key::List) | Task::Place(_) if list_is_busy => {}
                    Task::Refresh(Key::List) | Task::Place(_) => of_list.push(claimed),
                    Task::Reconcile | Task::RefreshRelated | Task::Purge => {
                        reconciliations.push(claimed);
                    }
                }
            }
            if !of_list.is_empty() && reconciliations.is_empty() {
                let claimed = std::mem::take(&mut of_list);
                let tasks = tasks(&claimed);
                under_way.extend(tasks.iter().cloned());
                jobs.push(Box::pin(
                    async move { (tasks, list.refresh(claimed).await) },
                ));
            }
            let free = max_jobs.saturating_sub(jobs.len());
            for batch in batches(items).into_iter().take(free) {
                let tasks = tasks(&batch);
                under_way.extend(tasks.iter().cloned());
                jobs.push(Box::pin(
                    async move { (tasks, refresher.refresh(batch).await) },
                ));
            }
        }
        if !stop && jobs.is_empty() && (outbox.flagged || !reconciliations.is_empty()) {
            // A listing must be the instance's only call to the store: see `Store::keys`.
            let claimed = std::mem::take(&mut reconciliations);
            let mut listed = list_store(store, lease.queue, outbox.flagged).await;
            outbox.tried(listed.as_ref().is_ok_and(|listed| listed.outbox_is_empty));
            if let Ok(listed) = &mut listed {
                must_count = false;
                capacity.listed(std::mem::take(&mut listed.keys));
            }
            match listed {
                Ok(listed) if !claimed.is_empty() => {
                    let of_list = std::mem::take(&mut of_list);
                    let mut tasks = tasks(&claimed);
                    tasks.extend(self::tasks(&of_list));
                    // The reconciliation fetches and writes the list.
                    tasks.push(Task::Refresh(Key::List));
                    under_way.extend(tasks.iter().cloned());
                    jobs.push(Box::pin(async move {
                        let reconciled = reconciler.work(claimed, of_list, listed).await;
                        (tasks, reconciled)
                    }));
                }
                Ok(_) => {}
                Err(error) => {
                    log_not_listed(&error);
                    if !claimed.is_empty() {
                        failures.back_off(&claimed, &error.to_string()).await?;
                    }
                }
            }
        } else if jobs.is_empty() {
            let released = lease.release(reconciler.interval(), stop, deadline.left());
            let Some(released) = released.await? else {
                return Ok(None);
            };
            failures.released(&released);
            if !released.kept {
                return Ok(Some(released));
            }
            // A task waits for the next debounce window. Waiting here is cheaper than another
            // wake-up.
            host::sleep(released.wait).await;
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

fn log_not_listed(error: &store::Error) {
    log::event(event::STORE_NOT_LISTED, "could not list the store")
        .error(error)
        .emit();
}

/// Whether a task begins with a listing of the store.
fn lists(task: &Task) -> bool {
    matches!(task, Task::Reconcile | Task::RefreshRelated | Task::Purge)
}

fn tasks(claimed: &[Claimed]) -> Vec<Task> {
    claimed.iter().map(|claimed| claimed.task.clone()).collect()
}
