//! What leaves for other brokers: one durable first-in-first-out queue for each.
//!
//! A message that a queue wants joins the batch that has everything else of its publish, so that
//! the publisher's acknowledgement means both. It leaves the ledger when whoever sends says that
//! the other side has it. The backlog lies on disk: of each message that waits, four bytes are in
//! memory here. Who sends, and how, is not known here: that reads through a [`ForwardPort`] of its
//! own, beside the desk, and says how far it has come with a request.

pub(super) mod port;
mod queue;
mod records;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

pub use port::{
    DeadLetter, ForwardBounds, ForwardEntry, ForwardLimits, ForwardPort, ForwardSettings,
    ForwardStats, ForwardTarget, QueueFullRule,
};

use super::commits::Commits;
use super::error::RecoverError;
use super::interest::{InterestIndex, InterestKind};
use super::records::DeskRecordError;
use super::settings::DeskSettings;
use crate::ledger::{Space, Store, StoreError};
use crate::log_limiter::limited;
use crate::wire::Millis;
use crate::wire::message::{Message, Qos};
use queue::{Appended, ForwardQueue};
use records::ForwardKey;

/// All queues. See the module.
#[derive(Debug, Default)]
pub(super) struct ForwardQueues {
    queues: Vec<ForwardQueue>,
}

/// A message as one of the queues wants it, by the queue's place.
pub(super) type Export = (usize, Message);

impl ForwardQueues {
    /// Opens queues for these, empty until `recover`; what their filters match comes to the desk
    /// from now on.
    ///
    /// # Errors
    /// Whatever opening a way in for a reader meets.
    pub(super) fn open(
        &mut self,
        settings: Vec<ForwardSettings>,
        interest: &InterestIndex,
        store: &dyn Store,
    ) -> Result<Vec<ForwardPort>, StoreError> {
        let mut ports = Vec::new();
        for one in settings {
            let who: Arc<str> = format!("bridge {}", one.name).into();
            for filter in &one.filters {
                interest.add(InterestKind::Durably, filter, &who);
            }
            let (queue, port) = ForwardQueue::open(one, store.reader()?);
            self.queues.push(queue);
            ports.push(port);
        }
        Ok(ports)
    }

    /// Finds what earlier runs have left; reads keys and no messages.
    ///
    /// # Errors
    /// If the store or a key cannot be read.
    pub(super) fn recover(&mut self, store: &dyn Store) -> Result<(), RecoverError> {
        let mut strangers: BTreeMap<String, u64> = BTreeMap::new();
        let mut failed = None;
        let names: Vec<Arc<str>> = self.queues.iter().map(|q| q.name().clone()).collect();
        let reader = store.reader()?;
        reader.keys(Space::Bridge, &[], &[u8::MAX], &mut |key| {
            let Some((name, key_kind)) = records::read_key(key) else {
                failed = Some(DeskRecordError::new("bridge", Space::Bridge, key));
                return ControlFlow::Break(());
            };
            match names.iter().position(|known| **known == *name) {
                Some(at) => self.queues[at].restore(key_kind),
                None if matches!(key_kind, ForwardKey::Entry { .. }) => {
                    *strangers.entry(name.to_owned()).or_default() += 1;
                }
                None => {}
            }
            ControlFlow::Continue(())
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        for queue in &mut self.queues {
            let last = store.get(Space::Bridge, &records::counter_key(queue.name()))?;
            queue.recovered(last.as_deref().and_then(records::read_counter));
        }
        for (bridge, messages) in strangers {
            tracing::warn!(
                bridge,
                messages,
                "messages wait for a bridge that is not configured: they are kept"
            );
        }
        Ok(())
    }

    /// The message as each queue wants it; nothing of QoS 0.
    pub(super) fn exports(&self, message: &Message, now: Millis) -> Vec<Export> {
        if message.qos() == Qos::AtMostOnce {
            return Vec::new();
        }
        let queues = self.queues.iter().enumerate();
        let wanted = queues.filter_map(|(at, queue)| Some((at, queue.export(message, now)?)));
        wanted.collect()
    }

    /// The queue, if there is one, that is full and has its publishers refused.
    pub(super) fn refusing(&self, exports: &[Export]) -> Option<&Arc<str>> {
        let refuses = |(at, message): &&Export| self.queues[*at].refuses(message);
        let full = exports.iter().find(refuses)?;
        let queue = &self.queues[full.0];
        queue.stats().refused.add_one();
        Some(queue.name())
    }

    /// Takes what is wanted into the batch that fills.
    pub(super) fn append(
        &mut self,
        exports: Vec<Export>,
        now: Millis,
        settings: &DeskSettings,
        commits: &mut Commits,
    ) {
        for (at, message) in exports {
            let queue = &mut self.queues[at];
            let outcome = queue.append(&message, now, commits);
            if outcome != Appended::Whole {
                let (kind, bridge) = ("bridge_full", queue.name());
                let admitted = settings.admits(kind, bridge);
                let dropped = outcome.dropped();
                limited!(
                    warn,
                    admitted,
                    kind,
                    %bridge,
                    dropped,
                    "a bridge's queue is full: messages for it are dropped"
                );
            }
        }
    }

    /// The other side has everything below `done`; of that, the dead letters it will not have.
    pub(super) fn finish(
        &mut self,
        name: &str,
        done: u64,
        dead: Vec<DeadLetter>,
        now: Millis,
        commits: &mut Commits,
    ) {
        if let Some(queue) = self.queues.iter_mut().find(|q| **q.name() == *name) {
            queue.finish(done, dead, commits);
            // Nobody waits for it: what is sent again after a crash is sent twice.
            commits.note_lazily(now);
        }
    }

    /// A batch with all that was taken so far is sealed.
    pub(super) fn seal(&mut self, number: u64) {
        for queue in &mut self.queues {
            queue.seal(number);
        }
    }

    /// A batch is on disk, and with it all before it: what is in it may be read.
    pub(super) fn committed(&mut self, number: u64) {
        for queue in &mut self.queues {
            queue.committed(number);
        }
    }
}
