//! The types of columns. Converts values between text, JSON and SQLite.

use std::num::{IntErrorKind, ParseIntError};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use rusqlite::types::{Value as Sql, ValueRef};
use serde_json::Value as Json;

use crate::error::RestError;

/// The PostgreSQL types that the stand-in distinguishes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Type {
    Bigint,
    Double,
    Boolean,
    Timestamptz,
    Text,
}

impl Type {
    /// The type in a column's declaration. An unknown type is text.
    pub fn declared(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "integer" | "int" | "bigint" | "smallint" => Self::Bigint,
            "real" | "double precision" | "float" | "numeric" => Self::Double,
            "boolean" | "bool" => Self::Boolean,
            "timestamptz" | "timestamp with time zone" => Self::Timestamptz,
            _ => Self::Text,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bigint => "bigint",
            Self::Double => "double precision",
            Self::Boolean => "boolean",
            Self::Timestamptz => "timestamp with time zone",
            Self::Text => "text",
        }
    }

    /// Parses a value of this type like PostgreSQL's input functions.
    pub fn parse(self, text: &str) -> Result<Sql, RestError> {
        let word = text.trim();
        let value = match self {
            Self::Text => Some(Sql::Text(text.to_owned())),
            Self::Bigint => match word.parse() {
                Ok(number) => Some(Sql::Integer(number)),
                Err(error) if overflows(&error) => return Err(self.out_of_range(text)),
                Err(_) => None,
            },
            Self::Double => word.parse().ok().map(Sql::Real),
            Self::Boolean => match word.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "on" | "1" => Some(Sql::Integer(1)),
                "false" | "f" | "no" | "n" | "off" | "0" => Some(Sql::Integer(0)),
                _ => None,
            },
            Self::Timestamptz => word
                .parse::<Timestamp>()
                .ok()
                .or_else(|| {
                    Some(
                        word.parse::<DateTime>()
                            .ok()?
                            .to_zoned(TimeZone::UTC)
                            .ok()?
                            .timestamp(),
                    )
                })
                .map(|time| Sql::Text(timestamptz(time))),
        };
        value.ok_or_else(|| {
            let code = if self == Self::Timestamptz {
                "22007"
            } else {
                "22P02"
            };
            RestError::new(
                400,
                code,
                format!(
                    "invalid input syntax for type {}: {}",
                    self.name(),
                    Json::from(text)
                ),
            )
        })
    }

    fn out_of_range(self, text: &str) -> RestError {
        let message = format!("value \"{text}\" is out of range for type {}", self.name());
        RestError::new(400, "22003", message)
    }

    /// Converts JSON to a value of this type. Like `json_to_recordset`, it parses the JSON's text.
    pub fn read_json(self, value: &Json) -> Result<Sql, RestError> {
        match value {
            Json::Null => Ok(Sql::Null),
            Json::String(text) => self.parse(text),
            other => self.parse(&other.to_string()),
        }
    }

    /// Converts a stored value to JSON.
    pub fn write_json(self, value: ValueRef<'_>) -> Json {
        match value {
            ValueRef::Null => Json::Null,
            ValueRef::Integer(n) if self == Self::Boolean => Json::Bool(n != 0),
            ValueRef::Integer(n) => Json::from(n),
            ValueRef::Real(x) => Json::from(x),
            ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into(),
        }
    }
}

fn overflows(error: &ParseIntError) -> bool {
    matches!(
        error.kind(),
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow
    )
}

/// The text of a `timestamptz` in JSON: UTC, microseconds without trailing zeros. Such texts sort
/// by time, since `+` sorts before `.` and `.` before the digits.
pub(crate) fn timestamptz(time: Timestamp) -> String {
    let micros = Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time);
    micros
        .to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%dT%H:%M:%S%.f+00:00")
        .to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn timestamps_are_in_utc_and_sort_by_time() {
        let text = |input: &str| match Type::Timestamptz.parse(input).unwrap() {
            Sql::Text(text) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(text("2026-11-23T03:57:00Z"), "2026-11-23T03:57:00+00:00");
        assert_eq!(
            text("2026-11-23 05:57:00.5+02"),
            "2026-11-23T03:57:00.5+00:00"
        );
        assert_eq!(text("2026-11-23"), "2026-11-23T00:00:00+00:00");
        assert_eq!(
            text("2026-11-23T03:57:00.861404+00:00"),
            "2026-11-23T03:57:00.861404+00:00"
        );
        assert!(text("2026-11-23T03:57:00Z") < text("2026-11-23T03:57:00.5Z"));
        assert!(text("2026-11-23T03:57:00.5Z") < text("2026-11-23T03:57:00.51Z"));
    }

    #[test]
    fn a_value_of_another_type_has_postgres_error() {
        let error = Type::Bigint.parse("abc").unwrap_err();
        assert_eq!((error.status, error.code), (400, "22P02"));
        assert_eq!(
            error.message,
            r#"invalid input syntax for type bigint: "abc""#
        );
        assert_eq!(
            Type::Bigint.read_json(&json!(true)).unwrap_err().code,
            "22P02"
        );
        assert_eq!(Type::Timestamptz.parse("soon").unwrap_err().code, "22007");
    }

    #[test]
    fn a_too_large_number_is_out_of_range() {
        for text in ["9223372036854775808", "-99999999999999999999"] {
            let error = Type::Bigint.parse(text).unwrap_err();
            assert_eq!((error.status, error.code), (400, "22003"));
            assert_eq!(
                error.message,
                format!("value \"{text}\" is out of range for type bigint")
            );
        }
        assert_eq!(
            Type::Bigint.parse("9223372036854775807").unwrap(),
            Sql::Integer(i64::MAX)
        );
    }

    #[test]
    fn json_values_are_parsed_from_their_text() {
        assert_eq!(
            Type::Bigint.read_json(&json!("12")).unwrap(),
            Sql::Integer(12)
        );
        assert_eq!(
            Type::Boolean.read_json(&json!(true)).unwrap(),
            Sql::Integer(1)
        );
        assert_eq!(
            Type::Text.read_json(&json!(7)).unwrap(),
            Sql::Text("7".into())
        );
        assert_eq!(Type::Text.read_json(&json!(null)).unwrap(), Sql::Null);
    }
}
