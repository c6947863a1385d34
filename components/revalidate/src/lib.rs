//! `POST /revalidate`: takes a Supabase database webhook, queues the changed keys, and acknowledges
//! at once. It waits for Redis (or, if Redis is away, for the outbox) and for nothing else.
//!
//! | module | content |
//! | --- | --- |
//! | `authentication` | bearer tokens and signatures |
//! | `body` | reading an authenticated body |
//! | `webhook` | which tasks a body invalidates |
//! | `settings` | the variables that only webhooks need |

pub mod authentication;
mod body;
mod settings;
pub mod webhook;

use afterword::host;
use afterword::host::http_server::{self, Guest, Incoming, Outgoing};
use afterword::log::{self, Keys, Rate, event};
use afterword::problem::{self, Problem};
use afterword::queue::{self, Error, Redis, Task, script};
use afterword::response::Response;
use afterword::{metrics, outbox, wake};
use authentication::Refusal;
use body::{Body, authenticated};
use http::{Method, StatusCode};
use serde::Serialize;
use settings::Settings;
use std::time::{Duration, Instant};
use webhook::Invalidation;

const ALLOWED_METHODS: &str = "POST, OPTIONS";

/// The HTTP handler.
pub struct Revalidate;

#[cfg(target_family = "wasm")]
http_server::export!(Revalidate);

// `#[spin_sdk::http_service]` would convert the request to an `http::Request`, which fails for an
// unusual `Host`.
impl Guest for Revalidate {
    async fn handle(request: Incoming) -> Result<Outgoing, http_server::Error> {
        let (response, wakes) = match http_server::method(&request) {
            Method::POST => acknowledge(request).await.unwrap_or_else(|problem| {
                let failed = problem.status.is_server_error();
                metrics::count(if failed {
                    metrics::WEBHOOK_FAILED
                } else {
                    metrics::WEBHOOK_REFUSED
                });
                (Response::problem(problem), false)
            }),
            Method::OPTIONS => (Response::options(ALLOWED_METHODS), false),
            _ => (Response::method_not_allowed(ALLOWED_METHODS), false),
        };
        let response = response.send().await?;
        if wakes {
            host::after_response(wake::wake());
        }
        metrics::report_later();
        Ok(response)
    }
}

/// The response, and whether a worker has to be woken after it.
async fn acknowledge(request: Incoming) -> Result<(Response, bool), &'static Problem> {
    let received_at = Instant::now();
    let settings = Settings::read().await.map_err(|error| {
        log::not_configured(&error).emit();
        &problem::NOT_CONFIGURED
    })?;
    let refuse = |refusal: Refusal| {
        log_refusal(refusal);
        refusal.problem
    };
    let body = authenticated(&settings.secrets, request)
        .await
        .map_err(refuse)?;
    let truncated = matches!(body, Body::Start(_));
    let invalidation = match body {
        Body::Whole(body) => webhook::parse(&body, &settings.tables),
        Body::Start(start) => webhook::parse_start(start, &settings.tables),
    };
    let mut acknowledgement = Acknowledgement {
        received: true,
        id: None,
        deferred: None,
        truncated,
    };
    let tasks = match invalidation.map_err(|problem| refuse(problem.into()))? {
        Invalidation::Tasks(tasks) => tasks,
        Invalidation::OtherTable(name) => {
            let message = format!(
                "sending response: nothing invalidated, the webhook is about the table `{name}`; \
                 add it to `webhook_tables` if it contains the cached rows, or to `related_tables` \
                 if the queries embed it"
            );
            metrics::count(metrics::WEBHOOK_IGNORED);
            log::event(event::WEBHOOK_IGNORED, message).sampled().emit();
            return Ok((acknowledgement.response(), false));
        }
    };
    let mut wakes = false;
    match invalidate(&settings.redis, received_at.elapsed(), &tasks).await {
        Ok([version, caller_wakes]) => {
            wakes = caller_wakes == 1;
            acknowledgement.id = Some(version);
            metrics::count(metrics::WEBHOOK_QUEUED);
            metrics::acknowledged(version, received_at.elapsed());
            log::sampled(event::WEBHOOK_ACKNOWLEDGED, move || {
                let keys = Keys::of(&tasks);
                let names = for_log(&keys, truncated);
                let message = format!("sending response: version {version} invalidated {names}");
                log::event(event::WEBHOOK_ACKNOWLEDGED, message)
                    .number("id", version)
                    .keys(keys)
            });
        }
        Err(error) => {
            let stored = outbox::put(&tasks).await;
            let keys = Keys::of(&tasks);
            let names = for_log(&keys, truncated);
            let (event, message, error) = match &stored {
                Ok(()) => (
                    event::WEBHOOK_IN_OUTBOX,
                    format!("sending response: {names} kept in the outbox, Redis failed"),
                    error.to_string(),
                ),
                Err(store_error) => (
                    event::WEBHOOK_NOT_QUEUED,
                    format!("could not queue {names}"),
                    format!("{error}; {store_error}"),
                ),
            };
            let line = log::event(event, message).keys(keys).error(error);
            line.sampled().emit();
            stored.map_err(|_| &problem::NOT_QUEUED)?;
            acknowledgement.deferred = Some("outbox");
        }
    }
    Ok((acknowledgement.response(), wakes))
}

/// Queues the tasks of a webhook that was received `ago`, with a new version, and wakes a worker.
/// Returns the version's number, and 1 if the caller has to wake a worker itself.
async fn invalidate(redis: &Redis, ago: Duration, tasks: &[Task]) -> Result<[i64; 2], Error> {
    let arguments = queue::invalidation("webhook", ago, tasks);
    let reply = queue::run(redis, script::INVALIDATE, &arguments).await?;
    reply.integers()
}

/// The content of the response to a webhook.
#[derive(Serialize)]
struct Acknowledgement {
    received: bool,
    /// The number of the version, if the tasks are in Redis.
    id: Option<i64>,
    /// `outbox` if the tasks are in the key-value store.
    #[serde(skip_serializing_if = "Option::is_none")]
    deferred: Option<&'static str>,
    /// Only the start of the body was read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl Acknowledgement {
    fn response(&self) -> Response {
        Response::json(StatusCode::ACCEPTED, "application/json", self)
    }
}

fn for_log(keys: &Keys, truncated: bool) -> String {
    if truncated {
        format!("{keys} (only the start of the body was read, it exceeds 4 MiB)")
    } else {
        keys.to_string()
    }
}

/// Logs a refusal, but each reason at most once in ten seconds.
fn log_refusal(Refusal { problem, why }: Refusal) {
    const RATE: Rate = Rate {
        lines: 1,
        interval: Duration::from_secs(10),
        // Anybody can send these: they must not keep instances alive.
        ends_with_last: false,
    };
    let status = problem.status.as_u16();
    log::event(
        event::WEBHOOK_REFUSED,
        format!("refused a webhook with {status}: {why}"),
    )
    .number("status", status)
    .at_most(RATE, why)
    .emit();
}
