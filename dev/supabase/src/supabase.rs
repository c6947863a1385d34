//! The running stand-in.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use anyhow::Context;
use serde_json::Value as Json;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    database::Database,
    dials::Dials,
    options::{Keys, Options, Webhook},
    rest::Rest,
    sample,
    server::{RequestLog, Shared, lock, serve},
    webhook::{Delivery, Sender},
};

/// A stand-in that serves until it is dropped.
pub struct Supabase {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Supabase {
    /// Binds the address, opens the database, loads the sample, and serves on the caller's runtime.
    ///
    /// # Errors
    /// When the address cannot be bound, the database file is unusable, or the webhook is invalid.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let webhooks = Sender::new(options.webhook.as_ref(), options.verbose)?;
        let database = Database::open(options.database.as_deref()).with_context(|| {
            let file = options.database.as_deref().unwrap_or("memory".as_ref());
            format!("cannot open the database {}", file.display())
        })?;
        let rest = Rest {
            database,
            keys: options.keys,
            row_cap: options.row_cap,
            strict_columns: options.strict_columns,
        };
        if let Some(upstream) = &options.upstream {
            upstream
                .reset(options.sample)
                .context("cannot reset the articles")?;
        } else if options.sample {
            sample::load(&rest).context("cannot load the sample articles")?;
        }
        let listener = TcpListener::bind(options.listen).await.with_context(|| {
            format!(
                "cannot listen on {}: choose another address, or port 0 for a free one",
                options.listen
            )
        })?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            rest,
            upstream: options.upstream,
            client: reqwest::Client::new(),
            webhooks,
            dials: Mutex::default(),
            requests: Mutex::default(),
            verbose: options.verbose,
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// The base URL without `/rest/v1` and trailing slash, which Supabase calls the project URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The listening address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The accepted keys.
    pub fn keys(&self) -> &Keys {
        &self.shared.rest.keys
    }

    /// The anonymous key as a JWT.
    pub fn anon_key(&self) -> &str {
        &self.keys().anon
    }

    /// The anonymous key in its newer form, `sb_publishable_…`.
    pub fn publishable_key(&self) -> &str {
        &self.keys().publishable
    }

    /// The service key as a JWT. It reads and writes everything.
    pub fn service_key(&self) -> &str {
        &self.keys().service
    }

    /// Sets or removes the webhook of later changes.
    ///
    /// # Errors
    /// When the URL is invalid or not `http://`, or a header is invalid.
    pub fn set_webhook(&self, webhook: Option<&Webhook>) -> anyhow::Result<()> {
        self.shared.webhooks.set_webhook(webhook)
    }

    /// The current dials.
    pub fn dials(&self) -> Dials {
        lock(&self.shared.dials).clone()
    }

    /// Sets the dials, and restarts the random numbers of webhooks.
    ///
    /// # Errors
    /// When a fraction is not from 0 to 1, or a fault's status is no error.
    pub fn set_dials(&self, dials: Dials) -> anyhow::Result<()> {
        dials.check()?;
        self.shared.set_dials(dials);
        Ok(())
    }

    /// The REST requests so far, in the order of their processing. A delayed request is included
    /// when its delay begins.
    pub fn requests(&self) -> Vec<RequestLog> {
        lock(&self.shared.requests).clone()
    }

    /// Clears [`requests`](Self::requests).
    pub fn clear_requests(&self) {
        lock(&self.shared.requests).clear();
    }

    /// Runs SQLite statements in one transaction, with `now()` and without sending webhooks.
    ///
    /// # Errors
    /// SQLite's error. Nothing changes then.
    pub fn execute(&self, sql: &str) -> anyhow::Result<()> {
        if let Some(upstream) = &self.shared.upstream {
            return upstream.execute(sql);
        }
        self.shared
            .rest
            .database
            .execute(sql)
            .with_context(|| format!("cannot execute {sql}"))
    }

    /// Replaces all rows of a table by `rows` (JSON objects by column name), without sending
    /// webhooks. Missing columns get their defaults.
    ///
    /// # Errors
    /// When a table or column is unknown, a value has another type than its column, or a constraint
    /// is violated. Nothing changes then.
    pub fn replace_rows(&self, table: &str, rows: &[Json]) -> anyhow::Result<()> {
        if let Some(upstream) = &self.shared.upstream {
            return upstream.replace_rows(table, rows);
        }
        self.shared
            .rest
            .replace(table, rows)
            .with_context(|| format!("cannot replace the rows of {table}"))
    }

    /// The webhooks so far that were sent, failed, or dropped by the dial, in the order of their
    /// outcomes.
    pub fn webhooks(&self) -> Vec<Delivery> {
        self.shared.webhooks.deliveries()
    }

    /// Clears [`webhooks`](Self::webhooks).
    pub fn clear_webhooks(&self) {
        self.shared.webhooks.clear_deliveries();
    }

    /// Waits for the outcomes of all webhooks of the changes so far.
    pub async fn webhooks_settled(&self) {
        self.shared.webhooks.settled().await;
    }
}

impl Drop for Supabase {
    fn drop(&mut self) {
        self.server.abort();
    }
}
