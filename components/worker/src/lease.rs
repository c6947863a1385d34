//! The lease, and the operations on the work queue that require it.

use crate::application::Application;
use crate::work_queue::{MAX_TASKS, WorkQueue};
use afterword::host::redis::RedisResult;
use afterword::key::Key;
use afterword::queue::script::{self, Operation};
use afterword::queue::{Error, Reply, Task, milliseconds, number};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// The result of asking for the lease.
pub enum Acquired<'a> {
    /// This worker holds it.
    Lease(Lease<'a>),
    /// Another worker holds it.
    Held,
    /// Another application uses this prefix.
    Refused {
        /// Its [`Application::origin`].
        origin: String,
        /// When the prefix becomes free, unless the other application gives a sign of life.
        free_in: Duration,
    },
}

/// A claimed task, as it was before the fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The task.
    pub task: Task,
    /// Its version; empty if Redis has none.
    pub version: String,
    /// The time of the claim, in milliseconds by Redis's clock.
    pub claimed_at: i64,
    /// Its failures since it was last completed.
    pub failures: u32,
    /// Its request failed while the origin answered others. A failure that looks like the origin's
    /// is probably its own.
    pub suspect: bool,
    /// How long it had been queued.
    pub queued_for: Duration,
    /// When this worker received it.
    pub received_at: Instant,
}

/// How long the task that was queued first has been queued by now.
pub fn longest_queued(claimed: &[Claimed]) -> Duration {
    let queued = claimed
        .iter()
        .map(|claimed| claimed.queued_for + claimed.received_at.elapsed());
    queued.max().unwrap_or_default()
}

/// The result of a claim.
pub struct Claim {
    /// The due tasks, longest due first.
    pub tasks: Vec<Claimed>,
    /// Whether the circuit breaker is not closed, so that the next outcome decides.
    pub probing: bool,
    /// The time until `max_requests_per_hour` allows the next request; `None` if it allows one now.
    pub quota_wait: Option<Duration>,
    /// This claim closed the circuit breaker, because another configuration had tripped it.
    pub closed_breaker: bool,
}

/// The circuit breaker after a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// It lets more tasks through, but not all.
    Open,
    /// This success has closed it.
    JustClosed,
    /// It was closed before.
    Closed,
}

/// What a reconciliation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The number of stored entries.
    pub entries: usize,
    /// Their bytes.
    pub bytes: usize,
    /// The number of those that differed from the table.
    pub outdated: usize,
    /// The number of those that had expired, and were removed.
    pub evicted: usize,
}

/// The result of releasing the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// The lease is kept, because a task becomes due soon.
    pub kept: bool,
    /// The time until the next task or reconciliation.
    pub wait: Duration,
    /// The number of tasks that could be claimed now.
    pub due: u64,
    /// Whether this worker has to wake the next one after `wait`, because the host has no Redis
    /// trigger.
    pub wakes: bool,
    /// This release closed the circuit breaker: the last request succeeded, and no task is left.
    pub closed_breaker: bool,
}

/// The exclusive right to write entries. It expires after 15 s unless it is renewed.
pub struct Lease<'a> {
    /// The work queue.
    pub queue: &'a WorkQueue,
    token: Vec<u8>,
    /// The last time at which Redis confirmed that this worker holds it.
    confirmed_at: Cell<Instant>,
    /// The number of completed tasks.
    completed: Cell<u32>,
}

impl<'a> Lease<'a> {
    /// The interval of renewals.
    pub const RENEW_INTERVAL: Duration = Duration::from_secs(5);

    /// Asks for the lease. `by_expiry`: Redis's report of an expired key woke the worker.
    pub async fn acquire(
        queue: &'a WorkQueue,
        application: &Application,
        by_expiry: bool,
    ) -> Result<Acquired<'a>, Error> {
        let arguments = [
            application.store.clone().into_bytes(),
            application.origin.clone().into_bytes(),
            number(u8::from(by_expiry)),
        ];
        let reply = queue.run(script::ACQUIRE, &arguments).await?;
        Ok(match reply.list() {
            [RedisResult::Nil] => Acquired::Held,
            [RedisResult::Binary(origin), RedisResult::Int64(free_in)] => Acquired::Refused {
                origin: String::from_utf8_lossy(origin).into_owned(),
                free_in: Duration::from_millis(free_in.unsigned_abs()),
            },
            _ => Acquired::Lease(Self {
                queue,
                token: reply.text()?.to_vec(),
                confirmed_at: Cell::new(Instant::now()),
                completed: Cell::default(),
            }),
        })
    }

    /// Renews the lease for 15 s. Returns false if another worker holds it.
    pub async fn renew(&self) -> Result<bool, Error> {
        let asked_at = Instant::now();
        let held = self.run(script::RENEW, Vec::new()).await?.integer()? == 1;
        if held {
            self.confirmed_at.set(asked_at);
        }
        Ok(held)
    }

    /// Whether this worker holds the lease now. Must be checked directly before each write: a
    /// worker that was suspended for longer than its lease must not write what it fetched before.
    pub async fn permits_write(&self) -> Result<bool, Error> {
        // Renewing is unnecessary directly after a completion.
        const RECENT: Duration = Duration::from_millis(100);
        if self.confirmed_at.get().elapsed() < RECENT {
            return Ok(true);
        }
        self.renew().await
    }

    /// Claims up to `limit` due tasks; `None` if the lease is lost. While the circuit
    /// breaker is open, claims one task every 5 s. `configuration` is a digest of the configuration
    /// that decides the origin's responses. `sent` is the number of requests since the last claim,
    /// `max_requests` their limit for an hour. `is_full`: the store has no room for more keys.
    ///
    /// A name that Afterword did not write is removed, because it would stay due forever.
    pub async fn claim(
        &self,
        limit: usize,
        configuration: &str,
        sent: u32,
        max_requests: Option<u32>,
        is_full: Option<bool>,
    ) -> Result<Option<Claim>, Error> {
        let arguments = vec![
            number(limit),
            configuration.into(),
            number(sent),
            number(max_requests.unwrap_or(0)),
            is_full.map_or_else(Vec::new, |is_full| number(u8::from(is_full))),
        ];
        let reply = self.run(script::CLAIM, arguments).await?;
        if reply.is_nil() {
            return Ok(None);
        }
        let [
            RedisResult::Int64(now),
            RedisResult::Int64(probing),
            RedisResult::Int64(quota_wait),
            RedisResult::Int64(closed),
            claimed @ ..,
        ] = reply.list()
        else {
            return Err(Error::Reply);
        };
        let tasks = self.claimed(*now, claimed).await?;
        Ok(Some(Claim {
            tasks,
            probing: *probing == 1,
            quota_wait: (*quota_wait > 0).then(|| Duration::from_millis(quota_wait.unsigned_abs())),
            closed_breaker: *closed == 1,
        }))
    }

    /// The claimed tasks in a reply.
    async fn claimed(&self, now: i64, reply: &[RedisResult]) -> Result<Vec<Claimed>, Error> {
        let (mut tasks, received_at) = (Vec::new(), Instant::now());
        for claimed in reply.chunks(5) {
            let [
                RedisResult::Binary(name),
                RedisResult::Binary(version),
                RedisResult::Int64(failures),
                RedisResult::Int64(suspect),
                RedisResult::Int64(queued_for),
            ] = claimed
            else {
                return Err(Error::Reply);
            };
            match str::from_utf8(name).ok().and_then(Task::parse) {
                Some(task) => tasks.push(Claimed {
                    task,
                    version: String::from_utf8_lossy(version).into_owned(),
                    claimed_at: now,
                    failures: u32::try_from(*failures).unwrap_or(u32::MAX),
                    suspect: *suspect == 1,
                    queued_for: Duration::from_millis(queued_for.unsigned_abs()),
                    received_at,
                }),
                None => drop(self.run(script::FORGET, vec![name.clone()]).await?),
            }
        }
        Ok(tasks)
    }

    /// Completes tasks: the store holds content that was fetched after the claim. A task stays
    /// queued if it was invalidated since, or less than `replica_lag` before the claim. If the
    /// lease is lost, the tasks are queued again.
    pub async fn complete(&self, claimed: &[Claimed], replica_lag: Duration) -> Result<(), Error> {
        for claimed in claimed.chunks(MAX_TASKS) {
            let mut arguments = vec![milliseconds(replica_lag)];
            for claimed in claimed {
                arguments.extend([
                    name(&claimed.task),
                    claimed.version.clone().into_bytes(),
                    number(claimed.claimed_at),
                ]);
            }
            let asked_at = Instant::now();
            let outcomes = self.run(script::COMPLETE, arguments).await?;
            let is_lost = |outcome: &RedisResult| match outcome {
                RedisResult::Binary(outcome) => outcome == b"lost",
                _ => false,
            };
            if !outcomes.list().iter().any(is_lost) {
                self.confirmed_at.set(asked_at);
                let count = u32::try_from(claimed.len()).unwrap_or(u32::MAX);
                self.completed
                    .set(self.completed.get().saturating_add(count));
            }
        }
        Ok(())
    }

    /// Lets the list's task take over from the claimed tasks of its places. Returns the list's task
    /// if it is due, as claimed in their stead.
    pub async fn fold(&self, places: &[Claimed]) -> Result<Vec<Claimed>, Error> {
        let mut list = Vec::new();
        for places in places.chunks(MAX_TASKS) {
            let mut arguments = vec![name(&Task::Refresh(Key::List))];
            arguments.extend(places.iter().map(|place| name(&place.task)));
            let reply = self.run(script::FOLD, arguments).await?;
            list = match reply.list() {
                [RedisResult::Int64(now), claimed @ ..] => self.claimed(*now, claimed).await?,
                // The lease is lost.
                _ => return Ok(Vec::new()),
            };
        }
        Ok(list)
    }

    /// The number of tasks that this worker has completed.
    pub fn completed(&self) -> u32 {
        self.completed.get()
    }

    /// Delays tasks that failed by their own fault, each by its delay. If another worker holds the
    /// lease, the tasks are queued again.
    pub async fn back_off(&self, tasks: Vec<(Task, Duration)>, why: &str) -> Result<(), Error> {
        let mut arguments = vec![why.into()];
        arguments.extend(with_delays(tasks));
        self.run(script::BACK_OFF, arguments).await?;
        Ok(())
    }

    /// Trips the circuit breaker. Returns for how long it has been open, or `None` if it stays
    /// closed because all tasks are suspects: those back off alone, each by its delay, unless
    /// `always`.
    pub async fn trip(&self, trip: Trip<'_>) -> Result<Option<Duration>, Error> {
        let mut arguments = vec![
            trip.why.into(),
            trip.configuration.into(),
            milliseconds(trip.pause.unwrap_or_default()),
            number(u8::from(trip.always)),
        ];
        arguments.extend(with_delays(trip.tasks));
        let reply = self.run(script::TRIP, arguments).await?;
        if reply.is_nil() {
            return Ok(None);
        }
        let open_for = u64::try_from(reply.integer()?).ok();
        Ok(open_for.map(Duration::from_millis))
    }

    /// Reports a success while the circuit breaker is not closed. Of concurrent successes, one
    /// closes it.
    pub async fn recovered(&self) -> Result<Breaker, Error> {
        Ok(
            match self.run(script::RECOVERED, Vec::new()).await?.integer()? {
                0 => Breaker::Open,
                1 => Breaker::JustClosed,
                _ => Breaker::Closed,
            },
        )
    }

    /// Queues a reconciliation if the last one is `interval` old or had another configuration.
    pub async fn queue_reconciliation(
        &self,
        interval: Duration,
        configuration: &str,
    ) -> Result<(), Error> {
        let arguments = vec![milliseconds(interval), configuration.into()];
        self.run(script::QUEUE_RECONCILIATION, arguments).await?;
        Ok(())
    }

    /// Records a reconciliation that began `ago`, and what it found.
    pub async fn reconciled(
        &self,
        ago: Duration,
        configuration: &str,
        found: Found,
    ) -> Result<(), Error> {
        let arguments = vec![
            milliseconds(ago),
            configuration.into(),
            number(found.entries),
            number(found.bytes),
            number(found.outdated),
            number(found.evicted),
        ];
        self.run(script::RECONCILED, arguments).await?;
        Ok(())
    }

    /// Releases the lease and sets the alarm to the next task or reconciliation. Keeps the lease if
    /// a task becomes due soon, unless `stop`. `patience` is the time that the caller could wait in
    /// order to wake the next worker. Returns `None` if another worker holds the lease.
    pub async fn release(
        &self,
        reconcile_interval: Duration,
        stop: bool,
        patience: Duration,
    ) -> Result<Option<Released>, Error> {
        let arguments = vec![
            milliseconds(reconcile_interval),
            number(u8::from(stop)),
            milliseconds(patience),
        ];
        let reply = self.run(script::RELEASE, arguments).await?;
        if reply.is_nil() {
            return Ok(None);
        }
        let [
            RedisResult::Int64(kept),
            RedisResult::Int64(wait),
            RedisResult::Int64(due),
            RedisResult::Int64(wakes),
            RedisResult::Int64(closed),
        ] = reply.list()
        else {
            return Err(Error::Reply);
        };
        Ok(Some(Released {
            kept: *kept == 1,
            wait: Duration::from_millis(wait.unsigned_abs()),
            due: due.unsigned_abs(),
            wakes: *wakes == 1,
            closed_breaker: *closed == 1,
        }))
    }

    /// Runs an operation whose first argument is the lease's token.
    async fn run(&self, operation: Operation, mut arguments: Vec<Vec<u8>>) -> Result<Reply, Error> {
        arguments.insert(0, self.token.clone());
        self.queue.run(operation, &arguments).await
    }
}

/// A trip of the circuit breaker.
pub struct Trip<'a> {
    /// The tasks that failed, each with its own delay in case it is a suspect.
    pub tasks: Vec<(Task, Duration)>,
    /// The error.
    pub why: &'a str,
    /// A digest of the configuration that failed.
    pub configuration: &'a str,
    /// The time until the next request; with `None`, a second, doubling with each trip in a row.
    pub pause: Option<Duration>,
    /// Trip even if all tasks are suspects: too many requests failed in a row.
    pub always: bool,
}

fn with_delays(tasks: Vec<(Task, Duration)>) -> impl Iterator<Item = Vec<u8>> {
    tasks
        .into_iter()
        .flat_map(|(task, delay)| [name(&task), milliseconds(delay)])
}

fn name(task: &Task) -> Vec<u8> {
    task.to_string().into_bytes()
}
