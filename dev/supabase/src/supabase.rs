//! The running stand-in, as tests and programs hold it.

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
    /// Binds, opens the database, loads the sample, and serves on the caller's tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be bound, a database file that cannot be used, a webhook that cannot be sent.
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
        if options.sample {
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

    /// The base URL, without `/rest/v1` and without a slash at the end: what Supabase calls the project's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The keys that it accepts.
    pub fn keys(&self) -> &Keys {
        &self.shared.rest.keys
    }

    /// The anonymous key in its JWT form.
    pub fn anon_key(&self) -> &str {
        &self.keys().anon
    }

    /// The anonymous key in its newer form, `sb_publishable_…`.
    pub fn publishable_key(&self) -> &str {
        &self.keys().publishable
    }

    /// The service key in its JWT form: sees every row and column, and may write.
    pub fn service_key(&self) -> &str {
        &self.keys().service
    }

    /// Sends the webhooks of later changes to another place, or nowhere.
    ///
    /// # Errors
    /// A URL that is none or not `http://`, a header that no request can carry.
    pub fn set_webhook(&self, webhook: Option<&Webhook>) -> anyhow::Result<()> {
        self.shared.webhooks.set_webhook(webhook)
    }

    /// The faults that are dialled in.
    pub fn dials(&self) -> Dials {
        lock(&self.shared.dials).clone()
    }

    /// Dials other faults in, and starts the webhooks' random numbers anew.
    ///
    /// # Errors
    /// A fraction outside of 0 to 1, a fault's status that is no error.
    pub fn set_dials(&self, dials: Dials) -> anyhow::Result<()> {
        dials.check()?;
        self.shared.set_dials(dials);
        Ok(())
    }

    /// The REST requests so far, in the order in which they were worked off. A request whose answer a dial delays is
    /// there when the delay begins.
    pub fn requests(&self) -> Vec<RequestLog> {
        lock(&self.shared.requests).clone()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        lock(&self.shared.requests).clear();
    }

    /// Runs SQL statements (SQLite's SQL; `now()` is there) in one transaction, and sends **no** webhooks.
    ///
    /// # Errors
    /// What SQLite says against it; nothing has been changed then.
    pub fn execute(&self, sql: &str) -> anyhow::Result<()> {
        self.shared
            .rest
            .database
            .execute(sql)
            .with_context(|| format!("cannot execute {sql}"))
    }

    /// Makes `rows` (JSON objects by column name) the only rows of a table, and sends **no** webhooks. Missing columns get
    /// their defaults.
    ///
    /// # Errors
    /// An unknown table or column, a value that is not of its column's type, a broken constraint; nothing has been
    /// changed then.
    pub fn replace_rows(&self, table: &str, rows: &[Json]) -> anyhow::Result<()> {
        self.shared
            .rest
            .replace(table, rows)
            .with_context(|| format!("cannot replace the rows of {table}"))
    }

    /// The webhooks that have been sent so far, or failed, or were dropped by the dial, in the order in which that was
    /// settled.
    pub fn webhooks(&self) -> Vec<Delivery> {
        self.shared.webhooks.deliveries()
    }

    /// Forgets the webhooks so far.
    pub fn clear_webhooks(&self) {
        self.shared.webhooks.clear_deliveries();
    }

    /// Waits until every webhook of the changes so far has been answered, has failed or was dropped.
    pub async fn webhooks_settled(&self) {
        self.shared.webhooks.settled().await;
    }
}

impl Drop for Supabase {
    fn drop(&mut self) {
        self.server.abort();
    }
}
