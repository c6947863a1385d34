//! When to retry, and when the origin is at fault. Pure functions.

use afterword::postgrest::Error;
use std::time::Duration;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(300);

/// The number of requests that failed in a row in a way that may be the origin's fault.
#[derive(Clone, Copy, Default)]
pub struct Streak(u32);

impl Streak {
    /// From this length on, the origin is at fault. Finding one bad key among a hundred by halving
    /// takes eight failures; twice as many leave room for concurrent batches.
    const LIMIT: u32 = 16;

    /// The same while the circuit breaker is not closed.
    const LIMIT_WHILE_PROBING: u32 = 3;

    /// Adds a failure.
    pub fn and(self, error: &Error) -> Self {
        if error.may_be_the_origins() {
            Self(self.0.saturating_add(1))
        } else {
            self
        }
    }

    /// Whether the origin is at fault, whatever each failure looks like.
    pub fn is_the_origins(self, probing: bool) -> bool {
        let limit = if probing {
            Self::LIMIT_WHILE_PROBING
        } else {
            Self::LIMIT
        };
        self.0 >= limit
    }
}

/// The delay after another failure of a task with `failures` before it: 1 s, doubling up to 5 min.
/// `random` shortens it by up to a quarter, so that tasks that failed together spread out.
pub fn delay(failures: u32, random: u64) -> Duration {
    let whole = FIRST_DELAY
        .saturating_mul(2u32.saturating_pow(failures))
        .min(MAX_DELAY);
    whole - whole / 4 * (random % 1_000) as u32 / 1_000
}

/// The time until the next probe: 5 s, or what the origin asked for, but at most 5 min.
pub fn probe_delay(retry_after: Option<Duration>) -> Duration {
    retry_after
        .unwrap_or_default()
        .clamp(Duration::from_secs(5), MAX_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_five_minutes() {
        let seconds: Vec<u64> = [0, 1, 2, 8, 9, u32::MAX]
            .map(|failures| delay(failures, 0).as_secs())
            .into();
        assert_eq!(seconds, [1, 2, 4, 256, 300, 300]);
    }

    #[test]
    fn sixteen_failures_in_a_row_are_the_origins_and_three_while_probing() {
        let mut streak = Streak::default();
        let mut tripped = Vec::new();
        for _ in 0..16 {
            streak = streak.and(&Error::TimedOut).and(&Error::TooLarge(1));
            tripped.push((streak.is_the_origins(false), streak.is_the_origins(true)));
        }
        assert_eq!(tripped.iter().filter(|(closed, _)| *closed).count(), 1);
        assert_eq!(tripped.iter().filter(|(_, probing)| *probing).count(), 14);
    }

    #[test]
    fn randomness_shortens_the_delay_by_at_most_a_quarter() {
        for random in [0, 1, 999, 1_000, u64::MAX] {
            let delay = delay(3, random).as_millis();
            assert!((6_000..=8_000).contains(&delay), "{delay}");
        }
    }

    #[test]
    fn the_origin_is_probed_every_five_seconds_unless_it_sends_retry_after() {
        let probes = [None, Some(1), Some(60), Some(86_400)]
            .map(|after| probe_delay(after.map(Duration::from_secs)).as_secs());
        assert_eq!(probes, [5, 5, 60, 300]);
    }
}
