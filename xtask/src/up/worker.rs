//! The worker's process, supervised: started again when it ends, as Spin's Redis trigger does when
//! Redis goes away, and when it does not answer its wake-ups, as when its subscription is dead
//! without a word.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use afterword_stack::wake::Answer;
use afterword_stack::{App, Host, Process, WakeUp};
use anyhow::Result;
use tokio::sync::watch;
use tokio::time::sleep;

use super::said;

const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// A worker that ran this long was well: what ends it is a new trouble, and the delays start over.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// How long a new worker may take to subscribe: the host compiles the component on the first start.
const START_LIMIT: Duration = Duration::from_secs(120);

/// How a worker is watched: see docs/operating.md.
pub const PACE: Pace = Pace {
    every: Duration::from_secs(60),
    answer: Duration::from_secs(20),
};

/// The times of the watch.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From one wake-up to the next.
    pub every: Duration,
    /// How long the worker may take to answer.
    pub answer: Duration,
}

/// A worker to keep running.
pub struct Worker<'a> {
    pub host: &'a Host,
    pub app: &'a App,
    pub wake_up: &'a WakeUp,
    pub pace: Pace,
    pub verbose: bool,
}

impl Worker<'_> {
    /// Keeps the worker running and awake. `heard` becomes true with the first wake-up that a
    /// worker has heard.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub async fn keep_running(&self, heard: watch::Sender<bool>) -> Result<Infallible> {
        let mut delay = FIRST_DELAY;
        loop {
            let started = Instant::now();
            let on_line = said::by_the_application("refresh", self.verbose);
            let process = Process::spawn_with("the worker", self.host.command(self.app)?, on_line)?;
            let why = tokio::select! {
                status = process.wait() => format!("ended ({status})"),
                () = self.until_silent(&heard) => {
                    process.terminate().await;
                    format!("did not answer a wake-up within {:?}", self.pace.answer)
                }
            };
            if started.elapsed() >= WELL_AFTER {
                delay = FIRST_DELAY;
            }
            eprintln!("refresh    | the worker {why}; starting it again in {delay:?}");
            sleep(delay).await;
            delay = longer(delay);
        }
    }

    /// Wakes the worker, and goes on waking it until it does not answer.
    async fn until_silent(&self, heard: &watch::Sender<bool>) {
        match self.wake_up.until_heard(START_LIMIT).await {
            Ok(()) => drop(heard.send_replace(true)),
            Err(error) => eprintln!("refresh    | the worker is not woken yet: {error:#}"),
        }
        let mut told = false;
        loop {
            sleep(self.pace.every).await;
            match self.wake_up.answer(self.pace.answer).await {
                Ok(Answer::Silent) => return,
                Ok(Answer::Alive) => {
                    heard.send_replace(true);
                    told = false;
                }
                Err(error) if !told => {
                    eprintln!("refresh    | cannot tell whether the worker answers: {error:#}");
                    told = true;
                }
                Err(_) => {}
            }
        }
    }
}

fn longer(delay: Duration) -> Duration {
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

    /// A worker's process that notes its starts and does nothing else, and a Redis.
    struct Stand {
        redis: Redis,
        wake_up: WakeUp,
        host: Host,
        app: App,
        starts: PathBuf,
        _dir: TempDir,
    }

    async fn stand() -> Stand {
        let program =
            Redis::find().expect("redis-server is on the PATH; `cargo xtask test` sees to it");
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
        Stand {
            wake_up: WakeUp::new(&redis.url(), WakeUp::DEFAULT_PREFIX),
            redis,
            host: Host::Embedded(host),
            app: App::default(),
            starts,
            _dir: dir,
        }
    }

    impl Stand {
        /// Subscribes in the process's place; sends this command at each wake-up.
        async fn subscribe(&self, at_wake_up: &'static str) {
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

        /// Supervises the process until `seen`.
        async fn until(&self, answer: Duration, seen: impl AsyncFnMut() -> Result<()>) {
            let worker = Worker {
                host: &self.host,
                app: &self.app,
                wake_up: &self.wake_up,
                pace: Pace {
                    every: Duration::from_millis(50),
                    answer,
                },
                verbose: false,
            };
            let (heard, woken) = watch::channel(false);
            tokio::select! {
                ended = worker.keep_running(heard) => panic!("{ended:?}"),
                seen = eventually(PATIENCE, "supervising", seen) => seen.unwrap(),
            }
            assert!(*woken.borrow());
        }
    }

    /// Its subscription may be dead without a word: Redis counts it all the same.
    #[tokio::test]
    async fn a_worker_that_does_not_answer_is_started_again() {
        let stand = stand().await;
        stand.subscribe("PING\r\n").await;
        stand
            .until(Duration::from_millis(200), async || {
                ensure!(
                    stand.starts() >= 3,
                    "it was started {} times",
                    stand.starts()
                );
                Ok(())
            })
            .await;
    }

    #[tokio::test]
    async fn a_worker_that_answers_is_left_alone() {
        let stand = stand().await;
        stand.subscribe("INCR {afterword}:v1:alive\r\n").await;
        let client = redis::Client::open(stand.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        stand
            .until(PATIENCE, async || {
                let mut get = redis::cmd("GET");
                let get = get.arg("{afterword}:v1:alive");
                let answers: Option<u32> = get.query_async(&mut connection).await?;
                ensure!(answers >= Some(5), "it answered {answers:?} times");
                Ok(())
            })
            .await;
        assert_eq!(stand.starts(), 1);
    }

    #[tokio::test]
    async fn a_worker_is_left_alone_while_redis_takes_no_writes() {
        let stand = stand().await;
        stand.subscribe("PING\r\n").await;
        let client = redis::Client::open(stand.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut refuse = redis::cmd("CONFIG");
        refuse.arg("SET").arg("min-replicas-to-write").arg(1);
        refuse.exec_async(&mut connection).await.unwrap();
        let mut woken = redis::cmd("INFO");
        woken.arg("commandstats");
        stand
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
        assert_eq!(stand.starts(), 1);
    }

    #[test]
    fn the_delays_double_up_to_half_a_minute() {
        let delays: Vec<_> = std::iter::successors(Some(FIRST_DELAY), |delay| Some(longer(*delay)))
            .take(8)
            .map(|delay| delay.as_millis())
            .collect();
        assert_eq!(
            delays,
            [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
        );
    }
}
