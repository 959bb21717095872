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
    fs::File,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rusqlite::Connection;

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
}

struct Copier {
    orders: SyncSender<()>,
    done: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// Watches the commits of `writer`, and starts a thread that copies by `own`, a connection to the same file, and
    /// syncs `file`, which is that file.
    pub(super) fn of(writer: &Connection, own: Connection, file: Arc<File>) -> io::Result<Self> {
        writer.wal_hook(Some(|_, pages| {
            LOG_PAGES.set(pages);
            Ok(())
        }));
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
                if let Err(error) = file.sync_data() {
                    tracing::warn!(%error, "could not sync the database");
                }
                // Nobody waits for it any more when the writer has ended.
                _ = finished.try_send(());
            }
        };
        let thread = thread::Builder::new().name("parlor-checkpoint".to_owned()).spawn(work)?;
        Ok(Self { thread: Some(Copier { orders, done, thread }), ordered: false, due: PAGES })
    }

    /// Does what is due. To be called by the writer's thread between two transactions.
    pub(super) fn between_batches(&mut self, writer: &Connection) {
        let Some(copier) = &self.thread else { return };
        let pages = LOG_PAGES.get();
        if !self.ordered {
            self.ordered = pages >= self.due && copier.orders.try_send(()).is_ok();
        } else if pages >= self.due + PAGES_MEANWHILE && copier.done.recv().is_ok() || copier.done.try_recv().is_ok() {
            self.ordered = false;
            // What a reader still needs stays, and counts from here on.
            let Copied { log, pages } = copy(writer);
            self.due = log - pages + PAGES;
        }
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
