//! Request collapsing within an instance: readers who miss the same key at once get the outcome of one of them, the leader.

use afterword::key::Key;
use spin_sdk::wasip3::wit_bindgen::StreamWriter;
use spin_sdk::wasip3::wit_stream;
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What is under way, or has just come to its end, by key.
pub struct Flights<T>(RefCell<Vec<(Key, Rc<Flight<T>>)>>);

struct Flight<T> {
    state: RefCell<State<T>>,
}

enum State<T> {
    /// One stream for each reader who waits for the leader. Nothing is ever written: that it ends wakes the reader. (Each request is
    /// a task of its own for the host, so that a future of one cannot be polled by another, nor wake it.)
    Leading(Vec<StreamWriter<u8>>),
    /// The outcome, and until when it is also everybody's who comes later.
    Landed(T, Instant),
    /// The leader was cancelled.
    Lost,
}

impl<T> Default for Flights<T> {
    /// Nothing is under way.
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Clone> Flights<T> {
    /// The outcome for `key`: the leader's if there is one, else that of `lead`, which also says for how long it is to stay everybody's.
    /// And whether it was another's.
    pub async fn share(&self, key: &Key, lead: impl Future<Output = (T, Duration)>) -> (T, bool) {
        while let Some(flight) = self.find(key) {
            if let Some(outcome) = flight.landing().await {
                return (outcome, true);
            }
        }
        let flight = Rc::new(Flight {
            state: RefCell::new(State::Leading(Vec::new())),
        });
        self.0.borrow_mut().push((key.clone(), flight.clone()));
        let led = Led(&flight);
        let (outcome, stays) = lead.await;
        led.0
            .state
            .replace(State::Landed(outcome.clone(), Instant::now() + stays));
        // What nobody is to get any more may be large.
        self.forget();
        (outcome, false)
    }

    fn find(&self, key: &Key) -> Option<Rc<Flight<T>>> {
        self.forget();
        let flights = self.0.borrow();
        let found = flights.iter().find(|(other, _)| other == key);
        found.map(|(_, flight)| flight.clone())
    }

    fn forget(&self) {
        self.0.borrow_mut().retain(|(_, flight)| flight.counts());
    }
}

impl<T: Clone> Flight<T> {
    fn counts(&self) -> bool {
        match &*self.state.borrow() {
            State::Leading(_) => true,
            State::Landed(_, until) => Instant::now() < *until,
            State::Lost => false,
        }
    }

    /// The leader's outcome; `None` if there will be none.
    async fn landing(&self) -> Option<T> {
        let waits = match &mut *self.state.borrow_mut() {
            State::Leading(waiting) => {
                let (end, wait) = wit_stream::new::<u8>();
                waiting.push(end);
                Some(wait)
            }
            _ => None,
        };
        if let Some(mut wait) = waits {
            wait.read(Vec::with_capacity(1)).await;
        }
        match &*self.state.borrow() {
            State::Landed(outcome, _) => Some(outcome.clone()),
            _ => None,
        }
    }
}

/// Ends a flight whose leader goes without an outcome, so that nobody waits for it for ever.
struct Led<'a, T>(&'a Flight<T>);

impl<T> Drop for Led<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.state.borrow_mut();
        if matches!(*state, State::Leading(_)) {
            *state = State::Lost;
        }
    }
}
