//! A running application.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Context, Error, Result, bail};
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use wasmtime::Engine;
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2, p3};

use crate::allow_list::AllowList;
use crate::bindings::{RedisComponentPre, RedisServicePre};
use crate::component::Component;
use crate::dials::Dials;
use crate::engine::engine;
use crate::http_instances::Instances;
use crate::http_trigger::HttpTrigger;
use crate::instance::State;
use crate::key_value::Backend;
use crate::linker::{self, Linked};
use crate::manifest::{self, Manifest};
use crate::options::Options;
use crate::redis_trigger::{Channels, Handler, RedisPre, RedisTrigger};
use crate::routes::Routes;
use crate::runtime_config;
use crate::variables::Variables;

/// An application that runs in this process. Dropping it stops the triggers. HTTP instances end
/// when they are idle.
///
/// It needs a multi-threaded Tokio runtime.
pub struct Host {
    /// Each trigger ends with the reason why the application cannot go on.
    triggers: JoinSet<Error>,
}

impl Host {
    /// Loads the application, compiles its components and starts all triggers.
    ///
    /// When it returns, the host accepts HTTP connections and has subscribed to the Redis channels.
    /// Standard output says so in Spin's words.
    ///
    /// # Errors
    /// When the manifest or a component needs what this host lacks, a required variable has no
    /// value, a component is not built, an address is taken, or Redis does not respond.
    pub fn start(options: Options) -> BoxFuture<'static, Result<Self>> {
        // The box keeps the code in this crate. Otherwise, every caller would compile it again.
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
            let components = application.http_components(&manifest)?;
            Some(HttpTrigger::bind(options.listen, routes, components).await?)
        };
        let mut redis = Vec::new();
        for (address, channels) in application.channels(&manifest, &variables)? {
            redis.push(RedisTrigger::subscribe(&address, channels).await?);
        }
        let mut host = Self {
            triggers: JoinSet::new(),
        };
        #[cfg(feature = "faults")]
        if let Some(address) = options.dials {
            let listener = tokio::net::TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot serve the dials on {address}"))?;
            host.spawn(crate::dials_server::serve(listener, dials));
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

    /// Waits until a trigger ends, which ends the application, and returns the reason.
    pub async fn ended(mut self) -> Error {
        match self.triggers.join_next().await {
            Some(Ok(reason)) => reason,
            Some(Err(panic)) => Error::new(panic).context("a trigger failed"),
            None => Error::msg("there was no trigger"),
        }
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
        let engine = engine(options.cache_dir.as_deref(), options.measure)?;
        let linker = linker::linker(&engine)?;
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
                allowed_hosts: AllowList::parse(
                    &described.allowed_outbound_hosts,
                    variables,
                    manifest.components.keys().map(String::as_str),
                )
                .context("allowed_outbound_hosts")?,
                key_value: key_value.clone(),
                dials: dials.clone(),
                measure: options.measure,
                quiet: options.quiet,
            };
            if let Some(reason) = component.allowed_hosts.fault() {
                component.log(format_args!("{reason}, so nothing is allowed"));
            }
            let linked = linker::link(&linker, &described.source)?;
            Ok((Arc::new(component), linked))
        };
        let mut components = HashMap::new();
        for (id, described) in &manifest.components {
            let loaded = load(id, described).with_context(|| format!("component {id:?}"))?;
            components.insert(id.clone(), loaded);
        }
        Ok(Self { engine, components })
    }

    fn http_components(&self, manifest: &Manifest) -> Result<Vec<Instances>> {
        let triggers = manifest.http_triggers.iter();
        let mut ids: Vec<_> = triggers.map(|trigger| &trigger.component).collect();
        ids.sort_unstable();
        ids.dedup();
        let components = ids.into_iter().map(|id| {
            let (component, linked) = &self.components[id];
            let service = http_service(linked)
                .with_context(|| format!("component {id:?} has a [[trigger.http]]"))?;
            Ok(Instances {
                engine: self.engine.clone(),
                component: component.clone(),
                service,
                chaining: None,
            })
        });
        components.collect()
    }

    /// The handlers of each channel, by server URL.
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
            let service = redis_service(linked)
                .with_context(|| format!("component {id:?} has a [[trigger.redis]]"))?;
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

/// The handler of an HTTP component. As in Spin, what a component exports tells its kind.
fn http_service(linked: &Linked) -> Result<ProxyPre<State>> {
    let wasi02 = p2::bindings::ProxyPre::new(linked.clone());
    let wasi03 = p3::bindings::ServicePre::new(linked.clone());
    match (wasi02, wasi03) {
        (Ok(wasi02), Err(_)) => Ok(ProxyPre::P2(wasi02)),
        (Err(_), Ok(wasi03)) => Ok(ProxyPre::P3(wasi03)),
        (Ok(_), Ok(_)) => bail!("it exports the HTTP handlers of WASI 0.2 and of WASI 0.3"),
        (Err(_), Err(_)) => bail!(
            "it is no HTTP component: it exports neither wasi:http/incoming-handler (WASI 0.2) nor \
             wasi:http/handler (WASI 0.3)"
        ),
    }
}

/// The handler of a component behind a Redis trigger.
fn redis_service(linked: &Linked) -> Result<RedisPre> {
    let wasi02 = RedisComponentPre::new(linked.clone());
    let wasi03 = RedisServicePre::new(linked.clone());
    match (wasi02, wasi03) {
        (Ok(wasi02), Err(_)) => Ok(RedisPre::Wasi02(wasi02)),
        (Err(_), Ok(wasi03)) => Ok(RedisPre::Wasi03(wasi03)),
        (Ok(_), Ok(_)) => bail!("it exports the handlers of fermyon:spin and of spin:redis 3"),
        (Err(_), Err(_)) => bail!(
            "it exports neither fermyon:spin/inbound-redis (WASI 0.2) nor \
             spin:redis/inbound-redis 3 (WASI 0.3)"
        ),
    }
}
