//! The variables that only the worker needs.

use afterword::variables::{Result, invalid, maximum, seconds};
use std::time::Duration;

/// The configuration of the worker.
pub struct Settings {
    /// `replica_lag`: how long after a change the origin's replicas may still return the old row.
    pub replica_lag: Duration,
    /// `max_list_bytes`: the length of the list; `None` if it is not limited.
    pub max_list_bytes: Option<u32>,
    /// The host's limits.
    pub limits: Limits,
}

/// What the host limits.
pub struct Limits {
    /// `max_value_bytes`: the size of a value in the store.
    pub value_bytes: Option<u32>,
    /// `max_keys`: the keys in the store.
    pub keys: Option<u32>,
    /// `max_writes_per_second`: the writes to the store.
    pub writes_per_second: Option<u32>,
    /// `max_requests_per_hour`: the HTTP requests.
    pub requests_per_hour: Option<u32>,
}

impl Settings {
    /// Reads the variables.
    pub async fn read() -> Result<Self> {
        let replica_lag = seconds("replica_lag").await?;
        if replica_lag > Duration::from_secs(300) {
            return Err(invalid("replica_lag", "it is more than 300 seconds"));
        }
        Ok(Self {
            replica_lag,
            max_list_bytes: maximum("max_list_bytes").await?,
            limits: Limits {
                value_bytes: maximum("max_value_bytes").await?,
                keys: maximum("max_keys").await?,
                writes_per_second: maximum("max_writes_per_second").await?,
                requests_per_hour: maximum("max_requests_per_hour").await?,
            },
        })
    }
}
