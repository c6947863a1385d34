//! `wasi:http/client` (Spin: `crates/factor-outbound-http`).
//!
//! Unlike Spin's client, it opens a connection per request, because wasmtime-wasi-http's sender
//! keeps none.

use std::sync::Arc;

use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::call::Call;
use crate::component::Component;

/// Sends the requests of a component that its allow-list permits.
pub(crate) struct HttpClient(pub(crate) Arc<Component>);

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
        let component = self.0.clone();
        Box::new(async move {
            // As in Spin, an invalid allow-list causes the same error.
            if component.may_connect(&request.uri().to_string()) != Ok(true) {
                return Err(Error::HttpRequestDenied);
            }
            let make_call = async {
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
