//! The worker, woken by Redis: takes what is queued, fetches it from Supabase as it is now, and
//! writes the entries. The only writer of entries, and one at a time, however many replicas are
//! woken: whoever holds the lease.
//!
//! - this file: from a message to a drain
//! - [`application`]: what tells this application from another that uses the same Redis
//! - [`drain`]: what is due becomes requests, a few at once; what is looked after between them
//! - [`refresh`]: from tasks to entries
//! - [`compress`]: an entry in the codings that make it shorter
//! - [`reconcile`]: the stored items compared with the list
//! - [`retry`]: when what failed is tried again, and when it is the origin that fails

#![expect(unsafe_code, reason = "the SDK's macro exports the handler with it")]

mod application;
mod compress;
mod drain;
mod reconcile;
mod refresh;
mod retry;

use afterword::marks::{self, Lease, Taken, Worker};
use afterword::store::Store;
use afterword::variables;
use bytes::Bytes;
use futures_util::future::{Either, pending, select};
use refresh::Refresh;
use spin_sdk::redis_subscriber;
use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;

#[redis_subscriber]
async fn handle(message: Bytes) -> Result<(), Box<dyn Error>> {
    // Redis is not even asked for any other payload.
    if !marks::wakes(&message) {
        return Ok(());
    }
    let (redis, origin) = (variables::redis().await?, variables::origin().await?);
    let store = Store::open().await?;
    let application = application::identity(&store, &origin).await;
    let worker = Worker::open(redis).await?;
    // Before the lease is asked for: if a dead worker has it, its end has to be told of.
    if !worker.switch_on_events().await && worker.is_first_to_say("no-events").await {
        eprintln!(
            "this user of Redis may not read and set `notify-keyspace-events`: unless it holds `K` \
             and `x`, Redis does not tell when a key expires, and retries and reconciliation wait \
             for the next webhook, read or wake-up"
        );
    }
    let lease = match worker.take_lease(&application).await? {
        Taken::Lease(lease) => lease,
        Taken::Held => return Ok(()),
        Taken::Refused { origin, lives } => {
            eprintln!(
                "refused: `redis_prefix` is in use by another application, in front of {origin}. \
                 Give this one, in front of {}, a prefix of its own. If the other one is gone, its \
                 prefix is free in {} s",
                application.origin,
                lives.as_secs()
            );
            return Ok(());
        }
    };
    let refresh = Refresh::new(
        &lease,
        &origin,
        &store,
        variables::lifetime().await?,
        variables::replica_lag().await?,
    );
    match select(pin!(drain::drain(&refresh)), pin!(keep(&lease))).await {
        Either::Left((drained, _)) => drained?,
        Either::Right((never, _)) => match never {},
    }
    Ok(())
}

/// Renews the lease for as long as the worker is at it. Does not end the work when the lease is lost: what is being written then
/// must still come to its completion, which queues it again.
async fn keep(lease: &Lease<'_>) -> Infallible {
    loop {
        spin_sdk::time::sleep(Lease::RENEW_EVERY).await;
        if matches!(lease.renew().await, Ok(false)) {
            return pending().await;
        }
    }
}
