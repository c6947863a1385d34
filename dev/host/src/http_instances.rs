//! Instances of HTTP components: how many requests each takes, and when it ends.
//!
//! The numbers are `spin up`'s defaults for WASI 0.3 (Spin: `crates/trigger-http/src/lib.rs`). An
//! instance of WASI 0.2 takes one request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};
use wasmtime::component::GuestTaskId;
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use crate::component::Component;
use crate::instance::{State, new_store};
use crate::measure;
use crate::service_chaining::Chaining;

/// Requests that an instance of WASI 0.3 takes in its life.
const MAX_REQUESTS: usize = 128;
/// Requests that an instance takes at the same time.
const MAX_CONCURRENT_REQUESTS: usize = 16;
/// How long an idle instance lives.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes the instances of one component.
pub(crate) struct Instances {
    pub engine: Engine,
    pub component: Arc<Component>,
    pub service: ProxyPre<State>,
    /// The other HTTP components, as soon as the server knows them.
    pub chaining: Option<Chaining>,
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = IdleTimeout;
    type WorkerState = RequestLimits;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, IdleTimeout, RequestLimits>> {
        let mut store = new_store(&self.component, &self.engine, self.chaining.clone())?;
        let proxy = self.service.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: IdleTimeout(Box::pin(sleep(IDLE_TIMEOUT))),
            state: RequestLimits {
                component: self.component.clone(),
                max_requests: match self.service {
                    ProxyPre::P2(_) => 1,
                    ProxyPre::P3(_) => MAX_REQUESTS,
                },
                requests: AtomicUsize::new(0),
            },
        })
    }
}

/// Ends an idle instance. An instance has no time limit while it handles a request, or runs what it
/// spawned before its response.
pub(crate) struct IdleTimeout(Pin<Box<Sleep>>);

impl WorkerExpiration for IdleTimeout {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        since: Instant,
    ) -> Poll<()> {
        match status {
            WorkerStatus::Requests | WorkerStatus::PostReturn => Poll::Pending,
            WorkerStatus::Idle => {
                let deadline = (since + IDLE_TIMEOUT).into();
                if self.0.deadline() != deadline {
                    self.0.as_mut().reset(deadline);
                }
                self.0.as_mut().poll(cx)
            }
        }
    }
}

/// Limits the requests of one instance, and counts them.
pub(crate) struct RequestLimits {
    component: Arc<Component>,
    max_requests: usize,
    requests: AtomicUsize,
}

impl WorkerState for RequestLimits {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.max_requests {
            ShouldAccept::Never
        } else if concurrent >= MAX_CONCURRENT_REQUESTS {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    /// A request has no time limit.
    fn on_request_start(
        &self,
        _: StoreContextMut<'_, State>,
        _: (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }

    fn drop(&self, store: Store<State>, result: wasmtime::Result<()>) {
        measure::log(&store, self.requests.load(Ordering::Relaxed));
        // This prints the unfinished line of the instance. The reason of its end comes after it.
        drop(store);
        if let Err(error) = result {
            self.component
                .log(format_args!("the instance failed: {error:#}"));
        }
    }
}
