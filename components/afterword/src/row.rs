//! Reads single columns of a row's JSON. The row itself is stored and served unchanged.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The [`text`] of a column; `None` for other values and for missing columns.
pub fn column(row: &str, name: &str) -> Option<String> {
    text(json(row, name)?)
}

/// The JSON of a column; `None` for a missing column.
pub fn json<'a>(row: &'a str, name: &str) -> Option<&'a str> {
    member(row, name).map(RawValue::get)
}

/// The text of a JSON string, or the digits of a number. `None` for other values.
pub fn text(value: &str) -> Option<String> {
    match value.as_bytes() {
        [b'"', ..] => serde_json::from_str(value).ok(),
        [b'-' | b'0'..=b'9', ..] => Some(value.to_owned()),
        _ => None,
    }
}

/// Whether the column exists and is NULL.
pub fn is_null(row: &str, name: &str) -> bool {
    json(row, name) == Some("null")
}

/// Whether an item and a row of the list have the same values in all columns that both have. With
/// `all_columns`, the row must also have every column of the item.
pub fn agree(item: &[u8], row: &str, all_columns: bool) -> bool {
    let Ok(item) = str::from_utf8(item) else {
        return false;
    };
    let (mut agree, mut shared, mut columns) = (true, 0, 0);
    let read = members(row, |name, value| {
        if let Some(own) = member(item, name) {
            agree &= own.get() == value.get();
            shared += 1;
        }
    });
    let counted = members(item, |_, _| columns += 1);
    agree && read.is_some() && counted.is_some() && (!all_columns || shared == columns)
}

/// The member of a JSON object with this name, not parsed; the last one, if there are several.
fn member<'a>(object: &'a str, name: &str) -> Option<&'a RawValue> {
    let mut found = None;
    members(object, |member, value| {
        if member == name {
            found = Some(value);
        }
    })?;
    found
}

/// Calls `each` for every member of a JSON object. Returns `None` for other JSON.
fn members<'a>(object: &'a str, each: impl FnMut(&str, &'a RawValue)) -> Option<()> {
    serde_json::Deserializer::from_str(object)
        .deserialize_map(Members(each))
        .ok()
}

struct Members<F>(F);

impl<'a, F: FnMut(&str, &'a RawValue)> Visitor<'a> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut members: M) -> Result<(), M::Error> {
        while let Some(Name(name)) = members.next_key()? {
            (self.0)(&name, members.next_value()?);
        }
        Ok(())
    }
}

/// A member's name, borrowed if it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_read_as_text_if_it_is_a_string_or_a_number() {
        let row = r#"{"id": 7, "big": 12345678901234567890, "part": 1.0, "slug": "\u00e9",
            "no": null, "yes": true, "tags": ["x"]}"#;
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
            assert_eq!(is_null(row, name), name == "no", "{name}");
        }
    }

    #[test]
    fn anything_but_an_object_has_no_columns() {
        for text in ["[7]", "7", "null", r#""id""#] {
            assert_eq!(column(text, "id"), None);
        }
    }

    fn agrees(item: &str, row: &str) -> bool {
        agree(item.as_bytes(), row, false)
    }

    #[test]
    fn an_item_agrees_with_a_row_that_has_the_same_values() {
        assert!(agrees(
            r#"{"id":7,"title":"T","body":"B"}"#,
            r#"{"title":"T","id":7}"#
        ));
        assert!(
            agrees(r#"{"id":7}"#, r#"{"id":7,"comments":3}"#),
            "a column that the item lacks cannot be outdated"
        );
    }

    #[test]
    fn all_columns_requires_every_column_of_the_item() {
        let all_columns = |row| {
            let item = br#"{"id":7,"title":"T"}"#;
            agree(item, row, true)
        };
        assert!(all_columns(r#"{"id":7,"title":"T","comments":3}"#));
        assert!(!all_columns(r#"{"id":7,"comments":3}"#));
    }

    #[test]
    fn an_item_with_another_value_does_not_agree() {
        assert!(!agrees(
            r#"{"id":7,"title":"T"}"#,
            r#"{"id":7,"title":"U"}"#
        ));
        assert!(!agrees(
            r#"{"id":7,"title":null}"#,
            r#"{"id":7,"title":"T"}"#
        ));
        assert!(!agrees("", "{}"), "an item that cannot be parsed");
    }
}
