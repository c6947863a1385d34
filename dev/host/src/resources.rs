//! What the handles stand for that components hold.

use redis::aio::MultiplexedConnection;

/// An open key-value store.
#[derive(Clone, Debug)]
pub struct OpenStore {
    /// The label that the component opened it by.
    pub label: String,
}

/// A connection to Redis, closed when the component drops its handle. As in Spin, nothing on it
/// has a time limit.
#[derive(Clone)]
pub struct RedisConnection(pub MultiplexedConnection);
