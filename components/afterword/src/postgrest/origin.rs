//! Reads items and the list from PostgREST.

use super::api_key::ApiKey;
use super::base_url::BaseUrl;
use super::error::{self, Error};
use super::pages::Pages;
use super::query;
use super::request;
use super::rows::Rows;
use crate::entry::Source;
use crate::key::{Id, Key, encode};
use crate::metrics::{self, Counter};
use crate::resource::Resource;
use crate::row;
use bytes::Bytes;
use http::StatusCode;
use std::cell::Cell;

/// The maximum size of a response with items, in bytes: half of the largest value that Spin's
/// key-value store returns.
const MAX_ITEMS: usize = 64 << 20;

/// The maximum size of a page of the list, in bytes. While it arrives, it takes up to three times as
/// much memory, of which some hosts give 128 MiB.
const MAX_PAGE: usize = 16 << 20;

/// A resource behind PostgREST.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where PostgREST is.
    pub base_url: BaseUrl,
    /// The anonymous key.
    pub api_key: ApiKey,
    /// The table and its queries.
    pub resource: Resource,
    /// Chosen by the operator. Another version makes every entry outdated.
    pub cache_version: String,
    /// The requests since the last [`take_sent`](Self::take_sent).
    pub sent: Cell<u32>,
    /// The counters of successful and of failed requests.
    pub counters: [Counter; 2],
}

/// What the origin has for a request, and the status of its (last) response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched<T> {
    /// The content. It may be nothing although the status is 200: PostgREST's response for a
    /// missing row is an empty array.
    pub content: T,
    /// The status of the last response.
    pub status: StatusCode,
}

/// A response with rows of the list.
#[derive(Debug)]
pub enum Page {
    /// These rows follow, in a response with this status.
    Rows(Rows, StatusCode),
    /// The rows are complete.
    End,
    /// The anonymous key may not read the table. The response had this status.
    Denied(StatusCode),
}

impl Origin {
    /// The row with this id. `None` if there is nothing that the anonymous key may read.
    ///
    /// The id must be spelled as PostgREST returns it: `007` finds no row although the database
    /// treats it as 7, so that each row has one path.
    pub async fn item(&self, id: &Id) -> Result<Fetched<Option<Bytes>>, Error> {
        let Fetched {
            mut content,
            status,
        } = self.items(std::slice::from_ref(id)).await?;
        let content = content.pop().map(|(_, row)| row);
        Ok(Fetched { content, status })
    }

    /// The rows with these ids: at most one for each id, and none for a row that does not exist or
    /// that the anonymous key may not read.
    pub async fn items(&self, ids: &[Id]) -> Result<Fetched<Vec<(Id, Bytes)>>, Error> {
        let id_column = &self.resource.table.id_column;
        let filter = query::with_ids(id_column, ids);
        let query = query::join(&self.resource.item_query, &filter);
        let page = match self.get(&query, false, MAX_ITEMS).await {
            Err(Error::Status { status, code, .. })
                if error::is_permission_denied(&code)
                    || ids.len() == 1 && error::is_no_such_value(&code) =>
            {
                let content = Vec::new();
                return Ok(Fetched { content, status });
            }
            response => response?,
        };
        let mut content = Vec::new();
        let (rows, status) = (Rows::parse(page.body)?, page.status);
        for (row, slice) in rows.iter().zip(rows.slices()) {
            let id = row::column(row, id_column).ok_or(Error::NoId)?;
            if let Some(id) = Id::parse(id).filter(|id| ids.contains(id)) {
                add(&mut content, id, slice);
            }
        }
        Ok(Fetched { content, status })
    }

    /// The pages of the whole list.
    pub fn list(&self) -> Pages<'_> {
        let resource = &self.resource;
        Pages::new(&resource.list_query, &resource.table.id_column)
    }

    /// The pages of a part of the list: `limit` rows at most, without the first `offset` ones.
    pub fn window(&self, offset: u64, limit: Option<u64>) -> Pages<'_> {
        let resource = &self.resource;
        Pages::window(
            &resource.list_query,
            &resource.table.id_column,
            offset,
            limit,
        )
    }

    /// The pages of the list's rows from an id on and before another ([`Pages::range`]).
    pub fn range<'a>(&'a self, from: Option<&str>, before: Option<&'a str>) -> Option<Pages<'a>> {
        let resource = &self.resource;
        let id_column = &resource.table.id_column;
        Pages::range(&resource.list_query, id_column, from, before)
    }

    /// Fetches the next page of a list. A page that would need too much memory is requested again
    /// with fewer rows.
    pub async fn next_page(&self, pages: &mut Pages<'_>) -> Result<Page, Error> {
        let Some(mut query) = pages.next() else {
            return Ok(Page::End);
        };
        let response = loop {
            let response = match self.get(&query, pages.counts(), MAX_PAGE).await {
                Err(error) if pages.counts() && error.may_be_due_to_the_count() => {
                    self.get(&query, false, MAX_PAGE).await
                }
                response => response,
            };
            match response {
                Err(Error::TooLarge(_)) if pages.ask_for_less() => {
                    query = pages.next().ok_or(Error::NotRows)?;
                }
                response => break response,
            }
        };
        let page = match response {
            Err(Error::Status { status, code, .. }) if error::is_permission_denied(&code) => {
                return Ok(Page::Denied(status));
            }
            Err(error) if error.is_beyond_the_end() => request::Page {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                ..request::Page::default()
            },
            response => response?,
        };
        let mut rows = if page.body.is_empty() {
            Rows::default()
        } else {
            Rows::parse(page.body)?
        };
        rows.truncate(pages.received(&rows, page.total));
        Ok(Page::Rows(rows, page.status))
    }

    /// The rows of these pages as a JSON array of `max` bytes at most, for a reader. `None` if the
    /// anonymous key may not read the table.
    pub async fn read_pages(
        &self,
        mut pages: Pages<'_>,
        max: usize,
    ) -> Result<Fetched<Option<Bytes>>, Error> {
        let (mut content, mut status) = (vec![b'['], StatusCode::OK);
        loop {
            match self.next_page(&mut pages).await? {
                Page::Rows(rows, last) => {
                    status = last;
                    for row in rows.iter() {
                        if content.len() > 1 {
                            content.push(b',');
                        }
                        content.extend_from_slice(row.as_bytes());
                    }
                }
                Page::End => break,
                Page::Denied(status) => {
                    let content = None;
                    return Ok(Fetched { content, status });
                }
            }
            if content.len() > max {
                return Err(Error::ListTooLarge(max as u64));
            }
        }
        content.push(b']');
        let content = Some(content.into());
        Ok(Fetched { content, status })
    }

    /// The source of `key`'s entry: a digest of the configuration that decides its content. The API
    /// key is not part of it, because a rotated key reads the same rows.
    pub fn source(&self, key: &Key) -> Source {
        match key {
            Key::List => self.list_source(),
            Key::Item(_) => self.item_source(),
        }
    }

    /// The [`source`](Self::source) of the list.
    pub fn list_source(&self) -> Source {
        self.digest(&[&self.first_page()])
    }

    /// The [`source`](Self::source) of every item.
    pub fn item_source(&self) -> Source {
        self.digest(&[&self.resource.item_query])
    }

    /// A digest of the configuration that decides how the origin responds, including the API key,
    /// which cannot be recovered from it.
    pub fn configuration_digest(&self) -> String {
        let list_query = self.first_page();
        let key = self.api_key.as_str();
        self.digest(&[&self.resource.item_query, &list_query, key])
            .to_string()
    }

    fn digest(&self, parts: &[&str]) -> Source {
        let table = &self.resource.table;
        let shared: [&str; 6] = [
            self.base_url.scheme(),
            &self.base_url.authority,
            &table.schema,
            &table.name,
            &table.id_column,
            &self.cache_version,
        ];
        Source::of(&[&shared[..], parts].concat())
    }

    /// The query of the list's first page, which contains all that decides the list.
    fn first_page(&self) -> String {
        self.list().next().unwrap_or_default()
    }

    /// The URL and the table, for the log.
    pub fn name(&self) -> String {
        let table = &self.resource.table;
        format!("{} {}.{}", self.base_url, table.schema, table.name)
    }

    /// The number of requests since the last call.
    pub fn take_sent(&self) -> u32 {
        self.sent.take()
    }

    async fn get(
        &self,
        query: &str,
        count: bool,
        max_bytes: usize,
    ) -> Result<request::Page, Error> {
        self.sent.set(self.sent.get().saturating_add(1));
        let table = &self.resource.table;
        let path_with_query = format!("/rest/v1/{}?{query}", encode(&table.name));
        let page = request::get(&request::Request {
            base_url: &self.base_url,
            path_with_query: &path_with_query,
            api_key: &self.api_key,
            schema: &table.schema,
            count,
            max_bytes,
        })
        .await;
        let [success, failure] = self.counters;
        let succeeded = page.as_ref().map_or_else(Error::is_about_rows, |_| true);
        metrics::count(if succeeded { success } else { failure });
        page
    }
}

/// Adds a row. Of several rows with one id, the one with the smallest text is kept, so that a miss
/// and a refresh choose the same row whatever the order of the response.
fn add(found: &mut Vec<(Id, Bytes)>, id: Id, row: Bytes) {
    match found.iter_mut().find(|(other, _)| *other == id) {
        Some((_, kept)) if row < *kept => *kept = row,
        Some(_) => {}
        None => found.push((id, row)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgrest::list_query::ListQuery;
    use crate::resource::Table;

    #[test]
    fn of_several_rows_with_one_id_the_same_one_is_chosen_in_any_order() {
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

    fn origin() -> Origin {
        Origin {
            base_url: BaseUrl::parse("https://x.supabase.co").unwrap(),
            api_key: ApiKey::parse("sb_publishable_abc".into()).unwrap(),
            resource: Resource {
                table: Table {
                    schema: "public".into(),
                    name: "articles".into(),
                    id_column: "id".into(),
                },
                item_query: "select=*".into(),
                list_query: ListQuery::parse("select=*&order=id.asc&limit=5", "id").unwrap(),
            },
            cache_version: String::new(),
            sent: Cell::default(),
            counters: [metrics::WORKER_REQUEST_OK, metrics::WORKER_REQUEST_FAILED],
        }
    }

    /// Changes one part of the configuration.
    type Change = fn(&mut Origin);

    fn list_query(origin: &mut Origin, query: &str) {
        origin.resource.list_query = ListQuery::parse(query, "id").unwrap();
    }

    /// Whether this change changes the source of the list, that of an item, and the digest.
    fn changes(change: Change) -> [bool; 3] {
        let (before, mut after) = (origin(), origin());
        change(&mut after);
        let item = Key::from_canonical("/articles/7").unwrap();
        [
            before.source(&Key::List) != after.source(&Key::List),
            before.source(&item) != after.source(&item),
            before.configuration_digest() != after.configuration_digest(),
        ]
    }

    #[test]
    fn the_source_depends_on_all_that_decides_the_content() {
        let shared: [Change; 6] = [
            |origin| origin.base_url.https = false,
            |origin| origin.base_url.authority = "y.supabase.co".into(),
            |origin| origin.resource.table.schema = "api".into(),
            |origin| origin.resource.table.name = "pages".into(),
            |origin| origin.resource.table.id_column = "slug".into(),
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
        let item: Change = |origin| origin.resource.item_query = "select=id,title".into();
        assert_eq!(changes(item), [false, true, true]);
    }

    #[test]
    fn a_rotated_api_key_keeps_the_sources_and_changes_the_digest() {
        let rotated: Change =
            |origin| origin.api_key = ApiKey::parse("sb_publishable_xyz".into()).unwrap();
        assert_eq!(changes(rotated), [false, false, true]);
        assert_eq!(changes(|_| ()), [false; 3]);
    }
}
