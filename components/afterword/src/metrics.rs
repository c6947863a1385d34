//! Counters. An instance adds up, and reports the sums to Redis after a response, at most once a
//! second. So a cached read costs no Redis call.
//!
//! On a host that starts an instance for each request, nothing adds up. There, one cached read or
//! refused webhook in 64 is reported, and counts for all of them.
//!
//! The report also checks that a worker is at work, at most once in ten seconds.

use crate::host;
use crate::log::{self, event};
use crate::queue::{self, number, script};
use crate::{variables, wake};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::time::{Duration, Instant};

/// A counter, by its place in [`ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter(usize);

macro_rules! counters {
    ($($(#[$documentation:meta])* $name:ident = $sample:literal;)*) => {
        /// The places of the counters.
        #[expect(non_camel_case_types, reason = "the names of the constants")]
        enum Place { $($name),* }

        $($(#[$documentation])* pub const $name: Counter = Counter(Place::$name as usize);)*

        /// All counters of the components.
        pub const ALL: &[Counter] = &[$($name),*];

        /// Their samples in the Prometheus text format, without the prefix `afterword_`. Redis has
        /// the counters under these names in the hash `metrics`.
        const SAMPLES: [&str; ALL.len()] = [$($sample),*];
    };
}

counters! {
    /// A read was answered from a fresh entry.
    READ_HIT = r#"reads_total{outcome="hit"}"#;
    /// A read was answered from a stale entry, and requested its refresh.
    READ_STALE = r#"reads_total{outcome="stale"}"#;
    /// A read was answered by the origin, since there was no entry that could be served.
    READ_MISS = r#"reads_total{outcome="miss"}"#;
    /// A read got an error from the negative cache.
    READ_NEGATIVE = r#"reads_total{outcome="negative"}"#;
    /// A read got an entry that is too old, because the origin failed.
    READ_STALE_IF_ERROR = r#"reads_total{outcome="stale_if_error"}"#;
    /// A read was answered by the origin, since the store cannot have or return the entry.
    READ_BYPASS = r#"reads_total{outcome="bypass"}"#;
    /// The origin has no such row.
    READ_NOT_FOUND = r#"reads_total{outcome="not_found"}"#;
    /// The origin failed, and there was no entry.
    READ_FAILED = r#"reads_total{outcome="failed"}"#;
    /// A webhook was queued in Redis.
    WEBHOOK_QUEUED = r#"webhooks_total{result="queued"}"#;
    /// A webhook was kept in the outbox, and the worker has queued it. `revalidate` could not report
    /// it while Redis was away.
    WEBHOOK_OUTBOX = r#"webhooks_total{result="outbox"}"#;
    /// A webhook was about another table.
    WEBHOOK_IGNORED = r#"webhooks_total{result="ignored"}"#;
    /// A webhook was refused: 400, 401 or 413.
    WEBHOOK_REFUSED = r#"webhooks_total{result="refused"}"#;
    /// A webhook could not be queued: 503, or 500 for a wrong configuration.
    WEBHOOK_FAILED = r#"webhooks_total{result="failed"}"#;
    /// A reader's request to the origin succeeded.
    READER_REQUEST_OK = r#"origin_requests_total{component="articles",result="success"}"#;
    /// A reader's request to the origin failed.
    READER_REQUEST_FAILED = r#"origin_requests_total{component="articles",result="failure"}"#;
    /// A worker's request to the origin succeeded.
    WORKER_REQUEST_OK = r#"origin_requests_total{component="worker",result="success"}"#;
    /// A worker's request to the origin failed.
    WORKER_REQUEST_FAILED = r#"origin_requests_total{component="worker",result="failure"}"#;
    /// The worker wrote an entry.
    ENTRY_WRITTEN = "entries_written_total";
    /// The worker removed an entry.
    ENTRY_REMOVED = "entries_removed_total";
}

impl Counter {
    /// The sample without the prefix `afterword_`.
    pub const fn sample(self) -> &'static str {
        SAMPLES[self.0]
    }
}

/// The counts of [`ALL`].
type Counts = [u32; ALL.len()];

/// The shortest time between two reports of an instance.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time from a response to the first report. With WASI 0.3, Spin sends the headers of a
/// response alone if a host call follows at once, and the body then waits 40 ms for a delayed ACK.
/// With WASI 0.2, headers and body leave together, and a delay would only keep the instance alive.
const DELAY: Duration = if host::REUSES_INSTANCES {
    Duration::from_millis(100)
} else {
    Duration::ZERO
};

/// What costs no call of Redis, and is not to cost one because it is counted: cached reads, and
/// webhooks that anybody can send.
const SAMPLED: [Counter; 2] = [READ_HIT, WEBHOOK_REFUSED];

/// Without reused instances, one request in this many is reported if it counts nothing but
/// [`SAMPLED`].
const REQUESTS_PER_REPORT: u32 = 64;

/// The time between two checks of an instance, and after a report that failed.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

thread_local! {
    /// What this instance has counted since its last report.
    static COUNTED: RefCell<Counts> = const { RefCell::new([0; ALL.len()]) };
    /// The acknowledgements since then: the event's id, and the milliseconds from its receipt.
    static ACKNOWLEDGED: RefCell<Vec<(i64, u128)>> = const { RefCell::new(Vec::new()) };
    /// Whether a report is scheduled.
    static IS_SCHEDULED: Cell<bool> = const { Cell::new(false) };
    /// When the next report may be sent.
    static NEXT_AT: Cell<Option<Instant>> = const { Cell::new(None) };
    /// When the next check is due.
    static CHECK_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Adds one.
pub fn count(counter: Counter) {
    add(counter, 1);
}

/// Adds several.
pub fn add(counter: Counter, more: u32) {
    COUNTED.with_borrow_mut(|counted| {
        counted[counter.0] = counted[counter.0].saturating_add(more);
    });
}

/// An event has been acknowledged this long after its receipt.
pub fn acknowledged(id: i64, after: Duration) {
    /// More than the status page shows.
    const MAX: usize = 250;
    ACKNOWLEDGED.with_borrow_mut(|acknowledged| {
        if acknowledged.len() < MAX {
            acknowledged.push((id, after.as_millis()));
        }
    });
}

/// Schedules a report of this instance, unless one is scheduled. To be called after each response.
pub fn report_later() {
    let is_reported = host::REUSES_INSTANCES
        || COUNTED.with_borrow_mut(|counted| sample(counted, host::random()));
    if !is_reported || IS_SCHEDULED.replace(true) {
        return;
    }
    let wait = NEXT_AT.get().map_or(DELAY, |at| {
        at.saturating_duration_since(Instant::now()).max(DELAY)
    });
    host::after_response(async move {
        host::sleep(wait).await;
        IS_SCHEDULED.set(false);
        let now = Instant::now();
        NEXT_AT.set(Some(now + INTERVAL));
        let checks = CHECK_AT.get().is_none_or(|at| at <= now);
        if checks {
            CHECK_AT.set(Some(now + CHECK_INTERVAL));
        }
        match report(checks).await {
            Ok(true) => wake::wake().await,
            Ok(false) => {}
            Err(error) => {
                NEXT_AT.set(Some(now + CHECK_INTERVAL));
                let message = "could not report to Redis what was counted";
                log::event(event::NOT_REPORTED, message).error(error).emit();
            }
        }
    });
}

/// Whether to report what a single request has counted. Of those that count nothing but
/// [`SAMPLED`], one in [`REQUESTS_PER_REPORT`] is reported, and counts for the others.
fn sample(counted: &mut Counts, random: u64) -> bool {
    let is_sampled = |at| SAMPLED.contains(&Counter(at));
    let mut others = (0..).zip(&*counted).filter(|(at, _)| !is_sampled(*at));
    if others.any(|(_, count)| *count > 0) {
        return true;
    }
    for counter in SAMPLED {
        counted[counter.0] *= REQUESTS_PER_REPORT;
    }
    random.is_multiple_of(REQUESTS_PER_REPORT.into())
}

/// Reports what this instance has counted. Returns whether the caller has to wake a worker
/// ([`wake`]). If Redis fails, the counts are lost: most instances end before they could try again.
async fn report(checks: bool) -> Result<bool, Box<dyn Error>> {
    let redis = variables::redis().await?;
    let arguments = arguments(checks, &COUNTED.take(), &ACKNOWLEDGED.take());
    let reply = queue::run(&redis, script::REPORT, &arguments).await?;
    Ok(reply.caller_wakes()?)
}

/// Takes what this instance has counted, as arguments of the operation `report`; `None` if it is
/// nothing. For the worker, which has a connection of its own.
pub fn take() -> Option<Vec<Vec<u8>>> {
    let counted = COUNTED.take();
    let is_any = counted.iter().any(|count| *count > 0);
    is_any.then(|| arguments(false, &counted, &[]))
}

fn arguments(checks: bool, counted: &Counts, acknowledged: &[(i64, u128)]) -> Vec<Vec<u8>> {
    let mut arguments = vec![number(u8::from(checks))];
    for (sample, count) in SAMPLES.iter().zip(counted).filter(|(_, count)| **count > 0) {
        arguments.extend([(*sample).into(), number(count)]);
    }
    for (id, ms) in acknowledged {
        arguments.extend([format!("{id}:answered").into_bytes(), number(ms)]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_report_has_the_sums_and_the_acknowledgements() {
        for counter in [READ_HIT, READ_MISS, READ_HIT] {
            count(counter);
        }
        acknowledged(41, Duration::from_millis(3));
        let arguments = arguments(true, &COUNTED.take(), &ACKNOWLEDGED.take());
        let texts: Vec<_> = arguments
            .iter()
            .map(|it| str::from_utf8(it).unwrap())
            .collect();
        let hits = r#"reads_total{outcome="hit"}"#;
        let misses = r#"reads_total{outcome="miss"}"#;
        assert_eq!(texts, ["1", hits, "2", misses, "1", "41:answered", "3"]);
    }

    #[test]
    fn of_single_requests_one_in_64_is_reported_and_counts_for_all() {
        let counts = |counters: &[Counter]| {
            let mut counts = [0; ALL.len()];
            counters.iter().for_each(|counter| counts[counter.0] += 1);
            counts
        };
        for counter in SAMPLED {
            let mut reported = 0;
            for random in 0..640 {
                let mut counted = counts(&[counter]);
                if sample(&mut counted, random) {
                    reported += counted[counter.0];
                }
            }
            assert_eq!(reported, 640);
        }
        let nothing = (0..640).filter(|random| sample(&mut counts(&[]), *random));
        assert_eq!(nothing.count(), 10);
        for others in [&[READ_MISS, READER_REQUEST_OK][..], &[WEBHOOK_FAILED]] {
            let mut counted = counts(others);
            assert!((0..64).all(|random| sample(&mut counted, random)));
            assert_eq!(counted, counts(others));
        }
    }

    #[test]
    fn counters_have_names_of_their_own() {
        let names: HashSet<_> = ALL.iter().map(|counter| counter.sample()).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
