//! Where log lines go: a bounded queue, and one thread that writes them.
//!
//! Nobody who logs ever waits for whoever reads: a line that there is no room for, or that cannot
//! be written, is counted and gone. So a full disk, a closed descriptor or a pipe that nobody reads
//! costs log lines and nothing else. `cli` opens it once for the process; the metrics show what was
//! lost.

use std::fmt;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::log_limiter::{LogLimiter, PAGE};
use crate::metrics::{Scrape, labelled};

/// How long the end of the process waits for a writer that makes no progress.
const PATIENCE: Duration = Duration::from_millis(250);

labelled! {
    /// Lines that were not written.
    pub struct LostLines by "reason" {
        /// Too much waited already.
        full,
        /// The system refused them.
        failed,
    }
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines taken so far, for whoever waits for the last.
    written: u64,
    writing: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    max_bytes: usize,
    lost: LostLines,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Vec<u8> {
        let mut queue = self.queue();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len();
                queue.writing = true;
                return line;
            }
            let waiting = self.changed.wait(queue);
            queue = waiting.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self) {
        let mut queue = self.queue();
        queue.written += 1;
        queue.writing = false;
        drop(queue);
        self.changed.notify_all();
    }
}

/// Takes whole lines from whoever has one.
#[derive(Debug, Clone)]
pub struct LogOutlet(Arc<Shared>);

static OF_PROCESS: OnceLock<LogOutlet> = OnceLock::new();

impl LogOutlet {
    /// Starts a thread that writes what it is given, with so many bytes waiting at most.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn open(mut to: impl Write + Send + 'static, max_bytes: usize) -> io::Result<LogOutlet> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            max_bytes,
            lost: LostLines::default(),
        });
        let own = Arc::clone(&shared);
        let write = move || {
            let mut told = 0;
            loop {
                let line = own.next();
                match to.write_all(&line).and_then(|()| to.flush()) {
                    Ok(()) => told = tell(&own.lost, told),
                    Err(_) => own.lost.failed.add_one(),
                }
                own.done();
            }
        };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(write)?;
        Ok(LogOutlet(shared))
    }

    /// The same on standard error, once for the process.
    ///
    /// # Errors
    /// If there is no descriptor or no thread left.
    pub fn of_process(max_bytes: usize) -> io::Result<LogOutlet> {
        if let Some(open) = OF_PROCESS.get() {
            return Ok(open.clone());
        }
        // A descriptor of its own: nobody else waits for the lock of standard error while this one
        // waits for a reader.
        let descriptor = std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned()?;
        let opened = LogOutlet::open(std::fs::File::from(descriptor), max_bytes)?;
        Ok(OF_PROCESS.get_or_init(|| opened).clone())
    }

    /// Lines lost so far.
    pub fn lost(&self) -> &LostLines {
        &self.0.lost
    }

    /// Waits until all is written, as long as that makes progress.
    pub fn settle(&self) {
        let mut queue = self.0.queue();
        while queue.writing || !queue.lines.is_empty() {
            let before = queue.written;
            let waited = self.0.changed.wait_timeout(queue, PATIENCE);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() && after.written == before {
                return;
            }
            queue = after;
        }
    }
}

/// Says once a minute what the log limiter has left out.
pub(super) async fn sum_up(log_limiter: Arc<LogLimiter>) {
    let mut minutes = tokio::time::interval(PAGE);
    // The first comes at once.
    minutes.tick().await;
    loop {
        minutes.tick().await;
        log_limiter.sum_up();
    }
}

/// Says how many lines are missing, once one can be written again; how many were told of.
fn tell(lost: &LostLines, told: u64) -> u64 {
    let missing = lost.full.value() + lost.failed.value();
    if missing > told {
        tracing::warn!(lines = missing - told, "log lines could not be written");
    }
    missing
}

/// Shows what the log of this process lost.
pub(super) fn encode_lost_lines(scrape: &mut Scrape<'_>) -> fmt::Result {
    let (none, help) = (LostLines::default(), "Log lines that were not written.");
    let lost = OF_PROCESS.get().map_or(&none, LogOutlet::lost);
    scrape.counter("log_lines_lost", help, lost)
}

/// Takes lines; never fails and never waits.
impl Write for LogOutlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut queue = self.0.queue();
        if queue.bytes + line.len() > self.0.max_bytes {
            self.0.lost.full.add_one();
        } else {
            queue.bytes += line.len();
            queue.lines.push_back(line.to_vec());
        }
        drop(queue);
        self.0.changed.notify_all();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Writes when it is told to, as it is told.
    struct Slow {
        may: Receiver<bool>,
        wrote: Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            match self.may.recv() {
                Ok(true) => {
                    let _ = self.wrote.send(line.to_vec());
                    Ok(line.len())
                }
                _ => Err(io::ErrorKind::StorageFull.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_waits_for_nobody_and_what_is_lost_is_counted() {
        let (allow, may) = channel();
        let (wrote, written) = channel();
        let mut outlet = LogOutlet::open(Slow { may, wrote }, 6).expect("a thread");
        let mut say = |line: &[u8]| outlet.write_all(line).expect("it never fails");
        // The first is on its way to a writer that stands still; whether two or three more fit in
        // depends on when it was taken.
        for line in [b"a\n", b"b\n", b"c\n", b"d\n", b"e\n"] {
            say(line);
        }
        let full = outlet.lost().full.value();
        assert!((1..=2).contains(&full), "{full}");
        outlet.settle();
        for may in [true, false, true, true] {
            let _ = allow.send(may);
        }
        assert_eq!(written.recv().expect("written"), b"a\n");
        assert_eq!(written.recv().expect("after one that failed"), b"c\n");
        drop(allow);
        outlet.settle();
        assert!(outlet.lost().failed.value() >= 1);
    }
}
