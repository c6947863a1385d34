//! A Redis (or Valkey) of our own.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{Port, Process, command, eventually, find_program, on_free_port};

/// Loading a large append-only file takes a while; a server that does nothing for this long is broken.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A Redis server on a port of 127.0.0.1 that writes every change to an append-only file, so that what it has
/// acknowledged outlives it. It ends when this is dropped.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    dir: PathBuf,
    args: Vec<String>,
    port: Port,
    process: Process,
}

impl Redis {
    /// The server's program on the `PATH`: `redis-server`, else `valkey-server`.
    pub fn find() -> Option<PathBuf> {
        find_program("redis-server").or_else(|| find_program("valkey-server"))
    }

    /// Starts `program` on a free port, with its files in `dir` (made if missing) and further `args` of the server's,
    /// such as `["--maxmemory", "1mb"]`. Returns when it answers.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made, the program cannot be started, or it ends or is silent instead of answering.
    pub async fn start(program: &Path, dir: &Path, args: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let (port, process) =
            on_free_port(async |address| serve(program, dir, &args, address.port()).await).await?;
        Ok(Self {
            process,
            program: program.to_owned(),
            dir: dir.to_owned(),
            args,
            port,
        })
    }

    /// `redis://127.0.0.1:<port>`, the same after a [`restart`](Self::restart).
    pub fn url(&self) -> String {
        url(self.port.number())
    }

    /// The server's process, to wait for it, to stop and continue it ([`Process::signal`]), or to read what it said.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends the server at once, as a crash would (SIGKILL).
    pub async fn kill(&self) -> ExitStatus {
        self.process.kill().await
    }

    /// Starts the server again, on the same port and with the same files; one that still runs is asked to end first.
    /// Returns when it answers.
    ///
    /// # Errors
    ///
    /// As of [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<()> {
        self.process.terminate().await;
        let port = self.port.number();
        // A stranger's connection may hold the port for a moment.
        self.process = eventually(START_LIMIT, "starting Redis again", async || {
            serve(&self.program, &self.dir, &self.args, port).await
        })
        .await?;
        Ok(())
    }
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

async fn serve(program: &Path, dir: &Path, args: &[String], port: u16) -> Result<Process> {
    let mut command = command(program);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args([
            "--appendonly",
            "yes",
            "--save",
            "",
            "--daemonize",
            "no",
            "--dir",
        ])
        .arg(dir)
        .args(args);
    let process = Process::spawn("redis", command)?;
    let client = redis::Client::open(url(port))?;
    let id = format!("process_id:{}", process.id());
    let answers = eventually(START_LIMIT, "starting Redis", async || {
        let mut connection = client.get_multiplexed_async_connection().await?;
        // `LOADING` is an error here, so this waits for the append-only file too.
        redis::cmd("PING").exec_async(&mut connection).await?;
        let mut info = redis::cmd("INFO");
        let info: String = info.arg("server").query_async(&mut connection).await?;
        ensure!(
            info.lines().any(|line| line == id),
            "another Redis answers on port {port}: address already in use"
        );
        Ok(())
    });
    process.alive_until(answers).await?;
    Ok(process)
}

#[cfg(test)]
mod tests {
    use redis::AsyncTypedCommands;

    use super::*;

    async fn connection(redis: &Redis) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(redis.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    #[tokio::test]
    async fn what_redis_acknowledged_outlives_a_kill_and_a_restart() {
        let program =
            Redis::find().expect("redis-server is on the PATH; `cargo xtask test` sees to it");
        let dir = tempfile::tempdir().unwrap();
        let mut redis = Redis::start(&program, dir.path(), &["--appendfsync", "always"])
            .await
            .unwrap();
        let url = redis.url();
        connection(&redis).await.set("key", "value").await.unwrap();
        redis.kill().await;
        assert!(!redis.process().is_running());
        redis.restart().await.unwrap();
        assert_eq!(redis.url(), url);
        let value = connection(&redis).await.get("key").await.unwrap();
        assert_eq!(value.as_deref(), Some("value"));
    }

    #[tokio::test]
    async fn a_server_that_refuses_its_arguments_is_an_error_with_its_words() {
        let program =
            Redis::find().expect("redis-server is on the PATH; `cargo xtask test` sees to it");
        let dir = tempfile::tempdir().unwrap();
        let error = Redis::start(&program, dir.path(), &["--maxmemory", "plenty"])
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains("maxmemory"), "{error:#}");
    }
}
