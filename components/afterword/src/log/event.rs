//! The events of the log. `docs/logs.md` says what each means and what to do about it.

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Afterword works.
    Info,
    /// Something failed. Afterword tries it again, or does without it.
    Warn,
    /// The operator has to do something.
    Error,
}

impl Level {
    /// Its name in a line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its stable name.
    pub name: &'static str,
    /// Its level.
    pub level: Level,
}

const fn info(name: &'static str) -> Event {
    let level = Level::Info;
    Event { name, level }
}

const fn warn(name: &'static str) -> Event {
    let level = Level::Warn;
    Event { name, level }
}

const fn error(name: &'static str) -> Event {
    let level = Level::Error;
    Event { name, level }
}

/// All events.
pub const ALL: [Event; 41] = [
    NOT_CONFIGURED,
    WAKE_UP_FAILED,
    ENTRY_NOT_READ,
    FETCH_LOCK_FAILED,
    FETCH_FAILED,
    READ_NOT_REPORTED,
    ENTRY_STAYS_STALE,
    WEBHOOK_ACKNOWLEDGED,
    WEBHOOK_IGNORED,
    WEBHOOK_IN_OUTBOX,
    WEBHOOK_NOT_QUEUED,
    WEBHOOK_REFUSED,
    ENTRY_WRITTEN,
    ENTRY_REMOVED,
    ENTRY_EXPIRED,
    ENTRY_NOT_REMOVED,
    ENTRY_TOO_LARGE,
    STORE_FULL,
    KEY_BACKS_OFF,
    STUCK,
    BREAKER_TRIPPED,
    BREAKER_CLOSED,
    RECONCILED,
    LIST_UNAVAILABLE,
    WHOLE_LIST,
    RECONCILIATION_NOT_QUEUED,
    STORE_NOT_LISTED,
    STORE_NOT_IDENTIFIED,
    OUTBOX_EMPTIED,
    OUTBOX_NOT_EMPTIED,
    OUTBOX_NOT_READ,
    REQUESTS_USED_UP,
    EXPIRY_EVENTS_OFF,
    PREFIX_IN_USE,
    WORKER_FAILED,
    DRAINED,
    NOT_REPORTED,
    PURGED,
    ACTION_REQUESTED,
    ACTION_FAILED,
    LOGIN_REFUSED,
];

/// A variable is missing or invalid.
pub const NOT_CONFIGURED: Event = error("not-configured");

/// A worker could not be woken by a request.
pub const WAKE_UP_FAILED: Event = warn("wake-up-failed");

/// The store did not return an entry.
pub const ENTRY_NOT_READ: Event = warn("entry-not-read");

/// The fetch lock could not be acquired.
pub const FETCH_LOCK_FAILED: Event = warn("fetch-lock-failed");

/// A reader's fetch failed.
pub const FETCH_FAILED: Event = warn("fetch-failed");

/// Redis was not told what a read has to tell it.
pub const READ_NOT_REPORTED: Event = warn("read-not-reported");

/// Readers request an entry's refresh, but no worker refreshes it.
pub const ENTRY_STAYS_STALE: Event = error("entry-stays-stale");

/// A webhook's tasks are queued.
pub const WEBHOOK_ACKNOWLEDGED: Event = info("webhook-acknowledged");

/// A webhook is about a table that is not cached.
pub const WEBHOOK_IGNORED: Event = info("webhook-ignored");

/// A webhook's tasks are in the outbox, because Redis failed.
pub const WEBHOOK_IN_OUTBOX: Event = warn("webhook-in-outbox");

/// A webhook's tasks could not be queued.
pub const WEBHOOK_NOT_QUEUED: Event = error("webhook-not-queued");

/// A webhook is refused.
pub const WEBHOOK_REFUSED: Event = warn("webhook-refused");

/// An entry was written.
pub const ENTRY_WRITTEN: Event = info("entry-written");

/// An entry was removed, because there is no such row.
pub const ENTRY_REMOVED: Event = info("entry-removed");

/// An entry was removed, because it has not been read for long.
pub const ENTRY_EXPIRED: Event = info("entry-expired");

/// An expired entry could not be removed.
pub const ENTRY_NOT_REMOVED: Event = warn("entry-not-removed");

/// A row or the list is larger than the host allows.
pub const ENTRY_TOO_LARGE: Event = warn("entry-too-large");

/// The store has as many keys as `max_keys` allows.
pub const STORE_FULL: Event = warn("store-full");

/// Tasks failed, and are tried again later.
pub const KEY_BACKS_OFF: Event = warn("key-backs-off");

/// A failure has lasted for a minute.
pub const STUCK: Event = error("stuck");

/// The origin failed: the circuit breaker is open.
pub const BREAKER_TRIPPED: Event = warn("breaker-tripped");

/// The origin responds again: the circuit breaker is closed.
pub const BREAKER_CLOSED: Event = info("breaker-closed");

/// The stored items were compared with the list.
pub const RECONCILED: Event = info("reconciled");

/// Every stored item is refreshed, because the list cannot be fetched.
pub const LIST_UNAVAILABLE: Event = warn("list-unavailable");
/// A long list cannot be refreshed in parts.
pub const WHOLE_LIST: Event = info("whole-list");

/// A reconciliation could not be queued.
pub const RECONCILIATION_NOT_QUEUED: Event = warn("reconciliation-not-queued");

/// The store could not be listed.
pub const STORE_NOT_LISTED: Event = warn("store-not-listed");

/// The store did not return the text that identifies it.
pub const STORE_NOT_IDENTIFIED: Event = warn("store-not-identified");

/// The outbox's tasks were moved to the work queue.
pub const OUTBOX_EMPTIED: Event = info("outbox-emptied");

/// The outbox could not be emptied.
pub const OUTBOX_NOT_EMPTIED: Event = warn("outbox-not-emptied");

/// The outbox's flag could not be read.
pub const OUTBOX_NOT_READ: Event = warn("outbox-not-read");

/// No request is left of those that `max_requests_per_hour` allows.
pub const REQUESTS_USED_UP: Event = warn("requests-used-up");

/// Redis does not report expired keys.
pub const EXPIRY_EVENTS_OFF: Event = warn("expiry-events-off");

/// Another application uses the same Redis prefix.
pub const PREFIX_IN_USE: Event = error("prefix-in-use");

/// A worker could not work on the queue.
pub const WORKER_FAILED: Event = warn("worker-failed");

/// A request to `refresh-http` has worked on the queue.
pub const DRAINED: Event = info("drained");

/// Redis was not told what an instance has counted.
pub const NOT_REPORTED: Event = warn("not-reported");

/// All entries were removed, as the status page requested.
pub const PURGED: Event = info("purged");

/// Somebody used the status page, or its API, to retry, refresh or purge.
pub const ACTION_REQUESTED: Event = info("action-requested");

/// Such an action failed.
pub const ACTION_FAILED: Event = warn("action-failed");

/// Somebody tried to log in to the status page with a wrong token.
pub const LOGIN_REFUSED: Event = warn("login-refused");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_documented_with_its_level() {
        const PAGE: &str = include_str!("../../../../docs/logs.md");
        let (_, events) = PAGE.split_once("\n## Events\n").expect("a section");
        let (events, _) = events.split_once("\n## ").expect("another section");
        let rows = events.lines().filter(|line| line.starts_with("| `"));
        assert_eq!(rows.count(), ALL.len());
        for Event { name, level } in ALL {
            let row = format!("\n| `{name}` | {} |", level.name());
            assert!(events.contains(&row), "{row}");
        }
    }
}
