//! The key-value store's file, as Spin and the embedded host write it. Scenarios change it to make
//! entries old or invalid.

use std::time::Duration;

use afterword::entry::Entry;
use afterword::host;
use afterword_scenarios::Afterword;
use rusqlite::{Connection, params};

fn open(afterword: &Afterword) -> Connection {
    let file = afterword.state_dir().join("sqlite_key_value.db");
    let connection = Connection::open(file).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
}

/// The names of all keys, in alphabetical order.
pub fn keys(afterword: &Afterword) -> Vec<String> {
    let connection = open(afterword);
    let mut query = connection
        .prepare("SELECT key FROM spin_key_value ORDER BY key")
        .unwrap();
    let keys = query.query_map([], |row| row.get(0)).unwrap();
    keys.collect::<Result<_, _>>().unwrap()
}

/// The value of an existing key.
pub fn value(afterword: &Afterword, key: &str) -> Vec<u8> {
    let query = "SELECT value FROM spin_key_value WHERE key = ?1";
    open(afterword)
        .query_row(query, [key], |row| row.get(0))
        .unwrap_or_else(|error| panic!("{key}: {error}"))
}

/// Replaces the value of an existing key.
pub fn replace(afterword: &Afterword, key: &str, value: &[u8]) {
    let update = "UPDATE spin_key_value SET value = ?2 WHERE key = ?1";
    let changed = open(afterword)
        .execute(update, params![key, value])
        .unwrap();
    assert_eq!(changed, 1, "{key} exists");
}

/// Adds a new key.
pub fn insert(afterword: &Afterword, key: &str, value: &[u8]) {
    let insert = "INSERT INTO spin_key_value (store, key, value) VALUES ('default', ?1, ?2)";
    open(afterword)
        .execute(insert, params![key, value])
        .unwrap();
}

/// The stored entry of a path.
pub fn entry(afterword: &Afterword, path: &str) -> Entry {
    Entry::decode(value(afterword, path)).expect("an entry")
}

/// The stored content of a path.
pub fn content(afterword: &Afterword, path: &str) -> String {
    let content = entry(afterword, path).identity.content;
    String::from_utf8_lossy(&content).into_owned()
}

/// Gives an entry this age.
pub fn make_old(afterword: &Afterword, path: &str, age: Duration) {
    let mut entry = entry(afterword, path);
    entry.fetched_at = host::now() - u64::try_from(age.as_millis()).unwrap();
    replace(afterword, path, &entry.encode());
}
