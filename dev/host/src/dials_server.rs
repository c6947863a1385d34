//! The fault dials over HTTP: `GET /dials` shows them, `PUT /dials` replaces them all, and
//! `GET /calls` counts the calls of each kind.

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::dials::Dials;

/// Serves the dials on `listener` for as long as the process lives.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve(listener: TcpListener, dials: Dials) -> Result<()> {
    loop {
        let (stream, _) = listener
            .accept()
            .await
            .context("the dials' listener failed")?;
        let dials = dials.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| respond(&dials, request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // It fails when the test hangs up.
            let _ = connection.await;
        });
    }
}

async fn respond(
    dials: &Dials,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(match (head.method, head.uri.path()) {
        (Method::GET, "/dials") => json(&dials.settings()),
        (Method::PUT, "/dials") => match serde_json::from_slice(&body) {
            Ok(settings) => {
                dials.set(settings);
                json(&dials.settings())
            }
            Err(error) => response(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        },
        (Method::GET, "/calls") => json(&dials.calls()),
        _ => response(StatusCode::NOT_FOUND, String::new()),
    })
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string(value) {
        Ok(text) => response(StatusCode::OK, text),
        Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn response(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}
