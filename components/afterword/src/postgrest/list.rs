//! The list's query, and the pages in which it is fetched.
//!
//! PostgREST cuts an answer at the project's *Max rows* (1,000 on Supabase by default) and says nothing of it. So pages are
//! asked for until the total that `Prefer: count=exact` gave is there, or a page is empty: by id where that is the order
//! (`id=gt.…`: a row that comes or goes meanwhile shifts no other), else by `offset`.

use super::{encode, is_query, join};

/// The most pages of a list: an origin that gives a row at a time, for ever, is not followed.
const MAX_PAGES: usize = 10_000;

/// A parsed `list_query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// All parameters but those below.
    rest: String,
    /// The whole order, made total by the id column.
    order: String,
    /// `gt` or `lt` if the order is the id column's alone.
    by_id: Option<&'static str>,
    /// The user's own `limit`, in rows.
    limit: Option<u64>,
    /// The user's own `offset`, in rows.
    offset: u64,
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
        let id = encode(id_column);
        let asked = order.filter(|order| !order.is_empty()).unwrap_or(&id);
        let mut terms = asked
            .split(',')
            .map(|term| term.split('.').collect::<Vec<_>>());
        let by_id = match (terms.next().as_deref(), terms.next()) {
            (Some([column, modifiers @ ..]), None) if *column == id => {
                Some(if modifiers.contains(&"desc") {
                    "lt"
                } else {
                    "gt"
                })
            }
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

    /// Whether the list shows every row that the anonymous key may read: it has no `limit`, no `offset` and no filter. An inner
    /// join (`!inner`) filters, too.
    pub fn shows_all(&self) -> bool {
        let filters = |parameter: &str| {
            !parameter.is_empty()
                && (!parameter.starts_with("select=") || parameter.contains("!inner"))
        };
        self.limit.is_none() && self.offset == 0 && !self.rest.split('&').any(filters)
    }

    /// Whether the order is the id column's alone.
    pub fn is_by_id(&self) -> bool {
        self.by_id.is_some()
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
    /// Rows received so far.
    received: u64,
    /// The rows that there are to receive, once known.
    expected: Option<u64>,
    /// The last row's id.
    last: Option<String>,
    requests: usize,
    ended: bool,
}

impl<'a> Pages<'a> {
    /// Nothing asked for yet.
    pub fn new(query: &'a ListQuery, id_column: &'a str) -> Self {
        Self {
            query,
            id_column,
            received: 0,
            expected: query.limit,
            last: None,
            requests: 0,
            ended: false,
        }
    }

    /// The parameters of the next request, unless the list is whole.
    #[allow(
        clippy::should_implement_trait,
        reason = "what comes next depends on what was received"
    )]
    pub fn next(&mut self) -> Option<String> {
        if self.ended || self.requests == MAX_PAGES {
            return None;
        }
        self.requests += 1;
        let mut query = join(&self.query.rest, &format!("order={}", self.query.order));
        let mut offset = self.query.offset + self.received;
        if let (Some(operator), Some(last)) = (self.query.by_id, &self.last) {
            query = join(
                &query,
                &format!("{}={operator}.{}", encode(self.id_column), encode(last)),
            );
            offset = 0;
        }
        if offset > 0 {
            query = join(&query, &format!("offset={offset}"));
        }
        if let Some(limit) = self.query.limit {
            query = join(&query, &format!("limit={}", limit - self.received));
        }
        Some(query)
    }

    /// What the last request brought: so many rows, the last of them with this id, out of so many in all, if the origin said so.
    pub fn received(&mut self, rows: usize, last: Option<String>, total: Option<u64>) {
        self.received += rows as u64;
        self.last = last;
        if let Some(total) = total {
            let there = total.saturating_sub(self.query.offset);
            self.expected = Some(self.query.limit.map_or(there, |limit| limit.min(there)));
        }
        self.ended = rows == 0
            || self
                .expected
                .is_some_and(|expected| self.received >= expected);
    }

    /// How many requests were asked for.
    pub fn count(&self) -> usize {
        self.requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> ListQuery {
        ListQuery::parse(query, "id").expect(query)
    }

    /// The queries that fetch a list of `rows` rows numbered from 1, `cap` at most in an answer.
    fn fetch(query: &str, rows: u64, cap: u64, counts: bool) -> Vec<String> {
        let query = parse(query);
        let mut pages = Pages::new(&query, "id");
        let mut queries = Vec::new();
        let wanted = query
            .limit
            .unwrap_or(u64::MAX)
            .min(rows.saturating_sub(query.offset));
        while let Some(next) = pages.next() {
            queries.push(next);
            let page = cap.min(wanted - pages.received);
            let last = (page > 0).then(|| (query.offset + pages.received + page).to_string());
            let total = (counts && queries.len() == 1).then_some(rows);
            pages.received(page as usize, last, total);
        }
        assert_eq!(pages.received, wanted, "all rows were received");
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
            ["order=id.desc", "order=id.desc&id=lt.10"]
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
        assert_eq!(fetch("", 10, 10, false), ["order=id", "order=id&id=gt.10"]);
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
    fn an_id_that_is_null_or_not_selected_is_gone_past_by_offset() {
        let query = parse("select=title");
        let mut pages = Pages::new(&query, "id");
        pages.next();
        pages.received(10, None, None);
        assert_eq!(
            pages.next().as_deref(),
            Some("select=title&order=id&offset=10")
        );
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
        pages.received(1, Some("a&b=é".into()), Some(2));
        assert_eq!(
            pages.next().as_deref(),
            Some("order=the%20id&the%20id=gt.a%26b%3D%C3%A9")
        );
    }

    #[test]
    fn an_origin_that_never_ends_is_left() {
        let query = parse("");
        let mut pages = Pages::new(&query, "id");
        while pages.next().is_some() {
            pages.received(1, Some("1".into()), None);
        }
        assert_eq!(pages.count(), MAX_PAGES);
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
