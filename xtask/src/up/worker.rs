//! Supervises the worker's process: restarts it when it ends or stops responding to wake-ups.
//!
//! Spin's Redis trigger ends when Redis goes away. When its connection dies silently, it runs on
//! without responding.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use afterword_stack::wake::Response;
use afterword_stack::{App, Host, Process, WakeUp};
use anyhow::Result;
use tokio::sync::watch;
use tokio::time::sleep;

use super::output;

const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// After this long, a worker counts as healthy, and the delays start over.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// How long a new worker may take to subscribe. At the first start, the host compiles the
/// component.
const START_LIMIT: Duration = Duration::from_secs(120);

/// The schedule in docs/operating.md.
pub const SCHEDULE: Schedule = Schedule {
    interval: Duration::from_secs(60),
    response_limit: Duration::from_secs(20),
};

/// When to wake the worker.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The time between two wake-ups.
    pub interval: Duration,
    /// How long the worker may take to respond.
    pub response_limit: Duration,
}

/// A worker to keep running.
pub struct Worker<'a> {
    pub host: &'a Host,
    pub app: &'a App,
    pub wake_up: &'a WakeUp,
    pub schedule: Schedule,
    pub verbose: bool,
}

impl Worker<'_> {
    /// Keeps the worker running and wakes it. `listening` becomes true when a worker has received a
    /// wake-up.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn keep_running(&self, listening: watch::Sender<bool>) -> Result<Infallible> {
        let mut delay = FIRST_DELAY;
        loop {
            let started = Instant::now();
            let on_line = output::of_application("refresh", self.verbose);
            let process = Process::spawn_with("the worker", self.host.command(self.app)?, on_line)?;
            let reason = tokio::select! {
                status = process.wait() => format!("ended ({status})"),
                () = self.until_silent(&listening) => {
                    process.terminate().await;
                    let limit = self.schedule.response_limit;
                    format!("did not respond to a wake-up within {limit:?}")
                }
            };
            if started.elapsed() >= HEALTHY_AFTER {
                delay = FIRST_DELAY;
            }
            eprintln!("refresh    | the worker {reason}; restarting it in {delay:?}");
            sleep(delay).await;
            delay = next_delay(delay);
        }
    }

    /// Wakes the worker on schedule until it stops responding.
    async fn until_silent(&self, listening: &watch::Sender<bool>) {
        match self.wake_up.until_heard(START_LIMIT).await {
            Ok(()) => drop(listening.send_replace(true)),
            Err(error) => eprintln!("refresh    | the worker does not listen yet: {error:#}"),
        }
        let mut reported = false;
        loop {
            sleep(self.schedule.interval).await;
            match self.wake_up.send(self.schedule.response_limit).await {
                Ok(Response::Silent) => return,
                Ok(Response::Alive) => {
                    listening.send_replace(true);
                    reported = false;
                }
                Err(error) if !reported => {
                    eprintln!("refresh    | cannot check whether the worker responds: {error:#}");
                    reported = true;
                }
                Err(_) => {}
            }
        }
    }
}

fn next_delay(delay: Duration) -> Duration {
    (delay * 2).min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use afterword_stack::{Redis, eventually};
    use anyhow::ensure;
    use tempfile::TempDir;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpStream;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A Redis, and a worker's process that only records its starts.
    struct Setup {
        redis: Redis,
        wake_up: WakeUp,
        host: Host,
        app: App,
        starts: PathBuf,
        _dir: TempDir,
    }

    async fn setup() -> Setup {
        let program = Redis::find().expect("`cargo xtask test` puts redis-server on the PATH");
        let dir = tempfile::tempdir().unwrap();
        let redis = Redis::start(&program, &dir.path().join("redis"), &[])
            .await
            .unwrap();
        let (host, starts) = (dir.path().join("host"), dir.path().join("starts"));
        let script = format!(
            "#!/bin/sh\necho start >> '{}'\nexec sleep 600\n",
            starts.display()
        );
        std::fs::write(&host, script).unwrap();
        std::fs::set_permissions(&host, std::fs::Permissions::from_mode(0o755)).unwrap();
        Setup {
            wake_up: WakeUp::new(&redis.url(), WakeUp::DEFAULT_PREFIX),
            redis,
            host: Host::Embedded(host),
            app: App::default(),
            starts,
            _dir: dir,
        }
    }

    impl Setup {
        /// Subscribes instead of the process, and sends this command at each wake-up.
        async fn subscribe(&self, at_wake_up: String) {
            let address = self.redis.url().replace("redis://", "");
            let mut commands = TcpStream::connect(&address).await.unwrap();
            let mut subscription = TcpStream::connect(&address).await.unwrap();
            let subscribe = format!("SUBSCRIBE {}\r\n", self.wake_up.channel());
            subscription.write_all(subscribe.as_bytes()).await.unwrap();
            tokio::spawn(async move {
                let mut lines = BufReader::new(subscription).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "wake" {
                        commands.write_all(at_wake_up.as_bytes()).await.unwrap();
                    }
                }
            });
        }

        fn starts(&self) -> usize {
            std::fs::read_to_string(&self.starts).map_or(0, |starts| starts.lines().count())
        }

        /// Supervises the process until `condition` holds.
        async fn until(
            &self,
            response_limit: Duration,
            condition: impl AsyncFnMut() -> Result<()>,
        ) {
            let worker = Worker {
                host: &self.host,
                app: &self.app,
                wake_up: &self.wake_up,
                schedule: Schedule {
                    interval: Duration::from_millis(50),
                    response_limit,
                },
                verbose: false,
            };
            let (listening, worker_listens) = watch::channel(false);
            tokio::select! {
                ended = worker.keep_running(listening) => panic!("{ended:?}"),
                held = eventually(PATIENCE, "supervising", condition) => held.unwrap(),
            }
            assert!(*worker_listens.borrow());
        }
    }

    /// Redis counts a subscription on a dead connection, too.
    #[tokio::test]
    async fn a_silent_worker_is_restarted() {
        let setup = setup().await;
        setup.subscribe("PING\r\n".to_owned()).await;
        setup
            .until(Duration::from_millis(200), async || {
                ensure!(
                    setup.starts() >= 3,
                    "it was started {} times",
                    setup.starts()
                );
                Ok(())
            })
            .await;
    }

    #[tokio::test]
    async fn a_responding_worker_is_left_alone() {
        let setup = setup().await;
        setup
            .subscribe(format!("INCR {}\r\n", setup.wake_up.alive_key()))
            .await;
        let client = redis::Client::open(setup.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        setup
            .until(PATIENCE, async || {
                let mut get = redis::cmd("GET");
                let get = get.arg(setup.wake_up.alive_key());
                let responses: Option<u32> = get.query_async(&mut connection).await?;
                ensure!(responses >= Some(5), "it responded {responses:?} times");
                Ok(())
            })
            .await;
        assert_eq!(setup.starts(), 1);
    }

    #[tokio::test]
    async fn a_worker_is_left_alone_while_redis_refuses_writes() {
        let setup = setup().await;
        setup.subscribe("PING\r\n".to_owned()).await;
        let client = redis::Client::open(setup.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut refuse = redis::cmd("CONFIG");
        refuse.arg("SET").arg("min-replicas-to-write").arg(1);
        refuse.exec_async(&mut connection).await.unwrap();
        let mut woken = redis::cmd("INFO");
        woken.arg("commandstats");
        setup
            .until(Duration::from_millis(1), async || {
                let stats: String = woken.query_async(&mut connection).await?;
                let published = stats
                    .lines()
                    .find(|line| line.starts_with("cmdstat_publish:"));
                let calls = published.and_then(|line| {
                    line.split_once("calls=")?
                        .1
                        .split(',')
                        .next()?
                        .parse::<u32>()
                        .ok()
                });
                ensure!(calls >= Some(10), "it was woken {calls:?} times");
                Ok(())
            })
            .await;
        assert_eq!(setup.starts(), 1);
    }

    #[test]
    fn restart_delays_double_up_to_30_seconds() {
        let delays: Vec<_> =
            std::iter::successors(Some(FIRST_DELAY), |delay| Some(next_delay(*delay)))
                .take(8)
                .map(|delay| delay.as_millis())
                .collect();
        assert_eq!(
            delays,
            [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
        );
    }
}
