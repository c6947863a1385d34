//! The manifest's tables and keys. A key that is not here is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The manifest's outline. The tables are kept as they are, so that an error in one can name the component or trigger.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outline {
    pub spin_manifest_version: u32,
    #[serde(rename = "application")]
    _application: Application,
    #[serde(default)]
    pub variables: BTreeMap<String, toml::Value>,
    pub trigger: BTreeMap<String, Vec<toml::Value>>,
    pub component: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Application {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "version")]
    _version: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(rename = "authors")]
    _authors: Option<Vec<String>>,
}

/// An entry of `[variables]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    pub default: Option<String>,
    #[serde(default)]
    pub required: bool,
    #[serde(rename = "secret")]
    _secret: Option<bool>,
    #[serde(rename = "description")]
    _description: Option<String>,
}

/// A `[[trigger.http]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpTrigger {
    /// A route pattern, such as `/articles/...`.
    pub route: String,
    pub component: String,
    #[serde(rename = "id")]
    _id: Option<String>,
}

/// A `[[trigger.redis]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedisTrigger {
    /// A template of the server's URL, which may hold a user and a password.
    pub address: String,
    /// A template of the channel's name.
    pub channel: String,
    pub component: String,
    #[serde(rename = "id")]
    _id: Option<String>,
}

/// A `[component.<id>]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Component {
    /// The compiled component's path; absolute, or relative to the current folder, once the manifest is loaded.
    pub source: PathBuf,
    /// Templates, by the component's own name for the value.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    #[serde(default)]
    pub key_value_stores: Vec<String>,
    /// Templates of URLs without a path.
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(rename = "build")]
    _build: Option<IgnoredAny>,
}
