//! The actions of the status page: retry, refresh and purge.
//!
//! A browser that has logged in sends them as forms, a program with the bearer token.

use crate::access::Visitor;
use crate::view;
use crate::visit::{Visit, redirect};
use afterword::key::Key;
use afterword::log::{self, event};
use afterword::metrics;
use afterword::problem::{self, Problem};
use afterword::queue::script::{self, Operation};
use afterword::queue::{self, Task};
use afterword::response::Response;
use afterword::variables;
use http::StatusCode;
use serde::Serialize;
use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

/// An action.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    /// Make this task due now; without one, all that back off.
    Retry(Option<Task>),
    /// Refresh this key; without one, compare every entry with the table.
    Refresh(Option<Key>),
    /// Remove all entries.
    Purge,
}

/// What an action did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Done {
    /// The event's id, for `/status/events/{id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    /// The number of keys that were made due.
    #[serde(skip_serializing_if = "Option::is_none")]
    retried: Option<i64>,
    /// Whether the caller has to [wake](afterword::wake) a worker.
    #[serde(skip)]
    wakes: bool,
}

/// `POST /status/{action}`, with the form field `key`. Returns also whether a worker has to be
/// woken.
pub async fn act(mut visit: Visit, action: &str) -> (Response, bool) {
    let received_at = Instant::now();
    let refusal = match visit.visitor {
        _ if !visit.settings.access.has_token() => Some(&problem::STATUS_DISABLED),
        Visitor::Anonymous => Some(&problem::WRONG_ADMIN_TOKEN),
        Visitor::Browser if !visit.is_same_site() => Some(&problem::CROSS_SITE),
        Visitor::Browser | Visitor::Program => None,
    };
    if let Some(problem) = refusal {
        return (visit.refuse(problem), false);
    }
    let is_form = visit.wants_html();
    let done = match visit.field("key").await {
        Ok(key) => match Action::parse(action, &key) {
            Ok(action) => action.run().await,
            Err(problem) => Err(problem),
        },
        Err(problem) => Err(problem),
    };
    if let Ok(Done { id: Some(id), .. }) = done {
        metrics::acknowledged(id, received_at.elapsed());
        metrics::report_later();
    }
    match done {
        Ok(done) if is_form => {
            let id = done.id.map(|id| format!("&id={id}")).unwrap_or_default();
            let location = format!("/status?done={action}{id}");
            (redirect(StatusCode::SEE_OTHER, &location), done.wakes)
        }
        Ok(done) => {
            let response = Response::json(StatusCode::ACCEPTED, "application/json", &done);
            (response, done.wakes)
        }
        Err(problem) if is_form => (view::status(&visit, Some(problem)).await, false),
        Err(problem) => (Response::problem(problem), false),
    }
}

impl Action {
    /// The action of a request to `/status/{name}` with this form field `key`; an empty one counts
    /// as missing.
    ///
    /// # Errors
    /// There is no such action, or the key is none.
    fn parse(name: &str, key: &str) -> Result<Self, &'static Problem> {
        let invalid = &problem::INVALID_KEY;
        match (name, key.trim()) {
            ("purge", _) => Ok(Self::Purge),
            ("retry", "") => Ok(Self::Retry(None)),
            ("refresh", "") => Ok(Self::Refresh(None)),
            ("retry", key) => task(key).map(|task| Self::Retry(Some(task))).ok_or(invalid),
            ("refresh", key) => {
                let key = Key::from_request(key);
                key.map(|key| Self::Refresh(Some(key))).ok_or(invalid)
            }
            _ => Err(&problem::NO_SUCH_PAGE),
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// Redis does not accept it.
    async fn run(&self) -> Result<Done, &'static Problem> {
        let (operation, arguments) = match self {
            Self::Retry(task) => (script::RETRY, queue::names(task.as_slice())),
            Self::Refresh(Some(key)) => (script::INVALIDATE, invalidation(&[key.clone().into()])),
            Self::Refresh(None) => {
                let all = [Key::List.into(), Task::RefreshRelated];
                (script::INVALIDATE, invalidation(&all))
            }
            Self::Purge => (script::INVALIDATE, invalidation(&[Task::Purge])),
        };
        let reply = run(operation, &arguments).await;
        let (event, done) = match &reply {
            Ok(_) => (event::ACTION_REQUESTED, "the status page requested: "),
            Err(_) => (
                event::ACTION_FAILED,
                "could not do what the status page requested: ",
            ),
        };
        let mut line = log::event(event, format!("{done}{self}"));
        if let Err(error) = &reply {
            line = line.error(error);
        }
        line.emit();
        let [number, wakes] = reply.map_err(|_| &problem::REDIS_AWAY)?;
        let is_retry = matches!(self, Self::Retry(_));
        Ok(Done {
            id: (!is_retry).then_some(number),
            retried: is_retry.then_some(number),
            wakes: wakes == 1,
        })
    }
}

async fn run(operation: Operation, arguments: &[Vec<u8>]) -> Result<[i64; 2], Box<dyn Error>> {
    let redis = variables::redis().await?;
    let reply = queue::run(&redis, operation, arguments).await?;
    Ok(reply.integers()?)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(Some(task)) => write!(f, "retry {task}"),
            Self::Retry(None) => f.write_str("retry all keys that back off"),
            Self::Refresh(Some(key)) => write!(f, "refresh {key}"),
            Self::Refresh(None) => f.write_str("compare all entries with the table"),
            Self::Purge => f.write_str("remove all entries"),
        }
    }
}

fn invalidation(tasks: &[Task]) -> Vec<Vec<u8>> {
    queue::invalidation("status", Duration::ZERO, tasks)
}

/// A task by its name in the queue, or by any spelling of its path.
fn task(name: &str) -> Option<Task> {
    Task::parse(name).or_else(|| Key::from_request(name).map(Task::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_parsed_from_its_path_and_key() {
        let item = || Key::from_request("/articles/7").unwrap();
        for (name, key, action) in [
            ("retry", "", Action::Retry(None)),
            ("retry", "/articles/%37", Action::Retry(Some(item().into()))),
            ("retry", "reconcile", Action::Retry(Some(Task::Reconcile))),
            ("refresh", " ", Action::Refresh(None)),
            ("refresh", "/articles/7", Action::Refresh(Some(item()))),
            ("purge", "", Action::Purge),
        ] {
            assert_eq!(Action::parse(name, key), Ok(action), "{name} {key}");
        }
        for (name, key) in [
            ("retry", "articles"),
            ("refresh", "reconcile"),
            ("refresh", "7"),
        ] {
            let invalid = Err(&problem::INVALID_KEY);
            assert_eq!(Action::parse(name, key), invalid, "{name} {key}");
        }
        assert_eq!(Action::parse("destroy", ""), Err(&problem::NO_SUCH_PAGE));
    }
}
