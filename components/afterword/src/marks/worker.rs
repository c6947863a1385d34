//! The worker's side of the marks: the lease, and what its holder may do.

use super::connection::{Connection, Error, Reply};
use super::{Redis, Task, milliseconds, names, number};
use crate::key::Key;
use crate::limit::limit;
use spin_sdk::redis::RedisResult;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How long a lease lasts without being renewed: so long does a crashed worker hold up the next.
const LEASE: Duration = Duration::from_secs(15);

/// How long a worker counts as alive after it was at work: two heartbeats and a half.
const ALIVE: Duration = Duration::from_secs(150);

/// How long a worker tries to reach a Redis that went away: what it has just written may have to be marked again.
const PERSISTENCE: Duration = Duration::from_secs(20);

/// A day, in seconds.
const DAY: &[u8] = b"86400";

/// How many seconds Redis has for telling that a timer of one second ran out.
const PROOF: i64 = 5;

/// Whether Redis tells when a timer has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timers {
    /// It does.
    Told,
    /// It does not, and may not be told to.
    Untold,
    /// It may not be asked, and [`Worker::ring`] has not been answered yet.
    Unknown,
}

/// What a worker is set up with, as a short digest: a failing origin of another set-up says nothing about this one's.
pub type Setup = String;

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

    /// Sees to it that Redis tells when a timer runs out (`notify-keyspace-events` with `K` and `x`), and says whether it does. Where
    /// this user may not ask for the setting, what counts is whether it has told lately, `rung` being that it just did.
    pub async fn timers(&self, rung: bool) -> Result<Timers, Error> {
        const NAME: &[u8] = b"notify-keyspace-events";
        let connection = self.connection();
        let Ok(reply) = connection.command("CONFIG", &[b"GET", NAME]).await else {
            return self.proven(rung).await;
        };
        let [_, RedisResult::Binary(events)] = reply.list() else {
            return self.proven(rung).await;
        };
        let mut wanted = events.clone();
        // `A` stands for all kinds of events, `x` among them.
        let missing = [(b'K', b"K".as_slice()), (b'x', b"xA")]
            .into_iter()
            .filter(|(_, any)| !any.iter().any(|flag| events.contains(flag)));
        wanted.extend(missing.map(|(flag, _)| flag));
        let on = wanted == *events
            || connection
                .command("CONFIG", &[b"SET", NAME, &wanted])
                .await
                .is_ok();
        Ok(if on { Timers::Told } else { Timers::Untold })
    }

    async fn proven(&self, rung: bool) -> Result<Timers, Error> {
        let told = format!("{}:told", self.redis.key("timer"));
        let asked = format!("{}:asked", self.redis.key("timer"));
        let (told, asked) = (told.as_bytes(), asked.as_bytes());
        let connection = self.connection();
        if rung {
            connection.command("SET", &[told, b"1", b"EX", DAY]).await?;
            return Ok(Timers::Told);
        }
        if connection.command("EXISTS", &[told]).await?.integer()? == 1 {
            return Ok(Timers::Told);
        }
        if !connection
            .command("SET", &[asked, b"1", b"NX", b"EX", DAY])
            .await?
            .is_nil()
        {
            return Ok(Timers::Unknown);
        }
        let asked = 86_400 - connection.command("TTL", &[asked]).await?.integer()?;
        Ok(if asked > PROOF {
            Timers::Untold
        } else {
            Timers::Unknown
        })
    }

    /// Sets the timer to run out in a second, to see whether Redis tells.
    pub async fn ring(&self) -> Result<(), Error> {
        self.connection()
            .command(
                "SET",
                &[self.redis.key("timer").as_bytes(), b"1", b"PX", b"1000"],
            )
            .await
            .map(drop)
    }

    /// Whether nobody has said for a day what is said when this is true: for a line that is to stand in the log once.
    pub async fn is_first_to_say(&self, what: &str) -> Result<bool, Error> {
        let connection = self.connection();
        let name = format!("{}:{what}", self.redis.key("alive"));
        Ok(!connection
            .command("SET", &[name.as_bytes(), b"1", b"NX", b"EX", DAY])
            .await?
            .is_nil())
    }

    /// Marks keys as changed: what a reconciliation or the outbox found.
    pub async fn changed(&self, keys: &[Task]) -> Result<(), Error> {
        for some in keys.chunks(1_000) {
            self.run("changed", &names(some)).await?;
        }
        Ok(())
    }

    /// The lease, unless another worker has it.
    pub async fn take_lease(&self) -> Result<Option<Lease<'_>>, Error> {
        let reply = self
            .run("take", &[milliseconds(LEASE), milliseconds(ALIVE)])
            .await?;
        if reply.is_nil() {
            return Ok(None);
        }
        Ok(Some(Lease {
            worker: self,
            token: reply.integer()?.to_string().into_bytes(),
        }))
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
        if first.is_ok() {
            return first;
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

/// A claimed mark: what was known of it before the fetch began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The marked key.
    pub key: Key,
    /// The number of its latest mark.
    pub sequence: i64,
    /// How often its refresh has failed since it was last cleared.
    pub failures: u32,
    /// Its request failed where others' succeeded: what looks like the origin's failure is likely to be its own.
    pub suspect: bool,
}

/// What became of a mark whose key was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// The mark is gone.
    Cleared,
    /// It was marked again meanwhile, and stays marked.
    Again,
    /// The lease is another's by now: the key is marked again.
    LeaseLost,
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
}

impl Lease<'_> {
    /// How often to renew.
    pub const RENEW_EVERY: Duration = Duration::from_secs(5);

    /// Makes the lease last for another 15 s; false if it is another's by now.
    pub async fn renew(&self) -> Result<bool, Error> {
        Ok(self.run("renew", [milliseconds(LEASE)]).await?.integer()? == 1)
    }

    /// Up to `limit` marks that are due, longest due first; `None` if the lease is another's by now. While the origin fails, that is
    /// one mark every 5 s. A name among them that is no key's was not put there by Afterword: it is removed, since it would be due
    /// for ever.
    pub async fn claim(&self, limit: usize, setup: &Setup) -> Result<Option<Vec<Mark>>, Error> {
        let reply = self
            .run("claim", [number(limit), setup.clone().into_bytes()])
            .await?;
        if reply.is_nil() {
            return Ok(None);
        }
        let mut marks = Vec::new();
        for claimed in reply.list().chunks(4) {
            let [
                RedisResult::Binary(name),
                RedisResult::Int64(sequence),
                RedisResult::Int64(failures),
                RedisResult::Int64(suspect),
            ] = claimed
            else {
                return Err(Error::Reply);
            };
            match str::from_utf8(name).ok().and_then(Key::from_path) {
                Some(key) => {
                    let failures = u32::try_from(*failures).unwrap_or(u32::MAX);
                    marks.push(Mark {
                        key,
                        sequence: *sequence,
                        failures,
                        suspect: *suspect == 1,
                    });
                }
                None => drop(self.clear_name(name.clone(), *sequence).await?),
            }
        }
        Ok(Some(marks))
    }

    /// The number of the latest mark of the mark's key: another than the claimed one if it was marked again since. `None` if it is
    /// no longer marked, which only another worker can have brought about.
    pub async fn latest(&self, mark: &Mark) -> Result<Option<i64>, Error> {
        let connection = self.worker.connection();
        let marked = name(&mark.key);
        let reply = connection
            .command(
                "HGET",
                &[self.worker.redis.key("sequences").as_bytes(), &marked],
            )
            .await?;
        if reply.is_nil() {
            return Ok(None);
        }
        let digits = str::from_utf8(reply.text()?).map_err(|_| Error::Reply)?;
        digits.parse().map(Some).map_err(|_| Error::Reply)
    }

    /// The store holds content of the mark's key that was fetched after the claim.
    pub async fn clear(&self, mark: &Mark) -> Result<Cleared, Error> {
        self.clear_name(name(&mark.key), mark.sequence).await
    }

    async fn clear_name(&self, name: Vec<u8>, sequence: i64) -> Result<Cleared, Error> {
        let arguments = [name, number(sequence)];
        match self.run("clear", arguments).await?.text()? {
            b"cleared" => Ok(Cleared::Cleared),
            b"again" => Ok(Cleared::Again),
            b"lost" => Ok(Cleared::LeaseLost),
            _ => Err(Error::Reply),
        }
    }

    /// The refresh of these keys failed by their own fault: each is due again after its pause. `why` is kept with them. If the lease
    /// is another's by now they are marked again, as [`clear`](Self::clear) does.
    pub async fn postpone(
        &self,
        keys: impl Iterator<Item = (Key, Duration)>,
        why: &str,
    ) -> Result<(), Error> {
        let keys = keys.flat_map(|(key, pause)| [name(&key), milliseconds(pause)]);
        self.run("postpone", std::iter::once(why.into()).chain(keys))
            .await
            .map(drop)
    }

    /// The refresh of these keys failed by the origin's fault, which is asked again after `probe`. A key for which that turns out
    /// to be wrong, since the origin answers for others, gets its own pause.
    pub async fn hold(
        &self,
        keys: impl Iterator<Item = (Key, Duration)>,
        why: &str,
        setup: &Setup,
        probe: Duration,
    ) -> Result<(), Error> {
        let keys = keys.flat_map(|(key, pause)| [name(&key), milliseconds(pause)]);
        let arguments = [why.into(), setup.clone().into_bytes(), milliseconds(probe)];
        self.run("hold", arguments.into_iter().chain(keys))
            .await
            .map(drop)
    }

    /// Whether the last reconciliation is so long ago that the next is due; if so, the list is marked.
    pub async fn reconcile(&self, every: Duration) -> Result<bool, Error> {
        Ok(self
            .run("reconcile", [milliseconds(every), name(&Key::List)])
            .await?
            .integer()?
            == 1)
    }

    /// A reconciliation that began so long ago is done.
    pub async fn reconciled(&self, began: Duration) -> Result<(), Error> {
        self.run("reconciled", [milliseconds(began)])
            .await
            .map(drop)
    }

    /// Gives the lease back, unless something is due soon; sets the alarm to what comes first, a reconciliation among it.
    pub async fn release(&self, reconcile_every: Duration) -> Result<Released, Error> {
        let reply = self.run("release", [milliseconds(reconcile_every)]).await?;
        if reply.is_nil() {
            return Ok(Released::Done);
        }
        Ok(Released::Kept(Duration::from_millis(
            reply.integer()?.unsigned_abs(),
        )))
    }

    /// Runs a verb whose first argument is the lease's token.
    async fn run(
        &self,
        verb: &str,
        arguments: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Reply, Error> {
        let arguments: Vec<Vec<u8>> = std::iter::once(self.token.clone())
            .chain(arguments)
            .collect();
        self.worker.run(verb, &arguments).await
    }
}

fn name(key: &Key) -> Vec<u8> {
    key.to_string().into_bytes()
}
