//! What the application does now: the content of `GET /status`.
//!
//! Times are in milliseconds: `…_at` and `since` since 1970, `…_ms` as durations.

use serde::{Deserialize, Serialize};

/// The state of the application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The time of the snapshot by Redis's clock; while Redis is away, by the host's.
    pub now: u64,
    /// The parts that the application needs.
    pub parts: Parts,
    /// The work queue; `null` while Redis is away.
    pub queue: Option<Queue>,
    /// The circuit breaker; `null` while Redis is away.
    pub breaker: Option<Breaker>,
    /// How far the cache is behind; `null` while Redis is away.
    pub lag: Option<Lag>,
    /// The last reconciliation; `null` before the first one, and while Redis is away.
    pub reconciliation: Option<Reconciliation>,
    /// The last 200 webhooks and requests from the status page, newest first.
    pub events: Vec<Event>,
}

/// The parts that the application needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// The Redis of the work queue.
    pub redis: Part,
    /// The key-value store.
    pub store: Part,
    /// The origin, as the worker has seen it last.
    pub supabase: Part,
    /// The worker: `up` if it has given a sign of life within 150 s.
    pub worker: Part,
    /// Whether Redis reports expired keys, which wakes the worker for retries.
    pub keyspace_events: Part,
    /// The outbox: `up` while it is empty.
    pub outbox: Part,
}

/// One part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Whether it works.
    pub state: State,
    /// Since when it has been in this state; `null` if unknown.
    pub since: Option<u64>,
    /// One sentence for people: what that means, or what to do.
    pub detail: String,
}

/// Whether a part works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works.
    Up,
    /// It does not.
    Down,
    /// Nothing has needed it yet, or nobody can tell.
    Unknown,
    /// This host does not have it.
    Absent,
}

/// The work queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// The number of queued keys.
    pub total: u64,
    /// Those that are due and not claimed.
    pub due: u64,
    /// Those that a worker has claimed.
    pub claimed: u64,
    /// Those that wait for a debounce window or for the origin's replicas.
    pub waiting: u64,
    /// Those that wait for a retry.
    pub backing_off: u64,
    /// Those whose request fails while others succeed. They are also counted in another state.
    pub suspects: u64,
    /// How long no request may be sent, because `max_requests_per_hour` is used up; 0 otherwise.
    pub paused_ms: u64,
    /// The keys that have been queued longest, at most 100.
    pub keys: Vec<QueuedKey>,
}

/// A key in the work queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueuedKey {
    /// A path, or the name of a task: `reconcile`, `related` or `purge`.
    pub key: String,
    /// What it waits for.
    pub state: KeyState,
    /// Whether its request fails while others succeed.
    pub suspect: bool,
    /// How long it has been queued.
    pub queued_ms: u64,
    /// Its failed attempts.
    pub attempts: u64,
    /// The time until its next attempt; 0 if it is due.
    pub next_ms: u64,
    /// Its last error; `null` if no attempt has failed.
    pub error: Option<String>,
}

/// What a queued key waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// A worker.
    Due,
    /// Supabase's response: a worker has claimed it.
    Claimed,
    /// A debounce window, or the origin's replicas.
    Waiting,
    /// Its next attempt.
    BackingOff,
}

/// The circuit breaker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    /// Its state.
    pub state: BreakerState,
    /// Since when it has not been closed.
    pub since: Option<u64>,
    /// The error that tripped it.
    pub error: Option<String>,
    /// When Supabase may get the next request.
    pub next_probe_at: Option<u64>,
}

/// A circuit breaker's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// All requests are sent.
    Closed,
    /// One request is sent at `next_probe_at`.
    Open,
    /// A request has succeeded; twice as many follow each time.
    HalfOpen,
}

/// How far the cache is behind the table: the age of the oldest change that readers do not see yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    /// Now.
    pub now_ms: u64,
    /// The largest lag of each of the last 60 minutes, oldest first; the last one is the current
    /// minute.
    pub minutes_ms: Vec<u64>,
}

/// A comparison of the stored entries with the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// When it ended.
    pub at: u64,
    /// How long it took.
    pub took_ms: u64,
    /// The number of stored entries.
    pub entries: u64,
    /// The bytes of the stored entries.
    pub bytes: u64,
    /// The number of entries that differed from the table, and were queued.
    pub outdated: u64,
    /// The number of entries that had not been read for long, and were removed.
    pub evicted: u64,
}

/// A webhook, or a request from the status page, on its way to the cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The `id` of its acknowledgement.
    pub id: u64,
    /// Where it came from.
    pub source: Source,
    /// When it was received.
    pub received_at: u64,
    /// The time from then to its acknowledgement; `null` if that is unknown.
    pub acknowledged_ms: Option<u64>,
    /// The time from `received_at` until the cache held what it announced; `null` until then.
    pub fresh_ms: Option<u64>,
    /// How far it is.
    pub state: EventState,
    /// The last error of one of its keys, if it is failing.
    pub error: Option<String>,
    /// The first keys that it queued, at most 20.
    pub keys: Vec<String>,
    /// The number of keys that it queued.
    pub key_count: u64,
}

/// Where an event came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A webhook.
    Webhook,
    /// A webhook that had to wait in the outbox.
    Outbox,
    /// The status page, or `cargo xtask refresh`.
    Status,
}

/// How far an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    /// Its keys wait for a worker.
    Queued,
    /// A worker has claimed its keys.
    Fetching,
    /// The cache holds what it announced.
    Fresh,
    /// The last attempt for one of its keys failed.
    Failing,
}
