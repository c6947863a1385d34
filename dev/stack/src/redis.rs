//! Starts a Redis or Valkey server.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::command::{command, find_program};
use crate::port::{Port, on_free_port};
use crate::process::Process;
use crate::ready::eventually;

/// How long a start may take. Loading a large append-only file takes a while.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A Redis server on a port of 127.0.0.1. An append-only file keeps every acknowledged change. The
/// server ends when this is dropped.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    dir: PathBuf,
    args: Vec<String>,
    port: Port,
    process: Process,
}

impl Redis {
    /// The program on the `PATH`: `redis-server`, or else `valkey-server`.
    pub fn find() -> Option<PathBuf> {
        find_program("redis-server").or_else(|| find_program("valkey-server"))
    }

    /// Starts `program` on a free port, with its files in `dir` and with further arguments, such as
    /// `["--maxmemory", "1mb"]`. Makes a missing `dir`. Returns when the server responds.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made, or the program does not start, ends, or does not respond.
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

    /// `redis://127.0.0.1:<port>`. It stays the same after a [`restart`](Self::restart).
    pub fn url(&self) -> String {
        url(self.port.number())
    }

    /// The server's process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends the server like a crash (SIGKILL).
    pub async fn kill(&self) -> ExitStatus {
        self.process.kill().await
    }

    /// Restarts the server on the same port and with the same files. Terminates a running server
    /// first. Returns when the server responds.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<()> {
        self.process.terminate().await;
        let port = self.port.number();
        // Another program's connection may hold the port for a moment.
        self.process = eventually(START_LIMIT, "restarting Redis", async || {
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
    let responds = eventually(START_LIMIT, "starting Redis", async || {
        let mut connection = client.get_multiplexed_async_connection().await?;
        // Redis answers LOADING, an error, until it has read the append-only file.
        redis::cmd("PING").exec_async(&mut connection).await?;
        let mut info = redis::cmd("INFO");
        let info: String = info.arg("server").query_async(&mut connection).await?;
        ensure!(
            info.lines().any(|line| line == id),
            "another Redis responds on port {port}: address already in use"
        );
        Ok(())
    });
    process.alive_until(responds).await?;
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
    async fn an_acknowledged_change_outlives_a_kill_and_a_restart() {
        let program = Redis::find().expect("`cargo xtask test` puts redis-server on the PATH");
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
    async fn an_error_about_wrong_arguments_shows_the_servers_message() {
        let program = Redis::find().expect("`cargo xtask test` puts redis-server on the PATH");
        let dir = tempfile::tempdir().unwrap();
        let error = Redis::start(&program, dir.path(), &["--maxmemory", "plenty"])
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains("maxmemory"), "{error:#}");
    }
}
