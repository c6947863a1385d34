//! The errors of a backend.

use std::fmt;

pub(crate) use crate::bindings::spin::key_value::key_value::Error;

/// A backend's error as Spin passes it on.
pub(super) fn other(error: impl fmt::Debug) -> Error {
    Error::Other(format!("{error:?}"))
}
