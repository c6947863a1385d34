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

use crate::http_worker::Workers;
use crate::routes::{Match, Routes};

/// Where Spin answers a health check by itself.
const HEALTH: &str = "/.well-known/spin/health";

/// The HTTP server of an application.
pub(crate) struct HttpTrigger {
    listener: TcpListener,
    tcp_nodelay: bool,
    service: Arc<Service>,
}

struct Service {
    routes: Routes,
    /// Each component's workers, by its id.
    handlers: BTreeMap<String, ProxyHandler<Workers>>,
}

impl HttpTrigger {
    /// Binds `address`, so that clients can connect from here on; they are answered once [`Self::run`] runs.
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
    pub(crate) async fn bind(
        address: SocketAddr,
        tcp_nodelay: bool,
        routes: Routes,
        workers: Vec<Workers>,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; choose another address with --listen")
        })?;
        let handlers = workers
            .into_iter()
            .map(|workers| (workers.component.id.clone(), ProxyHandler::new(workers)));
        let handlers = handlers.collect();
        Ok(Self {
            listener,
            tcp_nodelay,
            service: Arc::new(Service { routes, handlers }),
        })
    }

    /// The address bound, with the port that the system chose if none was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Says, in Spin's words, where the application is served.
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
            if self.tcp_nodelay {
                // It fails only on a connection that is gone already.
                let _ = stream.set_nodelay(true);
            }
            tokio::spawn(connection(stream, self.service.clone()));
        }
    }
}

async fn connection(stream: TcpStream, service: Arc<Service>) {
    let answer = |request| {
        let service = service.clone();
        async move { Ok::<_, Error>(service.answer(request).await) }
    };
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
    // The client is told nothing and has mostly hung up; what a component did wrong is logged where it happens.
    let _ = served.await;
}

impl Service {
    async fn answer(&self, request: Request<Incoming>) -> Response<WasiBody> {
        if request.uri().path() == HEALTH {
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

/// The request as the component sees it: with an absolute URL made from the Host header, without Connection, and with
/// the route's named segments in headers. None if the Host header is missing or invalid.
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
