//! The Rust side of `wit/`, as wasmtime's `bindgen!` makes it.

wasmtime::component::bindgen!({
    path: "wit",
    world: "redis-service",
    imports: {
        // It has no error of its own to return: what it cannot do before the first key, it traps on, as in Spin.
        "spin:key-value/key-value.[method]store.get-keys": trappable,
    },
    with: {
        "spin:key-value/key-value.store": crate::key_value::OpenStore,
        "spin:redis/redis.connection": crate::redis_client::Connection,
    },
});
