//! The state of one instance of a component.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::component::Component;
use crate::http_client::HttpClient;
use crate::measure::{self, PeakMemory};
use crate::service_chaining::Chaining;
use crate::stdio::Lines;

/// The state behind every function that an instance imports.
pub(crate) struct State {
    pub component: Arc<Component>,
    /// Its open stores, connections, bodies and so on.
    pub table: ResourceTable,
    pub peak_memory: PeakMemory,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    http_client: HttpClient,
}

/// Makes a store for a new instance of `component`. Only HTTP components have service chaining.
///
/// # Errors
/// When the component is measured and the engine does not count fuel.
pub(crate) fn new_store(
    component: &Arc<Component>,
    engine: &Engine,
    chaining: Option<Chaining>,
) -> wasmtime::Result<Store<State>> {
    let mut wasi = WasiCtx::builder();
    if !component.quiet {
        wasi.stdout(Lines::new(&component.id));
        wasi.stderr(Lines::new(&component.id));
    }
    let state = State {
        component: component.clone(),
        table: ResourceTable::new(),
        peak_memory: PeakMemory::default(),
        wasi: wasi.build(),
        http: WasiHttpCtx::new(),
        http_client: HttpClient {
            component: component.clone(),
            chaining,
        },
    };
    let mut store = Store::new(engine, state);
    if component.measure {
        measure::begin(&mut store)?;
    }
    Ok(store)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.http_client,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
