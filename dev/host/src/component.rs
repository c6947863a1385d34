//! A component ready to run, and the state of one instance of it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Error, Result};
use wasmtime::component::{self as wasm, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::allow_list::AllowList;
use crate::bindings::spin;
use crate::dials::Dials;
use crate::http_client::HttpClient;
use crate::key_value::Backend;
use crate::stdio::Lines;

/// What all instances of a component share.
pub(crate) struct Component {
    pub id: String,
    /// What `spin:variables` gives, by name.
    pub variables: HashMap<String, String>,
    /// The labels that `spin:key-value` opens.
    pub key_value_stores: Vec<String>,
    pub allowed_hosts: AllowList,
    pub key_value: Arc<Backend>,
    pub dials: Dials,
    /// Whether what the component prints is dropped.
    pub quiet: bool,
}

impl Component {
    /// Says on standard error what went wrong in this component.
    pub(crate) fn log(&self, what: impl std::fmt::Display) {
        eprintln!("{}: {what}", self.id);
    }

    /// Whether the component may connect to `url`; a refusal is logged, without the URL's credentials and path.
    ///
    /// # Errors
    /// When a bad entry spoils the allow-list; the text names the entry.
    pub(crate) fn may_connect(&self, url: &str) -> Result<bool, &str> {
        let allowed = self.allowed_hosts.allows(url)?;
        if !allowed {
            let address = url::Url::parse(url).ok().and_then(|url| {
                let port = url.port().map(|port| format!(":{port}"));
                Some(format!(
                    "{}://{}{}",
                    url.scheme(),
                    url.host_str()?,
                    port.unwrap_or_default()
                ))
            });
            self.log(format_args!(
                "not connecting to {}: its allowed_outbound_hosts does not list it",
                address.as_deref().unwrap_or("an address that is no URL")
            ));
        }
        Ok(allowed)
    }

    /// The state of a new instance.
    pub(crate) fn store(self: &Arc<Self>, engine: &Engine) -> Store<State> {
        let mut wasi = WasiCtx::builder();
        if !self.quiet {
            wasi.stdout(Lines::new(&self.id));
            wasi.stderr(Lines::new(&self.id));
        }
        let state = State {
            component: self.clone(),
            table: ResourceTable::new(),
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            http_client: HttpClient(self.clone()),
        };
        Store::new(engine, state)
    }
}

/// The state of one instance, behind every function that it imports.
pub(crate) struct State {
    pub component: Arc<Component>,
    /// The open stores, connections, bodies and so on.
    pub table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    http_client: HttpClient,
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

/// A compiled component with all its imports found, but those of the trigger's world not yet looked up.
pub(crate) type Linked = wasm::InstancePre<State>;

/// A linker with everything that a component may import.
///
/// # Errors
/// When two interfaces define the same name, which is a fault in this crate.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    // Rust's standard library on wasm32-wasip2 imports WASI 0.2, spin-sdk 7 imports 0.3.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    spin::key_value::key_value::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    spin::redis::redis::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    spin::variables::variables::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// Compiles the component at `source`, or finds it in the engine's cache, and looks its imports up.
///
/// # Errors
/// When the file cannot be read or is no component, or when it imports what this host does not offer; the error names
/// the import.
pub(crate) fn link(linker: &Linker<State>, source: &Path) -> Result<Linked> {
    let bytes = std::fs::read(source).with_context(|| {
        format!(
            "cannot read its source {}; has it been built?",
            source.display()
        )
    })?;
    let component = wasm::Component::from_binary(linker.engine(), &bytes)
        .map_err(Error::from)
        .with_context(|| format!("{} is no WebAssembly component", source.display()))?;
    linker
        .instantiate_pre(&component)
        .map_err(Error::from)
        .context("the embedded host does not offer what it imports")
}
