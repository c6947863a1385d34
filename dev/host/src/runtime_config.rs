//! `--runtime-config-file`: the place of the key-value store in Spin's runtime configuration (Spin:
//! `crates/runtime-config`). An error names anything else.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

/// The reason of each refusal.
const ONLY_KEY_VALUE: &str = "the embedded host implements only [key_value_store.default] of type \
                              \"spin\" or \"redis\"; use other configurations with Spin";

/// The place of the store "default".
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "type")]
pub(crate) enum KeyValueStore {
    /// In SQLite.
    Spin {
        /// The file. `None` is a database in the memory of this process.
        path: Option<PathBuf>,
    },
    /// In Redis.
    Redis {
        /// The server's URL, which may hold credentials.
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

/// Reads the place of the store "default" from the file at `path`, if the file has it. A relative
/// path in the file starts at the file's folder.
///
/// # Errors
/// When the file cannot be read, is no TOML, or configures what this host lacks. The error quotes
/// no line of it, since lines may hold passwords.
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
        anyhow!("line {line}: {} ({ONLY_KEY_VALUE})", error.message())
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
    fn a_relative_path_starts_at_the_files_folder() {
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
    fn sqlite_may_be_in_memory_and_redis_has_a_url() {
        let sqlite = parse("[key_value_store.default]\ntype = 'spin'").unwrap();
        assert!(matches!(sqlite, Some(KeyValueStore::Spin { path: None })));
        let redis = parse("[key_value_store.default]\ntype = 'redis'\nurl = 'redis://db'").unwrap();
        assert!(matches!(redis, Some(KeyValueStore::Redis { url }) if url == "redis://db"));
    }

    #[test]
    fn an_empty_file_keeps_the_default() {
        assert!(parse("").unwrap().is_none());
        assert!(parse("[key_value_store]").unwrap().is_none());
    }

    #[test]
    fn an_error_names_what_is_not_implemented() {
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
    fn an_error_names_the_line_without_quoting_it() {
        let refusal = refusal("[key_value_store.default]\nurl = \"redis://:sesame@db");
        assert!(refusal.starts_with("line 2: "), "{refusal}");
        assert!(!refusal.contains("sesame"), "{refusal}");
    }
}
