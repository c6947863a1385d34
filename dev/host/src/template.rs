//! Templates: `{{ name }}` in a manifest's strings stands for an application variable (Spin: `crates/expressions`).

use anyhow::{Context, Result};

/// A parsed template, with the borrowed parts of its text in order.
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

    /// Whether no variable stands in it.
    pub(crate) fn is_literal(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    /// Fills the variables in; `value` gives each one's value, or none if there is no such variable.
    ///
    /// # Errors
    /// When it names a variable that does not exist.
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
    fn text_without_braces_stays_as_it_is() {
        assert_eq!(fill("https://a.example").unwrap(), "https://a.example");
        assert!(Template::parse("https://a.example").unwrap().is_literal());
        assert_eq!(fill("").unwrap(), "");
    }

    #[test]
    fn variables_are_filled_in_wherever_they_stand() {
        assert_eq!(
            fill("https://{{ host }}:{{host}}/").unwrap(),
            "https://db.example:db.example/"
        );
        assert!(!Template::parse("{{ host }}").unwrap().is_literal());
    }

    #[test]
    fn single_braces_are_ordinary_characters() {
        let channel = "__keyspace@0__:{afterword}:timer";
        assert_eq!(fill(channel).unwrap(), channel);
        assert!(Template::parse(channel).unwrap().is_literal());
    }

    #[test]
    fn an_unclosed_brace_is_an_error() {
        assert!(fill("{{ host }} {{ host").is_err());
    }

    #[test]
    fn an_unknown_variable_is_an_error_that_names_it() {
        assert!(fill("{{ hots }}").unwrap_err().to_string().contains("hots"));
    }
}
