//! Parses a Supabase database webhook: which tasks does it invalidate?
//!
//! The body is a hint, never content. It tells which keys may have changed, and the worker fetches
//! the current rows. So an old, repeated or forged webhook can only cause a needless fetch, and a
//! column that row-level security hides never enters the cache.

use afterword::key::{Id, Key};
use afterword::problem::{NOT_AN_OBJECT, NOT_JSON, Problem};
use afterword::queue::Task;
use afterword::resource::Table;
use afterword::row;
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The maximum number of ids in a webhook for a statement. A webhook with more of them invalidates
/// every stored item instead: one call of the script blocks Redis.
const MAX_IDS: usize = 1_000;

/// The maximum length of a name in PostgreSQL, in bytes (`NAMEDATALEN`).
const MAX_NAME_LENGTH: usize = 63;

/// The full name of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    schema: String,
    table: String,
}

impl TableName {
    /// Parses names that are separated by commas or spaces. Each is `table` or `schema.table`; the
    /// default schema is `schema`.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse_list(text: &str, schema: &str) -> Result<Vec<Self>, &'static str> {
        let names = text
            .split(|it: char| it == ',' || it.is_ascii_whitespace())
            .filter(|name| !name.is_empty());
        let is_name = |part: &str| {
            (1..=MAX_NAME_LENGTH).contains(&part.len())
                && !part
                    .contains(|it: char| it.is_control() || matches!(it, '"' | '\'' | '.' | '*'))
        };
        names
            .map(|name| {
                let (schema, table) = name.split_once('.').unwrap_or((schema, name));
                if is_name(schema) && is_name(table) {
                    Ok(Self {
                        schema: schema.to_owned(),
                        table: table.to_owned(),
                    })
                } else {
                    Err(
                        "each name must be `table` or `schema.table`, without quotation marks or \
                         `*`; separate names by commas or spaces",
                    )
                }
            })
            .collect()
    }
}

/// The tables whose webhooks matter.
pub struct Tables {
    /// The cached table.
    pub cached: Table,
    /// Tables that contain the same rows: partitions, or the base table of a view.
    pub aliases: Vec<TableName>,
    /// Tables whose columns the queries embed.
    pub related: Vec<TableName>,
}

/// What a webhook invalidates.
#[derive(Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// These tasks, without duplicates.
    Tasks(Vec<Task>),
    /// Nothing, because it is about this other table. The name has a limited length and no control
    /// characters, so that it can be logged.
    OtherTable(String),
}

/// The members of a JSON object by name, their values not parsed.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Parses a whole body.
///
/// `INSERT`, `UPDATE` and `DELETE` invalidate the list and the row's item, and also the item of the
/// old id if the id changed. A trigger for each statement sends up to 1,000 ids in the array
/// `ids` in place of a row. `TRUNCATE` invalidates the list and every stored item. Any other type,
/// or an id that no path can have, invalidates the list alone. A related table invalidates the list
/// and the items that embed it. Any other table invalidates nothing. A body without a schema or a
/// table, such as `{}`, counts as the cached table's.
pub fn parse(body: &[u8], tables: &Tables) -> Result<Invalidation, &'static Problem> {
    invalidation(body, tables, true)
}

/// Parses the start of a body that was too large. The rest may contain anything: a missing table
/// counts as every relevant table, and a missing type as the change of a row.
///
/// The start is closed after its last complete member, by appending the brackets that are open
/// there. So the ordinary parser can read it.
pub fn parse_start(mut start: Vec<u8>, tables: &Tables) -> Result<Invalidation, &'static Problem> {
    let (end, closing) = last_complete_member(&start);
    start.truncate(end);
    start.extend(closing.iter().rev());
    invalidation(&start, tables, false)
}

/// Where the last complete member or element of a text ends, and the brackets that close the text
/// there, innermost last. The text need not be JSON.
fn last_complete_member(text: &[u8]) -> (usize, Vec<u8>) {
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
    }
    (end, closing)
}

fn invalidation(
    body: &[u8],
    tables: &Tables,
    whole: bool,
) -> Result<Invalidation, &'static Problem> {
    let members: Members =
        serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Data => &NOT_AN_OBJECT,
            Category::Syntax | Category::Eof | Category::Io => &NOT_JSON,
        })?;
    // A value that is not a string names no table.
    let named = |member, default| -> Option<Cow<str>> {
        match members.get(member) {
            Some(value) => Some(Cow::Owned(string(value).unwrap_or_default())),
            None => whole.then_some(Cow::Borrowed(default)),
        }
    };
    let cached = &tables.cached;
    let (schema, table) = (
        named("schema", &cached.schema),
        named("table", &cached.name),
    );
    let is = |its_schema: &str, its_table: &str| {
        schema.as_ref().is_none_or(|name| *name == *its_schema)
            && table.as_ref().is_none_or(|name| *name == *its_table)
    };
    let is_among = |names: &[TableName]| names.iter().any(|it| is(&it.schema, &it.table));
    let is_cached = is(&cached.schema, &cached.name) || is_among(&tables.aliases);
    let is_related = is_among(&tables.related);
    if !is_cached && !is_related {
        let name = for_log(schema.as_deref(), table.as_deref());
        return Ok(Invalidation::OtherTable(name));
    }
    let mut tasks = Vec::new();
    let kind = members.get("type").map(|kind| string(kind));
    let changes_rows = match &kind {
        Some(kind) => matches!(kind.as_deref(), Some("INSERT" | "UPDATE" | "DELETE")),
        None => !whole,
    };
    let mut all_items = is_related;
    // The list as a whole, unless all that has changed in it is the places of known ids.
    let mut whole_list = true;
    if is_cached && changes_rows {
        let changed = changed_ids(&members, &cached.id_column);
        // The rest of a body that was too large may contain more ids of the statement.
        let some_are_missing = !whole && members.contains_key("ids");
        if changed.ids.len() > MAX_IDS || some_are_missing {
            all_items = true;
        } else {
            // The part of a body that was too large may have another id.
            let is_complete = changed.is_complete && whole;
            whole_list = is_related || changed.ids.is_empty() || !is_complete;
            let (items, places) = changed
                .ids
                .into_iter()
                .map(|id| {
                    let item = Task::Refresh(Key::Item(id.clone()));
                    (item, Task::Place(id))
                })
                .unzip::<_, _, Vec<_>, Vec<_>>();
            tasks.extend(items);
            if !whole_list {
                tasks.extend(places);
            }
        }
    }
    if whole_list {
        tasks.insert(0, Task::Refresh(Key::List));
    }
    if all_items || kind.flatten().as_deref() == Some("TRUNCATE") {
        tasks.push(Task::RefreshRelated);
    }
    Ok(Invalidation::Tasks(tasks))
}

/// The rows that have changed.
struct Changed {
    /// Their ids, as far as a path can have them, in order.
    ids: BTreeSet<Id>,
    /// Whether every row has such an id.
    is_complete: bool,
}

fn changed_ids(members: &Members, id_column: &str) -> Changed {
    let rows = ["record", "old_record"].into_iter();
    let rows = rows.filter_map(|row| members.get(row).filter(|row| row.get() != "null"));
    let of_rows = rows.map(|row| row::column(row.get(), id_column));
    let ids: Option<Vec<&RawValue>> = members
        .get("ids")
        .and_then(|ids| serde_json::from_str(ids.get()).ok());
    let of_statement = ids.into_iter().flatten().map(|id| row::text(id.get()));
    let mut changed = Changed {
        ids: BTreeSet::new(),
        is_complete: true,
    };
    for id in of_rows.chain(of_statement) {
        match id.and_then(Id::parse) {
            Some(id) => drop(changed.ids.insert(id)),
            None => changed.is_complete = false,
        }
    }
    changed
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// A table's name for the log. The sender may have put anything into it.
fn for_log(schema: Option<&str>, table: Option<&str>) -> String {
    let part = |name: Option<&str>| {
        let name = name.unwrap_or("?");
        let start: String = name.chars().take(MAX_NAME_LENGTH).collect();
        let ellipsis = if start.len() < name.len() { "…" } else { "" };
        format!("{}{ellipsis}", start.escape_debug())
    };
    format!("{}.{}", part(schema), part(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample table with these other names.
    fn tables(aliases: &str, related: &str) -> Tables {
        let names = |text| TableName::parse_list(text, "public").unwrap();
        Tables {
            cached: Table {
                schema: "public".into(),
                name: "articles".into(),
                id_column: "id".into(),
            },
            aliases: names(aliases),
            related: names(related),
        }
    }

    fn names(invalidation: Result<Invalidation, &'static Problem>) -> Vec<String> {
        match invalidation.unwrap() {
            Invalidation::Tasks(tasks) => tasks.iter().map(Task::to_string).collect(),
            Invalidation::OtherTable(name) => vec![format!("not {name}")],
        }
    }

    fn paths(body: &str) -> Vec<String> {
        names(parse(body.as_bytes(), &tables("", "")))
    }

    #[test]
    fn a_change_invalidates_its_item_and_its_place_in_the_list() {
        for body in [
            r#"{"type": "INSERT", "table": "articles", "record": {"id": 7, "body": "x"}, "schema": "public", "old_record": null}"#,
            r#"{"type": "UPDATE", "table": "articles", "record": {"id": 7}, "schema": "public", "old_record": {"id": 7}}"#,
            r#"{"type": "DELETE", "table": "articles", "record": null, "schema": "public", "old_record": {"id": 7}}"#,
            r#"{"type": "DELETE", "old_record": {"id": "7"}}"#,
            r#"{"typ\u0065": "INSERT", "record": {"\u0069d": "\u0037"}}"#,
        ] {
            assert_eq!(paths(body), ["/articles/7", "/articles#7"], "{body}");
        }
    }

    #[test]
    fn a_change_of_the_id_invalidates_both_items_and_both_places() {
        let body = r#"{"type": "UPDATE", "record": {"id": "new"}, "old_record": {"id": "old"}}"#;
        let tasks = [
            "/articles/new",
            "/articles/old",
            "/articles#new",
            "/articles#old",
        ];
        assert_eq!(paths(body), tasks);
        for old in ["null", "\"\"", "true"] {
            let body = format!(
                r#"{{"type": "UPDATE", "record": {{"id": "new"}}, "old_record": {{"id": {old}}}}}"#
            );
            let tasks = ["/articles", "/articles/new"];
            assert_eq!(
                paths(&body),
                tasks,
                "a row without a usable id has no known place"
            );
        }
    }

    #[test]
    fn a_statement_invalidates_the_items_of_its_ids() {
        let body = r#"{"type": "UPDATE", "ids": [7, "a b", 7, null, {"id": 8}, "", 10]}"#;
        let tasks = [
            "/articles",
            "/articles/10",
            "/articles/7",
            "/articles/a%20b",
        ];
        assert_eq!(paths(body), tasks, "some of the rows have no known place");
        let body = r#"{"type": "UPDATE", "ids": [8, 7, 8]}"#;
        let tasks = ["/articles/7", "/articles/8", "/articles#7", "/articles#8"];
        assert_eq!(paths(body), tasks);
        for ids in ["[]", "7", "null", r#"{"id": 7}"#, r#""7""#] {
            let body = format!(r#"{{"type": "DELETE", "ids": {ids}}}"#);
            assert_eq!(paths(&body), ["/articles"], "{body}");
        }
        let body = r#"{"type": "skip", "ids": [7]}"#;
        assert_eq!(paths(body), ["/articles"]);
    }

    #[test]
    fn a_statement_with_too_many_ids_invalidates_every_item() {
        let with = |count: usize| {
            let ids: Vec<String> = (0..count).map(|id| id.to_string()).collect();
            paths(&format!(
                r#"{{"type": "UPDATE", "ids": [{}]}}"#,
                ids.join(",")
            ))
        };
        assert_eq!(with(1_000).len(), 2_000);
        assert_eq!(with(1_001), ["/articles", "related"]);
    }

    #[test]
    fn a_truncation_invalidates_the_list_and_every_item() {
        let body = r#"{"type": "TRUNCATE", "table": "articles", "schema": "public"}"#;
        assert_eq!(paths(body), ["/articles", "related"]);
        assert_eq!(
            paths(r#"{"type": "TRUNCATE", "table": "authors"}"#),
            ["not public.authors"]
        );
    }

    #[test]
    fn any_other_type_invalidates_the_list_alone() {
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
    fn an_id_of_any_text_invalidates_its_encoded_path() {
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
            let place = path.replace("/articles/", "/articles#");
            assert_eq!(paths(&body), [path, &place], "{body}");
        }
        let body = r#"{"type": "INSERT", "record": {"id": 1.5e+3}}"#;
        assert_eq!(paths(body), ["/articles/1.5e%2B3", "/articles#1.5e%2B3"]);
    }

    #[test]
    fn an_impossible_id_invalidates_the_list_alone() {
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
    fn another_table_or_schema_invalidates_nothing_and_is_named() {
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
    fn an_alias_counts_as_the_cached_table() {
        let tables = tables("articles_2026 cms.posts", "");
        let invalidated = |schema, table| {
            let body = format!(
                r#"{{"type": "UPDATE", "schema": "{schema}", "table": "{table}",
                    "record": {{"id": 7}}, "old_record": {{"id": 8}}}}"#
            );
            names(parse(body.as_bytes(), &tables))
        };
        let both = ["/articles/7", "/articles/8", "/articles#7", "/articles#8"];
        assert_eq!(invalidated("public", "articles"), both);
        assert_eq!(invalidated("public", "articles_2026"), both);
        assert_eq!(invalidated("cms", "posts"), both);
        assert_eq!(
            invalidated("cms", "articles_2026"),
            ["not cms.articles_2026"]
        );
        assert_eq!(invalidated("public", "posts"), ["not public.posts"]);
    }

    #[test]
    fn a_related_table_invalidates_the_list_and_the_related_items() {
        let tables = tables("", "authors, articles");
        let invalidated = |table: &str| {
            let body =
                format!(r#"{{"type": "UPDATE", "table": "{table}", "record": {{"id": 7}}}}"#);
            names(parse(body.as_bytes(), &tables))
        };
        assert_eq!(invalidated("authors"), ["/articles", "related"]);
        let of_itself = ["/articles", "/articles/7", "related"];
        assert_eq!(
            invalidated("articles"),
            of_itself,
            "rows may embed rows of their own table"
        );
    }

    #[test]
    fn table_names_without_a_schema_get_the_default_one() {
        let name = |schema: &str, table: &str| TableName {
            schema: schema.into(),
            table: table.into(),
        };
        let list = |text| TableName::parse_list(text, "own");
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

    fn by_start(start: &str) -> Result<Invalidation, &'static Problem> {
        parse_start(start.into(), &tables("", "authors"))
    }

    #[test]
    fn the_start_of_a_body_invalidates_the_ids_in_it() {
        const BODY: &str = r#"{"type": "UPDATE", "table": "articles", "record":
            {"id": 71, "x": ["}", {}]}, "schema": "public", "old_record": {"id": 8, "#;
        for (seen, tasks) in [
            (r#"{"type": "UPDATE", "#, &["/articles", "related"][..]),
            (r#""articles", "#, &["/articles"]),
            // The number may be incomplete.
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
    fn the_start_of_a_statements_body_invalidates_every_item() {
        let start = r#"{"type": "UPDATE", "table": "articles", "schema": "public", "ids": [7, 8, "#;
        assert_eq!(names(by_start(start)), ["/articles", "related"]);
    }

    #[test]
    fn the_start_of_another_tables_body_invalidates_nothing() {
        let start = r#"{"type": "UPDATE", "table": "posts", "record": {"id": 7, "body": "xxx"#;
        assert_eq!(names(by_start(start)), ["not ?.posts"]);
        let skipped = r#"{"type": "skip", "table": "articles", "record": {"id": 7, "#;
        assert_eq!(names(by_start(skipped)), ["/articles"]);
    }

    #[test]
    fn a_start_that_is_not_a_json_object_is_refused() {
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
    }

    #[test]
    fn anything_but_a_json_object_is_refused() {
        for body in ["", "hello", "{", "{\"type\":}"] {
            assert_eq!(
                parse(body.as_bytes(), &tables("", "")),
                Err(&NOT_JSON),
                "{body:.20}"
            );
        }
        for body in ["[]", "7", "null", "\"{}\""] {
            assert_eq!(
                parse(body.as_bytes(), &tables("", "")),
                Err(&NOT_AN_OBJECT),
                "{body}"
            );
        }
        assert_eq!(parse(b"{\"a\": \"\xff\"}", &tables("", "")), Err(&NOT_JSON));
    }

    #[test]
    fn a_body_may_be_nested_a_million_levels_deep() {
        let depth = 1_000_000;
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let body = format!(r#"{{"type":"INSERT","record":{{"id":7,"body":{open}{close}}}}}"#);
        assert_eq!(paths(&body), ["/articles/7", "/articles#7"]);
        let start =
            format!(r#"{{"table":"articles","type":"INSERT","record":{{"id":7,"body":{open}"#);
        assert_eq!(names(by_start(&start)), ["/articles", "/articles/7"]);
    }

    #[test]
    fn brackets_in_text_are_not_nesting() {
        let text = format!(r#"\"\\\"{}"#, "[{".repeat(2_000));
        let body = format!(r#"{{"type":"INSERT","record":{{"id":7,"body":"{text}"}}}}"#);
        assert_eq!(paths(&body), ["/articles/7", "/articles#7"]);
        let side_by_side = format!(r#"{{"record":{{"tags":[{}{{}}]}}}}"#, "[],".repeat(2_000));
        assert_eq!(paths(&side_by_side), ["/articles"]);
    }
}
