//! A stand-in for Supabase: the part of PostgREST that Afterword and a person's `curl` need, over
//! rows in SQLite, and database webhooks as pg_net sends them.
//!
//! # Behaviour
//! - It serves `/rest/v1/<table>` for any table: `select`, `order`, `limit`, `offset`, filters,
//!   `Range`, `Prefer`, POST (with upsert), PATCH and DELETE. Statuses, headers and error bodies
//!   are PostgREST's. A missing feature is refused with its name (PGRST127).
//! - The anonymous role reads only published rows of `articles`, without the column `editor_notes`.
//!   The service role reads and writes everything. As with row-level security, an anonymous INSERT
//!   is refused (42501), and an anonymous UPDATE or DELETE finds no row.
//! - `select=*` leaves out the columns that the role may not read. Real PostgREST refuses it
//!   (42501), and so does [`Options::strict_columns`].
//! - The only schema is `public`. A request for another schema is refused (PGRST106).
//! - Text is compared bytewise. Without `order`, a read is sorted by the primary key, and a change
//!   returns its rows in the order of the changes.
//!
//! # Map
//! - A request: `server` (connections, dials, log) → `rest` → `gateway` (the role of a key) →
//!   `profile`, `query`, `filter`, `prefer`, `range`, `media`, `payload` (parsing) → `policy`
//!   (permissions) → `read`, or `write` and `returning` → `database`.
//! - Values: `schema` (tables), `types`, `jsonb` (the webhooks' text), `constraint` and `error`
//!   (refusals), `response`, `cut_body`.
//! - With [`Options::upstream`], a real PostgREST serves the requests: `upstream`.
//! - A change: `database` (triggers record it) → `webhook`.
//! - Setup: `options`, `sample`, `dials`, `supabase`.

mod constraint;
mod cut_body;
mod database;
mod dials;
mod error;
mod filter;
mod gateway;
mod jsonb;
mod media;
mod options;
mod payload;
mod policy;
mod prefer;
mod profile;
mod query;
mod range;
mod read;
mod response;
mod rest;
mod returning;
mod sample;
mod schema;
mod server;
mod supabase;
mod types;
mod upstream;
mod webhook;
mod write;

pub use dials::{Dials, Fault, RestDial, WebhookDials};
pub use options::{Keys, Options, Upstream, Webhook};
pub use server::RequestLog;
pub use supabase::Supabase;
pub use webhook::{Delivery, Outcome};
