//! When a key whose refresh failed has its next turn.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// The pause after one more failure of a key that has failed so often before: 1 s, doubling up to 5 min.
pub fn pause(failures: u32) -> Duration {
    FIRST
        .saturating_mul(2u32.saturating_pow(failures))
        .min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_five_minutes() {
        let seconds: Vec<u64> = [0, 1, 2, 8, 9, u32::MAX]
            .map(|failures| pause(failures).as_secs())
            .into();
        assert_eq!(seconds, [1, 2, 4, 256, 300, 300]);
    }
}
