//! The variables that only the worker needs.

use afterword::variables::{Result, invalid, seconds};
use std::time::Duration;

/// `replica_lag`: how long after a change the origin's replicas may still return the old row.
pub async fn replica_lag() -> Result<Duration> {
    let lag = seconds("replica_lag").await?;
    if lag <= Duration::from_secs(300) {
        Ok(lag)
    } else {
        Err(invalid("replica_lag", "it is more than 300 seconds"))
    }
}
