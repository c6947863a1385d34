//! `cargo xtask browser`: runs the status page in Chromium, in front of a running application.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afterword_stack::{
    App, Host, Port, Process, Redis, WakeUp, command, find_program, http_answers, on_free_port,
};
use anyhow::{Context, Result, bail, ensure};

use crate::debian::Chromium;
use crate::manifest::ManifestKind;
use crate::packages::{HOST_WITH_FAULTS, SUPABASE};
use crate::prerequisite::Prerequisite;
use crate::wasi::Wasi;
use crate::{build, node, stand_in, workspace};

/// Chromium's names on the `PATH`.
const CHROMIUM: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chromium-headless-shell",
];

const ADVICE: &str = "install Chromium (`apt-get install chromium`); for the tests of the status \
                      page";

/// The secrets of the application under test. They open nothing else.
const ADMIN_TOKEN: &str = "an-admin-token-of-the-tests";
const WEBHOOK_SECRET: &str = "a-bearer-token-of-the-tests";

const START_LIMIT: Duration = Duration::from_secs(120);

/// Whether Chromium is installed or can be fetched.
pub fn prerequisite() -> Prerequisite {
    match (existing(), Chromium::obstacle()) {
        (Some(program), _) => Prerequisite::Installed(program.display().to_string()),
        (None, None) => Prerequisite::Fetchable(
            "the tests fetch Debian's packages (up to 180 MB) into target/debian-chromium".into(),
        ),
        (None, Some(_)) => Prerequisite::Missing(ADVICE.into()),
    }
}

/// Finds Node.js and Chromium, and fetches Chromium where it can.
///
/// # Errors
///
/// When Node.js does not print its version.
pub async fn get_prerequisites() -> Result<Prerequisite> {
    match node::prerequisite().await? {
        Prerequisite::Missing(advice) => return Ok(Prerequisite::Missing(advice)),
        Prerequisite::Installed(_) | Prerequisite::Fetchable(_) => {}
    }
    Ok(match chromium().await {
        Ok(program) => Prerequisite::Installed(program.display().to_string()),
        Err(error) => Prerequisite::Missing(format!("{error:#}")),
    })
}

fn existing() -> Option<PathBuf> {
    let installed = CHROMIUM.into_iter().find_map(find_program);
    installed.or_else(Chromium::existing)
}

/// Chromium: on the `PATH`, or else Debian's.
async fn chromium() -> Result<PathBuf> {
    match existing() {
        Some(program) => Ok(program),
        None => Chromium::get().await.context(ADVICE),
    }
}

/// Starts the application and runs the tests. `redis` is the server's program.
///
/// # Errors
///
/// When Node.js or Chromium is missing, npm fails, a part does not start, or a test fails.
pub async fn run(redis: &Path) -> Result<()> {
    if let Prerequisite::Missing(advice) = node::prerequisite().await? {
        bail!("there is no Node.js for the tests of the status page: {advice}");
    }
    let chromium = chromium().await?;
    build::host_with_faults().await?;
    build::programs(&[SUPABASE]).await?;
    let tests = workspace::root().join("tests/browser");
    node::install(&tests).await?;

    let dir = workspace::target().join("browser");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    let screenshots = dir.join("screenshots");
    std::fs::create_dir_all(&screenshots)
        .with_context(|| format!("making {}", screenshots.display()))?;
    let application = Application::start(redis, &dir).await?;
    let mut test = node::npm(&tests);
    test.arg("test")
        .env("AFTERWORD_TEST_URL", &application.url)
        .env("AFTERWORD_TEST_SUPABASE_URL", &application.supabase_url)
        .env("AFTERWORD_TEST_SUPABASE_KEY", stand_in::SERVICE_KEY)
        .env("AFTERWORD_TEST_ADMIN_TOKEN", ADMIN_TOKEN)
        .env("AFTERWORD_TEST_WEBHOOK_SECRET", WEBHOOK_SECRET)
        .env("AFTERWORD_TEST_CHROMIUM", chromium)
        .env("AFTERWORD_TEST_SCREENSHOTS", &screenshots);
    let status = test.status().await.context("starting npm")?;
    if !status.success() {
        application.print_output();
    }
    ensure!(
        status.success(),
        "the status page does not work; the failed tests are above"
    );
    println!("screenshots: {}", screenshots.display());
    Ok(())
}

/// The application, with a Redis and a stand-in for Supabase of its own.
struct Application {
    url: String,
    supabase_url: String,
    processes: [Process; 3],
    _redis: Redis,
    _port: Port,
}

impl Application {
    /// Starts everything, with files in `dir`. Returns when the worker listens to wake-ups.
    async fn start(redis: &Path, dir: &Path) -> Result<Self> {
        let redis = Redis::start(redis, &dir.join("redis"), &[]).await?;
        let state = dir.join("state");
        std::fs::create_dir_all(&state).with_context(|| format!("making {}", state.display()))?;
        let app = |components: &[&str], supabase_url: &str| App {
            manifest: ManifestKind::Redis.path(Wasi::V03),
            components: components.iter().map(|&name| name.to_owned()).collect(),
            state_dir: state.clone(),
            variables: variables(supabase_url, &redis.url()),
            ..App::default()
        };
        let host = Host::Embedded(workspace::built_program(HOST_WITH_FAULTS));
        let start = async |address: SocketAddr| {
            let url = format!("http://{address}");
            let (supabase, supabase_url) = start_supabase(&url).await?;
            let app = App {
                listen: Some(address),
                ..app(&["articles", "revalidate", "status"], &supabase_url)
            };
            let http = Process::spawn("the HTTP process", host.command(&app)?)?;
            http.line_with(&format!("Serving {url}"), START_LIMIT)
                .await?;
            http.alive_until(http_answers(&format!("{url}/readyz"), START_LIMIT))
                .await?;
            Ok((http, url, supabase, supabase_url))
        };
        let (port, (http, url, supabase, supabase_url)) = on_free_port(start).await?;
        let worker = Process::spawn(
            "the worker",
            host.command(&app(&["refresh"], &supabase_url))?,
        )?;
        let wake_up = WakeUp::new(&redis.url(), WakeUp::DEFAULT_PREFIX);
        worker.alive_until(wake_up.until_heard(START_LIMIT)).await?;
        Ok(Self {
            url,
            supabase_url,
            processes: [http, worker, supabase],
            _redis: redis,
            _port: port,
        })
    }

    fn print_output(&self) {
        for process in &self.processes {
            eprintln!("{} said:\n{}", process.name(), process.output());
        }
    }
}

/// Starts the stand-in for Supabase, which posts webhooks to the application at `url`. Returns its
/// own URL.
async fn start_supabase(url: &str) -> Result<(Process, String)> {
    let mut command = command(workspace::built_program(SUPABASE));
    command
        .args(["--listen", "127.0.0.1:0", "--webhook-url"])
        .arg(format!("{url}/revalidate"))
        .env("WEBHOOK_SECRET", WEBHOOK_SECRET);
    let process = Process::spawn("the stand-in for Supabase", command)?;
    let line = process.line_with(stand_in::SERVING, START_LIMIT).await?;
    let url = line.trim_start_matches(stand_in::SERVING).to_owned();
    Ok((process, url))
}

fn variables(supabase_url: &str, redis_url: &str) -> BTreeMap<String, String> {
    [
        ("supabase_url", supabase_url),
        ("supabase_anon_key", stand_in::ANON_KEY),
        ("webhook_secret", WEBHOOK_SECRET),
        ("admin_token", ADMIN_TOKEN),
        ("redis_url", redis_url),
        ("redis_address", redis_url),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
