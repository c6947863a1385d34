//! The variables that only the status page needs.

use crate::access::Access;
use afterword::bearer;
use afterword::log;
use afterword::variables::{self, Cached, Result, invalid, once, optional};
use std::rc::Rc;

/// The configuration of the status page.
pub struct Settings {
    /// `admin_token` and `status_public`.
    pub access: Access,
    /// Whether the host has a Redis trigger, so that Redis's expired keys wake the worker.
    pub has_trigger: bool,
}

impl Settings {
    /// Reads the variables; an instance reads them once.
    pub async fn read() -> Result<Rc<Self>> {
        thread_local! {
            static SETTINGS: Cached<Settings> = Cached::default();
        }
        let read = async {
            log::init("status").await?;
            let token = optional("admin_token").await?;
            if !token.is_empty() {
                bearer::check(&token).map_err(|why| invalid("admin_token", why))?;
            }
            let is_public = match optional("status_public").await?.as_str() {
                "true" => true,
                "false" | "" => false,
                _ => return Err(invalid("status_public", "it must be `true` or `false`")),
            };
            Ok(Self {
                access: Access::new(token, is_public),
                has_trigger: variables::refresh_endpoint().await?.is_none(),
            })
        };
        once(&SETTINGS, read).await
    }
}
