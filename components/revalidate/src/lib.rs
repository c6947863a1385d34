//! `POST /revalidate`: takes a Supabase database webhook, marks what it says has changed, and acknowledges at once. It waits
//! for Redis and for nothing else, but for the outbox where Redis is away; the refresh is the worker's.

use afterword::answer::Answer;
use afterword::door::{Knock, Secrets};
use afterword::fields::Fields;
use afterword::key::Key;
use afterword::limit::limit;
use afterword::marks::Task;
use afterword::problem::{self, Problem};
use afterword::{body, freshness, marks, outbox, store, variables, webhook};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;
use spin_sdk::wasip3;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use std::time::Duration;

/// The longest body, in bytes. pg_net sends a row and its old values; PostgreSQL's own limits are higher, a cache's need not be.
const MAX_BODY: usize = 4 << 20;

/// How long a body may take to arrive. pg_net itself gives up after a few seconds.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// The methods that are answered.
const ALLOW: &str = "POST, OPTIONS";

struct Revalidate;

wasip3::http::service::export!(Revalidate);

// What `#[spin_sdk::http_service]` would write, but for the request: that is left in its WASI form. Turned into an `http::Request`,
// one with an odd `Host` would fail before it got here.
impl Guest for Revalidate {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let answer = match Method::try_from(request.get_method()).unwrap_or_default() {
            Method::POST => acknowledge(request).await.unwrap_or_else(refusal),
            Method::OPTIONS => Answer::options(ALLOW),
            _ => Answer::method_not_allowed(ALLOW),
        };
        answer.send().await
    }
}

async fn acknowledge(request: Request) -> Result<Answer, &'static Problem> {
    let taking = variables::taking().await.map_err(not_set_up)?;
    let body = admitted(&taking.secrets, request).await?;
    let keys = webhook::marked(&body, &taking.table)?;
    let tasks: Vec<Task> = keys.iter().cloned().map(Task::from).collect();
    // A row may be large, and nothing of it is needed any more.
    drop(body);
    if keys.is_empty() {
        println!("sending response: nothing marked, the webhook is about another table");
        return Ok(received(None, None));
    }
    let names = names(&keys);
    match marks::changed(&taking.redis, &tasks).await {
        Ok(sequence) => {
            println!("sending response: change {sequence} marked {names}");
            Ok(received(Some(sequence), None))
        }
        Err(error) => {
            outbox::put(&tasks)
                .await
                .map_err(|full| neither(&names, &error, &full))?;
            println!("sending response: {names} kept in the outbox, for want of Redis: {error}");
            Ok(received(None, Some("outbox")))
        }
    }
}

/// The body of whoever may post: read only if the fields do not already say that it may not.
async fn admitted(secrets: &Secrets, request: Request) -> Result<Bytes, &'static Problem> {
    let fields = Fields::of(&request);
    let knock = secrets.knock(|name| fields.lines(name), freshness::now() / 1_000)?;
    let body = body(request).await?;
    match knock {
        Knock::Signed(signature) if !secrets.verify(&signature, &body) => {
            Err(&problem::UNAUTHORIZED)
        }
        _ => Ok(body),
    }
}

async fn body(request: Request) -> Result<Bytes, &'static Problem> {
    let (_, no_error) = wasip3::wit_future::new(|| Ok(()));
    let (stream, trailers) = Request::consume_body(request, no_error);
    match limit(BODY_LIMIT, body::read(stream, trailers, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(body::Error::TooLarge)) => Err(&problem::BODY_TOO_LARGE),
        Ok(Err(body::Error::Broken(_))) | Err(_) => Err(&problem::BODY_CUT_SHORT),
    }
}

/// An acknowledgement.
#[derive(Serialize)]
struct Received {
    received: bool,
    /// The sequence number of the marks, once they are in Redis.
    id: Option<i64>,
    /// Where they are until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    deferred: Option<&'static str>,
}

fn received(id: Option<i64>, deferred: Option<&'static str>) -> Answer {
    let received = Received {
        received: true,
        id,
        deferred,
    };
    Answer::json(StatusCode::ACCEPTED, "application/json", &received)
}

/// A problem; 401 with the challenge that RFC 9110, section 11.6.1 asks for.
fn refusal(problem: &'static Problem) -> Answer {
    let answer = Answer::problem(problem);
    match problem.status {
        StatusCode::UNAUTHORIZED => answer.with("www-authenticate", "Bearer"),
        _ => answer,
    }
}

fn neither(names: &str, redis: &marks::Error, store: &store::Error) -> &'static Problem {
    eprintln!("could not note {names}: {redis}; {store}");
    &problem::NOT_NOTED
}

fn not_set_up(error: variables::Error) -> &'static Problem {
    eprintln!("{error}");
    &problem::NOT_SET_UP
}

fn names(keys: &[Key]) -> String {
    keys.iter()
        .map(Key::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
