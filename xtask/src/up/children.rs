//! Starts and ends the processes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use afterword_stack::{App, Process, Redis, WakeUp, command, eventually, http_answers};
use anyhow::{Context, Result, ensure};
use tokio::sync::watch;
use tokio::time::sleep;

use super::plan::{self, Plan};
use super::scheduler::Scheduler;
use super::state::Running;
use super::{output, worker};
use crate::manifest::ManifestKind;
use crate::packages::SUPABASE;
use crate::stand_in::{self, SERVICE_KEY};
use crate::wasi::Wasi;
use crate::workspace;

/// How long a start may take. At the first one, the host compiles the components.
const START_LIMIT: Duration = Duration::from_secs(120);

/// The pause before a restart of Redis, in case it keeps ending.
const REDIS_RESTART_DELAY: Duration = Duration::from_secs(1);

/// The statuses of `/articles` while the origin fails and the list is not cached. The application
/// starts nevertheless.
const ORIGIN_FAILURES: [u16; 3] = [502, 503, 504];

/// The processes except for the worker.
#[derive(Default)]
pub struct Children {
    stand_in: Option<Process>,
    redis: Option<Redis>,
    http: Option<Process>,
}

impl Children {
    /// Starts everything and keeps it running.
    ///
    /// # Errors
    ///
    /// When a part does not start, or a part ends that is not restarted.
    pub async fn run(&mut self, plan: &Plan) -> Result<Infallible> {
        let stand_in = match plan.project {
            Some(_) => None,
            None => Some(self.start_stand_in(plan).await?),
        };
        let (redis_url, redis_address) = match &plan.redis {
            plan::Redis::Running(redis) => (redis.url().to_owned(), redis.address().to_owned()),
            plan::Redis::Own(program) => {
                let redis = Redis::start(program, &plan.state.redis(), &[]).await?;
                let url = redis.url();
                self.redis = Some(redis);
                (url.clone(), url)
            }
        };

        let variables = variables(plan, stand_in.as_deref(), &redis_url, redis_address);
        let app = |components: &[&str]| App {
            manifest: plan.manifest.path(plan.wasi),
            components: components.iter().map(|&name| name.to_owned()).collect(),
            state_dir: plan.state.path().to_owned(),
            runtime_config: plan.runtime_config.clone(),
            variables: variables.clone(),
            ..App::default()
        };
        let components: &[&str] = match plan.manifest {
            ManifestKind::Redis => &["articles", "revalidate", "status"],
            ManifestKind::Http => &[],
        };
        let http = App {
            listen: Some(plan.listen),
            ..app(components)
        };
        let on_line = output::of_application("http", plan.verbose);
        self.http = Some(Process::spawn_with(
            "the HTTP process",
            plan.host.command(&http)?,
            on_line,
        )?);

        let (listening, worker_listens) = watch::channel(false);
        let wake_workers = async {
            match plan.manifest {
                ManifestKind::Redis => {
                    let worker = worker::Worker {
                        host: &plan.host,
                        app: &app(&["refresh"]),
                        wake_up: &WakeUp::new(&redis_url, plan.variables.get("redis_prefix")),
                        schedule: worker::SCHEDULE,
                        verbose: plan.verbose,
                    };
                    worker.keep_running(listening).await
                }
                ManifestKind::Http => {
                    let scheduler = Scheduler {
                        url: format!("http://{}/refresh", plan.reachable()),
                        secret: plan.refresh_secret.clone(),
                    };
                    scheduler.keep_calling(listening).await
                }
            }
        };
        tokio::select! {
            ended = wake_workers => ended,
            ended = async {
                self.ready(plan, worker_listens).await?;
                plan.state.tell(&Running {
                    url: format!("http://{}", plan.reachable()),
                    admin_token: plan.admin_token.clone(),
                })?;
                announce(plan, stand_in.as_deref());
                self.watch().await
            } => ended,
        }
    }

    /// Starts the stand-in for Supabase and returns its URL.
    async fn start_stand_in(&mut self, plan: &Plan) -> Result<String> {
        let mut command = command(workspace::built_program(SUPABASE));
        command
            .args(["--listen", "127.0.0.1:0", "--webhook-url"])
            .arg(format!("http://{}/revalidate", plan.reachable()))
            .arg("--database")
            .arg(plan.state.path().join("supabase.db"))
            .env(
                "WEBHOOK_SECRET",
                plan::bearer_token(&plan.webhook_secret).unwrap_or_default(),
            );
        if plan.verbose {
            command.arg("--verbose");
        }
        let on_line = output::if_verbose("supabase", plan.verbose);
        let process = Process::spawn_with("the stand-in for Supabase", command, on_line)?;
        let serving = process.line_with(stand_in::SERVING, START_LIMIT);
        let line = process.alive_until(serving).await?;
        self.stand_in = Some(process);
        Ok(line.trim_start_matches(stand_in::SERVING).to_owned())
    }

    /// Waits until the HTTP process responds and the worker listens to wake-ups.
    async fn ready(&self, plan: &Plan, mut worker_listens: watch::Receiver<bool>) -> Result<()> {
        let http = self
            .http
            .as_ref()
            .context("the HTTP process has been started")?;
        let articles = format!("http://{}/articles", plan.reachable());
        let responds = eventually(START_LIMIT, "getting the first response", async || {
            let status = http_answers(&articles, START_LIMIT).await?;
            ensure!(
                status == 200 || ORIGIN_FAILURES.contains(&status),
                "{articles} has status {status}"
            );
            Ok(status)
        });
        let status = http.alive_until(responds).await?;
        if status != 200 {
            eprintln!(
                "warning: {articles} has status {status}: Supabase fails, and the list is not \
                 cached"
            );
        }
        let listens = worker_listens.wait_for(|listens| *listens);
        let listens = tokio::time::timeout(START_LIMIT, listens).await;
        listens.context(
            "the worker does not respond to wake-ups; its output is above, or use --verbose",
        )??;
        Ok(())
    }

    /// Restarts Redis when it ends, with the same file and at the same address.
    ///
    /// # Errors
    ///
    /// When another part ends.
    async fn watch(&mut self) -> Result<Infallible> {
        loop {
            let status = tokio::select! {
                error = end_of(self.http.as_ref()) => return Err(error),
                error = end_of(self.stand_in.as_ref()) => return Err(error),
                status = async {
                    match &self.redis {
                        Some(redis) => redis.process().wait().await,
                        None => std::future::pending().await,
                    }
                } => status,
            };
            eprintln!("redis      | ended ({status}); restarting it");
            sleep(REDIS_RESTART_DELAY).await;
            if let Some(redis) = &mut self.redis {
                redis.restart().await?;
            }
        }
    }

    /// Ends everything, and lets Redis write its file.
    pub async fn end(self) {
        tokio::join!(
            async {
                if let Some(http) = self.http {
                    http.terminate().await;
                }
            },
            async {
                if let Some(stand_in) = self.stand_in {
                    stand_in.terminate().await;
                }
            },
            async {
                if let Some(redis) = self.redis {
                    redis.process().terminate().await;
                }
            },
        );
    }
}

async fn end_of(process: Option<&Process>) -> anyhow::Error {
    match process {
        Some(process) => match process
            .alive_until(std::future::pending::<Result<Infallible>>())
            .await
        {
            Ok(never) => match never {},
            Err(error) => error,
        },
        None => std::future::pending().await,
    }
}

/// The application's variables by their names in the manifest.
fn variables(
    plan: &Plan,
    stand_in: Option<&str>,
    redis_url: &str,
    redis_address: String,
) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> = [
        ("webhook_secret".to_owned(), plan.webhook_secret.clone()),
        ("redis_url".to_owned(), redis_url.to_owned()),
        ("redis_address".to_owned(), redis_address),
    ]
    .into();
    let mut set =
        |name: &str, value: &str| drop(variables.insert(name.to_owned(), value.to_owned()));
    if let Some(url) = stand_in {
        set("supabase_url", url);
        set("supabase_anon_key", stand_in::ANON_KEY);
    }
    if let Some(project) = &plan.project {
        set("supabase_url", project.url());
        set("supabase_anon_key", project.key());
    }
    if plan.manifest == ManifestKind::Http {
        set("refresh_secret", &plan.refresh_secret);
        if plan.wasi == Wasi::V02 {
            // As on Fermyon Cloud, which has no service chaining.
            set("refresh_url", &format!("http://{}", plan.reachable()));
        }
    }
    set("admin_token", &plan.admin_token);
    // Only this machine reaches the default address, and whoever looks needs no token.
    if plan.listen.ip().is_loopback() && std::env::var_os("SPIN_VARIABLE_STATUS_PUBLIC").is_none() {
        set("status_public", "true");
    }
    for name in ["schema", "table", "log_format"] {
        set(name, plan.variables.get(name));
    }
    variables
}

/// Prints where it serves, and commands to try.
fn announce(plan: &Plan, stand_in: Option<&str>) {
    let base = format!("http://{}", plan.reachable());
    println!("ready: {base}\n");
    println!("Watch it work at {base}/status. To retry, refresh or purge, log in there with\n");
    println!("  {}\n", plan.admin_token);
    if plan.manifest == ManifestKind::Http {
        println!(
            "This process is the scheduler: it sends POST {base}/refresh once a minute. Set \
             SPIN_VARIABLE_REFRESH_SECRET\nto send it, too.\n"
        );
    }
    println!("In another terminal, read, change, and read again:\n");
    match stand_in {
        Some(url) => println!(
            "  curl -i {base}/articles/7
  curl -X PATCH '{url}/rest/v1/articles?id=eq.7' -H 'apikey: {SERVICE_KEY}' \\
       -H 'content-type: application/json' -d '{{\"title\":\"Changed just now\"}}'
  curl -i {base}/articles/7\n"
        ),
        None => println!(
            "  curl -i {base}/articles
  change a row in Supabase's Table Editor; a database webhook has to post to /revalidate of this
       address as seen from the internet, such as through a tunnel, with the header
       `Authorization: Bearer <webhook secret>`
  curl -i {base}/articles\n"
        ),
    }
}
