//! What the store holds for a key: a small header, then the exact bytes to send, in each of the stored codings.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0–3 | `AFW` and the format's version, 2 |
//! | 4–11 | when the fetch began that brought the content: milliseconds since 1970, little-endian, like all numbers here |
//! | 12–19 | when the content last changed: seconds since 1970 |
//! | 20–57 | the content as it is: its strong entity tag with the quotation marks (34 bytes), and its length (4 bytes) |
//! | 58–95 | the same for brotli; the length is 0 if that is not stored |
//! | 96–133 | the same for gzip |
//! | 134– | the contents, in this order: JSON as it is, in brotli, in gzip |
//!
//! All codings lie in one value, so that a hit is one look into the store, and they are always of the same content. A value of
//! another version, or one that was cut, decodes to nothing: the reader then treats it as a miss, and the next refresh replaces it.

use bytes::Bytes;
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 4] = b"AFW\x02";
const TAG: usize = 34;
const VARIANT: usize = TAG + 4;
const VARIANTS: usize = 20;
const CONTENT: usize = VARIANTS + Coding::ALL.len() * VARIANT;

/// A content coding (RFC 9110, section 8.4.1) that entries are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// The content as it is.
    Identity,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// All of them, in the order in which an entry holds them.
    pub const ALL: [Self; 3] = [Self::Identity, Self::Brotli, Self::Gzip];

    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// A strong entity tag (RFC 9110, section 8.8.3) of some content: 128 bits of its SHA-256 in hexadecimal, in quotation marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag([u8; TAG]);

impl EntityTag {
    /// The entity tag of `content`.
    pub fn of(content: &[u8]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut tag = [b'"'; TAG];
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

    fn decode(tag: [u8; TAG]) -> Option<Self> {
        let [b'"', hex @ .., b'"'] = &tag else {
            return None;
        };
        hex.iter().all(u8::is_ascii_hexdigit).then_some(Self(tag))
    }
}

/// An entry's content in one coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The entity tag of these very bytes: each variant has its own.
    pub tag: EntityTag,
    /// The bytes to send.
    pub content: Bytes,
}

impl Variant {
    /// A variant with these bytes.
    pub fn new(content: Bytes) -> Self {
        Self {
            tag: EntityTag::of(&content),
            content,
        }
    }
}

/// shim
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source([u8; 16]);
impl Source {
    /// shim
    pub fn of<'a>(_: impl IntoIterator<Item = &'a str>) -> Self {
        Self([0; 16])
    }
}
impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("shim")
    }
}

/// A stored resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// shim
    pub source: Source,
    /// When the fetch began that brought the content, in milliseconds since 1970.
    pub fetched_at: u64,
    /// When the content last changed, as far as the cache knows, in seconds since 1970. Grows with each change; may be ahead of
    /// the clock by as much when changes come faster than that.
    pub last_modified: u64,
    /// JSON, as it is.
    pub identity: Variant,
    /// The same in brotli, if that saves something.
    pub brotli: Option<Variant>,
    /// The same in gzip, if that saves something.
    pub gzip: Option<Variant>,
}

impl Entry {
    /// An entry for content whose fetch began at `fetched_at` (milliseconds since 1970), and which nothing was stored of before.
    pub fn new(content: Bytes, fetched_at: u64, source: Source) -> Self {
        Self {
            source,
            fetched_at,
            last_modified: fetched_at / 1_000,
            identity: Variant::new(content),
            brotli: None,
            gzip: None,
        }
    }

    /// This entry as what follows `former`: with its codings and its time of modification if the content is the same, else with
    /// a later time of modification, so that no two contents share one.
    pub fn after(self, former: &Self) -> Self {
        if self.identity.tag == former.identity.tag {
            return Self {
                last_modified: former.last_modified,
                brotli: former.brotli.clone(),
                gzip: former.gzip.clone(),
                ..self
            };
        }
        let later = former.last_modified.saturating_add(1);
        Self {
            last_modified: self.last_modified.max(later),
            ..self
        }
    }

    /// The content in a coding, if it is stored in that.
    pub fn variant(&self, coding: Coding) -> Option<&Variant> {
        match coding {
            Coding::Identity => Some(&self.identity),
            Coding::Brotli => self.brotli.as_ref(),
            Coding::Gzip => self.gzip.as_ref(),
        }
    }

    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        let variants = || Coding::ALL.map(|coding| self.variant(coding));
        let contents = || variants().into_iter().flatten().map(|it| &it.content);
        let length = contents().map(Bytes::len).sum::<usize>();
        let mut value = Vec::with_capacity(CONTENT + length);
        value.extend_from_slice(MAGIC);
        value.extend_from_slice(&self.fetched_at.to_le_bytes());
        value.extend_from_slice(&self.last_modified.to_le_bytes());
        for variant in variants() {
            let (tag, length) = variant.map_or(([0; TAG], 0), |variant| {
                let length = u32::try_from(variant.content.len())
                    .expect("content is capped far below 4 GiB when it is fetched");
                (variant.tag.0, length)
            });
            value.extend_from_slice(&tag);
            value.extend_from_slice(&length.to_le_bytes());
        }
        for content in contents() {
            value.extend_from_slice(content);
        }
        value
    }

    /// The entry that was stored as `value`; `None` if this version did not write it, or not all of it.
    pub fn decode(value: Vec<u8>) -> Option<Self> {
        let value = Bytes::from(value);
        let header: [u8; CONTENT] = *value.first_chunk()?;
        if !header.starts_with(MAGIC) {
            return None;
        }
        let mut rest = value.slice(CONTENT..);
        let mut variants = [const { None }; Coding::ALL.len()];
        for (variant, header) in variants
            .iter_mut()
            .zip(header[VARIANTS..].chunks_exact(VARIANT))
        {
            let length = u32::from_le_bytes(*header[TAG..].first_chunk()?);
            let length = usize::try_from(length).ok()?;
            if length > rest.len() {
                return None;
            }
            if length > 0 {
                *variant = Some(Variant {
                    tag: EntityTag::decode(*header.first_chunk()?)?,
                    content: rest.split_to(length),
                });
            }
        }
        let [identity, brotli, gzip] = variants;
        rest.is_empty().then_some(Self {
            source: Source([0; 16]),
            fetched_at: u64::from_le_bytes(*header[4..].first_chunk()?),
            last_modified: u64::from_le_bytes(*header[12..].first_chunk()?),
            identity: identity?,
            brotli,
            gzip,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::new(Bytes::from_static(b"{\"id\":7}"), 1_795_406_221_987)
    }

    fn variant(content: &'static [u8]) -> Option<Variant> {
        Some(Variant::new(Bytes::from_static(content)))
    }

    fn whole() -> Entry {
        Entry {
            brotli: variant(b"br"),
            gzip: variant(b"gzip!"),
            ..entry()
        }
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_written() {
        for entry in [
            entry(),
            whole(),
            Entry {
                brotli: None,
                ..whole()
            },
            Entry {
                gzip: None,
                ..whole()
            },
        ] {
            assert_eq!(Entry::decode(entry.encode()), Some(entry));
        }
    }

    #[test]
    fn the_tag_is_that_of_the_content_alone() {
        let other = Entry::new(entry().identity.content, 1);
        assert_eq!(entry().identity.tag, other.identity.tag);
        assert_ne!(entry().identity.tag, EntityTag::of(b"{\"id\":8}"));
        assert_eq!(
            EntityTag::of(b"").as_bytes(),
            b"\"e3b0c44298fc1c149afbf4c8996fb924\""
        );
    }

    #[test]
    fn what_says_the_same_keeps_its_codings_and_its_time() {
        let again = Entry::new(entry().identity.content, 1_795_406_999_000).after(&whole());
        assert_eq!(
            again,
            Entry {
                fetched_at: 1_795_406_999_000,
                ..whole()
            }
        );
    }

    #[test]
    fn each_change_has_a_later_time_than_the_one_before() {
        let changed = |fetched_at| Entry::new(Bytes::from_static(b"{}"), fetched_at);
        let later = changed(1_795_406_225_000).after(&whole());
        assert_eq!(later.last_modified, 1_795_406_225);
        assert_eq!(later.brotli, None, "codings of other content");
        // In the same second, or by a clock that was set back.
        for fetched_at in [1_795_406_221_999, 0] {
            assert_eq!(
                changed(fetched_at).after(&whole()).last_modified,
                1_795_406_222
            );
        }
    }

    #[test]
    fn a_value_that_was_cut_or_grown_is_nothing() {
        let whole = whole().encode();
        for length in 0..whole.len() {
            assert_eq!(Entry::decode(whole[..length].to_vec()), None, "{length}");
        }
        assert_eq!(Entry::decode([&whole[..], b"x"].concat()), None);
    }

    #[test]
    fn another_version_or_a_tag_that_would_break_a_header_is_nothing() {
        for (at, byte) in [
            (0, b'a'),
            (3, 1),
            (20, b'x'),
            (30, b'\n'),
            (53, b'x'),
            (58, b'x'),
        ] {
            let mut value = whole().encode();
            value[at] = byte;
            assert_eq!(Entry::decode(value), None, "byte {at}");
        }
    }

    #[test]
    fn an_entry_without_content_is_nothing() {
        let empty = Entry::new(Bytes::new(), 0);
        assert_eq!(Entry::decode(empty.encode()), None);
    }
}
