//! The members of the work queue.

use super::milliseconds;
use crate::key::{Id, Key, PATH, encode};
use std::fmt;
use std::time::Duration;

/// A member of the work queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// Refresh the entry of this key.
    Refresh(Key),
    /// Refresh the place in the list that the row with this id has, or had: the row may have changed,
    /// moved, come or gone.
    Place(Id),
    /// Compare the stored items with the list.
    Reconcile,
    /// Rows have changed whose ids are unknown: those of a related table, or too many for one
    /// webhook. Reconcile, and refresh every item that has columns which the list does not show.
    RefreshRelated,
    /// Remove every entry.
    Purge,
}

impl Task {
    /// The task with this name; `None` for a name that Afterword did not write.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "reconcile" => Some(Self::Reconcile),
            "related" => Some(Self::RefreshRelated),
            "purge" => Some(Self::Purge),
            name => match name.split_once('#') {
                Some((PATH, id)) => match Key::from_canonical(&format!("{PATH}/{id}"))? {
                    Key::Item(id) => Some(Self::Place(id)),
                    Key::List => None,
                },
                _ => Key::from_canonical(name).map(Self::Refresh),
            },
        }
    }

    /// Whether it refreshes the list, or a place in it.
    pub fn is_of_list(&self) -> bool {
        matches!(self, Self::Refresh(Key::List) | Self::Place(_))
    }

    /// The key that the task refreshes. A place is a part of a key.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Refresh(key) => Some(key),
            Self::Place(_) | Self::Reconcile | Self::RefreshRelated | Self::Purge => None,
        }
    }
}

impl From<Key> for Task {
    fn from(key: Key) -> Self {
        Self::Refresh(key)
    }
}

impl fmt::Display for Task {
    /// The name in the work queue.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refresh(key) => key.fmt(f),
            Self::Place(id) => write!(f, "{PATH}#{}", encode(id.as_str())),
            Self::Reconcile => f.write_str("reconcile"),
            Self::RefreshRelated => f.write_str("related"),
            Self::Purge => f.write_str("purge"),
        }
    }
}

/// The arguments of the operation `invalidate`: what reported the change, how long ago, and the
/// tasks.
pub fn invalidation(source: &str, ago: Duration, tasks: &[Task]) -> Vec<Vec<u8>> {
    let mut arguments = vec![source.into(), milliseconds(ago)];
    arguments.extend(names(tasks));
    arguments
}

/// The names of tasks, as arguments of the script.
pub fn names(tasks: &[Task]) -> Vec<Vec<u8>> {
    let name = |task: &Task| task.to_string().into_bytes();
    tasks.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_parses_its_own_name() {
        for name in [
            "/articles",
            "/articles/7",
            "/articles/a%23b",
            "/articles#7",
            "/articles#a%23b%2F",
            "reconcile",
            "related",
            "purge",
        ] {
            let task = Task::parse(name).expect(name);
            assert_eq!(task.to_string(), name);
            let of_list = name == "/articles" || name.starts_with("/articles#");
            assert_eq!(task.is_of_list(), of_list, "{name}");
        }
        for name in [
            "",
            "#7",
            "/articles#",
            "/articles#a#b",
            "/articles/7#8",
            "/other#7",
        ] {
            assert_eq!(Task::parse(name), None, "{name}");
        }
    }
}
