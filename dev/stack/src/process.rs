//! A child process with its output and its own children.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::command::spawn_from_lasting_thread;

pub use nix::sys::signal::Signal;

/// How many lines of output are kept. A child may run for days.
const MAX_LINES: usize = 2_000;

/// How long [`Process::terminate`] waits before it kills.
const TERMINATION_LIMIT: Duration = Duration::from_secs(5);

/// How long to read the output of an ended child, which a detached process may hold open.
const LAST_OUTPUT_LIMIT: Duration = Duration::from_secs(1);

/// One of a child's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A running child process in its own process group.
///
/// Signals go to the whole group, since a child may have children: `spin up` has one for each
/// trigger type. When the child ends or this is dropped, the rest of the group is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    group: Pid,
    lines: watch::Receiver<VecDeque<String>>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts `command` and keeps its output. `name` is for messages.
    ///
    /// # Errors
    ///
    /// When the program does not start.
    pub fn spawn(name: &str, command: Command) -> Result<Self> {
        Self::spawn_with(name, command, |_, _| {})
    }

    /// Starts `command`, keeps its output, and passes each line to `on_line`.
    ///
    /// # Errors
    ///
    /// When the program does not start.
    pub fn spawn_with(
        name: &str,
        mut command: Command,
        on_line: impl Fn(Stream, &str) + Send + Sync + 'static,
    ) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let program = command.as_std().get_program().to_owned();
        let mut child = spawn_from_lasting_thread(command)
            .with_context(|| format!("starting {name} ({})", program.display()))?;
        let id = child.id().context("the child has just been started")?;
        let group = Pid::from_raw(id.try_into().context("a process id fits")?);

        let (lines, kept) = watch::channel(VecDeque::new());
        let (lines, on_line) = (Arc::new(lines), Arc::new(on_line));
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let stdout = tokio::spawn(read(stdout, Stream::Stdout, lines.clone(), on_line.clone()));
        let stderr = tokio::spawn(read(stderr, Stream::Stderr, lines, on_line));

        let (exited, exit) = watch::channel(None);
        tokio::spawn(async move {
            let status = child.wait().await;
            // Its remaining children would hold its ports and files.
            let _ = killpg(group, Signal::SIGKILL);
            // The message about its end shows its last lines.
            let _ = timeout(LAST_OUTPUT_LIMIT, async { tokio::join!(stdout, stderr) }).await;
            exited.send_replace(Some(status.unwrap_or_else(|_| ExitStatus::from_raw(-1))));
        });
        Ok(Self {
            name: name.to_owned(),
            group,
            lines: kept,
            exit,
        })
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id, which is also the id of the process group.
    pub fn id(&self) -> u32 {
        self.group.as_raw().unsigned_abs()
    }

    /// The last lines (up to 2,000) of both streams in order.
    pub fn output(&self) -> String {
        self.lines
            .borrow()
            .iter()
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// Whether it is running.
    pub fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Waits until it ends, and returns its status.
    pub async fn wait(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await;
        // Only a runtime that shuts down drops the sender without a status.
        ended
            .ok()
            .and_then(|status| *status)
            .unwrap_or_else(|| ExitStatus::from_raw(-1))
    }

    /// Waits for a line that contains `text`, and returns it.
    ///
    /// # Errors
    ///
    /// When the output ends or `limit` passes first. The error shows the output.
    pub async fn line_with(&self, text: &str, limit: Duration) -> Result<String> {
        let mut lines = self.lines.clone();
        let says =
            |lines: &VecDeque<String>| lines.iter().find(|line| line.contains(text)).cloned();
        let problem = match timeout(limit, lines.wait_for(|lines| says(lines).is_some())).await {
            Ok(Ok(lines)) => return Ok(says(&lines).expect("wait_for has seen the line")),
            Ok(Err(_)) => "ended".to_owned(),
            Err(_) => format!("went on for {limit:?}"),
        };
        bail!(
            "{} {problem} without a line with {text:?}{}",
            self.name,
            self.quoted_output()
        )
    }

    /// Waits for `future`, unless this process ends first.
    ///
    /// # Errors
    ///
    /// The future's error, or that the process ended. Both show the output.
    pub async fn alive_until<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            result = future => result.map_err(|error| anyhow!("{error:#}{}", self.quoted_output())),
            status = self.wait() => {
                bail!("{} ended with {status}{}", self.name, self.quoted_output())
            }
        }
    }

    /// Sends `signal` to the process group, unless it has ended.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        match killpg(self.group, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("sending {signal} to {}", self.name)),
        }
    }

    /// Sends SIGTERM, kills it after 5 s, and returns its status.
    pub async fn terminate(&self) -> ExitStatus {
        // A stopped process receives SIGTERM only when it continues.
        let _ = self
            .signal(Signal::SIGTERM)
            .and_then(|()| self.signal(Signal::SIGCONT));
        match timeout(TERMINATION_LIMIT, self.wait()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    /// Sends SIGKILL, and returns its status.
    pub async fn kill(&self) -> ExitStatus {
        let _ = self.signal(Signal::SIGKILL);
        self.wait().await
    }

    fn quoted_output(&self) -> String {
        let output = self.output();
        if output.is_empty() {
            "; it wrote nothing".to_owned()
        } else {
            format!("; it wrote:\n{}", output.trim_end())
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.signal(Signal::SIGKILL);
    }
}

async fn read(
    stream: impl AsyncRead + Unpin,
    which: Stream,
    lines: Arc<watch::Sender<VecDeque<String>>>,
    on_line: Arc<impl Fn(Stream, &str)>,
) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    // `lines()` would end at the first byte that is not UTF-8.
    while let Ok(1..) = reader.read_until(b'\n', &mut bytes).await {
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        bytes.clear();
        on_line(which, &line);
        lines.send_modify(|lines| {
            if lines.len() == MAX_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> Process {
        let mut command = crate::command::command("sh");
        command.args(["-c", script]);
        Process::spawn("shell", command).unwrap()
    }

    /// A process with a grandchild, which holds the output open. The open output shows that the
    /// grandchild lives. Its process id would not, since another process may get it.
    async fn with_a_grandchild(script: &str) -> (Process, watch::Receiver<VecDeque<String>>) {
        let process = shell(script);
        process.line_with("grandchild", LIMIT).await.unwrap();
        let output = process.lines.clone();
        (process, output)
    }

    async fn is_closed(mut output: watch::Receiver<VecDeque<String>>) {
        timeout(LIMIT, async { while output.changed().await.is_ok() {} })
            .await
            .expect("the grandchild ends");
    }

    #[tokio::test]
    async fn both_streams_and_the_status_are_kept() {
        let process = shell("echo out; echo err >&2; exit 3");
        assert_eq!(process.wait().await.code(), Some(3));
        process.line_with("out", LIMIT).await.unwrap();
        process.line_with("err", LIMIT).await.unwrap();
        assert!(!process.is_running());
    }

    #[tokio::test]
    async fn an_error_about_a_missing_line_shows_the_output() {
        let error = shell("echo something else")
            .line_with("ready", LIMIT)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("something else"), "{error}");
        let error = shell("sleep 600")
            .line_with("ready", Duration::from_millis(10))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("wrote nothing"), "{error}");
    }

    #[tokio::test]
    async fn an_error_about_an_early_end_shows_the_output() {
        let process = shell("echo no room; exit 7");
        let error = process
            .alive_until::<()>(std::future::pending())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("exit status: 7"), "{error}");
    }

    #[tokio::test]
    async fn a_grandchild_ends_when_the_process_is_dropped() {
        let (process, output) = with_a_grandchild("sleep 600 & echo grandchild; wait").await;
        assert!(output.has_changed().is_ok(), "the grandchild lives");
        drop(process);
        is_closed(output).await;
    }

    #[tokio::test]
    async fn a_grandchild_ends_when_the_child_ends() {
        let (process, output) = with_a_grandchild("sleep 600 & echo grandchild").await;
        process.wait().await;
        is_closed(output).await;
    }

    #[tokio::test]
    async fn a_stopped_process_can_be_terminated() {
        let (process, output) = with_a_grandchild("sleep 600 & echo grandchild; wait").await;
        process.signal(Signal::SIGSTOP).unwrap();
        assert_eq!(
            process.terminate().await.signal(),
            Some(Signal::SIGTERM as i32)
        );
        is_closed(output).await;
    }

    #[tokio::test]
    async fn a_child_outlives_the_thread_that_started_it() {
        let runtime = tokio::runtime::Handle::current();
        let process = std::thread::spawn(move || {
            let _entered = runtime.enter();
            shell("sleep 600")
        })
        .join()
        .unwrap();
        assert!(
            timeout(Duration::from_millis(300), process.wait())
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn an_error_names_a_missing_program() {
        let error = Process::spawn("nothing", Command::new("/no/such/program")).unwrap_err();
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }
}
