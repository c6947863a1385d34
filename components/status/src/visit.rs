//! A request to this component, and the forms of its responses.

use crate::access::{self, Visitor};
use crate::page;
use crate::settings::Settings;
use afterword::host;
use afterword::host::http_server::{self, Headers, Incoming};
use afterword::limit::limit;
use afterword::problem::{self, Problem};
use afterword::response::Response;
use bytes::Bytes;
use http::{Method, StatusCode};
use std::rc::Rc;
use std::time::Duration;

/// The maximum size of a form, in bytes. A key has at most 255 bytes, percent-encoded twice.
const MAX_FORM: usize = 8 << 10;

/// The time limit for a form to arrive.
const FORM_LIMIT: Duration = Duration::from_secs(10);

/// No other site frames the page, and only its own script and style run.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// A request.
pub struct Visit {
    /// The configuration.
    pub settings: Rc<Settings>,
    /// Its method.
    pub method: Method,
    /// Its path, without the query.
    pub path: String,
    /// Its query; empty without one.
    pub query: String,
    /// Who sends it.
    pub visitor: Visitor,
    headers: Headers,
    authority: String,
    is_https: bool,
    /// `None` once its body has been read.
    request: Option<Incoming>,
}

impl Visit {
    /// Takes a request.
    pub fn of(request: Incoming, settings: Rc<Settings>) -> Self {
        let headers = http_server::headers(&request);
        let (path, query) = http_server::path_and_query(&request);
        Self {
            method: http_server::method(&request),
            path,
            query,
            visitor: settings.access.visitor(&headers, host::now() / 1_000),
            settings,
            headers,
            authority: http_server::authority(&request),
            is_https: http_server::is_https(&request),
            request: Some(request),
        }
    }

    /// Whether the sender may see the state.
    pub fn may_see(&self) -> bool {
        self.settings.access.may_see(self.visitor)
    }

    /// Why the sender may not see the state.
    pub fn why_hidden(&self) -> Option<&'static Problem> {
        match self.may_see() {
            true => None,
            false if self.settings.access.has_token() => Some(&problem::WRONG_ADMIN_TOKEN),
            false => Some(&problem::STATUS_DISABLED),
        }
    }

    /// Whether it is a browser's navigation.
    pub fn wants_html(&self) -> bool {
        let accept = self.headers.get("accept");
        let mut lines = accept.iter().filter_map(|line| str::from_utf8(line).ok());
        lines.any(|line| line.contains("text/html"))
    }

    /// An error response: a page for a browser that has to log in, else a problem.
    pub fn refuse(&self, problem: &'static Problem) -> Response {
        if !self.wants_html() {
            return Response::problem(problem);
        }
        match problem.name {
            name if name == problem::WRONG_ADMIN_TOKEN.name => {
                html(problem.status, page::login(false))
            }
            name if name == problem::STATUS_DISABLED.name => html(problem.status, page::disabled()),
            _ => Response::problem(problem),
        }
    }

    /// Whether a POST comes from a page of this application.
    pub fn is_same_site(&self) -> bool {
        access::is_same_site(&self.headers, &self.authority)
    }

    /// Whether the browser's connection is encrypted. A proxy in front says so in a header.
    pub fn is_secure(&self) -> bool {
        let forwarded = self.headers.get("x-forwarded-proto");
        self.is_https || forwarded.iter().any(|value| value == b"https")
    }

    /// The value of a field in the form that is the body; empty if it is missing.
    ///
    /// # Errors
    /// The body is too large, or does not arrive in time.
    pub async fn field(&mut self, name: &str) -> Result<String, &'static Problem> {
        let request = self.request.take().ok_or(&problem::INVALID_FORM)?;
        let body = http_server::body(request, &self.headers).read(MAX_FORM);
        let Ok(Ok(body)) = limit(FORM_LIMIT, body).await else {
            return Err(&problem::INVALID_FORM);
        };
        Ok(field(&body, name))
    }
}

/// The value of a form's field, or of a parameter of a query; empty if it is missing.
pub fn field(form: &[u8], name: &str) -> String {
    let mut fields = form_urlencoded::parse(form);
    let value = fields.find(|(other, _)| other == name);
    value
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// A page.
pub fn html(status: StatusCode, page: String) -> Response {
    let response = Response::new(status, "text/html; charset=utf-8", page.into())
        .with("cache-control", "no-store")
        .with("content-security-policy", CONTENT_SECURITY_POLICY)
        .with("referrer-policy", "same-origin")
        .with("vary", "accept, authorization, cookie");
    if status == StatusCode::UNAUTHORIZED {
        response.with("www-authenticate", "Bearer")
    } else {
        response
    }
}

/// A file of the page. Browsers ask again each time, because it changes with the component.
pub fn asset(media_type: &str, content: &'static str) -> Response {
    let content = Bytes::from_static(content.as_bytes());
    Response::new(StatusCode::OK, media_type, content).with("cache-control", "no-cache")
}

/// Plain text.
pub fn text(content: &'static str) -> Response {
    let content = Bytes::from_static(content.as_bytes());
    Response::new(StatusCode::OK, "text/plain; charset=utf-8", content)
        .with("cache-control", "no-store")
}

/// A redirect.
pub fn redirect(status: StatusCode, location: &str) -> Response {
    let content = Bytes::from_static(b"See the status page.\n");
    Response::new(status, "text/plain; charset=utf-8", content)
        .with("location", location)
        .with("cache-control", "no-store")
}
