//! Least authority: the hosts, stores and variables that the manifest gives each component.

use std::collections::BTreeMap;

use toml::{Table, Value};

const MANIFEST: &str = include_str!("../../../../spin.toml");

const ORIGIN: &str = "{{ supabase_url }}";
const REDIS: &str = "{{ redis_address }}";

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

fn strings(value: &Value) -> Vec<&str> {
    let items = value.as_array().expect("an array");
    items.iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn each_component_reaches_what_it_needs_and_nothing_else() {
    let manifest: Table = MANIFEST.parse().unwrap();
    let components = manifest["component"].as_table().unwrap();
    let expected = BTreeMap::from([
        (
            "articles",
            (
                vec![ORIGIN, REDIS],
                [
                    &TABLE[..],
                    &FETCHING,
                    &LIFETIME,
                    &QUEUE,
                    &["cache_control", "cdn_cache_control", "cors_allow_origins"],
                ]
                .concat(),
            ),
        ),
        (
            // Neither the origin nor its key.
            "revalidate",
            (
                vec![REDIS],
                [
                    &TABLE[..],
                    &QUEUE,
                    &["webhook_secret", "webhook_tables", "related_tables"],
                ]
                .concat(),
            ),
        ),
        (
            // No webhook secret.
            "refresh",
            (
                vec![ORIGIN, REDIS],
                [&TABLE[..], &FETCHING, &LIFETIME, &QUEUE, &["replica_lag"]].concat(),
            ),
        ),
    ]);
    assert_eq!(
        components.keys().collect::<Vec<_>>(),
        ["articles", "refresh", "revalidate"]
    );
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
fn every_secret_is_declared_as_one() {
    let manifest: Table = MANIFEST.parse().unwrap();
    let secret = |variable: &str| manifest["variables"][variable].get("secret").is_some();
    for variable in ["supabase_anon_key", "webhook_secret", "redis_url"] {
        assert!(secret(variable), "{variable}");
    }
}

#[test]
fn only_two_routes_are_open_to_the_network() {
    let manifest: Table = MANIFEST.parse().unwrap();
    let routes: Vec<(&str, &str)> = manifest["trigger"]["http"]
        .as_array()
        .unwrap()
        .iter()
        .map(|trigger| {
            let text = |name: &str| trigger[name].as_str().unwrap();
            (text("route"), text("component"))
        })
        .collect();
    assert_eq!(
        routes,
        [("/articles/...", "articles"), ("/revalidate", "revalidate")]
    );
}
