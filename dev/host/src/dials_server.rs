//! The HTTP routes of the fault dials: `GET /dials` shows them, `PUT /dials` replaces them all, `GET /calls` counts the calls that they
//! act on.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use axum::Json;
use axum::extract::State;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::dials::{Call, Dials, Settings};

/// Serves the dials on `listener` for as long as the process lives.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve(listener: TcpListener, dials: Dials) -> Result<()> {
    let routes = axum::Router::new()
        .route("/dials", get(show).put(replace))
        .route("/calls", get(calls))
        .with_state(dials);
    axum::serve(listener, routes)
        .await
        .context("the dials' listener failed")
}

async fn show(State(dials): State<Dials>) -> Json<Settings> {
    Json(dials.settings())
}

async fn replace(State(dials): State<Dials>, Json(settings): Json<Settings>) -> Json<Settings> {
    dials.set(settings);
    Json(dials.settings())
}

async fn calls(State(dials): State<Dials>) -> Json<BTreeMap<Call, u64>> {
    Json(dials.calls())
}
