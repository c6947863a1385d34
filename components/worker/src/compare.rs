//! Compares the stored items with the list.

use afterword::entry::{Entry, Source};
use afterword::freshness::{Freshness, Lifetime};
use afterword::host;
use afterword::key::Key;
use afterword::postgrest::rows::rows;
use afterword::queue::Task;
use afterword::row;
use afterword::store::Store;
use serde_json::value::RawValue;

/// The list, and what decides whether an item is outdated.
pub struct Comparison<'a> {
    /// The list as a JSON array; `None` if it could not be fetched.
    pub list: Option<&'a [u8]>,
    /// Whether the list shows every row: it has no `limit` and no filter.
    pub shows_all: bool,
    /// Whether the task is [`Task::RefreshRelated`]. Then the list can confirm only the items whose
    /// columns it shows completely.
    pub related: bool,
    /// The table's id column.
    pub id_column: &'a str,
    /// The source of a valid item.
    pub source: Source,
    /// How long an item is served.
    pub lifetime: Lifetime,
}

/// What happens to a stored item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It equals its row in the list, or a reader will request a refresh.
    Keep,
    /// It has changed, is gone, or cannot be compared.
    Refresh,
    /// It has expired, because nobody has read it.
    Evict,
}

/// The result of a comparison.
#[derive(Default)]
pub struct Compared {
    /// Tasks that refresh the outdated items.
    pub outdated: Vec<Task>,
    /// Expired items.
    pub expired: Vec<Key>,
    /// The number of stored items.
    pub items: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl Comparison<'_> {
    /// Compares the stored items, whose keys are `stored`.
    pub async fn run(&self, store: &Store, stored: Vec<Key>) -> Compared {
        let rows = self.list.and_then(|list| rows(list).ok());
        let mut shown: Vec<(String, &RawValue)> = rows
            .into_iter()
            .flatten()
            .filter_map(|row| Some((row::column(row, self.id_column)?, row)))
            .collect();
        shown.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        let mut compared = Compared::default();
        for key in stored {
            let Some(id) = key.id() else { continue };
            // A local store never suspends the task. Yield, so that the lease is renewed in time.
            host::yield_now().await;
            // An unreadable entry is outdated, and no reason to stop.
            let value = store.get(&key.to_string()).await.ok().flatten();
            compared.items += 1;
            compared.bytes += value.as_ref().map_or(0, Vec::len);
            let entry = value.and_then(Entry::decode);
            let at = shown.binary_search_by(|(shown, _)| shown.as_str().cmp(id.as_str()));
            let row = at.ok().map(|at| shown[at].1);
            match self.judge(entry.as_ref(), row, host::now()) {
                Verdict::Keep => {}
                Verdict::Refresh => compared.outdated.push(Task::Refresh(key)),
                Verdict::Evict => compared.expired.push(key),
            }
        }
        compared
    }

    fn judge(&self, entry: Option<&Entry>, row: Option<&RawValue>, now: u64) -> Verdict {
        let Some(entry) = entry.filter(|entry| entry.source == self.source) else {
            return Verdict::Refresh;
        };
        let expired = || self.lifetime.judge(entry.fetched_at, now) == Freshness::Expired;
        match row {
            // Readers get the content from the origin.
            Some(_) if entry.is_too_large() => Verdict::Keep,
            Some(row) if row::agree(&entry.identity.content, row, self.related) => Verdict::Keep,
            Some(_) => Verdict::Refresh,
            None if !self.shows_all && expired() => Verdict::Evict,
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

    /// An item that was fetched `age` seconds ago.
    fn item(age: u64) -> Entry {
        let content = Bytes::from_static(br#"{"id":7,"title":"T","body":"B"}"#);
        Entry::new(content, NOW - age * 1_000, Source::of(&["this"]))
    }

    fn verdict(comparison: &Comparison, entry: &Entry, row: Option<&str>) -> Verdict {
        let row = row.map(|row| serde_json::from_str(row).unwrap());
        comparison.judge(Some(entry), row, NOW)
    }

    #[test]
    fn an_item_that_equals_its_row_in_the_list_is_kept() {
        let shown = Some(r#"{"id":7,"title":"T"}"#);
        assert_eq!(verdict(&comparison(), &item(0), shown), Verdict::Keep);
        let changed = Some(r#"{"id":7,"title":"U"}"#);
        assert_eq!(verdict(&comparison(), &item(0), changed), Verdict::Refresh);
    }

    #[test]
    fn an_item_that_is_too_large_to_store_is_kept_while_its_row_exists() {
        let entry = item(0).without_content();
        assert_eq!(
            verdict(&comparison(), &entry, Some(r#"{"id":7}"#)),
            Verdict::Keep
        );
        assert_eq!(verdict(&comparison(), &entry, None), Verdict::Refresh);
    }

    #[test]
    fn an_unreadable_item_or_one_of_another_configuration_is_refreshed() {
        let shown = Some(r#"{"id":7,"title":"T","body":"B"}"#);
        let other = Comparison {
            source: Source::of(&["other"]),
            ..comparison()
        };
        assert_eq!(verdict(&other, &item(0), shown), Verdict::Refresh);
        assert_eq!(comparison().judge(None, None, NOW), Verdict::Refresh);
    }

    #[test]
    fn an_item_that_the_whole_list_lacks_is_refreshed_and_without_a_list_every_item() {
        assert_eq!(verdict(&comparison(), &item(9_000), None), Verdict::Refresh);
        let without = Comparison {
            list: None,
            shows_all: false,
            ..comparison()
        };
        assert_eq!(verdict(&without, &item(0), None), Verdict::Refresh);
    }

    #[test]
    fn an_item_that_a_limited_list_lacks_is_kept_until_it_expires() {
        let limited = Comparison {
            shows_all: false,
            ..comparison()
        };
        assert_eq!(verdict(&limited, &item(1_200), None), Verdict::Keep);
        assert_eq!(verdict(&limited, &item(1_201), None), Verdict::Evict);
    }

    #[test]
    fn after_a_change_of_a_related_table_an_item_with_other_columns_is_refreshed() {
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
