//! Time limits. Spin sets none for key-value and Redis calls, and ten minutes for outbound HTTP.

use crate::host;
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// The call took longer than this limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut(pub Duration);

/// Awaits `call`, and cancels it if it takes longer than `limit`. A call that is ready at its first
/// poll starts no timer.
pub async fn limit<F: Future>(limit: Duration, call: F) -> Result<F::Output, TimedOut> {
    match select(pin!(call), pin!(host::sleep(limit))).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(_) => Err(TimedOut(limit)),
    }
}
