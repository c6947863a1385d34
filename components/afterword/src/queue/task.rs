//! The members of the work queue.

use super::milliseconds;
use crate::key::Key;
use std::fmt;
use std::time::Duration;

/// A member of the work queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// Refresh the entry of this key.
    Refresh(Key),
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
            path => Key::from_canonical(path).map(Self::Refresh),
        }
    }

    /// The key that the task refreshes.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Refresh(key) => Some(key),
            Self::Reconcile | Self::RefreshRelated | Self::Purge => None,
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
