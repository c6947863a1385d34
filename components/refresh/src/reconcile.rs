//! Reconciliation: pg_net never repeats a webhook, so some get lost. The stored items are compared
//! with the list as it is now.

use afterword::entry::{Entry, Source};
use afterword::freshness::{self, Freshness, Lifetime};
use afterword::key::Key;
use afterword::marks::Task;
use afterword::postgrest::rows;
use afterword::row;
use afterword::store::Store;
use serde_json::value::RawValue;
use spin_sdk::wasip3::wit_bindgen::yield_async;

use crate::drain::id;

/// What is known when the stored items are compared.
pub struct Comparison<'a> {
    /// The list as a JSON array; `None` if it could not be fetched.
    pub list: Option<&'a [u8]>,
    /// Whether it shows every row: it has no `limit` and no filter.
    pub shows_all: bool,
    /// Whether a related table has changed: the list then vouches only for items of which it shows
    /// every column.
    pub related: bool,
    /// The table's id column.
    pub id_column: &'a str,
    /// What an item is an answer to.
    pub source: Source,
    /// How long an item may be served.
    pub lifetime: Lifetime,
}

/// What is to be done with a stored item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing: the list shows it as it is stored, or a reader will ask for it.
    Keep,
    /// Refresh it: it has changed, or is gone, or cannot be compared.
    Refresh,
    /// Remove it: nobody has wanted it for longer than it may be served.
    Evict,
}

/// What came of a comparison.
#[derive(Default)]
pub struct Compared {
    /// Items to be refreshed.
    pub outdated: Vec<Task>,
    /// Items that nobody has wanted for longer than they may be served.
    pub unwanted: Vec<Key>,
}

/// Compares the stored items with the list.
pub async fn compare(store: &Store, stored: Vec<Key>, comparison: &Comparison<'_>) -> Compared {
    let rows = comparison.list.and_then(|list| rows::rows(list).ok());
    let mut shown: Vec<(String, &RawValue)> = rows
        .into_iter()
        .flatten()
        .filter_map(|row| Some((row::column(row, comparison.id_column)?, row)))
        .collect();
    shown.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    let mut compared = Compared::default();
    for key in stored {
        let task = Task::Refresh(key.clone());
        let Some(id) = id(&task) else { continue };
        // A store on this machine answers without a pause: the renewal of the lease has to get its turn.
        yield_async().await;
        let name = key.to_string();
        // One that cannot be read is no reason to stop: it is written anew.
        let entry = store
            .get(&name)
            .await
            .ok()
            .flatten()
            .and_then(Entry::decode);
        let at = shown.binary_search_by(|(shown, _)| shown.as_str().cmp(id.as_str()));
        let row = at.ok().map(|at| shown[at].1);
        match comparison.judge(entry.as_ref(), row, freshness::now()) {
            Verdict::Keep => {}
            Verdict::Refresh => compared.outdated.push(task),
            Verdict::Evict => compared.unwanted.push(key),
        }
    }
    compared
}

impl Comparison<'_> {
    fn judge(&self, entry: Option<&Entry>, row: Option<&RawValue>, now: u64) -> Verdict {
        let Some(entry) = entry.filter(|entry| entry.source == self.source) else {
            return Verdict::Refresh;
        };
        let served = || self.lifetime.judge(entry.fetched_at, now) != Freshness::Expired;
        match row {
            Some(row) if row::agree(&entry.identity.content, row, self.related) => Verdict::Keep,
            Some(_) => Verdict::Refresh,
            None if !self.shows_all && !served() => Verdict::Evict,
            None if self.shows_all || self.related || self.list.is_none() => Verdict::Refresh,
            None => Verdict::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::time::Duration;

    const NOW: u64 = 10_000_000;

    fn comparison() -> Comparison<'static> {
        Comparison {
            list: Some(b"[]"),
            shows_all: true,
            related: false,
            id_column: "id",
            source: Source::of(&["this"]),
            lifetime: Lifetime {
                max_age: Duration::from_secs(300),
                stale_while_revalidate: Duration::from_secs(600),
                stale_if_error: Duration::from_secs(900),
            },
        }
    }

    /// An item fetched so many seconds ago.
    fn item(age: u64) -> Entry {
        let content = Bytes::from_static(br#"{"id":7,"title":"T","body":"B"}"#);
        Entry::new(content, NOW - age * 1_000, Source::of(&["this"]))
    }

    fn verdict(comparison: &Comparison, entry: &Entry, row: Option<&str>) -> Verdict {
        let row = row.map(|row| serde_json::from_str(row).unwrap());
        comparison.judge(Some(entry), row, NOW)
    }

    #[test]
    fn an_item_that_the_list_shows_as_it_is_stored_is_kept() {
        let shown = Some(r#"{"id":7,"title":"T"}"#);
        assert_eq!(verdict(&comparison(), &item(0), shown), Verdict::Keep);
        let changed = Some(r#"{"id":7,"title":"U"}"#);
        assert_eq!(verdict(&comparison(), &item(0), changed), Verdict::Refresh);
    }

    #[test]
    fn an_item_of_another_configuration_or_none_that_can_be_read_is_refreshed() {
        let shown = Some(r#"{"id":7,"title":"T","body":"B"}"#);
        let other = Comparison {
            source: Source::of(&["other"]),
            ..comparison()
        };
        assert_eq!(verdict(&other, &item(0), shown), Verdict::Refresh);
        assert_eq!(comparison().judge(None, None, NOW), Verdict::Refresh);
    }

    #[test]
    fn an_item_that_a_whole_list_does_not_show_is_refreshed_and_so_is_all_without_a_list() {
        assert_eq!(verdict(&comparison(), &item(9_000), None), Verdict::Refresh);
        let without = Comparison {
            list: None,
            shows_all: false,
            ..comparison()
        };
        assert_eq!(verdict(&without, &item(0), None), Verdict::Refresh);
    }

    #[test]
    fn an_item_that_a_limited_list_does_not_show_is_kept_until_it_may_not_be_served_any_more() {
        let limited = Comparison {
            shows_all: false,
            ..comparison()
        };
        assert_eq!(verdict(&limited, &item(1_200), None), Verdict::Keep);
        assert_eq!(verdict(&limited, &item(1_201), None), Verdict::Evict);
    }

    #[test]
    fn after_a_change_of_a_related_table_the_list_vouches_only_for_columns_that_it_shows() {
        let related = Comparison {
            related: true,
            ..comparison()
        };
        let all = Some(r#"{"id":7,"title":"T","body":"B"}"#);
        assert_eq!(verdict(&related, &item(0), all), Verdict::Keep);
        let some = Some(r#"{"id":7,"title":"T"}"#);
        assert_eq!(verdict(&related, &item(0), some), Verdict::Refresh);
        let limited = Comparison {
            shows_all: false,
            ..related
        };
        assert_eq!(verdict(&limited, &item(0), None), Verdict::Refresh);
    }
}
