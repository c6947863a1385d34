//! The keys in the store, for hosts that limit their number.

use afterword::key::Key;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;

/// The maximum length of a key, in bytes, where the number of keys is limited: Fermyon Cloud's.
const MAX_KEY_LENGTH: usize = 255;

/// The keys in the store, and the maximum of their number.
///
/// They are known from a listing on, because only the lease's holder writes entries. The outbox's
/// keys do not count: webhooks write them at any time.
pub struct Capacity {
    max: Option<usize>,
    /// Includes those of [`Room`]s. `None` before the listing.
    keys: RefCell<Option<HashSet<String>>>,
    /// The keys that are being written.
    taken: RefCell<HashSet<String>>,
    /// Whether this worker has logged that the store is full.
    pub is_logged: Cell<bool>,
}

impl Capacity {
    /// `None`: no limit.
    pub fn new(max_keys: Option<u32>) -> Self {
        Self {
            max: max_keys.and_then(|max| usize::try_from(max).ok()),
            keys: RefCell::default(),
            taken: RefCell::default(),
            is_logged: Cell::default(),
        }
    }

    /// Whether there is a limit.
    pub fn is_limited(&self) -> bool {
        self.max.is_some()
    }

    /// The maximum number of chunks of a list. A list that is written anew needs twice as many keys
    /// for a minute, besides its directory and `application`.
    pub fn max_chunks(&self) -> usize {
        self.max.map_or(usize::MAX, |max| max.saturating_sub(2) / 2)
    }

    /// The store has these keys.
    pub fn listed(&self, keys: Vec<String>) {
        if self.is_limited() {
            self.keys.replace(Some(keys.into_iter().collect()));
        }
    }

    /// Whether the store is full; `None` if that is unknown.
    pub fn is_full(&self) -> Option<bool> {
        let Some(max) = self.max else {
            return Some(false);
        };
        let keys = self.keys.borrow();
        keys.as_ref().map(|keys| keys.len() >= max)
    }

    /// Whether a key is short enough for the host. A long id, percent-encoded, makes a longer one.
    pub fn fits(&self, key: &str) -> bool {
        !self.is_limited() || key.len() <= MAX_KEY_LENGTH
    }

    /// Whether a key may be written: it is in the store, or there is room for it.
    pub fn admits(&self, key: &str) -> bool {
        let keys = self.keys.borrow();
        let is_stored = keys.as_ref().is_some_and(|keys| keys.contains(key));
        is_stored || self.is_full() != Some(true)
    }

    /// Takes the room for a key that is about to be written.
    pub fn take(&self, key: &str) -> Room<'_> {
        let mut keys = self.keys.borrow_mut();
        let is_new = keys
            .as_mut()
            .is_some_and(|keys| keys.insert(key.to_owned()));
        if self.is_limited() {
            self.taken.borrow_mut().insert(key.to_owned());
        }
        Room {
            capacity: self,
            key: key.to_owned(),
            is_new,
        }
    }

    /// A key has been deleted.
    pub fn remove(&self, key: &str) {
        if let Some(keys) = &mut *self.keys.borrow_mut() {
            keys.remove(key);
        }
    }

    /// A stored item, which may make room for the list.
    pub fn any_item(&self) -> Option<String> {
        let (keys, taken) = (self.keys.borrow(), self.taken.borrow());
        let is_item = |key: &&String| {
            matches!(Key::from_canonical(key), Some(Key::Item(_))) && !taken.contains(*key)
        };
        keys.as_ref()?.iter().find(is_item).cloned()
    }
}

/// The room for a key that is being written. Dropping it gives the room back, unless the key was in
/// the store before.
pub struct Room<'a> {
    capacity: &'a Capacity,
    key: String,
    is_new: bool,
}

impl Room<'_> {
    /// The key has been written.
    pub fn keep(mut self) {
        self.is_new = false;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.capacity.taken.borrow_mut().remove(&self.key);
        if self.is_new {
            self.capacity.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Capacity {
        let capacity = Capacity::new(Some(3));
        capacity.listed(
            ["application", "/articles", "/articles/7"]
                .map(str::to_owned)
                .into(),
        );
        capacity
    }

    #[test]
    fn a_full_store_admits_the_keys_that_it_has() {
        let capacity = full();
        assert_eq!(capacity.is_full(), Some(true));
        assert!(capacity.admits("/articles/7"));
        assert!(!capacity.admits("/articles/8"));
    }

    #[test]
    fn a_deleted_key_makes_room_for_another() {
        let capacity = full();
        capacity.remove("/articles/9");
        assert!(!capacity.admits("/articles/8"), "it was not stored");
        capacity.remove("/articles/7");
        assert!(capacity.admits("/articles/8"));
        capacity.take("/articles/8").keep();
        capacity.take("/articles/8").keep();
        assert_eq!(capacity.is_full(), Some(true));
        assert!(!capacity.admits("/articles/7"));
    }

    #[test]
    fn a_limited_store_takes_no_long_key() {
        let longest = "k".repeat(MAX_KEY_LENGTH);
        let longer = format!("{longest}k");
        for (max_keys, fits) in [(Some(3), false), (None, true)] {
            let capacity = Capacity::new(max_keys);
            assert!(capacity.fits(&longest));
            assert_eq!(capacity.fits(&longer), fits);
        }
    }

    #[test]
    fn a_failed_write_gives_its_room_back_unless_the_key_was_stored() {
        let capacity = full();
        capacity.remove("/articles/7");
        drop(capacity.take("/articles/8"));
        assert_eq!(capacity.is_full(), Some(false));
        drop(capacity.take("/articles"));
        capacity.take("/articles/8").keep();
        assert_eq!(capacity.is_full(), Some(true));
    }

    #[test]
    fn an_item_that_is_being_written_makes_no_room() {
        let capacity = full();
        let room = capacity.take("/articles/7");
        assert_eq!(capacity.any_item(), None);
        room.keep();
        assert_eq!(capacity.any_item().as_deref(), Some("/articles/7"));
    }

    #[test]
    fn only_items_make_room() {
        let capacity = full();
        assert_eq!(capacity.any_item().as_deref(), Some("/articles/7"));
        capacity.remove("/articles/7");
        assert_eq!(capacity.any_item(), None);
    }

    #[test]
    fn without_a_limit_or_a_listing_every_key_is_admitted() {
        let unlimited = Capacity::new(None);
        unlimited.listed(vec!["/articles".to_owned()]);
        unlimited.take("/articles/7").keep();
        assert_eq!(
            (unlimited.is_full(), unlimited.max_chunks()),
            (Some(false), usize::MAX)
        );
        let unlisted = Capacity::new(Some(1));
        unlisted.take("/articles").keep();
        assert_eq!((unlisted.is_full(), unlisted.any_item()), (None, None));
        for capacity in [unlimited, unlisted] {
            assert!(capacity.admits("/articles/8"));
        }
    }
}
