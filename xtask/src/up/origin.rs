//! A real Supabase project, as the origin.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use url::Url;

const LIMIT: Duration = Duration::from_secs(15);

/// A project, the key that readers use, and the table.
pub struct Project {
    url: String,
    key: String,
    schema: Option<String>,
    table: Option<String>,
}

impl Project {
    /// The project that the flags name; `None` if they name none.
    ///
    /// # Errors
    ///
    /// When half of it is missing, the URL is not a project's, or the key is not for readers.
    pub fn parse(
        url: Option<String>,
        key: Option<String>,
        schema: Option<String>,
        table: Option<String>,
    ) -> Result<Option<Self>> {
        let (url, key) = match (url, key) {
            (Some(url), Some(key)) => (url, key),
            (Some(_), None) => bail!(
                "the project's URL is given, but not its key: add --supabase-key or SUPABASE_ANON_KEY (Supabase's dashboard shows it under Project Settings, API Keys)"
            ),
            (None, Some(_)) => bail!(
                "the project's key is given, but not its URL: add --supabase-url or SUPABASE_URL, such as https://abc.supabase.co"
            ),
            (None, None) if schema.is_some() || table.is_some() => {
                bail!(
                    "--schema and --table are for a real project: add --supabase-url and --supabase-key"
                )
            }
            (None, None) => return Ok(None),
        };
        check_key(&key)?;
        Ok(Some(Self {
            url: base_url(&url)?,
            key,
            schema,
            table,
        }))
    }

    /// The project's base URL, without a `/` at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What tells its rows from those of other projects and tables.
    pub fn name(&self) -> String {
        format!(
            "{} {}.{}",
            self.url,
            self.schema().unwrap_or("public"),
            self.table().unwrap_or("articles")
        )
    }

    /// The key for readers.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The schema, if another than the default was chosen.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The table, if another than the default was chosen.
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// Asks the project for one row, as the application will.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, refuses the key, or has no such table: what to do about it.
    pub async fn check(&self) -> Result<()> {
        let table = self.table().unwrap_or("articles");
        let mut request = ureq::get(format!("{}/rest/v1/{table}?select=*&limit=1", self.url))
            .header("apikey", &self.key)
            .header("accept", "application/json");
        if claims(&self.key).is_some() {
            request = request.header("authorization", format!("Bearer {}", self.key));
        }
        if let Some(schema) = self.schema() {
            request = request.header("accept-profile", schema);
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
        let (status, body) = answer.await?.with_context(|| {
            format!(
                "{} cannot be reached; check --supabase-url (or SUPABASE_URL) and the network",
                self.url
            )
        })?;
        match explain(status, &body, table, self.schema().unwrap_or("public")) {
            None => Ok(()),
            Some(problem) => Err(anyhow!("{}: {problem}", self.url)),
        }
    }
}

/// What is wrong, if the project answers this to the question for one row; the codes are PostgREST's and Postgres's.
fn explain(status: u16, body: &str, table: &str, schema: &str) -> Option<String> {
    let error = serde_json::from_str::<Value>(body).unwrap_or_default();
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let (code, message) = (text("code"), text("message"));
    let answered = || {
        if message.is_empty() {
            format!("status {status}")
        } else {
            format!("status {status}, {message}")
        }
    };
    Some(match (status, code.as_str()) {
        (200..=299, _) if error.is_array() => return None,
        (_, "42501") => format!(
            "readers may not read {schema}.{table} ({message}): grant it with `grant select on {schema}.{table} to anon`"
        ),
        (_, "42P01" | "PGRST205") => format!(
            "there is no table {schema}.{table}: create it, or name yours with --table (and --schema)"
        ),
        (_, "PGRST106") => format!(
            "the schema {schema} is not exposed: add it under Project Settings, Data API, or name another with --schema"
        ),
        (401 | 403, _) => format!(
            "the key is refused ({}); check --supabase-key (or SUPABASE_ANON_KEY)",
            answered()
        ),
        (500.., _) => format!(
            "the project does not work at the moment ({}); try again, or see its dashboard",
            answered()
        ),
        _ => format!(
            "this does not answer as a Supabase project does ({}); check --supabase-url (or SUPABASE_URL)",
            answered()
        ),
    })
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
    use super::*;

    fn parse(url: &str, key: &str) -> Result<Option<Project>> {
        let given = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
        Project::parse(given(url), given(key), None, None)
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

    #[test]
    fn each_refusal_of_the_project_says_what_to_do() {
        for (status, body, advice) in [
            (
                401,
                r#"{"message":"Invalid API key","hint":"…"}"#,
                "--supabase-key",
            ),
            (
                401,
                r#"{"code":"42501","message":"permission denied for table articles"}"#,
                "grant select",
            ),
            (
                404,
                r#"{"code":"PGRST205","message":"Could not find the table"}"#,
                "--table",
            ),
            (
                406,
                r#"{"code":"PGRST106","message":"The schema must be one of"}"#,
                "--schema",
            ),
            (200, "<html>", "--supabase-url"),
            (404, "not found", "--supabase-url"),
            (503, "", "dashboard"),
        ] {
            let problem = explain(status, body, "articles", "public").expect("it is a problem");
            assert!(problem.contains(advice), "{status}: {problem}");
        }
        assert_eq!(explain(200, "[]", "articles", "public"), None);
    }

    #[tokio::test]
    async fn a_project_that_is_not_there_is_named() {
        let url = format!("http://127.0.0.1:{}", afterword_stack::free_port());
        let error = parse(&url, "k")
            .unwrap()
            .unwrap()
            .check()
            .await
            .unwrap_err();
        assert!(error.to_string().contains("cannot be reached"), "{error}");
    }
}
