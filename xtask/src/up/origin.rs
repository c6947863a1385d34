//! A real Supabase project, as the origin.

use std::time::Duration;

use afterword::postgrest::query::is_query;
use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::variables::Variables;

const LIMIT: Duration = Duration::from_secs(15);

/// A project, the key that readers use, and what the application asks it.
pub struct Project {
    url: String,
    key: String,
    asked: Asked,
}

/// What the application asks for: the variables of these names.
struct Asked {
    schema: String,
    table: String,
    id_column: String,
    item_query: String,
    list_query: String,
}

impl Project {
    /// The project with this URL and key; `None` if both are missing.
    ///
    /// # Errors
    ///
    /// When half of it is missing, the URL is not a project's, or the key is not for readers.
    pub fn parse(
        url: Option<String>,
        key: Option<String>,
        variables: &Variables,
    ) -> Result<Option<Self>> {
        let (url, key) = match (url, key) {
            (Some(url), Some(key)) => (url, key),
            (Some(_), None) => bail!(
                "the project's URL is given, but not its key: add --supabase-key or SUPABASE_ANON_KEY (Supabase's dashboard shows it under Project Settings, API Keys)"
            ),
            (None, Some(_)) => bail!(
                "the project's key is given, but not its URL: add --supabase-url or SUPABASE_URL, such as https://abc.supabase.co"
            ),
            (None, None) => return Ok(None),
        };
        check_key(&key)?;
        let variable = |name| variables.get(name).to_owned();
        Ok(Some(Self {
            url: base_url(&url)?,
            key,
            asked: Asked {
                schema: variable("schema"),
                table: variable("table"),
                id_column: variable("id_column"),
                item_query: variable("item_query"),
                list_query: variable("list_query"),
            },
        }))
    }

    /// The project's base URL, without a `/` at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What tells its rows from those of other projects and tables.
    pub fn name(&self) -> String {
        format!("{} {}.{}", self.url, self.asked.schema, self.asked.table)
    }

    /// The key for readers.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Asks the project what the application will ask, for one row each. A project that fails for
    /// now gets a warning instead of an error: the cache has to start during an outage, too.
    ///
    /// # Errors
    ///
    /// When the set-up is wrong: what to do about it.
    pub async fn check(&self) -> Result<()> {
        for what in [What::Item, What::List] {
            match self.ask(what).await? {
                Finding::Works => {}
                Finding::FailsForNow(why) => {
                    eprintln!(
                        "warning: {} {why}. Starting all the same: until it works again, articles that are not stored are answered with an error",
                        self.url
                    );
                    break;
                }
                Finding::Wrong(why) => bail!("{}: {why}", self.url),
            }
        }
        Ok(())
    }

    async fn ask(&self, what: What) -> Result<Finding> {
        let mut url = Url::parse(&self.url)?;
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} has no path", self.url))?
            .extend(["rest", "v1", &self.asked.table]);
        url.set_query(Some(&self.asked.query(what)?));
        let mut request = ureq::get(url.as_str())
            .header("apikey", &self.key)
            .header("accept", "application/json")
            .header("accept-profile", &self.asked.schema);
        if claims(&self.key).is_some() {
            request = request.header("authorization", format!("Bearer {}", self.key));
        }
        let request = request
            .config()
            .timeout_global(Some(LIMIT))
            .http_status_as_error(false)
            .build();
        let answer = tokio::task::spawn_blocking(move || {
            let mut answer = request.call()?;
            let body = answer.body_mut().read_to_string()?;
            Ok::<_, ureq::Error>((answer.status().as_u16(), body))
        });
        Ok(match answer.await? {
            Ok((status, body)) => self.asked.explain(what, status, &body),
            Err(ureq::Error::Http(error)) => Finding::Wrong(format!(
                "the request cannot be sent ({error}); check --schema"
            )),
            Err(error) => Finding::FailsForNow(format!(
                "cannot be reached ({error}); check --supabase-url (or SUPABASE_URL) and the network"
            )),
        })
    }
}

/// Which of the application's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Rows by their ids.
    Item,
    /// The list.
    List,
}

/// What an answer shows.
#[derive(Debug, PartialEq)]
enum Finding {
    /// The application will get its rows.
    Works,
    /// The project fails in a way that passes.
    FailsForNow(String),
    /// It will fail until somebody changes something.
    Wrong(String),
}

impl Asked {
    /// The application's parameters, for any one row.
    ///
    /// # Errors
    ///
    /// When the components will not send them.
    fn query(&self, what: What) -> Result<String> {
        let (name, query) = match what {
            What::Item => ("ITEM", &self.item_query),
            What::List => ("LIST", &self.list_query),
        };
        ensure!(
            is_query(query),
            "SPIN_VARIABLE_{name}_QUERY holds a character that must be percent-encoded"
        );
        let pairs = query.trim_start_matches('?').split('&');
        let (orders, mut pairs): (Vec<&str>, Vec<&str>) = pairs
            .filter(|pair| !pair.starts_with("limit=") && !pair.starts_with("offset="))
            .partition(|pair| pair.starts_with("order="));
        // The application names the id column, too: it filters items by it, and makes the list's
        // order total.
        let id_column: String = byte_serialize(self.id_column.as_bytes()).collect();
        let order = match orders[..] {
            [] => format!("order={id_column}"),
            [order, ..] => format!("{order},{id_column}"),
        };
        pairs.extend([&order, "limit=1"]);
        Ok(pairs.join("&"))
    }

    /// What is wrong, if the project answers this; the codes are PostgREST's and Postgres's.
    fn explain(&self, what: What, status: u16, body: &str) -> Finding {
        let Self {
            schema,
            table,
            id_column,
            ..
        } = self;
        let answer = serde_json::from_str::<Value>(body).unwrap_or_default();
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let (code, message) = (text("code"), text("message"));
        let answered = if message.is_empty() {
            format!("status {status}")
        } else {
            format!("status {status}, {message}")
        };
        Finding::Wrong(match (status, code.as_str()) {
            (200..=299, _) if answer.is_array() => match &answer[0] {
                Value::Object(row) if what == What::Item && !row.contains_key(id_column) => {
                    format!(
                        "rows come without the id column `{id_column}`: select it in SPIN_VARIABLE_ITEM_QUERY, or name another with SPIN_VARIABLE_ID_COLUMN"
                    )
                }
                _ => return Finding::Works,
            },
            (429 | 500.., _) => {
                return Finding::FailsForNow(format!("does not work at the moment ({answered})"));
            }
            (_, "42501") => format!(
                "readers may not read all that is asked of {schema}.{table} ({message}): name the columns that they may read in SPIN_VARIABLE_ITEM_QUERY and SPIN_VARIABLE_LIST_QUERY, such as `select=id,title`, or check the table's grants and row-level security policies"
            ),
            (_, "42P01" | "PGRST205") => format!(
                "there is no table {schema}.{table}: create it, or name yours with --table (and --schema)"
            ),
            (_, "42703") => format!(
                "a column is not there ({message}): correct SPIN_VARIABLE_ITEM_QUERY, SPIN_VARIABLE_LIST_QUERY or SPIN_VARIABLE_ID_COLUMN"
            ),
            (_, "PGRST106") => format!(
                "the schema {schema} is not exposed: add it under Project Settings, Data API, or name another with --schema"
            ),
            (401 | 403, _) => format!(
                "the key is refused ({answered}); check --supabase-key (or SUPABASE_ANON_KEY)"
            ),
            (400, _) if !code.is_empty() => format!(
                "a query is refused ({answered}): correct SPIN_VARIABLE_ITEM_QUERY or SPIN_VARIABLE_LIST_QUERY"
            ),
            _ => format!(
                "this does not answer as a Supabase project does ({answered}); check --supabase-url (or SUPABASE_URL)"
            ),
        })
    }
}

fn base_url(url: &str) -> Result<String> {
    let parsed = Url::parse(url)
        .ok()
        .filter(|parsed| matches!(parsed.scheme(), "http" | "https") && parsed.has_host());
    let parsed = parsed.with_context(|| {
        format!("{url:?} is no project's URL; give one such as https://abc.supabase.co")
    })?;
    let is_base = parsed.path() == "/" && parsed.query().is_none() && parsed.fragment().is_none();
    ensure!(
        is_base && parsed.username().is_empty() && parsed.password().is_none(),
        "give the project's base URL alone, {}, without a path such as /rest/v1",
        parsed.origin().ascii_serialization()
    );
    Ok(parsed.origin().ascii_serialization())
}

/// Refuses a key with which readers would see what row-level security hides from them.
fn check_key(key: &str) -> Result<()> {
    ensure!(
        !key.starts_with("sb_secret_"),
        "the key given is a secret key (sb_secret_…), with which every reader would see every row; give the publishable key (sb_publishable_…)"
    );
    ensure!(
        claims(key).is_none_or(|claims| claims["role"] != "service_role"),
        "the key given is the service_role key, with which every reader would see every row; give the anon key"
    );
    ensure!(
        key.bytes().all(|byte| byte.is_ascii_graphic()),
        "the key given holds a space or another character that no key has; copy it again"
    );
    Ok(())
}

/// What a JWT claims; `None` if the key is not one.
fn claims(key: &str) -> Option<Value> {
    let [_, payload, _] = key.split('.').collect::<Vec<_>>()[..] else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use afterword_supabase::{Dials, Fault, Options, RestDial, Supabase};
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
    fn half_a_project_says_which_half_is_missing() {
        assert!(parse("", "").unwrap().is_none());
        assert!(error(URL, "").contains("SUPABASE_ANON_KEY"));
        assert!(error("", "sb_publishable_x").contains("SUPABASE_URL"));
    }

    #[test]
    fn a_key_past_row_level_security_is_refused_by_name_and_not_shown() {
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

    /// What the check says of a stand-in whose readers may not read every column.
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
    async fn the_applications_own_queries_are_checked() {
        assert_eq!(refusal(&[ITEM, LIST]).await, None);
        for queries in [&[ITEM][..], &[LIST], &[]] {
            let refused = refusal(queries).await.expect("one selects all columns");
            assert!(refused.contains("name the columns"), "{refused}");
            assert!(!refused.contains("grant select"), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_wrong_set_up_is_refused_with_what_to_change() {
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
    async fn a_project_that_fails_for_now_is_no_reason_not_to_start() {
        for fault in [500, 503, 429]
            .map(Fault::Status)
            .into_iter()
            .chain([Fault::Drop])
        {
            let supabase = stand_in(Some(fault.clone())).await;
            let project = project(&supabase.url(), supabase.publishable_key(), &[]);
            let finding = project.ask(What::Item).await.unwrap();
            assert!(
                matches!(finding, Finding::FailsForNow(_)),
                "{fault:?}: {finding:?}"
            );
            project.check().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_project_that_is_not_there_is_no_reason_not_to_start() {
        // Bound without listening: nobody else can take the port, and a connection is refused.
        let nobody = TcpSocket::new_v4().unwrap();
        nobody.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let url = format!("http://{}", nobody.local_addr().unwrap());
        let finding = project(&url, "k", &[]).ask(What::List).await.unwrap();
        assert!(
            matches!(&finding, Finding::FailsForNow(why) if why.contains("cannot be reached")),
            "{finding:?}"
        );
    }

    #[tokio::test]
    async fn something_other_than_a_supabase_project_is_refused() {
        let supabase = stand_in(Some(Fault::Html)).await;
        let project = project(&supabase.url(), "k", &[]);
        let refused = project.check().await.unwrap_err().to_string();
        assert!(refused.contains("--supabase-url"), "{refused}");
        let finding = project.asked.explain(What::List, 404, "not found");
        assert!(matches!(finding, Finding::Wrong(_)), "{finding:?}");
    }
}
