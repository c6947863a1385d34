//! Least authority: the hosts, stores and variables that the manifests give each component.

use std::collections::BTreeMap;

use toml::{Table, Value};

const ORIGIN: &str = "{{ supabase_url }}";
const REDIS: &str = "{{ redis_address }}";

/// Where a worker is woken without a Redis trigger.
const WORKER: &str = "{{ refresh_url }}";

/// The variables of every component.
const LOG: [&str; 1] = ["log_format"];

/// The variables that name the table.
const TABLE: [&str; 3] = ["schema", "table", "id_column"];

/// The variables of requests to the origin.
const FETCHING: [&str; 4] = [
    "supabase_url",
    "supabase_anon_key",
    "list_query",
    "item_query",
];

const LIFETIME: [&str; 4] = [
    "max_age",
    "stale_while_revalidate",
    "stale_if_error",
    "cache_version",
];

const QUEUE: [&str; 2] = ["redis_url", "redis_prefix"];

const READS: [&str; 3] = ["cache_control", "cdn_cache_control", "cors_allow_origins"];

const WEBHOOKS: [&str; 3] = ["webhook_secret", "webhook_tables", "related_tables"];

const STATUS: [&str; 2] = ["admin_token", "status_public"];

const WORK: [&str; 6] = [
    "replica_lag",
    "max_list_bytes",
    "max_value_bytes",
    "max_keys",
    "max_writes_per_second",
    "max_requests_per_hour",
];

/// The variables of calls to the component `refresh-http`.
const WAKING: [&str; 2] = ["refresh_url", "refresh_secret"];

fn with_redis_trigger() -> Table {
    include_str!("../../../../spin.toml").parse().unwrap()
}

fn without_redis_trigger() -> Table {
    include_str!("../../../../spin.http.toml").parse().unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    let items = value.as_array().expect("an array");
    items.iter().map(|item| item.as_str().unwrap()).collect()
}

/// The hosts and the variables of each component.
type Authority<'a> = BTreeMap<&'a str, (Vec<&'a str>, Vec<&'a str>)>;

fn check(manifest: &Table, expected: Authority) {
    let components = manifest["component"].as_table().unwrap();
    let names: Vec<&str> = components.keys().map(String::as_str).collect();
    assert_eq!(names, expected.keys().copied().collect::<Vec<_>>());
    for (name, (hosts, mut variables)) in expected {
        let component = components[name].as_table().unwrap();
        variables.sort_unstable();
        let given = component["variables"].as_table().unwrap();
        assert_eq!(given.keys().collect::<Vec<_>>(), variables, "{name}");
        for (variable, value) in given {
            let own = format!("{{{{ {variable} }}}}");
            assert_eq!(value.as_str(), Some(&*own), "{name}: {variable}");
        }
        assert_eq!(
            strings(&component["allowed_outbound_hosts"]),
            hosts,
            "{name}"
        );
        assert_eq!(
            strings(&component["key_value_stores"]),
            ["default"],
            "{name}"
        );
        // No other key gives the component anything, such as files or databases.
        for key in component.keys() {
            assert!(
                [
                    "source",
                    "key_value_stores",
                    "allowed_outbound_hosts",
                    "variables",
                    "build"
                ]
                .contains(&&**key),
                "{name}: {key}"
            );
        }
    }
}

#[test]
fn each_component_reaches_what_it_needs_and_nothing_else() {
    let articles = [&LOG[..], &TABLE, &FETCHING, &LIFETIME, &QUEUE, &READS].concat();
    let revalidate = [&LOG[..], &TABLE, &QUEUE, &WEBHOOKS].concat();
    let worker = [&LOG[..], &TABLE, &FETCHING, &LIFETIME, &QUEUE, &WORK].concat();
    let status = [&LOG[..], &QUEUE, &STATUS].concat();
    let also = |variables: &[&'static str], more: &[&'static str]| [variables, more].concat();
    // `revalidate` has neither the origin nor its key, the worker no webhook secret.
    check(
        &with_redis_trigger(),
        BTreeMap::from([
            ("articles", (vec![ORIGIN, REDIS], articles.clone())),
            ("revalidate", (vec![REDIS], revalidate.clone())),
            ("refresh", (vec![ORIGIN, REDIS], worker.clone())),
            ("status", (vec![REDIS], status.clone())),
        ]),
    );
    check(
        &without_redis_trigger(),
        BTreeMap::from([
            (
                "articles",
                (vec![ORIGIN, REDIS, WORKER], also(&articles, &WAKING)),
            ),
            (
                "revalidate",
                (vec![REDIS, WORKER], also(&revalidate, &WAKING)),
            ),
            (
                "refresh-http",
                (
                    vec![ORIGIN, REDIS, WORKER],
                    also(&also(&worker, &WAKING), &["refresh_seconds"]),
                ),
            ),
            ("status", (vec![REDIS, WORKER], also(&status, &WAKING))),
        ]),
    );
}

#[test]
fn the_manifests_declare_the_same_variables_but_for_the_worker() {
    let (with, without) = (with_redis_trigger(), without_redis_trigger());
    let mut shared = without["variables"].as_table().unwrap().clone();
    for variable in ["refresh_url", "refresh_secret", "refresh_seconds"] {
        assert!(shared.remove(variable).is_some(), "{variable}");
    }
    let mut expected = with["variables"].as_table().unwrap().clone();
    // The hosts without a Redis trigger limit these.
    for variable in ["max_value_bytes", "max_writes_per_second"] {
        assert_eq!(expected[variable]["default"].as_str(), Some("0"));
        expected.insert(variable.to_owned(), shared[variable].clone());
    }
    assert_eq!(shared, expected);
    let own = |manifest: &Table, component: &str| {
        let mut component = manifest["component"][component].as_table().unwrap().clone();
        component.remove("variables");
        component.remove("allowed_outbound_hosts");
        component
    };
    for component in ["articles", "revalidate", "status"] {
        assert_eq!(own(&with, component), own(&without, component));
    }
}

#[test]
fn every_secret_is_declared_as_one() {
    let manifest = without_redis_trigger();
    let secret = |variable: &str| manifest["variables"][variable].get("secret").is_some();
    for variable in [
        "supabase_anon_key",
        "webhook_secret",
        "redis_url",
        "refresh_secret",
        "admin_token",
    ] {
        assert!(secret(variable), "{variable}");
    }
}

/// The HTTP routes with their components.
fn routes(manifest: &Table) -> Vec<(&str, &str)> {
    let triggers = manifest["trigger"]["http"].as_array().unwrap().iter();
    triggers
        .map(|trigger| {
            let text = |name: &str| trigger[name].as_str().unwrap();
            (text("route"), text("component"))
        })
        .collect()
}

#[test]
fn only_the_documented_routes_are_open_to_the_network() {
    let shared = [
        ("/articles/...", "articles"),
        ("/revalidate", "revalidate"),
        ("/", "status"),
        ("/status/...", "status"),
        ("/metrics", "status"),
        ("/healthz", "status"),
        ("/readyz", "status"),
    ];
    assert_eq!(routes(&with_redis_trigger()), shared);
    let with_refresh = [&shared[..], &[("/refresh", "refresh-http")]].concat();
    assert_eq!(routes(&without_redis_trigger()), with_refresh);
}
