//! Logging in to the status page, and out.

use crate::access;
use crate::page;
use crate::visit::{Visit, html, redirect};
use afterword::host;
use afterword::log::{self, event};
use afterword::problem;
use afterword::response::Response;
use http::StatusCode;

/// `GET /status/login`.
pub fn form(visit: &Visit) -> Response {
    if visit.settings.access.has_token() {
        html(StatusCode::OK, page::login(false))
    } else {
        html(problem::STATUS_DISABLED.status, page::disabled())
    }
}

/// `POST /status/login`, with the form field `token`.
pub async fn login(mut visit: Visit) -> Response {
    let (settings, is_secure) = (visit.settings.clone(), visit.is_secure());
    if !settings.access.has_token() {
        return visit.refuse(&problem::STATUS_DISABLED);
    }
    if !visit.is_same_site() {
        return Response::problem(&problem::CROSS_SITE);
    }
    match visit.field("token").await {
        Ok(token) if settings.access.is_token(token.trim().as_bytes()) => {
            let cookie = settings.access.login(host::now() / 1_000, is_secure);
            redirect(StatusCode::SEE_OTHER, "/status").with("set-cookie", cookie)
        }
        Ok(_) => {
            let message = "refused a login to the status page: the token is not `admin_token`";
            log::event(event::LOGIN_REFUSED, message).sampled().emit();
            html(StatusCode::UNAUTHORIZED, page::login(true))
        }
        Err(problem) => Response::problem(problem),
    }
}

/// `POST /status/logout`.
pub fn logout(visit: &Visit) -> Response {
    if !visit.is_same_site() {
        return Response::problem(&problem::CROSS_SITE);
    }
    let cookie = access::logout(visit.is_secure());
    redirect(StatusCode::SEE_OTHER, "/status").with("set-cookie", cookie)
}
