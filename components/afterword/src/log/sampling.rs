//! Sampling: how many lines with the same reason an instance logs. Webhooks under load, and refused
//! webhooks, which anybody can send, must not fill the log.

use std::time::{Duration, Instant};

/// At most this many lines in each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The maximum number of lines.
    pub lines: u32,
    /// The interval. It begins with the first line after the last interval.
    pub interval: Duration,
    /// Whether the last line of an interval is logged at its end if it was left out before. The
    /// instance lives until then, so that no line remains uncounted.
    pub ends_with_last: bool,
}

impl Rate {
    /// The rate of sampled events.
    pub const SAMPLE: Self = Self {
        lines: 5,
        interval: Duration::from_secs(1),
        ends_with_last: true,
    };
}

/// The lines with one reason.
pub struct Limit<T> {
    /// The start of the current interval.
    began: Instant,
    /// The lines that were logged in the current interval.
    logged: u32,
    /// The last line that was left out.
    last: Option<T>,
    /// The lines that were left out before it, since the last one that was logged.
    suppressed: u32,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission<T> {
    /// It is logged, with the number of those that were left out before it.
    Logged(T, u32),
    /// It is left out, as the first one of the interval, which ends after this time.
    FirstLeftOut(Duration),
    /// It is left out.
    LeftOut,
}

impl<T> Limit<T> {
    /// An interval that begins now.
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            logged: 0,
            last: None,
            suppressed: 0,
        }
    }

    /// Another line.
    pub fn admit(&mut self, rate: Rate, now: Instant, line: T) -> Admission<T> {
        if now.duration_since(self.began) >= rate.interval {
            (self.began, self.logged) = (now, 0);
        }
        if self.logged < rate.lines {
            self.logged += 1;
            self.suppressed += u32::from(self.last.take().is_some());
            return Admission::Logged(line, std::mem::take(&mut self.suppressed));
        }
        if self.last.replace(line).is_some() {
            self.suppressed = self.suppressed.saturating_add(1);
            return Admission::LeftOut;
        }
        let end = self.began + rate.interval;
        Admission::FirstLeftOut(end.saturating_duration_since(now))
    }

    /// An interval ends. Returns its last line if it was left out, and the number of those that
    /// were left out before it.
    pub fn end(&mut self, now: Instant) -> Option<(T, u32)> {
        let last = self.last.take()?;
        (self.began, self.logged) = (now, 1);
        Some((last, std::mem::take(&mut self.suppressed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Rate = Rate {
        lines: 1,
        interval: Duration::from_secs(10),
        ends_with_last: false,
    };

    #[test]
    fn five_lines_of_an_interval_are_logged_and_its_last_one_counts_the_others() {
        let start = Instant::now();
        let mut limit = Limit::new(start);
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        for line in 0..5 {
            let admission = limit.admit(Rate::SAMPLE, at(line), line);
            assert_eq!(admission, Admission::Logged(line, 0));
        }
        assert_eq!(
            limit.admit(Rate::SAMPLE, at(300), 5),
            Admission::FirstLeftOut(Duration::from_millis(700))
        );
        for line in 6..10 {
            let admission = limit.admit(Rate::SAMPLE, at(400), line);
            assert_eq!(admission, Admission::LeftOut);
        }
        assert_eq!(limit.end(at(1_000)), Some((9, 4)));
        assert_eq!(limit.end(at(1_000)), None);
        // The line at the end of an interval is the first one of the next.
        for line in 10..14 {
            let admission = limit.admit(Rate::SAMPLE, at(1_001), line);
            assert_eq!(admission, Admission::Logged(line, 0));
        }
        assert_eq!(
            limit.admit(Rate::SAMPLE, at(1_500), 14),
            Admission::FirstLeftOut(Duration::from_millis(500))
        );
    }

    #[test]
    fn the_first_line_of_an_interval_counts_those_that_were_left_out_before_it() {
        let start = Instant::now();
        let mut limit = Limit::new(start);
        let mut logged = |second| match limit.admit(ONE, start + Duration::from_secs(second), ()) {
            Admission::Logged((), suppressed) => Some(suppressed),
            _ => None,
        };
        let seconds = [0, 1, 9, 15, 20, 24, 25, 60];
        let expected = [Some(0), None, None, Some(2), None, None, Some(2), Some(0)];
        assert_eq!(seconds.map(&mut logged), expected);
    }
}
