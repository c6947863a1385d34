//! The cached resources. A key is the path of the request that reads it.

use std::fmt;

/// Path and key of the list.
pub const LIST: &str = "/articles";

/// Longest id, in characters.
const MAX_ID: usize = 128;

/// An id of 1 to 128 characters out of `A–Z a–z 0–9 . _ ~ -`: RFC 3986's unreserved characters, which mean nothing else in a
/// path, in a PostgREST filter, or in a log line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

impl Id {
    /// The id that `text` spells, or `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=MAX_ID).contains(&text.len()) && text.bytes().all(is_unreserved);
        fits.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-')
}

/// A cached resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `/articles`
    List,
    /// `/articles/{id}`
    Item(Id),
}

impl Key {
    /// The key that a path names. The path is taken as it was sent, with percent signs and all: an id has no character that
    /// would need one, so that each resource has just one path. `None` is for the caller to answer with 404.
    pub fn from_path(path: &str) -> Option<Self> {
        match path.strip_prefix(LIST)? {
            "" => Some(Self::List),
            rest => Id::parse(rest.strip_prefix('/')?).map(Self::Item),
        }
    }
}

impl fmt::Display for Key {
    /// The path, which is the name in the key-value store and among the marks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str(LIST),
            Self::Item(id) => write!(f, "{LIST}/{}", id.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_the_path_that_it_prints() {
        for path in [
            "/articles",
            "/articles/7",
            "/articles/Zz.0_~-",
            "/articles/..",
        ] {
            assert_eq!(Key::from_path(path).expect(path).to_string(), path);
        }
        assert!(Key::from_path(&format!("/articles/{}", "x".repeat(128))).is_some());
    }

    #[test]
    fn any_other_path_is_no_key() {
        let long = format!("/articles/{}", "x".repeat(129));
        for path in [
            "",
            "/",
            "/article",
            "/articlesx",
            "/articles/",
            "/articles//",
            "/articles/1/",
            "/articles/1/2",
            "/articles/%37",
            "/articles/a,b",
            "/articles/a b",
            "/articles/é",
            "/articles/a\0",
            "/articles/a\n",
            "/Articles/1",
            &long,
        ] {
            assert_eq!(Key::from_path(path), None, "{path:?}");
        }
    }
}
