//! The variables that only webhooks need.

use crate::authentication::Secrets;
use crate::webhook::{TableName, Tables};
use afterword::log;
use afterword::queue::Redis;
use afterword::variables::{self, Cached, Result, invalid, once, optional};
use std::rc::Rc;

/// The configuration of webhooks.
pub struct Settings {
    /// The secrets (variable `webhook_secret`).
    pub secrets: Secrets,
    /// The cached table, `webhook_tables` and `related_tables`.
    pub tables: Tables,
    /// The work queue.
    pub redis: Rc<Redis>,
}

impl Settings {
    /// Reads the variables; an instance reads them once.
    pub async fn read() -> Result<Rc<Self>> {
        thread_local! {
            static SETTINGS: Cached<Settings> = Cached::default();
        }
        let read = async {
            log::init("revalidate").await?;
            Ok(Self {
                secrets: Secrets::parse(&optional("webhook_secret").await?)
                    .map_err(|why| invalid("webhook_secret", why))?,
                tables: tables().await?,
                redis: variables::redis().await?,
            })
        };
        once(&SETTINGS, read).await
    }
}

async fn tables() -> Result<Tables> {
    let cached = variables::table().await?;
    let names = async |name| {
        TableName::parse_list(&optional(name).await?, &cached.schema)
            .map_err(|why| invalid(name, why))
    };
    Ok(Tables {
        aliases: names("webhook_tables").await?,
        related: names("related_tables").await?,
        cached,
    })
}
