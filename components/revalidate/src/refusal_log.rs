//! Logs refused webhooks: at most one line every ten seconds for each reason and instance. Anybody
//! can send webhooks that are refused, so the log must not grow with them.

use crate::authentication::Refusal;
use std::cell::RefCell;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// The minimum time between two lines with the same reason.
const INTERVAL: Duration = Duration::from_secs(10);

/// Logs a refusal, unless its reason was logged recently.
pub fn log(refusal: Refusal) {
    thread_local! {
        static LOG: RefCell<Log> = const { RefCell::new(Log(Vec::new())) };
    }
    if let Some(line) = LOG.with_borrow_mut(|log| log.line(refusal, Instant::now())) {
        eprintln!("{line}");
    }
}

/// The logged reasons. Their number is fixed, so the list does not grow.
struct Log(Vec<Logged>);

struct Logged {
    why: &'static str,
    at: Instant,
    suppressed: u32,
}

impl Log {
    fn line(&mut self, refusal: Refusal, now: Instant) -> Option<String> {
        let Refusal { problem, why } = refusal;
        let mut line = format!("refused a webhook with {}: {why}", problem.status.as_u16());
        match self.0.iter_mut().find(|logged| logged.why == why) {
            Some(logged) if now.duration_since(logged.at) < INTERVAL => {
                logged.suppressed += 1;
                return None;
            }
            Some(logged) => {
                if logged.suppressed > 0 {
                    let _ = write!(line, " ({} more before it)", logged.suppressed);
                }
                (logged.at, logged.suppressed) = (now, 0);
            }
            None => self.0.push(Logged {
                why,
                at: now,
                suppressed: 0,
            }),
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::{NO_CREDENTIALS, UNKNOWN_TOKEN};

    #[test]
    fn a_reason_is_logged_once_in_ten_seconds_with_the_number_of_suppressed_lines() {
        let mut log = Log(Vec::new());
        let start = Instant::now();
        let mut at = |seconds, refusal| log.line(refusal, start + Duration::from_secs(seconds));
        let unknown = format!("refused a webhook with 401: {}", UNKNOWN_TOKEN.why);
        assert_eq!(at(0, UNKNOWN_TOKEN), Some(unknown.clone()));
        for second in 0..9 {
            assert_eq!(at(second, UNKNOWN_TOKEN), None);
        }
        assert!(
            at(9, NO_CREDENTIALS).is_some(),
            "another reason has its own line"
        );
        assert_eq!(
            at(10, UNKNOWN_TOKEN),
            Some(format!("{unknown} (9 more before it)"))
        );
        assert_eq!(at(15, UNKNOWN_TOKEN), None);
        assert_eq!(
            at(30, UNKNOWN_TOKEN),
            Some(format!("{unknown} (1 more before it)"))
        );
        assert_eq!(at(50, UNKNOWN_TOKEN), Some(unknown));
    }
}
