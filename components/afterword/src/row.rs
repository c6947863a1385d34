//! A row as JSON, of which just the id is ever looked at.

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A column's value as text: a string's characters or a number's digits. `None` for any other value, or none.
pub fn column(row: &RawValue, name: &str) -> Option<String> {
    let value = member(row.get(), name)?.get();
    match value.as_bytes() {
        [b'"', ..] => serde_json::from_str(value).ok(),
        [b'-' | b'0'..=b'9', ..] => Some(value.to_owned()),
        _ => None,
    }
}

/// The member of a JSON object with this name, unread; the last, if there are several.
fn member<'a>(object: &'a str, name: &str) -> Option<&'a RawValue> {
    serde_json::Deserializer::from_str(object)
        .deserialize_map(Member(name))
        .ok()?
}

struct Member<'n>(&'n str);

impl<'a> Visitor<'a> for Member<'_> {
    type Value = Option<&'a RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut members: M) -> Result<Self::Value, M::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<Name>()? {
            if name.0 == self.0 {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A member's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_read_as_text_if_it_is_a_string_or_a_number() {
        let row = r#"{"id": 7, "big": 12345678901234567890, "part": 1.0, "slug": "\u00e9", "no": null, "yes": true, "tags": ["x"]}"#;
        let row: &RawValue = serde_json::from_str(row).unwrap();
        for (name, text) in [
            ("id", "7"),
            ("big", "12345678901234567890"),
            ("part", "1.0"),
            ("slug", "é"),
        ] {
            assert_eq!(column(row, name).as_deref(), Some(text));
        }
        for name in ["no", "yes", "tags", "missing"] {
            assert_eq!(column(row, name), None);
        }
    }

    #[test]
    fn what_is_no_object_has_no_columns() {
        for text in ["[7]", "7", "null", r#""id""#] {
            assert_eq!(column(serde_json::from_str(text).unwrap(), "id"), None);
        }
    }
}
