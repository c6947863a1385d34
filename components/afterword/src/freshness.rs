//! How long an entry may be served (RFC 9111, section 4.2; RFC 5861). Times are in milliseconds
//! since 1970.

use std::time::Duration;

/// The configured limits on an entry's age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// An older entry is stale.
    pub max_age: Duration,
    /// For this long beyond `max_age` a stale entry is served immediately and refreshed after the
    /// response (RFC 5861, section 3).
    pub stale_while_revalidate: Duration,
    /// For this long beyond `max_age` a stale entry is served if the origin fails (RFC 5861,
    /// section 4).
    pub stale_if_error: Duration,
}

/// How an entry may be used at its present age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Serve it.
    Fresh,
    /// Serve it, then refresh it.
    Stale,
    /// Ask the origin, and serve the entry if the origin fails.
    StaleIfError,
    /// Treat it as a miss.
    Expired,
}

impl Lifetime {
    /// The freshness of an entry fetched at `fetched_at`. An entry from the future (the writer's
    /// clock was ahead) has age zero.
    pub fn judge(&self, fetched_at: u64, now: u64) -> Freshness {
        let stale_for = age(fetched_at, now).saturating_sub(self.max_age);
        if stale_for.is_zero() {
            Freshness::Fresh
        } else if stale_for <= self.stale_while_revalidate {
            Freshness::Stale
        } else if stale_for <= self.stale_if_error {
            Freshness::StaleIfError
        } else {
            Freshness::Expired
        }
    }

    /// Whether the entry is served without asking the origin.
    pub fn serves(&self, fetched_at: u64, now: u64) -> bool {
        matches!(
            self.judge(fetched_at, now),
            Freshness::Fresh | Freshness::Stale
        )
    }

    /// The remaining freshness in seconds; negative once the entry is stale.
    pub fn ttl(&self, fetched_at: u64, now: u64) -> i64 {
        let milliseconds =
            |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let left = milliseconds(self.max_age).saturating_sub(milliseconds(age(fetched_at, now)));
        left.div_euclid(1_000)
    }
}

/// The time since `fetched_at`.
pub fn age(fetched_at: u64, now: u64) -> Duration {
    Duration::from_millis(now.saturating_sub(fetched_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(max_age: u64, stale_while_revalidate: u64, stale_if_error: u64) -> Lifetime {
        Lifetime {
            max_age: Duration::from_secs(max_age),
            stale_while_revalidate: Duration::from_secs(stale_while_revalidate),
            stale_if_error: Duration::from_secs(stale_if_error),
        }
    }

    #[test]
    fn an_entry_is_fresh_then_stale_then_kept_for_errors_then_expired() {
        for (age, expected) in [
            (0, Freshness::Fresh),
            (300_000, Freshness::Fresh),
            (300_001, Freshness::Stale),
            (900_000, Freshness::Stale),
            (900_001, Freshness::StaleIfError),
            (1_500_000, Freshness::StaleIfError),
            (1_500_001, Freshness::Expired),
        ] {
            let freshness = lifetime(300, 600, 1_200).judge(1_000_000, 1_000_000 + age);
            assert_eq!(freshness, expected, "{age} ms");
        }
    }

    #[test]
    fn both_windows_begin_at_max_age_and_neither_shortens_the_other() {
        for (age, expected) in [(900, Freshness::Stale), (901, Freshness::Expired)] {
            let freshness = lifetime(300, 600, 400).judge(0, age * 1_000);
            assert_eq!(freshness, expected, "{age} s");
        }
        let for_ever = lifetime(u64::MAX, u64::MAX, u64::MAX);
        assert!(for_ever.serves(0, u64::MAX), "no overflow");
    }

    #[test]
    fn a_stale_entrys_time_to_live_is_negative_from_its_first_millisecond_on() {
        for (age, ttl) in [
            (0, 300),
            (1, 299),
            (299_001, 0),
            (300_000, 0),
            (300_001, -1),
            (312_000, -12),
        ] {
            assert_eq!(
                lifetime(300, 0, 0).ttl(1_000_000, 1_000_000 + age),
                ttl,
                "{age} ms"
            );
        }
        assert!(
            lifetime(u64::MAX, 0, 0).ttl(0, u64::MAX) <= 0,
            "no overflow"
        );
    }

    #[test]
    fn an_entry_from_the_future_is_fresh() {
        assert_eq!(lifetime(0, 0, 0).judge(u64::MAX, 0), Freshness::Fresh);
    }
}
