//! The worker, woken by Redis: takes what is marked, fetches it from Supabase as it is now, and writes the entries. The only
//! writer of entries, and one at a time, however many replicas are woken: whoever holds the lease.

#![expect(unsafe_code, reason = "the SDK's macro exports the handler with it")]

mod refresh;
mod retry;

use afterword::marks::{self, Lease, Released, Worker};
use afterword::store::Store;
use afterword::variables;
use bytes::Bytes;
use futures_util::future::{Either, pending, select};
use refresh::Refresh;
use spin_sdk::redis_subscriber;
use std::error::Error;
use std::pin::pin;

/// The most marks that are claimed at once.
const CLAIM: usize = 800;

#[redis_subscriber]
async fn handle(message: Bytes) -> Result<(), Box<dyn Error>> {
    // Redis is not even asked for any other payload: what this handler writes there must not wake it again.
    if message != marks::WAKE {
        return Ok(());
    }
    let (redis_url, origin) = (variables::redis_url().await?, variables::origin().await?);
    let store = Store::open().await?;
    let worker = Worker::open(&redis_url).await?;
    let Some(lease) = worker.take_lease().await? else {
        return Ok(());
    };
    let refresh = Refresh {
        lease: &lease,
        origin: &origin,
        store: &store,
    };
    match select(pin!(drain(&refresh)), pin!(keep(&lease))).await {
        Either::Left((drained, _)) => Ok(drained?),
        Either::Right((never, _)) => match never {},
    }
}

/// Works off what is due, until nothing is.
async fn drain(refresh: &Refresh<'_>) -> Result<(), marks::Error> {
    loop {
        let Some(marks) = refresh.lease.claim(CLAIM).await? else {
            return Ok(());
        };
        if !marks.is_empty() {
            refresh.all(marks).await?;
            continue;
        }
        match refresh.lease.release().await? {
            Released::Done => return Ok(()),
            // A key refreshed a moment ago waits for its next turn: waiting here is cheaper than being woken again.
            Released::Kept(wait) => spin_sdk::time::sleep(wait).await,
        }
    }
}

/// Renews the lease for as long as the worker is at it. Does not end the work when the lease is lost: what is being written then
/// must still come to its clear, which marks it again.
async fn keep(lease: &Lease<'_>) -> std::convert::Infallible {
    loop {
        spin_sdk::time::sleep(Lease::RENEW_EVERY).await;
        if !matches!(lease.renew().await, Ok(true)) {
            return pending().await;
        }
    }
}
