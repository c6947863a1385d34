//! Templates: `{{ name }}` in a manifest's strings is an application variable (Spin:
//! `crates/expressions`).

use anyhow::{Context, Result};

/// A parsed template: the parts of its text in order.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Template<'a>(Vec<Part<'a>>);

#[derive(Debug, Eq, PartialEq)]
enum Part<'a> {
    Literal(&'a str),
    Variable(&'a str),
}

impl<'a> Template<'a> {
    /// Parses a template.
    ///
    /// # Errors
    /// When a `{{` is not closed.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, opened)) = rest.split_once("{{") {
            let (name, after) = opened
                .split_once("}}")
                .with_context(|| format!("unmatched '{{{{' in the template {text:?}"))?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal));
            }
            parts.push(Part::Variable(name.trim()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest));
        }
        Ok(Self(parts))
    }

    /// Whether it has no variable.
    pub(crate) fn is_literal(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    /// Fills in the variables. `value` looks up a variable's value by name.
    ///
    /// # Errors
    /// When a variable does not exist.
    pub(crate) fn fill<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Result<String> {
        let mut filled = String::new();
        for part in &self.0 {
            filled.push_str(match part {
                Part::Literal(text) => text,
                Part::Variable(name) => value(name).with_context(|| {
                    format!("unknown variable {name:?}: [variables] does not declare it")
                })?,
            });
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String> {
        let value = |name: &str| (name == "host").then_some("db.example");
        Template::parse(text)?.fill(value)
    }

    #[test]
    fn text_without_braces_is_unchanged() {
        assert_eq!(fill("https://a.example").unwrap(), "https://a.example");
        assert!(Template::parse("https://a.example").unwrap().is_literal());
        assert_eq!(fill("").unwrap(), "");
    }

    #[test]
    fn variables_are_filled_in_everywhere() {
        assert_eq!(
            fill("https://{{ host }}:{{host}}/").unwrap(),
            "https://db.example:db.example/"
        );
        assert!(!Template::parse("{{ host }}").unwrap().is_literal());
    }

    #[test]
    fn single_braces_are_ordinary_characters() {
        let channel = "__keyspace@0__:{afterword}:v1:alarm";
        assert_eq!(fill(channel).unwrap(), channel);
        assert!(Template::parse(channel).unwrap().is_literal());
    }

    #[test]
    fn an_unclosed_brace_is_an_error() {
        assert!(fill("{{ host }} {{ host").is_err());
    }

    #[test]
    fn an_error_names_an_unknown_variable() {
        assert!(fill("{{ hots }}").unwrap_err().to_string().contains("hots"));
    }
}
