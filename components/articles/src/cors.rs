//! Cross-origin reads (the Fetch standard's CORS protocol). Credentials are never allowed, because
//! reads need none.

use afterword::host::http_server::Headers;
use afterword::response::Response;
use http::Uri;

/// The origins whose pages may read (variable `cors_allow_origins`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Only the application's own origin.
    None,
    /// All origins.
    Any,
    /// The listed origins.
    Listed(Vec<String>),
}

impl Cors {
    /// Parses a list of origins such as `https://example.org, http://localhost:5173`, separated by
    /// commas or spaces. `*` alone means all origins, an empty list none.
    ///
    /// # Errors
    /// A sentence for the operator.
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
                        format!(
                            "`{item}` is not an origin; one looks like `https://example.org`, \
                             without a path"
                        )
                    })
                })
                .collect::<Result<_, _>>()
                .map(Self::Listed),
        }
    }

    /// The response to `OPTIONS`, with the allowed methods. It may be a preflight.
    pub fn options(&self, allow: &str, request: &Headers) -> Response {
        let response = Response::options(allow);
        let is_preflight = !request.get("access-control-request-method").is_empty();
        if !is_preflight || self.allowed_origin(request).is_none() {
            return response;
        }
        // `*` covers every request header but `Authorization`. Afterword ignores most of them, but
        // clients may send them.
        response
            .with("access-control-allow-methods", "GET, HEAD")
            .with("access-control-allow-headers", "*, Authorization")
            .with("access-control-max-age", "86400")
    }

    /// Adds the headers that let pages of allowed origins read the response.
    pub fn apply(&self, mut response: Response, request: &Headers) -> Response {
        if self.varies() {
            response = response.with("vary", "Origin");
        }
        match self.allowed_origin(request) {
            Some(origin) => response.with("access-control-allow-origin", origin).with(
                "access-control-expose-headers",
                "Age, Cache-Status, Content-Range, ETag, Link",
            ),
            None => response,
        }
    }

    fn allowed_origin(&self, request: &Headers) -> Option<&str> {
        // Most applications have no list: they save a host call.
        let lines = if self.varies() {
            request.get("origin")
        } else {
            Vec::new()
        };
        match &lines[..] {
            [origin] => self.allow(Some(origin)),
            _ => self.allow(None),
        }
    }

    /// Whether the response depends on the request's `Origin`.
    fn varies(&self) -> bool {
        matches!(self, Self::Listed(_))
    }

    /// The value of `Access-Control-Allow-Origin` for a page of `origin`, which is `None` if the
    /// request names no origin or several.
    fn allow(&self, origin: Option<&[u8]>) -> Option<&str> {
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

/// An origin as browsers write it (RFC 6454, section 6.2): scheme and host in lower case, and the
/// port unless it is the scheme's default.
fn origin(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let uri: Uri = lower.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    let default_port = matches!(
        (scheme, uri.port_u16()),
        ("http", Some(80)) | ("https", Some(443))
    );
    let bare = format!("{scheme}://{authority}") == lower && !authority.contains('@');
    (bare && !default_port).then_some(lower)
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
    fn a_star_allows_all_origins_and_an_empty_list_none() {
        assert_eq!(allowed("*", "https://a.example").as_deref(), Some("*"));
        assert!(Cors::Any.allow(None).is_some());
        for list in ["", " ", ","] {
            assert_eq!(allowed(list, "https://a.example"), None);
        }
        assert!(!Cors::Any.varies() && !Cors::None.varies());
    }

    #[test]
    fn an_invalid_origin_is_refused_by_name() {
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
