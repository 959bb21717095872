//! Checkpoints: what SQLite has committed to its log, copied into the database file.
//!
//! Left to itself, the connection whose commit finds the log long copies it on the spot, and everybody waits for as long
//! as the disk takes. Here a thread with a connection of its own copies it while the writer goes on. What the writer
//! has added meanwhile is little: it copies that itself between two batches, after which its next transaction begins the
//! log anew. Without that last step the log would grow for as long as there is always somebody writing.
//!
//! SQLite syncs the database only when a copy has reached the end of the log: that would be the writer's, who would wait
//! for all the pages that the thread has copied before. So the thread syncs what it copies, and leaves little of that too.

use std::{
    cell::Cell,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rusqlite::Connection;

use super::sqlite_file::SqliteFile;
use crate::base::metrics::WriterMetrics;

/// Pages, of 4 KiB each, that the log grows by before it is copied. The more there are, the more of them are one page
/// again and again, which is copied once; the fewer, the sooner a copy is done.
const PAGES: i32 = 10_000;
/// Pages that it may grow by while it is copied; from there on the writer waits, so that the log has a bound.
const PAGES_MEANWHILE: i32 = PAGES;
/// Pages at which any other connection that commits copies the log: more than the above, so that it happens only where
/// no batches are written.
pub(super) const PAGES_ELSEWHERE: i32 = 4 * PAGES;
/// What was added during a copy is copied again, in a shorter time; so many pages are few enough for the writer.
const FEW_PAGES: i32 = 200;
/// Copies in a row at most.
const COPIES: usize = 4;
/// Pages, 160 MiB of them, that a reader may keep in the log before the server warns of it.
const PAGES_RETAINED: i32 = 4 * PAGES;
/// Bytes of a page, and of its head in the log.
const PAGE_BYTES: i64 = 4_096 + 24;

thread_local! {
    /// The log's pages after the last commit of this thread. SQLite tells a function, which has nowhere else to put it.
    static LOG_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// The checkpoints of one file, ordered by the thread that writes it.
pub(super) struct Checkpoints {
    thread: Option<Copier>,
    /// Whether the thread is at work.
    ordered: bool,
    /// Pages of the log at which it is copied next.
    due: i32,
    metrics: WriterMetrics,
    /// Whether the server has warned of a reader that keeps the log long, since it was short again.
    has_warned: bool,
}

struct Copier {
    orders: SyncSender<()>,
    done: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// Starts a thread that copies by `own`, a connection to `file`, and syncs that file. The connection stays open for as
    /// long as this lives: with the last connection SQLite would remove the log.
    pub(super) fn start(own: Connection, file: Arc<SqliteFile>, metrics: WriterMetrics) -> io::Result<Self> {
        let (orders, ordered) = sync_channel(1);
        let (finished, done) = sync_channel(1);
        let work = move || {
            while ordered.recv().is_ok() {
                let mut before = 0;
                for _ in 0..COPIES {
                    let Copied { log, .. } = copy(&own);
                    if log - std::mem::replace(&mut before, log) <= FEW_PAGES {
                        break;
                    }
                }
                // A fault is SQLite's to find: its own sync, through its own descriptor, is told of it too, and the log
                // stays as it is.
                if let Err(error) = file.sync() {
                    tracing::warn!(%error, "could not sync the database");
                }
                // Nobody waits for it any more when the writer has ended.
                _ = finished.try_send(());
            }
        };
        let thread = thread::Builder::new().name("parlor-checkpoint".to_owned()).spawn(work)?;
        let thread = Some(Copier { orders, done, thread });
        Ok(Self { thread, ordered: false, due: PAGES, metrics, has_warned: false })
    }

    /// Watches the commits of `writer`, on the thread that commits.
    pub(super) fn watch(writer: &Connection) {
        writer.wal_hook(Some(|_, pages| {
            LOG_PAGES.set(pages);
            Ok(())
        }));
    }

    /// Does what is due. To be called by the writer's thread between two transactions.
    pub(super) fn between_batches(&mut self, writer: &Connection) {
        let Some(copier) = &self.thread else { return };
        let pages = LOG_PAGES.get();
        self.metrics.wal_bytes.set(i64::from(pages) * PAGE_BYTES);
        if !self.ordered {
            self.ordered = pages >= self.due && copier.orders.try_send(()).is_ok();
        } else if pages >= self.due + PAGES_MEANWHILE && copier.done.recv().is_ok() || copier.done.try_recv().is_ok() {
            self.ordered = false;
            self.copy_now(writer);
        }
    }

    /// Copies the log by `writer`. What a reader still needs stays, and counts from here on.
    pub(super) fn copy_now(&mut self, writer: &Connection) {
        let Copied { log, pages } = copy(writer);
        let retained = log - pages;
        self.due = retained + PAGES;
        self.metrics.wal_retained_bytes.set(i64::from(retained) * PAGE_BYTES);
        let is_long = retained > PAGES_RETAINED;
        if is_long && !self.has_warned {
            tracing::warn!(
                bytes = i64::from(retained) * PAGE_BYTES,
                "a reader of the SQLite file keeps its write-ahead log from being reused; look for other programs that \
                 have the file open"
            );
        }
        self.has_warned = is_long;
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        if let Some(Copier { orders, thread, .. }) = self.thread.take() {
            drop(orders);
            // A panic there has been reported there.
            _ = thread.join();
        }
    }
}

/// What a copy found.
struct Copied {
    /// Pages of the log when it began.
    log: i32,
    /// How many of them are in the database now.
    pages: i32,
}

/// Copies what no reader and no writer is in the way of.
fn copy(connection: &Connection) -> Copied {
    let copied = |row: &rusqlite::Row<'_>| Ok(Copied { log: row.get(1)?, pages: row.get(2)? });
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], copied).unwrap_or_else(|error| {
        tracing::warn!(%error, "could not copy the log into the database; it grows until that succeeds");
        Copied { log: LOG_PAGES.get(), pages: 0 }
    })
}
