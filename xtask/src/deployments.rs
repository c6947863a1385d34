//! `cargo xtask deployments`: validates `deploy/`, the workflows and the pages about them, and runs
//! `supabase/` on a real PostgreSQL, with webhooks to a running application.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use afterword_stack::{App, Host, Process, Redis, find_program, http_answers, on_free_port};
use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::debian::{PostgreSql, promtool};
use crate::packages::HOST_WITH_FAULTS;
use crate::prerequisite::Prerequisite;
use crate::{build, node, workspace};

/// What `tests/deploy/run` exits with if it cannot install its tools.
const NO_TOOLS: i32 = 75;

/// The secrets of the tests in `tests/supabase-sql`: a bearer token and a signing secret.
const WEBHOOK_SECRETS: &str = "a-bearer-token-of-the-tests \
                               whsec_YSBzaWduaW5nIGtleSBvZiAyNCBieXRl";

const START_LIMIT: Duration = Duration::from_secs(60);

/// What to do about a missing prerequisite.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Leave tests out, with a message.
    LeaveOut,
    /// Fail, also if a single test would be skipped.
    Fail,
}

/// Runs both. `redis` is the server's program.
///
/// # Errors
///
/// When a test fails, or something that the tests need is missing and may not be.
pub async fn run(redis: &Path, missing: Missing) -> Result<()> {
    files(redis, missing).await?;
    supabase(redis, missing).await
}

fn left_out(tests: &str, why: &str, missing: Missing) -> Result<()> {
    if missing == Missing::Fail {
        bail!("cannot run {tests}: {why}");
    }
    eprintln!("left out: {tests} (`cargo xtask deployments`): {why}");
    Ok(())
}

/// Validates the files and the pages.
async fn files(redis: &Path, missing: Missing) -> Result<()> {
    let tests = workspace::root().join("tests/deploy");
    let mut command = Command::new(tests.join("run"));
    // `redis-cli` is beside `redis-server`.
    let mut programs = vec![redis.to_owned()];
    match promtool().await {
        Ok(program) => programs.push(program),
        Err(error) => {
            let why = format!("install Prometheus, for `promtool`; {error:#}");
            left_out("some of tests/deploy", &why, missing)?;
        }
    }
    let folders = programs.iter().filter_map(|program| program.parent());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::split_paths(&path).chain(folders.map(Path::to_owned));
    command.env("PATH", std::env::join_paths(path)?);
    let status = status(command, missing).await?;
    if status.code() == Some(NO_TOOLS) {
        let why = "it needs Python 3.11 with venv, and PyPI; its messages are above";
        return left_out("tests/deploy", why, missing);
    }
    ensure!(
        status.success(),
        "deploy/ or its pages are wrong; the failed tests are above"
    );
    Ok(())
}

/// Runs `supabase/` on a PostgreSQL.
async fn supabase(redis: &Path, missing: Missing) -> Result<()> {
    const TESTS: &str = "tests/supabase-sql";
    if let Prerequisite::Missing(advice) = node::prerequisite().await? {
        return left_out(TESTS, &advice, missing);
    }
    let mut npm = node::npm(&workspace::root().join(TESTS));
    npm.arg("test");
    if !PostgreSql::is_installed() && find_program("initdb").is_none() {
        if let Some(obstacle) = PostgreSql::obstacle() {
            return left_out(TESTS, &format!("install PostgreSQL; {obstacle}"), missing);
        }
        match PostgreSql::get().await {
            Ok(script) => npm.env("AFTERWORD_TEST_POSTGRESQL", script),
            Err(error) => {
                let why = format!("install PostgreSQL (`apt-get install postgresql`); {error:#}");
                return left_out(TESTS, &why, missing);
            }
        };
    }

    let dir = workspace::target().join("deployments");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    build::host_with_faults().await?;
    let redis = Redis::start(redis, &dir.join("redis"), &[]).await?;
    let (_port, application) =
        on_free_port(async |address| serve(address, &redis, &dir.join("state")).await).await?;
    let (url, _application) = application;
    npm.env("AFTERWORD_TEST_URL", &url);
    ensure!(
        status(npm, missing).await?.success(),
        "supabase/ does not work; the failed tests are above"
    );
    metrics(&url, missing).await
}

/// Checks the metrics of the application at a base URL with `promtool`.
async fn metrics(url: &str, missing: Missing) -> Result<()> {
    let promtool = match promtool().await {
        Ok(program) => program,
        Err(error) => return left_out("the check of /metrics", &format!("{error:#}"), missing),
    };
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let text = agent.get(format!("{url}/metrics")).call()?;
    let text = text.into_body().read_to_string()?;
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut check = command.kill_on_drop(true).spawn()?;
    let mut input = check.stdin.take().context("standard input is a pipe")?;
    input.write_all(text.as_bytes()).await?;
    drop(input);
    ensure!(
        check.wait().await?.success(),
        "promtool finds faults in {url}/metrics; they are above"
    );
    Ok(())
}

/// Starts the components that take the webhooks and show the metrics; returns their base URL.
async fn serve(address: SocketAddr, redis: &Redis, state: &Path) -> Result<(String, Process)> {
    let variables = [
        // The component reaches Redis only.
        ("supabase_url", "http://127.0.0.1:1".to_owned()),
        ("supabase_anon_key", "none".to_owned()),
        ("webhook_secret", WEBHOOK_SECRETS.to_owned()),
        ("status_public", "true".to_owned()),
        ("redis_url", redis.url()),
        ("redis_address", redis.url()),
    ];
    std::fs::create_dir_all(state).with_context(|| format!("making {}", state.display()))?;
    let app = App {
        manifest: workspace::root().join("spin.toml"),
        components: vec!["revalidate".to_owned(), "status".to_owned()],
        listen: Some(address),
        state_dir: state.to_owned(),
        variables: variables
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        ..App::default()
    };
    let host = Host::Embedded(workspace::built_program(HOST_WITH_FAULTS));
    let process = Process::spawn("revalidate", host.command(&app)?)?;
    let url = format!("http://{address}");
    process
        .line_with(&format!("Serving {url}"), START_LIMIT)
        .await?;
    process
        .alive_until(http_answers(&format!("{url}/revalidate"), START_LIMIT))
        .await?;
    Ok((url, process))
}

async fn status(mut command: Command, missing: Missing) -> Result<ExitStatus> {
    if missing == Missing::Fail {
        command.env("AFTERWORD_TEST_NO_SKIP", "1");
    }
    let program = command.as_std().get_program().to_owned();
    command
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| format!("starting {}", program.display()))
}
