//! Time limits. Spin sets none on key-value and Redis calls, and ten minutes on requests to the origin.

use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// The time was up: this much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeUp(pub Duration);

/// `call`'s output, unless it takes longer than `limit`: then the call is cancelled. A call that is ready when it is first
/// looked at costs nothing more: no timer is started for it.
pub async fn limit<F: Future>(limit: Duration, call: F) -> Result<F::Output, TimeUp> {
    match select(pin!(call), pin!(spin_sdk::time::sleep(limit))).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(_) => Err(TimeUp(limit)),
    }
}
