//! The kinds of call that a component makes to the outside.

/// A kind of call that the fault dials count and can act on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "faults", derive(serde::Deserialize, serde::Serialize))]
pub(crate) enum Call {
    /// Open the store. A component does it once per instance, so this counts its instances.
    #[cfg_attr(feature = "faults", serde(rename = "key-value.open"))]
    KeyValueOpen,
    /// Read a key.
    #[cfg_attr(feature = "faults", serde(rename = "key-value.get"))]
    KeyValueGet,
    /// Write a key.
    #[cfg_attr(feature = "faults", serde(rename = "key-value.set"))]
    KeyValueSet,
    /// Remove a key.
    #[cfg_attr(feature = "faults", serde(rename = "key-value.delete"))]
    KeyValueDelete,
    /// Look whether there is a key.
    #[cfg_attr(feature = "faults", serde(rename = "key-value.exists"))]
    KeyValueExists,
    /// List all keys: the call itself, before the first key. A failed listing has an error and no
    /// key.
    #[cfg_attr(feature = "faults", serde(rename = "key-value.get-keys"))]
    KeyValueGetKeys,
    /// Connect to Redis.
    #[cfg_attr(feature = "faults", serde(rename = "redis.open"))]
    RedisOpen,
    /// Send a command to Redis and wait for its reply.
    #[cfg_attr(feature = "faults", serde(rename = "redis.execute"))]
    RedisExecute,
    /// Send an HTTP request and wait for the head of its response.
    #[cfg_attr(feature = "faults", serde(rename = "http.send"))]
    HttpSend,
}
