//! The body of a request or a response, read into memory up to a limit.

use bytes::Bytes;
use spin_sdk::wasip3::http::types::{ErrorCode, Trailers};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult};

type End = FutureReader<Result<Option<Trailers>, ErrorCode>>;

/// The free space for each read from the host, unless a `Content-Length` says that less is missing.
const CHUNK: usize = 64 << 10;

/// A body that has not been read.
pub struct Body {
    stream: StreamReader<u8>,
    trailers: End,
    /// The `Content-Length`, if it is known. Only a body that is chunked, too, can be longer: RFC
    /// 9112 (section 6.3) calls that an error, and the rest is ignored.
    length: Option<usize>,
}

/// Why a body was not read whole.
#[derive(Debug)]
pub enum BodyError {
    /// It exceeds the limit. Holds the bytes read so far (a little more than the limit) and the
    /// unread rest.
    TooLarge(Vec<u8>, Rest),
    /// The connection broke before the end of the body.
    Broken(ErrorCode),
}

/// The unread rest of a body.
#[derive(Debug)]
pub struct Rest(StreamReader<u8>);

impl Body {
    pub(super) fn new(stream: StreamReader<u8>, trailers: End, length: Option<usize>) -> Self {
        Self {
            stream,
            trailers,
            length,
        }
    }

    /// Reads the whole body if it has at most `limit` bytes.
    ///
    /// All reads share one growing buffer, so a client that sends single-byte chunks costs no more
    /// memory than one that sends a single chunk. The end of a body that is complete by its
    /// `Content-Length` is not awaited, which saves two calls of the host.
    pub async fn read(self, limit: usize) -> Result<Bytes, BodyError> {
        let Self {
            mut stream,
            trailers,
            length,
        } = self;
        let mut content = Vec::new();
        loop {
            let missing = length.map(|length| length.saturating_sub(content.len()));
            content.reserve(missing.map_or(CHUNK, |missing| missing.clamp(1, CHUNK)));
            let (result, read) = stream.read(content).await;
            content = read;
            match result {
                StreamResult::Complete(_) if content.len() > limit => {
                    return Err(BodyError::TooLarge(content, Rest(stream)));
                }
                StreamResult::Complete(_) if Some(content.len()) == length => {
                    return Ok(content.into());
                }
                StreamResult::Complete(_) => {}
                StreamResult::Dropped | StreamResult::Cancelled => break,
            }
        }
        trailers.await.map_err(BodyError::Broken)?;
        Ok(content.into())
    }
}

impl Rest {
    /// Reads the rest and drops it. Some clients read the response only after they have sent the
    /// whole request.
    pub async fn discard(mut self) {
        let mut discarded = Vec::with_capacity(CHUNK);
        while let (StreamResult::Complete(_), read) = self.0.read(discarded).await {
            discarded = read;
            discarded.clear();
        }
    }
}
