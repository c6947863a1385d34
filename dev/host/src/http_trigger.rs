//! `[[trigger.http]]`: the HTTP server (Spin: `crates/trigger-http/src/server.rs`).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use wasmtime_wasi_http::handler::ProxyHandler;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::http_instances::Instances;
use crate::route_headers;
use crate::routes::{Match, Routes};
use crate::service_chaining::{HttpComponents, SUFFIX};

/// The path of the health check, which Spin itself answers.
const HEALTH_CHECK: &str = "/.well-known/spin/health";

/// The client of a request from a component of the application itself.
const CHAINED_CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

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
        let service = Arc::new_cyclic(|service: &Weak<Service>| {
            let handlers = components.into_iter().map(|mut instances| {
                instances.chaining = Some(service.clone());
                (instances.component.id.clone(), ProxyHandler::new(instances))
            });
            let handlers = handlers.collect();
            Service { routes, handlers }
        });
        Ok(Self { listener, service })
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
            let (stream, client) = self
                .listener
                .accept()
                .await
                .context("cannot accept connections")?;
            // As in Spin, without TCP_NODELAY: if the head of a response leaves before its body,
            // the body waits 40 ms for the client's delayed acknowledgement.
            tokio::spawn(connection(stream, client, self.service.clone()));
        }
    }
}

async fn connection(stream: TcpStream, client: SocketAddr, service: Arc<Service>) {
    let respond = |request| {
        let service = service.clone();
        async move { Ok::<_, Error>(service.respond_to(request, client).await) }
    };
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(respond));
    // Usually, the client has hung up. Failures of components are logged where they happen.
    let _ = served.await;
}

impl Service {
    async fn respond_to(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> Response<WasiBody> {
        if request.uri().path() == HEALTH_CHECK {
            return plain(StatusCode::OK, "OK");
        }
        let path = request.uri().path().to_owned();
        let Some(found) = self.routes.find(&path) else {
            return plain(StatusCode::NOT_FOUND, "");
        };
        let Some(request) = prepare(request) else {
            return plain(
                StatusCode::BAD_REQUEST,
                "the Host header is missing or invalid",
            );
        };
        self.run(&self.handlers[found.component], &found, request, client)
            .await
    }

    /// Runs the matched component.
    async fn run(
        &self,
        handler: &ProxyHandler<Instances>,
        found: &Match<'_>,
        mut request: Request<WasiBody>,
        client: SocketAddr,
    ) -> Response<WasiBody> {
        route_headers::add(&mut request, found, client);
        let path = request.uri().path().to_owned();
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

impl HttpComponents for Service {
    fn respond(
        self: Arc<Self>,
        id: String,
        mut request: Request<WasiBody>,
    ) -> BoxFuture<'static, Result<Response<WasiBody>, Error>> {
        Box::pin(async move {
            let Some(handler) = self.handlers.get(&id) else {
                let why = format!("no HTTP component {id:?} runs here");
                return Err(Error::InternalError(Some(why)));
            };
            request.headers_mut().remove(header::HOST);
            let path = request.uri().path().to_owned();
            let found = Match::past_the_routes(&id, &path);
            Ok(self.run(handler, &found, request, CHAINED_CLIENT).await)
        })
    }
}

/// The request for the component: an absolute URL from the Host header, and no Connection header.
/// `None` without a valid Host header. As in Spin, a component's internal name is not valid.
fn prepare(mut request: Request<Incoming>) -> Option<Request<WasiBody>> {
    let host = request.headers().get(header::HOST)?;
    let authority = Authority::try_from(host.as_bytes()).ok()?;
    if authority.host().ends_with(SUFFIX) {
        return None;
    }
    let mut uri = request.uri().clone().into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(authority);
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    request.headers_mut().remove(header::CONNECTION);
    Some(request.map(|body| body.map_err(Error::from).boxed_unsync()))
}

fn plain(status: StatusCode, text: &'static str) -> Response<WasiBody> {
    let body = Full::new(Bytes::from_static(text.as_bytes()));
    let mut response = Response::new(body.map_err(Error::from).boxed_unsync());
    *response.status_mut() = status;
    response
}
