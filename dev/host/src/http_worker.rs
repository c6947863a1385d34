//! Instances of HTTP components: how many requests each takes, and when it is done with.
//!
//! The numbers are the defaults of `spin up` for WASI 0.3 components (Spin: `crates/trigger-http/src/lib.rs`).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};
use wasmtime::component::GuestTaskId;
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::component::{Component, State};

/// Requests that an instance takes in its life.
const MAX_REQUESTS: usize = 128;
/// Requests that an instance takes at once.
const MAX_CONCURRENT_REQUESTS: usize = 16;
/// How long an instance without work waits for more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes the instances of one component.
pub(crate) struct Workers {
    pub engine: Engine,
    pub component: Arc<Component>,
    pub service: ServicePre<State>,
}

impl HandlerState for Workers {
    type StoreData = State;
    type WorkerExpiration = Idleness;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Idleness, Worker>> {
        let mut store = self.component.store(&self.engine);
        let service = self.service.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy: Proxy::P3(service),
            view: State::http,
            expiration: Idleness(Box::pin(sleep(IDLE_TIMEOUT))),
            state: Worker(self.component.clone()),
        })
    }
}

/// Ends an instance that has been idle for too long. One that works on a request, or on what it spawned before it
/// answered, has no time limit.
pub(crate) struct Idleness(Pin<Box<Sleep>>);

impl WorkerExpiration for Idleness {
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

/// One instance.
pub(crate) struct Worker(Arc<Component>);

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= MAX_REQUESTS {
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
        Box::pin(std::future::pending())
    }

    fn drop(&self, store: Store<State>, result: wasmtime::Result<()>) {
        // First what the instance printed in mid-line, then why it ended.
        drop(store);
        if let Err(error) = result {
            self.0.log(format_args!("the instance failed: {error:#}"));
        }
    }
}
