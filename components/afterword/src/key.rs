//! The cached resources. A key is the path of the request that reads it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use std::fmt;

/// Path and key of the list.
pub const LIST: &str = "/articles";

/// Longest id, in bytes.
const MAX_ID: usize = 255;

/// All but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Percent-encodes everything that could mean something in a URL, a log line or a Redis pattern.
pub fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, ENCODED)
}

/// A row's id: any text of 1 to 255 bytes but U+0000, which PostgreSQL's text cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

impl Id {
    /// The id with this text, or `None` if no id has it.
    pub fn parse(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = (1..=MAX_ID).contains(&text.len()) && !text.contains('\0');
        fits.then_some(Self(text))
    }

    /// The text of the id, not encoded.
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
    /// The key that a request's path names, in whatever spelling: `/articles/%41` is `/articles/A`,
    /// and an unencoded character is the same as an encoded one. Only `/` separates segments, while
    /// `%2F` belongs to an id. `None` (another path, a malformed escape, no UTF-8) is for the
    /// caller to answer with 404.
    pub fn requested(path: &str) -> Option<Self> {
        match path.strip_prefix(LIST)? {
            "" => Some(Self::List),
            rest => Id::parse(decode(rest.strip_prefix('/')?)?).map(Self::Item),
        }
    }

    /// The key that prints as this path. Names in the store and in Redis are read with this: a name
    /// that Afterword did not write is no key.
    pub fn from_path(path: &str) -> Option<Self> {
        Self::requested(path).filter(|key| match key {
            Self::List => true,
            Self::Item(id) => {
                let id_in_path = &path[LIST.len() + 1..];
                encode(&id.0).try_fold(id_in_path, |rest, part| rest.strip_prefix(part)) == Some("")
            }
        })
    }
}

impl fmt::Display for Key {
    /// The canonical path, which is the name in the key-value store, in Redis and in the log.
    /// Unreserved characters stand for themselves; every other byte is `%XX`, in capitals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str(LIST),
            Self::Item(id) => write!(f, "{LIST}/{}", encode(&id.0)),
        }
    }
}

/// The text that one segment of a path spells.
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
    fn a_key_is_read_from_the_path_that_it_prints() {
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
            let key = Key::from_path(path).expect(path);
            assert_eq!(key, Key::Item(Id::parse(id).unwrap()));
            assert_eq!(key.to_string(), path);
        }
        assert_eq!(Key::from_path("/articles"), Some(Key::List));
        assert_eq!(Key::List.to_string(), "/articles");
    }

    #[test]
    fn all_spellings_of_a_path_are_one_key() {
        for (spellings, path) in [
            (["/articles/%41", "/articles/A"], "/articles/A"),
            (["/articles/%c3%bc", "/articles/ü"], "/articles/%C3%BC"),
            (["/articles/a b", "/articles/%61%20b"], "/articles/a%20b"),
            (["/articles/C++", "/articles/C%2b+"], "/articles/C%2B%2B"),
            (["/articles/%2e%2e", "/articles/.%2E"], "/articles/.."),
        ] {
            for spelling in spellings {
                assert_eq!(Key::requested(spelling).expect(spelling).to_string(), path);
            }
        }
    }

    #[test]
    fn a_name_in_another_spelling_is_no_key_of_ours() {
        for name in [
            "/articles/%41",
            "/articles/%c3%bc",
            "/articles/ü",
            "/articles/a b",
            "/articles/C++",
        ] {
            assert!(Key::requested(name).is_some());
            assert_eq!(Key::from_path(name), None, "{name}");
        }
    }

    #[test]
    fn an_id_is_of_at_most_255_bytes() {
        let path = |id: &str| Key::requested(&format!("/articles/{id}"));
        assert!(path(&"x".repeat(255)).is_some());
        assert!(path(&"%41".repeat(255)).is_some());
        assert!(path(&"ü".repeat(127)).is_some());
        assert_eq!(path(&"x".repeat(256)), None);
        assert_eq!(path(&"ü".repeat(128)), None);
        assert_eq!(path(&"%C3%BC".repeat(128)), None);
    }

    #[test]
    fn any_other_path_is_no_key() {
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
            assert_eq!(Key::requested(path), None, "{path:?}");
            assert_eq!(Key::from_path(path), None, "{path:?}");
        }
    }
}
