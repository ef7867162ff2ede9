//! Which lines about clients are worth the log: one a minute of each client and kind, and not more
//! than so many of each kind.
//!
//! Those who have proved who they are and those who have not have budgets apart: however many
//! strangers call, what is said of users stays readable. A line that is not worth the log is a line
//! at `debug`, is counted, and is summed up once a minute. It writes nothing itself but that sum;
//! `runtime` has it turn its page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::metrics::{Count, MetricSet, Scrape};

/// How long a line stands for its client and kind.
pub const PAGE: Duration = Duration::from_secs(60);
/// The longest name that is remembered, in bytes; longer ones share a line with those that begin
/// alike.
const MAX_NAME_BYTES: usize = 128;

/// Whom a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// Somebody whom the gateway has let in, and who has proved who it is if clients must.
    Client,
    /// Anybody else.
    Stranger,
}

impl About {
    /// In words, for several.
    pub fn name(self) -> &'static str {
        match self {
            About::Client => "clients",
            About::Stranger => "strangers",
        }
    }
}

/// What one minute has said of one kind.
#[derive(Debug, Default)]
struct Entries {
    named: BTreeSet<Box<str>>,
    more: u64,
}

/// Lines of a kind that were not written in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwritten {
    /// About whom.
    pub about: About,
    /// Of which kind.
    pub kind: &'static str,
    /// How many.
    pub lines: u64,
}

/// See the module. Kinds are few, and names of the program's own, so it holds at most `max_lines`
/// names for each.
#[derive(Debug)]
pub struct LogLimiter {
    max_lines: AtomicUsize,
    page: Mutex<BTreeMap<(About, &'static str), Entries>>,
    /// Lines that were not written at their level.
    pub unwritten: Count,
}

impl Default for LogLimiter {
    fn default() -> LogLimiter {
        LogLimiter::new(100)
    }
}

impl MetricSet for LogLimiter {
    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let help = "Log lines about clients that were lines at debug, because there were such lines enough that minute.";
        scrape.counter("log_lines_limited", help, &self.unwritten)
    }
}

impl LogLimiter {
    /// One with so many lines a minute for each kind, about clients and again about strangers.
    pub fn new(max_lines: usize) -> LogLimiter {
        LogLimiter {
            max_lines: AtomicUsize::new(max_lines),
            page: Mutex::default(),
            unwritten: Count::default(),
        }
    }

    /// Another number of lines from now on.
    pub fn set_max_lines(&self, max_lines: usize) {
        self.max_lines.store(max_lines, Ordering::Relaxed);
    }

    /// Whether a line of this kind about this client (or this address) is worth the log now.
    pub fn admits(&self, about: About, kind: &'static str, name: &str) -> bool {
        let name = shortened(name);
        let max_lines = self.max_lines.load(Ordering::Relaxed);
        let mut page = self.page();
        let entries = page.entry((about, kind)).or_default();
        let admitted = !entries.named.contains(name) && entries.named.len() < max_lines;
        if admitted {
            entries.named.insert(name.into());
        } else {
            entries.more += 1;
            self.unwritten.add_one();
        }
        admitted
    }

    /// Begins a new minute; what the last one left out.
    pub fn turn(&self) -> Vec<Unwritten> {
        let page = std::mem::take(&mut *self.page());
        let left_out = page.into_iter().filter(|(_, entries)| entries.more > 0);
        left_out
            .map(|((about, kind), entries)| Unwritten {
                about,
                kind,
                lines: entries.more,
            })
            .collect()
    }

    /// Begins a new minute, and says what the last one left out.
    pub fn sum_up(&self) {
        for Unwritten { about, kind, lines } in self.turn() {
            let about = about.name();
            tracing::info!(
                kind,
                about,
                lines,
                "further lines of this kind in the last minute"
            );
        }
    }

    fn page(&self) -> MutexGuard<'_, BTreeMap<(About, &'static str), Entries>> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As much of a client id as is remembered and shown.
pub fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME_BYTES)]
}

/// A topic as a log line shows it: not too long, and with nothing that a terminal would act on.
pub fn shown(topic: &str) -> String {
    let mut text: String = topic.chars().take(MAX_NAME_BYTES).collect();
    if text.len() < topic.len() {
        text.push('…');
    }
    format!("{text:?}")
}

/// A line at its level if the limiter has admitted it, else at `debug`.
macro_rules! limited {
    ($level:ident, $admitted:expr, $($line:tt)+) => {
        if $admitted {
            tracing::$level!($($line)+)
        } else {
            tracing::debug!($($line)+)
        }
    };
}
pub(crate) use limited;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_fills_one_line_a_minute_of_each_kind() {
        let log_limiter = LogLimiter::default();
        let admits = |kind, name| log_limiter.admits(About::Client, kind, name);
        assert!(admits("lost", "a"));
        assert!(!admits("lost", "a"));
        assert!(admits("lost", "b"));
        assert!(admits("too_large", "a"), "of another kind");
        assert!(!admits("too_large", "a"));
        assert!(!admits("lost", "a"));
        let left_out = |kind, lines| Unwritten {
            about: About::Client,
            kind,
            lines,
        };
        assert_eq!(
            log_limiter.turn(),
            [left_out("lost", 2), left_out("too_large", 1)]
        );
        assert!(
            log_limiter.admits(About::Client, "lost", "a"),
            "a new minute"
        );
        assert_eq!(log_limiter.turn(), []);
        assert_eq!(log_limiter.unwritten.value(), 3);
    }

    #[test]
    fn strangers_use_up_their_own_lines_and_no_memory() {
        let log_limiter = LogLimiter::new(10);
        for n in 0..1000 {
            let admitted = log_limiter.admits(About::Stranger, "credentials", &n.to_string());
            assert_eq!(admitted, n < 10, "{n}");
        }
        assert!(log_limiter.admits(About::Client, "credentials", "ann"));
        assert!(log_limiter.admits(About::Stranger, "version", "ann"));
        let held: usize = log_limiter
            .page()
            .values()
            .map(|entries| entries.named.len())
            .sum();
        assert_eq!(held, 12);
        assert_eq!(log_limiter.turn()[0].lines, 990);
    }

    #[test]
    fn long_names_are_cut_where_a_letter_ends() {
        assert_eq!(shortened(&"é".repeat(100)).chars().count(), 64);
        assert_eq!(shortened("ann"), "ann");
    }
}
