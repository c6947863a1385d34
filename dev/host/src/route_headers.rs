//! The headers about a request's route (Spin: `crates/trigger-http/src/headers.rs`).

use std::net::SocketAddr;

use http::{HeaderName, HeaderValue, Request, header};
use wasmtime_wasi_http::WasiBody;

use crate::routes::Match;

/// Adds the headers to a request, in place of the client's own headers of these names.
pub(crate) fn add(request: &mut Request<WasiBody>, found: &Match<'_>, client: SocketAddr) {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let path = request.uri().path_and_query().map_or("/", |it| it.as_str());
    let full_url = format!("http://{}{path}", host.unwrap_or("localhost"));
    let prefix = found.route.strip_suffix("/...").unwrap_or(found.route);
    let fixed = [
        ("spin-path-info", found.path_info.as_str()),
        ("spin-full-url", &full_url),
        ("spin-matched-route", found.route),
        ("spin-base-path", "/"),
        ("spin-raw-component-route", found.route),
        ("spin-component-route", prefix),
        ("spin-client-addr", &client.to_string()),
    ];
    let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let segments = found.segments.iter().map(|(name, value)| {
        let name = format!("spin-path-match-{}", name.to_ascii_lowercase());
        (name, value.clone())
    });
    for (name, value) in fixed.into_iter().chain(segments) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            request.headers_mut().insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};
    use wasmtime_wasi_http::Error;

    use super::*;

    fn headers(request: http::request::Builder, found: &Match<'_>) -> http::HeaderMap {
        let body = Empty::new().map_err(Error::from).boxed_unsync();
        let mut request = request.body(body).unwrap();
        add(&mut request, found, ([127, 0, 0, 1], 8777).into());
        request.into_parts().0.headers
    }

    #[test]
    fn a_request_has_spins_headers_about_its_route() {
        let found = Match {
            component: "articles",
            route: "/articles/:id/...",
            path_info: "/comments".to_owned(),
            segments: vec![("id".to_owned(), "7".to_owned())],
        };
        let request = Request::get("http://a.example/articles/7/comments?x=1")
            .header("host", "a.example")
            .header("spin-client-addr", "forged");
        let headers = headers(request, &found);
        for (name, value) in [
            ("spin-path-info", "/comments"),
            ("spin-full-url", "http://a.example/articles/7/comments?x=1"),
            ("spin-matched-route", "/articles/:id/..."),
            ("spin-base-path", "/"),
            ("spin-raw-component-route", "/articles/:id/..."),
            ("spin-component-route", "/articles/:id"),
            ("spin-client-addr", "127.0.0.1:8777"),
            ("spin-path-match-id", "7"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        assert_eq!(headers.get_all("spin-client-addr").iter().count(), 1);
    }

    #[test]
    fn without_a_host_header_the_full_url_is_on_localhost() {
        let found = Match::past_the_routes("refresh", "/refresh");
        let request = Request::post("http://refresh.spin.internal/refresh");
        let headers = headers(request, &found);
        assert_eq!(headers["spin-full-url"], "http://localhost/refresh");
        assert_eq!(headers["spin-matched-route"], "/...");
        assert_eq!(headers["spin-path-info"], "/refresh");
    }
}
