//! Database webhooks, sent as pg_net 0.20.4 sends them: each change by itself, asynchronously, once, in no promised order.

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

/// The time limit of one webhook, from connecting to the whole answer.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// The table that the webhook is set on.
const TABLE: &str = "articles";

/// A webhook that has left the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The exact body.
    pub body: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a webhook.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The status of the answer.
    Status(u16),
    /// No answer, and why.
    Failed(String),
    /// Not sent, by the `drop` dial.
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
    /// What the `reorder_ms` dial holds back.
    gathered: Vec<(Target, String)>,
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
                "the webhook's URL {:?} is not one; give one like http://127.0.0.1:3000/revalidate",
                webhook.url
            )
        })?;
        anyhow::ensure!(
            url.scheme() == "http",
            "the webhook's URL {url} does not start with http://, which is all that the stand-in speaks"
        );
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_static("pg_net/0.20.4"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("accept", HeaderValue::from_static("*/*"));
        for (name, value) in &webhook.headers {
            let parsed: HeaderName = name
                .parse()
                .with_context(|| format!("the webhook's header name {name:?} is not one"))?;
            // The value may be a secret: it is not told.
            let value = value.parse().with_context(|| {
                format!(
                    "the value of the webhook's header {name} holds a character that no header may"
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
                gathered: Vec::new(),
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

    /// Queues a webhook for each change of the table, and returns at once.
    pub fn send(self: &Arc<Self>, changes: &[Change]) {
        let mut state = self.lock();
        let Some(target) = state.target.clone() else {
            return;
        };
        for change in changes.iter().filter(|change| change.table == TABLE) {
            let body = body(change);
            if state.random.f64() < state.dials.drop {
                self.tell("dropped");
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
                if state.gathered.is_empty() {
                    self.spawn_release(state.dials.reorder_ms);
                }
                state.gathered.push((target.clone(), body.clone()));
            }
        }
    }

    /// Sends what has been gathered when the window is over, shuffled.
    fn spawn_release(self: &Arc<Self>, window_ms: u64) {
        let sender = Arc::clone(self);
        tokio::spawn(async move {
            sleep(Duration::from_millis(window_ms)).await;
            let mut state = sender.lock();
            let mut gathered = std::mem::take(&mut state.gathered);
            state.random.shuffle(&mut gathered);
            for (target, body) in gathered {
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
                Outcome::Status(status) => sender.tell(&status.to_string()),
                Outcome::Failed(why) => sender.tell(why),
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
        let answered = async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            response.bytes().await?;
            Ok::<_, reqwest::Error>(status)
        };
        match answered.await {
            Ok(status) => Outcome::Status(status),
            Err(error) if error.is_timeout() => Outcome::Failed("no answer within 1 s".to_owned()),
            Err(error) => {
                Outcome::Failed(format!("{:#}", anyhow::Error::from(error.without_url())))
            }
        }
    }

    fn tell(&self, outcome: &str) {
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

/// The body that `supabase_functions.http_request` builds: a `jsonb`, as text.
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
