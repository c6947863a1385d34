//! Authenticates a webhook and reads its body.

use crate::authentication::{Credentials, Refusal, Secrets, WRONG_SIGNATURE};
use afterword::host::{self, BodyError, http_server};
use afterword::limit::limit;
use afterword::problem;
use bytes::Bytes;
use std::time::Duration;

/// The maximum size of a body that is read whole, in bytes.
const MAX_BODY: usize = 4 << 20;

/// The time limit for a body to arrive. pg_net itself gives up after a few seconds.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// The body of an authenticated webhook.
pub enum Body {
    /// The whole body.
    Whole(Bytes),
    /// The start of a body that exceeds [`MAX_BODY`].
    Start(Vec<u8>),
}

/// Authenticates the webhook, and reads its body unless its headers are refused already.
pub async fn authenticated(
    secrets: &Secrets,
    request: http_server::Incoming,
) -> Result<Body, Refusal> {
    let headers = http_server::headers(&request);
    let credentials = secrets.authenticate(|name| headers.get(name), || host::now() / 1_000)?;
    let body = http_server::body(request, &headers);
    match (limit(BODY_LIMIT, body.read(MAX_BODY)).await, credentials) {
        (Ok(Ok(body)), Credentials::BearerToken) => Ok(Body::Whole(body)),
        (Ok(Ok(body)), Credentials::Signature(signature)) => {
            if secrets.verify(&signature, &body) {
                Ok(Body::Whole(body))
            } else {
                Err(WRONG_SIGNATURE)
            }
        }
        (Ok(Err(BodyError::TooLarge(start, rest))), Credentials::BearerToken) => {
            // Whether the rest arrives makes no difference.
            let _ = limit(BODY_LIMIT, rest.discard()).await;
            Ok(Body::Start(start))
        }
        (Ok(Err(BodyError::TooLarge(..))), Credentials::Signature(_)) => {
            Err((&problem::BODY_TOO_LARGE).into())
        }
        (Ok(Err(BodyError::Broken(_))) | Err(_), _) => Err((&problem::BODY_CUT_SHORT).into()),
    }
}
