//! The application's variables: the environment's values, or else the defaults in `spin.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use toml::Table;

/// The values that components get, except for the variables that `up` sets itself.
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Reads the defaults from a manifest. `SPIN_VARIABLE_<NAME>` of `environment` overrides them.
    ///
    /// # Errors
    ///
    /// When the manifest cannot be read.
    pub fn read(manifest: &Path, environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let read = || -> Result<Table> { Ok(std::fs::read_to_string(manifest)?.parse()?) };
        let table = read().with_context(|| format!("reading {}", manifest.display()))?;
        let declared = table.get("variables").and_then(toml::Value::as_table);
        let values = declared
            .into_iter()
            .flatten()
            .filter_map(|(name, declaration)| {
                let set = environment(&format!("SPIN_VARIABLE_{}", name.to_uppercase()));
                let value =
                    set.or_else(|| Some(declaration.get("default")?.as_str()?.to_owned()))?;
                Some((name.clone(), value))
            });
        Ok(Self(values.collect()))
    }

    /// A variable's value, empty if it has none.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Overrides a variable.
    pub fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_environment_overrides_the_manifest() {
        let environment = |name: &str| match name {
            "SPIN_VARIABLE_ITEM_QUERY" => Some("select=id,title".to_owned()),
            _ => None,
        };
        let manifest = workspace::root().join("spin.toml");
        let mut variables = Variables::read(&manifest, environment).unwrap();
        variables.set("schema", "shop".to_owned());
        let values = [
            ("item_query", "select=id,title"),
            ("list_query", "select=*&order=id.asc"),
            ("schema", "shop"),
            ("table", "articles"),
            ("supabase_url", ""),
        ];
        for (name, value) in values {
            assert_eq!(variables.get(name), value, "{name}");
        }
    }
}
