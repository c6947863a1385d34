//! Compares the stored items with the list, page by page.

use afterword::entry::{Entry, Source};
use afterword::freshness::{Freshness, Lifetime};
use afterword::host;
use afterword::key::{Id, Key};
use afterword::postgrest::rows::Rows;
use afterword::queue::Task;
use afterword::row;
use afterword::store::Store;
use std::collections::BTreeSet;

/// What decides whether an item is outdated.
pub struct Rules<'a> {
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
    /// Whether the number of keys is limited. Then an item that nobody reads makes room for others.
    pub evicts_unread: bool,
}

/// A comparison that is under way.
pub struct Comparison<'a> {
    rules: Rules<'a>,
    store: &'a Store,
    /// The stored items that the list has not shown yet.
    unseen: BTreeSet<Id>,
    compared: Compared,
}

/// What the list has for an item.
#[derive(Clone, Copy, Debug)]
enum Shown<'a> {
    /// This row.
    Row(&'a str),
    /// No row.
    Nothing,
    /// The list could not be fetched.
    Unknown,
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

impl<'a> Comparison<'a> {
    /// Begins to compare the stored items, whose keys are `stored`.
    pub fn new(rules: Rules<'a>, store: &'a Store, stored: Vec<Key>) -> Self {
        let ids = stored.into_iter().filter_map(|key| match key {
            Key::List => None,
            Key::Item(id) => Some(id),
        });
        Self {
            rules,
            store,
            unseen: ids.collect(),
            compared: Compared::default(),
        }
    }

    /// Compares the items of these rows. If the list is fetched again, a row that was compared
    /// before is not compared again: what has changed since is queued.
    pub async fn compare(&mut self, rows: &Rows) {
        for row in rows.iter() {
            let id = row::column(row, self.rules.id_column).and_then(Id::parse);
            if let Some(id) = id.and_then(|id| self.unseen.take(&id)) {
                self.judge(id, Shown::Row(row)).await;
            }
        }
    }

    /// Judges the items that the list has not shown. `list_is_known`: it was fetched.
    pub async fn finish(mut self, list_is_known: bool) -> Compared {
        let shown = if list_is_known {
            Shown::Nothing
        } else {
            Shown::Unknown
        };
        while let Some(id) = self.unseen.pop_first() {
            self.judge(id, shown).await;
        }
        self.compared
    }

    async fn judge(&mut self, id: Id, shown: Shown<'_>) {
        // A local store never suspends the task. Yield, so that the lease is renewed in time.
        host::yield_now().await;
        let key = Key::Item(id);
        // An unreadable entry is outdated, and no reason to stop.
        let value = self.store.get(&key.to_string()).await.ok().flatten();
        self.compared.items += 1;
        self.compared.bytes += value.as_ref().map_or(0, Vec::len);
        let entry = value.and_then(Entry::decode);
        match self.rules.judge(entry.as_ref(), shown, host::now()) {
            Verdict::Keep => {}
            Verdict::Refresh => self.compared.outdated.push(Task::Refresh(key)),
            Verdict::Evict => self.compared.expired.push(key),
        }
    }
}

impl Rules<'_> {
    fn judge(&self, entry: Option<&Entry>, shown: Shown<'_>, now: u64) -> Verdict {
        let Some(entry) = entry.filter(|entry| entry.source == self.source) else {
            return Verdict::Refresh;
        };
        let shows_all = self.shows_all && matches!(shown, Shown::Nothing);
        let expired = || self.lifetime.judge(entry.fetched_at, now) == Freshness::Expired;
        match shown {
            Shown::Row(_) if self.evicts_unread && expired() => Verdict::Evict,
            // Readers get the content from the origin.
            Shown::Row(_) if entry.is_too_large() => Verdict::Keep,
            Shown::Row(row) if row::agree(&entry.identity.content, row, self.related) => {
                Verdict::Keep
            }
            Shown::Row(_) => Verdict::Refresh,
            _ if !shows_all && expired() => Verdict::Evict,
            Shown::Unknown => Verdict::Refresh,
            Shown::Nothing if self.shows_all || self.related => Verdict::Refresh,
            Shown::Nothing => Verdict::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::time::Duration;

    const NOW: u64 = 10_000_000;

    fn rules() -> Rules<'static> {
        Rules {
            shows_all: true,
            related: false,
            id_column: "id",
            source: Source::of(&["this"]),
            lifetime: Lifetime {
                max_age: Duration::from_secs(300),
                stale_while_revalidate: Duration::from_secs(600),
                stale_if_error: Duration::from_secs(900),
            },
            evicts_unread: false,
        }
    }

    /// An item that was fetched `age` seconds ago.
    fn item(age: u64) -> Entry {
        let content = Bytes::from_static(br#"{"id":7,"title":"T","body":"B"}"#);
        Entry::new(content, NOW - age * 1_000, Source::of(&["this"]))
    }

    fn verdict(rules: &Rules, entry: &Entry, row: Option<&str>) -> Verdict {
        rules.judge(Some(entry), row.map_or(Shown::Nothing, Shown::Row), NOW)
    }

    #[test]
    fn an_item_that_equals_its_row_in_the_list_is_kept() {
        let shown = Some(r#"{"id":7,"title":"T"}"#);
        assert_eq!(verdict(&rules(), &item(0), shown), Verdict::Keep);
        let changed = Some(r#"{"id":7,"title":"U"}"#);
        assert_eq!(verdict(&rules(), &item(0), changed), Verdict::Refresh);
    }

    #[test]
    fn an_item_that_is_too_large_to_store_is_kept_while_its_row_exists() {
        let entry = item(0).without_content();
        assert_eq!(
            verdict(&rules(), &entry, Some(r#"{"id":7}"#)),
            Verdict::Keep
        );
        assert_eq!(verdict(&rules(), &entry, None), Verdict::Refresh);
    }

    #[test]
    fn an_unreadable_item_or_one_of_another_configuration_is_refreshed() {
        let shown = Some(r#"{"id":7,"title":"T","body":"B"}"#);
        let other = Rules {
            source: Source::of(&["other"]),
            ..rules()
        };
        assert_eq!(verdict(&other, &item(0), shown), Verdict::Refresh);
        assert_eq!(rules().judge(None, Shown::Nothing, NOW), Verdict::Refresh);
    }

    #[test]
    fn an_item_that_the_whole_list_lacks_is_refreshed_and_without_a_list_every_item() {
        assert_eq!(verdict(&rules(), &item(9_000), None), Verdict::Refresh);
        let unknown = rules().judge(Some(&item(0)), Shown::Unknown, NOW);
        assert_eq!(unknown, Verdict::Refresh);
    }

    #[test]
    fn an_item_that_a_limited_list_lacks_is_kept_until_it_expires() {
        let limited = Rules {
            shows_all: false,
            ..rules()
        };
        assert_eq!(verdict(&limited, &item(1_200), None), Verdict::Keep);
        assert_eq!(verdict(&limited, &item(1_201), None), Verdict::Evict);
    }

    #[test]
    fn an_unread_item_that_the_list_shows_is_evicted_only_if_keys_are_limited() {
        let limited = Rules {
            evicts_unread: true,
            ..rules()
        };
        let row = Some(r#"{"id":7,"title":"T"}"#);
        assert_eq!(verdict(&rules(), &item(1_201), row), Verdict::Keep);
        assert_eq!(verdict(&limited, &item(1_200), row), Verdict::Keep);
        assert_eq!(verdict(&limited, &item(1_201), row), Verdict::Evict);
    }

    #[test]
    fn after_a_change_of_a_related_table_an_item_with_other_columns_is_refreshed() {
        let related = Rules {
            related: true,
            ..rules()
        };
        let all = Some(r#"{"id":7,"title":"T","body":"B"}"#);
        assert_eq!(verdict(&related, &item(0), all), Verdict::Keep);
        let some = Some(r#"{"id":7,"title":"T"}"#);
        assert_eq!(verdict(&related, &item(0), some), Verdict::Refresh);
        let limited = Rules {
            shows_all: false,
            ..related
        };
        assert_eq!(verdict(&limited, &item(0), None), Verdict::Refresh);
    }
}
