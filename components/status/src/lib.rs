//! The status page, the metrics and the probes: what became of the deferred work, for people, for
//! Prometheus and for Kubernetes.
//!
//! | path | content |
//! | --- | --- |
//! | `/` | a redirect to the status page, or a line of text |
//! | `/status`, `/status/events/{id}` | the state: a page, or JSON |
//! | `/status/login`, `/status/logout` | logging in with `admin_token` |
//! | `/status/retry`, `/status/refresh`, `/status/purge` | actions |
//! | `/metrics` | counters and gauges for Prometheus |
//! | `/healthz`, `/readyz` | probes |
//!
//! | module | content |
//! | --- | --- |
//! | `visit` | a request: who sends it, and what it asks for |
//! | `view` | the state as a page, as JSON and as metrics |
//! | [`snapshot`], `state` | the state, and where it comes from |
//! | [`page`] | the page's HTML, style and script |
//! | `prometheus` | the text of `/metrics` |
//! | `access`, `login` | authorization: bearer token, login, same-site check |
//! | `actions` | retry, refresh, purge |
//! | `probes` | `/healthz` and `/readyz` |
//! | `settings` | the variables that only this component needs |

mod access;
mod actions;
mod login;
pub mod page;
mod probes;
mod prometheus;
mod settings;
pub mod snapshot;
mod state;
mod view;
mod visit;

use afterword::host::http_server::{self, Guest, Incoming, Outgoing};
use afterword::problem;
use afterword::response::Response;
use afterword::{host, log, wake};
use http::{Method, StatusCode};
use settings::Settings;
use visit::{Visit, redirect};

const READ: &str = "GET, HEAD, OPTIONS";
const ACT: &str = "POST, OPTIONS";
const READ_AND_ACT: &str = "GET, HEAD, POST, OPTIONS";

/// The HTTP handler.
pub struct Status;

#[cfg(target_family = "wasm")]
http_server::export!(Status);

// `#[spin_sdk::http_service]` would convert the request to an `http::Request`, which fails for an
// unusual `Host`.
impl Guest for Status {
    async fn handle(request: Incoming) -> Result<Outgoing, http_server::Error> {
        let (response, wakes) = match Settings::read().await {
            Ok(settings) => respond(Visit::of(request, settings)).await,
            Err(error) => {
                log::not_configured(&error).emit();
                (Response::problem(&problem::NOT_CONFIGURED), false)
            }
        };
        let response = response.send().await?;
        if wakes {
            host::after_response(wake::wake());
        }
        Ok(response)
    }
}

/// The response, and whether a worker has to be woken after it.
async fn respond(visit: Visit) -> (Response, bool) {
    let path = visit.path.clone();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let allowed = match segments[..] {
        ["status", "login"] => READ_AND_ACT,
        ["status", "logout" | "retry" | "refresh" | "purge"] => ACT,
        _ => READ,
    };
    let response = match (&visit.method, &segments[..]) {
        (&Method::OPTIONS, _) => Response::options(allowed),
        (&Method::POST, ["status", "login"]) => login::login(visit).await,
        (&Method::POST, ["status", "logout"]) => login::logout(&visit),
        (&Method::POST, ["status", action]) if allowed == ACT => {
            return actions::act(visit, action).await;
        }
        (&Method::GET | &Method::HEAD, [..]) if allowed != ACT => match segments[..] {
            [""] => root(&visit),
            ["healthz"] => probes::alive(),
            ["readyz"] => return probes::ready().await,
            ["metrics"] => view::metrics(&visit).await,
            ["status"] => view::status(&visit, None).await,
            ["status", "events", id] => view::event(&visit, id).await,
            ["status", "login"] => login::form(&visit),
            ["status", "page.css"] => visit::asset("text/css; charset=utf-8", page::CSS),
            ["status", "page.js"] => visit::asset("text/javascript; charset=utf-8", page::SCRIPT),
            _ => Response::problem(&problem::NO_SUCH_PAGE),
        },
        _ => Response::method_not_allowed(allowed),
    };
    (response, false)
}

fn root(visit: &Visit) -> Response {
    if visit.may_see() {
        return redirect(StatusCode::FOUND, "/status");
    }
    visit::text(
        "Afterword: rows of a Supabase table from an edge cache. They are at /articles, and the \
         status page is at /status.\n",
    )
}
