//! `allowed_outbound_hosts`: where a component may connect to (Spin:
//! `crates/outbound-networking-config`).

use anyhow::{Result, bail};

use crate::template::Template;
use crate::variables::Variables;
use entry::{Entry, Refusal};

mod entry;

/// A component's allow-list. If a template yields an entry that Spin refuses at run time, the list
/// allows nothing and holds the reason instead.
#[derive(Debug)]
pub(crate) struct AllowList(Result<Vec<Entry>, String>);

impl AllowList {
    /// Parses a component's list after filling in `variables`. `components` are the ids of the
    /// application's components, for service chaining to all of them.
    ///
    /// # Errors
    /// Where Spin fails at the start: for an invalid entry without a variable, or a malformed
    /// template. Also for a form of entry that this host lacks.
    pub(crate) fn parse<'a>(
        items: &[String],
        variables: &Variables,
        components: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Self> {
        let mut entries = Vec::new();
        for item in items {
            let template = Template::parse(item)?;
            let filled = variables.fill_parsed(&template)?;
            // Spin skips these, so a variable for an address may be empty.
            if !template.is_literal() && ["", "http://", "https://"].contains(&filled.as_str()) {
                continue;
            }
            match Entry::parse(&filled, components.clone()) {
                Ok(parsed) => entries.extend(parsed),
                Err(Refusal::NotImplemented(form)) => {
                    bail!("{item:?}: {form} is not implemented by the embedded host")
                }
                Err(Refusal::Invalid(error)) if template.is_literal() => {
                    return Err(error.context(format!("{item:?}")));
                }
                Err(Refusal::Invalid(error)) => {
                    return Ok(Self(Err(format!(
                        "allowed_outbound_hosts item {item:?}: {error:#}"
                    ))));
                }
            }
        }
        Ok(Self(Ok(entries)))
    }

    /// The reason why the list allows nothing, if one of its entries is invalid.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.0.as_ref().err().map(String::as_str)
    }

    /// Whether a component may connect to `url`.
    ///
    /// # Errors
    /// When one of its entries is invalid.
    pub(crate) fn allows(&self, url: &str) -> Result<bool, &str> {
        let entries = self.0.as_ref().map_err(String::as_str)?;
        Ok(Entry::of_url(url).is_some_and(|address| entries.contains(&address)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn list(items: &[&str], value: &str) -> Result<AllowList> {
        let declared = toml::from_str("it = { required = true }").unwrap();
        let given = [("it".to_owned(), value.to_owned())];
        let variables = Variables::resolve(&declared, &given, empty_environment)?;
        let items: Vec<_> = items.iter().map(|item| item.to_string()).collect();
        AllowList::parse(&items, &variables, ["articles", "refresh"].into_iter())
    }

    fn empty_environment(_: &str) -> Result<String, std::env::VarError> {
        Err(std::env::VarError::NotPresent)
    }

    #[test]
    fn scheme_host_and_port_have_to_match() {
        let list = list(&["http://db.example:8000", "{{ it }}"], "https://a.example").unwrap();
        for (url, allowed) in [
            ("http://db.example:8000/rest/v1/articles?id=eq.1", true),
            ("https://a.example/x", true),
            ("https://a.example:443", true),
            ("https://A.EXAMPLE/x", true),
            ("http://a.example/x", false),
            ("https://b.a.example/", false),
            ("https://a.example:444/", false),
            ("https://a.example@evil.example/", false),
            ("db.example:8000", false),
        ] {
            assert_eq!(list.allows(url), Ok(allowed), "{url}");
        }
    }

    #[test]
    fn credentials_and_database_of_a_redis_url_do_not_matter() {
        let list = list(&["redis://127.0.0.1:6379/"], "").unwrap();
        assert_eq!(list.allows("redis://user:pw@127.0.0.1:6379/0"), Ok(true));
        assert_eq!(list.allows("redis://127.0.0.1"), Ok(true));
        assert_eq!(list.allows("redis://127.0.0.1:6380"), Ok(false));
    }

    #[test]
    fn a_host_may_be_an_ipv6_address() {
        let list = list(&["redis://[::1]", "http://[::1]:8000"], "").unwrap();
        assert_eq!(list.allows("redis://[::1]:6379"), Ok(true));
        assert_eq!(list.allows("http://[::1]:8000/"), Ok(true));
    }

    #[test]
    fn an_empty_value_adds_no_entry() {
        let list = list(&["{{ it }}", "https://{{ it }}"], "").unwrap();
        assert_eq!(list.fault(), None);
        assert_eq!(list.allows("https://a.example"), Ok(false));
    }

    #[test]
    fn an_invalid_entry_without_variables_fails_at_the_start() {
        for item in [
            "",
            "a.example",
            "https://a.example/rest",
            "https://u:p@a.example",
            "redis://h:port",
            "ftp://h",
        ] {
            assert!(list(&[item], "").is_err(), "{item}");
        }
    }

    #[test]
    fn an_invalid_value_disables_the_list_and_is_not_shown() {
        for value in ["redis://user:sesame@host:6379", "redis://host:6379/0", "x"] {
            let list = list(&["https://a.example", "{{ it }}"], value).unwrap();
            let reason = list.allows("https://a.example").unwrap_err();
            assert!(reason.contains("{{ it }}"), "{reason}");
            assert!(!reason.contains("sesame"), "{reason}");
        }
    }

    #[test]
    fn service_chaining_names_one_component_or_all() {
        for (item, other) in [
            ("http://refresh.spin.internal", false),
            ("http://*.spin.internal", true),
            ("http://*.spin.internal/", true),
        ] {
            for (item, value) in [(item, ""), ("{{ it }}", item)] {
                let list = list(&[item], value).unwrap();
                assert_eq!(list.allows("http://refresh.spin.internal/x"), Ok(true));
                let allowed = list.allows("http://articles.spin.internal/x");
                assert_eq!(allowed, Ok(other), "{item} {value}");
                for refused in [
                    "http://unknown.spin.internal/",
                    "https://refresh.spin.internal/",
                    "http://refresh.spin.internal:8080/",
                ] {
                    assert_eq!(list.allows(refused), Ok(false), "{item} {value} {refused}");
                }
            }
        }
    }

    #[test]
    fn a_form_that_only_spin_implements_is_named() {
        for (item, form) in [
            ("*://a.example:80", "wildcard"),
            ("https://*.a.example", "wildcard"),
            ("https://a.example:*", "wildcard"),
            ("https://a.example:1..9", "range"),
            ("https://self", "itself"),
            ("https://*.internal", "wildcard"),
            ("redis://10.0.0.0/8", "CIDR"),
        ] {
            for (item, value) in [(item, ""), ("{{ it }}", item)] {
                let text = format!("{:#}", list(&[item], value).unwrap_err());
                assert!(text.contains(form), "{text}");
            }
        }
    }

    #[test]
    fn an_undeclared_variable_is_an_error() {
        let variables = Variables::resolve(&BTreeMap::new(), &[], empty_environment).unwrap();
        assert!(AllowList::parse(&["{{ no }}".to_owned()], &variables, [].into_iter()).is_err());
    }
}
