//! What everybody did and saw, in one order.
//!
//! Actors write it, `check` reads it; it judges nothing.

use std::fmt;

/// What happened to one thing: a message of a stream, a task, a key, an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A PUBLISH went out, for the first time or again.
    Sent { qos: u8 },
    /// The gateway answers for it: PUBACK, or PUBCOMP.
    Acked,
    /// The gateway refused it although it had no reason to.
    Refused { code: u8 },
    /// From here on, `who` must get every message of the stream. A clean session is told nothing
    /// about repeats.
    Listens { clean: bool },
    /// A message of the stream came.
    Delivered { qos: u8, dup: bool },
    /// The writer's value is acknowledged; `None` cleared it.
    RetainedAcked { value: Option<u64> },
    /// What a newcomer found.
    RetainedFound { value: Option<u64> },
    /// A worker sent the end of an attempt.
    Finished { attempt: u32 },
    /// A final result came.
    Result {
        worker: String,
        attempts: u32,
        outcome: String,
        delivery: Delivery,
    },
    /// A writer was told that its command made this version.
    Written { id: String, version: u64 },
    /// A version of a key was shown.
    Shown {
        id: String,
        version: u64,
        delivery: Delivery,
    },
    /// An approver sent its word.
    Voted { approve: bool },
    /// A decision came.
    Decision {
        by: Vec<String>,
        approved: bool,
        delivery: Delivery,
    },
    /// The gateway was killed.
    Killed,
    /// An actor saw at once that something was wrong.
    Wrong(String),
}

/// How a message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) qos: u8,
    pub(super) dup: bool,
    /// The receiver asked for a new session each time: it cannot be told that something is a
    /// repeat.
    pub(super) clean: bool,
}

impl Delivery {
    /// Whether a repeat of what came before is allowed to come like this.
    pub(super) fn may_repeat(self) -> bool {
        self.clean || (self.qos == 1 && self.dup)
    }
}

/// One line of the history.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// Who did or saw it.
    pub(super) who: String,
    /// The stream, topic, task, key or approval.
    pub(super) subject: String,
    /// Which message of a stream; 0 elsewhere.
    pub(super) n: u64,
    pub(super) what: What,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.n {
            0 => write!(f, "{:8} {} {:?}", self.who, self.subject, self.what),
            n => write!(f, "{:8} {}#{n} {:?}", self.who, self.subject, self.what),
        }
    }
}

/// The last lines that concern one thing, with the kills between them.
pub(super) fn timeline(history: &[Event], subject: &str, n: u64) -> String {
    const LINES: usize = 30;
    let concerns = |event: &&(usize, &Event)| {
        event.1.what == What::Killed
            || (event.1.subject == subject && (event.1.n == n || event.1.n == 0))
    };
    let numbered: Vec<(usize, &Event)> = history.iter().enumerate().collect();
    let mut lines: Vec<&(usize, &Event)> = Vec::new();
    for line in numbered.iter().filter(concerns) {
        // Of kills in a row one is enough.
        if line.1.what == What::Killed
            && lines.last().is_some_and(|last| last.1.what == What::Killed)
        {
            lines.pop();
        }
        lines.push(line);
    }
    let skipped = lines.len().saturating_sub(LINES);
    lines[skipped..]
        .iter()
        .map(|(at, event)| format!("    {at:7} {event}\n"))
        .collect()
}
