//! The list's query, and the pages in which it is fetched.
//!
//! PostgREST cuts an answer at the project's *Max rows* (1,000 on Supabase by default) and says nothing of it. So pages are
//! asked for until the total that `Prefer: count=exact` gave is there, or a page is empty: by id where that is the order
//! (`id=gt.…`: a row that comes or goes meanwhile shifts no other), else by `offset`.
//!
//! `id=gt.…` passes over rows whose id is NULL. Those are fetched apart from the others, by
//! `id=is.null`, before or after them, as the order has it.

use super::{is_query, join};
use crate::key::encode;
use crate::row;
use serde_json::value::RawValue;

/// The most pages of a list: an origin that gives a row at a time, for ever, is not followed.
const MAX_PAGES: usize = 10_000;

/// A parsed `list_query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// All parameters but those below.
    rest: String,
    /// The whole order, made total by the id column.
    order: String,
    /// How to go on by id, if the order is the id column's alone.
    by_id: Option<ById>,
    /// The user's own `limit`, in rows.
    limit: Option<u64>,
    /// The user's own `offset`, in rows.
    offset: u64,
}

/// The order of a list by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ById {
    /// The operator that selects what follows an id: `gt` or `lt`.
    after: &'static str,
    nulls_first: bool,
}

impl ById {
    /// The order with these modifiers. PostgreSQL takes NULLs for larger than any value, and
    /// PostgREST leaves that to it.
    fn of(modifiers: &[&str]) -> Self {
        let descending = modifiers.contains(&"desc");
        Self {
            after: if descending { "lt" } else { "gt" },
            nulls_first: modifiers.contains(&"nullsfirst")
                || descending && !modifiers.contains(&"nullslast"),
        }
    }
}

impl ListQuery {
    /// Takes PostgREST parameters such as `select=*&order=id.asc` apart.
    pub fn parse(query: &str, id_column: &str) -> Result<Self, String> {
        let query = query.trim_start_matches('?');
        if !is_query(query) {
            return Err("it holds a character that must be percent-encoded".into());
        }
        let (mut rest, mut order, mut limit, mut offset) = (Vec::new(), None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("the parameter `{pair}` has no value"))?;
            let repeated = match name {
                "order" => order.replace(value).is_some(),
                "limit" => limit.replace(number(name, value)?).is_some(),
                "offset" => offset.replace(number(name, value)?).is_some(),
                _ => {
                    rest.push(pair);
                    false
                }
            };
            if repeated {
                return Err(format!("the parameter `{name}` is there twice"));
            }
        }
        let id = encode(id_column).to_string();
        let asked = order.filter(|order| !order.is_empty()).unwrap_or(&id);
        let mut terms = asked
            .split(',')
            .map(|term| term.split('.').collect::<Vec<_>>());
        let by_id = match (terms.next().as_deref(), terms.next()) {
            (Some([column, modifiers @ ..]), None) if *column == id => Some(ById::of(modifiers)),
            _ => None,
        };
        let total = asked
            .split(',')
            .any(|term| term.split('.').next() == Some(&id));
        Ok(Self {
            rest: rest.join("&"),
            order: if total {
                asked.to_owned()
            } else {
                format!("{asked},{id}.asc")
            },
            by_id,
            limit,
            offset: offset.unwrap_or(0),
        })
    }

    /// Whether the list shows every row that the anonymous key may read: it has no `limit`, no
    /// `offset` and no filter. An inner join (`!inner`) filters, too.
    pub fn shows_all(&self) -> bool {
        let filters = |parameter: &str| {
            !parameter.is_empty()
                && (!parameter.starts_with("select=") || parameter.contains("!inner"))
        };
        self.limit.is_none() && self.offset == 0 && !self.rest.split('&').any(filters)
    }

    /// Whether to ask for the number of rows. With a `limit`, that number says nothing about the
    /// end of the list, and may cost the database a scan of the whole table.
    pub fn wants_count(&self) -> bool {
        self.limit.is_none()
    }
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    value
        .parse()
        .map_err(|_| format!("`{name}={value}` is no number of rows"))
}

/// The requests that fetch a list whole. Ask for the [`next`](Self::next), tell what was [`received`](Self::received), and so on.
#[derive(Debug)]
pub struct Pages<'a> {
    query: &'a ListQuery,
    id_column: &'a str,
    next: Next,
    /// Rows received so far.
    received: u64,
    /// The rows that there are to receive, once known.
    expected: Option<u64>,
    requests: usize,
    by_id: bool,
}

/// The page to ask for next.
#[derive(Debug)]
enum Next {
    /// The first page of a list by id, before anything is known of its ids.
    First,
    /// The rows after this id, or all that have one.
    After(Option<String>),
    /// The rows whose id is NULL, but for so many.
    Nulls(u64),
    /// The rows behind those that were received, in a list that cannot go on by id.
    Offset,
    /// None: the list is whole.
    End,
}

impl<'a> Pages<'a> {
    /// Nothing asked for yet.
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

    /// The parameters of the next request, unless the list is whole.
    #[allow(
        clippy::should_implement_trait,
        reason = "what comes next depends on what was received"
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

    /// Takes the rows that the last request brought, out of so many in all, if the origin said so.
    /// Returns how many of them to keep: those behind them will come again.
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

    /// What follows these rows of a list that is not known to be whole, and how many of them to
    /// keep.
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

    /// What follows a row whose id is not NULL.
    fn after(&self, row: &RawValue) -> Next {
        let id = row::column(row, self.id_column);
        id.map_or(Next::Offset, |id| Next::After(Some(id)))
    }

    /// Where the first page of a list by id leads to.
    fn following_first(&self, rows: &[&RawValue], nulls_first: bool) -> (Next, usize) {
        let is_null = |row: &&&RawValue| row::is_null(row, self.id_column);
        let nulls = rows.iter().rev().take_while(is_null).count();
        match rows[..rows.len() - nulls].last() {
            // They may not be all, and all of them may fit into a page of their own.
            Some(_) if nulls > 0 && !nulls_first => (Next::Nulls(0), rows.len() - nulls),
            Some(last) if nulls == 0 => (self.after(last), rows.len()),
            None if nulls_first => (Next::Nulls(self.query.offset + nulls as u64), nulls),
            None if self.query.offset == 0 => (Next::Nulls(nulls as u64), nulls),
            // How many of the NULLs the user's own offset passes over is not known.
            _ => (Next::Offset, rows.len()),
        }
    }

    /// How many requests were asked for.
    pub fn count(&self) -> usize {
        self.requests
    }

    /// Whether no page after the first went by an offset, by which a row that comes or goes
    /// meanwhile shifts others.
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
        /// The ids in an answer as PostgREST gives it, 0 for NULL, and how many there are in all.
        fn answer(&self, query: &str) -> (Vec<i64>, usize) {
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
                let (page, total) = self.answer(&next);
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

    /// The queries that fetch a list of `ids` rows numbered from 1, `cap` at most in an answer.
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
        assert_eq!(list, whole.answer(query).0, "all rows were received");
        queries
    }

    #[test]
    fn a_list_by_id_goes_on_after_the_last_id() {
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
    fn any_other_order_is_made_total_and_goes_on_by_offset() {
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
    fn the_users_own_limit_and_offset_are_kept() {
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
    fn a_list_with_nulls_has_every_row_once_and_in_its_order() {
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
                        let (whole, _) = origin(usize::MAX).answer(&query);
                        assert_eq!(list, whole, "{ids} ids and {nulls} NULLs by {queries:?}");
                        let offsets = queries[1..].iter().any(|it| it.contains("offset="));
                        assert_eq!(by_id, !offsets, "{queries:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nulls_come_where_the_order_has_them() {
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
    fn a_list_whose_ids_are_no_ids_goes_by_offset() {
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
    fn a_list_shows_all_without_limit_offset_and_filter() {
        for query in ["", "select=*,author:authors(name)&order=title", "order=id"] {
            assert!(parse(query).shows_all(), "{query}");
        }
        for query in [
            "limit=10",
            "offset=1",
            "select=*&published=is.true",
            "or=(a.eq.1,b.eq.2)",
            "select=*,authors!inner(name)",
        ] {
            assert!(!parse(query).shows_all(), "{query}");
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
    fn an_origin_that_never_ends_is_left() {
        let query = parse("");
        let mut pages = Pages::new(&query, "id");
        let rows = rows([1]);
        while pages.next().is_some() {
            pages.received(&[&rows[0]], None);
        }
        assert_eq!(pages.count(), MAX_PAGES);
    }

    #[test]
    fn rows_are_counted_unless_a_limit_makes_it_useless() {
        assert!(parse("order=id&offset=5").wants_count());
        assert!(!parse("order=id&limit=5").wants_count());
    }

    #[test]
    fn a_query_that_means_nothing_is_refused() {
        for query in [
            "select",
            "limit=x",
            "limit=-1",
            "order=a&order=b",
            "select=a b",
            "select=#",
        ] {
            assert!(ListQuery::parse(query, "id").is_err(), "{query}");
        }
    }
}
