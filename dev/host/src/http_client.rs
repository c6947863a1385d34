//! `wasi:http/client`, and `wasi:http/outgoing-handler` of WASI 0.2 (Spin:
//! `crates/factor-outbound-http`).
//!
//! Unlike Spin's client, it opens a connection per request, because wasmtime-wasi-http's sender
//! keeps none.

use std::sync::Arc;

use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::call::Call;
use crate::component::Component;
use crate::service_chaining::{self, Chaining};

/// Sends the requests of a component that its allow-list permits.
pub(crate) struct HttpClient {
    pub component: Arc<Component>,
    /// The components that it can send requests to. A component with a Redis trigger has none, so
    /// that its request to one fails at the look-up of the name.
    pub chaining: Option<Chaining>,
}

/// Runs the connection after the head of the response.
type Connection = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for HttpClient {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _guest_error: Connection,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Connection), Error>> + Send>
    {
        let (component, chaining) = (self.component.clone(), self.chaining.clone());
        Box::new(async move {
            // As in Spin, an invalid allow-list causes the same error.
            if component.may_connect(&request.uri().to_string()) != Ok(true) {
                return Err(Error::HttpRequestDenied);
            }
            let target = service_chaining::target(request.uri()).map(str::to_owned);
            let make_call = async {
                if let (Some(id), Some(chaining)) = (target, chaining) {
                    return chain(&component, &chaining, id, request).await;
                }
                let (response, connection) = default_send_request(request, options).await?;
                let connection: Connection = Box::new(connection);
                Ok((response.map(BodyExt::boxed_unsync), connection))
            };
            let refused = || Error::ConnectionRefused;
            component
                .dials
                .around(Call::HttpSend, refused, make_call)
                .await
        })
    }
}

/// Passes a request to another component of the application. As in Spin, it has no time limit.
///
/// Unlike Spin, it does not trap if there is no such component: wasmtime-wasi-http's hook cannot.
async fn chain(
    component: &Component,
    chaining: &Chaining,
    id: String,
    request: http::Request<WasiBody>,
) -> Result<(http::Response<WasiBody>, Connection), Error> {
    let Some(components) = chaining.upgrade() else {
        return Err(Error::ConnectionRefused);
    };
    let response = components.respond(id, request).await.inspect_err(|error| {
        component.log(format_args!("service chaining: {error}"));
    })?;
    let connection: Connection = Box::new(std::future::ready(Ok(())));
    Ok((response, connection))
}
