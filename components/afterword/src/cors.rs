//! Which pages in browsers may read the answers (the Fetch standard's CORS protocol). Credentials are never allowed: nobody needs any.

use crate::answer::Answer;
use http::Uri;

/// The origins whose pages may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// No other origin than the application's own.
    None,
    /// All.
    Any,
    /// These.
    Listed(Vec<String>),
}

impl Cors {
    /// Takes a list of origins such as `https://example.org, http://localhost:5173`, parted by commas or spaces; `*` alone stands for
    /// all, and an empty one for none.
    pub fn parse(list: &str) -> Result<Self, String> {
        let items: Vec<&str> = list
            .split([',', ' '])
            .filter(|item| !item.is_empty())
            .collect();
        match items[..] {
            [] => Ok(Self::None),
            ["*"] => Ok(Self::Any),
            _ => items
                .into_iter()
                .map(|item| {
                    origin(item).ok_or_else(|| {
                        format!("`{item}` is no origin; one is like `https://example.org`, without a path")
                    })
                })
                .collect::<Result<_, _>>()
                .map(Self::Listed),
        }
    }

    /// Whether the answer depends on the request's `Origin`, so that caches have to be told.
    pub fn varies(&self) -> bool {
        matches!(self, Self::Listed(_))
    }

    /// The value of `Access-Control-Allow-Origin` for a page of `origin`, which is `None` if the request names none or more than one.
    pub fn allow(&self, origin: Option<&[u8]>) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Any => Some("*"),
            Self::Listed(origins) => {
                let origin = origin?;
                origins
                    .iter()
                    .map(String::as_str)
                    .find(|listed| listed.as_bytes() == origin)
            }
        }
    }
}

/// An answer that pages may read to which `allow` applies.
pub fn readable(answer: Answer, allow: &str) -> Answer {
    answer
        .with("access-control-allow-origin", allow)
        .with("access-control-expose-headers", "Age, Cache-Status, ETag")
}

/// The answer to a preflight from an allowed origin: reads, with whatever fields, `Authorization` among them (which `*` does not stand
/// for). None has a meaning here but the conditional ones; a client may send them all the same.
pub fn preflight(answer: Answer) -> Answer {
    answer
        .with("access-control-allow-methods", "GET, HEAD")
        .with("access-control-allow-headers", "*, Authorization")
        .with("access-control-max-age", "86400")
}

/// An origin as browsers write it (RFC 6454, section 6.2): scheme and host in lower case, the port if it is not the scheme's own.
fn origin(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let uri: Uri = lower.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    let default_port = matches!(
        (scheme, uri.port_u16()),
        ("http", Some(80)) | ("https", Some(443))
    );
    let whole = format!("{scheme}://{authority}") == lower;
    let plain = !authority.contains('@');
    (whole && plain && !default_port).then_some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(list: &str, origin: &str) -> Option<String> {
        let cors = Cors::parse(list).unwrap();
        cors.allow(Some(origin.as_bytes())).map(str::to_owned)
    }

    #[test]
    fn a_listed_origin_is_allowed_and_no_other() {
        let list = "https://example.org, HTTP://localhost:5173 https://b.example";
        for origin in [
            "https://example.org",
            "http://localhost:5173",
            "https://b.example",
        ] {
            assert_eq!(allowed(list, origin).as_deref(), Some(origin));
        }
        for origin in [
            "",
            "null",
            "http://example.org",
            "https://example.org.evil.example",
            "https://example.org:8443",
            "https://example.org/",
            "https://sub.example.org",
            "https://example.org,https://b.example",
        ] {
            assert_eq!(allowed(list, origin), None, "{origin}");
        }
        let listed = Cors::parse(list).unwrap();
        assert!(listed.varies());
        assert_eq!(listed.allow(None), None);
    }

    #[test]
    fn a_star_allows_all_in_the_same_way_and_an_empty_list_none() {
        assert_eq!(allowed("*", "https://a.example").as_deref(), Some("*"));
        assert!(Cors::Any.allow(None).is_some());
        for list in ["", " ", ","] {
            assert_eq!(allowed(list, "https://a.example"), None);
        }
        assert!(!Cors::Any.varies() && !Cors::None.varies());
    }

    #[test]
    fn what_no_browser_would_send_is_refused_by_name() {
        for item in [
            "example.org",
            "https://example.org/",
            "https://example.org/path",
            "https://example.org:443",
            "http://example.org:80",
            "https://",
            "https://user@example.org",
            "https://exämple.org",
            "null",
        ] {
            let error = Cors::parse(item).expect_err(item);
            assert!(error.contains(item), "{error}");
        }
        assert!(Cors::parse("*, https://example.org").is_err());
    }
}
