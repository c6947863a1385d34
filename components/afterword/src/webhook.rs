//! What a Supabase database webhook marks. Its body is a hint, never content: it says which keys may have changed, and the
//! rows are fetched as they are now. So an old, repeated or forged webhook can cause a needless fetch and nothing else, and
//! a column that row-level security hides never gets into the cache.

use crate::key::{Id, Key};
use crate::marks::Task;
use crate::problem::{NOT_AN_OBJECT, NOT_JSON, Problem, TOO_DEEP};
use crate::row;
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How deep a body's objects and arrays may lie in each other: deeper than any row's that people write, and far less than PostgreSQL
/// could send.
const DEPTH: usize = 1_000;

/// The longest name in PostgreSQL, in bytes (`NAMEDATALEN`).
const LONGEST_NAME: usize = 63;

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

/// The full name of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    schema: String,
    table: String,
}

impl TableName {
    /// The names in `text`, with commas or spaces between them, each `table` or `schema.table`;
    /// without a schema, it is `schema`.
    ///
    /// # Errors
    /// A sentence that says what form a name has.
    pub fn list(text: &str, schema: &str) -> Result<Vec<Self>, &'static str> {
        let names = text
            .split(|it: char| it == ',' || it.is_ascii_whitespace())
            .filter(|name| !name.is_empty());
        let is_name = |part: &str| {
            (1..=LONGEST_NAME).contains(&part.len())
                && !part
                    .contains(|it: char| it.is_control() || matches!(it, '"' | '\'' | '.' | '*'))
        };
        names
            .map(|name| {
                let (schema, table) = name.split_once('.').unwrap_or((schema, name));
                match is_name(schema) && is_name(table) {
                    true => Ok(Self {
                        schema: schema.to_owned(),
                        table: table.to_owned(),
                    }),
                    false => Err(
                        "each name is `table` or `schema.table`, without quotation marks or `*`, \
                         and there are commas or spaces between names",
                    ),
                }
            })
            .collect()
    }
}

/// The tables whose webhooks count.
pub struct Tables {
    /// The cached one.
    pub own: Table,
    /// Those that hold its rows under another name: partitions, or the base table of a view.
    pub counting: Vec<TableName>,
    /// Those that its rows embed columns of.
    pub related: Vec<TableName>,
}

/// What a webhook marks.
#[derive(Debug, PartialEq, Eq)]
pub enum Marked {
    /// These tasks, each once.
    Tasks(Vec<Task>),
    /// Nothing: it is about this other table. The name is for the log: of bounded length, and
    /// without control characters.
    OtherTable(String),
}

/// Members of a JSON object by name, their values unread.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// What a webhook with this body marks.
///
/// `INSERT`, `UPDATE` and `DELETE` mark the row's item and the list, and the item of the old id too
/// if the id has changed. Any other type, or an id that no path can have, marks the list alone. A
/// change of a related table marks the list, and the items that may show it. A webhook of any other
/// table marks nothing. A hand-made one without a schema or a table (`{}`) counts as the cached
/// table's.
pub fn marked(body: &[u8], tables: &Tables) -> Result<Marked, &'static Problem> {
    last_end(body)?;
    parsed(body, tables, true)
}

/// The same for a body of which just the start was read. The rest may have said anything: without a
/// table it counts as every table that counts, and without a type as the change of a row.
pub fn marked_by_start(mut start: Vec<u8>, tables: &Tables) -> Result<Marked, &'static Problem> {
    let (end, closing) = last_end(&start)?;
    start.truncate(end);
    start.extend(closing.iter().rev());
    parsed(&start, tables, false)
}

/// Where the last complete member or element of a text ends, and the brackets that close it there,
/// innermost last. It follows brackets in any bytes, JSON or not.
fn last_end(text: &[u8]) -> Result<(usize, Vec<u8>), &'static Problem> {
    let (mut end, mut closing) = (0, Vec::new());
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b',' => end = at,
            b'{' | b'[' => {
                closing.push(if *byte == b'{' { b'}' } else { b']' });
                end = at + 1;
            }
            b'}' | b']' => {
                closing.pop();
                end = at + 1;
            }
            _ => {}
        }
        if closing.len() > DEPTH {
            return Err(&TOO_DEEP);
        }
    }
    Ok((end, closing))
}

fn parsed(body: &[u8], tables: &Tables, whole: bool) -> Result<Marked, &'static Problem> {
    let members: Members =
        serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Data => &NOT_AN_OBJECT,
            Category::Syntax | Category::Eof | Category::Io => &NOT_JSON,
        })?;
    // Something that is no string names no table.
    let named = |member, own| -> Option<Cow<str>> {
        match members.get(member) {
            Some(value) => Some(Cow::Owned(string(value).unwrap_or_default())),
            None => whole.then_some(Cow::Borrowed(own)),
        }
    };
    let own = &tables.own;
    let (schema, table) = (named("schema", &own.schema), named("table", &own.name));
    let is = |its_schema: &str, its_table: &str| {
        schema.as_ref().is_none_or(|name| *name == *its_schema)
            && table.as_ref().is_none_or(|name| *name == *its_table)
    };
    let among = |names: &[TableName]| names.iter().any(|it| is(&it.schema, &it.table));
    let counts = is(&own.schema, &own.name) || among(&tables.counting);
    let related = among(&tables.related);
    if !counts && !related {
        return Ok(Marked::OtherTable(shown(
            schema.as_deref(),
            table.as_deref(),
        )));
    }
    let mut tasks = vec![Task::Refresh(Key::List)];
    let changes_a_row = match members.get("type") {
        Some(kind) => matches!(
            string(kind).as_deref(),
            Some("INSERT" | "UPDATE" | "DELETE")
        ),
        None => !whole,
    };
    if counts && changes_a_row {
        for row in ["record", "old_record"] {
            let id = members
                .get(row)
                .and_then(|row| row::column(row, &own.id_column))
                .and_then(Id::parse);
            let task = id.map(|id| Task::Refresh(Key::Item(id)));
            tasks.extend(task.filter(|task| !tasks.contains(task)));
        }
    }
    if related {
        tasks.push(Task::RefreshRelated);
    }
    Ok(Marked::Tasks(tasks))
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// A table's name for a log line. The sender may have put anything in it.
fn shown(schema: Option<&str>, table: Option<&str>) -> String {
    let part = |name: Option<&str>| {
        let name = name.unwrap_or("?");
        let start: String = name.chars().take(LONGEST_NAME).collect();
        let cut_off = if start.len() < name.len() { "…" } else { "" };
        format!("{}{cut_off}", start.escape_debug())
    };
    format!("{}.{}", part(schema), part(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample table, with these names of others.
    fn tables(counting: &str, related: &str) -> Tables {
        let names = |text| TableName::list(text, "public").unwrap();
        Tables {
            own: Table {
                schema: "public".into(),
                name: "articles".into(),
                id_column: "id".into(),
            },
            counting: names(counting),
            related: names(related),
        }
    }

    fn names(marked: Result<Marked, &'static Problem>) -> Vec<String> {
        match marked.unwrap() {
            Marked::Tasks(tasks) => tasks.iter().map(Task::to_string).collect(),
            Marked::OtherTable(name) => vec![format!("not {name}")],
        }
    }

    fn paths(body: &str) -> Vec<String> {
        names(marked(body.as_bytes(), &tables("", "")))
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
    fn another_table_or_schema_marks_nothing_and_is_named() {
        for (body, name) in [
            (
                r#"{"table": "authors", "schema": "public"}"#,
                "public.authors",
            ),
            (
                r#"{"table": "articles", "schema": "private"}"#,
                "private.articles",
            ),
            (r#"{"table": "authors"}"#, "public.authors"),
            (r#"{"table": 1, "record": {"id": 7}}"#, "public."),
            (
                r#"{"table": "a\nb\u001b\u202e"}"#,
                r"public.a\nb\u{1b}\u{202e}",
            ),
        ] {
            assert_eq!(paths(body), [format!("not {name}")], "{body}");
        }
        let long = format!(r#"{{"table": "{0}", "schema": "{0}"}}"#, "é".repeat(1_000));
        let part = "é".repeat(63) + "…";
        assert_eq!(paths(&long), [format!("not {part}.{part}")]);
    }

    #[test]
    fn a_table_that_counts_marks_as_the_tables_own() {
        let tables = tables("articles_2026 cms.posts", "");
        let marked = |schema, table| {
            let body = format!(
                r#"{{"type": "UPDATE", "schema": "{schema}", "table": "{table}",
                    "record": {{"id": 7}}, "old_record": {{"id": 8}}}}"#
            );
            names(super::marked(body.as_bytes(), &tables))
        };
        let both = ["/articles", "/articles/7", "/articles/8"];
        assert_eq!(marked("public", "articles"), both);
        assert_eq!(marked("public", "articles_2026"), both);
        assert_eq!(marked("cms", "posts"), both);
        assert_eq!(marked("cms", "articles_2026"), ["not cms.articles_2026"]);
        assert_eq!(marked("public", "posts"), ["not public.posts"]);
    }

    #[test]
    fn a_related_table_marks_the_list_and_what_may_show_it() {
        let tables = tables("", "authors, articles");
        let marked = |table: &str| {
            let body =
                format!(r#"{{"type": "UPDATE", "table": "{table}", "record": {{"id": 7}}}}"#);
            names(super::marked(body.as_bytes(), &tables))
        };
        assert_eq!(marked("authors"), ["/articles", "related"]);
        let of_itself = ["/articles", "/articles/7", "related"];
        assert_eq!(
            marked("articles"),
            of_itself,
            "rows may embed rows of their own table"
        );
    }

    #[test]
    fn names_of_tables_have_a_schema_or_get_one() {
        let name = |schema: &str, table: &str| TableName {
            schema: schema.into(),
            table: table.into(),
        };
        let list = |text| TableName::list(text, "own");
        assert_eq!(list(""), Ok(Vec::new()));
        assert_eq!(
            list(" a, b.c,\n,d e "),
            Ok(vec![
                name("own", "a"),
                name("b", "c"),
                name("own", "d"),
                name("own", "e")
            ])
        );
        let long = "x".repeat(64);
        for text in [
            ".", "a.", ".b", "a.b.c", "\"a\"", "a, 'b'", "*", "a.*", "a\u{0}", &long,
        ] {
            assert!(list(text).is_err(), "{text}");
        }
    }

    fn by_start(start: &str) -> Result<Marked, &'static Problem> {
        marked_by_start(start.into(), &tables("", "authors"))
    }

    #[test]
    fn the_start_of_a_body_marks_what_stands_in_it() {
        const BODY: &str = r#"{"type": "UPDATE", "table": "articles", "record":
            {"id": 71, "x": ["}", {}]}, "schema": "public", "old_record": {"id": 8, "#;
        for (seen, tasks) in [
            (r#"{"type": "UPDATE", "#, &["/articles", "related"][..]),
            (r#""articles", "#, &["/articles"]),
            // The number may go on.
            (r#"{"id": 71"#, &["/articles"]),
            (r#"{"id": 71, "#, &["/articles", "/articles/71"]),
            (r#""x": ["}", {"#, &["/articles", "/articles/71"]),
            (r#"{}]}"#, &["/articles", "/articles/71"]),
            (r#""old_record": {"id": 8"#, &["/articles", "/articles/71"]),
            (r#"8, "#, &["/articles", "/articles/71", "/articles/8"]),
        ] {
            let end = BODY.find(seen).unwrap() + seen.len();
            assert_eq!(names(by_start(&BODY[..end])), tasks, "{seen}");
        }
    }

    #[test]
    fn the_start_of_another_tables_body_marks_nothing() {
        let start = r#"{"type": "UPDATE", "table": "posts", "record": {"id": 7, "body": "xxx"#;
        assert_eq!(names(by_start(start)), ["not ?.posts"]);
        let skipped = r#"{"type": "skip", "table": "articles", "record": {"id": 7, "#;
        assert_eq!(names(by_start(skipped)), ["/articles"]);
    }

    #[test]
    fn a_start_that_no_json_object_has_is_refused() {
        for start in [
            "",
            "hello",
            "[{",
            "\"{",
            "{\"type\":}, ",
            "{}{",
            "]",
            "{\"a\":1]",
        ] {
            let refused = by_start(start).unwrap_err();
            assert!([&NOT_JSON, &NOT_AN_OBJECT].contains(&refused), "{start}");
        }
        assert_eq!(by_start(&"{\"a\":".repeat(1_000_000)), Err(&TOO_DEEP));
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        for body in ["", "hello", "{", "{\"type\":}"] {
            assert_eq!(
                marked(body.as_bytes(), &tables("", "")),
                Err(&NOT_JSON),
                "{body:.20}"
            );
        }
        for body in ["[]", "7", "null", "\"{}\""] {
            assert_eq!(
                marked(body.as_bytes(), &tables("", "")),
                Err(&NOT_AN_OBJECT),
                "{body}"
            );
        }
        assert_eq!(
            marked(b"{\"a\": \"\xff\"}", &tables("", "")),
            Err(&NOT_JSON)
        );
    }

    #[test]
    fn a_body_nested_deeper_than_a_thousand_is_refused_and_one_below_is_not() {
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!(r#"{{"type":"INSERT","record":{{"id":7,"body":{open}{close}}}}}"#)
        };
        assert_eq!(paths(&nested(998)), ["/articles", "/articles/7"]);
        for depth in [999, 1_000_000] {
            assert_eq!(
                marked(nested(depth).as_bytes(), &tables("", "")),
                Err(&TOO_DEEP)
            );
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
