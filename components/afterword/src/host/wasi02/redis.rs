//! `fermyon:spin/redis`. Every call blocks the instance.

use spin_sdk_02::redis;

pub use spin_sdk_02::redis::{Error, RedisParameter, RedisResult};

/// An open connection.
pub struct Connection(redis::Connection);

impl Connection {
    /// Connects to a server.
    pub async fn open(url: &str) -> Result<Self, Error> {
        redis::Connection::open(url).map(Self)
    }

    /// Executes a command.
    pub async fn execute(
        &self,
        command: &str,
        arguments: impl IntoIterator<Item = RedisParameter>,
    ) -> Result<Vec<RedisResult>, Error> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        self.0.execute(command, &arguments)
    }
}
