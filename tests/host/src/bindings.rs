//! The Rust side of `wit/`, as wasmtime's `bindgen!` makes it.

wasmtime::component::bindgen!({
    path: "wit",
    world: "redis-service",
    with: {
        "spin:key-value/key-value.store": crate::key_value::OpenStore,
        "spin:redis/redis.connection": crate::redis_client::Connection,
    },
});
