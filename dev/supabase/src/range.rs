//! The requested range of rows, and its status and `Content-Range`.
//!
//! Source: PostgREST's `RangeQuery.hs` and `getRanges` in its `ApiRequest.hs`.

use http::{HeaderMap, Method, header::RANGE};

use crate::{error::RestError, query::Query};

/// The requested rows, counted from 0.
#[derive(Debug, PartialEq)]
pub(crate) struct Window {
    pub offset: u64,
    pub limit: Option<u64>,
}

impl Window {
    /// The intersection of `limit` and `offset` with the `Range` header of a GET.
    pub fn new(method: &Method, headers: &HeaderMap, query: &Query) -> Result<Self, RestError> {
        if query.limit == Some(0) {
            return Ok(Self {
                offset: 0,
                limit: Some(0),
            });
        }
        let header = headers.get(RANGE).filter(|_| method == Method::GET);
        let (first, last) = header
            .and_then(|value| parse(value.to_str().ok()?))
            .unwrap_or((0, None));
        if last.is_some_and(|last| last < first) {
            return Err(not_satisfiable(
                "The lower boundary must be lower than or equal to the upper boundary in the \
                 Range header.",
            ));
        }
        let offset = first.max(query.offset);
        let end = [
            last.map(|last| last.saturating_add(1)),
            query.limit.map(|limit| query.offset.saturating_add(limit)),
        ]
        .into_iter()
        .flatten()
        .min();
        match end {
            Some(end) if end <= offset => Err(not_satisfiable(
                "Limit should be greater than or equal to zero.",
            )),
            end => Ok(Self {
                offset: offset.unsigned_abs(),
                limit: end.map(|end| (end - offset).unsigned_abs()),
            }),
        }
    }

    /// The status and `Content-Range` of `rows` rows. `total` is the requested count.
    pub fn describe(&self, rows: u64, total: Option<u64>) -> (u16, String) {
        let status = match total {
            Some(total) if self.offset > total => 416,
            Some(total) if rows < total => 206,
            _ => 200,
        };
        (status, content_range(self.offset, rows, total))
    }

    /// The error of an offset beyond the end (416).
    pub fn out_of_bounds(&self, total: u64) -> RestError {
        not_satisfiable(&format!(
            "An offset of {} was requested, but there are only {total} rows.",
            self.offset
        ))
    }
}

/// `0-24/25`, with `*` for an unknown or empty part.
pub(crate) fn content_range(offset: u64, rows: u64, total: Option<u64>) -> String {
    let range = if rows == 0 || total == Some(0) {
        "*".to_owned()
    } else {
        format!("{offset}-{}", offset + rows - 1)
    };
    match total {
        Some(total) => format!("{range}/{total}"),
        None => format!("{range}/*"),
    }
}

/// Parses `0-24` or `25-`. Anything else, such as `bytes=0-`, is ignored.
fn parse(range: &str) -> Option<(i64, Option<i64>)> {
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse().ok())?
    };
    Some((
        number(first)?,
        if last.is_empty() {
            None
        } else {
            Some(number(last)?)
        },
    ))
}

fn not_satisfiable(details: &str) -> RestError {
    RestError::new(416, "PGRST103", "Requested range not satisfiable").details(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(range: Option<&str>, query: &str) -> Result<Window, RestError> {
        let mut headers = HeaderMap::new();
        if let Some(range) = range {
            headers.insert(RANGE, range.parse().unwrap());
        }
        Window::new(&Method::GET, &headers, &Query::parse(query).unwrap())
    }

    fn rows(offset: u64, limit: Option<u64>) -> Result<Window, RestError> {
        Ok(Window { offset, limit })
    }

    #[test]
    fn header_and_query_intersect() {
        assert_eq!(window(None, ""), rows(0, None));
        assert_eq!(window(None, "limit=10&offset=5"), rows(5, Some(10)));
        assert_eq!(window(Some("0-24"), ""), rows(0, Some(25)));
        assert_eq!(window(Some("10-"), ""), rows(10, None));
        assert_eq!(window(Some("0-24"), "limit=10"), rows(0, Some(10)));
        assert_eq!(window(Some("bytes=0-5"), ""), rows(0, None));
        assert_eq!(window(None, "limit=0&offset=9"), rows(0, Some(0)));
        assert_eq!(window(None, "limit=abc&offset=-3"), rows(0, None));
    }

    #[test]
    fn an_empty_range_is_not_satisfiable() {
        let details = |result: Result<Window, RestError>| result.unwrap_err().details.unwrap();
        assert!(details(window(Some("9-3"), "")).starts_with("The lower boundary"));
        assert!(details(window(None, "limit=-1")).starts_with("Limit should be"));
    }

    #[test]
    fn the_status_depends_on_the_total() {
        let at = |offset| Window {
            offset,
            limit: None,
        };
        assert_eq!(at(0).describe(25, None), (200, "0-24/*".to_owned()));
        assert_eq!(at(0).describe(25, Some(25)), (200, "0-24/25".to_owned()));
        assert_eq!(at(5).describe(10, Some(25)), (206, "5-14/25".to_owned()));
        assert_eq!(at(25).describe(0, Some(25)), (206, "*/25".to_owned()));
        assert_eq!(at(26).describe(0, Some(25)), (416, "*/25".to_owned()));
        assert_eq!(at(0).describe(0, Some(0)), (200, "*/0".to_owned()));
        assert_eq!(at(0).describe(0, None), (200, "*/*".to_owned()));
    }
}
