//! What a Supabase database webhook marks. Its body is a hint, never content: it says which keys may have changed, and the
//! rows are fetched as they are now. So an old, repeated or forged webhook can cause a needless fetch and nothing else, and
//! a column that row-level security hides never gets into the cache.

use crate::key::{Id, Key};
use crate::problem::{NOT_AN_OBJECT, NOT_JSON, Problem, TOO_DEEP};
use crate::row;
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// How deep a body's objects and arrays may lie in each other: deeper than any row's that people write, and far less than PostgreSQL
/// could send.
const DEPTH: usize = 1_000;

/// The table that the application caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The column whose value is the id in `/articles/{id}`.
    pub id_column: String,
}

/// Members of a JSON object by name, their values unread.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The keys that a webhook with this body marks, each once.
///
/// `INSERT`, `UPDATE` and `DELETE` mark the row's item, under its old id too if that is another, and the list. Any other type, or
/// an id that no path can have, marks the list alone. A webhook of another table or schema marks nothing; one that names none
/// (a hand-made `{}`) counts as the table's own.
pub fn marked(body: &[u8], table: &Table) -> Result<Vec<Key>, &'static Problem> {
    if deeper_than(DEPTH, body) {
        return Err(&TOO_DEEP);
    }
    let members: Members =
        serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Data => &NOT_AN_OBJECT,
            Category::Syntax | Category::Eof | Category::Io => &NOT_JSON,
        })?;
    if !names(&members, "schema", &table.schema) || !names(&members, "table", &table.name) {
        return Ok(Vec::new());
    }
    let mut keys = vec![Key::List];
    if let Some("INSERT" | "UPDATE" | "DELETE") = text(&members, "type").as_deref() {
        for row in ["record", "old_record"] {
            let id = members
                .get(row)
                .and_then(|row| row::column(row, &table.id_column))
                .and_then(Id::parse);
            keys.extend(id.map(Key::Item).filter(|key| !keys.contains(key)));
        }
    }
    Ok(keys)
}

/// Whether objects and arrays lie deeper in each other. Says something about any bytes, JSON or not.
fn deeper_than(depth: usize, body: &[u8]) -> bool {
    let (mut open, mut quoted, mut escaped) = (0_usize, false, false);
    body.iter().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => open += 1,
            b'}' | b']' if !quoted => open = open.saturating_sub(1),
            _ => {}
        }
        open > depth
    })
}

fn names(members: &Members, member: &str, expected: &str) -> bool {
    !members.contains_key(member) || text(members, member).as_deref() == Some(expected)
}

fn text(members: &Members, member: &str) -> Option<String> {
    serde_json::from_str(members.get(member)?.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            schema: "public".into(),
            name: "articles".into(),
            id_column: "id".into(),
        }
    }

    fn paths(body: &str) -> Vec<String> {
        let keys = marked(body.as_bytes(), &table()).expect(body);
        keys.iter().map(Key::to_string).collect()
    }

    #[test]
    fn a_change_marks_its_item_and_the_list() {
        for body in [
            r#"{"type": "INSERT", "table": "articles", "record": {"id": 7, "body": "x"}, "schema": "public", "old_record": null}"#,
            r#"{"type": "UPDATE", "table": "articles", "record": {"id": 7}, "schema": "public", "old_record": {"id": 7}}"#,
            r#"{"type": "DELETE", "table": "articles", "record": null, "schema": "public", "old_record": {"id": 7}}"#,
            r#"{"type": "DELETE", "old_record": {"id": "7"}}"#,
            r#"{"typ\u0065": "INSERT", "record": {"\u0069d": "\u0037"}}"#,
        ] {
            assert_eq!(paths(body), ["/articles", "/articles/7"], "{body}");
        }
    }

    #[test]
    fn a_change_of_the_id_marks_both_items() {
        let body = r#"{"type": "UPDATE", "record": {"id": "new"}, "old_record": {"id": "old"}}"#;
        assert_eq!(paths(body), ["/articles", "/articles/new", "/articles/old"]);
    }

    #[test]
    fn any_other_type_marks_the_list_alone() {
        for body in [
            "{}",
            r#"{"type": "skip", "record": {"id": 7}}"#,
            r#"{"type": "insert", "record": {"id": 7}}"#,
            r#"{"type": 5, "record": {"id": 7}}"#,
            r#"{"type": null}"#,
        ] {
            assert_eq!(paths(body), ["/articles"], "{body}");
        }
    }

    #[test]
    fn an_id_of_any_text_marks_its_encoded_path() {
        for (id, path) in [
            ("thüringen", "/articles/th%C3%BCringen"),
            ("th\\u00fcringen", "/articles/th%C3%BCringen"),
            ("検索", "/articles/%E6%A4%9C%E7%B4%A2"),
            ("C++", "/articles/C%2B%2B"),
            ("a b", "/articles/a%20b"),
            ("2024/01", "/articles/2024%2F01"),
            ("2024\\/01", "/articles/2024%2F01"),
            ("%37", "/articles/%2537"),
            ("7\\n", "/articles/7%0A"),
            (r#"\"\\"#, "/articles/%22%5C"),
        ] {
            let body = format!(r#"{{"type": "UPDATE", "record": {{"id": "{id}"}}}}"#);
            assert_eq!(paths(&body), ["/articles", path], "{body}");
        }
        let body = r#"{"type": "INSERT", "record": {"id": 1.5e+3}}"#;
        assert_eq!(paths(body), ["/articles", "/articles/1.5e%2B3"]);
    }

    #[test]
    fn an_id_that_no_path_can_have_marks_the_list_alone() {
        for id in [
            "null",
            "true",
            "[7]",
            "{}",
            r#""""#,
            r#""a\u0000""#,
            r#""\ud800""#,
        ] {
            let body = format!(r#"{{"type": "INSERT", "record": {{"id": {id}}}}}"#);
            assert_eq!(paths(&body), ["/articles"], "{body}");
        }
        let long = format!(
            r#"{{"type":"INSERT","record":{{"id":"{}"}}}}"#,
            "ü".repeat(128)
        );
        assert_eq!(paths(&long), ["/articles"]);
        assert_eq!(paths(r#"{"type": "INSERT", "record": "7"}"#), ["/articles"]);
        assert_eq!(
            paths(r#"{"type": "INSERT", "record": {"slug": "7"}}"#),
            ["/articles"]
        );
    }

    #[test]
    fn another_table_or_schema_marks_nothing() {
        for body in [
            r#"{"type": "INSERT", "table": "authors", "schema": "public", "record": {"id": 7}}"#,
            r#"{"type": "INSERT", "table": "articles", "schema": "private", "record": {"id": 7}}"#,
            r#"{"type": "INSERT", "table": 1, "record": {"id": 7}}"#,
        ] {
            assert!(paths(body).is_empty(), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        for body in ["", "hello", "{", "{\"type\":}"] {
            assert_eq!(
                marked(body.as_bytes(), &table()),
                Err(&NOT_JSON),
                "{body:.20}"
            );
        }
        for body in ["[]", "7", "null", "\"{}\""] {
            assert_eq!(
                marked(body.as_bytes(), &table()),
                Err(&NOT_AN_OBJECT),
                "{body}"
            );
        }
        assert_eq!(marked(b"{\"a\": \"\xff\"}", &table()), Err(&NOT_JSON));
    }

    #[test]
    fn a_body_nested_deeper_than_a_thousand_is_refused_and_one_below_is_not() {
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!(r#"{{"type":"INSERT","record":{{"id":7,"body":{open}{close}}}}}"#)
        };
        assert_eq!(paths(&nested(998)), ["/articles", "/articles/7"]);
        for depth in [999, 1_000_000] {
            assert_eq!(marked(nested(depth).as_bytes(), &table()), Err(&TOO_DEEP));
        }
    }

    #[test]
    fn brackets_in_text_are_not_nesting() {
        let text = format!(r#"\"\\\"{}"#, "[{".repeat(2_000));
        let body = format!(r#"{{"type":"INSERT","record":{{"id":7,"body":"{text}"}}}}"#);
        assert_eq!(paths(&body), ["/articles", "/articles/7"]);
        let side_by_side = format!(r#"{{"record":{{"tags":[{}{{}}]}}}}"#, "[],".repeat(2_000));
        assert_eq!(paths(&side_by_side), ["/articles"]);
    }
}
