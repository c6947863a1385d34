//! The entry point of a component behind a Redis trigger: `fermyon:spin/inbound-redis`.

pub use crate::__export_redis_handler as export;
pub use crate::host::common::RedisGuest as Guest;

// For `export!`.
#[doc(hidden)]
pub mod bindings {
    spin_sdk_02::wit_bindgen::generate!({
        // Spin: `wit/deps/spin@unversioned`.
        inline: "
            package fermyon:spin;
            interface redis-types {
                enum error { success, error }
                type payload = list<u8>;
            }
            interface inbound-redis {
                use redis-types.{payload, error};
                handle-message: func(message: payload) -> result<_, error>;
            }
            world redis-trigger { export inbound-redis; }
        ",
        runtime_path: "spin_sdk_02::wit_bindgen::rt",
        pub_export_macro: true,
    });
}

/// Exports a [`Guest`].
#[doc(hidden)]
#[macro_export]
macro_rules! __export_redis_handler {
    ($handler:ident) => {
        const _: () = {
            use $crate::host::redis_trigger::bindings;

            struct Exported;

            impl bindings::exports::fermyon::spin::inbound_redis::Guest for Exported {
                fn handle_message(
                    message: Vec<u8>,
                ) -> Result<(), bindings::exports::fermyon::spin::inbound_redis::Error> {
                    $crate::host::redis_trigger::handle::<$handler>(message)
                }
            }

    bindings::export!(Exported with_types_in bindings);
        };
    };
}

// For `export!`.
#[doc(hidden)]
pub fn handle<G: Guest>(
    message: Vec<u8>,
) -> Result<(), bindings::exports::fermyon::spin::inbound_redis::Error> {
    super::run(G::handle(message)).map_err(|error| {
        eprintln!("{error}");
        bindings::exports::fermyon::spin::inbound_redis::Error::Error
    })
}
