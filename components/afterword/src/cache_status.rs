//! `Cache-Status` (RFC 9211): how this cache came by an answer, for whoever reads it with `curl -i`.
//!
//! There is no `stored` in it: what is missing is stored by the worker, after the response.

use std::fmt;

/// What this cache did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// It had the answer.
    Hit {
        /// For how many seconds more it is fresh; negative once it is stale.
        ttl: i64,
    },
    /// It had an error that the origin came to a moment ago, for another reader.
    NegativeHit {
        /// For how many seconds more that holds.
        ttl: i64,
    },
    /// It asked the origin.
    Forwarded {
        /// Why.
        why: Forward,
        /// The status that the origin answered with, if it did.
        status: Option<u16>,
        /// The request served other readers too, and was one of theirs.
        collapsed: bool,
    },
}

/// Why a request went to the origin (RFC 9211, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Nothing is stored of the resource.
    UriMiss,
    /// What is stored is too old to be sent.
    Stale,
    /// The store could not be read, and was gone past.
    Bypass,
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("afterword; ")?;
        match self {
            Self::Hit { ttl } => write!(f, "hit; ttl={ttl}"),
            Self::NegativeHit { ttl } => write!(f, "hit; ttl={ttl}; detail=negative"),
            Self::Forwarded {
                why,
                status,
                collapsed,
            } => {
                f.write_str(match why {
                    Forward::UriMiss => "fwd=uri-miss",
                    Forward::Stale => "fwd=stale",
                    Forward::Bypass => "fwd=bypass",
                })?;
                if let Some(status) = status {
                    write!(f, "; fwd-status={status}")?;
                }
                f.write_str(if *collapsed { "; collapsed" } else { "" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_an_answer_is_told() {
        let forwarded = |why, status, collapsed| CacheStatus::Forwarded {
            why,
            status,
            collapsed,
        };
        for (status, text) in [
            (CacheStatus::Hit { ttl: 288 }, "afterword; hit; ttl=288"),
            (CacheStatus::Hit { ttl: -12 }, "afterword; hit; ttl=-12"),
            (
                CacheStatus::NegativeHit { ttl: 4 },
                "afterword; hit; ttl=4; detail=negative",
            ),
            (
                forwarded(Forward::UriMiss, Some(200), false),
                "afterword; fwd=uri-miss; fwd-status=200",
            ),
            (
                forwarded(Forward::Stale, Some(503), true),
                "afterword; fwd=stale; fwd-status=503; collapsed",
            ),
            (
                forwarded(Forward::Bypass, None, false),
                "afterword; fwd=bypass",
            ),
        ] {
            assert_eq!(status.to_string(), text);
        }
    }
}
