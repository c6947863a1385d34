//! The host's errors at the start of an application.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use afterword_host::{Host, Options};
use tempfile::TempDir;

/// An application with one HTTP component `articles`. `component` is its source in WebAssembly's
/// text format.
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
async fn an_error_names_a_component_that_is_not_built() {
    let folder = application("(component)");
    fs::remove_file(folder.path().join("articles.wasm")).unwrap();
    let text = refusal(folder.path()).await;
    assert!(text.contains("component \"articles\""), "{text}");
    assert!(text.contains("articles.wasm"), "{text}");
    assert!(text.contains("has it been built?"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_an_unknown_import_and_its_component() {
    let import =
        r#"(component (import "spin:sqlite/sqlite@3.1.0" (instance (export "open" (func)))))"#;
    let text = refusal(application(import).path()).await;
    assert!(text.contains("component \"articles\""), "{text}");
    assert!(text.contains("spin:sqlite/sqlite@3.1.0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_without_its_triggers_export_is_refused() {
    let text = refusal(application("(component)").path()).await;
    assert!(text.contains("no HTTP component"), "{text}");
    for handler in ["wasi:http/incoming-handler", "wasi:http/handler"] {
        assert!(text.contains(handler), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_module_is_refused() {
    let text = refusal(application("(module)").path()).await;
    assert!(text.contains("is no WebAssembly component"), "{text}");
}
