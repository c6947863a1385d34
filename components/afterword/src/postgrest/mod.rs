//! The origin: PostgREST, asked with the anonymous key, so that nothing is cached which readers may not read.
//!
//! [`key`] is that key, [`list`] turns the list's query into pages, [`fetch`] does one request, [`rows`] takes an
//! answer apart, and [`error`] says whose fault it is that there are none.

pub mod error;
pub mod fetch;
pub mod key;
pub mod list;
pub mod rows;

pub use error::{Blame, Error};
pub use fetch::Base;

use crate::entry::Source;
use crate::key::{Id, Key, encode};
use crate::row;
use crate::webhook::Table;
use bytes::Bytes;
use fetch::{Page, Request};
use http::StatusCode;
use key::ApiKey;
use list::{ListQuery, Pages};

/// The most that an answer, or a list put together from several, may hold: half of what Spin's key-value store gives back.
pub const MAX_CONTENT: usize = 64 << 20;

/// A table behind PostgREST, and how it is read.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where it is.
    pub base: Base,
    /// The anonymous key.
    pub key: ApiKey,
    /// The table.
    pub table: Table,
    /// PostgREST parameters of an item, such as `select=*`. They must select the id column.
    pub item_query: String,
    /// The list's.
    pub list_query: ListQuery,
    /// Chosen by the operator: another one makes every entry an answer to something else.
    pub cache_version: String,
}

/// A list as it was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// A JSON array of all its rows.
    pub content: Bytes,
    /// How many requests it took. The rows of one answer are of one moment; those of several need not be.
    pub pages: usize,
    /// Whether the pages followed each other by id, so that none that stood there throughout is missing or doubled.
    pub by_id: bool,
}

/// What a reader gets from the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The resource's content; `None` if there is nothing that the anonymous key may read.
    pub content: Option<Bytes>,
    /// The status of the origin's answer, of the last if there were several: a row that is not there is a 200 without rows.
    pub status: StatusCode,
}

impl Origin {
    /// The content of `key`: the list, or the row with this id, as PostgREST spells it. An id that only means the same to the
    /// database (`007`) is none: each row has one path.
    pub async fn read(&self, key: &Key) -> Result<Read, Error> {
        Ok(match key {
            Key::List => {
                let (list, status) = self.list_and_status().await?;
                let content = list.map(|list| list.content);
                Read { content, status }
            }
            Key::Item(id) => {
                let (mut rows, status) = self.items_and_status(std::slice::from_ref(id)).await?;
                let content = rows.pop().map(|(_, row)| row);
                Read { content, status }
            }
        })
    }

    /// The rows with these ids, of those that exist and may be read; one for each id.
    pub async fn items(&self, ids: &[Id]) -> Result<Vec<(Id, Bytes)>, Error> {
        Ok(self.items_and_status(ids).await?.0)
    }

    async fn items_and_status(&self, ids: &[Id]) -> Result<(Vec<(Id, Bytes)>, StatusCode), Error> {
        let filter = match ids {
            // Whatever follows the operator's dot is the value, to its end.
            [id] => format!("{}=eq.{}", self.id_column(), encode(id.as_str())),
            _ => {
                let quoted: Vec<String> = ids.iter().map(quoted).collect();
                format!("{}=in.({})", self.id_column(), quoted.join(","))
            }
        };
        let page = match self.get(&join(&self.item_query, &filter), false).await {
            Err(Error::Status { status, code, .. })
                if error::is_refusal(&code) || ids.len() == 1 && error::is_no_such_value(&code) =>
            {
                return Ok((Vec::new(), status));
            }
            answer => answer?,
        };
        let mut found = Vec::new();
        for row in rows::rows(&page.body)? {
            let id = row::column(row, &self.table.id_column).ok_or(Error::NoId)?;
            if let Some(id) = Id::parse(id).filter(|id| ids.contains(id)) {
                let row = page.body.slice_ref(row.get().as_bytes());
                add(&mut found, id, row);
            }
        }
        Ok((found, page.status))
    }

    /// All rows that the list's query selects, however few the origin gives in one answer. `None` if the anonymous key may read none.
    pub async fn list(&self) -> Result<Option<List>, Error> {
        Ok(self.list_and_status().await?.0)
    }

    async fn list_and_status(&self) -> Result<(Option<List>, StatusCode), Error> {
        let mut pages = Pages::new(&self.list_query, &self.table.id_column);
        let mut content = vec![b'['];
        let mut status = StatusCode::OK;
        while let Some(query) = pages.next() {
            let counts = pages.count() == 1 && self.list_query.wants_count();
            let answer = match self.get(&query, counts).await {
                Err(error) if counts && error.may_be_the_counts() => self.get(&query, false).await,
                answer => answer,
            };
            let page = match answer {
                Err(Error::Status { status, code, .. }) if error::is_refusal(&code) => {
                    return Ok((None, status));
                }
                Err(error) if error.is_beyond_the_end() => Page {
                    status: StatusCode::RANGE_NOT_SATISFIABLE,
                    ..Page::default()
                },
                answer => answer?,
            };
            status = page.status;
            let rows = if page.body.is_empty() {
                Vec::new()
            } else {
                rows::rows(&page.body)?
            };
            let kept = pages.received(&rows, page.total);
            for row in &rows[..kept] {
                if content.len() > 1 {
                    content.push(b',');
                }
                content.extend_from_slice(row.get().as_bytes());
            }
            if content.len() > MAX_CONTENT {
                return Err(Error::TooLarge);
            }
        }
        content.push(b']');
        let list = List {
            content: content.into(),
            pages: pages.count(),
            by_id: pages.is_by_id(),
        };
        Ok((Some(list), status))
    }

    /// What the content of `key` is an answer to: all of the configuration that decides it. The API
    /// key is not part of it: it is rotated, and reads the same rows.
    pub fn source(&self, key: &Key) -> Source {
        match key {
            Key::List => self.list_source(),
            Key::Item(_) => self.item_source(),
        }
    }

    /// The [`source`](Self::source) of the list.
    pub fn list_source(&self) -> Source {
        self.digest_with(&[&self.first_page()])
    }

    /// The [`source`](Self::source) of every item.
    pub fn item_source(&self) -> Source {
        self.digest_with(&[&self.item_query])
    }

    /// A digest of all that decides how the origin answers, the API key included, for telling one
    /// set-up from another. The key cannot be found from it.
    pub fn digest(&self) -> String {
        let key = self.key.fields().next().map(|(_, key)| key);
        self.digest_with(&[
            &self.item_query,
            &self.first_page(),
            &key.unwrap_or_default(),
        ])
        .to_string()
    }

    fn digest_with(&self, parts: &[&str]) -> Source {
        let Table {
            schema,
            name,
            id_column,
        } = &self.table;
        let scheme = if self.base.https { "https" } else { "http" };
        let authority = &self.base.authority;
        let shared: [&str; 6] = [
            scheme,
            authority,
            schema,
            name,
            id_column,
            &self.cache_version,
        ];
        Source::of(&[&shared[..], parts].concat())
    }

    /// The query of the list's first page, which says all that decides the list.
    fn first_page(&self) -> String {
        let mut pages = Pages::new(&self.list_query, &self.table.id_column);
        pages.next().unwrap_or_default()
    }

    /// Which origin it is, for the log: the URL and the table.
    pub fn name(&self) -> String {
        let Base { https, authority } = &self.base;
        let scheme = if *https { "https" } else { "http" };
        let Table { schema, name, .. } = &self.table;
        format!("{scheme}://{authority} {schema}.{name}")
    }

    fn id_column(&self) -> String {
        encode(&self.table.id_column).to_string()
    }

    async fn get(&self, query: &str, count: bool) -> Result<Page, Error> {
        let path_with_query = format!("/rest/v1/{}?{query}", encode(&self.table.name));
        fetch::get(&Request {
            base: &self.base,
            path_with_query: &path_with_query,
            key: &self.key,
            schema: &self.table.schema,
            count,
        })
        .await
    }
}

/// Adds a row to those that were found. Of several with one id, the one with the smallest text
/// counts, so that a miss and a refresh give the same whatever the order of the answer.
fn add(found: &mut Vec<(Id, Bytes)>, id: Id, row: Bytes) {
    match found.iter_mut().find(|(own, _)| *own == id) {
        Some((_, own)) if row < *own => *own = row,
        Some(_) => {}
        None => found.push((id, row)),
    }
}

/// An item of `in.(…)`. Inside the quotes only `"` and `\` mean something, unless a backslash
/// stands before them (PostgREST's `pQuotedValue`).
fn quoted(id: &Id) -> String {
    let mut text = String::new();
    for character in id.as_str().chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    format!("%22{}%22", encode(&text))
}

/// How many characters of a URL an id takes in a request for several.
pub fn length_among_others(id: &Id) -> usize {
    quoted(id).len() + ",".len()
}

/// Two parts of a query, either of which may be empty.
fn join(left: &str, right: &str) -> String {
    if left.is_empty() || right.is_empty() {
        format!("{left}{right}")
    } else {
        format!("{left}&{right}")
    }
}

/// Whether a query can stand in a URL as it is: RFC 3986's characters, and the percent signs that stand for others.
pub fn is_query(query: &str) -> bool {
    query
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/?".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_rows_with_one_id_the_same_counts_in_any_order() {
        let rows = [
            ("7", "{\"b\":2}"),
            ("8", "{}"),
            ("7", "{\"a\":1}"),
            ("7", "{\"c\":3}"),
        ];
        let found = |rows: &mut dyn Iterator<Item = &(&str, &'static str)>| {
            let mut found = Vec::new();
            for (id, row) in rows {
                add(
                    &mut found,
                    Id::parse(*id).unwrap(),
                    Bytes::from_static(row.as_bytes()),
                );
            }
            found.sort();
            found
        };
        let expected = [("7", "{\"a\":1}"), ("8", "{}")]
            .map(|(id, row)| (Id::parse(id).unwrap(), Bytes::from_static(row.as_bytes())));
        assert_eq!(found(&mut rows.iter()), expected);
        assert_eq!(found(&mut rows.iter().rev()), expected);
    }

    #[test]
    fn an_id_among_others_is_quoted_as_postgrest_reads_it() {
        for (id, item) in [
            ("7", "%227%22"),
            ("a.b", "%22a.b%22"),
            ("a,b)", "%22a%2Cb%29%22"),
            ("C++&d=e", "%22C%2B%2B%26d%3De%22"),
            (r#"say "hi""#, "%22say%20%5C%22hi%5C%22%22"),
            (r"back\slash\", "%22back%5C%5Cslash%5C%5C%22"),
            ("ü", "%22%C3%BC%22"),
        ] {
            let id = Id::parse(id).unwrap();
            assert_eq!(quoted(&id), item);
            assert_eq!(length_among_others(&id), item.len() + 1);
        }
    }

    /// The items of a list as PostgREST's `pListVal` and `pListElement` read them.
    fn items(list: &str) -> Option<Vec<String>> {
        let mut rest = list.strip_prefix('(')?;
        let mut items = Vec::new();
        loop {
            let mut item = String::new();
            let mut characters = rest.strip_prefix('"')?.chars();
            loop {
                match characters.next()? {
                    '"' => break,
                    '\\' => item.push(characters.next()?),
                    other => item.push(other),
                }
            }
            items.push(item);
            rest = characters.as_str();
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => return (rest == ")").then_some(items),
            }
        }
    }

    #[test]
    fn postgrest_reads_the_very_ids_that_were_meant() {
        let alphabet = ['"', '\\', ',', ')', '('];
        let longer = |text: &String| alphabet.map(|character| format!("{text}{character}"));
        let mut texts = vec![String::new()];
        for _ in 0..4 {
            texts = texts.iter().flat_map(longer).collect();
            for pair in texts.windows(2) {
                let ids = pair.iter().map(|text| Id::parse(text).unwrap());
                let quoted: Vec<String> = ids.map(|id| quoted(&id)).collect();
                let sent = format!("({})", quoted.join(","));
                let list = percent_encoding::percent_decode_str(&sent);
                assert_eq!(
                    items(&list.decode_utf8().unwrap()).as_deref(),
                    Some(pair),
                    "{sent}"
                );
            }
        }
    }

    fn origin() -> Origin {
        Origin {
            base: Base {
                https: true,
                authority: "x.supabase.co".into(),
            },
            key: ApiKey::parse("sb_publishable_abc".into()).unwrap(),
            table: Table {
                schema: "public".into(),
                name: "articles".into(),
                id_column: "id".into(),
            },
            item_query: "select=*".into(),
            list_query: ListQuery::parse("select=*&order=id.asc&limit=5", "id").unwrap(),
            cache_version: String::new(),
        }
    }

    /// Changes one part of the configuration.
    type Change = fn(&mut Origin);

    fn list_query(origin: &mut Origin, query: &str) {
        origin.list_query = ListQuery::parse(query, "id").unwrap();
    }

    /// Which of the list, an item and the set-up are another with this change.
    fn changes(change: Change) -> [bool; 3] {
        let (before, mut after) = (origin(), origin());
        change(&mut after);
        let item = Key::from_path("/articles/7").unwrap();
        [
            before.source(&Key::List) != after.source(&Key::List),
            before.source(&item) != after.source(&item),
            before.digest() != after.digest(),
        ]
    }

    #[test]
    fn whatever_decides_the_content_decides_the_source() {
        let shared: [Change; 6] = [
            |origin| origin.base.https = false,
            |origin| origin.base.authority = "y.supabase.co".into(),
            |origin| origin.table.schema = "api".into(),
            |origin| origin.table.name = "pages".into(),
            |origin| origin.table.id_column = "slug".into(),
            |origin| origin.cache_version = "2".into(),
        ];
        for (at, change) in shared.into_iter().enumerate() {
            assert_eq!(changes(change), [true; 3], "{at}");
        }
        let list: [Change; 4] = [
            |origin| list_query(origin, "select=id&order=id.asc&limit=5"),
            |origin| list_query(origin, "select=*&order=id.desc&limit=5"),
            |origin| list_query(origin, "select=*&order=id.asc&limit=6"),
            |origin| list_query(origin, "select=*&order=id.asc&limit=5&offset=1"),
        ];
        for (at, change) in list.into_iter().enumerate() {
            assert_eq!(changes(change), [true, false, true], "{at}");
        }
        let item: Change = |origin| origin.item_query = "select=id,title".into();
        assert_eq!(changes(item), [false, true, true]);
    }

    #[test]
    fn a_rotated_api_key_leaves_the_entries_and_is_another_set_up() {
        let rotated: Change =
            |origin| origin.key = ApiKey::parse("sb_publishable_xyz".into()).unwrap();
        assert_eq!(changes(rotated), [false, false, true]);
        assert_eq!(changes(|_| ()), [false; 3]);
    }
}
