//! What the store holds for a key: a small header, then the exact bytes to send.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0–3 | `AFW` and the format's version, 1 |
//! | 4–11 | when the fetch began that brought the content: milliseconds since 1970, little-endian |
//! | 12–45 | the strong entity tag of the content, with its quotation marks |
//! | 46–49 | the content's length in bytes, little-endian |
//! | 50– | the content: JSON as it is sent |
//!
//! A value of another version, or one that was cut, decodes to nothing: the reader then treats it as a miss, and the next
//! refresh replaces it.

use bytes::Bytes;
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 4] = b"AFW\x01";
const TAG: std::ops::Range<usize> = 12..46;
const CONTENT: usize = 50;

/// A strong entity tag (RFC 9110, section 8.8.3) of some content: 128 bits of its SHA-256 in hexadecimal, in quotation marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag([u8; TAG.end - TAG.start]);

impl EntityTag {
    /// The entity tag of `content`.
    pub fn of(content: &[u8]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut tag = [b'"'; TAG.end - TAG.start];
        for (pair, byte) in tag[1..33].chunks_exact_mut(2).zip(Sha256::digest(content)) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        Self(tag)
    }

    /// The tag as it stands in an `ETag` field: always visible ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A stored representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When the fetch began that brought the content, in milliseconds since 1970.
    pub fetched_at: u64,
    /// The content's entity tag.
    pub tag: EntityTag,
    /// JSON, as it is sent.
    pub content: Bytes,
}

impl Entry {
    /// An entry for content whose fetch began at `fetched_at` (milliseconds since 1970).
    pub fn new(content: Bytes, fetched_at: u64) -> Self {
        Self {
            fetched_at,
            tag: EntityTag::of(&content),
            content,
        }
    }

    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.content.len())
            .expect("content is capped far below 4 GiB when it is fetched");
        let mut value = Vec::with_capacity(CONTENT + self.content.len());
        value.extend_from_slice(MAGIC);
        value.extend_from_slice(&self.fetched_at.to_le_bytes());
        value.extend_from_slice(&self.tag.0);
        value.extend_from_slice(&length.to_le_bytes());
        value.extend_from_slice(&self.content);
        value
    }

    /// The entry that was stored as `value`; `None` if this version did not write it, or not all of it.
    pub fn decode(value: Vec<u8>) -> Option<Self> {
        let header: [u8; CONTENT] = *value.first_chunk()?;
        let fetched_at = u64::from_le_bytes(*header[4..].first_chunk()?);
        let tag: [u8; TAG.end - TAG.start] = *header[TAG.start..].first_chunk()?;
        let length = u32::from_le_bytes(*header[TAG.end..].first_chunk()?);
        let [b'"', hex @ .., b'"'] = &tag else {
            return None;
        };
        let sound = header.starts_with(MAGIC)
            && hex.iter().all(u8::is_ascii_hexdigit)
            && usize::try_from(length).ok() == Some(value.len() - CONTENT);
        let content = Bytes::from(value).slice(CONTENT..);
        sound.then_some(Self {
            fetched_at,
            tag: EntityTag(tag),
            content,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::new(Bytes::from_static(b"{\"id\":7}"), 1_795_406_221_000)
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_written() {
        assert_eq!(Entry::decode(entry().encode()), Some(entry()));
        let empty = Entry::new(Bytes::new(), 0);
        assert_eq!(Entry::decode(empty.encode()), Some(empty));
    }

    #[test]
    fn the_tag_is_that_of_the_content_alone() {
        assert_eq!(entry().tag, Entry::new(entry().content, 1).tag);
        assert_ne!(entry().tag, EntityTag::of(b"{\"id\":8}"));
        assert_eq!(
            EntityTag::of(b"").as_bytes(),
            b"\"e3b0c44298fc1c149afbf4c8996fb924\""
        );
    }

    #[test]
    fn a_value_that_was_cut_or_grown_is_nothing() {
        let whole = entry().encode();
        for length in 0..whole.len() {
            assert_eq!(Entry::decode(whole[..length].to_vec()), None, "{length}");
        }
        assert_eq!(Entry::decode([&whole[..], b"x"].concat()), None);
    }

    #[test]
    fn another_version_or_a_tag_that_would_break_a_header_is_nothing() {
        for (at, byte) in [(0, b'a'), (3, 2), (12, b'x'), (20, b'\n'), (45, b'x')] {
            let mut value = entry().encode();
            value[at] = byte;
            assert_eq!(Entry::decode(value), None, "byte {at}");
        }
    }
}
