//! The values of application variables, and of components' variables made from them.

use std::collections::{BTreeMap, HashMap};
use std::env::VarError;

use anyhow::{Context, Result, bail, ensure};

use crate::manifest::Variable;
use crate::template::Template;

/// The value of every application variable.
#[derive(Debug)]
pub(crate) struct Variables(HashMap<String, String>);

impl Variables {
    /// Looks up each value: first in `given` (`--variable`), then as `SPIN_VARIABLE_<NAME>` in
    /// `environment`, then the declared default.
    ///
    /// # Errors
    /// When a required variable has no value, as in Spin, or `given` has an undeclared variable.
    pub(crate) fn resolve(
        declared: &BTreeMap<String, Variable>,
        given: &[(String, String)],
        environment: impl Fn(&str) -> Result<String, VarError>,
    ) -> Result<Self> {
        if let Some((name, _)) = given.iter().find(|(name, _)| !declared.contains_key(name)) {
            bail!("--variable {name}=…: the manifest's [variables] does not declare {name:?}");
        }
        let mut values = HashMap::new();
        let mut missing = Vec::new();
        for (name, variable) in declared {
            check_name(name)?;
            let key = environment_key(name);
            let from_environment = match environment(&key) {
                Ok(value) => Some(value),
                Err(VarError::NotPresent) => None,
                Err(VarError::NotUnicode(_)) => bail!("the value of {key} is not valid UTF-8"),
            };
            let last_given = given.iter().rfind(|(given, _)| given == name);
            let value = last_given
                .map(|(_, value)| value.clone())
                .or(from_environment)
                .or_else(|| variable.default.clone());
            match value {
                Some(value) => {
                    values.insert(name.clone(), value);
                }
                None => missing.push(format!("{name} (--variable {name}=… or {key}=…)")),
            }
        }
        ensure!(
            missing.is_empty(),
            "no value for the required variable(s) {}",
            missing.join(", ")
        );
        Ok(Self(values))
    }

    /// Fills in a template.
    ///
    /// # Errors
    /// When the template is malformed or has an undeclared variable.
    pub(crate) fn fill(&self, template: &str) -> Result<String> {
        self.fill_parsed(&Template::parse(template)?)
    }

    /// Fills in a parsed template.
    ///
    /// # Errors
    /// When the template has an undeclared variable.
    pub(crate) fn fill_parsed(&self, template: &Template) -> Result<String> {
        template.fill(|name| self.0.get(name).map(String::as_str))
    }

    /// The values of a component's variables, by the component's own names.
    ///
    /// # Errors
    /// As [`Self::fill`]. The error names the variable.
    pub(crate) fn of_component(
        &self,
        templates: &BTreeMap<String, String>,
    ) -> Result<HashMap<String, String>> {
        let values = templates.iter().map(|(name, template)| {
            check_name(name)?;
            let value = self
                .fill(template)
                .with_context(|| format!("variable {name:?}"))?;
            Ok((name.clone(), value))
        });
        values.collect()
    }
}

fn environment_key(name: &str) -> String {
    format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase())
}

fn check_name(name: &str) -> Result<()> {
    if let Some(reason) = fault_in_name(name) {
        bail!("invalid variable name {name:?}: it {reason}");
    }
    Ok(())
}

/// What is wrong with a variable's name by Spin's rules (`crates/expressions`, `Key::validate`).
pub(crate) fn fault_in_name(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        Some("must start with a lower-case letter")
    } else if !name.chars().all(allowed) {
        Some("may contain only lower-case letters, digits and underscores")
    } else if name.ends_with('_') || name.contains("__") {
        Some("must not end with an underscore or contain two in a row")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> BTreeMap<String, Variable> {
        toml::from_str(
            r#"
            supabase_url = { required = true }
            schema = { default = "public" }
            "#,
        )
        .unwrap()
    }

    fn resolve(given: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Variables> {
        let given: Vec<_> = given
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Variables::resolve(&declared(), &given, |key| {
            let found = environment.iter().find(|(name, _)| *name == key);
            found
                .map(|(_, value)| value.to_string())
                .ok_or(VarError::NotPresent)
        })
    }

    #[test]
    fn the_command_line_overrides_the_environment_and_both_the_default() {
        let environment = [
            ("SPIN_VARIABLE_SUPABASE_URL", "http://environment"),
            ("SPIN_VARIABLE_SCHEMA", "environment"),
        ];
        let variables = resolve(&[("supabase_url", "http://given")], &environment).unwrap();
        assert_eq!(
            variables.fill("{{ supabase_url }}").unwrap(),
            "http://given"
        );
        assert_eq!(variables.fill("{{ schema }}").unwrap(), "environment");

        let variables = resolve(&[("supabase_url", "http://given")], &[]).unwrap();
        assert_eq!(variables.fill("{{ schema }}").unwrap(), "public");
    }

    #[test]
    fn an_error_names_a_missing_variable_and_how_to_set_it() {
        let text = resolve(&[], &[]).unwrap_err().to_string();
        assert!(text.contains("--variable supabase_url="), "{text}");
        assert!(text.contains("SPIN_VARIABLE_SUPABASE_URL="), "{text}");
        assert!(!text.contains("schema"), "{text}");
    }

    #[test]
    fn an_error_about_an_undeclared_variable_does_not_show_its_value() {
        let text = resolve(&[("supabase_key", "sesame")], &[])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("supabase_key") && !text.contains("sesame"),
            "{text}"
        );
    }

    #[test]
    fn a_components_variables_are_templates() {
        let variables = resolve(&[("supabase_url", "http://given")], &[]).unwrap();
        let of_component = |template: &str| {
            variables.of_component(&BTreeMap::from([(
                "origin".to_owned(),
                template.to_owned(),
            )]))
        };
        assert_eq!(
            of_component("{{ supabase_url }}/rest").unwrap()["origin"],
            "http://given/rest"
        );
        let text = format!("{:#}", of_component("{{ supabase_uri }}").unwrap_err());
        assert!(
            text.contains("origin") && text.contains("supabase_uri"),
            "{text}"
        );
    }

    #[test]
    fn variable_names_follow_spins_rules() {
        for good in ["a", "abc", "a1b2c3", "a_1", "a_1_b_3"] {
            assert_eq!(fault_in_name(good), None, "{good}");
        }
        for bad in ["", "aX", "1bc", "_x", "x.y", "x_", "a__b", "x-y"] {
            assert!(fault_in_name(bad).is_some(), "{bad}");
        }
    }
}
