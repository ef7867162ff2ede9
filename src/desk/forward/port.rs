//! What the desk and whoever sends to another broker have of each other.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::records;
use crate::ledger::{Space, StoreReader};
use crate::metrics::Count;
use crate::wire::Millis;
use crate::wire::message::Message;

/// Says which messages leave, and as what. Its filters say which may.
pub trait ForwardTarget: fmt::Debug + Send + Sync + 'static {
    /// The message as the other side is to have it; `None` if it is not to have it.
    fn export(&self, message: &Message, now: Millis) -> Option<Message>;
}

/// What becomes of a message for a queue that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueFullRule {
    /// Its publisher is refused, and nobody gets it.
    Refuse,
    /// The oldest in the queue give way.
    DropOldest,
    /// The other side misses it.
    DropNewest,
}

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardLimits {
    /// Messages.
    pub max_messages: u64,
    /// Their bytes.
    pub max_bytes: u64,
    /// What becomes of more.
    pub when_full: QueueFullRule,
    /// Messages that the other side will not have and that are kept; beyond it the oldest go.
    pub max_dead: usize,
}

/// One queue.
#[derive(Debug, Clone)]
pub struct ForwardSettings {
    /// Its name, under which it is found again after a restart; no null characters.
    pub name: Arc<str>,
    /// Every message that may leave matches one of these.
    pub filters: Vec<Arc<str>>,
    /// What leaves, and as what.
    pub target: Arc<dyn ForwardTarget>,
    /// How much may wait.
    pub limits: ForwardLimits,
}

/// What one queue holds and has refused.
#[derive(Debug, Default)]
pub struct ForwardStats {
    /// Messages that wait.
    pub messages: Count,
    /// Their bytes.
    pub bytes: Count,
    /// Publishes refused because it was full.
    pub refused: Count,
    /// Messages that gave way to newer ones.
    pub dropped_oldest: Count,
    /// Messages that it had no room for.
    pub dropped_newest: Count,
    /// Messages that the other side will not have, and that are kept.
    pub dead: Count,
    /// Of those, the ones that are kept no longer.
    pub dead_forgotten: Count,
}

/// Which messages there are to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForwardBounds {
    /// The oldest that is kept.
    pub first: u64,
    /// One after the newest that is on disk.
    pub next: u64,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardEntry {
    /// Its number in its queue; they count up, and on over restarts.
    pub seq: u64,
    /// When it came.
    pub at: Millis,
    /// As the other side is to have it.
    pub message: Message,
}

/// A message that the other side will not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message.
    pub entry: ForwardEntry,
    /// Why, in a word.
    pub reason: &'static str,
}

/// A queue as its sender sees it.
pub struct ForwardPort {
    pub(super) name: Arc<str>,
    pub(super) reader: Box<dyn StoreReader>,
    pub(super) bounds: watch::Receiver<ForwardBounds>,
    pub(super) stats: Arc<ForwardStats>,
}

impl fmt::Debug for ForwardPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardPort")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The queue cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the queue cannot be read: {0}")]
pub struct ForwardReadError(String);

impl ForwardPort {
    /// The queue's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Which messages there are to read, now and whenever that changes.
    pub fn bounds(&self) -> watch::Receiver<ForwardBounds> {
        self.bounds.clone()
    }

    /// What the queue holds.
    pub fn stats(&self) -> Arc<ForwardStats> {
        self.stats.clone()
    }

    /// Reads messages from this number on: not more than `most`, and none after those that make
    /// up so many bytes. Blocks.
    ///
    /// # Errors
    /// If the ledger or an entry cannot be read.
    pub fn read(
        &self,
        from: u64,
        most: u64,
        bytes: usize,
    ) -> Result<Vec<ForwardEntry>, ForwardReadError> {
        let (first, end) = (
            records::entries_from(&self.name, from),
            records::entries_from(&self.name, from.saturating_add(most)),
        );
        let (mut found, mut read, mut failed) = (Vec::new(), 0, None);
        let visit = &mut |key: &[u8], value: &[u8]| {
            let entry = match (records::read_key(key), records::read_entry(value)) {
                (Some((_, records::ForwardKey::Entry { seq, .. })), Some((at, message))) => {
                    ForwardEntry { seq, at, message }
                }
                _ => {
                    failed = Some(format!("unreadable entry under {}", key.escape_ascii()));
                    return ControlFlow::Break(());
                }
            };
            read += entry.message.size();
            found.push(entry);
            match read < bytes {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        self.reader
            .range(Space::Bridge, &first, &end, visit)
            .map_err(|error| ForwardReadError(error.to_string()))?;
        failed.map_or(Ok(found), |reason| Err(ForwardReadError(reason)))
    }
}
