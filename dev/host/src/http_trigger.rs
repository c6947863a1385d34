//! `[[trigger.http]]`: the HTTP server (Spin: `crates/trigger-http/src/server.rs`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use wasmtime_wasi_http::handler::ProxyHandler;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::http_instances::Instances;
use crate::routes::{Match, Routes};

/// The path of the health check, which Spin itself answers.
const HEALTH_CHECK: &str = "/.well-known/spin/health";

/// The HTTP server of an application.
pub(crate) struct HttpTrigger {
    listener: TcpListener,
    service: Arc<Service>,
}

struct Service {
    routes: Routes,
    /// The handler of each component, by its id.
    handlers: BTreeMap<String, ProxyHandler<Instances>>,
}

impl HttpTrigger {
    /// Binds `address`. Clients can connect from now on; [`Self::run`] responds to them.
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
    pub(crate) async fn bind(
        address: SocketAddr,
        routes: Routes,
        components: Vec<Instances>,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; choose another address with --listen")
        })?;
        let handlers = components
            .into_iter()
            .map(|instances| (instances.component.id.clone(), ProxyHandler::new(instances)));
        let handlers = handlers.collect();
        Ok(Self {
            listener,
            service: Arc::new(Service { routes, handlers }),
        })
    }

    /// The bound address, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// When the system does not know it.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Prints in Spin's words where it serves.
    ///
    /// # Errors
    /// As [`Self::address`].
    pub(crate) fn announce(&self) -> Result<()> {
        let url = format!("http://{}", self.address()?);
        println!("\nServing {url}\nAvailable Routes:");
        for trigger in self.service.routes.triggers() {
            let route = &trigger.route;
            match route.strip_suffix("/...") {
                Some(prefix) => println!("  {}: {url}{prefix} (wildcard)", trigger.component),
                None => println!("  {}: {url}{route}", trigger.component),
            }
        }
        Ok(())
    }

    /// Serves until the listener fails.
    ///
    /// # Errors
    /// When it does.
    pub(crate) async fn run(self) -> Result<()> {
        loop {
            let (stream, _) = self
                .listener
                .accept()
                .await
                .context("cannot accept connections")?;
            // As in Spin, without TCP_NODELAY: if the head of a response leaves before its body, the
            // body waits 40 ms for the client's delayed acknowledgement.
            tokio::spawn(connection(stream, self.service.clone()));
        }
    }
}

async fn connection(stream: TcpStream, service: Arc<Service>) {
    let respond = |request| {
        let service = service.clone();
        async move { Ok::<_, Error>(service.respond(request).await) }
    };
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(respond));
    // Usually, the client has hung up. Failures of components are logged where they happen.
    let _ = served.await;
}

impl Service {
    async fn respond(&self, request: Request<Incoming>) -> Response<WasiBody> {
        if request.uri().path() == HEALTH_CHECK {
            return plain(StatusCode::OK, "OK");
        }
        let path = request.uri().path().to_owned();
        let Some(found) = self.routes.find(&path) else {
            return plain(StatusCode::NOT_FOUND, "");
        };
        let component = found.component;
        let Some(request) = prepare(request, &found) else {
            return plain(
                StatusCode::BAD_REQUEST,
                "the Host header is missing or invalid",
            );
        };
        let handler = &self.handlers[component];
        match handler.handle((), request).await {
            Ok(response) => response,
            Err(error) => {
                let component = &handler.state().component;
                component.log(format_args!("no response for {path}: {error:#}"));
                plain(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
        }
    }
}

/// The request for the component: an absolute URL from the Host header, no Connection header, and
/// the route's named segments as headers. `None` without a valid Host header.
fn prepare(mut request: Request<Incoming>, found: &Match<'_>) -> Option<Request<WasiBody>> {
    let host = request.headers().get(header::HOST)?;
    let authority = Authority::try_from(host.as_bytes()).ok()?;
    let mut uri = request.uri().clone().into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(authority);
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    request.headers_mut().remove(header::CONNECTION);
    for (name, value) in &found.segments {
        let name = HeaderName::try_from(format!("spin-path-match-{}", name.to_ascii_lowercase()));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            request.headers_mut().insert(name, value);
        }
    }
    Some(request.map(|body| body.map_err(Error::from).boxed_unsync()))
}

fn plain(status: StatusCode, text: &'static str) -> Response<WasiBody> {
    let body = Full::new(Bytes::from_static(text.as_bytes()));
    let mut response = Response::new(body.map_err(Error::from).boxed_unsync());
    *response.status_mut() = status;
    response
}
