//! The cached resources. A key is the path of the requests that read the resource.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use std::fmt;

/// The path of the list. Items have the path `{PATH}/{id}`.
pub const PATH: &str = "/articles";

/// The maximum length of an id, in bytes.
const MAX_ID_LENGTH: usize = 255;

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Percent-encodes every character that could be syntax in a URL, a log line or a Redis pattern.
pub fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

/// A row's id: 1 to 255 bytes of UTF-8 without U+0000, which PostgreSQL's text cannot contain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

impl Id {
    /// Returns `None` if the text cannot be an id.
    pub fn parse(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = (1..=MAX_ID_LENGTH).contains(&text.len()) && !text.contains('\0');
        fits.then_some(Self(text))
    }

    /// The id as text, not percent-encoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }
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
    /// The key of a request's path, in any spelling: `/articles/%41` is `/articles/A`, and encoded
    /// and unencoded characters are the same. Only `/` separates segments; `%2F` is part of an id.
    /// Returns `None` for other paths, malformed escapes, and bytes that are not UTF-8.
    pub fn from_request(path: &str) -> Option<Self> {
        match path.strip_prefix(PATH)? {
            "" => Some(Self::List),
            rest => Id::parse(decode(rest.strip_prefix('/')?)?).map(Self::Item),
        }
    }

    /// The key whose canonical path this is: parses names from the store and from Redis. Returns
    /// `None` for every name that Afterword did not write.
    pub fn from_canonical(path: &str) -> Option<Self> {
        Self::from_request(path).filter(|key| match key.id() {
            None => true,
            Some(id) => {
                let id_in_path = &path[PATH.len() + 1..];
                encode(&id.0).try_fold(id_in_path, |rest, part| rest.strip_prefix(part)) == Some("")
            }
        })
    }

    /// The item's id; `None` for the list.
    pub fn id(&self) -> Option<&Id> {
        match self {
            Self::List => None,
            Self::Item(id) => Some(id),
        }
    }
}

impl fmt::Display for Key {
    /// The canonical path, which is the name in the store, in Redis and in the log. Unreserved
    /// characters stand for themselves; every other byte is `%XX` in upper case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str(PATH),
            Self::Item(id) => write!(f, "{PATH}/{}", encode(&id.0)),
        }
    }
}

/// Percent-decodes one segment of a path.
fn decode(segment: &str) -> Option<String> {
    let mut text = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'/' => return None,
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(text).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_parses_its_own_canonical_path() {
        for (path, id) in [
            ("/articles/7", "7"),
            ("/articles/Zz.0_~-", "Zz.0_~-"),
            ("/articles/..", ".."),
            ("/articles/th%C3%BCringen", "thüringen"),
            ("/articles/%E6%A4%9C%E7%B4%A2", "検索"),
            ("/articles/C%2B%2B", "C++"),
            ("/articles/a%20b", "a b"),
            ("/articles/2024%2F01", "2024/01"),
            ("/articles/100%25", "100%"),
            ("/articles/%0A%22%5C%2A", "\n\"\\*"),
        ] {
            let key = Key::from_canonical(path).expect(path);
            assert_eq!(key, Key::Item(Id::parse(id).unwrap()));
            assert_eq!(key.to_string(), path);
        }
        assert_eq!(Key::from_canonical("/articles"), Some(Key::List));
        assert_eq!(Key::List.to_string(), "/articles");
    }

    #[test]
    fn all_spellings_of_a_path_are_the_same_key() {
        for (spellings, path) in [
            (["/articles/%41", "/articles/A"], "/articles/A"),
            (["/articles/%c3%bc", "/articles/ü"], "/articles/%C3%BC"),
            (["/articles/a b", "/articles/%61%20b"], "/articles/a%20b"),
            (["/articles/C++", "/articles/C%2b+"], "/articles/C%2B%2B"),
            (["/articles/%2e%2e", "/articles/.%2E"], "/articles/.."),
        ] {
            for spelling in spellings {
                assert_eq!(
                    Key::from_request(spelling).expect(spelling).to_string(),
                    path
                );
            }
        }
    }

    #[test]
    fn a_stored_name_in_another_spelling_is_not_a_key() {
        for name in [
            "/articles/%41",
            "/articles/%c3%bc",
            "/articles/ü",
            "/articles/a b",
            "/articles/C++",
        ] {
            assert!(Key::from_request(name).is_some());
            assert_eq!(Key::from_canonical(name), None, "{name}");
        }
    }

    #[test]
    fn an_id_has_at_most_255_bytes() {
        let path = |id: &str| Key::from_request(&format!("/articles/{id}"));
        assert!(path(&"x".repeat(255)).is_some());
        assert!(path(&"%41".repeat(255)).is_some());
        assert!(path(&"ü".repeat(127)).is_some());
        assert_eq!(path(&"x".repeat(256)), None);
        assert_eq!(path(&"ü".repeat(128)), None);
        assert_eq!(path(&"%C3%BC".repeat(128)), None);
    }

    #[test]
    fn other_paths_are_not_keys() {
        for path in [
            "",
            "/",
            "/article",
            "/articlesx",
            "/articles/",
            "/articles//",
            "/articles/1/",
            "/articles/1/2",
            "/articles%2F1",
            "/articles/%",
            "/articles/%4",
            "/articles/%4g",
            "/articles/%+4",
            "/articles/%u00fc",
            "/articles/%ff",
            "/articles/%c3",
            "/articles/%ed%a0%80",
            "/articles/%c0%af",
            "/articles/%00",
            "/articles/a\0",
            "/Articles/1",
        ] {
            assert_eq!(Key::from_request(path), None, "{path:?}");
            assert_eq!(Key::from_canonical(path), None, "{path:?}");
        }
    }
}
