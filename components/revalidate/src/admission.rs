//! Reads the body of a webhook whose sender may post.

use afterword::door::{Knock, Refusal, Secrets, WRONG_SIGNATURE};
use afterword::fields::Fields;
use afterword::limit::limit;
use afterword::{body, freshness, problem};
use bytes::Bytes;
use spin_sdk::wasip3;
use spin_sdk::wasip3::http::types::Request;
use std::time::Duration;

/// How much of a body is read, in bytes. PostgreSQL's own limits are higher, a cache's need not be.
const MAX_BODY: usize = 4 << 20;

/// How long a body may take to arrive. pg_net itself gives up after a few seconds.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// A webhook's body.
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// It is over the limit: this is its start.
    Start(Vec<u8>),
}

/// The body of whoever may post: read only if the fields do not already say that it may not.
pub async fn admitted(secrets: &Secrets, request: Request) -> Result<Body, Refusal> {
    let fields = Fields::of(&request);
    let knock = secrets.knock(|name| fields.lines(name), freshness::now() / 1_000)?;
    let (_, no_error) = wasip3::wit_future::new(|| Ok(()));
    let (stream, trailers) = Request::consume_body(request, no_error);
    let read = limit(BODY_LIMIT, body::read(stream, trailers, MAX_BODY)).await;
    match (read, knock) {
        (Ok(Ok(body)), Knock::Admitted) => Ok(Body::Whole(body)),
        (Ok(Ok(body)), Knock::Signed(signature)) => match secrets.verify(&signature, &body) {
            true => Ok(Body::Whole(body)),
            false => Err(WRONG_SIGNATURE),
        },
        (Ok(Err(body::Error::TooLarge(start, rest))), Knock::Admitted) => {
            // Whether the rest arrives makes no difference.
            let _ = limit(BODY_LIMIT, body::drain(rest)).await;
            Ok(Body::Start(start))
        }
        (Ok(Err(body::Error::TooLarge(..))), Knock::Signed(_)) => {
            Err((&problem::BODY_TOO_LARGE).into())
        }
        (Ok(Err(body::Error::Broken(_))) | Err(_), _) => Err((&problem::BODY_CUT_SHORT).into()),
    }
}
