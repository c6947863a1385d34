//! What tells this application from another that uses the same Redis. Two of them on one prefix
//! would complete each other's work: each would take the other's changes for done.

use afterword::marks::Application;
use afterword::postgrest::Origin;
use afterword::store::{Error, Store};
use spin_sdk::wasip3::random::random::get_random_u64;

/// The key in the store whose value is a random text. It stays the same when the configuration
/// changes.
const NAME: &str = "application";

/// This application. A store that fails is no reason not to work: the application is then known by
/// its origin alone.
pub async fn identity(store: &Store, origin: &Origin) -> Application {
    let text = text(store).await.unwrap_or_else(|error| {
        eprintln!("the application's own key cannot be read: {error}");
        String::new()
    });
    Application {
        store: text,
        origin: origin.name(),
    }
}

/// The store's text. The first worker that finds none writes one; if two do at once, the last one
/// counts, which does no harm, since they have one origin.
async fn text(store: &Store) -> Result<String, Error> {
    let found = store.get(NAME).await?.map(String::from_utf8);
    if let Some(Ok(text)) = found {
        return Ok(text);
    }
    let text = format!("{:016x}{:016x}", get_random_u64(), get_random_u64());
    store.set(NAME, text.as_bytes()).await?;
    Ok(text)
}
