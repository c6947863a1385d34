//! The entry point of a component behind a Redis trigger: `spin:redis/inbound-redis`.

pub use crate::__export_redis_handler as export;
pub use crate::host::common::RedisGuest as Guest;

// For `export!`.
#[doc(hidden)]
pub mod bindings {
    spin_sdk::wit_bindgen::generate!({
        // Spin's `wit/deps/spin-redis@3.0.0`: all of it, since the linker merges it with the SDK's
        // copy.
        inline: "
            package spin:redis@3.0.0;
            interface redis {
                variant error { invalid-address, too-many-connections, type-error, other(string) }
                resource connection {
                    open: static async func(address: string) -> result<connection, error>;
                    publish: async func(channel: string, payload: payload) -> result<_, error>;
                    get: async func(key: string) -> result<option<payload>, error>;
                    set: async func(key: string, value: payload) -> result<_, error>;
                    incr: async func(key: string) -> result<s64, error>;
                    del: async func(keys: list<string>) -> result<u32, error>;
                    sadd: async func(key: string, values: list<string>) -> result<u32, error>;
                    smembers: async func(key: string) -> result<list<string>, error>;
                    srem: async func(key: string, values: list<string>) -> result<u32, error>;
                    execute: async func(
                        command: string, arguments: list<redis-parameter>
                    ) -> result<list<redis-result>, error>;
                }
                type payload = list<u8>;
                variant redis-parameter { int64(s64), binary(payload) }
                variant redis-result { nil, status(string), int64(s64), binary(payload) }
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
