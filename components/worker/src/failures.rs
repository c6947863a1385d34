//! Failed requests: backs off tasks, and trips the circuit breaker.

use crate::lease::{Breaker, Claim, Claimed, Lease, Released, Trip, longest_queued};
use crate::retry::{self, Streak};
use afterword::host;
use afterword::log::{self, Keys, event};
use afterword::postgrest::{Blame, Error as OriginError};
use afterword::queue::{Error, Task};
use std::cell::Cell;
use std::time::Duration;

/// A failure that has lasted for this long probably needs the operator.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// The origin's failures, as far as this worker has seen them.
pub struct Failures<'a> {
    lease: &'a Lease<'a>,
    /// A digest of the configuration that decides the origin's responses. The circuit breaker
    /// applies to this configuration.
    pub configuration: String,
    /// Whether the circuit breaker is not closed, so that the next outcome decides.
    probing: Cell<bool>,
    /// The failures in a row.
    streak: Cell<Streak>,
    /// The number of trips. Outcomes of requests from before a trip do not count after it.
    trips: Cell<u32>,
    /// The number of tasks that failed.
    failed: Cell<u32>,
}

impl<'a> Failures<'a> {
    /// No failure yet.
    pub fn new(lease: &'a Lease<'a>, configuration: String) -> Self {
        Self {
            lease,
            configuration,
            probing: Cell::new(false),
            streak: Cell::default(),
            trips: Cell::default(),
            failed: Cell::default(),
        }
    }

    /// The number of trips so far. Read it before a request, and pass it to
    /// [`succeeded`](Self::succeeded): a success from before a trip does not count.
    pub fn trips(&self) -> u32 {
        self.trips.get()
    }

    /// The number of tasks that failed, each as often as it failed.
    pub fn failed(&self) -> u32 {
        self.failed.get()
    }

    fn count_tasks(&self, tasks: &[Claimed]) {
        let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        self.failed.set(self.failed.get().saturating_add(count));
    }

    /// A claim tells whether the circuit breaker is not closed.
    pub fn claimed(&self, claim: &Claim) {
        self.probing.set(claim.probing);
        if claim.closed_breaker {
            log_closed("the configuration changed");
        }
    }

    /// Releasing the lease closes the circuit breaker if no task is left to probe the origin with.
    pub fn released(&self, released: &Released) {
        if released.closed_breaker {
            log_closed("the origin responds again");
        }
    }

    /// A request succeeded that was sent after this number of [`trips`](Self::trips).
    pub async fn succeeded(&self, trips: u32) -> Result<(), Error> {
        self.streak.set(Streak::default());
        if self.probing.get() && self.trips.get() == trips {
            let breaker = self.lease.recovered().await?;
            self.probing.set(breaker == Breaker::Open);
            if breaker == Breaker::JustClosed {
                log_closed("the origin responds again");
            }
        }
        Ok(())
    }

    /// Counts a failed request. Returns whether so many failed in a row that the origin is at
    /// fault, whatever each failure looks like.
    pub fn count(&self, error: &OriginError) -> bool {
        let streak = self.streak.get().and(error);
        self.streak.set(streak);
        error.may_be_the_origins() && streak.is_the_origins(self.probing.get())
    }

    /// Backs off the tasks of a failed request, or trips the circuit breaker, depending on the
    /// error.
    pub async fn handle(&self, tasks: &[Claimed], error: &OriginError) -> Result<(), Error> {
        match error.blame() {
            Blame::Key | Blame::Query => self.back_off(tasks, &error.to_string()).await,
            Blame::Origin | Blame::Configuration => self.trip(tasks, error, false).await,
        }
    }

    /// Trips the circuit breaker; `always`, even if all tasks are suspects.
    pub async fn trip(
        &self,
        tasks: &[Claimed],
        error: &OriginError,
        always: bool,
    ) -> Result<(), Error> {
        self.count_tasks(tasks);
        let why = error.to_string();
        let pause = error
            .is_an_outage()
            .then(|| retry::probe_delay(error.retry_after()));
        let trip = Trip {
            tasks: with_delays(tasks),
            why: &why,
            configuration: &self.configuration,
            pause,
            always,
        };
        let open_for = self.lease.trip(trip).await?;
        if open_for.is_some() {
            self.probing.set(true);
            self.trips.set(self.trips.get() + 1);
            self.streak.set(Streak::default());
        }
        let keys = keys(tasks);
        let line = match open_for {
            Some(open_for) if pause.is_none() && open_for >= STUCK_AFTER => log::event(
                event::STUCK,
                format!(
                    "stuck: could not refresh {keys} for {} s, and this may need a change of the \
                     configuration",
                    open_for.as_secs()
                ),
            ),
            Some(_) => log::event(
                event::BREAKER_TRIPPED,
                format!("could not refresh {keys}, the origin fails"),
            ),
            None => backs_off(tasks),
        };
        line.keys(keys).error(why).ms(longest_queued(tasks)).emit();
        Ok(())
    }

    /// Backs off tasks that failed by their own fault.
    pub async fn back_off(&self, tasks: &[Claimed], why: &str) -> Result<(), Error> {
        self.count_tasks(tasks);
        let line = backs_off(tasks).keys(keys(tasks));
        line.error(why).ms(longest_queued(tasks)).emit();
        self.lease.back_off(with_delays(tasks), why).await
    }
}

fn log_closed(why: &str) {
    let message = format!("{why}: the circuit breaker is closed");
    log::event(event::BREAKER_CLOSED, message).emit();
}

fn with_delays(tasks: &[Claimed]) -> Vec<(Task, Duration)> {
    let with_delay = |claimed: &Claimed| {
        let delay = retry::delay(claimed.failures, host::random());
        (claimed.task.clone(), delay)
    };
    tasks.iter().map(with_delay).collect()
}

/// The log line of tasks that back off.
fn backs_off(tasks: &[Claimed]) -> log::Line {
    let (keys, age) = (keys(tasks), longest_queued(tasks));
    if age >= STUCK_AFTER {
        let seconds = age.as_secs();
        let message = format!(
            "stuck: could not refresh {keys} for {seconds} s, and readers get the stored entries"
        );
        log::event(event::STUCK, message)
    } else {
        let message = format!("could not refresh {keys}, backing off");
        log::event(event::KEY_BACKS_OFF, message)
    }
}

fn keys(tasks: &[Claimed]) -> Keys {
    Keys::of(tasks.iter().map(|claimed| &claimed.task))
}
