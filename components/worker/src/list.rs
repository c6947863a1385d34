//! Refreshes the list: as a whole, or the chunks of the places that have changed.
//!
//! A whole list is fetched page by page, and long lists are written chunk by chunk, so that the
//! worker's memory does not grow with the list.

use crate::chunking::{Chunking, Cut};
use crate::compare::Comparison;
use crate::failures::Failures;
use crate::lease::{Claimed, Lease};
use crate::places::{Ranges, Run};
use crate::write::{NotWritten, Writer, Written};
use crate::write_list::StoredList;
use afterword::chunk::ChunkName;
use afterword::directory::{ChunkRecord, Directory};
use afterword::host;
use afterword::key::{Id, Key};
use afterword::log::{self, event};
use afterword::postgrest::rows::Rows;
use afterword::postgrest::{Error as OriginError, Origin, Page, Pages};
use afterword::queue::{Error, Task};
use afterword::row;
use bytes::Bytes;
use futures_util::future::join_all;
use std::collections::HashMap;

/// How often a list is fetched at most if changes arrive during each fetch.
const MAX_FETCHES: usize = 3;

/// The maximum number of concurrent requests for parts of a list.
const MAX_RUNS: usize = 4;

/// The number of rows that one request brings by default. If the changed places need more requests
/// than the whole list, the whole list is fetched.
const ROWS_OF_A_REQUEST: u64 = 1_000;

/// The longest run that is fetched, in bytes: it is in memory. A longer one is fetched and written
/// page by page, with the whole list.
const LONGEST_RUN: u64 = 4 << 20;

/// Fetches and writes the list.
pub struct ListRefresher<'a> {
    /// The right to write.
    pub lease: &'a Lease<'a>,
    /// Where the content is from.
    pub origin: &'a Origin,
    /// Where failed requests are reported.
    pub failures: &'a Failures<'a>,
    /// Writes the list.
    pub writer: &'a Writer<'a>,
}

/// Why there is no new list.
pub enum NoList {
    /// A request failed. `always`: so many failed in a row that the origin is at fault.
    Failed {
        /// The error.
        error: OriginError,
        /// Trip the circuit breaker in any case.
        always: bool,
    },
    /// The list changed during each fetch.
    Changing,
    /// The store failed, with this error.
    NotWritten(String),
    /// Another worker holds the lease.
    LeaseLost,
}

/// The error text of [`NoList::Changing`].
pub const CHANGING: &str = "the list changed each time while it was fetched";

/// The error text of [`NoList::NotWritten`] if former chunks still take the room of new ones.
const NO_ROOM: &str = "the store has no room for the list beside its former chunks";

/// A fetched list.
struct Fetched {
    content: Content,
    /// When the fetch began, in milliseconds since 1970.
    fetched_at: u64,
    /// The number of requests. The rows of one response are of one moment, those of several may not
    /// be.
    pages: usize,
    /// The pages followed each other by id. Then no row that existed throughout is missing or
    /// duplicated.
    by_id: bool,
}

enum Content {
    /// The anonymous key may not read the table.
    Denied,
    /// The list as one value.
    Value(Vec<u8>),
    /// A long list, whose chunks are in the store.
    Chunks(Vec<ChunkRecord>),
    /// A long list, for whose chunks the store has no room.
    NoRoom,
    /// A long list, whose chunks were only counted: the store has room for them.
    HasRoom,
}

impl ListRefresher<'_> {
    /// Works on claimed tasks of the list. Failures of the origin and of the store are recorded in
    /// the work queue. An error of Redis ends the drain, and leaves the tasks queued.
    pub async fn refresh(&self, mut claimed: Vec<Claimed>) -> Result<(), Error> {
        let whole = Task::Refresh(Key::List);
        if !claimed.iter().any(|claimed| claimed.task == whole) {
            if self.refresh_places(&claimed).await? {
                return Ok(());
            }
            // Go on at once: one of the places may be the circuit breaker's probe.
            claimed = self.lease.fold(&claimed).await?;
            if claimed.is_empty() {
                return Ok(());
            }
        }
        let no_list = match self.refresh_whole(&mut claimed, None).await? {
            Ok(_) => return self.complete(&claimed).await,
            Err(no_list) => no_list,
        };
        // The list failed, not its places.
        let (list, places): (Vec<_>, Vec<_>) = claimed
            .into_iter()
            .partition(|claimed| claimed.task == whole);
        if !places.is_empty() {
            self.lease.fold(&places).await?;
        }
        match no_list {
            NoList::Failed { error, always } => self.fail(&list, &error, always).await,
            NoList::Changing => self.failures.back_off(&list, CHANGING).await,
            NoList::NotWritten(why) => self.failures.back_off(&list, &why).await,
            NoList::LeaseLost => Ok(()),
        }
    }

    /// Fetches and writes the whole list, and hands its rows to the comparison. Returns the bytes in
    /// the store. Updates the versions in `claimed`, the tasks that are then completed.
    ///
    /// The pages of a list may be of different moments. A change that is reported meanwhile causes
    /// another fetch. If changes keep arriving, pages by id are accepted, because no row that existed
    /// throughout is missing, and what has changed is queued. Pages by offset may have missed a row,
    /// and are not stored.
    pub async fn refresh_whole(
        &self,
        claimed: &mut [Claimed],
        mut comparison: Option<&mut Comparison<'_>>,
    ) -> Result<Result<usize, NoList>, Error> {
        let queue = self.lease.queue;
        let former = self.writer.stored_list().await;
        // A list for which the store had no room still costs the room of no item.
        let mut only_counts = former.is_too_large();
        for fetch in 1..=MAX_FETCHES {
            if fetch > 1 {
                let tasks: Vec<Task> = claimed.iter().map(|it| it.task.clone()).collect();
                let versions = queue.versions(&tasks).await?;
                for (claimed, version) in claimed.iter_mut().zip(versions) {
                    claimed.version = version;
                }
            }
            let last_change = queue.last_change().await?;
            let comparison = comparison.as_deref_mut();
            let fetched = match self.fetch(&former, comparison, only_counts).await? {
                Ok(fetched) => fetched,
                Err(no_list) => return Ok(Err(no_list)),
            };
            if let Content::HasRoom = fetched.content {
                only_counts = false;
                continue;
            }
            let accepted = fetched.pages == 1
                || fetch == MAX_FETCHES && fetched.by_id
                || queue.last_change().await? == last_change;
            if accepted {
                return self.write(fetched, &former, claimed).await;
            }
        }
        Ok(Err(NoList::Changing))
    }

    async fn write(
        &self,
        fetched: Fetched,
        former: &StoredList,
        claimed: &[Claimed],
    ) -> Result<Result<usize, NoList>, Error> {
        let (writer, fetched_at) = (self.writer, fetched.fetched_at);
        let written = match fetched.content {
            Content::Denied => {
                let removed = writer.write(&Key::List, None, fetched_at, claimed);
                removed.await?
            }
            Content::Value(list) => {
                let list = Some(list.into());
                writer.write(&Key::List, list, fetched_at, claimed).await?
            }
            Content::Chunks(chunks) => {
                let written = writer.write_directory(chunks, fetched_at, former, claimed);
                written.await?
            }
            Content::NoRoom | Content::HasRoom => {
                if !former.is_too_large() {
                    let message = "the list is read from the origin each time, because it has more \
                                   chunks than half of `max_keys`";
                    let line = log::event(event::ENTRY_TOO_LARGE, message);
                    line.key(Key::List).emit();
                }
                // An entry without content.
                let none = Some(Bytes::new());
                writer.write(&Key::List, none, fetched_at, claimed).await?
            }
        };
        Ok(match written {
            Written::Stored(bytes) => Ok(bytes),
            Written::NoRoom => Ok(0),
            Written::Failed(why) => Err(NoList::NotWritten(why)),
            Written::LeaseLost => Err(NoList::LeaseLost),
        })
    }

    /// Fetches the whole list, and writes the chunks of a long one, unless it `only_counts` them.
    async fn fetch(
        &self,
        former: &StoredList,
        mut comparison: Option<&mut Comparison<'_>>,
        only_counts: bool,
    ) -> Result<Result<Fetched, NoList>, Error> {
        let (trips, fetched_at) = (self.failures.trips(), host::now());
        let kept = former.kept();
        let longest_value = self.writer.longest_value(former) as u64;
        let max = self.writer.settings.max_list_bytes;
        let mut chunking = Chunking::new(self.writer.max_chunk(), former.chunks());
        let mut pages = self.origin.list();
        let (mut cuts, mut chunks) = (Vec::new(), Vec::new());
        let (mut length, mut is_complete, mut has_room) = (2, false, true);
        let mut count = 0;
        while !is_complete {
            match self.origin.next_page(&mut pages).await {
                Ok(Page::Rows(rows, _)) => {
                    if let Some(comparison) = comparison.as_deref_mut() {
                        comparison.compare(&rows).await;
                    }
                    length += self.cut(&rows, &mut chunking);
                }
                Ok(Page::End) => {
                    is_complete = true;
                    chunking.finish();
                }
                Ok(Page::Denied(_)) => {
                    self.failures.succeeded(trips).await?;
                    return Ok(Ok(Fetched {
                        content: Content::Denied,
                        fetched_at,
                        pages: 1,
                        by_id: true,
                    }));
                }
                Err(error) => return Ok(Err(self.failed(error))),
            }
            if max.is_some_and(|max| length > u64::from(max)) {
                let error = OriginError::ListTooLarge(max.map_or(0, u64::from));
                return Ok(Err(self.failed(error)));
            }
            cuts.extend(std::iter::from_fn(|| chunking.next()));
            if length > longest_value {
                for cut in cuts.drain(..) {
                    count += 1;
                    has_room &= count <= self.writer.capacity.max_chunks();
                    // The other pages are fetched for the comparison.
                    if !has_room || only_counts {
                        continue;
                    }
                    match self.writer.write_chunk(cut, &kept, true).await? {
                        Ok(chunk) => chunks.push(chunk),
                        Err(NotWritten::NoRoom) => {
                            self.writer.remove_retired(former).await?;
                            return Ok(Err(NoList::NotWritten(NO_ROOM.to_owned())));
                        }
                        Err(NotWritten::Failed(why)) => return Ok(Err(NoList::NotWritten(why))),
                        Err(NotWritten::LeaseLost) => return Ok(Err(NoList::LeaseLost)),
                    }
                }
            }
        }
        self.failures.succeeded(trips).await?;
        let content = if !has_room {
            for chunk in chunks {
                if !kept.contains_key(&chunk.name) {
                    self.writer.remove_chunk(chunk.name).await?;
                }
            }
            Content::NoRoom
        } else if only_counts && count > 0 {
            Content::HasRoom
        } else if chunks.is_empty() {
            Content::Value(joined(&cuts))
        } else {
            Content::Chunks(chunks)
        };
        Ok(Ok(Fetched {
            content,
            fetched_at,
            pages: pages.count(),
            by_id: pages.is_by_id(),
        }))
    }

    /// Cuts rows into chunks. Returns their length in bytes, with a separator for each.
    fn cut(&self, rows: &Rows, chunking: &mut Chunking) -> u64 {
        let id_column = &self.origin.resource.table.id_column;
        let mut length = 0;
        for row in rows.iter() {
            chunking.push(row, row::json(row, id_column));
            length += row.len() as u64 + 1;
        }
        length
    }

    /// A request failed.
    fn failed(&self, error: OriginError) -> NoList {
        let always = self.failures.count(&error);
        NoList::Failed { error, always }
    }

    async fn fail(
        &self,
        claimed: &[Claimed],
        error: &OriginError,
        always: bool,
    ) -> Result<(), Error> {
        if always {
            self.failures.trip(claimed, error, true).await
        } else {
            self.failures.handle(claimed, error).await
        }
    }

    async fn complete(&self, claimed: &[Claimed]) -> Result<(), Error> {
        let replica_lag = self.writer.settings.replica_lag;
        self.lease.complete(claimed, replica_lag).await
    }

    /// Refreshes the chunks that the places of these tasks are in. Returns false if the whole list
    /// has to be fetched instead.
    async fn refresh_places(&self, claimed: &[Claimed]) -> Result<bool, Error> {
        // A suspect must not share a request with others. Those that are left out stay due.
        let suspect = claimed.first().is_some_and(|claimed| claimed.suspect);
        let claimed = claimed.iter().filter(|claimed| claimed.suspect == suspect);
        let places: Vec<(&Id, &Claimed)> = claimed
            .filter_map(|claimed| match &claimed.task {
                Task::Place(id) => Some((id, claimed)),
                _ => None,
            })
            .collect();
        let ids: Vec<&Id> = places.iter().map(|(id, _)| *id).collect();
        let stored = self.writer.stored_list().await;
        let StoredList::Directory(directory) = &stored else {
            return Ok(false);
        };
        if directory.source != self.origin.list_source() {
            return Ok(false);
        }
        let Some(order) = self.origin.resource.list_query.by_id_ranges() else {
            self.log_whole("it is not ordered by the id alone, or has a `limit` or an `offset`")
                .await;
            return Ok(false);
        };
        let ranges = Ranges::of(directory, order);
        let Some(runs) = ranges.and_then(|ranges| ranges.runs(&ids)) else {
            self.log_whole("its ids are not all integers, or not all UUIDs")
                .await;
            return Ok(false);
        };
        if runs.len() as u64 > directory.rows().div_ceil(ROWS_OF_A_REQUEST) {
            return Ok(false);
        }
        let (trips, kept) = (self.failures.trips(), stored.kept());
        let (mut refreshed, mut done) = (Vec::new(), Vec::new());
        for runs in runs.chunks(MAX_RUNS) {
            if self.failures.trips() != trips {
                break;
            }
            let fetches = runs.iter().map(|run| self.fetch_run(directory, run));
            for (run, result) in runs.iter().zip(join_all(fetches).await) {
                let tasks = run.places.iter().map(|at| places[*at].1.clone());
                let tasks: Vec<Claimed> = tasks.collect();
                match result {
                    Ok(Some(cuts)) => match self.write_cuts(cuts, &kept).await? {
                        Ok(chunks) => {
                            refreshed.push((run, chunks));
                            done.extend(tasks);
                        }
                        Err(NotWritten::Failed(why)) => {
                            self.failures.back_off(&tasks, &why).await?;
                        }
                        Err(NotWritten::NoRoom) => return Ok(false),
                        Err(NotWritten::LeaseLost) => return Ok(true),
                    },
                    Ok(None) => return Ok(false),
                    Err(error) => {
                        let always = self.failures.count(&error);
                        self.fail(&tasks, &error, always).await?;
                    }
                }
            }
        }
        if refreshed.is_empty() {
            return Ok(true);
        }
        self.failures.succeeded(trips).await?;
        match self
            .write_runs(&stored, directory, refreshed, &done)
            .await?
        {
            Some(Written::Stored(_)) => self.complete(&done).await?,
            Some(Written::Failed(why)) => {
                // The store may have taken it, or may yet do so: then other places are old again.
                let list = self.lease.fold(&done).await?;
                self.failures.back_off(&list, &why).await?;
            }
            Some(Written::LeaseLost) => {}
            Some(Written::NoRoom) | None => return Ok(false),
        }
        Ok(true)
    }

    /// Writes the chunks of a run.
    async fn write_cuts(
        &self,
        cuts: Vec<Cut>,
        kept: &HashMap<ChunkName, u32>,
    ) -> Result<Result<Vec<ChunkRecord>, NotWritten>, Error> {
        let mut chunks = Vec::with_capacity(cuts.len());
        for cut in cuts {
            match self.writer.write_chunk(cut, kept, false).await? {
                Ok(chunk) => chunks.push(chunk),
                Err(not_written) => return Ok(Err(not_written)),
            }
        }
        Ok(Ok(chunks))
    }

    /// Fetches the chunks of a run; `None` if the whole list has to be fetched instead: the anonymous
    /// key may not read the table any more, or very many rows are new.
    async fn fetch_run(
        &self,
        directory: &Directory,
        run: &Run,
    ) -> Result<Option<Vec<Cut>>, OriginError> {
        let before = run.before.as_deref();
        let pages: Option<Pages> = self.origin.range(run.from.as_deref(), before);
        let mut pages = pages.ok_or(OriginError::InvalidRequest)?;
        let former = &directory.chunks[run.chunks.clone()];
        let mut chunking = Chunking::new(self.writer.max_chunk(), former);
        let mut length = 0;
        loop {
            match self.origin.next_page(&mut pages).await? {
                Page::Rows(rows, _) => length += self.cut(&rows, &mut chunking),
                Page::Denied(_) => return Ok(None),
                Page::End => break,
            }
            if length > LONGEST_RUN {
                return Ok(None);
            }
        }
        chunking.finish();
        Ok(Some(std::iter::from_fn(|| chunking.next()).collect()))
    }

    /// Writes a directory with these chunks in place of those of the runs, which are in the order of
    /// the list. `None` if the whole list has to be fetched.
    async fn write_runs(
        &self,
        stored: &StoredList,
        directory: &Directory,
        runs: Vec<(&Run, Vec<ChunkRecord>)>,
        claimed: &[Claimed],
    ) -> Result<Option<Written>, Error> {
        let (mut chunks, mut copied) = (Vec::new(), 0);
        for (run, refreshed) in runs {
            chunks.extend_from_slice(&directory.chunks[copied..run.chunks.start]);
            chunks.extend(refreshed);
            copied = run.chunks.end;
        }
        chunks.extend_from_slice(&directory.chunks[copied..]);
        let fetched_at = directory.fetched_at;
        let new = Directory {
            chunks,
            ..directory.clone()
        };
        let max = self.writer.settings.max_list_bytes;
        let is_too_short = new.length() <= self.writer.longest_value(stored) as u64;
        let is_too_long = max.is_some_and(|max| new.length() > u64::from(max))
            || new.chunks.len() > self.writer.capacity.max_chunks();
        let order = self.origin.resource.list_query.by_id_ranges();
        // The rows must be where their ids say that they are.
        let is_in_order = order.is_some_and(|order| Ranges::of(&new, order).is_some());
        if is_too_short || is_too_long || !is_in_order {
            return Ok(None);
        }
        let written = self
            .writer
            .write_directory(new.chunks, fetched_at, stored, claimed);
        written.await.map(Some)
    }

    /// Logs once a day that each change costs the whole list.
    async fn log_whole(&self, why: &str) {
        if !self.lease.queue.is_first_of_the_day("whole-list").await {
            return;
        }
        let message = format!("each change fetches the whole list, because {why}");
        log::event(event::WHOLE_LIST, message).emit();
    }
}

/// The list that these chunks make up.
fn joined(cuts: &[Cut]) -> Vec<u8> {
    let mut list = vec![b'['];
    for (at, cut) in cuts.iter().enumerate() {
        if at > 0 && cut.rows() > 0 {
            list.push(b',');
        }
        list.extend_from_slice(&cut.content);
    }
    list.push(b']');
    list
}
