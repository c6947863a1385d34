//! The running application.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use afterword_stack::{App, Port, Process, Redis, eventually, http_answers, on_free_port};
use afterword_supabase::{Supabase, Webhook};
use anyhow::{Result, ensure};

use crate::environment::{real_postgrest, redis_program};
use crate::log::Log;
use crate::manifest::{Manifest, Worker};
use crate::setup::{Setup, readable_columns};
use crate::status::ADMIN_TOKEN;

/// The webhook secret of every scenario.
pub const SECRET: &str = "the-scenarios-secret";

/// The components of the HTTP side.
const HTTP_COMPONENTS: [&str; 3] = ["articles", "revalidate", "status"];

/// How long a scenario waits for something: far longer than it takes on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The running application, its Redis and its origin. They end when it is dropped.
pub struct Afterword {
    /// The origin. `None` while it is [stopped](Self::stop_origin).
    pub supabase: Option<Supabase>,
    /// The Redis of the work queue.
    pub redis: Redis,
    http: Process,
    workers: Vec<Worker>,
    pub(crate) logs: Log,
    manifest: Manifest,
    /// The process of the HTTP side.
    pub(crate) app: App,
    /// Whether the first worker has dials.
    dials: bool,
    pub(crate) worker_dials: Option<SocketAddr>,
    origin: afterword_supabase::Options,
    url: String,
    pub(crate) client: reqwest::Client,
    /// The port of the first worker, if its trigger is HTTP.
    worker_port: Port,
    /// The ports of servers that may be away for a while, so that no other program takes them.
    ports: Vec<Port>,
    // Last, because they must outlive the processes that use them.
    pub(crate) store: Option<Redis>,
    _dir: tempfile::TempDir,
}

impl Setup {
    /// Starts everything; returns when the application responds and the worker has reconciled.
    ///
    /// # Panics
    /// Something does not start. Prints its output.
    pub async fn start(self) -> Afterword {
        Afterword::start(self)
            .await
            .unwrap_or_else(|error| panic!("{error:#}"))
    }
}

impl Afterword {
    async fn start(setup: Setup) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let redis_args: Vec<&str> = setup.redis_args.iter().map(String::as_str).collect();
        let redis = Redis::start(&redis_program(), &dir.path().join("redis"), &redis_args).await?;
        let redis_url = match setup.redis_user {
            Some(user) => redis.url().replace("://", &format!("://{user}@")),
            None => redis.url(),
        };

        let store = if setup.shared_store {
            Some(Redis::start(&redis_program(), &dir.path().join("store"), &[]).await?)
        } else {
            None
        };
        let store_url = setup.store_url.or(store.as_ref().map(Redis::url));
        let runtime_config = store_url.map(|url| {
            let text = format!("[key_value_store.default]\ntype = \"redis\"\nurl = {url:?}\n");
            let file = dir.path().join("runtime-config.toml");
            std::fs::write(&file, text).map(|()| file)
        });

        let mut origin = setup.supabase;
        origin.upstream = real_postgrest(origin.row_cap);
        let variables = match origin.upstream {
            Some(_) => readable_columns(setup.variables),
            None => setup.variables,
        };
        origin.database = Some(dir.path().join("supabase.db"));
        let (origin_port, supabase) = on_free_port(async |address| {
            origin.listen = address;
            Supabase::start(origin.clone()).await
        })
        .await?;

        let own = [
            ("supabase_url", supabase.url()),
            ("supabase_anon_key", supabase.anon_key().to_owned()),
            ("webhook_secret", SECRET.to_owned()),
            ("admin_token", ADMIN_TOKEN.to_owned()),
            ("redis_url", redis_url),
            ("redis_address", redis.url()),
        ];
        // The HTTP side needs the address before the worker is started.
        let worker_port = Port::free();
        let worker = (!setup.one_process).then(|| worker_port.address());
        let mut app = App {
            manifest: setup.manifest.path()?,
            components: if setup.one_process {
                Vec::new()
            } else {
                HTTP_COMPONENTS.map(str::to_owned).to_vec()
            },
            state_dir: dir.path().join("state"),
            variables: own
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .chain(setup.manifest.variables(worker))
                .chain(variables)
                .collect(),
            runtime_config: runtime_config.transpose()?,
            authorities: setup.authorities,
            measure: setup.measure,
            ..App::default()
        };
        std::fs::create_dir_all(&app.state_dir)?;
        let logs = Log::default();
        let (http_port, (dials_port, http)) = on_free_port(async |address| {
            let dials = Port::free();
            app.listen = Some(address);
            app.dials = setup.dials.then(|| dials.address());
            if setup.one_process
                && let Some((name, url)) = setup.manifest.own_url(address)
            {
                app.variables.entry(name).or_insert(url);
            }
            Ok((dials, serve_articles(&logs, "http", &app, address).await?))
        })
        .await?;
        let url = format!("http://{}", http_port.address());
        origin.webhook = setup
            .webhook
            .then(|| Webhook::bearer(format!("{url}/revalidate"), SECRET));
        supabase.set_webhook(origin.webhook.as_ref())?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let mut afterword = Self {
            supabase: Some(supabase),
            redis,
            http,
            workers: Vec::new(),
            logs,
            manifest: setup.manifest,
            app,
            dials: setup.dials,
            worker_dials: None,
            origin,
            url,
            client,
            worker_port,
            ports: vec![origin_port, http_port, dials_port],
            store,
            _dir: dir,
        };
        if setup.worker {
            afterword.start_worker().await?;
            afterword.wait_until_reconciled().await?;
        }
        afterword.supabase().clear_requests();
        Ok(afterword)
    }

    /// Starts another worker; returns when it can be woken.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_worker(&mut self) -> Result<()> {
        let is_first = self.workers.is_empty();
        let with_dials = self.dials && is_first;
        let (port, worker) = on_free_port(async |address| {
            let app = App {
                dials: with_dials.then_some(address),
                ..self.app.clone()
            };
            let address = if is_first {
                self.worker_port.address()
            } else {
                address
            };
            let others = self.workers.len();
            self.manifest
                .start_worker(&self.logs, "worker", &app, address, &self.redis, others)
                .await
        })
        .await?;
        self.workers.push(worker);
        if with_dials {
            self.worker_dials = Some(port.address());
        }
        self.ports.push(port);
        Ok(())
    }

    /// Wakes a worker.
    ///
    /// # Panics
    /// There is none.
    pub async fn wake_worker(&self) {
        let address = self.worker_port.address();
        let woken = self.manifest.wake(&self.app, address, &self.redis).await;
        woken.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Whether a worker that has lost its connection to Redis ends.
    pub fn workers_end_with_redis(&self) -> bool {
        self.manifest.workers_end_with_redis()
    }

    /// Starts another replica, with all components in one process (under Spin, with a child for
    /// each trigger). Returns its base URL.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_replica(&mut self) -> Result<String> {
        let (port, replica) = on_free_port(async |address| {
            let mut app = App {
                components: Vec::new(),
                listen: Some(address),
                dials: None,
                ..self.app.clone()
            };
            // It calls its own worker.
            app.variables.remove("refresh_url");
            app.variables.extend(self.manifest.own_url(address));
            let process = serve_articles(&self.logs, "replica", &app, address).await?;
            let others = self.workers.len();
            self.manifest
                .with_trigger(process, &app, address, &self.redis, others)
                .await
        })
        .await?;
        let url = format!("http://{}", port.address());
        self.ports.push(port);
        self.workers.push(replica);
        Ok(url)
    }

    /// Starts another application on the same Redis, with its own rows, store and processes;
    /// returns when it serves.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_other_application(
        &self,
        variables: &[(&str, &str)],
    ) -> Result<OtherApplication> {
        let dir = tempfile::tempdir()?;
        let mut origin = self.origin.clone();
        origin.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        (origin.database, origin.webhook) = (None, None);
        let supabase = Supabase::start(origin).await?;
        let mut app = App {
            state_dir: dir.path().to_owned(),
            dials: None,
            ..self.app.clone()
        };
        let worker_port = Port::free();
        let own = [("supabase_url".to_owned(), supabase.url())];
        let given = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let worker_address = worker_port.address();
        app.variables.extend(own.into_iter().chain(given));
        app.variables
            .extend(self.manifest.variables(Some(worker_address)));
        let (port, http) = on_free_port(async |address| {
            app.listen = Some(address);
            serve_articles(&self.logs, "the other application's http", &app, address).await
        })
        .await?;
        let name = "the other application's worker";
        let others = if app.variables.get("redis_prefix") == self.app.variables.get("redis_prefix")
        {
            self.workers.len()
        } else {
            0
        };
        let worker = self
            .manifest
            .start_worker(&self.logs, name, &app, worker_address, &self.redis, others)
            .await?;
        Ok(OtherApplication {
            supabase,
            worker,
            url: format!("http://{}", port.address()),
            _http: http,
            _ports: [port, worker_port],
            _dir: dir,
        })
    }

    /// Restarts the HTTP side with these variables, and kills the workers, which
    /// [`start_worker`](Self::start_worker) starts with the same variables.
    ///
    /// # Errors
    /// It does not start.
    pub async fn reconfigure(&mut self, variables: &[(&str, &str)]) -> Result<()> {
        self.kill_workers().await;
        self.http.kill().await;
        for (name, value) in variables {
            let variables = &mut self.app.variables;
            variables.insert((*name).to_owned(), (*value).to_owned());
        }
        let address = self.app.listen.expect("the HTTP side has an address");
        self.http = serve_articles(&self.logs, "http", &self.app, address).await?;
        self.supabase().clear_requests();
        Ok(())
    }

    /// The manifest of the application.
    pub fn manifest(&self) -> &Path {
        &self.app.manifest
    }

    /// Every process that starts from now on is of the application with this manifest. The HTTP side
    /// has those of its components that this version has.
    ///
    /// # Panics
    /// The manifest cannot be read.
    pub fn use_manifest(&mut self, manifest: &Path) {
        let text = std::fs::read_to_string(manifest).expect("the manifest can be read");
        let exists = |name: &&str| text.contains(&format!("[component.{name}]"));
        let components = HTTP_COMPONENTS.iter().filter(|name| exists(name));
        self.app.components = components.map(|name| (*name).to_owned()).collect();
        self.app.manifest = manifest.to_owned();
    }

    /// Whether the origin is a real PostgREST behind the stand-in's gateway.
    pub(crate) fn has_real_postgrest(&self) -> bool {
        self.origin.upstream.is_some()
    }

    /// Kills the workers, like a crash.
    pub async fn kill_workers(&mut self) {
        for worker in self.workers.drain(..) {
            worker.process.kill().await;
        }
    }

    /// The origin.
    ///
    /// # Panics
    /// It is stopped.
    pub fn supabase(&self) -> &Supabase {
        self.supabase.as_ref().expect("the origin runs")
    }

    /// Stops the origin: connections to it are refused.
    pub async fn stop_origin(&mut self) {
        let address = self.supabase().address();
        self.supabase = None;
        eventually(PATIENCE, "stopping the origin", async || {
            ensure!(
                tokio::net::TcpStream::connect(address).await.is_err(),
                "it still accepts connections"
            );
            Ok(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Starts the origin again, with its rows.
    ///
    /// # Errors
    /// Its port is taken.
    pub async fn start_origin(&mut self) -> Result<()> {
        // Another program's connection may hold the port for a moment.
        let origin = eventually(PATIENCE, "starting the origin again", async || {
            Supabase::start(self.origin.clone()).await
        });
        self.supabase = Some(origin.await?);
        Ok(())
    }

    /// The base URL of the HTTP side, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of the HTTP side, such as `127.0.0.1:3000`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// An HTTP client.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The first worker.
    ///
    /// # Panics
    /// There is none.
    pub fn worker(&self) -> &Process {
        &self.workers.first().expect("a worker runs").process
    }

    /// All workers, in the order of their start.
    pub fn workers(&self) -> Vec<&Process> {
        self.workers.iter().map(|worker| &worker.process).collect()
    }

    /// The HTTP side.
    pub fn http(&self) -> &Process {
        &self.http
    }

    /// Spin's runtime configuration, if the key-value store is in a Redis.
    pub fn runtime_config(&self) -> Option<&Path> {
        self.app.runtime_config.as_deref()
    }

    /// The folder of the key-value store.
    pub fn state_dir(&self) -> &Path {
        &self.app.state_dir
    }
}

/// Starts a process with the component `articles`; returns when it responds.
async fn serve_articles(log: &Log, name: &str, app: &App, address: SocketAddr) -> Result<Process> {
    let url = format!("http://{address}");
    let probe = format!("{url}/articles/no-such-article");
    serve(log, name, app, &url, &probe).await
}

/// Starts a process with an HTTP trigger at a base URL; returns when `probe` has a response.
pub(crate) async fn serve(
    log: &Log,
    name: &str,
    app: &App,
    url: &str,
    probe: &str,
) -> Result<Process> {
    let process = log.spawn(name, app)?;
    // Makes sure that no other program responds at this address.
    process
        .line_with(&format!("Serving {url}"), PATIENCE)
        .await?;
    process.alive_until(http_answers(probe, PATIENCE)).await?;
    Ok(process)
}

/// Another application on the same Redis. It ends when it is dropped.
pub struct OtherApplication {
    /// Its origin.
    pub supabase: Supabase,
    worker: Worker,
    /// The base URL of its HTTP side.
    pub url: String,
    _http: Process,
    _ports: [Port; 2],
    _dir: tempfile::TempDir,
}

impl OtherApplication {
    /// Its worker.
    pub fn worker(&self) -> &Process {
        &self.worker.process
    }
}

impl Drop for Afterword {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in std::iter::once(&self.http)
                .chain(self.workers())
                .chain([self.redis.process()])
            {
                eprintln!("--- the log of {}:\n{}", process.name(), process.output());
            }
            if let Some(supabase) = &self.supabase {
                eprintln!("--- the requests to the origin:");
                for request in supabase.requests() {
                    eprintln!(
                        "{} {}?{} {:?}",
                        request.method, request.path, request.query, request.status
                    );
                }
                eprintln!("--- the origin's webhooks:");
                for webhook in supabase.webhooks() {
                    eprintln!("{:?} {}", webhook.outcome, webhook.body);
                }
            }
        } else {
            self.logs.check();
        }
    }
}
