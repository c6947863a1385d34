//! The place of the fault dials in a host without the feature `faults`: every call is made.

use std::time::Duration;

use crate::call::Call;

/// No dials.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dials {}

impl Dials {
    /// Makes the call.
    pub(crate) async fn around<T, E>(
        &self,
        _: Call,
        _: impl FnOnce() -> E,
        make_call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        make_call.await
    }

    /// Whether every key seems absent: no.
    pub(crate) fn hide_keys(&self) -> bool {
        false
    }

    /// The pause before each key of a listing: none.
    pub(crate) fn pause_per_key(&self) -> Duration {
        Duration::ZERO
    }
}
