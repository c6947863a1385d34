//! Where the work queue is: the Redis server and the application's key names.

use super::script::{NAMES, Script};

/// The Redis server and the full names of the application's keys.
pub struct Redis {
    /// The server's URL, which may contain a password.
    url: String,
    /// The full names of [`NAMES`].
    keys: [String; NAMES.len()],
}

impl Redis {
    /// The keys of the application with this prefix. Applications that share a server need
    /// different prefixes. A prefix in braces is a hash tag: a cluster then keeps all keys on one
    /// node.
    ///
    /// `has_channel`: the host has a Redis trigger, so that messages wake a worker.
    ///
    /// # Errors
    /// The prefix cannot be part of a key and of a channel's name.
    pub fn new(url: String, prefix: &str, has_channel: bool) -> Result<Self, &'static str> {
        let fits =
            (1..=100).contains(&prefix.len()) && prefix.bytes().all(|it| it.is_ascii_graphic());
        if !fits {
            return Err("it must be 1 to 100 visible ASCII characters, such as `{afterword}`");
        }
        let mut keys = NAMES.map(|name| format!("{prefix}:{name}"));
        if let [.., channel] = &mut keys
            && !has_channel
        {
            // Not empty, because a user's key patterns would not match it.
            *channel = format!("{prefix}:");
        }
        Ok(Self { url, keys })
    }

    /// The server's URL, which may contain a password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The full names of the keys of a script, in the order in which it unpacks them.
    pub fn keys(&self, script: &Script) -> impl Iterator<Item = &str> {
        script.keys.iter().map(|&at| self.keys[at].as_str())
    }

    /// The full name of one of [`NAMES`].
    ///
    /// # Panics
    /// `name` is not one of [`NAMES`].
    pub fn key(&self, name: &str) -> &str {
        let at = NAMES.iter().position(|other| *other == name);
        &self.keys[at.expect("the name is one of `script::NAMES`")]
    }
}
