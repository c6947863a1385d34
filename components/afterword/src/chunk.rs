//! The format of a chunk: consecutive rows of a long list. It is immutable, and named after its
//! content, so a reader never gets other rows than those that its directory names.
//!
//! Numbers are little-endian.
//!
//! | bytes | content |
//! | --- | --- |
//! | 0–3 | `AFC` and the format version, 1 |
//! | 4–7 | the number of rows, or 0 if the content continues the last row of the chunk before |
//! | 8–11 | the length of the content |
//! | 12–15 | the length of the content in DEFLATE; 0 if it is not stored |
//! | 16– | where each row starts in the content (4 bytes each), the content, the content in DEFLATE |
//!
//! The content is the rows' JSON, separated by commas. In DEFLATE (RFC 1951) it ends at a byte
//! boundary and without a final block, so that a gzip member can be joined from chunks.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fmt;

const MAGIC: &[u8; 4] = b"AFC\x01";
const STARTS_AT: usize = 16;
const PREFIX: &str = "chunks/";

/// The name of a chunk: the first 128 bits of a SHA-256 of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkName(pub [u8; 16]);

impl ChunkName {
    /// The name of a chunk with so many rows and this content.
    pub fn of(rows: u32, content: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(MAGIC)
            .chain_update(rows.to_le_bytes())
            .chain_update(content)
            .finalize()
            .into();
        Self(*digest.first_chunk().expect("32 bytes hold 16"))
    }

    /// Parses a key of the store; `None` for a key that is not a chunk's.
    pub fn parse(key: &str) -> Option<Self> {
        let digits = key.strip_prefix(PREFIX)?;
        let is_canonical = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 32 || !digits.bytes().all(is_canonical) {
            return None;
        }
        Some(Self(u128::from_str_radix(digits, 16).ok()?.to_be_bytes()))
    }
}

impl fmt::Display for ChunkName {
    /// The key in the store.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:032x}", u128::from_be_bytes(self.0))
    }
}

/// The rows of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    starts: Bytes,
    /// The rows' JSON, separated by commas.
    pub content: Bytes,
    /// The content in DEFLATE; empty if it is not stored.
    pub deflated: Bytes,
}

impl Chunk {
    /// A chunk whose rows start at these places of `content`.
    pub fn new(starts: &[u32], content: Bytes, deflated: Bytes) -> Self {
        let starts: Vec<u8> = starts.iter().flat_map(|at| at.to_le_bytes()).collect();
        Self {
            starts: starts.into(),
            content,
            deflated,
        }
    }

    /// The number of rows; 0 if the content continues the last row of the chunk before.
    pub fn rows(&self) -> usize {
        self.starts.len() / 4
    }

    /// Where a row starts; the end of the content for the number of rows.
    pub fn start(&self, row: usize) -> Option<usize> {
        if row == self.rows() {
            return Some(self.content.len());
        }
        let start = u32::from_le_bytes(*self.starts.get(4 * row..)?.first_chunk()?);
        usize::try_from(start).ok()
    }

    /// The length of [`encode`](Self::encode)'s value for these lengths, in bytes.
    pub fn encoded_length(rows: usize, content: usize, deflated: usize) -> usize {
        STARTS_AT + 4 * rows + content + deflated
    }

    /// The value to store.
    pub fn encode(&self) -> Vec<u8> {
        let (content, deflated) = (&self.content, &self.deflated);
        let length = Self::encoded_length(self.rows(), content.len(), deflated.len());
        let mut value = Vec::with_capacity(length);
        value.extend_from_slice(MAGIC);
        for number in [self.rows(), content.len(), deflated.len()] {
            let number = u32::try_from(number).expect("a chunk is far smaller than 4 GiB");
            value.extend_from_slice(&number.to_le_bytes());
        }
        for part in [&self.starts, content, deflated] {
            value.extend_from_slice(part);
        }
        value
    }

    /// Parses a stored value; `None` if it is truncated or has another format version.
    pub fn decode(value: Vec<u8>) -> Option<Self> {
        let value = Bytes::from(value);
        let header: [u8; STARTS_AT] = *value.first_chunk()?;
        if !header.starts_with(MAGIC) {
            return None;
        }
        let number = |at: usize| {
            let number = u32::from_le_bytes(*header[at..].first_chunk()?);
            usize::try_from(number).ok()
        };
        let (starts, content) = (number(4)?.checked_mul(4)?, number(8)?);
        let (rest, lengths) = (value.slice(STARTS_AT..), starts.checked_add(content)?);
        if lengths.checked_add(number(12)?)? != rest.len() {
            return None;
        }
        Some(Self {
            starts: rest.slice(..starts),
            content: rest.slice(starts..lengths),
            deflated: rest.slice(lengths..),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> Chunk {
        let content = Bytes::from_static(b"{\"id\":1},{\"id\":2}");
        Chunk::new(&[0, 9], content, Bytes::from_static(b"deflated"))
    }

    #[test]
    fn a_chunk_is_decoded_as_it_was_encoded() {
        let plain = Chunk {
            deflated: Bytes::new(),
            ..chunk()
        };
        let part = Chunk::new(&[], Bytes::from_static(b"of a row"), Bytes::new());
        for chunk in [chunk(), plain, part] {
            let value = chunk.encode();
            let (content, deflated) = (chunk.content.len(), chunk.deflated.len());
            assert_eq!(
                value.len(),
                Chunk::encoded_length(chunk.rows(), content, deflated)
            );
            assert_eq!(Chunk::decode(value), Some(chunk));
        }
    }

    #[test]
    fn the_rows_of_a_chunk_are_found() {
        let starts: Vec<_> = (0..=3).map(|row| chunk().start(row)).collect();
        assert_eq!(starts, [Some(0), Some(9), Some(17), None]);
        assert_eq!(chunk().rows(), 2);
    }

    #[test]
    fn a_truncated_or_extended_value_is_not_a_chunk() {
        let whole = chunk().encode();
        for length in 0..whole.len() {
            assert_eq!(Chunk::decode(whole[..length].to_vec()), None, "{length}");
        }
        assert_eq!(Chunk::decode([&whole[..], b"x"].concat()), None);
        for at in 0..12 {
            let mut other = whole.clone();
            other[at] = 0xff;
            assert_eq!(Chunk::decode(other), None, "byte {at}");
        }
    }

    #[test]
    fn a_name_depends_on_the_content_and_is_a_key_of_the_store() {
        let name = ChunkName::of(2, b"ab");
        assert_ne!(name, ChunkName::of(2, b"ac"));
        assert_ne!(name, ChunkName::of(1, b"ab"));
        assert_eq!(ChunkName::parse(&name.to_string()), Some(name));
        let digits = "0123456789abcdef".repeat(2);
        assert!(ChunkName::parse(&format!("chunks/{digits}")).is_some());
        for key in [
            "",
            "chunks/",
            "/articles",
            &digits,
            &format!("chunks/{digits}0"),
        ] {
            assert_eq!(ChunkName::parse(key), None, "{key}");
        }
        for digits in [digits.to_uppercase(), format!("+{}", &digits[1..])] {
            assert_eq!(ChunkName::parse(&format!("chunks/{digits}")), None);
        }
    }
}
