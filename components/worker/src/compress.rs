//! Compresses entries, once for all readers.

use afterword::entry::{Entry, Variant};
use afterword::host;
use burli_encode::Options;
use burli_encode::streaming::StreamEncoder;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use std::io::{self, Write};
use std::mem;

/// Brotli's quality, the highest that this encoder supports.
const QUALITY: u8 = 5;

/// Brotli's block size as a power of two. With the default of 64 KiB, long lists become larger than
/// with gzip.
const BLOCK_BITS: u8 = 20;

/// The number of bytes that are compressed without a pause. The renewal of the lease and the other
/// jobs must get their turn.
const CHUNK: usize = 256 << 10;

/// The largest value that Spin's key-value store returns, minus space for the entry's header.
const MAX_VALUE: usize = (128 << 20) - 1_024;

/// Adds the codings that save at least a fifth.
pub async fn compress(entry: &mut Entry) {
    let content = entry.identity.content.clone();
    let mut room = MAX_VALUE.saturating_sub(content.len());
    let mut fitting = |coded: io::Result<Vec<u8>>| {
        let coded = coded
            .ok()
            .filter(|coded| worthwhile(coded.len(), content.len()))?;
        room = room.checked_sub(coded.len())?;
        Some(Variant::new(Bytes::from(coded)))
    };
    entry.brotli = fitting(brotli(&content).await);
    entry.gzip = fitting(gzip(&content).await);
}

/// The content of a chunk in DEFLATE (RFC 1951), up to a byte boundary and without a final block;
/// `None` if that does not save a fifth.
pub fn deflate(content: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).ok()?;
    // An empty block without compression ends at a byte boundary.
    encoder.flush().ok()?;
    let deflated = mem::take(encoder.get_mut());
    worthwhile(deflated.len(), content.len()).then_some(deflated)
}

fn worthwhile(coded: usize, content: usize) -> bool {
    coded.saturating_mul(5) <= content.saturating_mul(4)
}

async fn brotli(content: &[u8]) -> io::Result<Vec<u8>> {
    let options = Options::default()
        .with_quality(QUALITY)
        .and_then(|options| options.with_block_bits(Some(BLOCK_BITS)))
        .map_err(io::Error::other)?;
    let mut encoder = StreamEncoder::with_options(Vec::new(), options).map_err(io::Error::other)?;
    write(&mut encoder, content).await?;
    encoder.finish().map_err(io::Error::other)
}

async fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    write(&mut encoder, content).await?;
    encoder.finish()
}

async fn write(encoder: &mut impl Write, content: &[u8]) -> io::Result<()> {
    for part in content.chunks(CHUNK) {
        encoder.write_all(part)?;
        host::yield_now().await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterword::directory::gzip;
    use std::io::Read;

    #[test]
    fn the_chunks_of_a_list_are_joined_to_one_gzip_member() {
        let parts = [
            "{\"id\":1},".repeat(500),
            "x".repeat(70_000),
            "é".repeat(9_000),
        ];
        let mut member = gzip::HEADER.to_vec();
        gzip::raw(&mut member, b"[");
        member.extend(deflate(parts[0].as_bytes()).unwrap());
        gzip::raw(&mut member, parts[1].as_bytes());
        member.extend(deflate(parts[2].as_bytes()).unwrap());
        gzip::raw(&mut member, b"]");
        let list = format!("[{}]", parts.concat());
        gzip::trailer(
            &mut member,
            crc32fast::hash(list.as_bytes()),
            list.len() as u64,
        );
        let mut decoded = String::new();
        let mut decoder = flate2::bufread::GzDecoder::new(&member[..]);
        decoder.read_to_string(&mut decoded).unwrap();
        assert_eq!(decoded, list);
        assert!(decoder.into_inner().is_empty(), "one member");
    }

    #[test]
    fn a_coding_that_saves_less_than_a_fifth_is_dropped() {
        assert!(worthwhile(80, 100) && worthwhile(0, 100));
        assert!(!worthwhile(81, 100) && !worthwhile(20, 2));
    }
}
