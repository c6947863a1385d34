//! The overall state in one sentence, and whatever else is wrong in others.

use super::amounts::{count, duration, rough_duration};
use crate::snapshot::{BreakerState, KeyState, Queue, Snapshot, State};

/// How good a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Good,
    /// As it should be while work is under way.
    Busy,
    /// Something has failed.
    Bad,
    /// Nobody can tell.
    Unknown,
}

impl Level {
    /// The class by which the style sheet colours it.
    pub fn class(self) -> &'static str {
        match self {
            Level::Good => "is-good",
            Level::Busy => "is-busy",
            Level::Bad => "is-bad",
            Level::Unknown => "is-unknown",
        }
    }
}

/// The overall state.
#[derive(Debug, PartialEq)]
pub struct Headline {
    /// The level of the whole.
    pub level: Level,
    /// What a person has to know first.
    pub sentence: String,
    /// What else is wrong, gravest first.
    pub also: Vec<String>,
}

/// The headline of this state.
pub fn of(snapshot: &Snapshot) -> Headline {
    let mut failures = failures(snapshot);
    if failures.is_empty() {
        let (level, sentence) = progress(snapshot);
        return Headline {
            level,
            sentence,
            also: Vec::new(),
        };
    }
    let sentence = failures.remove(0);
    // Where every queued key fails, the failure says it all.
    let queue = snapshot.queue.as_ref();
    if queue.is_some_and(|queue| queue.total > queue.backing_off) {
        failures.extend(behind(snapshot));
    }
    Headline {
        level: Level::Bad,
        sentence,
        also: failures,
    }
}

/// What has failed, gravest first.
fn failures(snapshot: &Snapshot) -> Vec<String> {
    let parts = &snapshot.parts;
    let is_down = |state: State| state == State::Down;
    let mut failures = Vec::new();
    match (is_down(parts.redis.state), is_down(parts.store.state)) {
        (true, true) => failures.push(
            "Redis and the store are away; webhooks are refused, and readers wait for Supabase."
                .to_owned(),
        ),
        (true, false) => failures.push("Redis is away; webhooks wait in the outbox.".to_owned()),
        (false, true) => {
            failures.push("The store is failing; readers wait for Supabase.".to_owned());
        }
        (false, false) => {}
    }
    match snapshot.breaker.as_ref().map(|breaker| breaker.state) {
        Some(BreakerState::HalfOpen) => {
            failures.push("Supabase responds again; requests are resuming step by step.".to_owned())
        }
        state if state == Some(BreakerState::Open) || is_down(parts.supabase.state) => failures
            .push(match parts.store.state {
                State::Down => "Supabase is failing, too.".to_owned(),
                _ => "Supabase is failing; readers get stored entries.".to_owned(),
            }),
        _ => {}
    }
    if is_down(parts.worker.state) {
        failures.push("The worker is gone; changes wait in the queue.".to_owned());
    }
    // While Redis is away, its sentence says so.
    if is_down(parts.outbox.state) && !is_down(parts.redis.state) {
        failures.push("Webhooks wait in the outbox for the worker.".to_owned());
    }
    failures.extend(snapshot.queue.as_ref().and_then(paused));
    failures.extend(snapshot.queue.as_ref().and_then(failing_keys));
    if is_down(parts.keyspace_events.state) {
        failures.push("Keyspace events are off; retries may be up to a minute late.".to_owned());
    }
    failures
}

/// Whether the requests of this hour are used up while keys wait.
fn paused(queue: &Queue) -> Option<String> {
    (queue.paused_ms > 0 && queue.total > 0).then(|| {
        let wait = rough_duration(queue.paused_ms.next_multiple_of(60_000));
        format!("The requests of this hour are used up; the queue goes on in {wait}.")
    })
}

/// The keys whose last attempt failed.
fn failing_keys(queue: &Queue) -> Option<String> {
    let oldest = queue
        .keys
        .iter()
        .filter(|key| key.state == KeyState::BackingOff)
        .map(|key| key.queued_ms)
        .max();
    let number = queue.backing_off;
    let keys = count(number, "key is failing", "keys are failing");
    match (number, oldest) {
        (0, _) => None,
        (1, Some(oldest)) => Some(format!("{keys}, for {}.", rough_duration(oldest))),
        (_, Some(oldest)) => {
            let oldest = rough_duration(oldest);
            Some(format!("{keys}, the oldest for {oldest}."))
        }
        (_, None) => Some(format!("{keys}.")),
    }
}

/// How far a cache is in which nothing fails.
fn progress(snapshot: &Snapshot) -> (Level, String) {
    let queued = snapshot.queue.as_ref().map_or(0, |queue| queue.total);
    if let Some(behind) = behind(snapshot) {
        (Level::Busy, behind)
    } else if queued > 0 {
        let queued = count(queued, "refresh is queued", "refreshes are queued");
        (Level::Good, format!("Every change is fresh; {queued}."))
    } else if snapshot.queue.is_none() {
        (Level::Unknown, "The state is unknown.".to_owned())
    } else if snapshot.events.is_empty() && snapshot.reconciliation.is_none() {
        let sentence = "Ready; nothing has been cached yet.";
        (Level::Good, sentence.to_owned())
    } else {
        (Level::Good, "Everything is fresh.".to_owned())
    }
}

/// How many keys are behind, unless none is.
fn behind(snapshot: &Snapshot) -> Option<String> {
    let lag = snapshot.lag.as_ref()?.now_ms;
    let keys = snapshot.queue.as_ref()?.total;
    match (lag, keys) {
        (0, _) | (_, 0) => None,
        (_, 1) => Some(format!("1 key is behind, by {}.", duration(lag))),
        _ => {
            let keys = count(keys, "key is behind", "keys are behind");
            Some(format!("{keys}, the oldest by {}.", duration(lag)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn sentence(change: impl FnOnce(&mut Snapshot)) -> (Level, String) {
        let mut snapshot = samples::healthy();
        change(&mut snapshot);
        let headline = of(&snapshot);
        (headline.level, headline.sentence)
    }

    #[test]
    fn a_healthy_cache_is_fresh() {
        let fresh = (Level::Good, "Everything is fresh.".to_owned());
        assert_eq!(sentence(|_| {}), fresh);
    }

    #[test]
    fn a_new_application_is_ready() {
        let headline = of(&samples::empty());
        assert_eq!(headline.sentence, "Ready; nothing has been cached yet.");
    }

    #[test]
    fn a_lag_counts_the_keys_that_are_behind() {
        let (level, text) = sentence(|snapshot| samples::queue(snapshot, 3, 12_000));
        assert_eq!(text, "3 keys are behind, the oldest by 12 s.");
        assert_eq!(level, Level::Busy);
        let (_, text) = sentence(|snapshot| samples::queue(snapshot, 1, 800));
        assert_eq!(text, "1 key is behind, by 800 ms.");
    }

    #[test]
    fn a_refresh_that_no_change_asked_for_is_not_behind() {
        let (level, text) = sentence(|snapshot| samples::queue(snapshot, 1, 0));
        assert_eq!(text, "Every change is fresh; 1 refresh is queued.");
        assert_eq!(level, Level::Good);
    }

    #[test]
    fn each_part_that_is_down_has_a_sentence() {
        let down = |part: fn(&mut Snapshot) -> &mut State| {
            let (level, text) = sentence(|snapshot| *part(snapshot) = State::Down);
            assert_eq!(level, Level::Bad, "{text}");
            text
        };
        for (text, start) in [
            (down(|s| &mut s.parts.redis.state), "Redis is away"),
            (down(|s| &mut s.parts.store.state), "The store is failing"),
            (down(|s| &mut s.parts.supabase.state), "Supabase is failing"),
            (down(|s| &mut s.parts.worker.state), "The worker is gone"),
            (
                down(|s| &mut s.parts.outbox.state),
                "Webhooks wait in the outbox",
            ),
            (
                down(|s| &mut s.parts.keyspace_events.state),
                "Keyspace events are off",
            ),
        ] {
            assert!(text.starts_with(start), "{text}");
        }
    }

    #[test]
    fn an_hour_without_requests_says_when_the_queue_goes_on() {
        let (level, text) = sentence(|snapshot| {
            samples::queue(snapshot, 1, 800);
            snapshot.queue.as_mut().unwrap().paused_ms = 1_980_100;
        });
        let expected = "The requests of this hour are used up; the queue goes on in 34 min.";
        assert_eq!((level, &*text), (Level::Bad, expected));
        let (level, _) =
            sentence(|snapshot| snapshot.queue.as_mut().unwrap().paused_ms = 1_980_100);
        assert_eq!(level, Level::Good, "nothing waits");
    }

    #[test]
    fn a_part_that_the_host_does_not_have_is_no_failure() {
        let (level, _) = sentence(|s| s.parts.keyspace_events.state = State::Absent);
        assert_eq!(level, Level::Good);
    }

    #[test]
    fn a_key_that_fails_is_not_also_called_behind() {
        let mut snapshot = samples::healthy();
        samples::queue(&mut snapshot, 1, 12_000);
        let queue = snapshot.queue.as_mut().unwrap();
        queue.backing_off = 1;
        queue.keys[0].state = KeyState::BackingOff;
        let headline = of(&snapshot);
        assert_eq!(headline.sentence, "1 key is failing, for 12 s.");
        assert_eq!(headline.also, [""; 0]);
    }

    #[test]
    fn without_the_store_no_stored_entries_are_promised() {
        let headline = of(&samples::everything_wrong());
        assert!(
            headline
                .sentence
                .starts_with("Redis and the store are away")
        );
        assert_eq!(headline.also[0], "Supabase is failing, too.");
    }

    #[test]
    fn the_gravest_failure_comes_first_and_the_others_follow() {
        let headline = of(&samples::failing());
        assert_eq!(
            headline.sentence,
            "Supabase is failing; readers get stored entries."
        );
        assert_eq!(headline.level, Level::Bad);
        assert!(
            headline
                .also
                .contains(&"2 keys are failing, the oldest for 3 min.".to_owned()),
            "{:?}",
            headline.also
        );
    }
}
