//! The application's variables, read and checked. Each component reads its own; here are the
//! variables that at least two components read. `spin.toml` says which component gets which.

use crate::freshness::Lifetime;
use crate::host;
use crate::metrics::Counter;
use crate::postgrest::api_key::ApiKey;
use crate::postgrest::list_query::ListQuery;
use crate::postgrest::query;
use crate::postgrest::{BaseUrl, Origin};
use crate::queue::Redis;
use crate::resource::{Resource, Table};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::thread::LocalKey;
use std::time::Duration;

/// A variable is missing or invalid. The text tells the operator what to do, and does not contain
/// the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// The result of reading variables.
pub type Result<T> = std::result::Result<T, Error>;

/// The variable has an invalid value.
pub fn invalid(name: &str, why: impl fmt::Display) -> Error {
    Error(format!("the variable `{name}` cannot be used: {why}"))
}

/// The value of a variable, which may be empty.
pub async fn optional(name: &str) -> Result<String> {
    host::variable(name).await.ok_or_else(|| {
        Error(format!(
            "the variable `{name}` is not set; set it with SPIN_VARIABLE_{}",
            name.to_ascii_uppercase()
        ))
    })
}

/// The value of a variable, which must not be empty.
pub async fn required(name: &str) -> Result<String> {
    let value = optional(name).await?;
    if value.is_empty() {
        Err(invalid(name, "it is empty"))
    } else {
        Ok(value)
    }
}

/// The value of a variable in whole seconds.
pub async fn seconds(name: &str) -> Result<Duration> {
    let seconds = optional(name)
        .await?
        .parse()
        .map_err(|_| invalid(name, "it is not a whole number of seconds"))?;
    Ok(Duration::from_secs(seconds))
}

/// The value of a variable that limits something; `None` if it is 0.
pub async fn maximum(name: &str) -> Result<Option<u32>> {
    let maximum = optional(name).await?.parse();
    let maximum: u32 = maximum.map_err(|_| {
        invalid(
            name,
            "it is not a whole number below 2³²; 0 means that there is no limit",
        )
    })?;
    Ok(Some(maximum).filter(|maximum| *maximum > 0))
}

/// A value that an instance reads once, and keeps for its hundred and more requests.
pub type Cached<T> = RefCell<Option<Rc<T>>>;

/// The cached value, or else the result of `read`, which is then cached.
pub async fn once<T>(
    cached: &'static LocalKey<Cached<T>>,
    read: impl Future<Output = Result<T>>,
) -> Result<Rc<T>> {
    if let Some(value) = cached.with_borrow(Clone::clone) {
        return Ok(value);
    }
    let value = Rc::new(read.await?);
    cached.set(Some(value.clone()));
    Ok(value)
}

/// `schema`, `table` and `id_column`.
pub async fn table() -> Result<Table> {
    Ok(Table {
        schema: required("schema").await?,
        name: required("table").await?,
        id_column: required("id_column").await?,
    })
}

/// The table, `item_query` and `list_query`.
async fn resource() -> Result<Resource> {
    let table = table().await?;
    let item_query = optional("item_query").await?;
    let list_query = optional("list_query").await?;
    Ok(Resource {
        item_query: query::item(&item_query).map_err(|why| invalid("item_query", why))?,
        list_query: ListQuery::parse(&list_query, &table.id_column)
            .map_err(|why| invalid("list_query", why))?,
        table,
    })
}

/// The resource, `supabase_url`, `supabase_anon_key` and `cache_version`. `counters` count the
/// successful and the failed requests.
pub async fn origin(counters: [Counter; 2]) -> Result<Origin> {
    Ok(Origin {
        resource: resource().await?,
        base_url: BaseUrl::parse(&required("supabase_url").await?).ok_or_else(|| {
            invalid(
                "supabase_url",
                "it must look like `https://project.supabase.co`, without a path",
            )
        })?,
        api_key: ApiKey::parse(required("supabase_anon_key").await?)
            .map_err(|why| invalid("supabase_anon_key", why))?,
        cache_version: optional("cache_version").await?,
        sent: Cell::default(),
        counters,
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

/// Where this application's component `refresh-http` is.
pub struct RefreshEndpoint {
    /// `refresh_url`.
    pub base_url: BaseUrl,
    /// `refresh_secret`.
    pub secret: String,
}

/// `refresh_url` and `refresh_secret`, if the application has no Redis trigger. An instance reads
/// them once.
pub async fn refresh_endpoint() -> Result<Rc<Option<RefreshEndpoint>>> {
    thread_local! {
        static ENDPOINT: Cached<Option<RefreshEndpoint>> = Cached::default();
    }
    let read = async {
        // Manifests with a Redis trigger lack the variable.
        let url = host::variable("refresh_url").await.unwrap_or_default();
        if url.is_empty() {
            return Ok(None);
        }
        let base_url = BaseUrl::parse(&url).ok_or_else(|| {
            invalid(
                "refresh_url",
                "it must look like `https://this-application.example`, without a path",
            )
        })?;
        let secret = required("refresh_secret").await?;
        Ok(Some(RefreshEndpoint { base_url, secret }))
    };
    once(&ENDPOINT, read).await
}

/// `redis_url` and `redis_prefix`. An instance reads them once.
pub async fn redis() -> Result<Rc<Redis>> {
    thread_local! {
        static REDIS: Cached<Redis> = Cached::default();
    }
    let read = async {
        let (url, prefix) = (
            optional("redis_url").await?,
            required("redis_prefix").await?,
        );
        let has_channel = refresh_endpoint().await?.is_none();
        Redis::new(url, &prefix, has_channel).map_err(|why| invalid("redis_prefix", why))
    };
    once(&REDIS, read).await
}
