//! `spin.toml`: the part of Spin's manifest format (version 2) that Afterword uses. An error names
//! anything else.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;

use crate::service_chaining::target_of_item;
use schema::Outline;
pub(crate) use schema::{Component, HttpTrigger, RedisTrigger, Variable};

mod schema;

/// The end of each refusal, after the name of the refused key.
const ONLY_AFTERWORD: &str = "the embedded host implements only what Afterword's spin.toml uses; \
                              run other manifests with Spin";

/// A manifest.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Application variables by name.
    pub variables: BTreeMap<String, Variable>,
    /// In the manifest's order.
    pub http_triggers: Vec<HttpTrigger>,
    /// In the manifest's order.
    pub redis_triggers: Vec<RedisTrigger>,
    /// Components by id, including each trigger's component.
    pub components: BTreeMap<String, Component>,
}

impl Manifest {
    /// Reads the manifest at `path`.
    ///
    /// # Errors
    /// When it cannot be read, is invalid, or needs what this host lacks.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the manifest {}", path.display()))?;
        let mut manifest = Self::parse(&text)
            .with_context(|| format!("cannot use the manifest {}", path.display()))?;
        for component in manifest.components.values_mut() {
            component.source = folder(path).join(&component.source);
        }
        Ok(manifest)
    }

    fn parse(text: &str) -> Result<Self> {
        let outline: Outline = toml::from_str(text).context(ONLY_AFTERWORD)?;
        ensure!(
            outline.spin_manifest_version == 2,
            "spin_manifest_version is {}, but only version 2 is implemented",
            outline.spin_manifest_version
        );

        let mut manifest = Self {
            variables: each(outline.variables, "variable")?,
            http_triggers: Vec::new(),
            redis_triggers: Vec::new(),
            components: each(outline.component, "component")?,
        };
        for (kind, triggers) in outline.trigger {
            match kind.as_str() {
                "http" => manifest.http_triggers = list(triggers, "[[trigger.http]]")?,
                "redis" => manifest.redis_triggers = list(triggers, "[[trigger.redis]]")?,
                _ => bail!("[[trigger.{kind}]] is not implemented: {ONLY_AFTERWORD}"),
            }
        }
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        for (name, variable) in &self.variables {
            ensure!(
                variable.required != variable.default.is_some(),
                "variable {name:?} needs either `required = true` or a `default`, and not both"
            );
        }
        for component in self.triggered() {
            ensure!(
                self.components.contains_key(component),
                "a trigger names component {component:?}, but there is no [component.{component}]"
            );
        }
        for (id, component) in &self.components {
            for store in &component.key_value_stores {
                ensure!(
                    store == "default",
                    "unknown key_value_stores label {store:?} for component {id:?}: only \
                     \"default\" exists"
                );
            }
        }
        Ok(())
    }

    /// Keeps only the triggers of these components, and only components with triggers. Keeps all
    /// triggers if `ids` is empty.
    ///
    /// # Errors
    /// When there is no such component, or nothing is left.
    pub(crate) fn select(&mut self, ids: &[String]) -> Result<()> {
        if let Some(unknown) = ids.iter().find(|id| !self.components.contains_key(*id)) {
            let known: Vec<_> = self.components.keys().map(String::as_str).collect();
            bail!(
                "there is no component {unknown:?} in the manifest; there are {}",
                known.join(", ")
            );
        }
        if !ids.is_empty() {
            self.http_triggers.retain(|it| ids.contains(&it.component));
            self.redis_triggers.retain(|it| ids.contains(&it.component));
        }
        self.check_service_chaining(ids)?;
        let triggered: Vec<String> = self.triggered().map(str::to_owned).collect();
        ensure!(
            !triggered.is_empty(),
            "nothing to run: no trigger names a selected component"
        );
        self.components.retain(|id, _| triggered.contains(id));
        Ok(())
    }

    /// Checks the components that `allowed_outbound_hosts` names without a variable, as Spin does.
    fn check_service_chaining(&self, selected: &[String]) -> Result<()> {
        for id in self.triggered() {
            let items = &self.components[id].allowed_outbound_hosts;
            for target in items.iter().filter_map(|it| target_of_item(it)) {
                ensure!(
                    selected.is_empty() || selected.contains(&target),
                    "selected component {id:?} cannot use service chaining to {target:?}, which is \
                     not selected"
                );
                ensure!(
                    self.redis_triggers.iter().all(|it| it.component != id),
                    "component {id:?} has a [[trigger.redis]], which has no service chaining to \
                     {target:?}"
                );
            }
        }
        Ok(())
    }

    fn triggered(&self) -> impl Iterator<Item = &str> {
        let http = self.http_triggers.iter().map(|it| it.component.as_str());
        let redis = self.redis_triggers.iter().map(|it| it.component.as_str());
        http.chain(redis)
    }
}

/// The base of a manifest's relative paths.
pub(crate) fn folder(manifest: &Path) -> &Path {
    manifest.parent().unwrap_or(Path::new(""))
}

fn each<T: DeserializeOwned>(
    tables: BTreeMap<String, toml::Value>,
    what: &str,
) -> Result<BTreeMap<String, T>> {
    let entries = tables.into_iter().map(|(name, table)| {
        let entry = one(table, &format!("{what} {name:?}"))?;
        Ok((name, entry))
    });
    entries.collect()
}

fn list<T: DeserializeOwned>(tables: Vec<toml::Value>, what: &str) -> Result<Vec<T>> {
    tables.into_iter().map(|table| one(table, what)).collect()
}

fn one<T: DeserializeOwned>(table: toml::Value, what: &str) -> Result<T> {
    table.try_into().map_err(|error: toml::de::Error| {
        anyhow::anyhow!("{what}: {}: {ONLY_AFTERWORD}", error.message())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "afterword"
        [variables]
        redis_url = { default = "redis://127.0.0.1:6379", secret = true }
        [[trigger.http]]
        route = "/articles/..."
        component = "articles"
        [[trigger.redis]]
        address = "{{ redis_url }}"
        channel = "afterword.refresh"
        component = "refresh"
        [component.articles]
        source = "articles.wasm"
        key_value_stores = ["default"]
        [component.articles.build]
        command = "cargo build"
        [component.refresh]
        source = "refresh.wasm"
    "#;

    fn refusal(manifest: &str) -> String {
        format!("{:#}", Manifest::parse(manifest).unwrap_err())
    }

    #[test]
    fn an_implemented_manifest_is_read() {
        let manifest = Manifest::parse(MANIFEST).unwrap();
        assert_eq!(manifest.http_triggers[0].route, "/articles/...");
        assert_eq!(manifest.redis_triggers[0].channel, "afterword.refresh");
        assert_eq!(manifest.components.len(), 2);
    }

    #[test]
    fn an_error_about_an_unknown_key_names_its_component() {
        let text = refusal(&format!("{MANIFEST}\nfiles = [\"a\"]"));
        assert!(
            text.contains("component \"refresh\"") && text.contains("`files`"),
            "{text}"
        );
    }

    #[test]
    fn a_source_to_download_is_refused() {
        let source = r#"source = { url = "https://example.com/a.wasm", digest = "sha256:0" }"#;
        let text = refusal(&MANIFEST.replace(r#"source = "refresh.wasm""#, source));
        assert!(text.contains("component \"refresh\""), "{text}");
    }

    #[test]
    fn an_error_names_an_unknown_trigger() {
        let text = refusal(&MANIFEST.replace("trigger.redis", "trigger.cron"));
        assert!(text.contains("[[trigger.cron]]"), "{text}");
    }

    #[test]
    fn a_private_route_is_refused() {
        let text = refusal(&MANIFEST.replace("\"/articles/...\"", "{ private = true }"));
        assert!(text.contains("[[trigger.http]]"), "{text}");
    }

    #[test]
    fn a_trigger_without_its_component_is_refused() {
        let text = refusal(&MANIFEST.replace("component = \"refresh\"", "component = \"fresh\""));
        assert!(text.contains("no [component.fresh]"), "{text}");
    }

    #[test]
    fn a_store_other_than_default_is_refused() {
        let text = refusal(&MANIFEST.replace("[\"default\"]", "[\"cache\"]"));
        assert!(text.contains("\"cache\""), "{text}");
    }

    #[test]
    fn a_variable_cannot_be_required_and_have_a_default() {
        let text = refusal(&MANIFEST.replace("{ default", "{ required = true, default"));
        assert!(text.contains("redis_url"), "{text}");
    }

    #[test]
    fn another_manifest_version_is_refused() {
        let text = refusal(&MANIFEST.replace("version = 2", "version = 1"));
        assert!(text.contains("only version 2"), "{text}");
    }

    #[test]
    fn selecting_components_drops_the_others() {
        let mut manifest = Manifest::parse(MANIFEST).unwrap();
        manifest.select(&["refresh".to_owned()]).unwrap();
        assert!(manifest.http_triggers.is_empty());
        assert_eq!(manifest.components.keys().collect::<Vec<_>>(), ["refresh"]);
    }

    #[test]
    fn selecting_an_unknown_component_lists_the_known_ones() {
        let mut manifest = Manifest::parse(MANIFEST).unwrap();
        let error = manifest.select(&["fresh".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("articles, refresh"), "{error}");
    }

    /// [`MANIFEST`] with this list of the component `articles` or `refresh`.
    fn with_allowed_hosts(component: &str, list: &str) -> Manifest {
        let source = format!("source = \"{component}.wasm\"");
        let listed = format!("{source}\nallowed_outbound_hosts = {list}");
        Manifest::parse(&MANIFEST.replace(&source, &listed)).unwrap()
    }

    #[test]
    fn service_chaining_to_a_component_that_is_not_selected_is_refused() {
        for list in [
            "['http://refresh.spin.internal']",
            "['http://*.spin.internal']",
        ] {
            let selected = ["articles".to_owned()];
            let error = with_allowed_hosts("articles", list).select(&selected);
            let error = error.unwrap_err().to_string();
            assert!(error.contains("is not selected"), "{error}");
            with_allowed_hosts("articles", list).select(&[]).unwrap();
        }
    }

    #[test]
    fn service_chaining_from_a_redis_trigger_is_refused() {
        let list = "['http://articles.spin.internal']";
        let error = with_allowed_hosts("refresh", list).select(&[]).unwrap_err();
        assert!(
            error.to_string().contains("component \"refresh\""),
            "{error}"
        );
        let list = "['http://{{ host }}.spin.internal']";
        with_allowed_hosts("refresh", list).select(&[]).unwrap();
    }
}
