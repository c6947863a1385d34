//! The worker, woken by Redis: takes what is marked, fetches it from Supabase as it is now, and writes the entries. The only
//! writer of entries, and one at a time, however many replicas are woken: whoever holds the lease.
//!
//! - this file: from a message to a drain, and what belongs to every drain
//! - [`drain`]: what is due becomes requests, a few at once
//! - [`refresh`]: from marks to entries
//! - [`reconcile`]: the stored items held against the list
//! - [`retry`]: when what failed is tried again

#![expect(unsafe_code, reason = "the SDK's macro exports the handler with it")]

mod drain;
mod reconcile;
mod refresh;
mod retry;

use afterword::marks::{self, Lease, Worker};
use afterword::store::{self, Store};
use afterword::{outbox, variables};
use bytes::Bytes;
use futures_util::future::{Either, pending, select};
use refresh::Refresh;
use spin_sdk::redis_subscriber;
use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;

#[redis_subscriber]
async fn handle(message: Bytes) -> Result<(), Box<dyn Error>> {
    // Redis is not even asked for any other payload.
    if !marks::wakes(&message) {
        return Ok(());
    }
    let (redis_url, origin) = (variables::redis_url().await?, variables::origin().await?);
    let store = Store::open().await?;
    let worker = Worker::open(&redis_url).await?;
    let Some(lease) = worker.take_lease().await? else {
        return Ok(());
    };
    if !worker.enable_timers().await? && worker.is_first_to_say("no-timers").await? {
        eprintln!(
            "Redis does not tell when a key expires, and this user may not set `notify-keyspace-events` to `Kx`: retries and \
             reconciliation wait for the next webhook, or for the next read of what is missing or stale"
        );
    }
    // Not more often than once a second, however short a life the entries have.
    let every = variables::lifetime()
        .await?
        .max_age
        .max(Duration::from_secs(1));
    let reconciles = lease.reconcile(every).await?;
    if let Err(error) = empty_outbox(&worker, &store, reconciles).await {
        eprintln!("the outbox could not be emptied: {error}");
    }
    let refresh = Refresh {
        lease: &lease,
        origin: &origin,
        setup: origin.digest(),
        store: &store,
        reconciles: Cell::new(reconciles),
    };
    match select(pin!(drain::drain(&refresh, every)), pin!(keep(&lease))).await {
        Either::Left((drained, _)) => Ok(drained?),
        Either::Right((never, _)) => match never {},
    }
}

/// Moves to Redis what webhooks left in the outbox while Redis was away.
async fn empty_outbox(
    worker: &Worker,
    store: &Store,
    all_the_same: bool,
) -> Result<(), Box<dyn Error>> {
    for kept in outbox::kept(store, all_the_same).await? {
        worker.changed(&kept.keys).await?;
        outbox::remove(store, &kept)
            .await
            .map_err(|error: store::Error| error)?;
        println!("moved a webhook's marks from the outbox");
    }
    Ok(())
}

/// Renews the lease for as long as the worker is at it. Does not end the work when the lease is lost: what is being written then
/// must still come to its clear, which marks it again.
async fn keep(lease: &Lease<'_>) -> Infallible {
    loop {
        spin_sdk::time::sleep(Lease::RENEW_EVERY).await;
        if matches!(lease.renew().await, Ok(false)) {
            return pending().await;
        }
    }
}
