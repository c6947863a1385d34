//! Responses with rows of the list: a long list, which is in chunks, and parts of any list.

use crate::after_response::AfterResponse;
use crate::cache_status::CacheStatus;
use crate::chunks::{Gzip, Missing, Reader, Rows};
use crate::representation::{Ages, Preconditions, finish};
use crate::settings::Settings;
use crate::window::Window;
use afterword::directory::{Directory, Span};
use afterword::entry::{Coding, EntityTag, Entry};
use afterword::host;
use afterword::host::http_server::{BodyWriter, Produce};
use afterword::key::{Key, PATH};
use afterword::log::{self, event};
use afterword::postgrest::rows;
use afterword::problem;
use afterword::response::Response;
use afterword::store::Store;
use bytes::Bytes;
use http::StatusCode;

/// What a request for the list wants.
pub struct Wanted<'a> {
    /// The part; `None` for the whole list.
    pub window: Option<Window>,
    /// The client asks for the number of rows.
    pub counts: bool,
    /// The content is not sent.
    pub is_head: bool,
    /// The request headers that select the representation.
    pub preconditions: &'a Preconditions,
    /// The configuration.
    pub settings: &'a Settings,
}

/// A part of the list.
struct Part {
    window: Window,
    tag: EntityTag,
    modified_at: u64,
    /// The number of its rows.
    rows: u64,
    /// The number of all rows, if it is known.
    total: Option<u64>,
}

/// The content of a response.
enum Body {
    Memory(Bytes),
    Chunks(u64, Produce),
}

impl Wanted<'_> {
    /// The response from a long list.
    ///
    /// # Errors
    /// A chunk that is needed at once is missing: treat the list as missing.
    pub async fn of_directory(
        &self,
        directory: Directory,
        ages: Ages,
        status: CacheStatus,
    ) -> Result<Response, Missing> {
        match self.window {
            Some(window) => {
                self.part_of_directory(directory, window, ages, status)
                    .await
            }
            None => self.whole_directory(directory, ages, status).await,
        }
    }

    async fn whole_directory(
        &self,
        directory: Directory,
        ages: Ages,
        status: CacheStatus,
    ) -> Result<Response, Missing> {
        let gzip_length = directory.gzip_length();
        let coding = self.preconditions.coding(|coding| match coding {
            Coding::Identity => true,
            Coding::Gzip => gzip_length.is_some(),
            Coding::Brotli => false,
        });
        let (coding, tag, length) = match (coding, gzip_length) {
            (None, _) => return Ok(Response::problem(&problem::NOT_ACCEPTABLE)),
            (Some(Coding::Gzip), Some(length)) => (Coding::Gzip, directory.gzip_tag, length),
            _ => (Coding::Identity, directory.tag, directory.length()),
        };
        let modified_at = directory.last_modified;
        if self.preconditions.hold(&tag, modified_at, &ages) {
            let response = Response::without_content(StatusCode::NOT_MODIFIED);
            return Ok(self.finish(response, &tag, "Accept-Encoding", ages, status));
        }
        let produce = if self.is_head {
            nothing()
        } else if coding == Coding::Gzip {
            let store = open().await?;
            produce(Reader::Gzip(Gzip::open(store, directory).await?))
        } else {
            let span = directory.span(0, u64::MAX);
            produce(Reader::Rows(
                Rows::open(open().await?, directory, span).await?,
            ))
        };
        let mut response = Response::streamed(StatusCode::OK, JSON, length, produce);
        if coding != Coding::Identity {
            response = response.with("content-encoding", coding.name());
        }
        response = ages.with_last_modified(response, modified_at);
        Ok(self.finish(response, &tag, "Accept-Encoding", ages, status))
    }

    async fn part_of_directory(
        &self,
        directory: Directory,
        window: Window,
        ages: Ages,
        status: CacheStatus,
    ) -> Result<Response, Missing> {
        let span: Span = directory.span(window.offset, window.limit.unwrap_or(u64::MAX));
        let part = Part {
            window,
            tag: directory.span_tag(&span),
            modified_at: directory.last_modified,
            rows: span.rows,
            total: Some(directory.rows()),
        };
        if let Some(response) = self.without_content(&part, ages, status) {
            return Ok(response);
        }
        let body = if span.chunks.is_empty() {
            Body::Memory(Bytes::from_static(b"[]"))
        } else {
            let rows = Rows::open(open().await?, directory, span).await?;
            let length = rows.length();
            let produce = if self.is_head {
                nothing()
            } else {
                produce(Reader::Rows(rows))
            };
            Body::Chunks(length, produce)
        };
        Ok(self.part(&part, body, ages, status))
    }

    /// The response with a part of a list that is one value.
    pub fn part_of_entry(
        &self,
        entry: &Entry,
        window: Window,
        ages: Ages,
        status: CacheStatus,
    ) -> Response {
        // It may change although the part does not, but costs no look at the rows.
        let mut tagged = entry.identity.tag.as_bytes().to_vec();
        tagged.extend_from_slice(window.to_string().as_bytes());
        let mut part = Part {
            window,
            tag: EntityTag::of(&tagged),
            modified_at: entry.last_modified,
            rows: 0,
            total: None,
        };
        let rows = rows::Rows::parse(entry.identity.content.clone()).unwrap_or_default();
        let total = rows.len() as u64;
        let first = window.offset.min(total);
        let limit = window.limit.unwrap_or(u64::MAX);
        part.rows = limit.min(total - first);
        part.total = Some(total);
        if let Some(response) = self.without_content(&part, ages, status) {
            return response;
        }
        let mut content = vec![b'['];
        let wanted = rows.iter().skip(first as usize).take(part.rows as usize);
        for (at, row) in wanted.enumerate() {
            if at > 0 {
                content.push(b',');
            }
            content.extend_from_slice(row.as_bytes());
        }
        content.push(b']');
        self.part(&part, Body::Memory(content.into()), ages, status)
    }

    /// The response with a part of the list that was just fetched, whose rows are the content of
    /// `entry`. The number of all rows is unknown.
    pub fn fetched_part(
        &self,
        entry: Entry,
        window: Window,
        ages: Ages,
        status: CacheStatus,
    ) -> Response {
        let content = entry.identity.content;
        let rows = rows::Rows::parse(content.clone()).unwrap_or_default();
        let part = Part {
            window,
            tag: entry.identity.tag,
            modified_at: entry.last_modified,
            rows: rows.len() as u64,
            total: None,
        };
        let without_content = self.without_content(&part, ages, status);
        without_content.unwrap_or_else(|| self.part(&part, Body::Memory(content), ages, status))
    }

    /// The response if it does not contain the part: 304, 406 or 416.
    fn without_content(&self, part: &Part, ages: Ages, status: CacheStatus) -> Option<Response> {
        if self
            .preconditions
            .coding(|it| it == Coding::Identity)
            .is_none()
        {
            return Some(Response::problem(&problem::NOT_ACCEPTABLE));
        }
        let total = part.total.filter(|_| self.counts);
        if total.is_some_and(|total| part.window.offset > total) {
            let range = part.window.content_range(0, total);
            let response = Response::problem(&problem::NO_SUCH_ROWS);
            return Some(response.with("content-range", range));
        }
        let unchanged = self.preconditions.hold(&part.tag, part.modified_at, &ages);
        unchanged.then(|| {
            let response = Response::without_content(StatusCode::NOT_MODIFIED);
            self.finish(response, &part.tag, PART_VARIES, ages, status)
        })
    }

    /// The response with a part, as PostgREST sends it: 206 only if the client asks for the number
    /// of rows, and does not get all of them.
    fn part(&self, part: &Part, body: Body, ages: Ages, status: CacheStatus) -> Response {
        let (window, total) = (part.window, part.total.filter(|_| self.counts));
        let code = if total.is_some_and(|total| part.rows < total) {
            StatusCode::PARTIAL_CONTENT
        } else {
            StatusCode::OK
        };
        let mut response = match body {
            Body::Memory(content) => Response::new(code, JSON, content),
            Body::Chunks(length, produce) => Response::streamed(code, JSON, length, produce),
        };
        response = response.with("content-range", window.content_range(part.rows, total));
        if total.is_some() {
            response = response.with("preference-applied", "count=exact");
        }
        let has_next = match part.total {
            Some(total) => window.offset.saturating_add(part.rows) < total,
            // There may be more rows.
            None => window.limit == Some(part.rows),
        };
        response = response.with("link", window.links(PATH, has_next));
        response = ages.with_last_modified(response, part.modified_at);
        self.finish(response, &part.tag, PART_VARIES, ages, status)
    }

    fn finish(
        &self,
        response: Response,
        tag: &EntityTag,
        vary: &str,
        ages: Ages,
        status: CacheStatus,
    ) -> Response {
        let response = response.with("etag", tag.as_bytes()).with("vary", vary);
        finish(response, self.settings, &ages, status)
    }
}

const JSON: &str = "application/json";

/// The `Vary` of a part of the list: `Prefer` decides whether the rows are counted.
const PART_VARIES: &str = "Accept-Encoding, Prefer";

async fn open() -> Result<Store, Missing> {
    Store::open().await.map_err(|_| Missing::default())
}

/// The content of a response to `HEAD`, which the host does not read.
fn nothing() -> Produce {
    Box::new(|writer| Box::pin(async move { drop(writer) }))
}

fn produce(mut reader: Reader) -> Produce {
    Box::new(|mut writer| {
        Box::pin(async move {
            loop {
                let bytes = match reader.next().await {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => return,
                    Err(missing) => return cut(writer, missing).await,
                };
                if !writer.write(bytes).await {
                    return;
                }
            }
        })
    })
}

/// The response has begun, so it can only be cut.
async fn cut(writer: BodyWriter, missing: Missing) {
    let message = format!("could not read {missing}: a response with the list was cut");
    let line = log::event(event::ENTRY_NOT_READ, message);
    line.key(PATH).emit();
    writer.cut().await;
    // A refresh of the whole list writes the chunk again.
    let (key, fetched_at) = (Key::List, host::now());
    let refresh = AfterResponse::RequestRefresh { key, fetched_at };
    // The head may not have been sent yet.
    host::after_response(refresh.run());
}
