//! The manifests of the application, and all differences between them that concern scenarios.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afterword_stack::{App, Process, Redis, WakeUp, eventually};
use anyhow::{Context, Result, ensure};

use crate::afterword::{PATIENCE, serve};
use crate::log::Log;
use crate::setup::REFRESH_SECRET;

/// The time between two calls of the scheduler. Supabase Cron allows one second or more.
const SCHEDULE: Duration = Duration::from_secs(1);

/// The scheduler's time limit of a call, as in `supabase/migrations`.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// The version of WASI that the components are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wasi {
    /// WASI 0.2.
    V02,
    /// WASI 0.3.
    V03,
}

/// What wakes the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// Redis.
    Redis,
    /// Requests.
    Http,
}

/// A manifest: there is one for each trigger of the worker and each version of WASI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) trigger: Trigger,
    pub(crate) wasi: Wasi,
}

impl Manifest {
    /// The file.
    pub(crate) fn path(self) -> Result<PathBuf> {
        let name = match (self.trigger, self.wasi) {
            (Trigger::Redis, Wasi::V03) => "spin.toml",
            (Trigger::Http, Wasi::V03) => "spin.http.toml",
            (Trigger::Redis, Wasi::V02) => "spin.wasi02.toml",
            (Trigger::Http, Wasi::V02) => "spin.cloud.toml",
        };
        Ok(folder()?.join(name))
    }

    /// Whether this is the manifest for Fermyon Cloud.
    fn is_cloud(self) -> bool {
        (self.trigger, self.wasi) == (Trigger::Http, Wasi::V02)
    }

    /// The variables that only this manifest has, with a worker at this address. Without an
    /// address, the components call the worker of their own process.
    pub(crate) fn variables(self, worker: Option<SocketAddr>) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        let mut set = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
        if self.trigger == Trigger::Http {
            set("refresh_secret", REFRESH_SECRET);
            if let Some(address) = worker {
                set("refresh_url", &url(address));
            }
            if self.is_cloud() {
                // As with the other manifests, unless the scenario is about a limit.
                set("max_keys", "0");
                set("max_requests_per_hour", "0");
                set("max_writes_per_second", "50");
            }
        }
        variables
    }

    /// The variable by which components call the worker in their own process, which serves this
    /// address. The manifest for Fermyon Cloud has no service chaining.
    pub(crate) fn own_url(self, address: SocketAddr) -> Option<(String, String)> {
        self.is_cloud()
            .then(|| ("refresh_url".to_owned(), url(address)))
    }

    /// Starts a worker of this application; returns when it can be woken. It listens on `address`
    /// if its trigger is HTTP. `others` workers have subscribed before if its trigger is Redis.
    pub(crate) async fn start_worker(
        self,
        log: &Log,
        name: &str,
        app: &App,
        address: SocketAddr,
        redis: &Redis,
        others: usize,
    ) -> Result<Worker> {
        match self.trigger {
            Trigger::Redis => {
                let app = App {
                    components: vec!["refresh".into()],
                    listen: None,
                    ..app.clone()
                };
                let process = log.spawn(name, &app)?;
                let worker = self
                    .with_trigger(process, &app, address, redis, others)
                    .await?;
                let wake_up = wake_up(&app, redis);
                let heard = wake_up.until_heard(PATIENCE);
                worker.process.alive_until(heard).await?;
                Ok(worker)
            }
            Trigger::Http => {
                let app = App {
                    components: vec!["refresh-http".into()],
                    listen: Some(address),
                    ..app.clone()
                };
                // The component refuses other methods than POST, whether Redis is up or not.
                let probe = format!("{}/refresh", url(address));
                let process = serve(log, name, &app, &url(address), &probe).await?;
                self.with_trigger(process, &app, address, redis, others)
                    .await
            }
        }
    }

    /// Makes a process, which has the component of the worker, a worker that gets wake-ups.
    pub(crate) async fn with_trigger(
        self,
        process: Process,
        app: &App,
        address: SocketAddr,
        redis: &Redis,
        others: usize,
    ) -> Result<Worker> {
        match self.trigger {
            Trigger::Redis => {
                let channel = wake_up(app, redis).channel();
                let subscribed = until_subscribed(redis, &channel, others + 1);
                process.alive_until(subscribed).await?;
                Ok(Worker {
                    process,
                    _scheduler: None,
                })
            }
            Trigger::Http => Ok(Worker {
                process,
                _scheduler: Some(Scheduler::start(url(address))?),
            }),
        }
    }

    /// Whether a worker that has lost its connection to Redis ends. Spin's Redis trigger does.
    pub(crate) fn workers_end_with_redis(self) -> bool {
        self.trigger == Trigger::Redis
    }

    /// Wakes the workers of this application. `worker` is the URL of a worker whose trigger is HTTP.
    pub(crate) async fn wake(self, app: &App, worker: SocketAddr, redis: &Redis) -> Result<()> {
        match self.trigger {
            Trigger::Redis => wake_up(app, redis).until_heard(PATIENCE).await,
            Trigger::Http => {
                let (client, url) = (client(PATIENCE)?, url(worker));
                eventually(PATIENCE, "waking the worker", async || {
                    call(&client, &url).await?;
                    Ok(())
                })
                .await
            }
        }
    }
}

/// The folder of the manifests. The checkout may have moved since the scenarios were compiled, so
/// cargo's variable is read when they run.
pub(crate) fn folder() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.context("CARGO_MANIFEST_DIR is not set; run `cargo xtask test`")?;
    Ok(Path::new(&package).join("../.."))
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn wake_up(app: &App, redis: &Redis) -> WakeUp {
    let prefix = app.variables.get("redis_prefix");
    let prefix = prefix.map_or(WakeUp::DEFAULT_PREFIX, String::as_str);
    WakeUp::new(&redis.url(), prefix)
}

/// Waits until this many workers have subscribed to a channel. Spin logs its channels before it
/// subscribes.
async fn until_subscribed(redis: &Redis, channel: &str, expected: usize) -> Result<()> {
    let what = "waiting for the worker's subscription";
    eventually(PATIENCE, what, async || {
        let mut connection = redis::Client::open(redis.url())?
            .get_multiplexed_async_connection()
            .await?;
        let mut command = redis::cmd("PUBSUB");
        command.arg("NUMSUB").arg(channel);
        let (_, count): (String, usize) = command.query_async(&mut connection).await?;
        ensure!(count >= expected, "{count} subscribed");
        Ok(())
    })
    .await
}

/// A worker's process.
pub(crate) struct Worker {
    pub(crate) process: Process,
    _scheduler: Option<Scheduler>,
}

/// Calls `POST /refresh` of a worker every second until it is dropped, as Supabase Cron does.
struct Scheduler(tokio::task::JoinHandle<()>);

impl Scheduler {
    fn start(url: String) -> Result<Self> {
        let client = client(CALL_LIMIT)?;
        let calls = async move {
            // pg_net does not wait for one response before it sends the next request.
            let mut calls = tokio::task::JoinSet::new();
            let mut schedule = tokio::time::interval(SCHEDULE);
            loop {
                schedule.tick().await;
                let (client, url) = (client.clone(), url.clone());
                // Nobody looks at pg_net's responses. The worker's log tells why a call failed.
                calls.spawn(async move { call(&client, &url).await.is_ok() });
                while calls.try_join_next().is_some() {}
            }
        };
        Ok(Self(tokio::spawn(calls)))
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn client(limit: Duration) -> Result<reqwest::Client> {
    let client = reqwest::Client::builder().no_proxy().timeout(limit);
    Ok(client.build()?)
}

async fn call(client: &reqwest::Client, url: &str) -> reqwest::Result<()> {
    let request = client.post(format!("{url}/refresh"));
    request.bearer_auth(REFRESH_SECRET).send().await?;
    Ok(())
}
