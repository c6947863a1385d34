//! `--runtime-config-file`: the part of Spin's runtime configuration that says where the key-value store lies (Spin:
//! `crates/runtime-config`). Everything else is refused by name.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

const WHY: &str = "the embedded host implements only [key_value_store.default] of type \"spin\" or \"redis\"; \
                   use other runtime configurations with Spin";

/// Where the store "default" lies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "type")]
pub(crate) enum KeyValueStore {
    /// In SQLite.
    Spin {
        /// The file; none for a database in memory, which is this process's own.
        path: Option<PathBuf>,
    },
    /// In Redis.
    Redis {
        /// The server's URL, which may hold a user and a password.
        url: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuntimeConfig {
    #[serde(default)]
    key_value_store: KeyValueStores,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyValueStores {
    default: Option<KeyValueStore>,
}

/// Reads the file at `path`: where the store "default" lies, if it says so. A relative path in it starts from its folder.
///
/// # Errors
/// When the file cannot be read, is no TOML, or configures what this host does not implement. The error quotes no line
/// of it, because they may hold passwords.
pub(crate) fn load(path: &Path) -> Result<Option<KeyValueStore>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the runtime configuration {}", path.display()))?;
    let mut store = parse(&text)
        .with_context(|| format!("cannot use the runtime configuration {}", path.display()))?;
    if let Some(KeyValueStore::Spin { path: Some(file) }) = &mut store {
        *file = path.parent().unwrap_or(Path::new("")).join(&*file);
    }
    Ok(store)
}

fn parse(text: &str) -> Result<Option<KeyValueStore>> {
    let config: RuntimeConfig = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text[..start].matches('\n').count();
        anyhow!("line {line}: {} ({WHY})", error.message())
    })?;
    Ok(config.key_value_store.default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(text).err().expect("it should be refused").to_string()
    }

    #[test]
    fn a_path_starts_from_the_files_folder_unless_it_is_absolute() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runtime-config.toml");
        for (path, expected) in [
            ("kv/default.db", folder.path().join("kv/default.db")),
            ("/kv.db", "/kv.db".into()),
        ] {
            let text = format!("[key_value_store.default]\ntype = \"spin\"\npath = \"{path}\"");
            std::fs::write(&file, text).unwrap();
            let Some(KeyValueStore::Spin { path: Some(path) }) = load(&file).unwrap() else {
                panic!("it should be a file of SQLite's");
            };
            assert_eq!(path, expected);
        }
    }

    #[test]
    fn sqlite_without_a_path_is_in_memory_and_redis_has_a_url() {
        let sqlite = parse("[key_value_store.default]\ntype = 'spin'").unwrap();
        assert!(matches!(sqlite, Some(KeyValueStore::Spin { path: None })));
        let redis = parse("[key_value_store.default]\ntype = 'redis'\nurl = 'redis://db'").unwrap();
        assert!(matches!(redis, Some(KeyValueStore::Redis { url }) if url == "redis://db"));
    }

    #[test]
    fn a_file_that_configures_nothing_leaves_the_default() {
        assert!(parse("").unwrap().is_none());
        assert!(parse("[key_value_store]").unwrap().is_none());
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        for (text, name) in [
            (
                "[sqlite_database.default]\ntype = 'spin'",
                "sqlite_database",
            ),
            ("[key_value_store.other]\ntype = 'spin'", "other"),
            (
                "[key_value_store.default]\ntype = 'azure_cosmos'",
                "azure_cosmos",
            ),
            ("[key_value_store.default]\ntype = 'redis'", "url"),
            (
                "[key_value_store.default]\ntype = 'redis'\nurl = 'redis://db'\npath = 'x'",
                "path",
            ),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(&format!("`{name}`")), "{refusal}");
        }
    }

    #[test]
    fn a_refusal_names_the_line_and_does_not_quote_it() {
        let refusal = refusal("[key_value_store.default]\nurl = \"redis://:sesame@db");
        assert!(refusal.starts_with("line 2: "), "{refusal}");
        assert!(!refusal.contains("sesame"), "{refusal}");
    }
}
