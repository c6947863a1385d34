//! The media type of a response, from the `Accept` header.

use http::{HeaderMap, header::ACCEPT};

use crate::error::RestError;

/// An array of rows, or one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Media {
    Array,
    Object,
}

const OBJECT: &str = "application/vnd.pgrst.object+json";

impl Media {
    /// The first supported media type of `Accept`, or else 406 (PGRST107).
    pub fn accepted(headers: &HeaderMap) -> Result<Self, RestError> {
        let Some(accept) = headers.get(ACCEPT) else {
            return Ok(Self::Array);
        };
        let accept = accept.to_str().unwrap_or_default();
        accept.split(',').find_map(Self::named).ok_or_else(|| {
            let message = format!("None of these media types are available: {accept}");
            RestError::new(406, "PGRST107", message)
        })
    }

    /// The supported media type of an `Accept` item. The stand-in does not support
    /// `nulls=stripped`, and a response with nulls would be a wrong one.
    fn named(item: &str) -> Option<Self> {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let strips_nulls = parameters
            .split(';')
            .any(|parameter| parameter.trim() == "nulls=stripped");
        match name.trim() {
            "" | "*/*" | "application/*" | "application/json" => Some(Self::Array),
            OBJECT | "application/vnd.pgrst.object" if !strips_nulls => Some(Self::Object),
            _ => None,
        }
    }

    pub fn content_type(self) -> String {
        match self {
            Self::Array => "application/json; charset=utf-8".to_owned(),
            Self::Object => format!("{OBJECT}; charset=utf-8"),
        }
    }

    /// The body of these rows: an array like PostgreSQL's `json_agg`, or the only row, or else
    /// PGRST116.
    pub fn body(self, rows: &[String]) -> Result<String, RestError> {
        match (self, rows) {
            (Self::Object, [row]) => Ok(row.clone()),
            (Self::Object, rows) => Err(RestError::not_singular(rows.len())),
            (Self::Array, rows) => Ok(format!("[{}]", rows.join(", \n "))),
        }
    }
}
