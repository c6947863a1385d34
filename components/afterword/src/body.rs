//! The content of a message, into memory and no further than a limit.
//!
//! Read into one growing vector: a sender of single bytes, each a chunk of its own, costs no more than one of the same length in one piece.

use bytes::Bytes;
use spin_sdk::wasip3::http::types::ErrorCode;
use spin_sdk::wasip3::wit_bindgen::{StreamReader, StreamResult};

/// The least room to read into.
const READ: usize = 64 << 10;

/// Why there is no content.
#[derive(Debug)]
pub enum Error {
    /// It is over the limit: its start, which is not much longer, and the rest, unread.
    TooLarge(Vec<u8>, StreamReader<u8>),
    /// The connection broke before its end.
    Broken(ErrorCode),
}

/// All of a content of at most so many bytes. `end` says whether that was all, or the connection broke.
pub async fn read<T>(
    mut stream: StreamReader<u8>,
    end: impl IntoFuture<Output = Result<T, ErrorCode>>,
    most: usize,
) -> Result<Bytes, Error> {
    let mut content = Vec::new();
    loop {
        content.reserve(READ);
        let (result, read) = stream.read(content).await;
        content = read;
        match result {
            StreamResult::Complete(_) if content.len() > most => {
                return Err(Error::TooLarge(content, stream));
            }
            StreamResult::Complete(_) => {}
            StreamResult::Dropped | StreamResult::Cancelled => break,
        }
    }
    end.await.map_err(Error::Broken)?;
    Ok(content.into())
}

/// Reads the rest of a content and drops it: a sender may read no answer before it has sent all.
pub async fn drain(mut rest: StreamReader<u8>) {
    let mut dropped = Vec::with_capacity(READ);
    while let (StreamResult::Complete(_), read) = rest.read(dropped).await {
        dropped = read;
        dropped.clear();
    }
}
