//! Service chaining: an HTTP component's request to `http://<component>.spin.internal` goes to that
//! component of the application, past the routes (Spin: `crates/trigger-http/src/outbound_http.rs`).

use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use wasmtime_wasi_http::{Error, WasiBody};

/// The end of the host names of components.
pub(crate) const SUFFIX: &str = ".spin.internal";

/// The HTTP components of an application.
pub(crate) trait HttpComponents: Send + Sync {
    /// Passes a request to the component `id`.
    ///
    /// # Errors
    /// When there is no such component, or it has no `[[trigger.http]]`.
    fn respond(
        self: Arc<Self>,
        id: String,
        request: Request<WasiBody>,
    ) -> BoxFuture<'static, Result<Response<WasiBody>, Error>>;
}

/// What an HTTP component can send requests to. It is gone when the application has ended.
pub(crate) type Chaining = Weak<dyn HttpComponents>;

/// The component that a request to `uri` is for: `refresh` for `http://refresh.spin.internal/x`.
pub(crate) fn target(uri: &Uri) -> Option<&str> {
    uri.host()?
        .strip_suffix(SUFFIX)
        .filter(|component| !component.contains('.'))
}

/// The component that an item of `allowed_outbound_hosts` names, or `*`. As in Spin, an item with a
/// variable is not looked at.
pub(crate) fn target_of_item(item: &str) -> Option<String> {
    let uri: Uri = item.trim().parse().ok()?;
    target(&uri).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_with_one_label_before_the_suffix_names_a_component() {
        for (uri, component) in [
            (
                "http://refresh-http.spin.internal/refresh",
                Some("refresh-http"),
            ),
            (
                "http://refresh-http.spin.internal:8080/",
                Some("refresh-http"),
            ),
            ("http://a.b.spin.internal/", None),
            ("http://spin.internal/", None),
            ("http://refresh.spin.internal.example/", None),
            ("/refresh", None),
        ] {
            assert_eq!(target(&uri.parse().unwrap()), component, "{uri}");
        }
    }

    #[test]
    fn an_item_with_a_variable_names_no_component() {
        for (item, component) in [
            ("http://refresh.spin.internal", Some("refresh")),
            ("http://*.spin.internal", Some("*")),
            ("{{ refresh_url }}", None),
            ("http://{{ name }}.spin.internal", None),
        ] {
            assert_eq!(target_of_item(item).as_deref(), component, "{item}");
        }
    }
}
