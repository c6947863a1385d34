//! Single flight: within an instance, concurrent misses of a key share one fetch.

use afterword::host::signal::{self, Waker};
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The fetches under way, and recent outcomes, by key.
pub struct SingleFlight<K, T>(RefCell<Vec<(K, Rc<Call<T>>)>>);

/// A fetch that one reader (the leader) makes for all.
struct Call<T> {
    state: RefCell<State<T>>,
}

enum State<T> {
    /// The leader is fetching. Dropping a waker wakes a waiting reader.
    Fetching(Vec<Waker>),
    /// The outcome, which later readers share until this instant.
    Done(T, Instant),
    /// The leader was cancelled.
    Cancelled,
}

impl<K, T> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<K: Clone + PartialEq, T: Clone> SingleFlight<K, T> {
    /// Returns the outcome for `key`, and whether another reader fetched it. Without a fetch under
    /// way, runs `fetch`, which returns the outcome and for how long later readers share it.
    pub async fn run(&self, key: &K, fetch: impl Future<Output = (T, Duration)>) -> (T, bool) {
        while let Some(call) = self.find(key) {
            if let Some(outcome) = call.wait().await {
                return (outcome, true);
            }
        }
        let call = Rc::new(Call {
            state: RefCell::new(State::Fetching(Vec::new())),
        });
        self.0.borrow_mut().push((key.clone(), call.clone()));
        let leader = Leader(&call);
        let (outcome, shared_for) = fetch.await;
        let done = State::Done(outcome.clone(), Instant::now() + shared_for);
        leader.0.state.replace(done);
        // Drop finished results now; they may be large.
        self.remove_finished();
        (outcome, false)
    }

    fn find(&self, key: &K) -> Option<Rc<Call<T>>> {
        self.remove_finished();
        let calls = self.0.borrow();
        let found = calls.iter().find(|(other, _)| other == key);
        found.map(|(_, call)| call.clone())
    }

    fn remove_finished(&self) {
        self.0.borrow_mut().retain(|(_, call)| call.is_current());
    }
}

impl<T: Clone> Call<T> {
    fn is_current(&self) -> bool {
        match &*self.state.borrow() {
            State::Fetching(_) => true,
            State::Done(_, until) => Instant::now() < *until,
            State::Cancelled => false,
        }
    }

    /// Waits for the leader's outcome; `None` if the leader was cancelled.
    async fn wait(&self) -> Option<T> {
        let waiter = match &mut *self.state.borrow_mut() {
            State::Fetching(wakers) => {
                let (waker, waiter) = signal::pair();
                wakers.push(waker);
                Some(waiter)
            }
            State::Done(..) | State::Cancelled => None,
        };
        if let Some(mut waiter) = waiter {
            waiter.wait().await;
        }
        match &*self.state.borrow() {
            State::Done(outcome, _) => Some(outcome.clone()),
            State::Fetching(_) | State::Cancelled => None,
        }
    }
}

/// Wakes the waiting readers if the leader is cancelled before it has an outcome.
struct Leader<'a, T>(&'a Call<T>);

impl<T> Drop for Leader<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.state.borrow_mut();
        if matches!(*state, State::Fetching(_)) {
            *state = State::Cancelled;
        }
    }
}
