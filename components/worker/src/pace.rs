//! Spaces the writes to the store, for hosts that limit them.

use afterword::host;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// At most this many writes a second.
pub struct Pace {
    per_second: Option<u32>,
    /// The time of the next write.
    next: Cell<Instant>,
}

impl Pace {
    /// How many seconds the writes under way may take. More would still wait when the worker's time
    /// is over.
    const MAX_BACKLOG: usize = 2;

    /// `None`: no limit.
    pub fn new(per_second: Option<u32>) -> Self {
        Self {
            per_second,
            next: Cell::new(Instant::now()),
        }
    }

    /// Waits for the turn of the next write.
    pub async fn wait(&self) {
        let Some(per_second) = self.per_second else {
            return;
        };
        let now = Instant::now();
        let turn = self.next.get().max(now);
        self.next.set(turn + Duration::from_secs(1) / per_second);
        if turn > now {
            host::sleep(turn - now).await;
        }
    }

    /// The number of writes that may be under way at once.
    pub fn max_under_way(&self) -> usize {
        let per_second = self.per_second.and_then(|it| usize::try_from(it).ok());
        per_second.map_or(usize::MAX, |it| it.saturating_mul(Self::MAX_BACKLOG))
    }
}
