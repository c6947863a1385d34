//! Snapshots for the tests, and for looking at the page.

use crate::snapshot::{
    Breaker, BreakerState, Event, EventState, KeyState, Lag, Part, Parts, Queue, QueuedKey,
    Reconciliation, Snapshot, Source, State,
};

/// 25 November 2026, 14:03:34 UTC.
const NOW: u64 = 1_795_615_414_000;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// An application at work, in which nothing fails.
pub fn healthy() -> Snapshot {
    let mut minutes_ms: Vec<u64> = (0..60).map(|minute| minute * 7_919 % 13 * 20).collect();
    minutes_ms[20] = 1_400;
    minutes_ms[21] = 900;
    minutes_ms[59] = 84;
    let mut events: Vec<Event> = (0..30)
        .map(|index| {
            let id = 30 + index * 7 % 40;
            let keys = vec![format!("/articles/{id}"), "/articles".to_owned()];
            event(412 - index, 12 * SECOND + index * 37 * SECOND, &keys)
        })
        .collect();
    events[0].keys[0] = "/articles/42".to_owned();
    events[3].source = Source::Status;
    events[5].source = Source::Outbox;
    events[5].fresh_ms = Some(48_200);
    events[7].key_count = 5_000;
    Snapshot {
        now: NOW,
        parts: Parts {
            redis: part(State::Up, Some(90 * MINUTE), ""),
            store: part(State::Up, None, ""),
            supabase: part(State::Up, Some(12 * SECOND), ""),
            worker: part(State::Up, None, "Last sign of life 3 s ago."),
            keyspace_events: part(State::Up, None, "Retries start on time."),
            outbox: part(State::Up, None, ""),
        },
        queue: Some(Queue {
            total: 0,
            due: 0,
            claimed: 0,
            waiting: 0,
            backing_off: 0,
            suspects: 0,
            paused_ms: 0,
            keys: Vec::new(),
        }),
        breaker: Some(Breaker {
            state: BreakerState::Closed,
            since: None,
            error: None,
            next_probe_at: None,
        }),
        lag: Some(Lag {
            now_ms: 0,
            minutes_ms,
        }),
        reconciliation: Some(Reconciliation {
            at: NOW - 4 * MINUTE,
            took_ms: 320,
            entries: 1_284,
            bytes: 5_310_000,
            outdated: 0,
            evicted: 0,
        }),
        events,
    }
}

/// An application that has just been started for the first time.
pub fn empty() -> Snapshot {
    let mut snapshot = healthy();
    snapshot.events.clear();
    snapshot.reconciliation = None;
    snapshot.lag = Some(Lag {
        now_ms: 0,
        minutes_ms: vec![0; 60],
    });
    let unused = "Nothing has been fetched yet.";
    snapshot.parts.supabase = part(State::Unknown, None, unused);
    snapshot.parts.keyspace_events = part(State::Absent, None, "A timer wakes the worker.");
    snapshot
}

/// A healthy application with this many due keys.
pub fn queue(snapshot: &mut Snapshot, keys: u64, lag_ms: u64) {
    snapshot.lag.as_mut().unwrap().now_ms = lag_ms;
    let queue = snapshot.queue.as_mut().unwrap();
    queue.total = keys;
    queue.due = keys;
    queue.keys = (0..keys)
        .map(|id| key(&format!("/articles/{id}"), KeyState::Due, lag_ms))
        .collect();
}

/// Some keys on their way.
pub fn behind() -> Snapshot {
    let mut snapshot = healthy();
    queue(&mut snapshot, 3, 12_400);
    for (index, state) in [(0, EventState::Queued), (1, EventState::Fetching)] {
        snapshot.events[index].state = state;
        snapshot.events[index].fresh_ms = None;
    }
    let keys = &mut snapshot.queue.as_mut().unwrap().keys;
    keys[1].state = KeyState::Claimed;
    keys[2].state = KeyState::Waiting;
    keys[2].next_ms = 400;
    snapshot
}

/// Supabase fails.
pub fn failing() -> Snapshot {
    let mut snapshot = healthy();
    snapshot.parts.supabase = part(State::Down, Some(2 * MINUTE), "HTTP 503: no connection.");
    snapshot.breaker = Some(Breaker {
        state: BreakerState::Open,
        since: Some(NOW - 2 * MINUTE),
        error: Some("HTTP 503: PGRST002, could not query the database".to_owned()),
        next_probe_at: Some(NOW + 3_200),
    });
    let mut suspect = key("/articles/7", KeyState::BackingOff, 3 * MINUTE + 5 * SECOND);
    suspect.suspect = true;
    suspect.attempts = 8;
    suspect.next_ms = 41_300;
    suspect.error = Some("HTTP 500: 22P02, invalid input syntax for type integer".to_owned());
    let mut other = key("/articles/9", KeyState::BackingOff, 2 * MINUTE);
    other.attempts = 5;
    other.next_ms = 3_200;
    other.error = Some("HTTP 503: PGRST002, could not query the database".to_owned());
    snapshot.queue = Some(Queue {
        total: 3,
        due: 1,
        claimed: 0,
        waiting: 0,
        backing_off: 2,
        suspects: 1,
        paused_ms: 0,
        keys: vec![suspect, other, key("/articles", KeyState::Due, MINUTE)],
    });
    let lag = snapshot.lag.as_mut().unwrap();
    lag.now_ms = 3 * MINUTE + 5 * SECOND;
    for (minute, ms) in [(56, 4_000), (57, 65_000), (58, 125_000), (59, 185_000)] {
        lag.minutes_ms[minute] = ms;
    }
    for event in &mut snapshot.events[..4] {
        event.state = EventState::Failing;
        event.fresh_ms = None;
        event.error = Some("HTTP 503: PGRST002, could not query the database".to_owned());
    }
    snapshot
}

/// Redis is away.
pub fn away() -> Snapshot {
    let mut snapshot = healthy();
    snapshot.parts.redis = part(State::Down, None, "Connection refused.");
    for part in [
        &mut snapshot.parts.worker,
        &mut snapshot.parts.supabase,
        &mut snapshot.parts.keyspace_events,
    ] {
        part.state = State::Unknown;
        part.detail = "Unknown while Redis is away.".to_owned();
    }
    snapshot.parts.outbox = part(
        State::Down,
        None,
        "The worker empties it when Redis is back.",
    );
    snapshot.queue = None;
    snapshot.breaker = None;
    snapshot.lag = None;
    snapshot.reconciliation = None;
    snapshot.events.clear();
    snapshot
}

/// Nothing works.
pub fn everything_wrong() -> Snapshot {
    let mut snapshot = failing();
    let parts = &mut snapshot.parts;
    for part in [
        &mut parts.redis,
        &mut parts.store,
        &mut parts.supabase,
        &mut parts.worker,
        &mut parts.keyspace_events,
        &mut parts.outbox,
    ] {
        part.state = State::Down;
        part.since = Some(NOW - 26 * 60 * MINUTE);
    }
    snapshot
}

/// What an attacker would write.
pub const HOSTILE: &str = "</code><script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

/// Hostile texts and long ones wherever there can be any.
pub fn hostile() -> Snapshot {
    let mut snapshot = failing();
    let long = format!("/articles/{}", "x".repeat(400));
    snapshot.parts.redis.detail = HOSTILE.to_owned();
    snapshot.parts.store.detail = long.clone();
    let breaker = snapshot.breaker.as_mut().unwrap();
    breaker.error = Some(format!("{HOSTILE} {long}"));
    for event in &mut snapshot.events[..2] {
        event.keys = vec![HOSTILE.to_owned(), long.clone()];
        event.error = Some(format!("{HOSTILE}{long}"));
    }
    let queue = snapshot.queue.as_mut().unwrap();
    queue.keys[0].key = HOSTILE.to_owned();
    queue.keys[0].error = Some(format!("{HOSTILE}{long}"));
    queue.keys[1].key = long;
    snapshot
}

/// As much as a snapshot can hold.
pub fn crowded() -> Snapshot {
    let mut snapshot = failing();
    snapshot.events = (0..200)
        .map(|index| {
            let keys: Vec<String> = (0..20)
                .map(|key| format!("/articles/0190f3c2-7e61-7b1a-9c64-{:012}", index * 20 + key))
                .collect();
            let mut event = event(10_000_200 - index, index * 9 * SECOND, &keys);
            event.state = EventState::Failing;
            event.error = Some("HTTP 503: PGRST002, could not query the database".to_owned());
            event
        })
        .collect();
    let queue = snapshot.queue.as_mut().unwrap();
    queue.total = 4_000;
    queue.backing_off = 4_000;
    queue.keys = (0..100)
        .map(|index| {
            let path = format!("/articles/0190f3c2-7e61-7b1a-9c64-{index:012}");
            let mut key = key(&path, KeyState::BackingOff, 20 * MINUTE);
            key.attempts = 11;
            key.next_ms = 200_000;
            key.error = Some("HTTP 503: PGRST002, could not query the database".to_owned());
            key
        })
        .collect();
    snapshot
}

fn part(state: State, age_ms: Option<u64>, detail: &str) -> Part {
    Part {
        state,
        since: age_ms.map(|ms| NOW - ms),
        detail: detail.to_owned(),
    }
}

fn event(id: u64, age_ms: u64, keys: &[String]) -> Event {
    Event {
        id,
        source: Source::Webhook,
        received_at: NOW - age_ms,
        acknowledged_ms: Some(3),
        fresh_ms: Some(84),
        state: EventState::Fresh,
        error: None,
        keys: keys.to_vec(),
        key_count: keys.len() as u64,
    }
}

fn key(key: &str, state: KeyState, queued_ms: u64) -> QueuedKey {
    QueuedKey {
        key: key.to_owned(),
        state,
        suspect: false,
        queued_ms,
        attempts: 0,
        next_ms: 0,
        error: None,
    }
}
