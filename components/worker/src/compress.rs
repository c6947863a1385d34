//! Compresses entries, once for all readers.

use afterword::entry::{Entry, Variant};
use afterword::host;
use burli_encode::Options;
use burli_encode::streaming::StreamEncoder;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};

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

    #[test]
    fn a_coding_that_saves_less_than_a_fifth_is_dropped() {
        assert!(worthwhile(80, 100) && worthwhile(0, 100));
        assert!(!worthwhile(81, 100) && !worthwhile(20, 2));
    }
}
