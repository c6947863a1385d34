//! PostgREST's query string: `select`, `order`, `limit`, `offset`, `columns` and `on_conflict`. Any
//! other parameter is a filter.
//!
//! Source: PostgREST's `ApiRequest/QueryParams.hs`. Its parser names the character of an error.
//! Here, the error names the start of the word.

use url::form_urlencoded;

use crate::{error::RestError, filter::Filter};

/// A parsed query string with unchecked column names.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Query {
    pub select: Vec<Select>,
    pub filters: Vec<Filter>,
    pub order: Vec<Order>,
    pub limit: Option<i64>,
    pub offset: i64,
    pub columns: Option<Vec<String>>,
    pub on_conflict: Option<Vec<String>>,
}

/// One item of `select`.
#[derive(Debug, PartialEq)]
pub(crate) enum Select {
    Star,
    Column { name: String, alias: Option<String> },
}

/// One term of `order`.
#[derive(Debug, PartialEq)]
pub(crate) struct Order {
    pub column: String,
    pub descending: bool,
    pub nulls_first: bool,
}

impl Query {
    pub fn parse(query: &str) -> Result<Self, RestError> {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "apikey" => {}
                "select" => parsed.select = select(&value)?,
                "order" => parsed.order = order(&value)?,
                // PostgREST ignores an invalid number.
                "limit" => parsed.limit = value.parse().ok(),
                "offset" => parsed.offset = value.parse().unwrap_or(0),
                "columns" => parsed.columns = Some(names(&value)),
                "on_conflict" => parsed.on_conflict = Some(names(&value)),
                "and" | "or" | "not.and" | "not.or" => {
                    return Err(RestError::not_implemented(format!(
                        "The stand-in has no '{name}': it joins the filters by 'and'."
                    )));
                }
                _ => parsed.filters.push(Filter::parse(&name, &value)?),
            }
        }
        if parsed.select.is_empty() {
            parsed.select.push(Select::Star);
        }
        Ok(parsed)
    }
}

fn select(value: &str) -> Result<Vec<Select>, RestError> {
    split(value)
        .into_iter()
        .map(|item| {
            if item == "*" {
                return Ok(Select::Star);
            }
            if item.contains("::") || item.contains("->") || item.contains(['(', '.']) {
                return Err(RestError::not_implemented(format!(
                    "The stand-in has no casts, JSON paths, aggregates or embedded resources in \
                     'select': {item}"
                )));
            }
            let (alias, name) = match item.split_once(':') {
                Some((alias, name)) => (Some(unquote(alias)), name),
                None => (None, item),
            };
            if name.is_empty() {
                let column = value.find(item).unwrap_or(0) + item.len() + 1;
                let expecting = "field name (* or [a..z0..9_$])";
                return Err(RestError::parse(
                    "select parameter",
                    value,
                    column,
                    expecting,
                ));
            }
            Ok(Select::Column {
                name: unquote(name),
                alias,
            })
        })
        .collect()
}

fn order(value: &str) -> Result<Vec<Order>, RestError> {
    let mut terms = Vec::new();
    for term in split(value) {
        let mut words = term.split('.');
        let column = unquote(words.next().unwrap_or_default());
        let mut descending = false;
        let mut nulls_first = None;
        for (i, word) in words.enumerate() {
            match word {
                "asc" if i == 0 => {}
                "desc" if i == 0 => descending = true,
                "nullsfirst" if nulls_first.is_none() => nulls_first = Some(true),
                "nullslast" if nulls_first.is_none() => nulls_first = Some(false),
                _ => {
                    let start = word.as_ptr() as usize - value.as_ptr() as usize;
                    let column = value[..start].chars().count() + 1;
                    let expecting = if i == 0 {
                        "\"asc\", \"desc\", \"nullsfirst\" or \"nullslast\""
                    } else {
                        "\"nullsfirst\" or \"nullslast\""
                    };
                    return Err(RestError::parse("order", value, column, expecting));
                }
            }
        }
        terms.push(Order {
            column,
            descending,
            // In PostgreSQL, null is larger than any value.
            nulls_first: nulls_first.unwrap_or(descending),
        });
    }
    Ok(terms)
}

fn names(value: &str) -> Vec<String> {
    split(value).into_iter().map(unquote).collect()
}

/// The items of a comma-separated list. Commas in double quotes do not separate.
fn split(value: &str) -> Vec<&str> {
    let mut quoted = false;
    value
        .split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        })
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect()
}

fn unquote(name: &str) -> String {
    name.strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
        .unwrap_or(name)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, alias: Option<&str>) -> Select {
        Select::Column {
            name: name.to_owned(),
            alias: alias.map(str::to_owned),
        }
    }

    #[test]
    fn the_default_selection_is_everything() {
        assert_eq!(Query::parse("").unwrap().select, [Select::Star]);
        assert_eq!(Query::parse("select=*").unwrap().select, [Select::Star]);
    }

    #[test]
    fn select_accepts_columns_and_aliases() {
        let query = Query::parse("select=id,%20heading:title,%22editor_notes%22").unwrap();
        assert_eq!(
            query.select,
            [
                column("id", None),
                column("title", Some("heading")),
                column("editor_notes", None)
            ]
        );
    }

    #[test]
    fn order_places_nulls_like_postgres() {
        let query = Query::parse("order=created_at.desc,id,body.nullsfirst").unwrap();
        let seen: Vec<_> = query
            .order
            .iter()
            .map(|order| (order.column.as_str(), order.descending, order.nulls_first))
            .collect();
        assert_eq!(
            seen,
            [
                ("created_at", true, true),
                ("id", false, false),
                ("body", false, true)
            ]
        );
    }

    #[test]
    fn an_error_names_the_place_of_a_wrong_direction() {
        let error = Query::parse("order=id.ac").unwrap_err();
        assert_eq!((error.status, error.code), (400, "PGRST100"));
        assert_eq!(
            error.message,
            r#""failed to parse order (id.ac)" (line 1, column 4)"#
        );
        assert_eq!(
            error.details.unwrap(),
            r#"unexpected "a" expecting "asc", "desc", "nullsfirst" or "nullslast""#
        );
    }

    #[test]
    fn missing_features_are_not_implemented() {
        for query in [
            "select=id::text",
            "select=author(name)",
            "or=(id.eq.1,id.eq.2)",
            "title=like.*a*",
        ] {
            assert_eq!(Query::parse(query).unwrap_err().code, "PGRST127", "{query}");
        }
    }
}
