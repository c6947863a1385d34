//! Sampling: how many lines with the same reason an instance logs. Webhooks under load, and refused
//! webhooks, which anybody can send, must not fill the log.

use std::cell::RefCell;
use std::time::{Duration, Instant};

/// At most this many lines in each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The maximum number of lines.
    pub lines: u32,
    /// The interval. It begins with the first line after the last interval.
    pub interval: Duration,
}

impl Rate {
    /// The rate of sampled events.
    pub const SAMPLE: Self = Self {
        lines: 5,
        interval: Duration::from_secs(1),
    };
}

/// Whether this instance logs another line with this reason. If so, returns how many it has left
/// out since the last one.
pub fn admit(rate: Rate, reason: &'static str) -> Option<u32> {
    thread_local! {
        // The reasons are a part of the program, so their number is limited.
        static LIMITS: RefCell<Vec<(&'static str, Limit)>> = const { RefCell::new(Vec::new()) };
    }
    let now = Instant::now();
    LIMITS.with_borrow_mut(|limits| {
        let known = limits.iter_mut().find(|(other, _)| *other == reason);
        match known {
            Some((_, limit)) => limit.admit(rate, now),
            None => {
                limits.push((reason, Limit::new(now)));
                Some(0)
            }
        }
    })
}

/// The lines with one reason.
struct Limit {
    /// The start of the current interval.
    began: Instant,
    /// The lines that were logged in the current interval.
    logged: u32,
    /// The lines that were left out since the last one was logged.
    suppressed: u32,
}

impl Limit {
    /// The first line is logged now.
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            logged: 1,
            suppressed: 0,
        }
    }

    fn admit(&mut self, rate: Rate, now: Instant) -> Option<u32> {
        if now.duration_since(self.began) >= rate.interval {
            (self.began, self.logged) = (now, 0);
        }
        if self.logged >= rate.lines {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of lines at these milliseconds.
    fn admitted(rate: Rate, milliseconds: impl IntoIterator<Item = u64>) -> Vec<Option<u32>> {
        let start = Instant::now();
        let mut limit = None;
        let line = |at: u64| {
            let now = start + Duration::from_millis(at);
            match &mut limit {
                None => {
                    limit = Some(Limit::new(now));
                    Some(0)
                }
                Some(limit) => limit.admit(rate, now),
            }
        };
        milliseconds.into_iter().map(line).collect()
    }

    #[test]
    fn five_lines_a_second_are_logged_and_the_next_one_tells_how_many_were_left_out() {
        let lines = admitted(Rate::SAMPLE, (0..30).map(|line| line * 100));
        let five = |suppressed| [Some(suppressed), Some(0), Some(0), Some(0), Some(0)];
        let left_out = [None; 5];
        assert_eq!(
            lines,
            [five(0), left_out, five(5), left_out, five(5), left_out].concat()
        );
    }

    #[test]
    fn an_interval_begins_with_its_first_line() {
        let rate = Rate {
            lines: 1,
            interval: Duration::from_secs(10),
        };
        let lines = admitted(rate, [0, 1_000, 9_999, 15_000, 20_000, 24_999, 25_000]);
        let (none, logged) = (None, Some);
        assert_eq!(
            lines,
            [logged(0), none, none, logged(2), none, none, logged(2)]
        );
    }

    #[test]
    fn each_reason_has_lines_of_its_own() {
        let rate = Rate {
            lines: 1,
            interval: Duration::from_secs(3_600),
        };
        let admit = |reason| admit(rate, reason);
        assert_eq!(
            ["one", "one", "another"].map(admit),
            [Some(0), None, Some(0)]
        );
    }
}
