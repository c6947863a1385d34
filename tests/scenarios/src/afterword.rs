//! The running application.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afterword_stack::{App, Port, Process, Redis, WakeUp, eventually, http_answers, on_free_port};
use afterword_supabase::{Supabase, Webhook};
use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::Answer;
use crate::setup::{SECRET, Setup, host, redis_program};

/// Far longer than anything here takes on an idle machine: a limit for what never comes, not a measure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where the manifest is. Cargo tells a test where its package is now: that it lay there when it
/// was compiled means nothing.
fn manifest() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.context("CARGO_MANIFEST_DIR is not set; run `cargo xtask test`")?;
    Ok(Path::new(&package).join("../../spin.toml"))
}

/// The application, and what it stands on. Ends when dropped.
pub struct Afterword {
    /// The origin. `None` while it is [stopped](Self::stop_origin).
    pub supabase: Option<Supabase>,
    /// The marks.
    pub redis: Redis,
    http: Process,
    workers: Vec<Process>,
    app: App,
    /// Whether the first worker has dials.
    dials: bool,
    worker_dials: Option<SocketAddr>,
    origin: afterword_supabase::Options,
    url: String,
    client: reqwest::Client,
    /// Of servers that may be away for a while.
    ports: Vec<Port>,
    // Last: the processes that use them end first.
    _store: Option<Redis>,
    _dir: tempfile::TempDir,
}

impl Afterword {
    pub(crate) async fn start(setup: Setup) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let redis_args: Vec<&str> = setup.redis_args.iter().map(String::as_str).collect();
        let redis = Redis::start(&redis_program(), &dir.path().join("redis"), &redis_args).await?;
        let redis_url = match setup.redis_user {
            Some(user) => redis.url().replace("://", &format!("://{user}@")),
            None => redis.url(),
        };

        let store = match setup.shared_store {
            true => Some(Redis::start(&redis_program(), &dir.path().join("store"), &[]).await?),
            false => None,
        };
        let runtime_config = store.as_ref().map(|store| {
            let text = format!(
                "[key_value_store.default]\ntype = \"redis\"\nurl = {:?}\n",
                store.url()
            );
            let file = dir.path().join("runtime-config.toml");
            std::fs::write(&file, text).map(|()| file)
        });

        let mut origin = setup.supabase;
        origin.database = Some(dir.path().join("supabase.db"));
        let (origin_port, supabase) = on_free_port(async |address| {
            origin.listen = address;
            Supabase::start(origin.clone()).await
        })
        .await?;

        let variables = [
            ("supabase_url", supabase.url()),
            ("supabase_anon_key", supabase.anon_key().to_owned()),
            ("webhook_secret", SECRET.to_owned()),
            ("redis_url", redis_url),
            ("redis_address", redis.url()),
        ];
        let mut app = App {
            manifest: manifest()?,
            components: vec!["articles".into(), "revalidate".into()],
            state_dir: dir.path().join("state"),
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .chain(setup.variables)
                .collect(),
            runtime_config: runtime_config.transpose()?,
            ..App::default()
        };
        std::fs::create_dir_all(&app.state_dir)?;
        let (http_port, (dials_port, http)) = on_free_port(async |address| {
            let dials = Port::free();
            app.listen = Some(address);
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
            afterword.reconciled().await?;
        }
        afterword.supabase().clear_requests();
        Ok(afterword)
    }

    /// Starts a worker, one more if there is one; returns when it listens.
    ///
    /// # Errors
    /// When it does not start.
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
                .alive_until(self.subscribers(self.workers.len() + 1))
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

    /// The wake-up of its workers.
    pub fn wake_up(&self) -> WakeUp {
        let prefix = self.app.variables.get("redis_prefix");
        let prefix = prefix.map_or(WakeUp::DEFAULT_PREFIX, String::as_str);
        WakeUp::new(&self.redis.url(), prefix)
    }

    /// Waits for the first reconciliation, which fetches the list, to have been worked off.
    ///
    /// # Errors
    /// When that does not come to be.
    pub async fn reconciled(&self) -> Result<()> {
        eventually(
            PATIENCE,
            "waiting for the first reconciliation",
            async || {
                let done: u64 = self
                    .ask_redis(&["EXISTS", "{afterword}:v1:reconciled"])
                    .await?;
                ensure!(done == 1, "it is not done");
                Ok(())
            },
        )
        .await?;
        self.worked_off().await
    }

    /// Starts one more replica, all of the application in one process (under Spin: with one child for each trigger), and
    /// returns the base URL at which it serves.
    ///
    /// # Errors
    /// When it does not start.
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
            .alive_until(self.subscribers(self.workers.len() + 1))
            .await?;
        self.workers.push(replica);
        Ok(url)
    }

    /// Starts another application on the same Redis, with rows, a store and processes of its own;
    /// returns when it serves.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_neighbour(&self, variables: &[(&str, &str)]) -> Result<Neighbour> {
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
            serve("the neighbour's http", &app, &format!("http://{address}")).await
        })
        .await?;
        let app = App {
            components: vec!["refresh".into()],
            listen: None,
            ..app
        };
        let worker = Process::spawn("the neighbour's worker", host().command(&app)?)?;
        let subscribed = worker.line_with("Active Channels", PATIENCE);
        worker.alive_until(subscribed).await?;
        Ok(Neighbour {
            supabase,
            worker,
            url: format!("http://{}", port.address()),
            _http: http,
            _port: port,
            _dir: dir,
        })
    }

    async fn subscribers(&self, expected: usize) -> Result<()> {
        eventually(
            PATIENCE,
            "waiting for the worker's subscription",
            async || {
                let (_, count): (String, usize) = self
                    .ask_redis(&["PUBSUB", "NUMSUB", &self.wake_up().channel()])
                    .await?;
                ensure!(count >= expected, "{count} subscribed");
                Ok(())
            },
        )
        .await
    }

    /// Restarts the HTTP side with these variables changed, and ends the workers, which
    /// [`start_worker`](Self::start_worker) starts with the same variables.
    ///
    /// # Errors
    /// When it does not start.
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

    /// Kills the workers, as a crash would.
    pub async fn kill_workers(&mut self) {
        for worker in self.workers.drain(..) {
            worker.kill().await;
        }
    }

    /// The origin.
    ///
    /// # Panics
    /// While it is stopped.
    pub fn supabase(&self) -> &Supabase {
        self.supabase.as_ref().expect("the origin runs")
    }

    /// Ends the origin: connections to it are refused.
    pub async fn stop_origin(&mut self) {
        let address = self.supabase().address();
        self.supabase = None;
        eventually(PATIENCE, "the origin's end", async || {
            ensure!(
                tokio::net::TcpStream::connect(address).await.is_err(),
                "it still answers"
            );
            Ok(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Starts the origin again, with the rows that it had.
    ///
    /// # Errors
    /// When its port is taken.
    pub async fn start_origin(&mut self) -> Result<()> {
        // A stranger's connection may hold the port for a moment.
        let origin = eventually(PATIENCE, "starting the origin again", async || {
            Supabase::start(self.origin.clone()).await
        });
        self.supabase = Some(origin.await?);
        Ok(())
    }

    /// The base URL of the HTTP side, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request to the HTTP side.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = fields.iter().fold(
            self.client.request(method, format!("{}{path}", self.url)),
            |request, (name, value)| request.header(*name, *value),
        );
        let answer = async { Answer::of(request.body(body).send().await?).await };
        answer
            .await
            .unwrap_or_else(|error| panic!("{path} was not answered: {error:#}"))
    }

    /// Reads a path.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    /// Reads a path with these header fields.
    pub async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, path, fields, "").await
    }

    /// Sends a webhook with the right secret.
    pub async fn webhook(&self, body: impl Into<reqwest::Body>) -> Answer {
        let authorization = format!("Bearer {SECRET}");
        self.send(
            Method::POST,
            "/revalidate",
            &[
                ("authorization", &authorization),
                ("content-type", "application/json"),
            ],
            body,
        )
        .await
    }

    /// Reads a path until the answer comes from the store: until a read makes no request to the origin.
    ///
    /// # Panics
    /// When that does not come to be.
    pub async fn hit(&self, path: &str) -> Answer {
        let what = format!("waiting for a hit on {path}");
        let hit = eventually(PATIENCE, &what, async || {
            self.worked_off().await?;
            let before = self.supabase().requests().len();
            let answer = self.get(path).await;
            ensure!(
                self.supabase().requests().len() == before,
                "the origin was asked"
            );
            Ok(answer)
        });
        hit.await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Changes rows in the database, as the service role, and waits until the webhooks of it have been answered.
    ///
    /// # Panics
    /// When the origin refuses.
    pub async fn change(&self, method: Method, query: &str, row: Value) {
        let request = self
            .client
            .request(
                method,
                format!("{}/rest/v1/articles{query}", self.supabase().url()),
            )
            .header("apikey", self.supabase().service_key())
            .json(&row);
        let answer = async { Answer::of(request.send().await?).await }
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
        assert!(matches!(answer.status, 200..=204), "{answer:?}");
        self.supabase().webhooks_settled().await;
    }

    /// What PostgREST answers to the anonymous key.
    ///
    /// # Panics
    /// When it answers with an error.
    pub async fn origin(&self, query: &str) -> Value {
        let request = self
            .client
            .get(format!("{}/rest/v1/articles{query}", self.supabase().url()))
            .header("apikey", self.supabase().anon_key());
        let answer = async { Answer::of(request.send().await?).await }
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Waits until the origin has been asked for something whose query contains `text`.
    ///
    /// # Panics
    /// When that does not come to be.
    pub async fn origin_asked(&self, text: &str) {
        let asked = eventually(
            PATIENCE,
            "waiting for a request to the origin",
            async || {
                let requests = self.supabase().requests();
                ensure!(
                    requests.iter().any(|request| request.query.contains(text)),
                    "no {text} in {requests:?}"
                );
                Ok(())
            },
        );
        asked.await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Waits until no mark is left and no worker at work.
    ///
    /// # Errors
    /// When that does not come to be.
    pub async fn worked_off(&self) -> Result<()> {
        eventually(PATIENCE, "working off the marks", async || {
            let (marks, leases): (u64, u64) = (
                self.marks().await?.len() as u64,
                self.ask_redis(&["EXISTS", "{afterword}:v1:lease"]).await?,
            );
            ensure!(marks + leases == 0, "{marks} marks and {leases} lease left");
            Ok(())
        })
        .await
    }

    /// The marked keys, in alphabetical order.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn marks(&self) -> Result<Vec<String>> {
        let mut keys: Vec<String> = self
            .ask_redis(&["ZRANGE", "{afterword}:v1:queue", "0", "-1"])
            .await?;
        keys.sort();
        Ok(keys)
    }

    /// Waits until these keys are marked, and no other.
    ///
    /// # Panics
    /// When that does not come to be.
    pub async fn marked(&self, keys: &[&str]) {
        let marked = eventually(PATIENCE, "waiting for marks", async || {
            let marks = self.marks().await?;
            ensure!(marks == keys, "marked are {marks:?}");
            Ok(())
        });
        marked.await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Waits until the refresh of so many marked keys, or more, has failed.
    ///
    /// # Panics
    /// When that does not come to be.
    pub async fn failed(&self, keys: usize) {
        let failed = eventually(PATIENCE, "waiting for failures", async || {
            let failed: usize = self.ask_redis(&["HLEN", "{afterword}:v1:failures"]).await?;
            ensure!(failed >= keys, "{failed} keys have failed");
            Ok(())
        });
        failed.await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Asks Redis.
    ///
    /// # Errors
    /// When it does not answer, or something else.
    pub async fn ask_redis<T: redis::FromRedisValue>(&self, command: &[&str]) -> Result<T> {
        let mut connection = redis::Client::open(self.redis.url())?
            .get_multiplexed_async_connection()
            .await?;
        let mut parts = command.iter();
        let mut command = redis::cmd(parts.next().context("a command has a name")?);
        parts.for_each(|part| {
            command.arg(part);
        });
        Ok(command.query_async(&mut connection).await?)
    }

    /// Turns the fault dials of the HTTP side: a JSON object of faults by call, such as
    /// `{"key-value.get": {"fail": true}}`.
    ///
    /// # Panics
    /// When the host does not take them.
    pub async fn turn_http_dials(&self, faults: Value) {
        self.turn(self.app.dials, json!({ "faults": faults })).await;
    }

    /// How often the HTTP side has made a kind of call so far, such as `key-value.get`.
    ///
    /// # Panics
    /// When the host does not tell.
    pub async fn http_calls(&self, kind: &str) -> u64 {
        let dials = self.app.dials.expect("the setup has dials");
        let asked = self.client.get(format!("http://{dials}/calls")).send();
        let answer = asked.await.expect("the dials answer");
        let calls: Value = answer.json().await.expect("calls are JSON");
        calls[kind].as_u64().unwrap_or(0)
    }

    /// Lets what readers of the same key share of a miss come to its end, as some seconds would.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn forget_misses(&self) {
        let deleted = self
            .ask_redis::<u64>(&["DEL", "{afterword}:v1:fetch_locks"])
            .await;
        deleted.expect("Redis answers");
    }

    /// Turns the dials of the first worker: `{"faults": …, "die": …}`.
    ///
    /// # Panics
    /// When the host does not take them.
    pub async fn turn_worker_dials(&self, settings: Value) {
        self.turn(self.worker_dials, settings).await;
    }

    async fn turn(&self, dials: Option<SocketAddr>, settings: Value) {
        let dials = dials.expect("the setup has dials");
        let answer = self
            .client
            .put(format!("http://{dials}/dials"))
            .json(&settings)
            .send()
            .await
            .expect("the dials answer");
        assert!(
            answer.status().is_success(),
            "{}",
            answer.text().await.unwrap_or_default()
        );
    }

    /// The first worker.
    ///
    /// # Panics
    /// When there is none.
    pub fn worker(&self) -> &Process {
        self.workers.first().expect("a worker runs")
    }

    /// All workers, in the order in which they were started.
    pub fn workers(&self) -> &[Process] {
        &self.workers
    }

    /// The HTTP side.
    pub fn http(&self) -> &Process {
        &self.http
    }

    /// What the HTTP side and the workers have said.
    pub fn said(&self) -> String {
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

/// Starts a process with an HTTP side; returns when it answers at this base URL.
async fn serve(name: &str, app: &App, url: &str) -> Result<Process> {
    let process = Process::spawn(name, host().command(app)?)?;
    // So that it is not a stranger who answers.
    process
        .line_with(&format!("Serving {url}"), PATIENCE)
        .await?;
    let probe = format!("{url}/articles/no-such-article");
    process.alive_until(http_answers(&probe, PATIENCE)).await?;
    Ok(process)
}

/// Another application on the same Redis. Ends when dropped.
pub struct Neighbour {
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
                eprintln!("--- {} said:\n{}", process.name(), process.output());
            }
            if let Some(supabase) = &self.supabase {
                eprintln!("--- the origin was asked:");
                for request in supabase.requests() {
                    eprintln!(
                        "{} {}?{} {:?}",
                        request.method, request.path, request.query, request.status
                    );
                }
                eprintln!("--- its webhooks:");
                for webhook in supabase.webhooks() {
                    eprintln!("{:?} {}", webhook.outcome, webhook.body);
                }
            }
        }
    }
}
