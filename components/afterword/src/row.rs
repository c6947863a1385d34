//! A row as JSON, which is passed on as it came: looked at are just the id, and whether two rows say the same.

use serde::de::{Deserializer, MapAccess, Visitor};
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

/// Whether a column is there and NULL.
pub fn is_null(row: &RawValue, name: &str) -> bool {
    member(row.get(), name).is_some_and(|value| value.get() == "null")
}

/// Whether an item says the same as a row of the list in all columns that both have; with `wholly`,
/// whether the row also has every column of the item.
pub fn agree(item: &[u8], row: &RawValue, wholly: bool) -> bool {
    let Ok(item) = str::from_utf8(item) else {
        return false;
    };
    let (mut agree, mut shared, mut columns) = (true, 0, 0);
    let read = members(row.get(), |name, value| {
        if let Some(own) = member(item, name) {
            agree &= own.get() == value.get();
            shared += 1;
        }
    });
    let counted = members(item, |_, _| columns += 1);
    agree && read.is_some() && counted.is_some() && (!wholly || shared == columns)
}

/// The member of a JSON object with this name, unread; the last, if there are several.
fn member<'a>(object: &'a str, name: &str) -> Option<&'a RawValue> {
    let mut found = None;
    members(object, |member, value| {
        if member == name {
            found = Some(value);
        }
    })?;
    found
}

/// Gives each member of a JSON object to `each`; `None` if it is none.
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
            assert_eq!(is_null(row, name), name == "no", "{name}");
        }
    }

    #[test]
    fn what_is_no_object_has_no_columns() {
        for text in ["[7]", "7", "null", r#""id""#] {
            assert_eq!(column(serde_json::from_str(text).unwrap(), "id"), None);
        }
    }

    fn agrees(item: &str, row: &str) -> bool {
        agree(item.as_bytes(), serde_json::from_str(row).unwrap(), false)
    }

    #[test]
    fn an_item_agrees_with_a_row_that_has_the_same_values() {
        assert!(agrees(
            r#"{"id":7,"title":"T","body":"B"}"#,
            r#"{"title":"T","id":7}"#
        ));
        assert!(
            agrees(r#"{"id":7}"#, r#"{"id":7,"comments":3}"#),
            "what the item does not have cannot be outdated in it"
        );
    }

    #[test]
    fn an_item_agrees_wholly_with_a_row_that_has_all_its_columns() {
        let wholly = |row| {
            let item = br#"{"id":7,"title":"T"}"#;
            agree(item, serde_json::from_str(row).unwrap(), true)
        };
        assert!(wholly(r#"{"id":7,"title":"T","comments":3}"#));
        assert!(!wholly(r#"{"id":7,"comments":3}"#));
    }

    #[test]
    fn an_item_with_another_value_does_not() {
        assert!(!agrees(
            r#"{"id":7,"title":"T"}"#,
            r#"{"id":7,"title":"U"}"#
        ));
        assert!(!agrees(
            r#"{"id":7,"title":null}"#,
            r#"{"id":7,"title":"T"}"#
        ));
        assert!(!agrees("", "{}"), "nor one that cannot be read");
    }
}
