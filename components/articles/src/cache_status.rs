//! The header `Cache-Status` (RFC 9211): where a response came from.
//!
//! It has no `stored` parameter, because the worker stores misses after the response.

use std::fmt;

/// Where a response came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// The store.
    Hit {
        /// The remaining freshness in seconds; negative once the entry is stale.
        ttl: i64,
    },
    /// The negative cache: another reader got this error a moment ago.
    NegativeHit {
        /// For how many seconds the error remains cached.
        ttl: i64,
    },
    /// The origin.
    Forwarded(Forwarded),
    /// The store, because the origin failed.
    StaleIfError {
        /// The remaining freshness in seconds: negative.
        ttl: i64,
        /// The request to the origin; `None` if the origin failed for another reader a moment ago
        /// and got no request.
        forwarded: Option<Forwarded>,
    },
}

/// A request to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Why it was sent.
    pub why: Forward,
    /// The status of the origin's response, if it sent one.
    pub status: Option<u16>,
    /// It was the request of another reader who missed the same key.
    pub collapsed: bool,
}

/// Why a request went to the origin (RFC 9211, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// There is no entry.
    UriMiss,
    /// The entry is too old to be served without asking the origin.
    Stale,
    /// The store could not be read.
    Bypass,
    /// The content is too large for the store.
    TooLarge,
}

impl Forward {
    /// Whether a refresh can store what the origin returns, and other readers can read it.
    pub fn leads_to_an_entry(self) -> bool {
        match self {
            Self::UriMiss | Self::Stale => true,
            Self::Bypass | Self::TooLarge => false,
        }
    }
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("afterword; ")?;
        match self {
            Self::Hit { ttl } => write!(f, "hit; ttl={ttl}"),
            Self::NegativeHit { ttl } => write!(f, "hit; ttl={ttl}; detail=negative"),
            Self::Forwarded(forwarded) => forwarded.fmt(f),
            Self::StaleIfError { ttl, forwarded } => {
                match forwarded {
                    Some(forwarded) => forwarded.fmt(f)?,
                    None => f.write_str("hit")?,
                }
                write!(f, "; ttl={ttl}; detail=stale-if-error")
            }
        }
    }
}

impl fmt::Display for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            Forward::UriMiss => "fwd=uri-miss",
            Forward::Stale => "fwd=stale",
            Forward::Bypass | Forward::TooLarge => "fwd=bypass",
        })?;
        if let Some(status) = self.status {
            write!(f, "; fwd-status={status}")?;
        }
        if self.collapsed {
            f.write_str("; collapsed")?;
        }
        f.write_str(if self.why == Forward::TooLarge {
            "; detail=too-large"
        } else {
            ""
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_an_answer_is_told() {
        let to_origin = |why, status, collapsed| Forwarded {
            why,
            status,
            collapsed,
        };
        let forwarded =
            |why, status, collapsed| CacheStatus::Forwarded(to_origin(why, status, collapsed));
        let failed = |forwarded| CacheStatus::StaleIfError {
            ttl: -700_000,
            forwarded,
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
            (
                forwarded(Forward::TooLarge, Some(200), true),
                "afterword; fwd=bypass; fwd-status=200; collapsed; detail=too-large",
            ),
            (
                failed(Some(to_origin(Forward::Stale, Some(503), false))),
                "afterword; fwd=stale; fwd-status=503; ttl=-700000; detail=stale-if-error",
            ),
            (
                failed(None),
                "afterword; hit; ttl=-700000; detail=stale-if-error",
            ),
        ] {
            assert_eq!(status.to_string(), text);
        }
    }
}
