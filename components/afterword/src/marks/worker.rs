//! The worker's side of the marks: the lease, and what its holder may do.

use super::connection::{Connection, Error, Reply};
use super::{Redis, Task, milliseconds, names, number};
use crate::limit::limit;
use spin_sdk::redis::RedisResult;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a worker tries to reach a Redis that went away: what it has just written may have to be marked again.
const PERSISTENCE: Duration = Duration::from_secs(20);

/// A day, in seconds.
const DAY: &[u8] = b"86400";

/// Why a worker queues tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// They have changed, as a webhook said.
    Changed,
    /// They are not as the origin has them; it is not known since when.
    Outdated,
}

/// A worker, connected to Redis.
pub struct Worker {
    redis: Rc<Redis>,
    connection: RefCell<Rc<Connection>>,
}

impl Worker {
    /// Connects to Redis.
    pub async fn open(redis: Rc<Redis>) -> Result<Self, Error> {
        let connection = RefCell::new(Rc::new(Connection::open(&redis.url).await?));
        Ok(Self { redis, connection })
    }

    /// Sees to it that Redis tells when a key expires (`notify-keyspace-events` with `K` and `x`);
    /// whether it is known to.
    pub async fn switch_on_events(&self) -> bool {
        const NAME: &[u8] = b"notify-keyspace-events";
        let connection = self.connection();
        let Ok(reply) = connection.command("CONFIG", &[b"GET", NAME]).await else {
            return false;
        };
        let [_, RedisResult::Binary(events)] = reply.list() else {
            return false;
        };
        let mut wanted = events.clone();
        // `A` stands for all kinds of events, `x` among them.
        let missing = [(b'K', b"K".as_slice()), (b'x', b"xA")]
            .into_iter()
            .filter(|(_, any)| !any.iter().any(|flag| events.contains(flag)));
        wanted.extend(missing.map(|(flag, _)| flag));
        wanted == *events
            || connection
                .command("CONFIG", &[b"SET", NAME, &wanted])
                .await
                .is_ok()
    }

    /// Whether nobody has said for a day what is said when this is true: for a line that is to stand in the log once.
    pub async fn is_first_to_say(&self, what: &str) -> bool {
        let connection = self.connection();
        let name = format!("{}:{what}", self.redis.key("alive"));
        connection
            .command("SET", &[name.as_bytes(), b"1", b"NX", b"EX", DAY])
            .await
            .is_ok_and(|reply| !reply.is_nil())
    }

    /// Queues tasks: those of the outbox as `changed`, those that a reconciliation found as `outdated`.
    pub async fn queue(&self, verb: Queue, tasks: &[Task]) -> Result<(), Error> {
        let verb = match verb {
            Queue::Changed => "changed",
            Queue::Outdated => "outdated",
        };
        for some in tasks.chunks(1_000) {
            self.run(verb, &names(some)).await?;
        }
        Ok(())
    }

    /// The lease, unless another worker has it, or another application uses the same prefix.
    pub async fn take_lease(&self, application: &Application) -> Result<Taken<'_>, Error> {
        let Application { store, origin } = application;
        let arguments = [store, origin].map(|text| text.clone().into_bytes());
        let reply = self.run("take", &arguments).await?;
        Ok(match reply.list() {
            [RedisResult::Nil] => Taken::Held,
            [RedisResult::Binary(origin), RedisResult::Int64(lives)] => Taken::Refused {
                origin: String::from_utf8_lossy(origin).into_owned(),
                lives: Duration::from_millis(lives.unsigned_abs()),
            },
            _ => Taken::Lease(Lease {
                worker: self,
                token: reply.text()?.to_vec(),
                confirmed: Cell::new(Instant::now()),
            }),
        })
    }

    /// The present connection. Not to be borrowed across an `await`: another call may replace it meanwhile.
    fn connection(&self) -> Rc<Connection> {
        self.connection.borrow().clone()
    }

    /// Runs a verb, on a new connection if the present one is broken, for as long as it is worth it. It may have
    /// run already when it is run again: marks and clears are the same twice, and a lease that was taken unawares expires.
    async fn run(&self, verb: &str, arguments: &[Vec<u8>]) -> Result<Reply, Error> {
        let connection = self.connection();
        let first = connection.run(&self.redis, verb, arguments).await;
        match &first {
            Err(error) if !error.is_out_of_memory() => {}
            _ => return first,
        }
        let again = async {
            loop {
                if let Ok(connection) = Connection::open(&self.redis.url).await {
                    let connection = Rc::new(connection);
                    let reply = connection.run(&self.redis, verb, arguments).await;
                    if reply.is_ok() {
                        self.connection.replace(connection);
                        return reply;
                    }
                }
                spin_sdk::time::sleep(Duration::from_millis(500)).await;
            }
        };
        limit(PERSISTENCE, again).await.unwrap_or(first)
    }
}

/// What an application is known by to others that use its prefix.
pub struct Application {
    /// A text that is in its key-value store and in no other.
    pub store: String,
    /// Its origin: the URL and the table.
    pub origin: String,
}

/// What became of asking for the lease.
pub enum Taken<'a> {
    /// It is this worker's.
    Lease(Lease<'a>),
    /// It is another worker's.
    Held,
    /// Another application uses this prefix.
    Refused {
        /// Its [`Application::origin`].
        origin: String,
        /// The time after which the prefix is free, if nothing more is heard of it.
        lives: Duration,
    },
}

/// A claimed task: what was known of it before the fetch began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The task.
    pub task: Task,
    /// Its version; empty if Redis has none.
    pub version: String,
    /// When it was claimed, in milliseconds by Redis's clock.
    pub claimed_at: i64,
    /// How often it has failed since it was last completed.
    pub failures: u32,
    /// Its request failed while the origin answered others: what looks like the origin's failure is
    /// likely to be its own.
    pub suspect: bool,
    /// How long it has been queued.
    pub queued_for: Duration,
}

/// What a claim brought.
pub struct Claim {
    /// Tasks that are due, longest due first.
    pub marks: Vec<Mark>,
    /// Whether the circuit breaker is not closed: the outcome of the next request decides.
    pub probing: bool,
}

/// What became of a lease that its holder would give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// It is free, or another's.
    Done,
    /// It is kept: something is due after this time.
    Kept(Duration),
}

/// The right to write entries. One worker has it at a time; it lasts 15 s, and must be renewed while it is used.
pub struct Lease<'a> {
    /// Whose it is.
    pub worker: &'a Worker,
    token: Vec<u8>,
    /// When Redis last said that it is this worker's.
    confirmed: Cell<Instant>,
}

impl Lease<'_> {
    /// How often to renew.
    pub const RENEW_EVERY: Duration = Duration::from_secs(5);

    /// Makes the lease last for another 15 s; false if it is another's by now.
    pub async fn renew(&self) -> Result<bool, Error> {
        let asked = Instant::now();
        let held = self.run("renew", Vec::new()).await?.integer()? == 1;
        if held {
            self.confirmed.set(asked);
        }
        Ok(held)
    }

    /// Whether the lease is this worker's now. To be asked directly before each write: a worker
    /// that was stopped for longer than its lease lasts must not write what it had fetched before.
    pub async fn permits_write(&self) -> Result<bool, Error> {
        // The completion of the entry before was a moment ago.
        const LATELY: Duration = Duration::from_millis(100);
        if self.confirmed.get().elapsed() < LATELY {
            return Ok(true);
        }
        self.renew().await
    }

    /// Up to `limit` tasks that are due; `None` if the lease is another's by now. While the origin
    /// fails, that is one task every 5 s. `setup` is a digest of all that decides what the origin
    /// answers. A name that is no task's was not queued by Afterword: it is removed, since it would
    /// be due for ever.
    pub async fn claim(&self, limit: usize, setup: &str) -> Result<Option<Claim>, Error> {
        let reply = self.run("claim", vec![number(limit), setup.into()]).await?;
        if reply.is_nil() {
            return Ok(None);
        }
        let [
            RedisResult::Int64(now),
            RedisResult::Int64(probing),
            claimed @ ..,
        ] = reply.list()
        else {
            return Err(Error::Reply);
        };
        let mut marks = Vec::new();
        for claimed in claimed.chunks(5) {
            let [
                RedisResult::Binary(name),
                RedisResult::Binary(version),
                RedisResult::Int64(failures),
                RedisResult::Int64(suspect),
                RedisResult::Int64(queued_for),
            ] = claimed
            else {
                return Err(Error::Reply);
            };
            match str::from_utf8(name).ok().and_then(Task::parse) {
                Some(task) => marks.push(Mark {
                    task,
                    version: String::from_utf8_lossy(version).into_owned(),
                    claimed_at: *now,
                    failures: u32::try_from(*failures).unwrap_or(u32::MAX),
                    suspect: *suspect == 1,
                    queued_for: Duration::from_millis(queued_for.unsigned_abs()),
                }),
                None => drop(self.run("forget", vec![name.clone()]).await?),
            }
        }
        Ok(Some(Claim {
            marks,
            probing: *probing == 1,
        }))
    }

    /// The present version of a task; `None` if it is not queued.
    pub async fn version(&self, task: &Task) -> Result<Option<String>, Error> {
        let connection = self.worker.connection();
        let sequences = self.worker.redis.key("sequences").as_bytes();
        let reply = connection
            .command("HGET", &[sequences, &name(task)])
            .await?;
        if reply.is_nil() {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(reply.text()?).into_owned()))
    }

    /// The store holds content that was fetched after the claim. If the lease is another's by now,
    /// the task is queued again. If it was invalidated less than `replica_lag` before the claim, it
    /// stays queued, to be refreshed once more.
    pub async fn complete(&self, mark: &Mark, replica_lag: Duration) -> Result<(), Error> {
        let arguments = vec![
            name(&mark.task),
            mark.version.clone().into_bytes(),
            number(mark.claimed_at),
            milliseconds(replica_lag),
        ];
        let asked = Instant::now();
        if self.run("complete", arguments).await?.text()? != b"lost" {
            self.confirmed.set(asked);
        }
        Ok(())
    }

    /// These tasks failed by their own fault: each is due again after its pause. `why` is kept with
    /// them. If the lease is another's by now they are queued again, as
    /// [`complete`](Self::complete) does.
    pub async fn back_off(&self, tasks: Vec<(Task, Duration)>, why: &str) -> Result<(), Error> {
        let mut arguments = vec![why.into()];
        arguments.extend(with_pauses(tasks));
        self.run("back_off", arguments).await.map(drop)
    }

    /// These tasks failed by the origin's fault, which is asked again after `pause`; after a
    /// second, doubling, if there is none. A suspect backs off alone for its own pause, unless so
    /// many requests failed in a row that it is the origin's fault `after_all`. Returns for how
    /// long the circuit breaker has been open, if it is.
    pub async fn trip(
        &self,
        tasks: Vec<(Task, Duration)>,
        why: &str,
        setup: &str,
        pause: Option<Duration>,
        after_all: bool,
    ) -> Result<Option<Duration>, Error> {
        let mut arguments = vec![
            why.into(),
            setup.into(),
            milliseconds(pause.unwrap_or_default()),
            number(u8::from(after_all)),
        ];
        arguments.extend(with_pauses(tasks));
        let reply = self.run("trip", arguments).await?;
        if reply.is_nil() {
            return Ok(None);
        }
        Ok(u64::try_from(reply.integer()?)
            .ok()
            .map(Duration::from_millis))
    }

    /// A request succeeded while the circuit breaker was not closed. Returns whether it is closed
    /// now.
    pub async fn recovered(&self) -> Result<bool, Error> {
        Ok(self.run("recovered", Vec::new()).await?.integer()? == 1)
    }

    /// Queues a reconciliation if one is due: after so long a time, or with another configuration.
    pub async fn reconcile(&self, every: Duration, configuration: &str) -> Result<(), Error> {
        self.run("reconcile", vec![milliseconds(every), configuration.into()])
            .await
            .map(drop)
    }

    /// A reconciliation that began so long ago is done.
    pub async fn reconciled(&self, began: Duration, configuration: &str) -> Result<(), Error> {
        self.run(
            "reconciled",
            vec![milliseconds(began), configuration.into()],
        )
        .await
        .map(drop)
    }

    /// Gives the lease back, unless something is due soon; sets the alarm to what comes first, a reconciliation among it.
    pub async fn release(&self, reconcile_every: Duration) -> Result<Released, Error> {
        let reply = self
            .run("release", vec![milliseconds(reconcile_every)])
            .await?;
        if reply.is_nil() {
            return Ok(Released::Done);
        }
        Ok(Released::Kept(Duration::from_millis(
            reply.integer()?.unsigned_abs(),
        )))
    }

    /// Runs a verb whose first argument is the lease's token.
    async fn run(&self, verb: &str, mut arguments: Vec<Vec<u8>>) -> Result<Reply, Error> {
        arguments.insert(0, self.token.clone());
        self.worker.run(verb, &arguments).await
    }
}

fn with_pauses(tasks: Vec<(Task, Duration)>) -> impl Iterator<Item = Vec<u8>> {
    tasks
        .into_iter()
        .flat_map(|(task, pause)| [name(&task), milliseconds(pause)])
}

fn name(task: &Task) -> Vec<u8> {
    task.to_string().into_bytes()
}
