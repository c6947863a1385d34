//! The HTTP side: accepts connections, routes requests, and applies the dials to REST answers.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, header::CONTENT_LENGTH, request::Parts};
use http_body_util::{BodyExt, Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use crate::{
    answer::Answer,
    cut::Cut,
    dials::{Dials, Fault},
    rest::{self, Rest},
    webhook::Sender,
};

/// A REST request that has been answered, or dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestLog {
    /// The method, in capitals.
    pub method: String,
    /// The path, with `/rest/v1`.
    pub path: String,
    /// The query as sent, without `?` and without an `apikey`.
    pub query: String,
    /// The status of the answer, `None` for a dropped connection.
    pub status: Option<u16>,
}

/// What the server's tasks and the handle share.
pub(crate) struct Shared {
    pub rest: Rest,
    pub webhooks: Arc<Sender>,
    pub dials: Mutex<Dials>,
    pub requests: Mutex<Vec<RequestLog>>,
    pub verbose: bool,
}

/// Takes a lock that is only ever held for a moment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds this")
}

/// Serves until the task is aborted; its connections end with it.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: others have to close first.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Small answers must not wait for the client's delayed acknowledgement.
        stream.set_nodelay(true).ok();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| handle(&shared, request));
            // An error here is a client that hung up, or the `drop` and `cut` dials at work.
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

type Outgoing = Either<Full<Bytes>, Cut>;

/// Answers one request. An error closes the connection without an answer.
async fn handle(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<Response<Outgoing>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = parts.uri.path();
    if path == "/dials" {
        return respond(dials(shared, &parts.method, &body), false);
    }
    if path.starts_with(rest::PREFIX) {
        return answer_rest(shared, parts, body).await;
    }
    let message = json!({"message": "no Route matched with those values"});
    respond(Answer::json(404, message.to_string()), false)
}

async fn answer_rest(
    shared: &Arc<Shared>,
    parts: Parts,
    body: Bytes,
) -> io::Result<Response<Outgoing>> {
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let prefer = parts
        .headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>()
        .join(", ");
    let dial = lock(&shared.dials).for_request(target, &prefer);
    let mut log = RequestLog {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: without_key(parts.uri.query().unwrap_or_default()),
        status: None,
    };

    let answer = match &dial.fault {
        Some(Fault::Drop) => None,
        Some(Fault::Status(status)) => {
            let message = json!({"message": "The stand-in was told to fail"});
            Some(refuse(*status, message, dial.retry_after))
        }
        Some(Fault::Refusal { status, code }) => {
            let message = "The stand-in was told to fail";
            let error = json!({"code": code, "details": null, "hint": null, "message": message});
            Some(refuse(*status, error, dial.retry_after))
        }
        Some(Fault::Html) => Some(Answer::new(
            200,
            "text/html; charset=utf-8",
            "<!doctype html><title>Welcome</title><p>Please sign in to use this network.</p>\n",
        )),
        Some(Fault::Cut) | None => Some(run(shared, parts, body).await?),
    };

    log.status = answer.as_ref().map(|answer| answer.status);
    if shared.verbose {
        let separator = if log.query.is_empty() { "" } else { "?" };
        let status = log
            .status
            .map_or("dropped".to_owned(), |status| status.to_string());
        eprintln!(
            "{} {}{separator}{} {status}",
            log.method, log.path, log.query
        );
    }
    lock(&shared.requests).push(log);
    sleep(Duration::from_millis(dial.delay_ms)).await;
    match answer {
        Some(answer) => respond(answer, dial.fault == Some(Fault::Cut)),
        None => Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
    }
}

/// An error, which may ask for patience.
fn refuse(status: u16, body: Value, retry_after: Option<u64>) -> Answer {
    let answer = Answer::json(status, body.to_string());
    match retry_after {
        Some(seconds) => answer.header("retry-after", seconds.to_string()),
        None => answer,
    }
}

/// Asks the database, off the threads that serve connections, and queues the webhooks before the answer leaves.
async fn run(shared: &Arc<Shared>, parts: Parts, body: Bytes) -> io::Result<Answer> {
    let for_database = Arc::clone(shared);
    let (answer, changes) =
        tokio::task::spawn_blocking(move || for_database.rest.answer(&parts, &body)).await?;
    shared.webhooks.send(&changes);
    Ok(answer)
}

fn dials(shared: &Shared, method: &Method, body: &[u8]) -> Answer {
    match *method {
        Method::GET => {
            let dials = lock(&shared.dials).clone();
            Answer::json(200, json!(dials).to_string())
        }
        Method::PUT => match Dials::parse(body) {
            Ok(dials) => {
                shared.set_dials(dials);
                Answer::empty(204)
            }
            Err(error) => Answer::json(400, json!({"message": format!("{error:#}")}).to_string()),
        },
        _ => Answer::json(
            405,
            json!({"message": "/dials takes GET and PUT"}).to_string(),
        )
        .header("allow", "GET, PUT"),
    }
}

impl Shared {
    pub fn set_dials(&self, dials: Dials) {
        self.webhooks.set_dials(dials.webhooks.clone());
        *lock(&self.dials) = dials;
    }
}

fn without_key(query: &str) -> String {
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.starts_with("apikey="))
        .collect();
    kept.join("&")
}

fn respond(answer: Answer, cut: bool) -> io::Result<Response<Outgoing>> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let body = if cut {
        response = response.header(CONTENT_LENGTH, answer.body.len());
        Either::Right(Cut::after(answer.body.slice(..answer.body.len() / 2)))
    } else {
        Either::Left(Full::new(answer.body))
    };
    response.body(body).map_err(io::Error::other)
}
