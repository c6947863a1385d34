//! The URL of a Supabase project.

use std::fmt;

/// The scheme and the authority of the project's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// `https`, or else `http`.
    pub https: bool,
    /// The host, and the port unless it is the scheme's default.
    pub authority: String,
}

impl BaseUrl {
    /// Parses a URL such as `https://project.supabase.co`. Returns `None` if it has another scheme,
    /// credentials, a path or a query.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = rest.trim_end_matches('/');
        // `http::Uri` would add 5 kB to each component.
        let is_authority = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let valid = !authority.is_empty() && authority.bytes().all(is_authority);
        valid.then(|| Self {
            https,
            authority: authority.to_owned(),
        })
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_has_a_scheme_and_a_host_and_no_path() {
        for (url, https, authority) in [
            ("https://x.supabase.co/", true, "x.supabase.co"),
            ("http://127.0.0.1:54321", false, "127.0.0.1:54321"),
        ] {
            let parsed = BaseUrl::parse(url).expect(url);
            assert_eq!((parsed.https, &*parsed.authority), (https, authority));
            assert_eq!(parsed.to_string(), url.trim_end_matches('/'));
        }
        for url in [
            "",
            "x.supabase.co",
            "ftp://x",
            "https://x.supabase.co/rest/v1",
            "https://",
            "http://x?y",
            "https://a b",
            "https://user:pw@x",
        ] {
            assert!(BaseUrl::parse(url).is_none(), "{url}");
        }
    }
}
