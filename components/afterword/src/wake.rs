//! Wakes a worker on hosts without a Redis trigger: sends `POST /refresh` to this application's
//! component `refresh-http`.

use crate::host::http_client;
use crate::limit::limit;
use crate::log::{self, event};
use crate::variables;
use http::Method;
use std::time::Duration;

/// The path of the component `refresh-http`.
pub const PATH: &str = "/refresh";

/// The time limit of a call. The response comes when the worker is done, and hosts end a request
/// after 30 s.
const LIMIT: Duration = Duration::from_secs(30);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Wakes a worker. Must be called after the response, because it waits for the worker. Failures are
/// logged: the next webhook, read or scheduled call wakes a worker.
pub async fn wake() {
    match limit(LIMIT, call()).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(why)) => log::event(event::WAKE_UP_FAILED, "could not wake a worker")
            .error(why)
            .emit(),
    }
}

async fn call() -> Result<(), String> {
    let endpoint = variables::refresh_endpoint()
        .await
        .map_err(|error| error.to_string())?;
    let Some(endpoint) = &*endpoint else {
        return Ok(());
    };
    let response = http_client::send(http_client::Request {
        method: Method::POST,
        https: endpoint.base_url.https,
        authority: &endpoint.base_url.authority,
        path_with_query: PATH,
        headers: vec![(
            "authorization".to_owned(),
            format!("Bearer {}", endpoint.secret).into_bytes(),
        )],
        connect_timeout: CONNECT_TIMEOUT,
        read_timeout: LIMIT,
    })
    .await;
    let Some(response) = response else {
        return Err("`refresh_secret` contains a character that no header may contain".into());
    };
    let status = response
        .map_err(|error| format!("`refresh_url` cannot be reached: {error:?}"))?
        .status;
    match status {
        Some(status) if status.is_success() => Ok(()),
        Some(status) => Err(format!("`{PATH}` responded with {status}")),
        None => Err(format!("`{PATH}` sent no valid status")),
    }
}
