//! `POST /refresh`: the HTTP-triggered shell of the [`worker`], for hosts without a Redis trigger.
//!
//! Each request works on the queue for at most `refresh_seconds`. If tasks are still due then, or
//! become due before then, it sends the next request itself. `articles` and `revalidate` send
//! requests after their responses, and a scheduler sends one at least once a minute.

use afterword::bearer;
use afterword::host;
use afterword::host::http_server::{self, Guest, Incoming, Outgoing};
use afterword::log::{self, event};
use afterword::problem::{self, Problem};
use afterword::response::Response;
use afterword::variables::{self, Cached, invalid, once, required, seconds};
use afterword::wake;
use http::{Method, StatusCode};
use serde::Serialize;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use worker::{Outcome, Report};

const ALLOWED_METHODS: &str = "POST, OPTIONS";

struct RefreshHttp;

http_server::export!(RefreshHttp);

// `#[spin_sdk::http_service]` would convert the request to an `http::Request`, which fails for an
// unusual `Host`.
impl Guest for RefreshHttp {
    async fn handle(request: Incoming) -> Result<Outgoing, http_server::Error> {
        let (response, next) = match http_server::method(&request) {
            Method::POST => refresh(request)
                .await
                .unwrap_or_else(|problem| (Response::problem(problem), None)),
            Method::OPTIONS => (Response::options(ALLOWED_METHODS), None),
            _ => (Response::method_not_allowed(ALLOWED_METHODS), None),
        };
        let response = response.send().await?;
        if let Some(wait) = next {
            host::after_response(async move {
                host::sleep(wait).await;
                wake::wake().await;
            });
        }
        Ok(response)
    }
}

/// The response, and the time after which the next request has to follow, if one has to.
async fn refresh(request: Incoming) -> Result<(Response, Option<Duration>), &'static Problem> {
    let settings = Settings::read().await.map_err(|error| {
        log::not_configured(&error).emit();
        &problem::NOT_CONFIGURED
    })?;
    let authorization = http_server::headers(&request).get("authorization");
    if !bearer::authorizes(&authorization, &settings.secret) {
        return Err(&problem::WRONG_REFRESH_SECRET);
    }
    let Some(turn) = Turn::take() else {
        return Ok((held(), None));
    };
    let outcome = worker::on_request(settings.time).await.map_err(|error| {
        worker::failure(&*error).emit();
        &problem::NOT_REFRESHED
    })?;
    match outcome {
        Outcome::Drained(report) => {
            log(&report);
            let content = Refreshed::of(&report);
            let response = Response::json(StatusCode::OK, "application/json", &content);
            let next = report.wait.filter(|_| report.wakes);
            Ok((response, turn.missed().then_some(Duration::ZERO).or(next)))
        }
        Outcome::Held => Ok((held(), None)),
        Outcome::Refused => Err(&problem::PREFIX_IN_USE),
    }
}

fn log(report: &Report) {
    let Report {
        completed, failed, ..
    } = *report;
    let due = report.due.unwrap_or_default();
    let message = format!("refreshed: {completed} completed, {failed} failed, {due} still due");
    log::event(event::DRAINED, message)
        .number("completed", completed)
        .number("failed", failed)
        .number("due", due)
        .emit();
}

/// The right to work in this instance, which takes several requests at once with WASI 0.3. While a
/// worker lists the store, another call to the store from its instance would block both for good:
/// see `Store::keys`.
struct Turn;

thread_local! {
    static IS_AT_WORK: Cell<bool> = const { Cell::new(false) };
    static MISSED: Cell<bool> = const { Cell::new(false) };
}

impl Turn {
    /// `None` while another request of this instance is at work.
    fn take() -> Option<Self> {
        if IS_AT_WORK.replace(true) {
            MISSED.set(true);
            return None;
        }
        MISSED.set(false);
        Some(Self)
    }

    /// Whether another request wanted to work meanwhile. It may have been sent just after this one
    /// released the lease.
    fn missed(&self) -> bool {
        MISSED.get()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        IS_AT_WORK.set(false);
    }
}

/// The variables that only this component needs.
struct Settings {
    /// `refresh_secret`.
    secret: String,
    /// `refresh_seconds`.
    time: Duration,
}

impl Settings {
    /// Reads the variables; an instance reads them once.
    async fn read() -> variables::Result<Rc<Self>> {
        thread_local! {
            static SETTINGS: Cached<Settings> = Cached::default();
        }
        let read = async {
            log::init("refresh-http").await?;
            let secret = required("refresh_secret").await?;
            bearer::check(&secret).map_err(|why| invalid("refresh_secret", why))?;
            let time = seconds("refresh_seconds").await?;
            if !(5..=300).contains(&time.as_secs()) {
                return Err(invalid("refresh_seconds", "it must be from 5 to 300"));
            }
            Ok(Self { secret, time })
        };
        once(&SETTINGS, read).await
    }
}

/// The content of a response: what the worker did.
#[derive(Serialize)]
struct Refreshed {
    completed: u32,
    failed: u32,
    /// Tasks that are due now.
    due: Option<u64>,
    /// Milliseconds until the next task or reconciliation is due.
    next_in_ms: Option<u128>,
}

impl Refreshed {
    fn of(report: &Report) -> Self {
        Self {
            completed: report.completed,
            failed: report.failed,
            due: report.due,
            next_in_ms: report.wait.map(|wait| wait.as_millis()),
        }
    }
}

/// The response while another worker is at work.
fn held() -> Response {
    let content = Held { held: true };
    Response::json(StatusCode::ACCEPTED, "application/json", &content)
}

/// The content of [`held`].
#[derive(Serialize)]
struct Held {
    held: bool,
}
