//! The format of a long list: a directory at the list's key names the [chunks](crate::chunk) that
//! hold its rows. Numbers are little-endian.
//!
//! | bytes | content |
//! | --- | --- |
//! | 0–3 | `AFD` and the format version, 1 |
//! | 4–11 | the start of the last fetch of the whole list, in milliseconds since 1970 |
//! | 12–19 | the time of the last change, in seconds since 1970 |
//! | 20–35 | the [`Source`] |
//! | 36–69 | the entity tag |
//! | 70–103 | the entity tag in gzip |
//! | 104–107 | the CRC-32 of the list, for gzip |
//! | 108–111 | the number of chunks, and then each of them: |
//! | | its name (16), rows (4), length (4), length in DEFLATE (4), CRC-32 (4), |
//! | | and its first and last id, each with its length before it (2) |
//! | then | the retired chunks: name (16), length in DEFLATE (4), since when in milliseconds since |
//! | | 1970 (8) |
//!
//! A chunk is *retired* when the list does not contain it any more. It stays for a while, because a
//! reader may have read the directory before.

use crate::chunk::{Chunk, ChunkName};
use crate::entry::{EntityTag, Source};
use bytes::{Buf, Bytes};
use std::ops::Range;

const MAGIC: &[u8; 4] = b"AFD\x01";

/// A stored list in chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// When the last fetch of the whole list began, in milliseconds since 1970. Some chunks may have
    /// been fetched since.
    pub fetched_at: u64,
    /// When the list last changed, as in [`Entry`](crate::entry::Entry).
    pub last_modified: u64,
    /// The configuration that the list belongs to.
    pub source: Source,
    /// The entity tag of the list.
    pub tag: EntityTag,
    /// The entity tag of the list in gzip.
    pub gzip_tag: EntityTag,
    /// The CRC-32 of the list.
    pub crc: u32,
    /// The chunks, in the order of the list.
    pub chunks: Vec<ChunkRecord>,
    /// Chunks that the list does not contain any more.
    pub retired: Vec<Retired>,
}

/// A chunk of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRecord {
    /// Its name.
    pub name: ChunkName,
    /// The number of rows; 0 if the chunk continues the last row of the one before, because that row
    /// is larger than a chunk.
    pub rows: u32,
    /// The length of its content in bytes.
    pub length: u32,
    /// The length of its content in DEFLATE; 0 if it is not stored.
    pub deflated: u32,
    /// The CRC-32 of its content.
    pub crc: u32,
    /// The JSON of the first row's id: empty if the row has none, or a very long one.
    pub first: Bytes,
    /// The JSON of the last row's id.
    pub last: Bytes,
}

/// A chunk that the list does not contain any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// Its name.
    pub name: ChunkName,
    /// The length of its content in DEFLATE, as in its former record.
    pub deflated: u32,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
}

impl ChunkRecord {
    /// Whether it continues the last row of the chunk before.
    pub fn continues(&self) -> bool {
        self.rows == 0
    }

    /// Whether this chunk has the lengths of the record.
    pub fn describes(&self, chunk: &Chunk) -> bool {
        let lengths = [chunk.rows(), chunk.content.len(), chunk.deflated.len()];
        let expected = [self.rows, self.length, self.deflated].map(|number| number as usize);
        lengths == expected
    }

    /// The length of its DEFLATE blocks: those that are stored, or else blocks without compression.
    fn blocks(&self) -> u64 {
        let (length, deflated) = (u64::from(self.length), u64::from(self.deflated));
        if deflated > 0 {
            deflated
        } else {
            gzip::raw_length(length)
        }
    }
}

/// A part of a list that is being read: these rows of these chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The chunks' positions in the directory.
    pub chunks: Range<usize>,
    /// The rows of the first chunk that are left out.
    pub skipped: usize,
    /// The number of rows.
    pub rows: u64,
}

impl Directory {
    /// A directory of these chunks, which belong to one fetch of the whole list. Computes the entity
    /// tags; `crc` is the CRC-32 of the list.
    pub fn new(
        fetched_at: u64,
        last_modified: u64,
        source: Source,
        chunks: Vec<ChunkRecord>,
        crc: u32,
    ) -> Self {
        let mut names = Vec::with_capacity(chunks.len() * 32);
        for chunk in &chunks {
            names.extend_from_slice(&chunk.name.0);
        }
        let tag = EntityTag::of(&names);
        for chunk in &chunks {
            names.extend_from_slice(&chunk.deflated.to_le_bytes());
        }
        Self {
            fetched_at,
            last_modified,
            source,
            tag,
            gzip_tag: EntityTag::of(&names),
            crc,
            chunks,
            retired: Vec::new(),
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.rows)).sum()
    }

    /// The length of the list in bytes.
    pub fn length(&self) -> u64 {
        self.length_of(&(0..self.chunks.len()))
    }

    /// The length of these chunks as a JSON array, in bytes.
    pub fn length_of(&self, chunks: &Range<usize>) -> u64 {
        let records = self.chunks.get(chunks.clone()).unwrap_or_default();
        let contents: u64 = records.iter().map(|chunk| u64::from(chunk.length)).sum();
        let rows = records.iter().filter(|chunk| !chunk.continues()).count() as u64;
        contents + rows.saturating_sub(1) + 2
    }

    /// The length of the list in gzip, in bytes; `None` if that does not save a fifth.
    pub fn gzip_length(&self) -> Option<u64> {
        let blocks: u64 = self.chunks.iter().map(ChunkRecord::blocks).sum();
        let separators = self
            .chunks
            .iter()
            .filter(|chunk| !chunk.continues())
            .count();
        let brackets = gzip::HEADER.len() as u64 + gzip::raw_length(1) + gzip::TRAILER_LENGTH;
        let length = brackets + blocks + separators as u64 * gzip::raw_length(1);
        (length.saturating_mul(5) <= self.length().saturating_mul(4)).then_some(length)
    }

    /// The text before a chunk's content, when the chunk at `first` comes first.
    pub fn separator(&self, first: usize, at: usize) -> &'static str {
        match self.chunks.get(at) {
            _ if at == first => "[",
            Some(chunk) if chunk.continues() => "",
            _ => ",",
        }
    }

    /// Where `limit` rows are, without the first `offset` ones. No chunks if there are none.
    pub fn span(&self, offset: u64, limit: u64) -> Span {
        let (mut before, mut first) = (0, None);
        let end = offset.saturating_add(limit).min(self.rows());
        for (at, chunk) in self.chunks.iter().enumerate() {
            let after = before + u64::from(chunk.rows);
            if first.is_none() && offset < after && offset < end {
                first = Some((at, offset - before));
            }
            let next = self.chunks.get(at + 1);
            if let Some((first, skipped)) = first
                && after >= end
                && next.is_none_or(|next| !next.continues())
            {
                return Span {
                    chunks: first..at + 1,
                    skipped: usize::try_from(skipped).unwrap_or(usize::MAX),
                    rows: end - offset,
                };
            }
            before = after;
        }
        Span {
            chunks: 0..0,
            skipped: 0,
            rows: 0,
        }
    }

    /// The entity tag of a part of the list. The response has the number of all rows and the link to
    /// the next part, too, so the tag may change although the part does not.
    pub fn span_tag(&self, span: &Span) -> EntityTag {
        let records = self.chunks.get(span.chunks.clone()).unwrap_or_default();
        let mut parts = Vec::with_capacity(records.len() * 16 + 16);
        for chunk in records {
            parts.extend_from_slice(&chunk.name.0);
        }
        parts.extend_from_slice(&(span.skipped as u64).to_le_bytes());
        parts.extend_from_slice(&span.rows.to_le_bytes());
        parts.extend_from_slice(&self.rows().to_le_bytes());
        EntityTag::of(&parts)
    }

    /// The value to store.
    pub fn encode(&self) -> Vec<u8> {
        let mut value = Vec::new();
        value.extend_from_slice(MAGIC);
        value.extend_from_slice(&self.fetched_at.to_le_bytes());
        value.extend_from_slice(&self.last_modified.to_le_bytes());
        value.extend_from_slice(self.source.as_bytes());
        value.extend_from_slice(self.tag.as_bytes());
        value.extend_from_slice(self.gzip_tag.as_bytes());
        value.extend_from_slice(&self.crc.to_le_bytes());
        let count = u32::try_from(self.chunks.len()).expect("far fewer chunks than 2³²");
        value.extend_from_slice(&count.to_le_bytes());
        for chunk in &self.chunks {
            value.extend_from_slice(&chunk.name.0);
            for number in [chunk.rows, chunk.length, chunk.deflated, chunk.crc] {
                value.extend_from_slice(&number.to_le_bytes());
            }
            for id in [&chunk.first, &chunk.last] {
                let length = u16::try_from(id.len()).expect("a long id is left out");
                value.extend_from_slice(&length.to_le_bytes());
                value.extend_from_slice(id);
            }
        }
        for retired in &self.retired {
            value.extend_from_slice(&retired.name.0);
            value.extend_from_slice(&retired.deflated.to_le_bytes());
            value.extend_from_slice(&retired.since.to_le_bytes());
        }
        value
    }

    /// Whether a stored value is a directory, of this version or another one.
    pub fn is(value: &[u8]) -> bool {
        value.starts_with(&MAGIC[..3])
    }

    /// Parses a stored value; `None` if it is truncated, has no row, or is not a directory of this
    /// version.
    pub fn decode(value: &Bytes) -> Option<Self> {
        let mut rest = value.clone();
        if take(&mut rest)? != *MAGIC {
            return None;
        }
        let fetched_at = u64::from_le_bytes(take(&mut rest)?);
        let last_modified = u64::from_le_bytes(take(&mut rest)?);
        let source = Source::from_bytes(take(&mut rest)?);
        let tag = EntityTag::decode(take(&mut rest)?)?;
        let gzip_tag = EntityTag::decode(take(&mut rest)?)?;
        let crc = u32::from_le_bytes(take(&mut rest)?);
        let count = u32::from_le_bytes(take(&mut rest)?);
        let mut chunks = Vec::new();
        for _ in 0..count {
            let name = ChunkName(take(&mut rest)?);
            let mut number = || Some(u32::from_le_bytes(take(&mut rest)?));
            let [rows, length, deflated, crc] = [number()?, number()?, number()?, number()?];
            chunks.push(ChunkRecord {
                name,
                rows,
                length,
                deflated,
                crc,
                first: take_id(&mut rest)?,
                last: take_id(&mut rest)?,
            });
        }
        if chunks.first().is_none_or(ChunkRecord::continues) {
            return None;
        }
        let mut retired = Vec::new();
        while !rest.is_empty() {
            retired.push(Retired {
                name: ChunkName(take(&mut rest)?),
                deflated: u32::from_le_bytes(take(&mut rest)?),
                since: u64::from_le_bytes(take(&mut rest)?),
            });
        }
        Some(Self {
            fetched_at,
            last_modified,
            source,
            tag,
            gzip_tag,
            crc,
            chunks,
            retired,
        })
    }
}

fn take<const N: usize>(rest: &mut Bytes) -> Option<[u8; N]> {
    let taken = *rest.first_chunk()?;
    rest.advance(N);
    Some(taken)
}

fn take_id(rest: &mut Bytes) -> Option<Bytes> {
    let length = usize::from(u16::from_le_bytes(take(rest)?));
    (length <= rest.len()).then(|| rest.split_to(length))
}

/// One gzip member (RFC 1952), joined from DEFLATE blocks that end at byte boundaries. Browsers
/// ignore what follows the first member.
pub mod gzip {
    /// The header: no name, no time, any operating system.
    pub const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

    /// The length of the final block, which has no content, of the CRC-32 and of the length.
    pub const TRAILER_LENGTH: u64 = 5 + 8;

    /// The longest block without compression (RFC 1951, section 3.2.4).
    const MAX_RAW: usize = 0xffff;

    /// The length of `length` bytes without compression.
    pub fn raw_length(length: u64) -> u64 {
        length + 5 * length.div_ceil(MAX_RAW as u64)
    }

    /// Appends blocks without compression.
    pub fn raw(blocks: &mut Vec<u8>, content: &[u8]) {
        for part in content.chunks(MAX_RAW) {
            let length = u16::try_from(part.len()).expect("a block has 64 KiB at most");
            blocks.push(0);
            blocks.extend_from_slice(&length.to_le_bytes());
            blocks.extend_from_slice(&(!length).to_le_bytes());
            blocks.extend_from_slice(part);
        }
    }

    /// Appends the end of a member: `crc` is the CRC-32 of the content, `length` its length.
    pub fn trailer(blocks: &mut Vec<u8>, crc: u32, length: u64) {
        blocks.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
        blocks.extend_from_slice(&crc.to_le_bytes());
        // The length modulo 2³².
        blocks.extend_from_slice(&length.to_le_bytes()[..4]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk of this many rows, with a hundred bytes for each.
    fn record(rows: u32, first: &'static str, last: &'static str) -> ChunkRecord {
        ChunkRecord {
            name: ChunkName::of(rows, first.as_bytes()),
            rows,
            length: 100 * rows.max(1),
            deflated: 10 * rows,
            crc: rows,
            first: Bytes::from_static(first.as_bytes()),
            last: Bytes::from_static(last.as_bytes()),
        }
    }

    fn directory() -> Directory {
        let chunks = vec![
            record(10, "1", "10"),
            record(1, "11", "11"),
            record(0, "", ""),
            record(5, "\"é\"", "null"),
        ];
        let mut directory = Directory::new(7, 8, Source::of(&["this"]), chunks, 9);
        let name = ChunkName::of(1, b"gone");
        directory.retired = vec![Retired {
            name,
            deflated: 3,
            since: 10,
        }];
        directory
    }

    fn decode(value: Vec<u8>) -> Option<Directory> {
        Directory::decode(&value.into())
    }

    #[test]
    fn a_directory_is_decoded_as_it_was_encoded() {
        assert_eq!(decode(directory().encode()), Some(directory()));
    }

    #[test]
    fn a_truncated_value_is_not_a_directory() {
        let mut directory = directory();
        let with_retired = directory.encode();
        assert_eq!(decode([&with_retired[..], b"x"].concat()), None);
        directory.retired.clear();
        let whole = directory.encode();
        for length in 0..whole.len() {
            assert_eq!(decode(whole[..length].to_vec()), None, "{length}");
        }
        let mut other = whole;
        other[3] = 2;
        assert_eq!(decode(other), None);
    }

    #[test]
    fn the_lengths_are_those_of_the_list() {
        assert_eq!(directory().rows(), 16);
        // Three chunks begin with a row, so there are two commas between them.
        assert_eq!(directory().length(), 1_000 + 100 + 100 + 500 + 2 + 2);
        // Three separators of six bytes, and the continuation without compression.
        let gzip = 10 + 3 * 6 + 100 + 10 + 105 + 50 + 6 + 13;
        assert_eq!(directory().gzip_length(), Some(gzip));
        let mut incompressible = directory();
        for chunk in &mut incompressible.chunks {
            chunk.deflated = 0;
        }
        assert_eq!(incompressible.gzip_length(), None);
    }

    #[test]
    fn a_span_has_the_chunks_of_its_rows() {
        let directory = directory();
        for (offset, limit, chunks, skipped, rows) in [
            (0, 10, 0..1, 0, 10),
            (9, 1, 0..1, 9, 1),
            (9, 2, 0..3, 9, 2),
            (10, 1, 1..3, 0, 1),
            (11, 2, 3..4, 0, 2),
            (14, 100, 3..4, 3, 2),
            (0, u64::MAX, 0..4, 0, 16),
            (16, 1, 0..0, 0, 0),
            (u64::MAX, u64::MAX, 0..0, 0, 0),
            (3, 0, 0..0, 0, 0),
        ] {
            let expected = Span {
                chunks,
                skipped,
                rows,
            };
            assert_eq!(directory.span(offset, limit), expected, "{offset}, {limit}");
        }
    }

    #[test]
    fn each_part_has_a_tag_of_its_own() {
        let directory = directory();
        let tags: Vec<_> = [(0, 5), (0, 6), (1, 5), (10, 1), (0, 0)]
            .map(|(offset, limit)| directory.span_tag(&directory.span(offset, limit)))
            .into();
        for (at, tag) in tags.iter().enumerate() {
            assert!(!tags[..at].contains(tag) && *tag != directory.tag);
        }
        assert_ne!(directory.tag, directory.gzip_tag);
    }

    #[test]
    fn blocks_without_compression_have_the_announced_length() {
        for length in [0, 1, 65_535, 65_536, 200_000] {
            let mut blocks = Vec::new();
            gzip::raw(&mut blocks, &vec![b'x'; length]);
            assert_eq!(blocks.len() as u64, gzip::raw_length(length as u64));
        }
    }
}
