//! What the host says when it cannot start an application.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use afterword_host::{Host, Options};
use tempfile::TempDir;

/// An application with one HTTP component `articles`, whose `source` is `component`, in WebAssembly's text format.
fn application(component: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = r#"
        spin_manifest_version = 2
        [application]
        name = "broken"
        [[trigger.http]]
        route = "/..."
        component = "articles"
        [component.articles]
        source = "articles.wasm"
    "#;
    fs::write(folder.path().join("spin.toml"), manifest).unwrap();
    let wasm = wat::parse_str(component).unwrap();
    fs::write(folder.path().join("articles.wasm"), wasm).unwrap();
    folder
}

async fn refusal(folder: &Path) -> String {
    let mut options = Options::new(folder.join("spin.toml"));
    options.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    options.cache_dir = Some(folder.join("cache"));
    let error = Host::start(options).await.err();
    format!("{:#}", error.expect("the host should refuse to start"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_not_built_is_named_with_its_file() {
    let folder = application("(component)");
    fs::remove_file(folder.path().join("articles.wasm")).unwrap();
    let text = refusal(folder.path()).await;
    assert!(text.contains("component \"articles\""), "{text}");
    assert!(text.contains("articles.wasm"), "{text}");
    assert!(text.contains("has it been built?"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_not_offered_is_named_with_its_component() {
    let import =
        r#"(component (import "spin:sqlite/sqlite@3.1.0" (instance (export "open" (func)))))"#;
    let text = refusal(application(import).path()).await;
    assert!(text.contains("component \"articles\""), "{text}");
    assert!(text.contains("spin:sqlite/sqlite@3.1.0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_another_kind_than_its_trigger_is_refused() {
    let text = refusal(application("(component)").path()).await;
    assert!(text.contains("no HTTP component of WASI 0.3"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_module_is_no_component() {
    let text = refusal(application("(module)").path()).await;
    assert!(text.contains("is no WebAssembly component"), "{text}");
}
