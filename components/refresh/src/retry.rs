//! When what failed is tried again, and when it is the origin that fails.

use afterword::postgrest::Error;
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// The requests that have failed in a row, none succeeding between them, in a way that could be the
/// origin's fault.
#[derive(Clone, Copy, Default)]
pub struct Streak(u32);

impl Streak {
    /// So many failures in a row are the origin's: twice as many as it takes to find a bad key among a
    /// hundred by halving, since eight batches may be halved at once.
    const LIMIT: u32 = 16;

    /// While the circuit breaker is not closed, so few are.
    const LIMIT_WHILE_PROBING: u32 = 3;

    /// With one more failure.
    pub fn and(self, error: &Error) -> Self {
        match error.may_be_the_origins() {
            true => Self(self.0.saturating_add(1)),
            false => self,
        }
    }

    /// Whether the origin is at fault, whatever each failure looks like.
    pub fn is_the_origins(self, probing: bool) -> bool {
        self.0
            >= match probing {
                true => Self::LIMIT_WHILE_PROBING,
                false => Self::LIMIT,
            }
    }
}

/// The pause after one more failure of a key that has failed so often before: 1 s, doubling up to 5 min, of which `random` takes up
/// to a quarter, so that what failed together is not tried together for ever.
pub fn pause(failures: u32, random: u64) -> Duration {
    let whole = FIRST
        .saturating_mul(2u32.saturating_pow(failures))
        .min(LONGEST);
    whole - whole / 4 * (random % 1_000) as u32 / 1_000
}

/// When to send the origin the next probe: in 5 s, or when it asked for it, but within 5 min.
pub fn probe(retry_after: Option<Duration>) -> Duration {
    retry_after
        .unwrap_or_default()
        .clamp(Duration::from_secs(5), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_five_minutes() {
        let seconds: Vec<u64> = [0, 1, 2, 8, 9, u32::MAX]
            .map(|failures| pause(failures, 0).as_secs())
            .into();
        assert_eq!(seconds, [1, 2, 4, 256, 300, 300]);
    }

    #[test]
    fn sixteen_failures_in_a_row_are_the_origins_and_three_while_it_is_probed() {
        let mut streak = Streak::default();
        let mut tripped = Vec::new();
        for _ in 0..16 {
            streak = streak.and(&Error::TimedOut).and(&Error::TooLarge);
            tripped.push((streak.is_the_origins(false), streak.is_the_origins(true)));
        }
        assert_eq!(tripped.iter().filter(|(closed, _)| *closed).count(), 1);
        assert_eq!(tripped.iter().filter(|(_, probing)| *probing).count(), 14);
    }

    #[test]
    fn chance_takes_at_most_a_quarter() {
        for random in [0, 1, 999, 1_000, u64::MAX] {
            let pause = pause(3, random).as_millis();
            assert!((6_000..=8_000).contains(&pause), "{pause}");
        }
    }

    #[test]
    fn the_origin_is_probed_every_five_seconds_unless_it_asks_for_patience() {
        let probes = [None, Some(1), Some(60), Some(86_400)]
            .map(|after| probe(after.map(Duration::from_secs)).as_secs());
        assert_eq!(probes, [5, 5, 60, 300]);
    }
}
