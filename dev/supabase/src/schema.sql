-- The sample table. The columns' types are PostgreSQL's names, which `schema.rs` reads; SQLite itself wants `integer` for
-- a key that counts by itself.
CREATE TABLE IF NOT EXISTS articles (
    id integer PRIMARY KEY AUTOINCREMENT,
    slug text NOT NULL UNIQUE,
    title text NOT NULL,
    body text,
    published boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT (now()),
    updated_at timestamptz NOT NULL DEFAULT (now()),
    editor_notes text
);
