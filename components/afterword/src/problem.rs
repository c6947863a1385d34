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
pub const ALL: [&Problem; 29] = [
    &NO_SUCH_PATH,
    &UNSUPPORTED_QUERY,
    &NO_SUCH_ROWS,
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
    &NO_SUCH_PAGE,
    &NO_SUCH_EVENT,
    &WRONG_ADMIN_TOKEN,
    &STATUS_DISABLED,
    &CROSS_SITE,
    &INVALID_FORM,
    &INVALID_KEY,
    &REDIS_AWAY,
    &NOT_READY,
];

/// The path is neither the list's nor an item's.
pub const NO_SUCH_PATH: Problem = Problem {
    name: "no-such-path",
    title: "No such path",
    status: StatusCode::NOT_FOUND,
    detail: "An id is 1 to 255 bytes of UTF-8. Percent-encode it, including slashes: \
             /articles/2024%2F01.",
};

/// A query parameter that would change the meaning of the response, but is not supported.
pub const UNSUPPORTED_QUERY: Problem = Problem {
    name: "unsupported-query",
    title: "Unsupported query",
    status: StatusCode::BAD_REQUEST,
    detail: "The list has the query parameters `limit` and `offset`: /articles?limit=20&offset=40. \
             Each is a whole number, and occurs once. An article has none.",
};

/// 416, as PostgREST responds to an offset beyond the end if it counts.
pub const NO_SUCH_ROWS: Problem = Problem {
    name: "no-such-rows",
    title: "No such rows",
    status: StatusCode::RANGE_NOT_SATISFIABLE,
    detail: "The offset is beyond the end of the list. `Content-Range` has the number of rows.",
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

/// The component `status` has no such path.
pub const NO_SUCH_PAGE: Problem = Problem {
    name: "no-such-page",
    title: "No such page",
    status: StatusCode::NOT_FOUND,
    detail: "The status page is at /status, and the metrics are at /metrics.",
};

/// The event's id is unknown.
pub const NO_SUCH_EVENT: Problem = Problem {
    name: "no-such-event",
    title: "No such event",
    status: StatusCode::NOT_FOUND,
    detail: "The id is not one of the last 200 that an acknowledgement had.",
};

/// A request to the status page has no valid bearer token.
pub const WRONG_ADMIN_TOKEN: Problem = Problem {
    name: "wrong-admin-token",
    title: "Wrong admin token",
    status: StatusCode::UNAUTHORIZED,
    detail: "Log in at /status/login, or send `Authorization: Bearer` with the value of \
             `admin_token`.",
};

/// Neither `admin_token` nor `status_public` is set.
pub const STATUS_DISABLED: Problem = Problem {
    name: "status-disabled",
    title: "Status page disabled",
    status: StatusCode::FORBIDDEN,
    detail: "The variable `admin_token` is not set. The page can be read with it or with \
             `status_public`; its actions need it.",
};

/// A form was sent by another site.
pub const CROSS_SITE: Problem = Problem {
    name: "cross-site",
    title: "Sent by another site",
    status: StatusCode::FORBIDDEN,
    detail: "Only the status page itself may send this form. A program sends the bearer token \
             instead of the cookie.",
};

/// A form cannot be read.
pub const INVALID_FORM: Problem = Problem {
    name: "invalid-form",
    title: "Invalid form",
    status: StatusCode::BAD_REQUEST,
    detail: "The form is larger than 8 KiB, or did not arrive within ten seconds.",
};

/// The key of a form is none.
pub const INVALID_KEY: Problem = Problem {
    name: "invalid-key",
    title: "Invalid key",
    status: StatusCode::BAD_REQUEST,
    detail: "A key is a path, such as /articles or /articles/7.",
};

/// Redis does not respond to the status page.
pub const REDIS_AWAY: Problem = Problem {
    name: "redis-away",
    title: "Redis is away",
    status: StatusCode::SERVICE_UNAVAILABLE,
    detail: "Redis does not respond, and nothing was done. Try again later.",
};

/// Neither Redis nor the key-value store responds.
pub const NOT_READY: Problem = Problem {
    name: "not-ready",
    title: "Not ready",
    status: StatusCode::SERVICE_UNAVAILABLE,
    detail: "Neither Redis nor the key-value store responds.",
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
