//! The variables that only reads need.

use crate::cors::Cors;
use afterword::entry::Source;
use afterword::freshness::Lifetime;
use afterword::key::Key;
use afterword::log;
use afterword::metrics;
use afterword::postgrest::Origin;
use afterword::variables::{self, Cached, Result, invalid, once, optional, required};
use std::rc::Rc;

/// The configuration of reads.
pub struct Settings {
    /// How long entries are served.
    pub lifetime: Lifetime,
    /// Where misses are fetched.
    pub origin: Origin,
    /// The source of a valid list entry, computed once.
    list_source: Source,
    /// The source of a valid item entry, computed once.
    item_source: Source,
    /// The `Cache-Control` of served content (variable `cache_control`).
    pub cache_control: String,
    /// The `CDN-Cache-Control` (RFC 9213) of served content, if any.
    pub cdn_cache_control: Option<String>,
    /// Cross-origin access (variable `cors_allow_origins`).
    pub cors: Cors,
}

impl Settings {
    /// Reads the variables; an instance reads them once.
    pub async fn read() -> Result<Rc<Self>> {
        thread_local! {
            static SETTINGS: Cached<Settings> = Cached::default();
        }
        let read = async {
            log::init("articles").await?;
            let origin =
                variables::origin([metrics::READER_REQUEST_OK, metrics::READER_REQUEST_FAILED])
                    .await?;
            let cdn_cache_control = optional("cdn_cache_control").await?;
            Ok(Self {
                lifetime: variables::lifetime().await?,
                list_source: origin.list_source(),
                item_source: origin.item_source(),
                origin,
                cache_control: header("cache_control", &required("cache_control").await?)?,
                cdn_cache_control: match cdn_cache_control.trim() {
                    "" => None,
                    value => Some(header("cdn_cache_control", value)?),
                },
                cors: Cors::parse(&optional("cors_allow_origins").await?)
                    .map_err(|why| invalid("cors_allow_origins", why))?,
            })
        };
        once(&SETTINGS, read).await
    }

    /// The source of a valid entry of `key`.
    pub fn source(&self, key: &Key) -> Source {
        match key {
            Key::List => self.list_source,
            Key::Item(_) => self.item_source,
        }
    }
}

fn header(name: &str, value: &str) -> Result<String> {
    let value = value.trim();
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        Ok(value.to_owned())
    } else {
        Err(invalid(
            name,
            "it contains a character that no header may contain",
        ))
    }
}
