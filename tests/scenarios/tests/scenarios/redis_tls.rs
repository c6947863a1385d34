//! A Redis with TLS: its commands, the Redis trigger and the key-value store.

use afterword_scenarios::{Setup, redis_program, redis_wakes_workers};
use afterword_stack::{Certificates, Port, Redis, redis_has_tls};

/// A work queue with TLS on a port of its own. The application uses that one; the scenario itself
/// uses the plain one.
fn with_tls(certificates: &Certificates, port: &Port) -> Setup {
    let url = format!("rediss://localhost:{}", port.number());
    Setup::default()
        .redis_args(&arguments(&certificates.redis_args(port.number())))
        .variable("redis_url", &url)
        .variable("redis_address", &url)
}

fn arguments(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn over_tls_a_webhook_wakes_the_worker_which_writes_the_store() {
    let dir = tempfile::tempdir().unwrap();
    if !redis_has_tls(&redis_program(), dir.path()).await.unwrap() {
        return;
    }
    let certificates = Certificates::make(dir.path()).unwrap();
    let (queue_port, store_port) = (Port::free(), Port::free());
    let store_args = certificates.redis_args(store_port.number());
    let store = Redis::start(
        &redis_program(),
        &dir.path().join("store"),
        &arguments(&store_args),
    )
    .await
    .unwrap();
    let afterword = with_tls(&certificates, &queue_port)
        .store_url(format!("rediss://localhost:{}", store_port.number()))
        .authorities(certificates.authority())
        .start()
        .await;

    afterword.wait_for_hit("/articles/7").await;
    afterword.update_title(7, "Over TLS").await;
    afterword.assert_hit_has_title(7, "Over TLS").await;
    let client = redis::Client::open(store.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut exists = redis::cmd("EXISTS");
    let stored: bool = exists
        .arg("/articles/7")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(stored, "the store over TLS has the entry");
}

#[tokio::test]
async fn a_redis_with_a_certificate_of_an_unknown_authority_counts_as_away() {
    let dir = tempfile::tempdir().unwrap();
    if !redis_has_tls(&redis_program(), dir.path()).await.unwrap() {
        return;
    }
    let certificates = Certificates::make(dir.path()).unwrap();
    let port = Port::free();
    let mut afterword = with_tls(&certificates, &port).no_worker().start().await;

    assert_eq!(afterword.get_article(7).await.status, 200);
    let response = afterword.invalidate(7).await;
    assert_eq!(response.status, 202, "{response:?}");
    assert_eq!(response.json()["deferred"], "outbox");
    if !redis_wakes_workers() {
        return;
    }
    let error = afterword.start_worker().await.unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("certificate"), "{text}");
}
