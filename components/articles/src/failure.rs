//! Why a miss brings no content: the error response, and its time in the negative cache.

use afterword::postgrest::Error as OriginError;
use afterword::problem::{self, Problem};
use http::StatusCode;
use std::time::{Duration, Instant};

/// How long the negative cache keeps a 404. An entry that is stored meanwhile takes precedence.
const NOT_FOUND_TTL: Duration = Duration::from_secs(5);

/// How long it keeps an error of the origin without `Retry-After`.
const FAILURE_TTL: Duration = Duration::from_secs(1);

/// The longest time that it keeps anything.
const MAX_TTL: Duration = Duration::from_secs(60);

/// Why there is no content.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The error response.
    pub problem: &'static Problem,
    /// The status of the origin's response, if it sent one.
    pub status: Option<StatusCode>,
    /// How long the failure is expected to last.
    pub lasts: Duration,
    /// When it was found.
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

    /// The origin failed. RFC 9110, section 15.6: 504 if it did not respond in time, 503 if it is
    /// overloaded, else 502.
    pub fn of_origin(error: &OriginError) -> Self {
        let status = match error {
            OriginError::Status { status, .. } => Some(*status),
            _ => None,
        };
        let problem = match (error, status) {
            (OriginError::TimedOut, _) => &problem::ORIGIN_TIMED_OUT,
            (_, Some(StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)) => {
                &problem::ORIGIN_UNAVAILABLE
            }
            _ => &problem::ORIGIN_FAILED,
        };
        let lasts = error.retry_after().unwrap_or_default().max(FAILURE_TTL);
        Self::new(problem, status, lasts)
    }

    /// There is no such row. `status` is that of the origin's response.
    pub fn not_found(status: StatusCode) -> Self {
        Self::new(&problem::NO_SUCH_ARTICLE, Some(status), NOT_FOUND_TTL)
    }

    /// An error from the negative cache: its status and its remaining time.
    pub fn remembered(status: u16, ttl: Duration) -> Self {
        Self::new(with_status(status), None, ttl)
    }

    /// How long the negative cache keeps it.
    pub fn remembered_for(&self) -> Duration {
        self.lasts.min(MAX_TTL)
    }

    /// The value of `Retry-After` in seconds, at least one.
    pub fn retry_after(&self) -> u64 {
        let left = self.lasts.saturating_sub(self.since.elapsed());
        left.as_millis()
            .div_ceil(1_000)
            .max(1)
            .try_into()
            .unwrap_or(u64::MAX)
    }

    /// Whether the origin failed, so that a stale entry may be served instead (RFC 5861, section 4:
    /// 500, 502, 503 or 504).
    pub fn is_the_origins(&self) -> bool {
        self.problem.status.is_server_error()
    }
}

/// The problem that another reader remembered by this status.
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
    fn a_remembered_status_is_the_same_problem() {
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
    fn a_failure_lasts_as_retry_after_says_and_is_remembered_for_at_most_a_minute() {
        let failure = |retry_after| {
            Failure::of_origin(&OriginError::Status {
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
