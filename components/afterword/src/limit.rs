//! Time limits. Spin sets none for key-value and Redis calls, and ten minutes for outbound HTTP.
//!
//! A timer of its own for each call would cost an acknowledgement a tenth of its rate under Spin.
//! So the calls of an instance share one timer, the watchdog: a task that wakes at short intervals
//! while calls are under way.

use crate::host;
use crate::host::signal::{self, Waiter, Waker};
use futures_util::future::{Either, select};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

/// The call took longer than this limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut(pub Duration);

/// The interval of the watchdog. A call is cancelled at most this much too late.
const INTERVAL: Duration = Duration::from_millis(50);

/// Awaits `call`, and cancels it if it takes longer than `limit`. A call that is ready at its first
/// poll needs no timer.
pub async fn limit<F: Future>(limit: Duration, call: F) -> Result<F::Output, TimedOut> {
    match select(pin!(call), pin!(expire(limit))).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(_) => Err(TimedOut(limit)),
    }
}

/// A call under way.
struct Call {
    number: u64,
    deadline: Instant,
    /// Dropping it cancels the call.
    waker: Waker,
}

thread_local! {
    /// The calls of this instance.
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
    /// The number of calls so far.
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// The signals of calls that ended in time. Later calls reuse them, because a new one costs more
    /// host calls.
    static SPARE: RefCell<Vec<(Waker, Waiter)>> = const { RefCell::new(Vec::new()) };
    /// Whether the watchdog runs.
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Returns after `limit`, or up to [`INTERVAL`] later.
async fn expire(limit: Duration) {
    let (waker, waiter) = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(signal::pair);
    let number = COUNT.get();
    COUNT.set(number + 1);
    let deadline = Instant::now() + limit;
    CALLS.with_borrow_mut(|calls| {
        calls.push(Call {
            number,
            deadline,
            waker,
        });
    });
    let mut expiry = Expiry {
        number,
        waiter: Some(waiter),
    };
    if !IS_WATCHED.replace(true) {
        host::spawn(watch());
    }
    if let Some(waiter) = &mut expiry.waiter {
        waiter.wait().await;
    }
}

/// Forgets the call when it is dropped.
struct Expiry {
    number: u64,
    waiter: Option<Waiter>,
}

impl Drop for Expiry {
    fn drop(&mut self) {
        let call = CALLS.with_borrow_mut(|calls| {
            let at = calls.iter().position(|call| call.number == self.number)?;
            Some(calls.swap_remove(at))
        });
        if let (Some(call), Some(waiter)) = (call, self.waiter.take()) {
            SPARE.with_borrow_mut(|spare| spare.push((call.waker, waiter)));
        }
    }
}

/// The watchdog: cancels calls at their deadlines, until no call is under way.
async fn watch() {
    struct Watched;

    impl Drop for Watched {
        fn drop(&mut self) {
            IS_WATCHED.set(false);
        }
    }

    let _watched = Watched;
    while let Some(next) = CALLS.with_borrow(|calls| calls.iter().map(|call| call.deadline).min()) {
        let left = next.saturating_duration_since(Instant::now());
        host::sleep(left.min(INTERVAL)).await;
        let now = Instant::now();
        CALLS.with_borrow_mut(|calls| calls.retain(|call| call.deadline > now));
    }
}
