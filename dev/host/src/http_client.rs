//! `wasi:http/client`: requests from components (Spin: `crates/factor-outbound-http`).
//!
//! Unlike Spin's, each request has a connection of its own: wasmtime-wasi-http's sender keeps none.

use std::sync::Arc;

use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::component::Component;
use crate::dials::Call;

/// Sends what a component sends, if its allow-list lets it.
pub(crate) struct HttpClient(pub(crate) Arc<Component>);

/// What becomes of the connection after the head of the response.
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
            // Spin gives this error for a spoilt allow-list too.
            if component.may_connect(&request.uri().to_string()) != Ok(true) {
                return Err(Error::HttpRequestDenied);
            }
            let carry_out = async {
                let (response, connection) = default_send_request(request, options).await?;
                let connection: Connection = Box::new(connection);
                Ok((response.map(BodyExt::boxed_unsync), connection))
            };
            let refused = || Error::ConnectionRefused;
            component
                .dials
                .around(Call::HttpSend, refused, carry_out)
                .await
        })
    }
}
