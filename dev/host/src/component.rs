//! A component of the application.

use std::collections::HashMap;
use std::sync::Arc;

use crate::allow_list::AllowList;
use crate::dials::Dials;
use crate::key_value::Backend;

/// A configured component, shared by all its instances.
pub(crate) struct Component {
    pub id: String,
    /// The values of `spin:variables` by name.
    pub variables: HashMap<String, String>,
    /// The labels that `spin:key-value` opens.
    pub key_value_stores: Vec<String>,
    pub allowed_hosts: AllowList,
    pub key_value: Arc<Backend>,
    pub dials: Dials,
    /// Whether to log what each instance has cost.
    pub measure: bool,
    /// Whether to drop what the component prints.
    pub quiet: bool,
}

impl Component {
    /// Writes a line about this component to standard error. It begins with the host's name, because
    /// the component's own lines begin with the component's.
    pub(crate) fn log(&self, message: impl std::fmt::Display) {
        eprintln!("afterword-host: {}: {message}", self.id);
    }

    /// Whether the component may connect to `url`. Logs a refusal without the URL's credentials and
    /// path.
    ///
    /// # Errors
    /// When the allow-list is invalid. The text names the invalid entry.
    pub(crate) fn may_connect(&self, url: &str) -> Result<bool, &str> {
        let allowed = self.allowed_hosts.allows(url)?;
        if !allowed {
            let address = url::Url::parse(url).ok().and_then(|url| {
                let port = url.port().map(|port| format!(":{port}"));
                Some(format!(
                    "{}://{}{}",
                    url.scheme(),
                    url.host_str()?,
                    port.unwrap_or_default()
                ))
            });
            self.log(format_args!(
                "not connecting to {}: its allowed_outbound_hosts does not list it",
                address.as_deref().unwrap_or("an address that is no URL")
            ));
        }
        Ok(allowed)
    }
}
