//! The part of the list that a request is for: `limit` and `offset`, as in PostgREST.

use std::fmt::{self, Write};

/// A part of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Window {
    /// The rows before it.
    pub offset: u64,
    /// The maximum number of its rows.
    pub limit: Option<u64>,
}

/// The query has another parameter, an invalid value, or a parameter twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported;

impl Window {
    /// Parses a request's query; `None` if it asks for the whole list.
    pub fn parse(query: &str) -> Result<Option<Self>, Unsupported> {
        let (mut limit, mut offset) = (None, None);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or(Unsupported)?;
            let known = match name {
                "limit" => &mut limit,
                "offset" => &mut offset,
                _ => return Err(Unsupported),
            };
            if known.replace(number(value)?).is_some() {
                return Err(Unsupported);
            }
        }
        let is_part = limit.is_some() || offset.is_some();
        Ok(is_part.then_some(Self {
            offset: offset.unwrap_or(0),
            limit,
        }))
    }

    /// The value of `Content-Range`: PostgREST's `0-19/100`, with `*` for no rows, and for a total
    /// that the client did not ask for.
    pub fn content_range(&self, rows: u64, total: Option<u64>) -> String {
        let mut range = match rows {
            0 => "*".to_owned(),
            _ => format!("{}-{}", self.offset, self.offset.saturating_add(rows - 1)),
        };
        // Writing to memory does not fail.
        let _ = match total {
            Some(total) => write!(range, "/{total}"),
            None => write!(range, "/*"),
        };
        range
    }

    /// The value of `Link` (RFC 8288), with the neighbouring windows. `has_next`: there are rows
    /// after this window.
    pub fn links(&self, path: &str, has_next: bool) -> String {
        let at = |offset: u64| Self { offset, ..*self };
        let mut links = format!("<{path}{}>; rel=\"first\"", at(0));
        let mut add = |offset, relation| {
            let _ = write!(links, ", <{path}{}>; rel=\"{relation}\"", at(offset));
        };
        let Some(limit) = self.limit.filter(|limit| *limit > 0) else {
            return links;
        };
        if self.offset > 0 {
            add(self.offset.saturating_sub(limit), "prev");
        }
        if has_next {
            add(self.offset.saturating_add(limit), "next");
        }
        links
    }
}

/// The query of a window's URL.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = '?';
        if let Some(limit) = self.limit {
            write!(f, "{separator}limit={limit}")?;
            separator = '&';
        }
        if self.offset > 0 {
            write!(f, "{separator}offset={}", self.offset)?;
        }
        Ok(())
    }
}

fn number(value: &str) -> Result<u64, Unsupported> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = value.parse().ok().filter(|_| is_number);
    parsed.ok_or(Unsupported)
}

/// Whether a client asks for the number of rows, by one of the values of `Prefer` (RFC 7240) for
/// which PostgREST counts. A cached list knows the exact number at no cost.
pub fn counts(prefer: &[Vec<u8>]) -> bool {
    crate::list_header::members(prefer).any(|preference| {
        matches!(
            preference,
            b"count=exact" | b"count=planned" | b"count=estimated"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(offset: u64, limit: impl Into<Option<u64>>) -> Window {
        let limit = limit.into();
        Window { offset, limit }
    }

    #[test]
    fn limit_and_offset_are_the_only_parameters() {
        for (query, expected) in [
            ("", None),
            ("&", None),
            ("limit=20", Some(window(0, 20))),
            ("offset=40&limit=20", Some(window(40, 20))),
            ("offset=5", Some(window(5, None))),
            ("limit=0", Some(window(0, 0))),
        ] {
            assert_eq!(Window::parse(query), Ok(expected), "{query}");
        }
        for query in [
            "id=eq.3",
            "limit",
            "limit=",
            "limit=-1",
            "limit=+1",
            "limit=1.0",
            "limit=99999999999999999999",
            "limit=1&limit=2",
            "Limit=1",
            "limit=1&utm_source=x",
            "limit=1?",
        ] {
            assert_eq!(Window::parse(query), Err(Unsupported), "{query}");
        }
    }

    #[test]
    fn a_content_range_is_as_postgrest_writes_it() {
        for (window, rows, total, expected) in [
            (window(0, 20), 20, None, "0-19/*"),
            (window(20, 20), 5, Some(25), "20-24/25"),
            (window(25, 20), 0, Some(25), "*/25"),
            (window(0, 20), 0, None, "*/*"),
            (window(u64::MAX, None), 0, None, "*/*"),
        ] {
            assert_eq!(window.content_range(rows, total), expected);
        }
    }

    #[test]
    fn the_links_are_the_neighbouring_windows() {
        let links = |window: Window, has_next| window.links("/articles", has_next);
        assert_eq!(
            links(window(40, 20), true),
            "</articles?limit=20>; rel=\"first\", </articles?limit=20&offset=20>; rel=\"prev\", \
             </articles?limit=20&offset=60>; rel=\"next\""
        );
        assert_eq!(
            links(window(5, 20), false),
            "</articles?limit=20>; rel=\"first\", </articles?limit=20>; rel=\"prev\""
        );
        for without_pages in [window(5, None), window(0, 0)] {
            assert!(!links(without_pages, true).contains("next"));
        }
        assert_eq!(links(window(5, None), true), "</articles>; rel=\"first\"");
    }

    #[test]
    fn a_preference_for_a_count_is_found_among_others() {
        let prefer = |line: &str| counts(&[line.as_bytes().to_vec()]);
        assert!(prefer("count=exact") && prefer("handling=strict, count=planned"));
        assert!(!prefer("count=none") && !prefer("") && !counts(&[]));
    }
}
