-- The sample table. The types are PostgreSQL's names, which `schema.rs` parses. SQLite requires
-- `integer` for an automatic key.
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
