//! The HTTP server: accepts connections, routes requests, and applies the dials.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, header::CONTENT_LENGTH, request::Parts};
use http_body_util::{BodyExt, Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use crate::{
    cut_body::CutBody,
    dials::{Dials, Fault, told_to_fail},
    options::Upstream,
    response::Response,
    rest::{self, Rest},
    webhook::Sender,
};

/// A REST request with its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestLog {
    /// The method, in capitals.
    pub method: String,
    /// The path, with `/rest/v1`.
    pub path: String,
    /// The query as sent, without `?` and `apikey`.
    pub query: String,
    /// The status of the response. `None` for a dropped connection.
    pub status: Option<u16>,
    /// The number of rows in the response, by its `Content-Range`. 0 without one.
    pub rows: u64,
}

/// The state that the server and the handle share.
pub(crate) struct Shared {
    pub rest: Rest,
    pub upstream: Option<Upstream>,
    pub client: reqwest::Client,
    pub webhooks: Arc<Sender>,
    pub dials: Mutex<Dials>,
    pub requests: Mutex<Vec<RequestLog>>,
    pub verbose: bool,
}

/// Locks a mutex.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds this")
}

/// Serves until the task is aborted, which also ends its connections.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Most likely, no file descriptor is free until another connection closes.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Small responses must not wait for the client's delayed acknowledgement.
        stream.set_nodelay(true).ok();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| handle(&shared, request));
            // It fails when the client hangs up, or by the dials `drop` and `cut`.
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

type Outgoing = Either<Full<Bytes>, CutBody>;

/// Responds to one request. An error closes the connection without a response.
async fn handle(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<http::Response<Outgoing>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = parts.uri.path();
    if path == "/dials" {
        return send(dials(shared, &parts.method, &body), false);
    }
    if path.starts_with(rest::PREFIX) {
        return respond_to_rest(shared, parts, body).await;
    }
    let message = json!({"message": "no Route matched with those values"});
    send(Response::json(404, message.to_string()), false)
}

async fn respond_to_rest(
    shared: &Arc<Shared>,
    parts: Parts,
    body: Bytes,
) -> io::Result<http::Response<Outgoing>> {
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
        rows: 0,
    };

    let response = match &dial.fault {
        Some(Fault::Drop) => None,
        Some(Fault::Status(status)) => {
            let message = json!({"message": told_to_fail()});
            Some(refuse(*status, message, dial.retry_after))
        }
        Some(Fault::Refusal {
            status,
            code,
            message,
        }) => {
            let error = json!({"code": code, "details": null, "hint": null, "message": message});
            Some(refuse(*status, error, dial.retry_after))
        }
        Some(Fault::Html) => Some(Response::new(
            200,
            "text/html; charset=utf-8",
            "<!doctype html><title>Welcome</title><p>Please sign in to use this network.</p>\n",
        )),
        Some(Fault::Cut) | None => Some(process(shared, parts, body).await?),
    };

    log.status = response.as_ref().map(|response| response.status);
    log.rows = response.as_ref().map_or(0, rows);
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
    match response {
        Some(response) => send(response, dial.fault == Some(Fault::Cut)),
        None => Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
    }
}

/// An error response, with `Retry-After` if given.
fn refuse(status: u16, body: Value, retry_after: Option<u64>) -> Response {
    let response = Response::json(status, body.to_string());
    match retry_after {
        Some(seconds) => response.header("retry-after", seconds.to_string()),
        None => response,
    }
}

/// Runs the request on a thread for blocking work, and queues its webhooks before the response
/// leaves.
async fn process(shared: &Arc<Shared>, parts: Parts, body: Bytes) -> io::Result<Response> {
    if let Some(upstream) = &shared.upstream {
        let keys = &shared.rest.keys;
        let responded = upstream.respond(&shared.client, keys, &parts, body).await;
        let (response, changes) = responded.map_err(io::Error::other)?;
        shared.webhooks.send(&changes);
        return Ok(response);
    }
    let for_database = Arc::clone(shared);
    let (response, changes) =
        tokio::task::spawn_blocking(move || for_database.rest.respond(&parts, &body)).await?;
    shared.webhooks.send(&changes);
    Ok(response)
}

fn dials(shared: &Shared, method: &Method, body: &[u8]) -> Response {
    match *method {
        Method::GET => {
            let dials = lock(&shared.dials).clone();
            Response::json(200, json!(dials).to_string())
        }
        Method::PUT => match Dials::parse(body) {
            Ok(dials) => {
                shared.set_dials(dials);
                Response::empty(204)
            }
            Err(error) => Response::json(400, json!({"message": format!("{error:#}")}).to_string()),
        },
        _ => Response::json(
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

/// The number of rows that a response has by its `Content-Range`, such as `0-24/*`.
fn rows(response: &Response) -> u64 {
    let mut headers = response.headers.iter();
    let range = headers.find(|(name, _)| *name == "content-range");
    let range = range.and_then(|(_, value)| {
        let (first, last) = value.split_once('/')?.0.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        Some(last.saturating_sub(first) + 1)
    });
    range.unwrap_or(0)
}

fn without_key(query: &str) -> String {
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.starts_with("apikey="))
        .collect();
    kept.join("&")
}

fn send(response: Response, cut: bool) -> io::Result<http::Response<Outgoing>> {
    let mut builder = http::Response::builder().status(response.status);
    for (name, value) in response.headers {
        builder = builder.header(name, value);
    }
    let body = if cut {
        builder = builder.header(CONTENT_LENGTH, response.body.len());
        Either::Right(CutBody::after(
            response.body.slice(..response.body.len() / 2),
        ))
    } else {
        Either::Left(Full::new(response.body))
    };
    builder.body(body).map_err(io::Error::other)
}
