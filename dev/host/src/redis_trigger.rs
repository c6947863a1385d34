//! `[[trigger.redis]]`: subscriptions (Spin: `crates/trigger-redis`).

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Error, Result, anyhow};
use futures_util::StreamExt;
use futures_util::future::join_all;
use redis::aio::PubSub;
use redis::{Client, Msg};
use wasmtime::{Engine, Store};

use crate::bindings::{RedisComponentPre, RedisServicePre};
use crate::component::Component;
use crate::instance::{State, new_store};
use crate::measure;

/// A component behind a Redis trigger.
#[derive(Clone)]
pub(crate) struct Handler {
    pub engine: Engine,
    pub component: Arc<Component>,
    pub service: RedisPre,
}

/// A component with its imports resolved.
#[derive(Clone)]
pub(crate) enum RedisPre {
    Wasi02(RedisComponentPre<State>),
    Wasi03(RedisServicePre<State>),
}

/// The handlers of each channel.
pub(crate) type Channels = BTreeMap<String, Vec<Handler>>;

/// The subscriptions at one Redis server.
pub(crate) struct RedisTrigger {
    /// Host and port, without credentials.
    server: String,
    subscription: PubSub,
    channels: Channels,
}

impl RedisTrigger {
    /// Connects to the server at the URL `address` and subscribes to all channels.
    ///
    /// # Errors
    /// When the URL is invalid, or the server refuses or does not respond. The error shows no
    /// credentials.
    pub(crate) async fn subscribe(address: &str, channels: Channels) -> Result<Self> {
        let client = Client::open(address).context("a Redis trigger's address is no Redis URL")?;
        let server = client.get_connection_info().addr.to_string();
        let mut subscription = client
            .get_async_pubsub()
            .await
            .map_err(|error| anyhow!("Redis trigger failed to connect to {server}: {error}"))?;
        for channel in channels.keys() {
            subscription.subscribe(channel).await.map_err(|error| {
                anyhow!(
                    "Redis trigger failed to subscribe to channel {channel:?} on {server}: {error}"
                )
            })?;
        }
        Ok(Self {
            server,
            subscription,
            channels,
        })
    }

    /// Prints the channels in Spin's words.
    pub(crate) fn announce(&self) {
        println!("Active Channels on {}:", self.server);
        for (channel, handlers) in &self.channels {
            let ids: Vec<_> = handlers.iter().map(|it| it.component.id.as_str()).collect();
            println!("\t{}/{channel}: [{}]", self.server, ids.join(","));
        }
    }

    /// Handles messages one after another until the connection ends, and returns the reason.
    pub(crate) async fn run(mut self) -> Error {
        let mut messages = self.subscription.on_message();
        while let Some(message) = messages.next().await {
            let handlers = self.channels.get(message.get_channel_name());
            let handled = handlers.into_iter().flatten().map(|it| it.handle(&message));
            join_all(handled).await;
        }
        anyhow!("disconnected from {}", self.server)
    }
}

impl Handler {
    /// Logs a failure. As in Spin, nothing is retried.
    async fn handle(&self, message: &Msg) {
        if let Err(error) = self.dispatch(message.get_payload_bytes()).await {
            let channel = message.get_channel_name();
            self.component
                .log(format_args!("a message on {channel} failed: {error:#}"));
        }
    }

    /// Runs a new instance. It ends when the handler returns, with everything that it spawned.
    async fn dispatch(&self, payload: &[u8]) -> Result<()> {
        let mut store = new_store(&self.component, &self.engine, None)?;
        let handled = self.service.handle(&mut store, payload).await;
        measure::log(&store, 1);
        handled
    }
}

impl RedisPre {
    async fn handle(&self, store: &mut Store<State>, payload: &[u8]) -> Result<()> {
        const FAILED: &str = "Redis handler returned an error";
        let payload = payload.to_vec();
        match self {
            Self::Wasi02(service) => {
                let service = service.instantiate_async(&mut *store).await?;
                let handler = service.fermyon_spin_inbound_redis();
                let handled = handler.call_handle_message(store, &payload).await?;
                handled.context(FAILED)
            }
            Self::Wasi03(service) => {
                let service = service.instantiate_async(&mut *store).await?;
                let handler = service.spin_redis_inbound_redis();
                let handled = store.run_concurrent(async |accessor| {
                    handler.call_handle_message(accessor, payload).await
                });
                handled.await??.context(FAILED)
            }
        }
    }
}
