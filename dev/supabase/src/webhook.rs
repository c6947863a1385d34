//! Sends database webhooks like pg_net 0.20.4: one per change, asynchronously, once, in no
//! particular order.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::Context;
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url, redirect::Policy};
use serde_json::json;
use tokio::{sync::watch, time::sleep};

use crate::{database::Change, dials::WebhookDials, jsonb::Jsonb, options::Webhook};

/// The time limit of one webhook, from connecting to the end of the response.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// The table with the webhook.
const TABLE: &str = "articles";

/// A webhook with its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The exact body.
    pub body: String,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome of a webhook.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The status of the response.
    Status(u16),
    /// No response, and the reason.
    Failed(String),
    /// Not sent because of the `drop` dial.
    Dropped,
}

/// The sender of webhooks.
pub(crate) struct Sender {
    client: Client,
    state: Mutex<State>,
    pending: watch::Sender<usize>,
    verbose: bool,
}

struct State {
    target: Option<Target>,
    dials: WebhookDials,
    random: fastrand::Rng,
    /// Webhooks held back by the dial `reorder_ms`.
    held_back: Vec<(Target, String)>,
    deliveries: Vec<Delivery>,
}

#[derive(Clone)]
struct Target {
    url: Url,
    headers: HeaderMap,
}

impl Target {
    fn new(webhook: &Webhook) -> anyhow::Result<Self> {
        let url: Url = webhook.url.parse().with_context(|| {
            format!(
                "the webhook's URL {:?} is invalid; give one like http://127.0.0.1:3000/revalidate",
                webhook.url
            )
        })?;
        anyhow::ensure!(
            url.scheme() == "http",
            "the webhook's URL {url} does not start with http://; the stand-in supports no other"
        );
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_static("pg_net/0.20.4"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("accept", HeaderValue::from_static("*/*"));
        for (name, value) in &webhook.headers {
            let parsed: HeaderName = name
                .parse()
                .with_context(|| format!("the webhook's header name {name:?} is invalid"))?;
            // The value may be a secret, so the error does not show it.
            let value = value.parse().with_context(|| {
                format!(
                    "the value of the webhook's header {name} has a character that is invalid in \
                     headers"
                )
            })?;
            headers.insert(parsed, value);
        }
        Ok(Self { url, headers })
    }
}

impl Sender {
    pub fn new(webhook: Option<&Webhook>, verbose: bool) -> anyhow::Result<Arc<Self>> {
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(TIME_LIMIT)
            .build()
            .context("cannot set up the webhooks' HTTP client")?;
        Ok(Arc::new(Self {
            client,
            state: Mutex::new(State {
                target: webhook.map(Target::new).transpose()?,
                dials: WebhookDials::default(),
                random: fastrand::Rng::with_seed(0),
                held_back: Vec::new(),
                deliveries: Vec::new(),
            }),
            pending: watch::Sender::new(0),
            verbose,
        }))
    }

    pub fn set_webhook(&self, webhook: Option<&Webhook>) -> anyhow::Result<()> {
        self.lock().target = webhook.map(Target::new).transpose()?;
        Ok(())
    }

    pub fn set_dials(&self, dials: WebhookDials) {
        let mut state = self.lock();
        state.random = fastrand::Rng::with_seed(dials.seed);
        state.dials = dials;
    }

    pub fn deliveries(&self) -> Vec<Delivery> {
        self.lock().deliveries.clone()
    }

    pub fn clear_deliveries(&self) {
        self.lock().deliveries.clear();
    }

    /// Waits until nothing is pending.
    pub async fn settled(&self) {
        self.pending
            .subscribe()
            .wait_for(|pending| *pending == 0)
            .await
            .expect("self holds the sending half");
    }

    /// Queues a webhook for each change of the table, and returns immediately.
    pub fn send(self: &Arc<Self>, changes: &[Change]) {
        let mut state = self.lock();
        let Some(target) = state.target.clone() else {
            return;
        };
        for change in changes.iter().filter(|change| change.table == TABLE) {
            let body = body(change);
            if state.random.f64() < state.dials.drop {
                self.log("dropped");
                state.deliveries.push(Delivery {
                    body,
                    outcome: Outcome::Dropped,
                });
                continue;
            }
            let copies = if state.random.f64() < state.dials.duplicate {
                2
            } else {
                1
            };
            for _ in 0..copies {
                self.pending.send_modify(|pending| *pending += 1);
                if state.dials.reorder_ms == 0 {
                    self.spawn_post(&state, target.clone(), body.clone());
                    continue;
                }
                if state.held_back.is_empty() {
                    self.spawn_release(state.dials.reorder_ms);
                }
                state.held_back.push((target.clone(), body.clone()));
            }
        }
    }

    /// Sends the webhooks held back, shuffled, when the window ends.
    fn spawn_release(self: &Arc<Self>, window_ms: u64) {
        let sender = Arc::clone(self);
        tokio::spawn(async move {
            sleep(Duration::from_millis(window_ms)).await;
            let mut state = sender.lock();
            let mut held_back = std::mem::take(&mut state.held_back);
            state.random.shuffle(&mut held_back);
            for (target, body) in held_back {
                sender.spawn_post(&state, target, body);
            }
        });
    }

    fn spawn_post(self: &Arc<Self>, state: &State, target: Target, body: String) {
        let delay = Duration::from_millis(state.dials.delay_ms);
        let sender = Arc::clone(self);
        tokio::spawn(async move {
            sleep(delay).await;
            let outcome = sender.post(target, body.clone()).await;
            match &outcome {
                Outcome::Status(status) => sender.log(&status.to_string()),
                Outcome::Failed(why) => sender.log(why),
                Outcome::Dropped => {}
            }
            sender.lock().deliveries.push(Delivery { body, outcome });
            sender.pending.send_modify(|pending| *pending -= 1);
        });
    }

    async fn post(&self, target: Target, body: String) -> Outcome {
        let request = self
            .client
            .post(target.url)
            .headers(target.headers)
            .body(body);
        let status = async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            response.bytes().await?;
            Ok::<_, reqwest::Error>(status)
        };
        match status.await {
            Ok(status) => Outcome::Status(status),
            Err(error) if error.is_timeout() => {
                Outcome::Failed("no response within 1 s".to_owned())
            }
            Err(error) => {
                Outcome::Failed(format!("{:#}", anyhow::Error::from(error.without_url())))
            }
        }
    }

    fn log(&self, outcome: &str) {
        if self.verbose {
            eprintln!("webhook {outcome}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no thread panics while it holds the webhooks")
    }
}

/// The body like `supabase_functions.http_request`'s: the text of a `jsonb`.
fn body(change: &Change) -> String {
    let payload = json!({
        "type": change.operation,
        "table": change.table,
        "schema": "public",
        "record": change.record,
        "old_record": change.old_record,
    });
    Jsonb(&payload).to_string()
}
