//! Waking other tasks of the instance.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{self, Poll};

type Shared = RefCell<Option<task::Waker>>;

/// Dropping it wakes the task that waits.
pub struct Waker(Rc<Shared>);

/// Waits for its [`Waker`] to be dropped.
pub struct Waiter(Weak<Shared>);

/// A connected pair.
pub fn pair() -> (Waker, Waiter) {
    let waker = Waker(Rc::default());
    let waiter = Waiter(Rc::downgrade(&waker.0));
    (waker, waiter)
}

impl Drop for Waker {
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}

impl Waiter {
    /// Returns once the [`Waker`] has been dropped.
    pub async fn wait(&mut self) {
        poll_fn(|context| match self.0.upgrade() {
            Some(shared) => {
                shared.replace(Some(context.waker().clone()));
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
    }
}
