//! How old an entry may be (RFC 9111, section 4.2; RFC 5861).

use std::time::Duration;

/// How long an entry is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// From this age on an entry is stale: it is sent all the same, and then refreshed (*stale-while-revalidate*).
    pub max_age: Duration,
    /// shim
    pub stale_while_revalidate: Duration,
    /// For this long beyond `max_age` a stale entry is sent, whatever the origin does (*stale-if-error*).
    pub stale_if_error: Duration,
}

/// What an entry's age says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Send it.
    Fresh,
    /// Send it, then have it refreshed.
    Stale,
    /// Too old to be sent: as good as a miss.
    Expired,
}

impl Lifetime {
    /// What these limits say about an entry fetched at `fetched_at`; both times in milliseconds since 1970. An entry from the
    /// future (the writer's clock was ahead) has the age zero.
    pub fn judge(&self, fetched_at: u64, now: u64) -> Freshness {
        let age = age(fetched_at, now);
        if age <= self.max_age {
            Freshness::Fresh
        } else if age <= self.max_age.saturating_add(self.stale_if_error) {
            Freshness::Stale
        } else {
            Freshness::Expired
        }
    }

    /// shim
    pub fn may_be_served(&self, fetched_at: u64, now: u64) -> bool {
        self.serves(fetched_at, now)
    }

    /// Whether an entry is sent at all, be it stale.
    pub fn serves(&self, fetched_at: u64, now: u64) -> bool {
        self.judge(fetched_at, now) != Freshness::Expired
    }

    /// For how many seconds more an entry is fresh: negative from the moment on at which it is stale.
    pub fn ttl(&self, fetched_at: u64, now: u64) -> i64 {
        let milliseconds =
            |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let left = milliseconds(self.max_age).saturating_sub(milliseconds(age(fetched_at, now)));
        left.div_euclid(1_000)
    }
}

/// How old what was fetched at `fetched_at` is; both times in milliseconds since 1970.
pub fn age(fetched_at: u64, now: u64) -> Duration {
    Duration::from_millis(now.saturating_sub(fetched_at))
}

/// This host's clock: milliseconds since 1970.
pub fn now() -> u64 {
    let since_1970 = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_fresh_then_stale_then_expired() {
        let lifetime = Lifetime {
            max_age: Duration::from_secs(300),
            stale_if_error: Duration::from_secs(600),
        };
        for (age, expected) in [
            (0, Freshness::Fresh),
            (300_000, Freshness::Fresh),
            (300_001, Freshness::Stale),
            (900_000, Freshness::Stale),
            (900_001, Freshness::Expired),
        ] {
            assert_eq!(
                lifetime.judge(1_000_000, 1_000_000 + age),
                expected,
                "{age} ms"
            );
        }
    }

    #[test]
    fn a_stale_entrys_time_to_live_is_negative_from_its_first_millisecond_on() {
        let lifetime = |max_age| Lifetime {
            max_age: Duration::from_secs(max_age),
            stale_if_error: Duration::ZERO,
        };
        for (age, ttl) in [
            (0, 300),
            (1, 299),
            (299_001, 0),
            (300_000, 0),
            (300_001, -1),
            (312_000, -12),
        ] {
            assert_eq!(
                lifetime(300).ttl(1_000_000, 1_000_000 + age),
                ttl,
                "{age} ms"
            );
        }
        assert!(lifetime(u64::MAX).ttl(0, u64::MAX) <= 0, "no overflow");
    }

    #[test]
    fn an_entry_from_the_future_is_fresh() {
        let lifetime = Lifetime {
            max_age: Duration::ZERO,
            stale_if_error: Duration::ZERO,
        };
        assert_eq!(lifetime.judge(u64::MAX, 0), Freshness::Fresh);
    }
}
