//! The worker's side of the marks: the lease, and what its holder may do.

use super::connection::{Connection, Error, Reply};
use super::{CHANNEL, scripts};
use crate::key::Key;
use spin_sdk::redis::RedisResult;
use std::time::Duration;

/// How long a lease lasts without being renewed: so long does a crashed worker hold up the next.
const LEASE: Duration = Duration::from_secs(15);

/// A worker's connection.
pub struct Worker(Connection);

impl Worker {
    /// Connects to Redis.
    pub async fn open(redis_url: &str) -> Result<Self, Error> {
        Connection::open(redis_url).await.map(Self)
    }

    /// The lease, unless another worker has it.
    pub async fn take_lease(&self) -> Result<Option<Lease<'_>>, Error> {
        let reply = self
            .0
            .run(&scripts::TAKE, &[milliseconds(LEASE).as_bytes()])
            .await?;
        if reply.is_nil() {
            return Ok(None);
        }
        Ok(Some(Lease {
            connection: &self.0,
            token: reply.integer()?.to_string(),
        }))
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
    connection: &'a Connection,
    token: String,
}

impl Lease<'_> {
    /// How often to renew.
    pub const RENEW_EVERY: Duration = Duration::from_secs(5);

    /// Makes the lease last for another 15 s; false if it is another's by now.
    pub async fn renew(&self) -> Result<bool, Error> {
        Ok(self
            .run(&scripts::RENEW, &[milliseconds(LEASE).as_bytes()])
            .await?
            .integer()?
            == 1)
    }

    /// Up to `limit` marks that are due, longest due first; `None` if the lease is another's by now. A name among them that is no
    /// key's was not put there by Afterword: it is removed, since it would be due for ever.
    pub async fn claim(&self, limit: usize) -> Result<Option<Vec<Mark>>, Error> {
        let reply = self
            .run(&scripts::CLAIM, &[limit.to_string().as_bytes()])
            .await?;
        if reply.is_nil() {
            return Ok(None);
        }
        let mut marks = Vec::new();
        for claimed in reply.list().chunks(3) {
            let [
                RedisResult::Binary(name),
                RedisResult::Int64(sequence),
                RedisResult::Int64(failures),
            ] = claimed
            else {
                return Err(Error::Reply);
            };
            match std::str::from_utf8(name).ok().and_then(Key::from_path) {
                Some(key) => marks.push(Mark {
                    key,
                    sequence: *sequence,
                    failures: u32::try_from(*failures).unwrap_or(u32::MAX),
                }),
                None => drop(self.clear_name(name, *sequence).await?),
            }
        }
        Ok(Some(marks))
    }

    /// The number of the latest mark of the mark's key: another than the claimed one if it was marked again since.
    pub async fn latest(&self, mark: &Mark) -> Result<i64, Error> {
        let name = mark.key.to_string();
        let sequence = self
            .connection
            .field(scripts::SEQUENCES, name.as_bytes())
            .await?;
        let sequence = sequence.and_then(|digits| str::from_utf8(&digits).ok()?.parse().ok());
        sequence.ok_or(Error::Reply)
    }

    /// The store holds content of the mark's key that was fetched after the claim.
    pub async fn clear(&self, mark: &Mark) -> Result<Cleared, Error> {
        self.clear_name(mark.key.to_string().as_bytes(), mark.sequence)
            .await
    }

    async fn clear_name(&self, name: &[u8], sequence: i64) -> Result<Cleared, Error> {
        match self
            .run(
                &scripts::CLEAR,
                &[name, sequence.to_string().as_bytes(), CHANNEL.as_bytes()],
            )
            .await?
            .text()?
        {
            b"cleared" => Ok(Cleared::Cleared),
            b"again" => Ok(Cleared::Again),
            b"lost" => Ok(Cleared::LeaseLost),
            _ => Err(Error::Reply),
        }
    }

    /// The refresh of the mark's key failed: it is due again after `delay`. `why` is kept with it; false if the lease is another's
    /// by now.
    pub async fn postpone(&self, mark: &Mark, delay: Duration, why: &str) -> Result<bool, Error> {
        let (name, delay) = (mark.key.to_string(), milliseconds(delay));
        Ok(self
            .run(
                &scripts::POSTPONE,
                &[name.as_bytes(), delay.as_bytes(), why.as_bytes()],
            )
            .await?
            .integer()?
            == 1)
    }

    /// Gives the lease back, unless something is due soon.
    pub async fn release(&self) -> Result<Released, Error> {
        let reply = self.run(&scripts::RELEASE, &[]).await?;
        if reply.is_nil() {
            return Ok(Released::Done);
        }
        Ok(Released::Kept(Duration::from_millis(
            reply.integer()?.unsigned_abs(),
        )))
    }

    /// Runs a script whose first argument is the lease's token.
    async fn run(&self, script: &scripts::Script, arguments: &[&[u8]]) -> Result<Reply, Error> {
        let arguments: Vec<&[u8]> = std::iter::once(self.token.as_bytes())
            .chain(arguments.iter().copied())
            .collect();
        self.connection.run(script, &arguments).await
    }
}

fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}
