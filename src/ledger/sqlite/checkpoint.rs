//! Copying the write-ahead log back into the database without holding up commits.
//!
//! It owns a thread with its own connection. It never writes rows. The store calls it when the log
//! has grown, and takes turns with it for the last bit.
//!
//! A checkpoint that runs beside the commits can never finish: the log grows while it copies, and
//! only a log that was copied completely starts over. So it goes in two steps. First the bulk,
//! while commits go on, followed by a sync of the database through a handle of our own, so that
//! those pages need no second one. When only a short tail is left, commits wait for that one copy
//! of at most a megabyte or so, and the next commit starts the log over in place.
//!
//! While there is nothing else to do, what a burst left behind is given back, too: then the log is
//! cut to nothing instead, unless a reader is at it.
//!
//! The extra handle is closed after the connections: closing any handle of a file ends the POSIX
//! locks that the process holds on it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

/// A tail this short is copied while commits wait.
pub(super) const TAIL_PAGES: u64 = 256;
/// If commits outrun the copying this often in a row, they wait for whatever is left: that bounds
/// the log.
const ROUNDS: usize = 4;

/// Where the log stands, in pages.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WalFrames {
    pub(super) log: u64,
    pub(super) copied: u64,
}

impl WalFrames {
    pub(super) fn left(self) -> u64 {
        self.log.saturating_sub(self.copied)
    }
}

/// Reads the log's length; copies nothing.
pub(super) fn frames(connection: &Connection) -> Result<WalFrames, rusqlite::Error> {
    checkpoint(connection, "PRAGMA wal_checkpoint(NOOP)")
}

/// Copies what no reader needs any more; waits for nobody.
pub(super) fn passive(connection: &Connection) -> Result<WalFrames, rusqlite::Error> {
    checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")
}

/// Copies everything and empties the log file.
pub(super) fn truncate(connection: &Connection) -> Result<WalFrames, rusqlite::Error> {
    checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
}

fn checkpoint(connection: &Connection, pragma: &str) -> Result<WalFrames, rusqlite::Error> {
    connection.prepare_cached(pragma)?.query_row((), |row| {
        let pages = |column| {
            row.get::<_, i64>(column)
                .map(|pages| u64::try_from(pages).unwrap_or(0))
        };
        Ok(WalFrames {
            log: pages(1)?,
            copied: pages(2)?,
        })
    })
}

/// The store's side. Dropping it ends the thread and waits for it.
#[derive(Debug)]
pub(super) struct Checkpointer {
    calls: Option<SyncSender<()>>,
    turn: Arc<Mutex<()>>,
    cut: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn spawn(
        connection: Connection,
        database: Arc<File>,
        path: PathBuf,
    ) -> io::Result<Self> {
        // Whoever reads is not waited for: the next call tries again.
        connection
            .busy_timeout(Duration::ZERO)
            .map_err(io::Error::other)?;
        let (calls, called) = sync_channel(1);
        let turn = Arc::new(Mutex::new(()));
        let cut = Arc::new(AtomicBool::new(false));
        let worker = CheckpointWorker {
            connection,
            database,
            turn: Arc::clone(&turn),
            cut: Arc::clone(&cut),
            failing: false,
        };
        let thread = std::thread::Builder::new()
            .name("checkpointer".into())
            .spawn(move || worker.run(&called, &path))?;
        Ok(Self {
            calls: Some(calls),
            turn,
            cut,
            thread: Some(thread),
        })
    }

    /// Asks for a checkpoint. Never waits; a call while one is pending is that one.
    pub(super) fn call(&self) {
        if let Some(calls) = &self.calls {
            // Full: it will run anyway. Closed: the hard limit takes over.
            let _ = calls.try_send(());
        }
    }

    /// The same, and the log's file is to be cut to nothing.
    pub(super) fn call_to_cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.call();
    }

    /// Waits until what it was called for is done.
    #[cfg(test)]
    pub(super) fn settle(&self) {
        let calls = self.calls.as_ref().unwrap();
        // The one before is taken once the second has a place, and done once the third has.
        (0..3).for_each(|_| calls.send(()).unwrap());
    }

    /// Held for the length of a commit.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpointer's thread panicked");
        }
    }
}

struct CheckpointWorker {
    connection: Connection,
    database: Arc<File>,
    turn: Arc<Mutex<()>>,
    /// The next checkpoint is to cut the log's file.
    cut: Arc<AtomicBool>,
    failing: bool,
}

impl CheckpointWorker {
    fn run(mut self, called: &Receiver<()>, path: &Path) {
        while called.recv().is_ok() {
            match self.checkpoint() {
                Ok(()) => self.failing = false,
                // The log keeps everything, so nothing is lost: said once, tried again at the next
                // call.
                Err(error) if !self.failing => {
                    self.failing = true;
                    tracing::warn!(%error, path = %path.display(), "checkpoint failed, the write-ahead log grows");
                }
                Err(_) => {}
            }
        }
    }

    fn checkpoint(&self) -> Result<(), rusqlite::Error> {
        for _ in 0..ROUNDS {
            passive(&self.connection)?;
            // Only to spare the tail the work: the checkpoint that completes the log syncs on its
            // own account.
            let _ = self.database.sync_data();
            if frames(&self.connection)?.left() <= TAIL_PAGES {
                break;
            }
        }
        let cut = self.cut.swap(false, Ordering::AcqRel);
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if cut {
            // A reader that is at it is told of as such, and leaves all as it is.
            return truncate(&self.connection).map(|_| ());
        }
        passive(&self.connection).map(|_| ())
    }
}
