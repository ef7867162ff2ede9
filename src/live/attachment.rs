//! A link together with what is subscribed on it: the part of a subscriber that is exchanged when a
//! router is.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::router::{Gone, Link, Notice};
use super::subscriptions::LinkSubscriptions;
use super::traffic::WantedFilter;

pub(super) struct Attachment {
    pub(super) generation: u64,
    pub(super) link: Link,
    pub(super) subscriptions: LinkSubscriptions,
}

/// What reading a notice meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// A message, wanted or not.
    Message,
    /// A full buffer came to its end; the router has been asked for more.
    Backlog,
    /// A ping came back.
    Pong,
    /// Nothing that concerns the reader.
    Other,
}

impl Attachment {
    pub(super) fn new(generation: u64, link: Link) -> Self {
        Self {
            generation,
            link,
            subscriptions: LinkSubscriptions::default(),
        }
    }

    /// Subscribes to all `filters` and waits until the router has confirmed them; gives back what
    /// came meanwhile.
    pub(super) async fn subscribe_all(
        &mut self,
        filters: &[Arc<WantedFilter>],
    ) -> Result<VecDeque<Bytes>, Gone> {
        let mut early = VecDeque::new();
        for filter in filters {
            self.ask_for(filter)?;
        }
        while !self.subscriptions.all_confirmed() {
            let notice = self.link.next().await?;
            self.read(notice, &mut early)?;
        }
        Ok(early)
    }

    /// Subscribes to a filter unless that was done before. The confirmation comes as a notice.
    pub(super) fn ask_for(&mut self, wanted: &Arc<WantedFilter>) -> Result<(), Gone> {
        if let Some(slot) = self.subscriptions.add(wanted) {
            let packet_id = self.link.subscribe(&wanted.filter, slot)?;
            self.subscriptions.asked(slot, packet_id);
        }
        Ok(())
    }

    pub(super) fn drop_filter(&mut self, filter: &str) -> Result<(), Gone> {
        if self.subscriptions.remove(filter) {
            self.link.unsubscribe(filter)
        } else {
            Ok(())
        }
    }

    /// Makes the subscriptions those of `filters`.
    pub(super) fn reconcile(&mut self, filters: &[Arc<WantedFilter>]) -> Result<(), Gone> {
        let surplus: Vec<String> = self
            .subscriptions
            .filters()
            .filter(|filter| !filters.iter().any(|wanted| wanted.filter == *filter))
            .map(str::to_owned)
            .collect();
        for filter in surplus {
            self.drop_filter(&filter)?;
        }
        for wanted in filters {
            self.ask_for(wanted)?;
        }
        Ok(())
    }

    /// Takes in a notice; frames go to `ready`.
    pub(super) fn read(
        &mut self,
        notice: Notice,
        ready: &mut VecDeque<Bytes>,
    ) -> Result<Heard, Gone> {
        match notice {
            Notice::Message {
                slot,
                offset,
                topic,
                payload,
            } => {
                ready.extend(self.subscriptions.accept(slot, offset, &topic, &payload));
                Ok(Heard::Message)
            }
            Notice::Paused => {
                self.link.resume()?;
                Ok(Heard::Backlog)
            }
            Notice::Subscribed(packet_id) => {
                self.subscriptions.confirm(packet_id);
                Ok(Heard::Other)
            }
            Notice::Pong => Ok(Heard::Pong),
            Notice::Nothing => Ok(Heard::Other),
        }
    }
}
