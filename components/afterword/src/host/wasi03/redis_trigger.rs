//! The entry point of a component behind a Redis trigger: `spin:redis/inbound-redis`.

use std::future::Future;

pub use crate::__export_redis_handler as export;

// For `export!`.
#[doc(hidden)]
pub mod bindings {
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package spin:redis@3.0.0;
            interface redis {
                variant error { invalid-address, too-many-connections, type-error, other(string) }
                type payload = list<u8>;
            }
            interface inbound-redis {
                use redis.{payload, error};
                handle-message: async func(message: payload) -> result<_, error>;
            }
            world redis-trigger { export inbound-redis; }
        ",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        pub_export_macro: true,
    });
}

/// The handler of a component.
pub trait Guest {
    /// Handles a message. An error is printed. Unfinished tasks end with it.
    fn handle(message: Vec<u8>) -> impl Future<Output = Result<(), String>>;
}

/// Exports a [`Guest`].
#[doc(hidden)]
#[macro_export]
macro_rules! __export_redis_handler {
    ($handler:ident) => {
        const _: () = {
            use $crate::host::redis_trigger::bindings;

            struct Exported;

            impl bindings::exports::spin::redis::inbound_redis::Guest for Exported {
                async fn handle_message(
                    message: Vec<u8>,
                ) -> Result<(), bindings::exports::spin::redis::inbound_redis::Error> {
                    $crate::host::redis_trigger::handle::<$handler>(message).await
                }
            }

    bindings::export!(Exported with_types_in bindings);
        };
    };
}

// For `export!`.
#[doc(hidden)]
pub async fn handle<G: Guest>(
    message: Vec<u8>,
) -> Result<(), bindings::exports::spin::redis::inbound_redis::Error> {
    G::handle(message).await.map_err(|error| {
        eprintln!("{error}");
        bindings::exports::spin::redis::inbound_redis::Error::Other(error)
    })
}
