//! PostgREST's errors: object, codes and statuses.
//!
//! Source: PostgREST's `Error.hs` and
//! <https://docs.postgrest.org/en/stable/references/errors.html>.

use std::fmt;

use serde_json::json;

use crate::response::Response;

/// An error. Codes that start with `PGRST` are PostgREST's, other codes are PostgreSQL's
/// `SQLSTATE`.
#[derive(Debug, PartialEq)]
pub(crate) struct RestError {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    pub details: Option<String>,
    pub hint: Option<String>,
}

impl RestError {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: None,
            hint: None,
        }
    }

    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = Some(details.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An invalid query parameter. `column` counts from 1.
    pub fn parse(what: &str, value: &str, column: usize, expecting: &str) -> Self {
        let unexpected = match value.chars().nth(column - 1) {
            Some(found) => format!("{:?}", found.to_string()),
            None => "end of input".to_owned(),
        };
        Self::new(
            400,
            "PGRST100",
            format!("\"failed to parse {what} ({value})\" (line 1, column {column})"),
        )
        .details(format!("unexpected {unexpected} expecting {expecting}"))
    }

    /// A feature of PostgREST that this stand-in lacks.
    pub fn not_implemented(details: impl Into<String>) -> Self {
        Self::new(400, "PGRST127", "Feature not implemented").details(details)
    }

    /// A missing permission. PostgREST's status is 401 for the anonymous role and 403 for others.
    /// Here, only the anonymous role is restricted.
    pub fn insufficient_privilege(message: impl Into<String>) -> Self {
        Self::new(401, "42501", message)
    }

    /// `Accept: application/vnd.pgrst.object+json` with another number of rows than one.
    pub fn not_singular(rows: usize) -> Self {
        Self::new(
            406,
            "PGRST116",
            "Cannot coerce the result to a single JSON object",
        )
        .details(format!("The result contains {rows} rows"))
    }

    pub fn response(&self) -> Response {
        // PostgREST's JSON library, aeson, sorts the keys of an object.
        let body = json!({
            "code": self.code,
            "details": self.details,
            "hint": self.hint,
            "message": self.message,
        });
        let mut response = Response::json(self.status, body.to_string())
            .header("proxy-status", format!("PostgREST; error={}", self.code));
        if self.code == "PGRST301" {
            response = response.header(
                "www-authenticate",
                format!(
                    "Bearer error=\"invalid_token\", error_description={:?}",
                    self.message
                ),
            );
        } else if self.status == 401 {
            response = response.header("www-authenticate", "Bearer");
        }
        response
    }
}

impl fmt::Display for RestError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.message, self.code)?;
        match &self.details {
            Some(details) => write!(out, ": {details}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RestError {}

/// For SQL of this crate: any SQLite error but a violated constraint is a bug here.
impl From<rusqlite::Error> for RestError {
    fn from(error: rusqlite::Error) -> Self {
        Self::new(500, "XX000", error.to_string())
    }
}
