//! The application's variables, read and checked. `spin.toml` hands each component those that it needs.

use crate::cors::Cors;
use crate::door::Secrets;
use crate::entry::Source;
use crate::freshness::Lifetime;
use crate::key::Key;
use crate::marks::Redis;
use crate::postgrest::{Base, Origin, is_query, key::ApiKey, list::ListQuery};
use crate::webhook::{Table, TableName, Tables};
use http::Uri;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::thread::LocalKey;
use std::time::Duration;

/// A variable that is missing or cannot be used: a sentence for the operator, without the variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

type Result<T> = std::result::Result<T, Error>;

fn unusable(variable: &str, why: impl fmt::Display) -> Error {
    Error(format!("the variable `{variable}` cannot be used: {why}"))
}

async fn variable(name: &str) -> Result<String> {
    // The host's own words may quote the value: they stay out.
    spin_sdk::variables::get(name).await.map_err(|_| {
        Error(format!(
            "the variable `{name}` is not set; set it with SPIN_VARIABLE_{}",
            name.to_ascii_uppercase()
        ))
    })
}

async fn filled(name: &str) -> Result<String> {
    let value = variable(name).await?;
    if value.is_empty() {
        Err(unusable(name, "it is empty"))
    } else {
        Ok(value)
    }
}

async fn seconds(name: &str) -> Result<Duration> {
    let seconds = variable(name)
        .await?
        .parse()
        .map_err(|_| unusable(name, "it is no whole number of seconds"))?;
    Ok(Duration::from_secs(seconds))
}

type Kept<T> = RefCell<Option<Rc<T>>>;

/// What an instance has read already, else what `read` gives: an instance lives for a hundred and some requests.
async fn once<T>(
    kept: &'static LocalKey<Kept<T>>,
    read: impl Future<Output = Result<T>>,
) -> Result<Rc<T>> {
    if let Some(kept) = kept.with_borrow(Clone::clone) {
        return Ok(kept);
    }
    let read = Rc::new(read.await?);
    kept.set(Some(read.clone()));
    Ok(read)
}

/// `schema`, `table` and `id_column`.
pub async fn table() -> Result<Table> {
    Ok(Table {
        schema: filled("schema").await?,
        name: filled("table").await?,
        id_column: filled("id_column").await?,
    })
}

/// `max_age`, `stale_while_revalidate` and `stale_if_error`.
pub async fn lifetime() -> Result<Lifetime> {
    Ok(Lifetime {
        max_age: seconds("max_age").await?,
        stale_while_revalidate: seconds("stale_while_revalidate").await?,
        stale_if_error: seconds("stale_if_error").await?,
    })
}

/// `replica_lag`: how long after a change the origin's replicas may still show the old row.
pub async fn replica_lag() -> Result<Duration> {
    let lag = seconds("replica_lag").await?;
    if lag <= Duration::from_secs(300) {
        Ok(lag)
    } else {
        Err(unusable("replica_lag", "it is more than 300 seconds"))
    }
}

/// How reads are answered.
#[derive(Clone, Debug)]
pub struct Reading {
    /// How long an entry is served.
    pub lifetime: Lifetime,
    /// Where the content of entries comes from.
    pub origin: Origin,
    /// The list's source.
    list: Source,
    /// An item's.
    item: Source,
    /// `cache_control`: the `Cache-Control` of what is served.
    pub cache_control: String,
    /// `cdn_cache_control`: its `CDN-Cache-Control` (RFC 9213), if any.
    pub cdn_cache_control: Option<String>,
    /// `cors_allow_origins`
    pub cors: Cors,
}

impl Reading {
    /// The [`Origin::source`] of `key`, computed once in an instance.
    pub fn source(&self, key: &Key) -> Source {
        match key {
            Key::List => self.list,
            Key::Item(_) => self.item,
        }
    }
}

/// All that every read asks for, read once in an instance.
pub async fn reading() -> Result<Rc<Reading>> {
    thread_local! {
        static KEPT: Kept<Reading> = Kept::default();
    }
    let read = async {
        let origin = origin().await?;
        Ok(Reading {
            lifetime: lifetime().await?,
            list: origin.list_source(),
            item: origin.item_source(),
            origin,
            cache_control: field_value("cache_control", &filled("cache_control").await?)?,
            cdn_cache_control: match variable("cdn_cache_control").await?.trim() {
                "" => None,
                value => Some(field_value("cdn_cache_control", value)?),
            },
            cors: Cors::parse(&variable("cors_allow_origins").await?)
                .map_err(|why| unusable("cors_allow_origins", why))?,
        })
    };
    once(&KEPT, read).await
}

fn field_value(name: &str, value: &str) -> Result<String> {
    let value = value.trim();
    match value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        true => Ok(value.to_owned()),
        false => Err(unusable(
            name,
            "it holds a character that no header field may",
        )),
    }
}

/// `redis_url` and `redis_prefix`, read once in an instance.
pub async fn redis() -> Result<Rc<Redis>> {
    thread_local! {
        static KEPT: Kept<Redis> = Kept::default();
    }
    let read = async {
        Redis::new(variable("redis_url").await?, &filled("redis_prefix").await?)
            .map_err(|why| unusable("redis_prefix", why))
    };
    once(&KEPT, read).await
}

/// How webhooks are taken.
pub struct Taking {
    /// `webhook_secret`, of which there may be two.
    pub secrets: Secrets,
    /// `schema`, `table`, `id_column`, `webhook_tables` and `related_tables`
    pub tables: Tables,
    /// `redis_url` and `redis_prefix`
    pub redis: Rc<Redis>,
}

/// All that every webhook asks for, read once in an instance.
pub async fn taking() -> Result<Rc<Taking>> {
    thread_local! {
        static KEPT: Kept<Taking> = Kept::default();
    }
    let read = async {
        Ok(Taking {
            secrets: Secrets::parse(&variable("webhook_secret").await?)
                .map_err(|why| unusable("webhook_secret", why))?,
            tables: tables().await?,
            redis: redis().await?,
        })
    };
    once(&KEPT, read).await
}

async fn tables() -> Result<Tables> {
    let own = table().await?;
    let names = async |name| {
        TableName::list(&variable(name).await?, &own.schema).map_err(|why| unusable(name, why))
    };
    Ok(Tables {
        counting: names("webhook_tables").await?,
        related: names("related_tables").await?,
        own,
    })
}

/// The origin: `supabase_url`, `supabase_anon_key`, `item_query`, `list_query`, `cache_version`,
/// and the table.
pub async fn origin() -> Result<Origin> {
    let table = table().await?;
    let list_query = variable("list_query").await?;
    Ok(Origin {
        base: base(&filled("supabase_url").await?).ok_or_else(|| {
            unusable(
                "supabase_url",
                "it is to be like `https://project.supabase.co`, without a path",
            )
        })?,
        key: ApiKey::parse(filled("supabase_anon_key").await?)
            .map_err(|why| unusable("supabase_anon_key", why))?,
        item_query: item_query(&variable("item_query").await?)
            .map_err(|why| unusable("item_query", why))?,
        list_query: ListQuery::parse(&list_query, &table.id_column)
            .map_err(|why| unusable("list_query", why))?,
        cache_version: variable("cache_version").await?,
        table,
    })
}

fn base(url: &str) -> Option<Base> {
    let uri: Uri = url.trim_end_matches('/').parse().ok()?;
    let https = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = uri
        .authority()
        .filter(|authority| !authority.as_str().contains('@'))?
        .to_string();
    (matches!(uri.path(), "" | "/") && uri.query().is_none()).then_some(Base { https, authority })
}

fn item_query(query: &str) -> std::result::Result<String, &'static str> {
    let query = query.trim_start_matches('?');
    let parameters = || query.split('&').filter_map(|pair| pair.split('=').next());
    if parameters().any(|name| matches!(name, "order" | "limit" | "offset")) {
        return Err("`order`, `limit` and `offset` have no meaning for a single row");
    }
    if is_query(query) {
        Ok(query.to_owned())
    } else {
        Err("it holds a character that must be percent-encoded")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_url_has_a_scheme_and_a_host_and_no_path() {
        let expected = |https, authority: &str| {
            Some(Base {
                https,
                authority: authority.into(),
            })
        };
        assert_eq!(
            base("https://x.supabase.co/"),
            expected(true, "x.supabase.co")
        );
        assert_eq!(
            base("http://127.0.0.1:54321"),
            expected(false, "127.0.0.1:54321")
        );
        for url in [
            "",
            "x.supabase.co",
            "ftp://x",
            "https://x.supabase.co/rest/v1",
            "https://",
            "http://x?y",
            "https://a b",
            "https://user:pw@x",
        ] {
            assert!(base(url).is_none(), "{url}");
        }
    }

    #[test]
    fn an_item_has_no_order_and_no_limit() {
        assert_eq!(
            item_query("select=*,author:authors(name)").unwrap(),
            "select=*,author:authors(name)"
        );
        assert_eq!(item_query("?select=*").unwrap(), "select=*");
        assert!(item_query("select=*&limit=1").is_err());
        assert!(item_query("select=a b").is_err());
    }
}
