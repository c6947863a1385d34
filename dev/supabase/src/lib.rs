//! A stand-in for Supabase: the subset of PostgREST that Afterword and a person's `curl` need, over real rows in SQLite,
//! and database webhooks sent the way pg_net sends them.
//!
//! # What it is like
//! - `/rest/v1/<table>` for any table: `select`, `order`, `limit`, `offset`, filters, `Range`, `Prefer`, POST (with
//!   upsert), PATCH, DELETE; statuses, headers and error bodies are PostgREST's. What it lacks is refused by name (PGRST127).
//! - The anonymous role sees the rows of `articles` that are published and not the column `editor_notes`; the service
//!   role sees and writes everything. An anonymous INSERT is refused (42501), an anonymous UPDATE or DELETE finds no row,
//!   as row-level security has it.
//! - Unlike real PostgREST, where `select=*` asks for the right to every column and fails with 42501, `*` leaves out
//!   what the role may not read; [`Options::strict_columns`] makes it fail.
//! - There is one schema, `public`: a request that names another one is refused (PGRST106).
//! - Text is compared bytewise. Without `order` rows are read by their key, and the rows of a change come in the order in
//!   which they were changed.
//!
//! # Map
//! A request: `server` (connections, dials, log) → `rest` → `gateway` (keys to roles) → `profile`, `query`, `filter`,
//! `prefer`, `range`, `media`, `payload` (what is asked) → `policy` (what is allowed) → `read`, or `write` and `returning`
//! → `database`.
//! Values: `schema` (tables), `types`, `jsonb` (the webhooks' text), `constraint` and `error` (refusals), `answer`, `cut`.
//! A change: `database` (triggers note it) → `webhook`. Setting up: `options`, `sample`, `dials`, `supabase`.

mod answer;
mod constraint;
mod cut;
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
mod rest;
mod returning;
mod sample;
mod schema;
mod server;
mod supabase;
mod types;
mod webhook;
mod write;

pub use dials::{Dials, Fault, RestDial, WebhookDials};
pub use options::{Keys, Options, Webhook};
pub use server::RequestLog;
pub use supabase::Supabase;
pub use webhook::{Delivery, Outcome};
