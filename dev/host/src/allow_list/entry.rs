//! One entry of an allow-list: a scheme, a host and a port.

use anyhow::{Context, Result, anyhow, ensure};
use url::{Host, Url};

use crate::service_chaining::SUFFIX;

/// An address that a component may connect to.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Entry {
    scheme: String,
    host: Host,
    port: u16,
}

/// Why an entry is refused. No text shows the entry, which may hold a password.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Spin refuses it, too.
    Invalid(anyhow::Error),
    /// Only Spin implements it.
    NotImplemented(&'static str),
}

impl Entry {
    /// Parses an item with its variables filled in. It has one entry, or, if it allows service
    /// chaining to all `components`, one for each.
    pub(super) fn parse<'a>(
        text: &str,
        components: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<Self>, Refusal> {
        let invalid = |text: &'static str| Refusal::Invalid(anyhow!(text));
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .ok_or_else(|| invalid("it has no scheme, such as https://"))?;
        if rest.contains('@') {
            return Err(invalid("it must not hold a user or a password"));
        }
        if let Some(suffix) = all_components(rest) {
            let entries = components.map(|id| Self::from_parts(scheme, &format!("{id}{suffix}")));
            return entries.collect::<Result<_>>().map_err(Refusal::Invalid);
        }
        if let Some(form) = not_implemented(scheme, rest) {
            return Err(Refusal::NotImplemented(form));
        }
        let entry = Self::from_parts(scheme, rest).map_err(Refusal::Invalid)?;
        Ok(vec![entry])
    }

    fn from_parts(scheme: &str, rest: &str) -> Result<Self> {
        ensure!(
            !scheme.is_empty() && scheme.chars().all(char::is_alphabetic),
            "its scheme may have only letters"
        );
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        ensure!(!authority.contains('/'), "it must not have a path");
        let (host, port) = match authority.rsplit_once(':') {
            // The colon is part of an IPv6 address.
            Some((_, tail)) if tail.ends_with(']') => (authority, None),
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let port = match port {
            Some(port) => port
                .parse()
                .context("its port is not a number up to 65535")?,
            None => default_port(scheme)
                .context("it needs a port: its scheme has no default that Spin knows")?,
        };
        Ok(Self {
            scheme: scheme.to_owned(),
            host: Host::parse(host).context("its host is not valid")?,
            port,
        })
    }

    /// The address of a URL, if it has one.
    pub(super) fn of_url(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        Some(Self {
            scheme: url.scheme().to_owned(),
            host: Host::parse(url.host_str()?).ok()?,
            port: url.port().or_else(|| default_port(url.scheme()))?,
        })
    }
}

/// What follows a component's id if the host is `*.spin.internal`: the suffix and the port.
fn all_components(rest: &str) -> Option<&str> {
    let suffix = rest.strip_prefix('*')?;
    let tail = suffix.strip_prefix(SUFFIX)?;
    (tail.is_empty() || tail.starts_with([':', '/'])).then_some(suffix)
}

/// The form of an entry that Spin accepts and this host does not.
fn not_implemented(scheme: &str, rest: &str) -> Option<&'static str> {
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    let network = |(address, bits): (&str, &str)| {
        address.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok()
    };
    if scheme == "*" || rest.contains('*') {
        Some("a wildcard")
    } else if port.contains("..") {
        Some("a range of ports")
    } else if host == "self" || host == "self.alt" {
        Some("a request to the application itself")
    } else if authority.split_once('/').is_some_and(network) {
        Some("a network in CIDR notation")
    } else {
        None
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "redis" => Some(6379),
        _ => None,
    }
}
