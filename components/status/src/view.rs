//! The state as a page, as JSON and as metrics.

use crate::access::Visitor;
use crate::page::{self, Notice, View};
use crate::prometheus;
use crate::state::{self, StoreState};
use crate::visit::{Visit, field, html};
use afterword::problem::{self, Problem};
use afterword::queue::script;
use afterword::response::Response;
use http::StatusCode;
use serde::Serialize;

/// `GET /status`, and the page after an action that failed.
pub async fn status(visit: &Visit, failed: Option<&Problem>) -> Response {
    if let Some(problem) = visit.why_hidden() {
        return visit.refuse(problem);
    }
    let snapshot = state::snapshot(visit.settings.has_trigger).await;
    if !visit.wants_html() {
        return json(&snapshot);
    }
    let (status, notice) = match failed {
        Some(problem) => (problem.status, Some(Notice::Error(problem.detail))),
        None => (StatusCode::OK, done(visit.query.as_bytes())),
    };
    let is_anonymous = visit.visitor == Visitor::Anonymous;
    let view = View {
        may_act: !is_anonymous,
        may_log_in: is_anonymous && visit.settings.access.has_token(),
        notice,
    };
    html(status, page::status(&snapshot, &view))
}

/// What the redirect after an action says.
fn done(query: &[u8]) -> Option<Notice> {
    match field(query, "done").as_str() {
        "retry" => Some(Notice::Retry),
        "refresh" => Some(Notice::Refresh {
            id: field(query, "id").parse().ok(),
        }),
        "purge" => Some(Notice::Purge),
        _ => None,
    }
}

/// `GET /status/events/{id}`.
pub async fn event(visit: &Visit, id: &str) -> Response {
    if let Some(problem) = visit.why_hidden() {
        return visit.refuse(problem);
    }
    if id.parse::<u64>().is_err() {
        return Response::problem(&problem::NO_SUCH_EVENT);
    }
    match state::report(script::EVENT, &[id.into()]).await {
        Ok(report) => match report.as_ref().map(state::events).as_deref() {
            Some([event]) => json(event),
            _ => Response::problem(&problem::NO_SUCH_EVENT),
        },
        Err(_) => Response::problem(&problem::REDIS_AWAY),
    }
}

/// `GET /metrics`.
pub async fn metrics(visit: &Visit) -> Response {
    if let Some(problem) = visit.why_hidden() {
        return Response::problem(problem);
    }
    let report = state::report(script::METRICS, &[]).await.ok().flatten();
    let text = prometheus::text(report.as_ref(), StoreState::read().await);
    Response::new(StatusCode::OK, prometheus::MEDIA_TYPE, text.into())
        .with("cache-control", "no-store")
}

fn json(content: &impl Serialize) -> Response {
    Response::json(StatusCode::OK, "application/json", content)
        .with("cache-control", "no-store")
        .with("vary", "accept, authorization, cookie")
}
