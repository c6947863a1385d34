//! The pages in which a list is fetched.
//!
//! PostgREST cuts a response at the project's *Max rows* (1,000 on Supabase by default) without
//! saying so. So pages are requested until the total of `Prefer: count=exact` is reached, or until
//! a page is empty. A list in the order of the id continues after the last id (`id=gt.…`), so that
//! a row that is inserted or deleted meanwhile does not shift others. Any other list continues by
//! `offset`.
//!
//! `id=gt.…` skips rows whose id is NULL. They are fetched separately by `id=is.null`, before or
//! after the others, according to the order.

use super::list_query::ListQuery;
use super::query::join;
use crate::key::encode;
use crate::row;
use serde_json::value::RawValue;

/// The maximum number of pages, in case an origin returns one row at a time forever.
const MAX_PAGES: usize = 10_000;

/// The requests that fetch a whole list. Call [`next`](Self::next) and
/// [`received`](Self::received) in turn.
#[derive(Debug)]
pub struct Pages<'a> {
    query: &'a ListQuery,
    id_column: &'a str,
    next: Next,
    /// Rows received so far.
    received: u64,
    /// The number of rows in the list, once known.
    expected: Option<u64>,
    requests: usize,
    by_id: bool,
}

/// The next page.
#[derive(Debug)]
enum Next {
    /// The first page of a list by id.
    First,
    /// The rows after this id; with `None`, all rows that have an id.
    After(Option<String>),
    /// The rows whose id is NULL, without the first ones.
    Nulls(u64),
    /// The rows after those received, in a list that cannot continue by id.
    Offset,
    /// No page: the list is complete.
    End,
}

impl<'a> Pages<'a> {
    /// Starts at the first page.
    pub fn new(query: &'a ListQuery, id_column: &'a str) -> Self {
        Self {
            query,
            id_column,
            next: query.by_id.map_or(Next::Offset, |_| Next::First),
            received: 0,
            expected: query.limit,
            requests: 0,
            by_id: true,
        }
    }

    /// The parameters of the next request; `None` if the list is complete.
    #[allow(
        clippy::should_implement_trait,
        reason = "the next page depends on the rows received"
    )]
    pub fn next(&mut self) -> Option<String> {
        if self.requests == MAX_PAGES {
            return None;
        }
        let id = encode(self.id_column);
        let after = self.query.by_id.map_or("", |order| order.after);
        let (filter, offset) = match &self.next {
            Next::First => (String::new(), self.query.offset),
            Next::After(Some(last)) => (format!("{id}={after}.{}", encode(last)), 0),
            Next::After(None) => (format!("{id}=not.is.null"), 0),
            Next::Nulls(offset) => (format!("{id}=is.null"), *offset),
            Next::Offset => (String::new(), self.query.offset + self.received),
            Next::End => return None,
        };
        self.requests += 1;
        self.by_id &= self.requests == 1 || offset == 0;
        let mut query = join(&self.query.rest, &format!("order={}", self.query.order));
        query = join(&query, &filter);
        if offset > 0 {
            query = join(&query, &format!("offset={offset}"));
        }
        if let Some(limit) = self.query.limit {
            query = join(&query, &format!("limit={}", limit - self.received));
        }
        Some(query)
    }

    /// Takes the rows of the last response, and the total number if the origin sent it. Returns how
    /// many of the rows to keep: the others will be part of a later page.
    pub fn received(&mut self, rows: &[&RawValue], total: Option<u64>) -> usize {
        if let Some(total) = total {
            let there = total.saturating_sub(self.query.offset);
            self.expected = Some(self.query.limit.map_or(there, |limit| limit.min(there)));
        }
        let received = self.received + rows.len() as u64;
        let whole = self.expected.is_some_and(|expected| received >= expected);
        let (next, kept) = if whole {
            (Next::End, rows.len())
        } else {
            self.following(rows)
        };
        self.next = next;
        self.received += kept as u64;
        kept
    }

    /// The page after these rows, if the list is not known to be complete, and the number of rows
    /// to keep.
    fn following(&self, rows: &[&RawValue]) -> (Next, usize) {
        let nulls_first = self.query.by_id.is_some_and(|order| order.nulls_first);
        let Some(last) = rows.last() else {
            let next = match self.next {
                Next::After(_) if !nulls_first => Next::Nulls(0),
                Next::Nulls(_) if nulls_first => Next::After(None),
                _ => Next::End,
            };
            return (next, 0);
        };
        let next = match self.next {
            Next::First => return self.following_first(rows, nulls_first),
            Next::After(_) => self.after(last),
            Next::Nulls(offset) => Next::Nulls(offset + rows.len() as u64),
            Next::Offset | Next::End => Next::Offset,
        };
        (next, rows.len())
    }

    /// The page after a row whose id is not NULL.
    fn after(&self, row: &RawValue) -> Next {
        let id = row::column(row, self.id_column);
        id.map_or(Next::Offset, |id| Next::After(Some(id)))
    }

    /// The page after the first page of a list by id, and the number of rows to keep.
    fn following_first(&self, rows: &[&RawValue], nulls_first: bool) -> (Next, usize) {
        let is_null = |row: &&&RawValue| row::is_null(row, self.id_column);
        let nulls = rows.iter().rev().take_while(is_null).count();
        match rows[..rows.len() - nulls].last() {
            // There may be more NULLs. Fetch all of them on pages of their own.
            Some(_) if nulls > 0 && !nulls_first => (Next::Nulls(0), rows.len() - nulls),
            Some(last) if nulls == 0 => (self.after(last), rows.len()),
            None if nulls_first => (Next::Nulls(self.query.offset + nulls as u64), nulls),
            None if self.query.offset == 0 => (Next::Nulls(nulls as u64), nulls),
            // It is unknown how many NULLs the operator's own offset skips.
            _ => (Next::Offset, rows.len()),
        }
    }

    /// The number of requests so far.
    pub fn count(&self) -> usize {
        self.requests
    }

    /// Whether no page after the first used an offset. With an offset, a row that is inserted or
    /// deleted meanwhile shifts others.
    pub fn is_by_id(&self) -> bool {
        self.by_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> ListQuery {
        ListQuery::parse(query, "id").expect(query)
    }

    /// Rows with these ids, as JSON text.
    fn rows<T: std::fmt::Display>(ids: impl IntoIterator<Item = T>) -> Vec<Box<RawValue>> {
        ids.into_iter()
            .map(|id| RawValue::from_string(format!(r#"{{"id":{id}}}"#)).unwrap())
            .collect()
    }

    /// An origin with ids from 1 to `ids` and so many NULLs, which gives `cap` rows at most in an
    /// answer.
    struct Origin {
        ids: i64,
        nulls: usize,
        cap: usize,
        counts: bool,
    }

    impl Origin {
        /// The ids in a response like PostgREST's, 0 for NULL, and the total number.
        fn respond(&self, query: &str) -> (Vec<i64>, usize) {
            let parameter = |name: &str| {
                let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.find_map(|(own, value)| (own == name).then_some(value))
            };
            let order = parameter("order").unwrap_or("id");
            let mut ids: Vec<i64> = (1..=self.ids).collect();
            let mut nulls = vec![0; self.nulls];
            if order.contains("desc") {
                ids.reverse();
            }
            match parameter("id").map(|filter| filter.split_once('.').unwrap()) {
                None => {}
                Some(("is", "null")) => ids.clear(),
                Some(("not", "is.null")) => nulls.clear(),
                Some((operator, id)) => {
                    let id: i64 = id.parse().unwrap();
                    nulls.clear();
                    ids.retain(|own| match operator {
                        "gt" => *own > id,
                        "lt" => *own < id,
                        _ => panic!("{query}"),
                    });
                }
            }
            let first = match order.rsplit('.').next() {
                Some("nullsfirst") => true,
                Some("nullslast") => false,
                _ => order.contains("desc"),
            };
            let all = if first { [nulls, ids] } else { [ids, nulls] }.concat();
            let number = |name| parameter(name).map(|number| number.parse().unwrap());
            let limit = number("limit").unwrap_or(usize::MAX).min(self.cap);
            let page = all.iter().copied().skip(number("offset").unwrap_or(0));
            (page.take(limit).collect(), all.len())
        }

        /// The queries that fetch a list, the ids that it then has, 0 for NULL, and whether it went
        /// by id.
        fn list(&self, query: &str) -> (Vec<String>, Vec<i64>, bool) {
            let query = parse(query);
            let mut pages = Pages::new(&query, "id");
            let (mut queries, mut list) = (Vec::new(), Vec::new());
            while let Some(next) = pages.next() {
                let (page, total) = self.respond(&next);
                let total = (self.counts && queries.is_empty()).then_some(total as u64);
                let text = |id: &i64| match id {
                    0 => "null".to_owned(),
                    id => id.to_string(),
                };
                let rows = rows(page.iter().map(text));
                let rows: Vec<&RawValue> = rows.iter().map(|row| &**row).collect();
                let kept = pages.received(&rows, total);
                list.extend(&page[..kept]);
                queries.push(next);
            }
            (queries, list, pages.is_by_id())
        }
    }

    /// The queries that fetch a list of `ids` rows, numbered from 1, with at most `cap` in a
    /// response.
    fn fetch(query: &str, ids: i64, cap: usize, counts: bool) -> Vec<String> {
        let origin = Origin {
            ids,
            nulls: 0,
            cap,
            counts,
        };
        let (queries, list, _) = origin.list(query);
        let whole = Origin {
            cap: usize::MAX,
            ..origin
        };
        assert_eq!(list, whole.respond(query).0, "all rows were received");
        queries
    }

    #[test]
    fn a_list_by_id_continues_after_the_last_id() {
        assert_eq!(
            fetch("select=*&order=id.asc", 25, 10, true),
            [
                "select=*&order=id.asc",
                "select=*&order=id.asc&id=gt.10",
                "select=*&order=id.asc&id=gt.20"
            ]
        );
        assert_eq!(
            fetch("order=id.desc", 15, 10, true),
            ["order=id.desc", "order=id.desc&id=lt.6"]
        );
        assert_eq!(fetch("", 15, 10, true), ["order=id", "order=id&id=gt.10"]);
    }

    #[test]
    fn any_other_order_is_made_total_and_continues_by_offset() {
        assert_eq!(
            fetch("select=*&order=title.desc", 15, 10, true),
            [
                "select=*&order=title.desc,id.asc",
                "select=*&order=title.desc,id.asc&offset=10"
            ]
        );
        assert_eq!(
            fetch("order=title,id.desc", 15, 10, true),
            ["order=title,id.desc", "order=title,id.desc&offset=10"]
        );
    }

    #[test]
    fn without_a_total_an_empty_page_is_the_end() {
        assert_eq!(
            fetch("", 10, 10, false),
            ["order=id", "order=id&id=gt.10", "order=id&id=is.null"]
        );
        assert_eq!(
            fetch("order=id.desc", 10, 10, false),
            ["order=id.desc", "order=id.desc&id=lt.1"]
        );
        assert_eq!(
            fetch("order=title", 10, 10, false),
            ["order=title,id.asc", "order=title,id.asc&offset=10"]
        );
        assert_eq!(fetch("", 0, 10, false), ["order=id"]);
        assert_eq!(fetch("", 10, 10, true), ["order=id"]);
    }

    #[test]
    fn the_operators_own_limit_and_offset_are_kept() {
        assert_eq!(fetch("limit=7", 25, 10, true), ["order=id&limit=7"]);
        assert_eq!(
            fetch("limit=12", 25, 10, false),
            ["order=id&limit=12", "order=id&id=gt.10&limit=2"]
        );
        assert_eq!(
            fetch("order=title&offset=5&limit=12", 25, 10, true),
            [
                "order=title,id.asc&offset=5&limit=12",
                "order=title,id.asc&offset=15&limit=2"
            ]
        );
        assert_eq!(fetch("offset=20", 25, 10, true), ["order=id&offset=20"]);
        assert_eq!(fetch("offset=30", 25, 10, true), ["order=id&offset=30"]);
    }

    #[test]
    fn a_list_with_nulls_has_every_row_once_and_in_order() {
        for order in [
            "id",
            "id.desc",
            "id.asc.nullsfirst",
            "id.nullsfirst",
            "id.desc.nullslast",
        ] {
            for (ids, nulls) in [
                (0, 25),
                (25, 0),
                (1, 24),
                (24, 1),
                (10, 10),
                (15, 15),
                (5, 5),
            ] {
                for own in [
                    "",
                    "&offset=3",
                    "&offset=13",
                    "&limit=17",
                    "&offset=8&limit=9",
                ] {
                    for counts in [true, false] {
                        let query = format!("order={order}{own}");
                        let origin = |cap| Origin {
                            ids,
                            nulls,
                            cap,
                            counts,
                        };
                        let (queries, list, by_id) = origin(10).list(&query);
                        let (whole, _) = origin(usize::MAX).respond(&query);
                        assert_eq!(list, whole, "{ids} ids and {nulls} NULLs by {queries:?}");
                        let offsets = queries[1..].iter().any(|it| it.contains("offset="));
                        assert_eq!(by_id, !offsets, "{queries:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nulls_are_placed_by_the_order() {
        let origin = |ids, nulls| Origin {
            ids,
            nulls,
            cap: 10,
            counts: true,
        };
        let (queries, _, by_id) = origin(15, 5).list("");
        assert_eq!(
            queries,
            [
                "order=id",
                "order=id&id=gt.10",
                "order=id&id=gt.15",
                "order=id&id=is.null"
            ]
        );
        assert!(by_id, "all NULLs came in one page");
        let (queries, _, by_id) = origin(8, 15).list("");
        assert_eq!(
            queries,
            [
                "order=id",
                "order=id&id=is.null",
                "order=id&id=is.null&offset=10"
            ]
        );
        assert!(!by_id);
        let (queries, ..) = origin(5, 12).list("order=id.desc");
        assert_eq!(
            queries,
            [
                "order=id.desc",
                "order=id.desc&id=is.null&offset=10",
                "order=id.desc&id=is.null&offset=12",
                "order=id.desc&id=not.is.null"
            ]
        );
        let (queries, _, by_id) = origin(15, 5).list("order=id.desc");
        assert_eq!(queries, ["order=id.desc", "order=id.desc&id=lt.11"]);
        assert!(by_id);
    }

    #[test]
    fn a_list_without_usable_ids_continues_by_offset() {
        for row in [r#"{"title":"T"}"#, r#"{"id":true}"#, r#"{"id":[1]}"#] {
            let query = parse("");
            let mut pages = Pages::new(&query, "id");
            pages.next();
            let row = RawValue::from_string(row.to_owned()).unwrap();
            assert_eq!(pages.received(&[&*row; 10], None), 10);
            assert_eq!(pages.next().as_deref(), Some("order=id&offset=10"));
            assert!(!pages.is_by_id());
        }
    }

    #[test]
    fn an_id_is_encoded() {
        let query = ListQuery::parse("", "the id").unwrap();
        let mut pages = Pages::new(&query, "the id");
        pages.next();
        let row = RawValue::from_string(r#"{"the id":"a&b=é"}"#.to_owned()).unwrap();
        pages.received(&[&row], Some(2));
        assert_eq!(
            pages.next().as_deref(),
            Some("order=the%20id&the%20id=gt.a%26b%3D%C3%A9")
        );
    }

    #[test]
    fn an_origin_that_never_ends_is_abandoned() {
        let query = parse("");
        let mut pages = Pages::new(&query, "id");
        let rows = rows([1]);
        while pages.next().is_some() {
            pages.received(&[&rows[0]], None);
        }
        assert_eq!(pages.count(), MAX_PAGES);
    }
}
