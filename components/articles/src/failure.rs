//! Why a miss brings no content: what the reader is told, and how long the negative cache holds it.

use afterword::postgrest;
use afterword::problem::{self, Problem};
use http::StatusCode;
use std::time::{Duration, Instant};

/// How long the negative cache holds that there is no such article. An entry that comes meanwhile
/// is looked at first.
const ABSENT: Duration = Duration::from_secs(5);

/// How long it holds that the origin failed, if the origin does not say when to try again.
const FAILED: Duration = Duration::from_secs(1);

/// The longest that it holds anything.
const LONGEST: Duration = Duration::from_secs(60);

/// Why there is no content.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What the reader is told.
    pub problem: &'static Problem,
    /// The origin's status, if it was asked and answered.
    pub status: Option<StatusCode>,
    /// For how long it lasts, as far as is known.
    pub lasts: Duration,
    /// Since when.
    since: Instant,
}

impl Failure {
    fn new(problem: &'static Problem, status: Option<StatusCode>, lasts: Duration) -> Self {
        Self {
            problem,
            status,
            lasts,
            since: Instant::now(),
        }
    }

    /// RFC 9110, section 15.6: 504 where the origin did not answer in time, 503 where it asks for
    /// patience, else 502.
    pub fn of(error: &postgrest::Error) -> Self {
        let status = match error {
            postgrest::Error::Status { status, .. } => Some(*status),
            _ => None,
        };
        let problem = match (error, status) {
            (postgrest::Error::TimedOut, _) => &problem::ORIGIN_TIMED_OUT,
            (_, Some(StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)) => {
                &problem::ORIGIN_UNAVAILABLE
            }
            _ => &problem::ORIGIN_FAILED,
        };
        let lasts = error.retry_after().unwrap_or_default().max(FAILED);
        Self::new(problem, status, lasts)
    }

    /// There is no such row; with the origin's status.
    pub fn absent(status: StatusCode) -> Self {
        Self::new(&problem::NO_SUCH_ARTICLE, Some(status), ABSENT)
    }

    /// One that the negative cache holds: its status, and for how much longer.
    pub fn known(status: u16, ttl: Duration) -> Self {
        Self::new(with_status(status), None, ttl)
    }

    /// For how long the negative cache holds it.
    pub fn remembered_for(&self) -> Duration {
        self.lasts.min(LONGEST)
    }

    /// The value of `Retry-After`: whole seconds, at least one.
    pub fn retry_after(&self) -> u64 {
        let left = self.lasts.saturating_sub(self.since.elapsed());
        left.as_millis()
            .div_ceil(1_000)
            .max(1)
            .try_into()
            .unwrap_or(u64::MAX)
    }

    /// Whether a stale entry may be served instead: RFC 5861, section 4, names the errors that
    /// would be 500, 502, 503 or 504.
    pub fn is_origins(&self) -> bool {
        self.problem.status.is_server_error()
    }
}

/// The problem that a reader came to who noted this status.
fn with_status(status: u16) -> &'static Problem {
    [
        &problem::NO_SUCH_ARTICLE,
        &problem::ORIGIN_UNAVAILABLE,
        &problem::ORIGIN_TIMED_OUT,
    ]
    .into_iter()
    .find(|problem| problem.status.as_u16() == status)
    .unwrap_or(&problem::ORIGIN_FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noted_status_is_the_problem_that_was_noted() {
        for problem in [
            &problem::NO_SUCH_ARTICLE,
            &problem::ORIGIN_FAILED,
            &problem::ORIGIN_UNAVAILABLE,
            &problem::ORIGIN_TIMED_OUT,
        ] {
            assert_eq!(with_status(problem.status.as_u16()), problem);
        }
    }

    #[test]
    fn a_failure_lasts_as_the_origin_says_and_is_remembered_for_a_minute_at_most() {
        let failure = |retry_after| {
            Failure::of(&postgrest::Error::Status {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: String::new(),
                message: String::new(),
                retry_after,
            })
        };
        for (retry_after, told, remembered) in [
            (None, 1, 1),
            (Some(0), 1, 1),
            (Some(40), 40, 40),
            (Some(7_200), 7_200, 60),
            (Some(u64::MAX), u64::MAX, 60),
        ] {
            let failure = failure(retry_after.map(Duration::from_secs));
            assert_eq!(failure.retry_after(), told);
            assert_eq!(failure.remembered_for(), Duration::from_secs(remembered));
        }
    }
}
