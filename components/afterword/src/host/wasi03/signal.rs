//! Waking the tasks of other requests.
//!
//! Each request is a separate task of the host. A task cannot poll another task's future, because
//! the pending host call belongs to the other task. Waking across tasks would need a feature of
//! wit-bindgen that adds two host calls to every sleep. So a waiting task reads from a stream that
//! never carries data, and dropping the other end wakes it.

use spin_sdk::wasip3::wit_bindgen::{StreamReader, StreamWriter};
use spin_sdk::wasip3::wit_stream;

/// Dropping it wakes the task that waits.
pub struct Waker(#[expect(dead_code, reason = "only its drop matters")] StreamWriter<u8>);

/// Waits for its [`Waker`] to be dropped.
pub struct Waiter(StreamReader<u8>);

/// A connected pair.
pub fn pair() -> (Waker, Waiter) {
    let (writer, reader) = wit_stream::new::<u8>();
    (Waker(writer), Waiter(reader))
}

impl Waiter {
    /// Returns once the [`Waker`] has been dropped.
    pub async fn wait(&mut self) {
        self.0.read(Vec::with_capacity(1)).await;
    }
}
