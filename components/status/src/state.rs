//! The state of the application, as Redis's script and the key-value store report it.
//!
//! What lies in Redis may be foreign: every member is optional, and a value that cannot be read
//! counts as missing.

use crate::snapshot::{
    Breaker, BreakerState, Event, EventState, KeyState, Lag, Part, Parts, Queue, QueuedKey,
    Reconciliation, Snapshot, Source, State,
};
use afterword::host;
use afterword::limit::limit;
use afterword::outbox;
use afterword::queue::script::{self, Operation};
use afterword::queue::{self, Reply};
use afterword::store::Store;
use afterword::variables;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// The time limit of the script. It is generous: the state may be large, and nobody's read waits.
const REDIS_LIMIT: Duration = Duration::from_secs(2);

/// The time limit of the look into the store.
const STORE_LIMIT: Duration = Duration::from_secs(1);

/// After this long without an expired key, Redis does not report them. The alarm expires every
/// minute at least. The same duration as `ALIVE_TTL` in `worker.lua`.
const SILENCE: u64 = 150_000;

/// The minutes of the lag's history.
const LAG_MINUTES: u64 = 60;

/// A hash of Redis.
pub type Fields = HashMap<String, String>;

/// What the script reports.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Redis's clock.
    pub now: f64,
    /// The number of tasks in each state.
    pub counts: HashMap<String, f64>,
    /// How long the task that has been queued longest has been queued.
    pub lag: f64,
    tasks: Value,
    events: Value,
    minutes: Fields,
    /// The circuit breaker; empty while it is closed.
    pub breaker: Fields,
    /// What the parts did last.
    pub health: Fields,
    /// 1 if a worker has given a sign of life.
    pub alive: f64,
    /// The counters.
    pub metrics: Fields,
    uptime: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Task {
    name: String,
    state: String,
    suspect: bool,
    at: f64,
    queued: f64,
    failures: Option<String>,
    failure: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RecordedEvent {
    id: String,
    received: String,
    source: String,
    count: String,
    tasks: Value,
    state: String,
    failure: Option<String>,
    fresh: Option<String>,
    answered: Option<String>,
}

/// What the key-value store reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreState {
    /// It responds.
    pub is_up: bool,
    /// The outbox is not empty.
    pub outbox_pending: bool,
    /// Since when the outbox has not been empty, in milliseconds since 1970.
    pub outbox_since: Option<u64>,
}

impl StoreState {
    /// Asks the store.
    pub async fn read() -> Self {
        let pending = limit(STORE_LIMIT, async {
            outbox::pending(&Store::open().await?).await
        });
        let pending = pending.await.ok().and_then(Result::ok);
        Self {
            is_up: pending.is_some(),
            outbox_pending: matches!(pending, Some(Some(_))),
            outbox_since: pending.flatten().flatten(),
        }
    }
}

/// Runs an operation of the script that returns its report as JSON: `status`, `metrics` or `event`.
///
/// # Errors
/// Redis does not respond, in words for the operator.
pub async fn report(operation: Operation, arguments: &[Vec<u8>]) -> Result<Option<Report>, String> {
    let redis = variables::redis()
        .await
        .map_err(|error| error.to_string())?;
    let reply = queue::run_within(REDIS_LIMIT, &redis, operation, arguments).await;
    let reply = reply.map_err(|error| error.to_string())?;
    if reply.is_nil() {
        return Ok(None);
    }
    let unexpected = |_| "Redis: the script returned an unexpected reply".to_owned();
    parse(&reply).map(Some).map_err(unexpected)
}

fn parse(reply: &Reply) -> Result<Report, serde_json::Error> {
    // Keys and errors in Redis may be any bytes.
    let text = String::from_utf8_lossy(reply.text().unwrap_or_default());
    serde_json::from_str(&text)
}

/// The whole state. `has_trigger`: the host has a Redis trigger.
pub async fn snapshot(has_trigger: bool) -> Snapshot {
    let redis = report(script::STATUS, &[]).await;
    let redis = redis.and_then(|report| report.ok_or_else(|| "Redis: no reply".to_owned()));
    let store = StoreState::read().await;
    build(redis, store, has_trigger, host::now())
}

fn build(
    redis: Result<Report, String>,
    store: StoreState,
    has_trigger: bool,
    host_now: u64,
) -> Snapshot {
    let now = redis.as_ref().map_or(host_now, |report| whole(report.now));
    let parts = Parts {
        redis: redis_part(&redis, store),
        store: store_part(store, redis.as_ref().ok()),
        supabase: redis
            .as_ref()
            .map_or_else(|_| unknown(REDIS_KNOWS), supabase),
        worker: redis.as_ref().map_or_else(|_| unknown(REDIS_KNOWS), worker),
        keyspace_events: match &redis {
            _ if !has_trigger => Part {
                state: State::Absent,
                since: None,
                detail: "This host has no Redis trigger. Webhooks, readers and a scheduler wake \
                         the worker."
                    .to_owned(),
            },
            Ok(report) => keyspace_events(report),
            Err(_) => unknown(REDIS_KNOWS),
        },
        outbox: outbox_part(store),
    };
    let report = redis.ok();
    Snapshot {
        now,
        parts,
        queue: report.as_ref().map(queue),
        breaker: report.as_ref().map(breaker),
        lag: report.as_ref().map(lag),
        reconciliation: report.as_ref().and_then(reconciliation),
        events: report.as_ref().map(events).unwrap_or_default(),
    }
}

/// Why a part is unknown while Redis is away.
const REDIS_KNOWS: &str = "Redis knows, but does not respond.";

fn unknown(detail: &str) -> Part {
    Part {
        state: State::Unknown,
        since: None,
        detail: detail.to_owned(),
    }
}

fn redis_part(redis: &Result<Report, String>, store: StoreState) -> Part {
    match redis {
        Ok(report) => Part {
            state: State::Up,
            since: report
                .uptime
                .map(|uptime| whole(report.now).saturating_sub(whole(uptime * 1_000.0))),
            detail: "It holds the work queue.".to_owned(),
        },
        Err(error) => Part {
            state: State::Down,
            since: store.outbox_since,
            detail: format!(
                "{}. Readers get what is stored, and webhooks wait in the outbox.",
                error.trim_end_matches('.')
            ),
        },
    }
}

fn store_part(store: StoreState, report: Option<&Report>) -> Part {
    let is_full = report.is_some_and(|report| field(&report.health, "full_at").is_some());
    let (state, detail) = if !store.is_up {
        let why = "It does not respond. Readers are served from Supabase.";
        (State::Down, why)
    } else if is_full {
        let why = "It holds as many entries as `max_keys` allows. Other reads go to Supabase.";
        (State::Up, why)
    } else {
        (State::Up, "It holds the entries.")
    };
    Part {
        state,
        since: None,
        detail: detail.to_owned(),
    }
}

fn outbox_part(store: StoreState) -> Part {
    let (state, detail) = match store {
        StoreState { is_up: false, .. } => {
            return unknown("The key-value store holds it, but does not respond.");
        }
        StoreState {
            outbox_pending: true,
            ..
        } => (
            State::Down,
            "It holds webhooks that Redis did not accept. The worker queues them once Redis is \
             back.",
        ),
        _ => (State::Up, "It is empty."),
    };
    Part {
        state,
        since: store.outbox_since,
        detail: detail.to_owned(),
    }
}

fn supabase(report: &Report) -> Part {
    let breaker = breaker(report);
    match breaker.state {
        BreakerState::Closed => match field(&report.health, "origin_since") {
            Some(since) => Part {
                state: State::Up,
                since: Some(since),
                detail: "It answers the worker's requests.".to_owned(),
            },
            None => unknown("The worker has sent it no request yet."),
        },
        BreakerState::Open => Part {
            state: State::Down,
            since: breaker.since,
            detail: breaker.error.unwrap_or_default(),
        },
        BreakerState::HalfOpen => Part {
            state: State::Up,
            since: None,
            detail: "It answers again. The worker sends it twice as many requests each time."
                .to_owned(),
        },
    }
}

fn worker(report: &Report) -> Part {
    let field = |name| field(&report.health, name);
    if report.alive > 0.0 {
        return Part {
            state: State::Up,
            since: field("worker_since"),
            detail: "It refreshes what is queued.".to_owned(),
        };
    }
    Part {
        state: State::Down,
        since: field("worker_at"),
        detail:
            "It has given no sign of life for 150 s. Start it, or see why it ends; queued keys \
                 wait for it."
                .to_owned(),
    }
}

fn keyspace_events(report: &Report) -> Part {
    let field = |name| field(&report.health, name);
    let now = whole(report.now);
    let is_recent = |at: u64| now.saturating_sub(at) <= SILENCE;
    if report.alive == 0.0 {
        return unknown("Only a worker can tell.");
    }
    match (field("expired_at"), field("worker_since")) {
        (Some(at), _) if is_recent(at) => Part {
            state: State::Up,
            since: field("expired_since"),
            detail: "Redis reports expired keys, which wake the worker for retries.".to_owned(),
        },
        (_, Some(since)) if is_recent(since) => {
            unknown("The worker has just started. Within a minute, a key expires.")
        }
        (at, _) => Part {
            state: State::Down,
            since: at,
            detail: "Redis does not report expired keys. Set `notify-keyspace-events` to `Kx`; \
                     until then, retries wait for the next webhook, read or wake-up."
                .to_owned(),
        },
    }
}

fn queue(report: &Report) -> Queue {
    let count = |name: &str| whole(report.counts.get(name).copied().unwrap_or_default());
    let now = whole(report.now);
    Queue {
        total: count("total"),
        due: count("due"),
        claimed: count("claimed"),
        waiting: count("waiting"),
        backing_off: count("backing_off"),
        suspects: count("suspects"),
        paused_ms: count("paused"),
        keys: elements::<Task>(&report.tasks)
            .map(|task| QueuedKey {
                state: match task.state.as_str() {
                    "claimed" => KeyState::Claimed,
                    "waiting" => KeyState::Waiting,
                    "backing_off" => KeyState::BackingOff,
                    _ => KeyState::Due,
                },
                key: task.name,
                suspect: task.suspect,
                queued_ms: whole(task.queued),
                attempts: number(task.failures.as_deref()).unwrap_or_default(),
                next_ms: whole(task.at).saturating_sub(now),
                error: task.failure,
            })
            .collect(),
    }
}

/// The circuit breaker.
pub fn breaker(report: &Report) -> Breaker {
    let field = |name| field(&report.breaker, name);
    let Some(probe) = field("probe") else {
        return Breaker {
            state: BreakerState::Closed,
            since: None,
            error: None,
            next_probe_at: None,
        };
    };
    let is_half_open = field("allowed").is_some();
    Breaker {
        state: if is_half_open {
            BreakerState::HalfOpen
        } else {
            BreakerState::Open
        },
        since: field("opened_at"),
        error: report.breaker.get("why").cloned(),
        next_probe_at: Some(probe),
    }
}

fn lag(report: &Report) -> Lag {
    let now = whole(report.now);
    let now_ms = whole(report.lag);
    let recorded = report.minutes.iter().filter_map(|(minute, most)| {
        let (minute, most): (u64, u64) = (minute.parse().ok()?, most.parse().ok()?);
        // The minute's end, or now.
        Some((((minute + 1) * 60_000).min(now), most))
    });
    let mut observed: Vec<(u64, u64)> = recorded.filter(|(at, _)| *at <= now).collect();
    observed.push((now, now_ms));
    Lag {
        now_ms,
        minutes_ms: minutes(now, &observed),
    }
}

/// The largest lag of each minute. `observed` are times and how long a key had been queued at each:
/// at an earlier time, the same key had been queued for less.
fn minutes(now: u64, observed: &[(u64, u64)]) -> Vec<u64> {
    let this_minute = now / 60_000;
    (0..LAG_MINUTES)
        .rev()
        .map(|ago| {
            let end = ((this_minute + 1).saturating_sub(ago) * 60_000).min(now);
            let at_end = observed
                .iter()
                .filter(|(at, _)| *at >= end)
                .map(|(at, lag)| lag.saturating_sub(at - end));
            at_end.max().unwrap_or_default()
        })
        .collect()
}

fn reconciliation(report: &Report) -> Option<Reconciliation> {
    let field = |name| field(&report.health, name);
    Some(Reconciliation {
        at: field("reconciled_at")?,
        took_ms: field("reconciled_ms")?,
        entries: field("entries")?,
        bytes: field("bytes")?,
        outdated: field("outdated")?,
        evicted: field("evicted")?,
    })
}

/// The events, in the order of the report.
pub fn events(report: &Report) -> Vec<Event> {
    let event = |event: RecordedEvent| {
        let received_at = event.received.parse().ok()?;
        let fresh_at = number(event.fresh.as_deref());
        Some(Event {
            id: event.id.parse().ok()?,
            source: match event.source.as_str() {
                "outbox" => Source::Outbox,
                "status" => Source::Status,
                _ => Source::Webhook,
            },
            received_at,
            acknowledged_ms: number(event.answered.as_deref()),
            fresh_ms: fresh_at.map(|at| at.saturating_sub(received_at)),
            state: match event.state.as_str() {
                "fresh" => EventState::Fresh,
                "claimed" => EventState::Fetching,
                "failing" => EventState::Failing,
                _ => EventState::Queued,
            },
            error: event.failure,
            keys: elements(&event.tasks).collect(),
            key_count: event.count.parse().ok()?,
        })
    };
    elements(&report.events).filter_map(event).collect()
}

/// The elements of an array that have the right type. Lua's empty array is an object.
fn elements<T: for<'a> Deserialize<'a>>(value: &Value) -> impl Iterator<Item = T> {
    let elements = value.as_array().map(Vec::as_slice).unwrap_or_default();
    elements
        .iter()
        .filter_map(|element| T::deserialize(element).ok())
}

/// A whole number in a hash.
pub fn field(fields: &Fields, name: &str) -> Option<u64> {
    // Redis's scores may have a fraction.
    let number: f64 = fields.get(name)?.parse().ok()?;
    number.is_finite().then(|| whole(number))
}

fn number(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}

/// A number of Lua's as a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates"
)]
pub fn whole(number: f64) -> u64 {
    number as u64
}
