//! The probes of Kubernetes and of load balancers. Anybody may ask, so they tell nothing else.

use crate::state::StoreState;
use crate::visit::text;
use afterword::problem;
use afterword::queue::{self, script};
use afterword::response::Response;
use afterword::variables;

/// `GET /healthz`: the component runs.
pub fn alive() -> Response {
    text("alive\n")
}

/// `GET /readyz`: Redis or the store responds, so that reads can be served. Wakes a worker if
/// one is missing, like every [report](afterword::metrics). Returns also whether the caller has to
/// do so.
pub async fn ready() -> (Response, bool) {
    let check = async {
        let redis = variables::redis().await.ok()?;
        let reply = queue::run(&redis, script::REPORT, &[queue::number(1)]).await;
        reply.ok()?.caller_wakes().ok()
    };
    let caller_wakes = check.await;
    if caller_wakes.is_some() || StoreState::read().await.is_up {
        (text("ready\n"), caller_wakes == Some(true))
    } else {
        (Response::problem(&problem::NOT_READY), false)
    }
}
