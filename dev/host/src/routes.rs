//! Finds the component of a path (Spin: `crates/routes`).

use anyhow::{Result, anyhow, bail};
use routefinder::Router;

use crate::manifest::HttpTrigger;

/// The routes of an application.
pub(crate) struct Routes {
    /// Leads to positions in `triggers`.
    router: Router<usize>,
    /// In the manifest's order, for the start-up message.
    triggers: Vec<HttpTrigger>,
}

/// A match of a path.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Match<'a> {
    /// The component's id.
    pub component: &'a str,
    /// The route, as in the manifest.
    pub route: &'a str,
    /// The part of the path that the wildcard stands for, with a leading slash.
    pub path_info: String,
    /// The named segments and their values.
    pub segments: Vec<(String, String)>,
}

impl<'a> Match<'a> {
    /// The match of a request to a component instead of a route, as if it had the route `/...`.
    pub(crate) fn past_the_routes(component: &'a str, path: &str) -> Self {
        Self {
            component,
            route: "/...",
            path_info: path.to_owned(),
            segments: Vec::new(),
        }
    }
}

impl Routes {
    /// # Errors
    /// When a route is malformed, or two triggers have the same route.
    pub(crate) fn new(triggers: Vec<HttpTrigger>) -> Result<Self> {
        let mut router = Router::new();
        for (index, trigger) in triggers.iter().enumerate() {
            let HttpTrigger {
                route, component, ..
            } = trigger;
            if triggers[..index].iter().any(|other| other.route == *route) {
                bail!("two [[trigger.http]] have the route {route:?}; each needs its own");
            }
            router.add(pattern(route), index).map_err(|error| {
                anyhow!("cannot use route {route:?} of component {component:?}: {error}")
            })?;
        }
        Ok(Self { router, triggers })
    }

    /// The match of `path`: first an exact route, then one with named segments, then a wildcard.
    pub(crate) fn find(&self, path: &str) -> Option<Match<'_>> {
        let found = self.router.best_match(path)?;
        let trigger = &self.triggers[*found.handler()];
        let captures = found.captures();
        let segments = captures.iter();
        let slash = if path.ends_with('/') { "/" } else { "" };
        Some(Match {
            component: &trigger.component,
            route: &trigger.route,
            path_info: match captures.wildcard() {
                Some("") => slash.to_owned(),
                Some(rest) => format!("/{rest}{slash}"),
                None => String::new(),
            },
            segments: segments
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    /// The triggers, in the manifest's order.
    pub(crate) fn triggers(&self) -> &[HttpTrigger] {
        &self.triggers
    }
}

/// A route in routefinder's notation: the wildcard is `*`, and a trailing slash has no meaning.
fn pattern(route: &str) -> String {
    let rooted = format!("/{}", route.strip_prefix('/').unwrap_or(route));
    match rooted.strip_suffix("/...") {
        Some(prefix) => format!("{prefix}/*"),
        None => rooted.strip_suffix('/').unwrap_or(&rooted).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(routes: &[(&str, &str)]) -> Result<Routes> {
        let tables = routes.iter().map(|(route, component)| {
            toml::from_str(&format!("route = {route:?}\ncomponent = {component:?}")).unwrap()
        });
        Routes::new(tables.collect())
    }

    #[track_caller]
    fn assert_found(table: &[(&str, &str)], path: &str, component: Option<&str>) {
        let routes = routes(table).unwrap();
        assert_eq!(
            routes.find(path).map(|it| it.component),
            component,
            "{path}"
        );
    }

    #[test]
    fn a_wildcard_matches_its_path_and_everything_below() {
        let table = [("/articles/...", "articles")];
        assert_found(&table, "/articles", Some("articles"));
        assert_found(&table, "/articles/", Some("articles"));
        assert_found(&table, "/articles/7/comments", Some("articles"));
        assert_found(&table, "/articlesque", None);
        assert_found(&table, "/", None);
    }

    #[test]
    fn an_exact_route_ignores_a_trailing_slash() {
        let table = [("/revalidate", "revalidate")];
        assert_found(&table, "/revalidate", Some("revalidate"));
        assert_found(&table, "/revalidate/", Some("revalidate"));
        assert_found(&table, "/revalidate/x", None);
    }

    #[test]
    fn the_more_exact_route_wins() {
        let table = [("/...", "all"), ("/a/:id", "one"), ("/a/b", "exact")];
        assert_found(&table, "/a/b", Some("exact"));
        assert_found(&table, "/a/c", Some("one"));
        assert_found(&table, "/a/c/d", Some("all"));
        assert_found(&table, "/", Some("all"));
    }

    #[test]
    fn a_match_has_the_named_segments() {
        let routes = routes(&[("/articles/:id", "articles")]).unwrap();
        let segments = routes.find("/articles/7").unwrap().segments;
        assert_eq!(segments, [("id".to_owned(), "7".to_owned())]);
    }

    #[test]
    fn a_match_has_the_part_of_the_path_below_a_wildcard() {
        let routes = routes(&[("/articles/...", "articles"), ("/refresh", "refresh")]).unwrap();
        for (path, path_info) in [
            ("/articles", ""),
            ("/articles/", "/"),
            ("/articles/7", "/7"),
            ("/articles/7/", "/7/"),
            ("/refresh", ""),
        ] {
            assert_eq!(routes.find(path).unwrap().path_info, path_info, "{path}");
        }
        assert_eq!(routes.find("/articles/7").unwrap().route, "/articles/...");
    }

    #[test]
    fn the_same_route_twice_is_refused() {
        let error = routes(&[("/a", "one"), ("/a", "two")]).err().unwrap();
        assert!(error.to_string().contains("\"/a\""));
    }
}
