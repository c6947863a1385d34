//! The running baselines: `bench/limit`.

use std::path::Path;
use std::time::Duration;

use afterword_scenarios::host;
use afterword_stack::{App, Port, Process, http_answers, on_free_port};
use anyhow::Result;

use crate::build::Build;

/// How long the start may take: the host compiles the components.
const START_LIMIT: Duration = Duration::from_secs(120);

/// The baselines. They end when this is dropped.
pub struct Limit {
    port: Port,
    _process: Process,
    // Last, because it must outlive the process that uses it.
    _dir: tempfile::TempDir,
}

impl Limit {
    /// Starts a build's baselines with this Redis and this runtime configuration; returns when they
    /// respond.
    ///
    /// # Errors
    /// They do not start.
    pub async fn start(
        build: Build,
        redis_url: &str,
        runtime_config: Option<&Path>,
    ) -> Result<Self> {
        let limit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../limit");
        let dir = tempfile::tempdir()?;
        let (port, process) = on_free_port(async |address| {
            let app = App {
                manifest: limit.join(build.baselines()),
                listen: Some(address),
                state_dir: dir.path().to_owned(),
                runtime_config: runtime_config.map(Path::to_owned),
                variables: [("redis_url".to_owned(), redis_url.to_owned())].into(),
                ..App::default()
            };
            let process = Process::spawn("the baselines", host().command(&app)?)?;
            let url = format!("http://{address}");
            let serving = format!("Serving {url}");
            process.line_with(&serving, START_LIMIT).await?;
            let probe = format!("{url}/constant");
            process
                .alive_until(http_answers(&probe, START_LIMIT))
                .await?;
            Ok(process)
        })
        .await?;
        Ok(Self {
            port,
            _process: process,
            _dir: dir,
        })
    }

    /// The address, such as `127.0.0.1:3000`.
    pub fn address(&self) -> String {
        self.port.address().to_string()
    }
}
