//! The headers that a cached article needs. The baselines of both builds have them.

/// The request headers that decide on the response.
pub const READ: [&str; 4] = [
    "accept",
    "if-none-match",
    "if-modified-since",
    "accept-encoding",
];

/// Headers like those of a cached article, besides the two that each response has.
pub const SENT: [(&str, &str); 7] = [
    ("x-content-type-options", "nosniff"),
    ("last-modified", "Sun, 29 Nov 2026 06:02:14 GMT"),
    ("etag", "\"CnFDvIEnXXDa3bcQyy7XMQ\""),
    ("vary", "Accept-Encoding"),
    (
        "cache-control",
        "public, max-age=0, stale-while-revalidate=60",
    ),
    ("age", "17"),
    ("cache-status", "\"Afterword\"; hit; ttl=283"),
];
