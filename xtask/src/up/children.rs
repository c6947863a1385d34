//! The processes, from their start to their end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use afterword_stack::{App, Process, Redis, WakeUp, command, eventually, http_answers};
use anyhow::{Context, Result, ensure};
use tokio::sync::watch;
use tokio::time::sleep;

use super::plan::{self, Plan};
use super::{said, worker};
use crate::{build, workspace};

/// How long the start may take: the host compiles the components for this machine on the first one.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A pause before a Redis that ended is started again, lest one that ends at once be started without a break.
const REDIS_DELAY: Duration = Duration::from_secs(1);

/// What `/articles` answers while the origin fails and the list is not stored. The application
/// serves then, too.
const ORIGIN_FAILS: [u16; 3] = [502, 503, 504];

/// What the stand-in's line begins with that says where it serves.
const SERVING: &str = "serving: ";

/// The stand-in's development keys (`Keys::default()` of dev/supabase). They open nothing else.
const STAND_IN_ANON_KEY: &str = "sb_publishable_afterword-development";
const STAND_IN_SERVICE_KEY: &str = "sb_secret_afterword-development";

/// What runs beside the worker.
#[derive(Default)]
pub struct Children {
    stand_in: Option<Process>,
    redis: Option<Redis>,
    http: Option<Process>,
}

/// Where the stand-in for Supabase serves.
struct StandIn {
    url: String,
}

impl Children {
    /// Starts everything and keeps it running.
    ///
    /// # Errors
    ///
    /// When a part does not start, or one ends that is not started again.
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

        let variables = variables(plan, stand_in.as_ref(), &redis_url, redis_address);
        let app = |components: &[&str]| App {
            manifest: workspace::root().join("spin.toml"),
            components: components.iter().map(|&name| name.to_owned()).collect(),
            state_dir: plan.state.path().to_owned(),
            runtime_config: plan.runtime_config.clone(),
            variables: variables.clone(),
            ..App::default()
        };
        let http = App {
            listen: Some(plan.listen),
            ..app(&["articles", "revalidate"])
        };
        let on_line = said::by_the_application("http", plan.verbose);
        self.http = Some(Process::spawn_with(
            "the HTTP side",
            plan.host.command(&http)?,
            on_line,
        )?);

        let (heard, woken) = watch::channel(false);
        let refresh = app(&["refresh"]);
        let wake_up = WakeUp::new(&redis_url, plan.variables.get("redis_prefix"));
        let worker = worker::Worker {
            host: &plan.host,
            app: &refresh,
            wake_up: &wake_up,
            pace: worker::PACE,
            verbose: plan.verbose,
        };
        tokio::select! {
            ended = worker.keep_running(heard) => ended,
            ended = async {
                self.ready(plan, woken).await?;
                announce(plan, stand_in.as_ref());
                self.watch().await
            } => ended,
        }
    }

    async fn start_stand_in(&mut self, plan: &Plan) -> Result<StandIn> {
        let mut command = command(workspace::built_program(build::SUPABASE));
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
        let on_line = said::by_the_way("supabase", plan.verbose);
        let process = Process::spawn_with("the stand-in for Supabase", command, on_line)?;
        let serving = process.line_with(SERVING, START_LIMIT);
        let line = process.alive_until(serving).await?;
        self.stand_in = Some(process);
        Ok(StandIn {
            url: line.trim_start_matches(SERVING).to_owned(),
        })
    }

    /// Waits until a read is answered from the cache or the origin, and a worker is there to refresh it.
    async fn ready(&self, plan: &Plan, mut woken: watch::Receiver<bool>) -> Result<()> {
        let http = self
            .http
            .as_ref()
            .context("the HTTP side has been started")?;
        let articles = format!("http://{}/articles", plan.reachable());
        let answered = eventually(START_LIMIT, "getting the first answer", async || {
            let status = http_answers(&articles, START_LIMIT).await?;
            ensure!(
                status == 200 || ORIGIN_FAILS.contains(&status),
                "{articles} answers with status {status}"
            );
            Ok(status)
        });
        let status = http.alive_until(answered).await?;
        if status != 200 {
            eprintln!(
                "warning: {articles} answers with status {status}: Supabase fails, and the list is not stored"
            );
        }
        let heard = tokio::time::timeout(START_LIMIT, woken.wait_for(|heard| *heard)).await;
        heard.context(
            "the worker does not listen to Redis; what it said is above, or with --verbose",
        )??;
        Ok(())
    }

    /// Starts Redis again when it ends: its file holds what it knew, and the worker finds it at the same address.
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
            eprintln!("redis      | ended ({status}); starting it again");
            sleep(REDIS_DELAY).await;
            if let Some(redis) = &mut self.redis {
                redis.restart().await?;
            }
        }
    }

    /// Ends everything, with time for Redis to write its file.
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

/// The application's variables, as `spin.toml` names them.
fn variables(
    plan: &Plan,
    stand_in: Option<&StandIn>,
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
    if let Some(stand_in) = stand_in {
        set("supabase_url", &stand_in.url);
        set("supabase_anon_key", STAND_IN_ANON_KEY);
    }
    if let Some(project) = &plan.project {
        set("supabase_url", project.url());
        set("supabase_anon_key", project.key());
    }
    for name in ["schema", "table"] {
        set(name, plan.variables.get(name));
    }
    variables
}

/// Says that it serves, and what to try.
fn announce(plan: &Plan, stand_in: Option<&StandIn>) {
    let base = format!("http://{}", plan.reachable());
    println!("ready: {base}\n\nIn another terminal, read, change, and read again:\n");
    match stand_in {
        Some(StandIn { url }) => println!(
            "  curl -i {base}/articles/7
  curl -X PATCH '{url}/rest/v1/articles?id=eq.7' -H 'apikey: {STAND_IN_SERVICE_KEY}' \\
       -H 'content-type: application/json' -d '{{\"title\":\"Changed just now\"}}'
  curl -i {base}/articles/7\n"
        ),
        None => println!(
            "  curl -i {base}/articles
  change a row in Supabase's Table Editor, whose database webhook posts to /revalidate of this address as the
       internet reaches it (through a tunnel, say), with the header `Authorization: Bearer <webhook secret>`
  curl -i {base}/articles\n"
        ),
    }
}
