//! The origin: PostgREST, read with the anonymous key, so that the cache contains nothing that
//! readers may not see.
//!
//! | module | content |
//! | --- | --- |
//! | [`origin`] | reads items and the list |
//! | [`request`] | a single request |
//! | [`query`] | PostgREST's parameters |
//! | [`list_query`], [`pages`] | the list's query, and the pages in which it is fetched |
//! | [`rows`] | the rows of a response |
//! | [`error`] | why a request failed, and whose fault that is |
//! | [`api_key`], [`base_url`] | the key and the URL of the project |

pub mod api_key;
pub mod base_url;
pub mod error;
pub mod list_query;
pub mod origin;
pub mod pages;
pub mod query;
pub mod request;
pub mod rows;

pub use base_url::BaseUrl;
pub use error::{Blame, Error};
pub use origin::{Origin, Page};
pub use pages::Pages;
