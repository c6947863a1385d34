//! Errors as RFC 9457 has them: each kind with a type that stays the same, for programs, and a sentence for people. None says anything of
//! what is inside: no URL, no key, no word of Redis's or the origin's.

use http::StatusCode;
use serde::{Serialize, Serializer};

/// A kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its type's last part: `urn:problem-type:afterword:{name}`.
    #[serde(rename = "type", serialize_with = "urn")]
    pub name: &'static str,
    /// The same for people, in short.
    pub title: &'static str,
    /// The status of the answer.
    #[serde(serialize_with = "number")]
    pub status: StatusCode,
    /// What is wrong, and what to do about it.
    pub detail: &'static str,
}

/// What the types of all problems begin with.
pub const URN: &str = "urn:problem-type:afterword:";

/// All of them.
pub const ALL: [&Problem; 16] = [
    &NO_SUCH_PATH,
    &NO_SUCH_ARTICLE,
    &METHOD_NOT_ALLOWED,
    &NOT_ACCEPTABLE,
    &ORIGIN_FAILED,
    &ORIGIN_UNAVAILABLE,
    &ORIGIN_TIMED_OUT,
    &NOT_SET_UP,
    &UNAUTHORIZED,
    &OUT_OF_TOLERANCE,
    &BODY_CUT_SHORT,
    &BODY_TOO_LARGE,
    &NOT_JSON,
    &NOT_AN_OBJECT,
    &TOO_DEEP,
    &NOT_NOTED,
];

/// The path is no article's, and not the list's.
pub const NO_SUCH_PATH: Problem = Problem {
    name: "no-such-path",
    title: "No such path",
    status: StatusCode::NOT_FOUND,
    detail: "An id is 1 to 255 bytes of UTF-8. Percent-encode it, slashes too: /articles/2024%2F01.",
};

/// There is no such row, or it may not be read.
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
    detail: "This resource does not answer this method; the field `Allow` lists those that it does.",
};

/// 406.
pub const NOT_ACCEPTABLE: Problem = Problem {
    name: "not-acceptable",
    title: "Not acceptable",
    status: StatusCode::NOT_ACCEPTABLE,
    detail: "Articles are application/json, without a content coding if need be: let `Accept` and `Accept-Encoding` allow that.",
};

/// The origin could not be reached, or its answer could not be understood.
pub const ORIGIN_FAILED: Problem = Problem {
    name: "origin-failed",
    title: "Origin failed",
    status: StatusCode::BAD_GATEWAY,
    detail: "Nothing is stored here of this resource, and its origin gave no usable answer. Try again later.",
};

/// The origin asks for patience.
pub const ORIGIN_UNAVAILABLE: Problem = Problem {
    name: "origin-unavailable",
    title: "Origin unavailable",
    status: StatusCode::SERVICE_UNAVAILABLE,
    detail: "Nothing is stored here of this resource, and its origin cannot answer now. Try again later.",
};

/// The origin took too long.
pub const ORIGIN_TIMED_OUT: Problem = Problem {
    name: "origin-timed-out",
    title: "Origin timed out",
    status: StatusCode::GATEWAY_TIMEOUT,
    detail: "Nothing is stored here of this resource, and its origin did not answer in time. Try again later.",
};

/// A variable is missing or cannot be used.
pub const NOT_SET_UP: Problem = Problem {
    name: "not-set-up",
    title: "Not set up",
    status: StatusCode::INTERNAL_SERVER_ERROR,
    detail: "This application is not set up; its log says why.",
};

/// Neither the right bearer token nor a right signature.
pub const UNAUTHORIZED: Problem = Problem {
    name: "unauthorized",
    title: "Unauthorized",
    status: StatusCode::UNAUTHORIZED,
    detail: "Send `Authorization: Bearer` with the webhook secret, or sign the webhook as Standard Webhooks has it.",
};

/// A signature's time is too far from now.
pub const OUT_OF_TOLERANCE: Problem = Problem {
    name: "out-of-tolerance",
    title: "Timestamp out of tolerance",
    status: StatusCode::UNAUTHORIZED,
    detail: "The webhook's timestamp is more than five minutes from this server's time, or is no number of seconds since 1970.",
};

/// The body ended before its end.
pub const BODY_CUT_SHORT: Problem = Problem {
    name: "body-cut-short",
    title: "Body cut short",
    status: StatusCode::BAD_REQUEST,
    detail: "The body did not arrive whole, or not within ten seconds.",
};

/// 413.
pub const BODY_TOO_LARGE: Problem = Problem {
    name: "body-too-large",
    title: "Body too large",
    status: StatusCode::PAYLOAD_TOO_LARGE,
    detail: "A signed webhook's body has at most 4 MiB: its signature covers all of it.",
};

/// The body cannot be parsed.
pub const NOT_JSON: Problem = Problem {
    name: "not-json",
    title: "Not JSON",
    status: StatusCode::BAD_REQUEST,
    detail: "The body is not JSON.",
};

/// The body is some other JSON.
pub const NOT_AN_OBJECT: Problem = Problem {
    name: "not-an-object",
    title: "Not an object",
    status: StatusCode::BAD_REQUEST,
    detail: "The body is not a JSON object, as a database webhook's is.",
};

/// The body's values lie in each other too often.
pub const TOO_DEEP: Problem = Problem {
    name: "too-deep",
    title: "Nested too deep",
    status: StatusCode::BAD_REQUEST,
    detail: "The body's objects and arrays are more than a thousand deep in each other.",
};

/// Nothing was kept of a webhook.
pub const NOT_NOTED: Problem = Problem {
    name: "not-noted",
    title: "Not noted",
    status: StatusCode::SERVICE_UNAVAILABLE,
    detail: "Neither Redis nor the key-value store took the change. Nothing was kept of it: send it again.",
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
    fn a_problem_is_written_with_the_members_of_rfc_9457() {
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
