//! The running application.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afterword_stack::{App, Port, Process, Redis, WakeUp, eventually, http_answers, on_free_port};
use afterword_supabase::{Supabase, Webhook};
use anyhow::{Context, Result, ensure};

use crate::environment::{host, real_postgrest, redis_program};
use crate::setup::{Setup, readable_columns};

/// The webhook secret of every scenario.
pub const SECRET: &str = "the-scenarios-secret";

/// How long a scenario waits for something: far longer than it takes on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The application's manifest. The checkout may have moved since the scenarios were compiled, so
/// cargo's variable is read when they run.
fn manifest(name: &str) -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.context("CARGO_MANIFEST_DIR is not set; run `cargo xtask test`")?;
    Ok(Path::new(&package).join("../..").join(name))
}

/// The running application, its Redis and its origin. They end when it is dropped.
pub struct Afterword {
    /// The origin. `None` while it is [stopped](Self::stop_origin).
    pub supabase: Option<Supabase>,
    /// The Redis of the work queue.
    pub redis: Redis,
    http: Process,
    workers: Vec<Process>,
    pub(crate) app: App,
    /// Whether the first worker has dials.
    dials: bool,
    pub(crate) worker_dials: Option<SocketAddr>,
    origin: afterword_supabase::Options,
    url: String,
    pub(crate) client: reqwest::Client,
    /// The ports of servers that may be away for a while, so that no other program takes them.
    ports: Vec<Port>,
    // Last, because they must outlive the processes that use them.
    _store: Option<Redis>,
    _dir: tempfile::TempDir,
}

impl Setup {
    /// Starts everything; returns when the application responds and the worker has subscribed.
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
            ("redis_url", redis_url),
            ("redis_address", redis.url()),
        ];
        let mut app = App {
            manifest: manifest(setup.manifest)?,
            components: if setup.manifest == "spin.toml" {
                vec!["articles".into(), "revalidate".into()]
            } else {
                Vec::new()
            },
            state_dir: dir.path().join("state"),
            variables: own
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .chain(variables)
                .collect(),
            runtime_config: runtime_config.transpose()?,
            authorities: setup.authorities,
            ..App::default()
        };
        std::fs::create_dir_all(&app.state_dir)?;
        let (http_port, (dials_port, http)) = on_free_port(async |address| {
            let dials = Port::free();
            app.listen = Some(address);
            if setup.manifest == "spin.http.toml" {
                // The application's own URL: the embedded host has no service chaining.
                let url = format!("http://{address}");
                app.variables.insert("refresh_url".to_owned(), url);
            }
            app.dials = setup.dials.then(|| dials.address());
            Ok((
                dials,
                serve("http", &app, &format!("http://{address}")).await?,
            ))
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
            .build()?;
        let mut afterword = Self {
            supabase: Some(supabase),
            redis,
            http,
            workers: Vec::new(),
            app,
            dials: setup.dials,
            worker_dials: None,
            origin,
            url,
            client,
            ports: vec![origin_port, http_port, dials_port],
            _store: store,
            _dir: dir,
        };
        if setup.worker {
            afterword.start_worker().await?;
            afterword.wait_until_reconciled().await?;
        }
        afterword.supabase().clear_requests();
        Ok(afterword)
    }

    /// Starts another worker; returns when it has subscribed.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_worker(&mut self) -> Result<()> {
        let with_dials = self.dials && self.workers.is_empty();
        let (port, worker) = on_free_port(async |address| {
            let app = App {
                components: vec!["refresh".into()],
                listen: None,
                dials: with_dials.then_some(address),
                ..self.app.clone()
            };
            let worker = Process::spawn("worker", host().command(&app)?)?;
            worker
                .alive_until(self.subscribers(&self.wake_up().channel(), self.workers.len() + 1))
                .await?;
            Ok(worker)
        })
        .await?;
        worker
            .alive_until(self.wake_up().until_heard(PATIENCE))
            .await?;
        self.workers.push(worker);
        if with_dials {
            self.worker_dials = Some(port.address());
            self.ports.push(port);
        }
        Ok(())
    }

    /// The wake-up of the workers.
    pub fn wake_up(&self) -> WakeUp {
        let prefix = self.app.variables.get("redis_prefix");
        let prefix = prefix.map_or(WakeUp::DEFAULT_PREFIX, String::as_str);
        WakeUp::new(&self.redis.url(), prefix)
    }

    /// Starts another replica, with all components in one process (under Spin, with a child for
    /// each trigger). Returns its base URL.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_replica(&mut self) -> Result<String> {
        let (port, replica) = on_free_port(async |address| {
            let app = App {
                components: Vec::new(),
                listen: Some(address),
                dials: None,
                ..self.app.clone()
            };
            serve("replica", &app, &format!("http://{address}")).await
        })
        .await?;
        let url = format!("http://{}", port.address());
        self.ports.push(port);
        replica
            .alive_until(self.subscribers(&self.wake_up().channel(), self.workers.len() + 1))
            .await?;
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
        let own = [("supabase_url", supabase.url())];
        let given = variables
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        for (name, value) in own.into_iter().chain(given) {
            app.variables.insert(name.to_owned(), value);
        }
        let (port, http) = on_free_port(async |address| {
            app.listen = Some(address);
            serve(
                "the other application's http",
                &app,
                &format!("http://{address}"),
            )
            .await
        })
        .await?;
        let app = App {
            components: vec!["refresh".into()],
            listen: None,
            ..app
        };
        let prefix = app.variables.get("redis_prefix");
        let prefix = prefix.map_or(WakeUp::DEFAULT_PREFIX, String::as_str);
        let channel = WakeUp::new(&self.redis.url(), prefix).channel();
        let before = self.count_subscribers(&channel).await?;
        let worker = Process::spawn("the other application's worker", host().command(&app)?)?;
        let subscribed = self.subscribers(&channel, before + 1);
        worker.alive_until(subscribed).await?;
        Ok(OtherApplication {
            supabase,
            worker,
            url: format!("http://{}", port.address()),
            _http: http,
            _port: port,
            _dir: dir,
        })
    }

    /// Waits until this many workers have subscribed to a channel. Spin logs its channels before it
    /// subscribes.
    async fn subscribers(&self, channel: &str, expected: usize) -> Result<()> {
        let what = "waiting for the worker's subscription";
        eventually(PATIENCE, what, async || {
            let count = self.count_subscribers(channel).await?;
            ensure!(count >= expected, "{count} subscribed");
            Ok(())
        })
        .await
    }

    async fn count_subscribers(&self, channel: &str) -> Result<usize> {
        let command = ["PUBSUB", "NUMSUB", channel];
        let (_, count): (String, usize) = self.redis_command(&command).await?;
        Ok(count)
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
        self.http = serve("http", &self.app, &self.url).await?;
        self.supabase().clear_requests();
        Ok(())
    }

    /// Whether the origin is a real PostgREST behind the stand-in's gateway.
    pub(crate) fn has_real_postgrest(&self) -> bool {
        self.origin.upstream.is_some()
    }

    /// Kills the workers, like a crash.
    pub async fn kill_workers(&mut self) {
        for worker in self.workers.drain(..) {
            worker.kill().await;
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
        self.workers.first().expect("a worker runs")
    }

    /// All workers, in the order of their start.
    pub fn workers(&self) -> &[Process] {
        &self.workers
    }

    /// The HTTP side.
    pub fn http(&self) -> &Process {
        &self.http
    }

    /// The log of the HTTP side and of the workers.
    pub fn log(&self) -> String {
        std::iter::once(&self.http)
            .chain(&self.workers)
            .map(Process::output)
            .collect()
    }

    /// The folder of the key-value store.
    pub fn state_dir(&self) -> &Path {
        &self.app.state_dir
    }
}

/// Starts a process with an HTTP side; returns when it responds at this base URL.
async fn serve(name: &str, app: &App, url: &str) -> Result<Process> {
    let process = Process::spawn(name, host().command(app)?)?;
    // Makes sure that no other program responds at this address.
    process
        .line_with(&format!("Serving {url}"), PATIENCE)
        .await?;
    let probe = format!("{url}/articles/no-such-article");
    process.alive_until(http_answers(&probe, PATIENCE)).await?;
    Ok(process)
}

/// Another application on the same Redis. It ends when it is dropped.
pub struct OtherApplication {
    /// Its origin.
    pub supabase: Supabase,
    /// Its worker.
    pub worker: Process,
    /// The base URL of its HTTP side.
    pub url: String,
    _http: Process,
    _port: Port,
    _dir: tempfile::TempDir,
}

impl Drop for Afterword {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in std::iter::once(&self.http)
                .chain(&self.workers)
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
        }
    }
}
