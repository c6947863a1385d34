//! The codings in which an entry's content is shorter. They are made once, here, and then sent as they are stored.

use afterword::entry::{Entry, Variant};
use burli_encode::Options;
use burli_encode::streaming::StreamEncoder;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use spin_sdk::wasip3::wit_bindgen::yield_async;
use std::io::{self, Write};

/// Brotli's quality: the highest that this encoder has.
const QUALITY: u8 = 5;

/// How many bytes brotli looks at together, as a power of two: at 64 KiB, its default, a long list gets longer than with gzip.
const BLOCK_BITS: u8 = 20;

/// How many bytes are handed over without a pause, of which brotli takes up a block: the renewal of the lease, and what else is under way,
/// have to get their turn.
const AT_ONCE: usize = 256 << 10;

/// The most that Spin's key-value store gives back, less some room for the entry's header.
const MOST: usize = (128 << 20) - 1_024;

/// Adds the codings that save a fifth or more.
pub async fn compress(entry: &mut Entry) {
    let content = entry.identity.content.clone();
    let mut room = MOST.saturating_sub(content.len());
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
    for part in content.chunks(AT_ONCE) {
        encoder.write_all(part)?;
        yield_async().await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_saves_less_than_a_fifth_is_not_worthwhile() {
        assert!(worthwhile(80, 100) && worthwhile(0, 100));
        assert!(!worthwhile(81, 100) && !worthwhile(20, 2));
    }
}
