//! The body of a request or a response, read into memory up to a limit.

use super::executor::ready;
use super::http_server::Request;
use bytes::Bytes;
use std::rc::Rc;
use wasi::http::types::{self, ErrorCode, IncomingBody};
use wasi::io::streams::{InputStream, StreamError};

/// The most bytes for each read from the host.
const CHUNK: usize = 64 << 10;

/// A body that has not been read. Its fields are dropped in this order, as the host demands.
pub struct Body {
    stream: Option<InputStream>,
    _body: Option<IncomingBody>,
    _request: Option<Rc<Request>>,
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
pub struct Rest(Body);

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rest")
    }
}

impl Body {
    pub(super) fn new(
        body: Result<IncomingBody, ()>,
        request: Option<Rc<Request>>,
        length: Option<usize>,
    ) -> Self {
        let body = body.ok();
        Self {
            stream: body.as_ref().and_then(|body| body.stream().ok()),
            _body: body,
            _request: request,
            length,
        }
    }

    /// Reads the whole body if it has at most `limit` bytes. The end of a body that is complete by
    /// its `Content-Length` is not awaited.
    pub async fn read(mut self, limit: usize) -> Result<Bytes, BodyError> {
        let mut content = Vec::with_capacity(self.length.unwrap_or_default().min(CHUNK));
        while Some(content.len()) != self.length {
            match self.next().await.map_err(BodyError::Broken)? {
                Some(bytes) if content.is_empty() => content = bytes,
                Some(bytes) => content.extend(bytes),
                None => break,
            }
            if content.len() > limit {
                return Err(BodyError::TooLarge(content, Rest(self)));
            }
        }
        Ok(content.into())
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, ErrorCode> {
        let Some(stream) = &self.stream else {
            return Ok(None);
        };
        loop {
            match stream.read(CHUNK as u64) {
                Ok(bytes) if bytes.is_empty() => ready(stream.subscribe()).await,
                Ok(bytes) => return Ok(Some(bytes)),
                Err(StreamError::Closed) => return Ok(None),
                Err(StreamError::LastOperationFailed(error)) => {
                    let code = types::http_error_code(&error);
                    return Err(code.unwrap_or(ErrorCode::InternalError(None)));
                }
            }
        }
    }
}

impl Rest {
    /// Reads the rest and drops it. Some clients read the response only after they have sent the
    /// whole request.
    pub async fn discard(mut self) {
        while let Ok(Some(_)) = self.0.next().await {}
    }
}
