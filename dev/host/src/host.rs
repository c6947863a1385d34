//! A running application.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Error, Result};
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use wasmtime::Engine;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::allow_list::AllowList;
use crate::bindings::RedisServicePre;
use crate::component::{self, Component, Linked};
use crate::dials::Dials;
use crate::dials_server;
use crate::engine::engine;
use crate::http_trigger::HttpTrigger;
use crate::http_worker::Workers;
use crate::key_value::Backend;
use crate::manifest::{self, Manifest};
use crate::options::Options;
use crate::redis_trigger::{Channels, Handler, RedisTrigger};
use crate::routes::Routes;
use crate::runtime_config;
use crate::variables::Variables;

/// An application that runs in this process. Dropping it stops the triggers; HTTP instances end when they are idle.
///
/// It needs a multi-threaded Tokio runtime.
pub struct Host {
    http_address: Option<SocketAddr>,
    dials_address: Option<SocketAddr>,
    dials: Dials,
    /// Each ends with the reason why the application cannot go on.
    triggers: JoinSet<Error>,
}

impl Host {
    /// Loads the application, compiles its components and starts all their triggers. When it returns, HTTP connections
    /// are accepted and the Redis channels are subscribed to, and standard output says so in Spin's words.
    ///
    /// # Errors
    /// When the manifest or a component asks for what this host does not implement, a required variable has no value,
    /// a component is not built, an address is taken, or Redis does not answer.
    pub fn start(options: Options) -> BoxFuture<'static, Result<Self>> {
        // Boxed here, all this is compiled once, in this crate; else every program that awaits it would compile it anew.
        Box::pin(Self::start_all(options))
    }

    async fn start_all(options: Options) -> Result<Self> {
        let mut manifest = Manifest::load(&options.from)?;
        let variables = Variables::resolve(&manifest.variables, &options.variables, |name| {
            std::env::var(name)
        })?;
        manifest.select(&options.components)?;
        let dials = Dials::default();
        let application = Application::load(&manifest, &variables, &options, &dials)?;

        let http = if manifest.http_triggers.is_empty() {
            None
        } else {
            let routes = Routes::new(manifest.http_triggers.clone())?;
            let workers = application.workers(&manifest)?;
            Some(HttpTrigger::bind(options.listen, options.tcp_nodelay, routes, workers).await?)
        };
        let mut redis = Vec::new();
        for (address, channels) in application.channels(&manifest, &variables)? {
            redis.push(RedisTrigger::subscribe(&address, channels).await?);
        }
        let mut host = Self {
            http_address: http.as_ref().map(HttpTrigger::address).transpose()?,
            dials_address: None,
            dials,
            triggers: JoinSet::new(),
        };
        if let Some(address) = options.dials {
            host.serve_dials(address).await?;
        }
        if let Some(http) = http {
            http.announce()?;
            host.spawn(http.run());
        }
        for trigger in redis {
            trigger.announce();
            host.triggers.spawn(trigger.run());
        }
        Ok(host)
    }

    /// The address that HTTP is served on; none without HTTP triggers.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// The address that the fault dials are served on; none unless [`Options::dials`] asked for it.
    pub fn dials_address(&self) -> Option<SocketAddr> {
        self.dials_address
    }

    /// The fault dials. A [`Death`](crate::Death) set here aborts this very process.
    pub fn dials(&self) -> &Dials {
        &self.dials
    }

    /// Waits until a trigger ends, which ends the application, and returns why it did.
    pub async fn ended(mut self) -> Error {
        match self.triggers.join_next().await {
            Some(Ok(reason)) => reason,
            Some(Err(panic)) => Error::new(panic).context("a trigger failed"),
            None => Error::msg("there was no trigger"),
        }
    }

    async fn serve_dials(&mut self, address: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot serve the dials on {address}"))?;
        let address = listener.local_addr()?;
        println!("Dials on http://{address}/dials");
        self.dials_address = Some(address);
        let dials = self.dials.clone();
        self.spawn(dials_server::serve(listener, dials));
        Ok(())
    }

    fn spawn(&mut self, server: impl Future<Output = Result<()>> + Send + 'static) {
        self.triggers.spawn(async {
            match server.await {
                Ok(()) => Error::msg("a listener was closed"),
                Err(error) => error,
            }
        });
    }
}

/// The selected components, compiled and configured.
struct Application {
    engine: Engine,
    components: HashMap<String, (Arc<Component>, Linked)>,
}

impl Application {
    fn load(
        manifest: &Manifest,
        variables: &Variables,
        options: &Options,
        dials: &Dials,
    ) -> Result<Self> {
        let engine = engine(options.cache_dir.as_deref())?;
        let linker = component::linker(&engine)?;
        let state_dir = options
            .state_dir
            .clone()
            .unwrap_or_else(|| manifest::folder(&options.from).join(".spin"));
        let runtime_config_file = options.runtime_config_file.as_deref();
        let configured = runtime_config_file.map(runtime_config::load).transpose()?;
        let key_value = Arc::new(Backend::new(configured.flatten(), &state_dir)?);

        let load = |id: &str, described: &manifest::Component| -> Result<_> {
            let component = Component {
                id: id.to_owned(),
                variables: variables.of_component(&described.variables)?,
                key_value_stores: described.key_value_stores.clone(),
                allowed_hosts: AllowList::parse(&described.allowed_outbound_hosts, variables)
                    .context("allowed_outbound_hosts")?,
                key_value: key_value.clone(),
                dials: dials.clone(),
                quiet: options.quiet,
            };
            if let Some(reason) = component.allowed_hosts.spoilt() {
                component.log(format_args!("{reason}, so nothing is allowed"));
            }
            let linked = component::link(&linker, &described.source)?;
            Ok((Arc::new(component), linked))
        };
        let mut components = HashMap::new();
        for (id, described) in &manifest.components {
            let loaded = load(id, described).with_context(|| format!("component {id:?}"))?;
            components.insert(id.clone(), loaded);
        }
        Ok(Self { engine, components })
    }

    fn workers(&self, manifest: &Manifest) -> Result<Vec<Workers>> {
        let triggers = manifest.http_triggers.iter();
        let mut ids: Vec<_> = triggers.map(|trigger| &trigger.component).collect();
        ids.sort_unstable();
        ids.dedup();
        let workers = ids.into_iter().map(|id| {
            let (component, linked) = &self.components[id];
            let service = ServicePre::new(linked.clone()).map_err(Error::from);
            let service = service.with_context(|| {
                format!(
                    "component {id:?} has a [[trigger.http]], but is no HTTP component of WASI 0.3"
                )
            })?;
            Ok(Workers {
                engine: self.engine.clone(),
                component: component.clone(),
                service,
            })
        });
        workers.collect()
    }

    /// The handlers of each channel, by the server's URL.
    fn channels(
        &self,
        manifest: &Manifest,
        variables: &Variables,
    ) -> Result<BTreeMap<String, Channels>> {
        let mut servers: BTreeMap<String, Channels> = BTreeMap::new();
        for trigger in &manifest.redis_triggers {
            let id = &trigger.component;
            let place = || format!("the [[trigger.redis]] of component {id:?}");
            let address = variables.fill(&trigger.address).with_context(place)?;
            let channel = variables.fill(&trigger.channel).with_context(place)?;
            let (component, linked) = &self.components[id];
            let service = RedisServicePre::new(linked.clone()).map_err(Error::from);
            let service = service.with_context(|| {
                format!("component {id:?} has a [[trigger.redis]], but is no Redis component of spin:redis 3.0")
            })?;
            let channels = servers.entry(address).or_default();
            channels.entry(channel).or_default().push(Handler {
                engine: self.engine.clone(),
                component: component.clone(),
                service,
            });
        }
        Ok(servers)
    }
}
