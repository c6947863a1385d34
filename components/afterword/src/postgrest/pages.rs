//! The pages in which a list, or a part of it, is fetched.
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
use super::rows::Rows;
use crate::key::encode;
use crate::row;

/// The maximum number of pages, in case an origin returns one row at a time forever.
const MAX_PAGES: usize = 10_000;

/// The number of rows in the first pages that ask for fewer rows ([`Pages::ask_for_less`]).
const FEWER_ROWS: u64 = 1_000;

/// The requests that fetch a list or a part of it. Call [`next`](Self::next) and
/// [`received`](Self::received) in turn.
#[derive(Debug)]
pub struct Pages<'a> {
    query: &'a ListQuery,
    id_column: &'a str,
    /// The rows that are skipped before the first one.
    offset: u64,
    /// The maximum number of rows in all pages.
    limit: Option<u64>,
    /// The id before which the rows end.
    before: Option<&'a str>,
    /// Whether only rows with an id are fetched.
    with_id: bool,
    /// Whether the first request asks for the total number of rows.
    counts: bool,
    /// The maximum number of rows in a page.
    page: Option<u64>,
    next: Next,
    /// Rows received so far.
    received: u64,
    /// The number of rows in all pages, once known.
    expected: Option<u64>,
    requests: usize,
    by_id: bool,
}

/// The next page.
#[derive(Debug)]
enum Next {
    /// The first page of a list by id.
    First,
    /// The rows from this id on.
    From(String),
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
    /// The whole list.
    pub fn new(query: &'a ListQuery, id_column: &'a str) -> Self {
        Self {
            query,
            id_column,
            offset: query.offset,
            limit: query.limit,
            before: None,
            with_id: false,
            counts: query.wants_count(),
            page: None,
            next: query.by_id.map_or(Next::Offset, |_| Next::First),
            received: 0,
            expected: query.limit,
            requests: 0,
            by_id: true,
        }
    }

    /// The list's rows from the one with the number `offset` (from 0) on, `limit` of them at most.
    pub fn window(
        query: &'a ListQuery,
        id_column: &'a str,
        offset: u64,
        limit: Option<u64>,
    ) -> Self {
        let left = query.limit.map(|own| own.saturating_sub(offset));
        let limit = limit.into_iter().chain(left).min();
        Self {
            offset: query.offset.saturating_add(offset),
            limit,
            counts: limit.is_none(),
            expected: limit,
            ..Self::new(query, id_column)
        }
    }

    /// The rows of a list by id, from the id `from` on, or from the first one with an id, to those
    /// before the id `before`, or to the last one with an id. `None` if the list is in another
    /// order.
    pub fn range(
        query: &'a ListQuery,
        id_column: &'a str,
        from: Option<&str>,
        before: Option<&'a str>,
    ) -> Option<Self> {
        query.by_id?;
        Some(Self {
            before,
            with_id: true,
            next: from.map_or(Next::After(None), |id| Next::From(id.to_owned())),
            ..Self::new(query, id_column)
        })
    }

    /// The parameters of the next request; `None` if the list is complete.
    #[allow(
        clippy::should_implement_trait,
        reason = "the next page depends on the rows received"
    )]
    pub fn next(&mut self) -> Option<String> {
        if self.requests == MAX_PAGES || self.limit == Some(0) {
            return None;
        }
        let id = encode(self.id_column);
        let [after, from, before] = self.query.by_id.map_or([""; 3], |order| order.operators());
        let (filter, offset) = match &self.next {
            Next::First => (String::new(), self.offset),
            Next::From(first) => (format!("{id}={from}.{}", encode(first)), 0),
            Next::After(Some(last)) => (format!("{id}={after}.{}", encode(last)), 0),
            Next::After(None) if self.before.is_some() => (String::new(), 0),
            Next::After(None) => (format!("{id}=not.is.null"), 0),
            Next::Nulls(offset) => (format!("{id}=is.null"), *offset),
            Next::Offset => (String::new(), self.offset.saturating_add(self.received)),
            Next::End => return None,
        };
        self.requests += 1;
        self.by_id &= self.requests == 1 || offset == 0;
        let mut query = join(&self.query.rest, &format!("order={}", self.query.order));
        query = join(&query, &filter);
        if let Some(end) = self.before {
            query = join(&query, &format!("{id}={before}.{}", encode(end)));
        }
        if offset > 0 {
            query = join(&query, &format!("offset={offset}"));
        }
        let left = self.limit.map(|limit| limit - self.received);
        if let Some(limit) = left.into_iter().chain(self.page).min() {
            query = join(&query, &format!("limit={limit}"));
        }
        Some(query)
    }

    /// Whether the request for the last page asks for the total number of rows.
    pub fn counts(&self) -> bool {
        self.counts && self.requests == 1
    }

    /// The last page was too large. Makes [`next`](Self::next) return it again with fewer rows, or
    /// returns false if it had a single one.
    pub fn ask_for_less(&mut self) -> bool {
        if self.page == Some(1) {
            return false;
        }
        self.page = Some(self.page.map_or(FEWER_ROWS, |rows| rows / 2));
        self.requests -= 1;
        true
    }

    /// Takes the rows of the last response, and the total number if the origin sent it. Returns how
    /// many of the rows to keep: the others will be part of a later page.
    pub fn received(&mut self, rows: &Rows, total: Option<u64>) -> usize {
        if let Some(total) = total.filter(|_| self.counts()) {
            let there = total.saturating_sub(self.offset);
            self.expected = Some(self.limit.map_or(there, |limit| limit.min(there)));
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
    fn following(&self, rows: &Rows) -> (Next, usize) {
        let nulls_first = self.query.by_id.is_some_and(|order| order.nulls_first);
        let Some(last) = rows.iter().next_back() else {
            let next = match self.next {
                _ if self.with_id => Next::End,
                Next::After(_) if !nulls_first => Next::Nulls(0),
                Next::Nulls(_) if nulls_first => Next::After(None),
                _ => Next::End,
            };
            return (next, 0);
        };
        let next = match self.next {
            Next::First => return self.following_first(rows, nulls_first),
            Next::From(_) | Next::After(_) => self.after(last),
            Next::Nulls(offset) => Next::Nulls(offset + rows.len() as u64),
            Next::Offset | Next::End => Next::Offset,
        };
        (next, rows.len())
    }

    /// The page after a row whose id is not NULL.
    fn after(&self, row: &str) -> Next {
        let id = row::column(row, self.id_column);
        id.map_or(Next::Offset, |id| Next::After(Some(id)))
    }

    /// The page after the first page of a list by id, and the number of rows to keep.
    fn following_first(&self, rows: &Rows, nulls_first: bool) -> (Next, usize) {
        let is_null = |row: &&str| row::is_null(row, self.id_column);
        let nulls = rows.iter().rev().take_while(is_null).count();
        match rows.iter().nth_back(nulls) {
            // There may be more NULLs. Fetch all of them on pages of their own.
            Some(_) if nulls > 0 && !nulls_first => (Next::Nulls(0), rows.len() - nulls),
            Some(last) if nulls == 0 => (self.after(last), rows.len()),
            None if nulls_first => (Next::Nulls(self.offset + nulls as u64), nulls),
            None if self.offset == 0 => (Next::Nulls(nulls as u64), nulls),
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

    /// Rows with these ids.
    fn rows<T: std::fmt::Display>(ids: impl IntoIterator<Item = T>) -> Rows {
        let rows: Vec<String> = ids
            .into_iter()
            .map(|id| format!(r#"{{"id":{id}}}"#))
            .collect();
        Rows::parse(format!("[{}]", rows.join(",")).into()).unwrap()
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
                let kept = pages.received(&rows(page.iter().map(text)), total);
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
            let rows = Rows::parse(format!("[{}]", [row; 10].join(",")).into()).unwrap();
            assert_eq!(pages.received(&rows, None), 10);
            assert_eq!(pages.next().as_deref(), Some("order=id&offset=10"));
            assert!(!pages.is_by_id());
        }
    }

    #[test]
    fn an_id_is_encoded() {
        let query = ListQuery::parse("", "the id").unwrap();
        let mut pages = Pages::new(&query, "the id");
        pages.next();
        let rows = Rows::parse(r#"[{"the id":"a&b=é"}]"#.into()).unwrap();
        pages.received(&rows, Some(2));
        assert_eq!(
            pages.next().as_deref(),
            Some("order=the%20id&the%20id=gt.a%26b%3D%C3%A9")
        );
    }

    #[test]
    fn an_origin_that_never_ends_is_abandoned() {
        let query = parse("");
        let mut pages = Pages::new(&query, "id");
        while pages.next().is_some() {
            pages.received(&rows([1]), None);
        }
        assert_eq!(pages.count(), MAX_PAGES);
    }

    /// The queries that fetch a range of `count` rows, a hundred in a response.
    fn range(order: &str, from: Option<&str>, before: Option<&str>, count: u64) -> Vec<String> {
        let query = parse(&format!("select=*&order={order}"));
        let mut pages = Pages::range(&query, "id", from, before).unwrap();
        let (mut queries, mut received) = (Vec::new(), 0);
        while let Some(next) = pages.next() {
            queries.push(next);
            let page = received..count.min(received + 100);
            received = page.end;
            pages.received(&rows(page), Some(count));
        }
        queries
    }

    #[test]
    fn a_range_has_the_rows_from_an_id_to_before_another() {
        assert_eq!(
            range("id.asc", Some("0"), Some("300"), 200),
            [
                "select=*&order=id.asc&id=gte.0&id=lt.300",
                "select=*&order=id.asc&id=gt.99&id=lt.300"
            ]
        );
        assert_eq!(
            range("id.desc", Some("300"), Some("100"), 100),
            ["select=*&order=id.desc&id=lte.300&id=gt.100"]
        );
        assert_eq!(
            range("id", None, Some("300"), 0),
            ["select=*&order=id&id=lt.300"]
        );
        assert_eq!(
            range("id", None, None, 0),
            ["select=*&order=id&id=not.is.null"]
        );
        assert!(Pages::range(&parse("order=title"), "id", None, None).is_none());
    }

    #[test]
    fn a_window_is_within_the_list() {
        let first = |query: &str, offset, limit| {
            let query = parse(query);
            Pages::window(&query, "id", offset, limit).next()
        };
        assert_eq!(
            first("", 40, Some(20)).unwrap(),
            "order=id&offset=40&limit=20"
        );
        assert_eq!(first("", 0, None).unwrap(), "order=id");
        assert_eq!(
            first("order=title&offset=5&limit=50", 40, Some(20)).unwrap(),
            "order=title,id.asc&offset=45&limit=10"
        );
        assert_eq!(first("limit=50", 50, Some(20)), None);
        assert_eq!(first("", 3, Some(0)), None);
    }

    #[test]
    fn a_page_that_is_too_large_is_requested_with_fewer_rows() {
        let query = parse("limit=1500");
        let mut pages = Pages::new(&query, "id");
        let mut limits = vec![pages.next().unwrap()];
        while pages.ask_for_less() {
            limits.push(pages.next().unwrap());
        }
        assert_eq!(
            limits[..3],
            [
                "order=id&limit=1500",
                "order=id&limit=1000",
                "order=id&limit=500"
            ]
        );
        assert_eq!(limits.last().unwrap(), "order=id&limit=1");
        assert_eq!(pages.count(), 1);
        pages.received(&rows([1]), None);
        assert_eq!(pages.next().unwrap(), "order=id&id=gt.1&limit=1");
    }
}
