//! Checks a real Supabase project before the application uses it as its origin.

use std::time::Duration;

use afterword::postgrest::BaseUrl;
use afterword::postgrest::api_key::ApiKey;
use afterword::postgrest::query::is_query;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::variables::Variables;

const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// A project with its key, table and queries.
pub struct Project {
    url: String,
    api_key: ApiKey,
    table: Table,
}

/// The table and its queries: the variables of these names.
struct Table {
    schema: String,
    name: String,
    id_column: String,
    item_query: String,
    list_query: String,
}

impl Project {
    /// The project with this URL and key. `None` without both.
    ///
    /// # Errors
    ///
    /// When only one is given, the URL is invalid, or the key is not for readers.
    pub fn parse(
        url: Option<String>,
        key: Option<String>,
        variables: &Variables,
    ) -> Result<Option<Self>> {
        let (url, key) = match (url, key) {
            (Some(url), Some(key)) => (url, key),
            (Some(_), None) => bail!(
                "the project's URL is given, but not its key: add --supabase-key or \
                 SUPABASE_ANON_KEY (Supabase's dashboard shows it under Project Settings, API Keys)"
            ),
            (None, Some(_)) => bail!(
                "the project's key is given, but not its URL: add --supabase-url or SUPABASE_URL, \
                 such as https://abc.supabase.co"
            ),
            (None, None) => return Ok(None),
        };
        let api_key = ApiKey::parse(key).map_err(|reason| {
            anyhow!("cannot use the project's key (--supabase-key or SUPABASE_ANON_KEY): {reason}")
        })?;
        let variable = |name| variables.get(name).to_owned();
        Ok(Some(Self {
            url: base_url(&url)?,
            api_key,
            table: Table {
                schema: variable("schema"),
                name: variable("table"),
                id_column: variable("id_column"),
                item_query: variable("item_query"),
                list_query: variable("list_query"),
            },
        }))
    }

    /// The project's base URL, without a trailing `/`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A name that no other project or table has.
    pub fn name(&self) -> String {
        format!("{} {}.{}", self.url, self.table.schema, self.table.name)
    }

    /// The key for readers.
    pub fn key(&self) -> &str {
        self.api_key.as_str()
    }

    /// Sends the application's requests, each for one row. A temporary failure is only a warning,
    /// since the cache has to start during an outage, too.
    ///
    /// # Errors
    ///
    /// When the configuration is wrong. The error gives advice.
    pub async fn check(&self) -> Result<()> {
        for probe in [Probe::Item, Probe::List] {
            match self.send(probe).await? {
                Finding::Works => {}
                Finding::FailsTemporarily(reason) => {
                    eprintln!(
                        "warning: {} {reason}. Starting nevertheless: until it works again, \
                         requests for articles that are not cached fail",
                        self.url
                    );
                    break;
                }
                Finding::Wrong(reason) => bail!("{}: {reason}", self.url),
            }
        }
        Ok(())
    }

    async fn send(&self, probe: Probe) -> Result<Finding> {
        let mut url = Url::parse(&self.url)?;
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} has no path", self.url))?
            .extend(["rest", "v1", &self.table.name]);
        url.set_query(Some(&self.table.query(probe)?));
        let mut request = ureq::get(url.as_str())
            .header("accept", "application/json")
            .header("accept-profile", &self.table.schema);
        for (name, value) in self.api_key.headers() {
            request = request.header(name, value);
        }
        let request = request
            .config()
            .timeout_global(Some(REQUEST_LIMIT))
            .http_status_as_error(false)
            .build();
        let response = tokio::task::spawn_blocking(move || {
            let mut response = request.call()?;
            let body = response.body_mut().read_to_string()?;
            Ok::<_, ureq::Error>((response.status().as_u16(), body))
        });
        Ok(match response.await? {
            Ok((status, body)) => self.table.explain(probe, status, &body),
            Err(ureq::Error::Http(error)) => Finding::Wrong(format!(
                "the request cannot be sent ({error}); check --schema"
            )),
            Err(error) => Finding::FailsTemporarily(format!(
                "cannot be reached ({error}); check --supabase-url (or SUPABASE_URL) and the \
                 network"
            )),
        })
    }
}

/// One of the application's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// Rows by their ids.
    Item,
    /// The list.
    List,
}

/// What a response shows.
#[derive(Debug, PartialEq)]
enum Finding {
    /// The application gets its rows.
    Works,
    /// The project fails temporarily.
    FailsTemporarily(String),
    /// It fails until the user changes something.
    Wrong(String),
}

impl Table {
    /// The application's query parameters, limited to one row.
    ///
    /// # Errors
    ///
    /// When the components would refuse them.
    fn query(&self, probe: Probe) -> Result<String> {
        let (name, query) = match probe {
            Probe::Item => ("ITEM", &self.item_query),
            Probe::List => ("LIST", &self.list_query),
        };
        ensure!(
            is_query(query),
            "SPIN_VARIABLE_{name}_QUERY holds a character that must be percent-encoded"
        );
        let pairs = query.trim_start_matches('?').split('&');
        let (orders, mut pairs): (Vec<&str>, Vec<&str>) = pairs
            .filter(|pair| !pair.starts_with("limit=") && !pair.starts_with("offset="))
            .partition(|pair| pair.starts_with("order="));
        // The application adds the id column: it filters items by it, and makes the list's order
        // total.
        let id_column: String = byte_serialize(self.id_column.as_bytes()).collect();
        let order = match orders[..] {
            [] => format!("order={id_column}"),
            [order, ..] => format!("{order},{id_column}"),
        };
        pairs.extend([&order, "limit=1"]);
        Ok(pairs.join("&"))
    }

    /// Explains a response. The codes are PostgREST's and PostgreSQL's.
    fn explain(&self, probe: Probe, status: u16, body: &str) -> Finding {
        let Self {
            schema,
            name: table,
            id_column,
            ..
        } = self;
        let json = serde_json::from_str::<Value>(body).unwrap_or_default();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let (code, message) = (text("code"), text("message"));
        let summary = if message.is_empty() {
            format!("status {status}")
        } else {
            format!("status {status}, {message}")
        };
        Finding::Wrong(match (status, code.as_str()) {
            (200..=299, _) if json.is_array() => match &json[0] {
                Value::Object(row) if probe == Probe::Item && !row.contains_key(id_column) => {
                    format!(
                        "rows come without the id column `{id_column}`: select it in \
                         SPIN_VARIABLE_ITEM_QUERY, or name another with SPIN_VARIABLE_ID_COLUMN"
                    )
                }
                _ => return Finding::Works,
            },
            (429 | 500.., _) => {
                return Finding::FailsTemporarily(format!("fails at the moment ({summary})"));
            }
            (_, "42501") => format!(
                "readers may not read everything requested from {schema}.{table} ({message}): name \
                 the columns that they may read in SPIN_VARIABLE_ITEM_QUERY and \
                 SPIN_VARIABLE_LIST_QUERY, such as `select=id,title`, or check the table's grants \
                 and row-level security policies"
            ),
            (_, "42P01" | "PGRST205") => format!(
                "there is no table {schema}.{table}: create it, or name yours with --table (and \
                 --schema)"
            ),
            (_, "42703") => format!(
                "a column does not exist ({message}): correct SPIN_VARIABLE_ITEM_QUERY, \
                 SPIN_VARIABLE_LIST_QUERY or SPIN_VARIABLE_ID_COLUMN"
            ),
            (_, "PGRST106") => format!(
                "the schema {schema} is not exposed: add it under Project Settings, Data API, or \
                 name another with --schema"
            ),
            (401 | 403, _) => format!(
                "the key is refused ({summary}); check --supabase-key (or SUPABASE_ANON_KEY)"
            ),
            (400, _) if !code.is_empty() => format!(
                "a query is refused ({summary}): correct SPIN_VARIABLE_ITEM_QUERY or \
                 SPIN_VARIABLE_LIST_QUERY"
            ),
            _ => format!(
                "this does not respond like a Supabase project ({summary}); check --supabase-url \
                 (or SUPABASE_URL)"
            ),
        })
    }
}

/// The base URL without a trailing `/`.
fn base_url(url: &str) -> Result<String> {
    let base_url = BaseUrl::parse(url).with_context(|| match Url::parse(url) {
        Ok(parsed) if parsed.has_host() && matches!(parsed.scheme(), "http" | "https") => format!(
            "give the project's base URL alone, {}, without a path such as /rest/v1",
            parsed.origin().ascii_serialization()
        ),
        _ => format!("{url:?} is no project's URL; give one such as https://abc.supabase.co"),
    })?;
    Ok(base_url.to_string())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use afterword_supabase::{Dials, Fault, Options, RestDial, Supabase};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use tokio::net::TcpSocket;

    use super::*;
    use crate::workspace;

    fn variables(set: &[(&str, &str)]) -> Variables {
        let manifest = workspace::root().join("spin.toml");
        let mut variables = Variables::read(&manifest, |_| None).unwrap();
        for (name, value) in set {
            variables.set(name, (*value).to_owned());
        }
        variables
    }

    fn parse(url: &str, key: &str) -> Result<Option<Project>> {
        let given = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
        Project::parse(given(url), given(key), &variables(&[]))
    }

    fn project(url: &str, key: &str, set: &[(&str, &str)]) -> Project {
        let project = Project::parse(Some(url.into()), Some(key.into()), &variables(set));
        project.unwrap().expect("both are given")
    }

    fn error(url: &str, key: &str) -> String {
        parse(url, key).err().expect("it is refused").to_string()
    }

    const URL: &str = "https://abc.supabase.co";

    #[test]
    fn an_error_names_the_missing_half_of_a_project() {
        assert!(parse("", "").unwrap().is_none());
        assert!(error(URL, "").contains("SUPABASE_ANON_KEY"));
        assert!(error("", "sb_publishable_x").contains("SUPABASE_URL"));
    }

    #[test]
    fn an_error_names_the_kind_of_a_key_without_showing_it() {
        let jwt = format!(
            "e30.{}.c2ln",
            URL_SAFE_NO_PAD.encode(r#"{"role":"service_role"}"#)
        );
        assert!(error(URL, &jwt).contains("service_role") && !error(URL, &jwt).contains("e30."));
        assert!(
            error(URL, "sb_secret_hush").contains("sb_secret_…")
                && !error(URL, "sb_secret_hush").contains("hush")
        );
        let jwt = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"role":"anon"}"#));
        assert!(parse(URL, &jwt).unwrap().is_some());
    }

    #[test]
    fn a_base_url_has_no_path() {
        assert_eq!(
            parse("https://abc.supabase.co/", "k")
                .unwrap()
                .unwrap()
                .url(),
            URL
        );
        assert!(error("https://abc.supabase.co/rest/v1", "k").contains("/rest/v1"));
        assert!(error("abc.supabase.co", "k").contains("https://"));
        assert!(!error("https://user:hush@abc.supabase.co", "k").contains("hush"));
    }

    async fn stand_in(fault: Option<Fault>) -> Supabase {
        let supabase = Supabase::start(Options {
            strict_columns: true,
            ..Options::default()
        })
        .await
        .unwrap();
        let dial = RestDial {
            fault,
            ..RestDial::default()
        };
        supabase
            .set_dials(Dials {
                rest: vec![dial],
                ..Dials::default()
            })
            .unwrap();
        supabase
    }

    /// The check's error for a stand-in whose readers may not read every column.
    async fn refusal(set: &[(&str, &str)]) -> Option<String> {
        let supabase = stand_in(None).await;
        let project = project(&supabase.url(), supabase.publishable_key(), set);
        let refused = project.check().await.err();
        refused.map(|error| format!("{error:#}"))
    }

    const ITEM: (&str, &str) = ("item_query", "select=id,title");
    const LIST: (&str, &str) = (
        "list_query",
        "select=id,title&order=id.desc&limit=10&offset=5",
    );

    #[tokio::test]
    async fn the_applications_queries_are_checked() {
        assert_eq!(refusal(&[ITEM, LIST]).await, None);
        for queries in [&[ITEM][..], &[LIST], &[]] {
            let refused = refusal(queries).await.expect("one selects all columns");
            assert!(refused.contains("name the columns"), "{refused}");
            assert!(!refused.contains("grant select"), "{refused}");
        }
    }

    #[tokio::test]
    async fn an_error_about_the_configuration_gives_advice() {
        for (set, advice) in [
            (("table", "posts"), "--table"),
            (("schema", "shop"), "--schema"),
            (("id_column", "uuid"), "SPIN_VARIABLE_ID_COLUMN"),
            (
                ("item_query", "select=id,headline"),
                "SPIN_VARIABLE_ITEM_QUERY",
            ),
            (("item_query", "select=title"), "without the id column"),
            (("item_query", "select=id, title"), "percent-encoded"),
            (
                ("list_query", "select=id&order=headline"),
                "SPIN_VARIABLE_LIST_QUERY",
            ),
        ] {
            let refused = refusal(&[ITEM, LIST, set]).await;
            let refused = refused.unwrap_or_else(|| panic!("{set:?} is refused"));
            assert!(refused.contains(advice), "{set:?}: {refused}");
        }
        let supabase = stand_in(None).await;
        let key = "sb_publishable_of-another-project";
        let refused = project(&supabase.url(), key, &[])
            .check()
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("--supabase-key"), "{refused}");
    }

    #[tokio::test]
    async fn a_temporary_failure_is_no_error() {
        for fault in [500, 503, 429]
            .map(Fault::Status)
            .into_iter()
            .chain([Fault::Drop])
        {
            let supabase = stand_in(Some(fault.clone())).await;
            let project = project(&supabase.url(), supabase.publishable_key(), &[]);
            let finding = project.send(Probe::Item).await.unwrap();
            assert!(
                matches!(finding, Finding::FailsTemporarily(_)),
                "{fault:?}: {finding:?}"
            );
            project.check().await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_unreachable_project_is_no_error() {
        // Bound without listening: the port is taken, and connections to it are refused.
        let closed_port = TcpSocket::new_v4().unwrap();
        closed_port
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .unwrap();
        let url = format!("http://{}", closed_port.local_addr().unwrap());
        let finding = project(&url, "k", &[]).send(Probe::List).await.unwrap();
        assert!(
            matches!(&finding, Finding::FailsTemporarily(why) if why.contains("cannot be reached")),
            "{finding:?}"
        );
    }

    #[tokio::test]
    async fn another_service_than_supabase_is_refused() {
        let supabase = stand_in(Some(Fault::Html)).await;
        let project = project(&supabase.url(), "k", &[]);
        let refused = project.check().await.unwrap_err().to_string();
        assert!(refused.contains("--supabase-url"), "{refused}");
        let finding = project.table.explain(Probe::List, 404, "not found");
        assert!(matches!(finding, Finding::Wrong(_)), "{finding:?}");
    }
}
