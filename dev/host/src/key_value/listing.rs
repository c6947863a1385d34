//! A listing: a stream of keys to a component, then the outcome.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Destination, FutureReader, StreamProducer, StreamReader, StreamResult};
use wasmtime::{AsContextMut, StoreContextMut};

use super::error::Error;

/// What the component gets: the keys, then the outcome.
pub(crate) type Readers = (StreamReader<String>, FutureReader<Result<(), Error>>);

/// How many keys may wait for the component, as in Spin.
const WAITING_KEYS: usize = 4;

/// The component's end.
pub(crate) struct Listing {
    keys: mpsc::Receiver<String>,
    outcome: oneshot::Receiver<Result<(), Error>>,
}

/// The store's end.
pub(crate) struct Sender {
    pub keys: mpsc::Sender<String>,
    outcome: oneshot::Sender<Result<(), Error>>,
}

impl Listing {
    pub(crate) fn new() -> (Sender, Self) {
        let (keys_in, keys) = mpsc::channel(WAITING_KEYS);
        let (outcome_in, outcome) = oneshot::channel();
        let sender = Sender {
            keys: keys_in,
            outcome: outcome_in,
        };
        (sender, Self { keys, outcome })
    }

    /// A listing that failed before its first key.
    pub(crate) fn failed(error: Error) -> Self {
        let (sender, listing) = Self::new();
        sender.end(Err(error));
        listing
    }

    /// The same listing with a pause before each key.
    pub(crate) fn slowed(mut self, pause: Duration) -> Self {
        if pause.is_zero() {
            return self;
        }
        let (sender, slow) = mpsc::channel(WAITING_KEYS);
        tokio::spawn(async move {
            while let Some(key) = self.keys.recv().await {
                tokio::time::sleep(pause).await;
                if sender.send(key).await.is_err() {
                    return;
                }
            }
        });
        Self {
            keys: slow,
            outcome: self.outcome,
        }
    }

    /// Turns both ends into handles for the component.
    ///
    /// # Errors
    /// When the instance holds too many streams and futures.
    pub(crate) fn into_readers(self, mut store: impl AsContextMut) -> wasmtime::Result<Readers> {
        let keys = StreamReader::new(&mut store, Keys(self.keys))?;
        let outcome = FutureReader::new(&mut store, self.outcome)?;
        Ok((keys, outcome))
    }

    /// All keys and the outcome.
    pub(crate) async fn collect(mut self) -> (Vec<String>, Result<(), Error>) {
        let mut keys = Vec::new();
        while let Some(key) = self.keys.recv().await {
            keys.push(key);
        }
        let ended = || Error::Other("the listing ended early".to_owned());
        let outcome = self.outcome.await;
        (keys, outcome.unwrap_or_else(|_| Err(ended())))
    }
}

impl Sender {
    /// Ends the listing. The component may have stopped listening.
    pub(crate) fn end(self, outcome: Result<(), Error>) {
        let _ = self.outcome.send(outcome);
    }
}

struct Keys(mpsc::Receiver<String>);

impl<D> StreamProducer<D> for Keys {
    type Item = String;
    type Buffer = Option<String>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, String, Option<String>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        // A read of no items asks only whether more may come.
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        Poll::Ready(Ok(match self.0.poll_recv(context) {
            Poll::Ready(Some(key)) => {
                destination.set_buffer(Some(key));
                StreamResult::Completed
            }
            Poll::Ready(None) => StreamResult::Dropped,
            Poll::Pending if finish => StreamResult::Cancelled,
            Poll::Pending => return Poll::Pending,
        }))
    }
}
