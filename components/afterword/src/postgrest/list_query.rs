//! The list's query.

use super::query::is_query;
use crate::key::encode;

/// A parsed `list_query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// All parameters except the following.
    pub(super) rest: String,
    /// The order, made total by the id column.
    pub(super) order: String,
    /// How to continue by id, if the order is that of the id column alone.
    pub(super) by_id: Option<ById>,
    /// The operator's own `limit`, in rows.
    pub(super) limit: Option<u64>,
    /// The operator's own `offset`, in rows.
    pub(super) offset: u64,
}

/// The order of a list by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ById {
    /// The largest id comes first.
    pub descending: bool,
    /// The rows whose id is NULL come before the others.
    pub nulls_first: bool,
}

impl ById {
    /// The order with these modifiers. PostgreSQL sorts NULLs as larger than any value, and
    /// PostgREST keeps that.
    fn of(modifiers: &[&str]) -> Self {
        let descending = modifiers.contains(&"desc");
        Self {
            descending,
            nulls_first: modifiers.contains(&"nullsfirst")
                || descending && !modifiers.contains(&"nullslast"),
        }
    }

    /// PostgREST's operators for the rows after an id, from an id on, and before an id.
    pub(super) fn operators(self) -> [&'static str; 3] {
        if self.descending {
            ["lt", "lte", "gt"]
        } else {
            ["gt", "gte", "lt"]
        }
    }
}

impl ListQuery {
    /// Parses PostgREST parameters such as `select=*&order=id.asc`.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse(query: &str, id_column: &str) -> Result<Self, String> {
        let query = query.trim_start_matches('?');
        if !is_query(query) {
            return Err("it contains a character that must be percent-encoded".into());
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
                return Err(format!("the parameter `{name}` occurs twice"));
            }
        }
        let id = encode(id_column).to_string();
        let requested = order.filter(|order| !order.is_empty()).unwrap_or(&id);
        let mut terms = requested
            .split(',')
            .map(|term| term.split('.').collect::<Vec<_>>());
        let by_id = match (terms.next().as_deref(), terms.next()) {
            (Some([column, modifiers @ ..]), None) if *column == id => Some(ById::of(modifiers)),
            _ => None,
        };
        // With `select=id:slug`, the id in a row is not the column that the list is ordered by.
        let is_alias = |term: &str| {
            let source = term
                .strip_prefix(&*id)
                .and_then(|term| term.strip_prefix(':'));
            source.is_some_and(|source| !source.starts_with(':'))
        };
        let selects = rest.iter().filter_map(|pair| pair.strip_prefix("select="));
        let by_id = by_id.filter(|_| !selects.flat_map(|select| select.split(',')).any(is_alias));
        let is_total = requested
            .split(',')
            .any(|term| term.split('.').next() == Some(&id));
        Ok(Self {
            rest: rest.join("&"),
            order: if is_total {
                requested.to_owned()
            } else {
                format!("{requested},{id}.asc")
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

    /// The order, if a range of ids is a part of the list: the order is that of the id column alone,
    /// and the list has no `limit` and no `offset`.
    pub fn by_id_ranges(&self) -> Option<ById> {
        let is_whole = self.limit.is_none() && self.offset == 0;
        self.by_id.filter(|_| is_whole)
    }

    /// Whether to request the total number of rows. With a `limit`, the total does not tell where
    /// the list ends, and may cost the database a scan of the whole table.
    pub fn wants_count(&self) -> bool {
        self.limit.is_none()
    }
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    value
        .parse()
        .map_err(|_| format!("`{name}={value}` is not a number of rows"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> ListQuery {
        ListQuery::parse(query, "id").expect(query)
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
    fn a_range_of_ids_is_a_part_of_a_whole_list_in_the_order_of_the_id() {
        for query in [
            "",
            "order=id.desc&published=is.true",
            "select=title,id::text",
        ] {
            assert!(parse(query).by_id_ranges().is_some(), "{query}");
        }
        for query in [
            "limit=10",
            "offset=1",
            "order=title",
            "order=id,title",
            "select=title,id:slug",
        ] {
            assert!(parse(query).by_id_ranges().is_none(), "{query}");
        }
    }

    #[test]
    fn rows_are_counted_unless_there_is_a_limit() {
        assert!(parse("order=id&offset=5").wants_count());
        assert!(!parse("order=id&limit=5").wants_count());
    }

    #[test]
    fn an_invalid_query_is_refused() {
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
