//! The format of a stored response: a header of 150 bytes, then the bytes to send in each stored
//! content coding. Numbers are little-endian.
//!
//! | bytes | content |
//! | --- | --- |
//! | 0–3 | `AFW` and the format version, 3 |
//! | 4–11 | the start of the fetch, in milliseconds since 1970 |
//! | 12–19 | the time of the last change, in seconds since 1970 |
//! | 20–35 | the [`Source`] |
//! | 36–73 | identity: entity tag with its quotation marks (34), length of the content (4), which |
//! | | is 0 if the content is too large to store |
//! | 74–111 | brotli: the same; the length is 0 if this coding is not stored |
//! | 112–149 | gzip: the same |
//! | 150– | the contents: identity, brotli, gzip |
//!
//! All codings are in one value, so that a hit costs one store lookup, and so that they always
//! encode the same content. A value of another version, or a truncated one, is treated as absent:
//! the read is a miss, and the next refresh replaces it.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fmt;

const MAGIC: &[u8; 4] = b"AFW\x03";
const TAG_LENGTH: usize = 34;
const VARIANT_LENGTH: usize = TAG_LENGTH + 4;
const SOURCE_AT: usize = 20;
const VARIANTS_AT: usize = SOURCE_AT + size_of::<Source>();
const CONTENT_AT: usize = VARIANTS_AT + Coding::ALL.len() * VARIANT_LENGTH;

/// A content coding (RFC 9110, section 8.4.1) that entries are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// No coding.
    Identity,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// All codings, in the order in which an entry contains them.
    pub const ALL: [Self; 3] = [Self::Identity, Self::Brotli, Self::Gzip];

    /// The name in `Accept-Encoding` and `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// A strong entity tag (RFC 9110, section 8.8.3): 128 bits of the content's SHA-256 in hexadecimal,
/// in quotation marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag([u8; TAG_LENGTH]);

impl EntityTag {
    /// The entity tag of `content`.
    pub fn of(content: &[u8]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut tag = [b'"'; TAG_LENGTH];
        for (pair, byte) in tag[1..33].chunks_exact_mut(2).zip(Sha256::digest(content)) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        Self(tag)
    }

    /// The value of the `ETag` header: always visible ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Parses the value of [`as_bytes`](Self::as_bytes).
    pub(crate) fn decode(tag: [u8; TAG_LENGTH]) -> Option<Self> {
        let [b'"', hex @ .., b'"'] = &tag else {
            return None;
        };
        let words = hex.as_chunks().0;
        words.iter().all(are_hex_digits).then_some(Self(tag))
    }
}

/// Whether eight bytes are lower-case hexadecimal digits. Each read checks twelve of these words, so
/// it checks the bytes of a word at once, in the highest bit of each.
fn are_hex_digits(bytes: &[u8; 8]) -> bool {
    const HIGHEST_BITS: u64 = each(0x80);
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let word = u64::from_ne_bytes(*bytes);
    if word & HIGHEST_BITS != 0 {
        return false;
    }
    // No byte of the sums overflows, since none of `word` exceeds 0x7f.
    let at_least = |least: u8| word + each(0x80 - least);
    let digits = at_least(b'0') & !at_least(b'9' + 1);
    let letters = at_least(b'a') & !at_least(b'f' + 1);
    (digits | letters) & HIGHEST_BITS == HIGHEST_BITS
}

/// A digest of the configuration that decides an entry's content: the first 128 bits of a SHA-256.
/// After a change of the configuration, entries with the former source are not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source([u8; 16]);

impl Source {
    /// The source of these parts, none of which contains a NUL.
    pub fn of(parts: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part);
            digest.update([0]);
        }
        let digest: [u8; 32] = digest.finalize().into();
        Self(*digest.first_chunk().expect("32 bytes hold 16"))
    }

    /// The digest.
    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The source with this digest.
    pub(crate) fn from_bytes(digest: [u8; 16]) -> Self {
        Self(digest)
    }
}

impl fmt::Display for Source {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An entry's content in one coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The entity tag of these bytes: each variant has its own.
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

/// A stored resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When the fetch of the content began, in milliseconds since 1970.
    pub fetched_at: u64,
    /// When the content last changed, as far as the cache knows, in seconds since 1970. Each change
    /// increases it by at least one, so it may be ahead of the clock after frequent changes.
    pub last_modified: u64,
    /// The configuration that the content belongs to.
    pub source: Source,
    /// The JSON; empty if it is [too large](Self::is_too_large).
    pub identity: Variant,
    /// The JSON in brotli, if that saves a fifth or more.
    pub brotli: Option<Variant>,
    /// The JSON in gzip, if that saves a fifth or more.
    pub gzip: Option<Variant>,
}

impl Entry {
    /// A first entry, for content whose fetch began at `fetched_at` (milliseconds since 1970).
    pub fn new(content: Bytes, fetched_at: u64, source: Source) -> Self {
        Self {
            fetched_at,
            last_modified: fetched_at / 1_000,
            source,
            identity: Variant::new(content),
            brotli: None,
            gzip: None,
        }
    }

    /// Makes this entry the successor of `former`. The same content keeps the codings and
    /// `last_modified`. Other content gets a later `last_modified`, so that no two contents share
    /// one.
    pub fn succeeding(self, former: &Self) -> Self {
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

    /// This entry without its content, for content that is too large for the store. Readers of such
    /// an entry get the content from the origin.
    pub fn without_content(mut self) -> Self {
        self.identity.content = Bytes::new();
        (self.brotli, self.gzip) = (None, None);
        self
    }

    /// Whether the content was too large for the store.
    pub fn is_too_large(&self) -> bool {
        // No JSON is empty.
        self.identity.content.is_empty()
    }

    /// The length of the header of [`encode`](Self::encode)'s value, in bytes.
    pub const HEADER_LENGTH: usize = CONTENT_AT;

    /// The length of [`encode`](Self::encode)'s value, in bytes.
    pub fn encoded_length(&self) -> usize {
        let variants = Coding::ALL.map(|coding| self.variant(coding));
        let contents = variants.into_iter().flatten().map(|it| it.content.len());
        CONTENT_AT + contents.sum::<usize>()
    }

    /// The content in a coding; `None` if it is not stored.
    pub fn variant(&self, coding: Coding) -> Option<&Variant> {
        match coding {
            Coding::Identity => Some(&self.identity),
            Coding::Brotli => self.brotli.as_ref(),
            Coding::Gzip => self.gzip.as_ref(),
        }
    }

    /// The content in a coding, without the others; `None` if it is not stored.
    pub fn into_variant(self, coding: Coding) -> Option<Variant> {
        match coding {
            Coding::Identity => Some(self.identity),
            Coding::Brotli => self.brotli,
            Coding::Gzip => self.gzip,
        }
    }

    /// The value to store.
    pub fn encode(&self) -> Vec<u8> {
        let variants = || Coding::ALL.map(|coding| self.variant(coding));
        let contents = || variants().into_iter().flatten().map(|it| &it.content);
        let mut value = Vec::with_capacity(self.encoded_length());
        value.extend_from_slice(MAGIC);
        value.extend_from_slice(&self.fetched_at.to_le_bytes());
        value.extend_from_slice(&self.last_modified.to_le_bytes());
        value.extend_from_slice(&self.source.0);
        for variant in variants() {
            let (tag, length) = variant.map_or(([0; TAG_LENGTH], 0), |variant| {
                let length = u32::try_from(variant.content.len())
                    .expect("a fetch is limited far below 4 GiB");
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

    /// Parses a stored value; `None` if it is truncated or has another format version.
    pub fn decode(value: Vec<u8>) -> Option<Self> {
        let value = Bytes::from(value);
        let header: [u8; CONTENT_AT] = *value.first_chunk()?;
        if !header.starts_with(MAGIC) {
            return None;
        }
        let mut rest = value.slice(CONTENT_AT..);
        let mut variants = [const { None }; Coding::ALL.len()];
        let headers = header[VARIANTS_AT..].chunks_exact(VARIANT_LENGTH);
        for ((variant, coding), header) in variants.iter_mut().zip(Coding::ALL).zip(headers) {
            let length = u32::from_le_bytes(*header[TAG_LENGTH..].first_chunk()?);
            let length = usize::try_from(length).ok()?;
            if length > rest.len() {
                return None;
            }
            if length > 0 || coding == Coding::Identity {
                *variant = Some(Variant {
                    tag: EntityTag::decode(*header.first_chunk()?)?,
                    content: rest.split_to(length),
                });
            }
        }
        let [identity, brotli, gzip] = variants;
        rest.is_empty().then_some(Self {
            fetched_at: u64::from_le_bytes(*header[4..].first_chunk()?),
            last_modified: u64::from_le_bytes(*header[12..].first_chunk()?),
            source: Source(*header[SOURCE_AT..].first_chunk()?),
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
        new(b"{\"id\":7}", 1_795_406_221_987)
    }

    fn new(content: &'static [u8], fetched_at: u64) -> Entry {
        let source = Source::of(&["select=*"]);
        Entry::new(Bytes::from_static(content), fetched_at, source)
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
    fn an_entry_is_decoded_as_it_was_encoded() {
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
            whole().without_content(),
        ] {
            assert_eq!(entry.encode().len(), entry.encoded_length());
            assert_eq!(entry.is_too_large(), entry.identity.content.is_empty());
            assert_eq!(Entry::decode(entry.encode()), Some(entry));
        }
    }

    #[test]
    fn the_tag_depends_on_the_content_alone() {
        let other = new(b"{\"id\":7}", 1);
        assert_eq!(entry().identity.tag, other.identity.tag);
        assert_ne!(entry().identity.tag, EntityTag::of(b"{\"id\":8}"));
        assert_eq!(
            EntityTag::of(b"").as_bytes(),
            b"\"e3b0c44298fc1c149afbf4c8996fb924\""
        );
    }

    #[test]
    fn a_tag_has_lower_case_hexadecimal_digits() {
        for byte in 0..=u8::MAX {
            let is_digit = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            for at in 0..8 {
                let mut word = *b"09afbe18";
                word[at] = byte;
                assert_eq!(are_hex_digits(&word), is_digit, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn the_parts_of_a_source_are_delimited() {
        let source = Source::of(&["public", "articles"]);
        assert_eq!(source, Source::of(&["public", "articles"]));
        for other in [&["publica", "rticles"][..], &["public", "articles", ""]] {
            assert_ne!(source, Source::of(other), "{other:?}");
        }
        assert_eq!(source.to_string().len(), 32);
    }

    #[test]
    fn the_same_content_keeps_its_codings_and_last_modified() {
        let again = new(b"{\"id\":7}", 1_795_406_999_000).succeeding(&whole());
        assert_eq!(
            again,
            Entry {
                fetched_at: 1_795_406_999_000,
                ..whole()
            }
        );
    }

    #[test]
    fn each_change_has_a_later_last_modified() {
        let changed = |fetched_at| new(b"{}", fetched_at);
        let later = changed(1_795_406_225_000).succeeding(&whole());
        assert_eq!(later.last_modified, 1_795_406_225);
        assert_eq!(later.brotli, None, "codings of other content");
        // In the same second, or by a clock that was set back.
        for fetched_at in [1_795_406_221_999, 0] {
            assert_eq!(
                changed(fetched_at).succeeding(&whole()).last_modified,
                1_795_406_222
            );
        }
    }

    #[test]
    fn a_truncated_or_extended_value_is_not_an_entry() {
        let whole = whole().encode();
        for length in 0..whole.len() {
            assert_eq!(Entry::decode(whole[..length].to_vec()), None, "{length}");
        }
        assert_eq!(Entry::decode([&whole[..], b"x"].concat()), None);
    }

    #[test]
    fn another_version_or_an_invalid_tag_is_not_an_entry() {
        for (at, byte) in [
            (0, b'a'),
            (3, 2),
            (36, b'x'),
            (46, b'\n'),
            (69, b'x'),
            (74, b'x'),
        ] {
            let mut value = whole().encode();
            value[at] = byte;
            assert_eq!(Entry::decode(value), None, "byte {at}");
        }
    }
}
