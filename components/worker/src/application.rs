//! Identifies the application among those that use the same Redis. Two applications with one prefix
//! would complete each other's tasks with their own content.

use afterword::host;
use afterword::log::{self, event};
use afterword::postgrest::Origin;
use afterword::store::{Error, Store};

/// The key of the random text that identifies the key-value store.
const NAME: &str = "application";

/// What identifies an application.
pub struct Application {
    /// A text that only its key-value store contains. It stays the same when the configuration
    /// changes.
    pub store: String,
    /// The URL and the table of its origin.
    pub origin: String,
}

impl Application {
    /// Identifies this application. If the store fails, its origin alone has to do: the worker must
    /// not wait for the store.
    pub async fn identify(store: &Store, origin: &Origin) -> Self {
        let store = store_id(store).await.unwrap_or_else(|error| {
            log::event(
                event::STORE_NOT_IDENTIFIED,
                "could not read or write `application` in the key-value store",
            )
            .error(error)
            .emit();
            String::new()
        });
        let origin = origin.name();
        Self { store, origin }
    }
}

/// The store's text. The first worker writes it. If two write it at once, the last one wins, which
/// is harmless because they have the same origin.
async fn store_id(store: &Store) -> Result<String, Error> {
    let stored = store.get(NAME).await?.map(String::from_utf8);
    if let Some(Ok(id)) = stored {
        return Ok(id);
    }
    let id = format!("{:016x}{:016x}", host::random(), host::random());
    store.set(NAME, id.as_bytes()).await?;
    Ok(id)
}
