//! The error responses (RFC 9457): a stable type for programs and a sentence for people. They
//! disclose nothing internal: no URL, no key, no text from Redis or the origin.

use http::StatusCode;
use serde::{Serialize, Serializer};

/// A kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The last part of the type: `urn:problem-type:afterword:{name}`.
    #[serde(rename = "type", serialize_with = "urn")]
    pub name: &'static str,
    /// A short summary for people.
    pub title: &'static str,
    /// The status of the response.
    #[serde(serialize_with = "number")]
    pub status: StatusCode,
    /// What is wrong and what to do about it.
    pub detail: &'static str,
}

/// The prefix of all types.
pub const URN: &str = "urn:problem-type:afterword:";

/// All problems.
pub const ALL: [&Problem; 18] = [
    &NO_SUCH_PATH,
    &NO_SUCH_ARTICLE,
    &METHOD_NOT_ALLOWED,
    &NOT_ACCEPTABLE,
    &ORIGIN_FAILED,
    &ORIGIN_UNAVAILABLE,
    &ORIGIN_TIMED_OUT,
    &NOT_CONFIGURED,
    &UNAUTHORIZED,
    &OUT_OF_TOLERANCE,
    &BODY_CUT_SHORT,
    &BODY_TOO_LARGE,
    &NOT_JSON,
    &NOT_AN_OBJECT,
    &NOT_QUEUED,
    &NOT_REFRESHED,
    &WRONG_REFRESH_SECRET,
    &PREFIX_IN_USE,
];

/// The path is neither the list's nor an item's.
pub const NO_SUCH_PATH: Problem = Problem {
    name: "no-such-path",
    title: "No such path",
    status: StatusCode::NOT_FOUND,
    detail: "An id is 1 to 255 bytes of UTF-8. Percent-encode it, including slashes: \
             /articles/2024%2F01.",
};

/// The row does not exist, or the anonymous key may not read it.
pub const NO_SUCH_ARTICLE: Problem = Problem {
    name: "no-such-article",
    title: "No such article",
    status: StatusCode::NOT_FOUND,
    detail: "There is no such article.",
};

/// 405.
pub const METHOD_NOT_ALLOWED: Problem = Problem {
    name: "method-not-allowed",
    title: "Method not allowed",
    status: StatusCode::METHOD_NOT_ALLOWED,
    detail: "This resource does not support this method. The header `Allow` lists those that it \
             supports.",
};

/// 406.
pub const NOT_ACCEPTABLE: Problem = Problem {
    name: "not-acceptable",
    title: "Not acceptable",
    status: StatusCode::NOT_ACCEPTABLE,
    detail: "Articles are application/json, available without a content coding. `Accept` and \
             `Accept-Encoding` must allow that.",
};

/// The origin could not be reached, or its response could not be used.
pub const ORIGIN_FAILED: Problem = Problem {
    name: "origin-failed",
    title: "Origin failed",
    status: StatusCode::BAD_GATEWAY,
    detail: "This resource is not in the cache, and its origin sent no usable response. Try again \
             later.",
};

/// The origin is overloaded or down for maintenance.
pub const ORIGIN_UNAVAILABLE: Problem = Problem {
    name: "origin-unavailable",
    title: "Origin unavailable",
    status: StatusCode::SERVICE_UNAVAILABLE,
    detail: "This resource is not in the cache, and its origin is unavailable. Try again later.",
};

/// The origin did not respond in time.
pub const ORIGIN_TIMED_OUT: Problem = Problem {
    name: "origin-timed-out",
    title: "Origin timed out",
    status: StatusCode::GATEWAY_TIMEOUT,
    detail: "This resource is not in the cache, and its origin did not respond in time. Try again \
             later.",
};

/// A variable is missing or invalid.
pub const NOT_CONFIGURED: Problem = Problem {
    name: "not-configured",
    title: "Not configured",
    status: StatusCode::INTERNAL_SERVER_ERROR,
    detail: "This application is not configured correctly. Its log says why.",
};

/// Neither a valid bearer token nor a valid signature.
pub const UNAUTHORIZED: Problem = Problem {
    name: "unauthorized",
    title: "Unauthorized",
    status: StatusCode::UNAUTHORIZED,
    detail: "Send `Authorization: Bearer` with the webhook secret, or sign the webhook as Standard \
             Webhooks specifies.",
};

/// A request to refresh has no valid bearer token.
pub const WRONG_REFRESH_SECRET: Problem = Problem {
    name: "wrong-refresh-secret",
    title: "Wrong refresh secret",
    status: StatusCode::UNAUTHORIZED,
    detail: "Send `Authorization: Bearer` with the value of `refresh_secret`.",
};

/// A signature's timestamp is too far from the current time.
pub const OUT_OF_TOLERANCE: Problem = Problem {
    name: "out-of-tolerance",
    title: "Timestamp out of tolerance",
    status: StatusCode::UNAUTHORIZED,
    detail: "The webhook's timestamp differs from this server's time by more than five minutes, or \
             is not a number of seconds since 1970.",
};

/// The body is incomplete.
pub const BODY_CUT_SHORT: Problem = Problem {
    name: "body-cut-short",
    title: "Body cut short",
    status: StatusCode::BAD_REQUEST,
    detail: "The body was incomplete, or did not arrive within ten seconds.",
};

/// 413.
pub const BODY_TOO_LARGE: Problem = Problem {
    name: "body-too-large",
    title: "Body too large",
    status: StatusCode::PAYLOAD_TOO_LARGE,
    detail: "The body of a signed webhook must not exceed 4 MiB, because the signature covers all \
             of it.",
};

/// The body cannot be parsed.
pub const NOT_JSON: Problem = Problem {
    name: "not-json",
    title: "Not JSON",
    status: StatusCode::BAD_REQUEST,
    detail: "The body is not JSON.",
};

/// The body is other JSON.
pub const NOT_AN_OBJECT: Problem = Problem {
    name: "not-an-object",
    title: "Not an object",
    status: StatusCode::BAD_REQUEST,
    detail: "The body is not a JSON object, as a database webhook's is.",
};

/// A webhook could not be queued.
pub const NOT_QUEUED: Problem = Problem {
    name: "not-queued",
    title: "Not queued",
    status: StatusCode::SERVICE_UNAVAILABLE,
    detail: "Neither Redis nor the key-value store accepted the change. Nothing was stored: send \
             the webhook again.",
};

/// The worker could not work.
pub const NOT_REFRESHED: Problem = Problem {
    name: "not-refreshed",
    title: "Not refreshed",
    status: StatusCode::SERVICE_UNAVAILABLE,
    detail: "Redis or the key-value store failed. The tasks stay queued: try again later.",
};

/// Another application uses the same Redis prefix.
pub const PREFIX_IN_USE: Problem = Problem {
    name: "prefix-in-use",
    title: "Prefix in use",
    status: StatusCode::CONFLICT,
    detail: "Another application uses the same `redis_prefix`. The log says which.",
};

fn urn<S: Serializer>(name: &&'static str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{URN}{name}"))
}

fn number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_serialized_with_the_members_of_rfc_9457() {
        assert_eq!(
            serde_json::to_string(&NO_SUCH_ARTICLE).unwrap(),
            r#"{"type":"urn:problem-type:afterword:no-such-article","title":"No such article","status":404,"detail":"There is no such article."}"#
        );
    }

    #[test]
    fn every_problem_is_documented_with_its_status() {
        const PAGE: &str = include_str!("../../../docs/problems.md");
        let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
        assert_eq!(rows.count(), ALL.len());
        for problem in ALL {
            let row = format!("| `{}` | {} |", problem.name, problem.status.as_u16());
            assert!(PAGE.contains(&row), "{row}");
        }
    }
}
