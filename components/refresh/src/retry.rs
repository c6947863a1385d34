//! When a key whose refresh failed has its next turn.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

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

/// When to try again what will not mend by itself.
pub fn slowest() -> Duration {
    LONGEST
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
