//! The worker, woken by Redis: takes what is marked, fetches it from Supabase as it is now, and writes the entries. The only
//! writer of entries, and one at a time, however many replicas are woken: whoever holds the lease.
//!
//! - this file: from a message to a drain, and what belongs to every drain
//! - [`drain`]: what is due becomes requests, a few at once
//! - [`refresh`]: from marks to entries
//! - [`compress`]: an entry in the codings that make it shorter
//! - [`reconcile`]: the stored items held against the list
//! - [`retry`]: when what failed is tried again

#![expect(unsafe_code, reason = "the SDK's macro exports the handler with it")]

mod compress;
mod drain;
mod reconcile;
mod refresh;
mod retry;

use afterword::key::Key;
use afterword::marks::{self, Lease, Timers, Woken, Worker};
use afterword::store::Store;
use afterword::{outbox, variables};
use bytes::Bytes;
use futures_util::future::{Either, pending, select};
use refresh::Refresh;
use spin_sdk::redis_subscriber;
use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;

#[redis_subscriber]
async fn handle(message: Bytes) -> Result<(), Box<dyn Error>> {
    // Redis is not even asked for any other payload.
    let Some(woken) = marks::woken(&message) else {
        return Ok(());
    };
    let (redis, origin) = (variables::redis().await?, variables::origin().await?);
    // Not more often than once a second, however short a life the entries have.
    let reconcile_every = variables::lifetime()
        .await?
        .max_age
        .max(Duration::from_secs(1));
    let store = Store::open().await?;
    let worker = Worker::open(redis).await?;
    // Before the lease is asked for: if a dead worker has it, its end has to be told of.
    let timers = worker.timers(woken == Woken::Rung).await?;
    if timers == Timers::Untold && worker.is_first_to_say("no-timers").await? {
        eprintln!(
            "Redis does not tell when a key expires, and this user may not set `notify-keyspace-events` to `Kx`: retries and \
             reconciliation wait for the next webhook, or for the next read of what is missing or stale"
        );
    }
    let Some(lease) = worker.take_lease().await? else {
        return Ok(());
    };
    let refresh = Refresh {
        lease: &lease,
        origin: &origin,
        setup: origin.digest(),
        store: &store,
        reconciles: RefCell::new(None),
    };
    match select(pin!(work(&refresh, reconcile_every)), pin!(keep(&lease))).await {
        Either::Left((worked, _)) => worked?,
        Either::Right((never, _)) => match never {},
    }
    if timers == Timers::Unknown {
        worker.ring().await?;
    }
    Ok(())
}

/// What the lease is for: the outbox, a reconciliation if one is due, and then whatever is due.
async fn work(refresh: &Refresh<'_>, reconcile_every: Duration) -> Result<(), marks::Error> {
    let (store, worker) = (refresh.store, refresh.lease.worker);
    let reconciles = refresh.lease.reconcile(reconcile_every).await?;
    match outbox::empty(store, worker, reconciles).await {
        Ok(0) => {}
        Ok(moved) => println!("moved the marks of {moved} webhooks from the outbox"),
        Err(error) => eprintln!("the outbox could not be emptied: {error}"),
    }
    if reconciles {
        refresh.reconciles.replace(stored_items(store).await);
    }
    drain::drain(refresh, reconcile_every).await
}

/// The items in the store; `None`, and a line in the log, if it does not say: the reconciliation is then due again.
async fn stored_items(store: &Store) -> Option<Vec<Key>> {
    match store.keys().await {
        Ok(names) => Some(
            names
                .iter()
                .filter_map(|name| Key::from_path(name))
                .collect(),
        ),
        Err(error) => {
            eprintln!("no reconciliation this time: {error}");
            None
        }
    }
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
