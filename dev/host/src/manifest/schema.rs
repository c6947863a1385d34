//! The manifest's tables and keys. Any other key is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The manifest's outline. It keeps each table unparsed, so an error in one can name its component
/// or trigger.
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
    /// A template of the server's URL, which may hold credentials.
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
    /// The path of the compiled component. A loaded manifest has resolved it against its folder.
    pub source: PathBuf,
    /// Templates by the component's own variable names.
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
