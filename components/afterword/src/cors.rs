//! Which pages in browsers may read the answers (the Fetch standard's CORS protocol). Credentials are never allowed: nobody needs any.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use http::{HeaderName, HeaderValue, Uri};

/// The origins whose pages may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// No other origin than the application's own.
    None,
    /// All.
    Any,
    /// These.
    Listed(Vec<HeaderValue>),
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
    pub fn allow(&self, origin: Option<&[u8]>) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Listed(origins) => {
                let origin = origin?;
                origins.iter().find(|listed| *listed == origin).cloned()
            }
        }
    }
}

/// The fields of an answer that a page of an allowed origin may read.
pub fn readable(allow: HeaderValue) -> [(HeaderName, HeaderValue); 2] {
    let exposed = HeaderValue::from_static("Age, Cache-Status, ETag");
    [
        (ACCESS_CONTROL_ALLOW_ORIGIN, allow),
        (ACCESS_CONTROL_EXPOSE_HEADERS, exposed),
    ]
}

/// What the answer to a preflight from an allowed origin has beside those: reads, with whatever fields, `Authorization` among them (which
/// `*` does not stand for). None has a meaning here but the conditional ones; a client may send them all the same.
pub fn preflight() -> [(HeaderName, HeaderValue); 3] {
    let value = HeaderValue::from_static;
    [
        (ACCESS_CONTROL_ALLOW_METHODS, value("GET, HEAD")),
        (ACCESS_CONTROL_ALLOW_HEADERS, value("*, Authorization")),
        (ACCESS_CONTROL_MAX_AGE, value("86400")),
    ]
}

/// An origin as browsers write it (RFC 6454, section 6.2): scheme and host in lower case, the port if it is not the scheme's own.
fn origin(text: &str) -> Option<HeaderValue> {
    let lower = text.to_ascii_lowercase();
    let uri: Uri = lower.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    let default_port = matches!(
        (scheme, uri.port_u16()),
        ("http", Some(80)) | ("https", Some(443))
    );
    let whole = format!("{scheme}://{authority}") == lower;
    (whole && !default_port && !authority.contains('@'))
        .then(|| lower.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(list: &str, origin: &str) -> Option<String> {
        let value = Cors::parse(list).unwrap().allow(Some(origin.as_bytes()))?;
        Some(value.to_str().unwrap().to_owned())
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
