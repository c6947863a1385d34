//! `POST /revalidate`: takes a Supabase database webhook, marks what it says has changed, and acknowledges at once. It waits
//! for Redis and for nothing else, but for the outbox where Redis is away; the refresh is the worker's.

mod admission;
mod refusals;

use admission::{Body, admitted};
use afterword::answer::Answer;
use afterword::door::Refusal;
use afterword::marks::Task;
use afterword::problem::{self, Problem};
use afterword::webhook::Marked;
use afterword::{marks, outbox, store, variables, webhook};
use http::{Method, StatusCode};
use serde::Serialize;
use spin_sdk::wasip3;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

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
    let refused = |refusal: Refusal| {
        refusals::log(refusal);
        refusal.problem
    };
    let body = admitted(&taking.secrets, request).await.map_err(refused)?;
    let truncated = matches!(body, Body::Start(_));
    let marked = match body {
        Body::Whole(body) => webhook::marked(&body, &taking.tables),
        Body::Start(start) => webhook::marked_by_start(start, &taking.tables),
    };
    let mut received = Received {
        received: true,
        id: None,
        deferred: None,
        truncated,
    };
    let tasks = match marked.map_err(|problem| refused(problem.into()))? {
        Marked::Tasks(tasks) => tasks,
        Marked::OtherTable(name) => {
            println!(
                "sending response: nothing marked, the webhook is about the table `{name}`; \
                 `webhook_tables` makes a table count as the cached one, `related_tables` as one \
                 that it embeds"
            );
            return Ok(received.answer());
        }
    };
    let names = names(&tasks, truncated);
    match marks::changed(&taking.redis, &tasks).await {
        Ok(sequence) => {
            println!("sending response: change {sequence} marked {names}");
            received.id = Some(sequence);
        }
        Err(error) => {
            outbox::put(&tasks)
                .await
                .map_err(|full| neither(&names, &error, &full))?;
            println!("sending response: {names} kept in the outbox, for want of Redis: {error}");
            received.deferred = Some("outbox");
        }
    }
    Ok(received.answer())
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
    /// Just the start of the body was read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl Received {
    fn answer(&self) -> Answer {
        Answer::json(StatusCode::ACCEPTED, "application/json", self)
    }
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

fn names(tasks: &[Task], truncated: bool) -> String {
    let names: Vec<String> = tasks.iter().map(Task::to_string).collect();
    let names = names.join(", ");
    match truncated {
        true => format!("{names} (the body is over 4 MiB, and just its start was read)"),
        false => names,
    }
}
