//! What a client has asked for by SUBSCRIBE and UNSUBSCRIBE and not been answered yet, in its order, and what waits for it.
//!
//! It keeps and bounds; `subscribing` asks and answers.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::desk::port::{Request, Subscription};
use crate::mqtt::codec::reason::Reason;
use crate::wire::filter::matches;
use crate::wire::message::Message;

/// SUBSCRIBEs and UNSUBSCRIBEs of one client that may await the desk at once; beyond, its socket is not read. The desk answers with
/// every commit, so a larger number would only let one client hold more; there is no key for it.
const MAX_AWAITED: usize = 16;

/// Live messages that wait for the SUBACK of the subscription that selects them; beyond it they are dropped and counted. Nobody was
/// promised them yet, so there is no key for it.
const MAX_EARLY: usize = 256;

/// Filters in all of these from which on nothing more is read.
const MAX_AWAITED_FILTERS: usize = 1024;

/// Filters that the desk is asked about at once. To find what is retained under each takes it a while; between two parts it
/// turns to others.
const FILTERS_AT_ONCE: usize = 8;

/// Something to be done in order, one after the other.
#[derive(Debug)]
pub(in crate::mqtt) enum Step {
    /// Subscribe on the live plane; `reliable` if what it carries must not be lost.
    Open { filter: Arc<str>, reliable: bool },
    /// Unsubscribe there.
    Close(Arc<str>),
    /// Then ask the desk.
    Ask(Box<Request>),
}

/// What was asked and not answered yet.
#[derive(Debug)]
pub(in crate::mqtt) enum Awaited {
    Suback(Suback),
    /// Per filter: asked of the desk, or no filter at all.
    Unsuback(u16, Vec<Option<Arc<str>>>),
    /// Offers that the client may not make any more; nobody waits for an answer.
    Withdrawn,
    /// Offers that it may make again.
    Restored(Vec<Subscription>),
}

/// A SUBSCRIBE under way. Per filter: what is to be asked of the desk, or why it is not.
#[derive(Debug)]
pub(in crate::mqtt) struct Suback {
    pub(in crate::mqtt) packet_id: u16,
    /// For SUBACK, as far as the desk has answered.
    pub(in crate::mqtt) codes: Vec<u8>,
    /// Before the desk.
    pub(in crate::mqtt) part: Vec<Result<Subscription, Reason>>,
    /// Still to come.
    pub(in crate::mqtt) rest: VecDeque<Result<Subscription, Reason>>,
    /// Filters behind these that are refused because there are too many.
    pub(in crate::mqtt) surplus: usize,
}

impl Awaited {
    /// Filters that are not answered.
    fn filters(&self) -> usize {
        match self {
            Awaited::Suback(suback) => suback.part.len() + suback.rest.len(),
            Awaited::Unsuback(_, asked) => asked.len(),
            Awaited::Restored(again) => again.len(),
            Awaited::Withdrawn => 0,
        }
    }

    /// Whether the desk is to be asked about more of it, so that nothing may be asked behind it yet.
    pub(in crate::mqtt) fn goes_on(&self) -> bool {
        matches!(self, Awaited::Suback(suback) if !suback.rest.is_empty())
    }
}

impl Suback {
    /// Subscriptions that are or will be asked of the desk.
    fn asked(&self) -> impl Iterator<Item = &Subscription> {
        self.part.iter().chain(&self.rest).flatten()
    }

    /// Takes the next filters as the part to be asked about; at least one of them is for the desk if any of the rest is.
    pub(in crate::mqtt) fn take_part(&mut self) -> Vec<Subscription> {
        let mut asked = Vec::new();
        while asked.len() < FILTERS_AT_ONCE
            && let Some(one) = self.rest.pop_front()
        {
            asked.extend(one.as_ref().ok().cloned());
            self.part.push(one);
        }
        if self.rest.iter().all(Result::is_err) {
            self.part.extend(self.rest.drain(..));
        }
        asked
    }
}

#[derive(Debug, Default)]
pub(in crate::mqtt) struct Subscribing {
    pub(in crate::mqtt) steps: VecDeque<Step>,
    pub(in crate::mqtt) awaited: VecDeque<Awaited>,
    /// Live messages that only a filter still awaited selects: they follow its SUBACK.
    early: Vec<Message>,
    early_bytes: usize,
    /// A PUBLISH came while something was awaited: it goes first as soon as nothing is.
    publish_waits: bool,
    /// Offers that stand and may not be made at present.
    pub(in crate::mqtt) suspended: Vec<Subscription>,
}

impl Subscribing {
    /// Whether more may be asked.
    pub(in crate::mqtt) fn has_room(&self) -> bool {
        let filters = self.awaited.iter().map(Awaited::filters).sum::<usize>();
        self.steps.is_empty()
            && self.awaited.len() < MAX_AWAITED
            && filters < MAX_AWAITED_FILTERS
            && !self.awaited.back().is_some_and(Awaited::goes_on)
            && !self.publish_waits
    }

    /// Whether a PUBLISH has to wait. A client that subscribes and publishes in one breath expects to receive that; until the desk
    /// has answered, the session does not know the subscription.
    pub(in crate::mqtt) fn holds_publish(&mut self) -> bool {
        self.publish_waits = !self.awaited.is_empty();
        self.publish_waits
    }

    /// What the desk has answered now.
    pub(in crate::mqtt) fn answered(&mut self) -> Option<Awaited> {
        let awaited = self.awaited.pop_front();
        self.publish_waits &= !self.awaited.is_empty();
        awaited
    }

    /// Keeps a live message that no subscription that stands selects, if one that is awaited does; false if it does and there is no
    /// room.
    pub(in crate::mqtt) fn keep_early(&mut self, message: &Message) -> bool {
        let topic = message.topic();
        let selects = |awaited: &Awaited| match awaited {
            Awaited::Suback(suback) => suback.asked().any(|one| matches(&one.filter, topic)),
            Awaited::Unsuback(..) | Awaited::Withdrawn | Awaited::Restored(_) => false,
        };
        if !self.awaited.iter().any(selects) {
            return true;
        }
        if self.early.len() >= MAX_EARLY {
            return false;
        }
        self.early_bytes += message.size();
        self.early.push(message.clone());
        true
    }

    /// Bytes of the live messages that wait for a SUBACK.
    pub(in crate::mqtt) fn early_bytes(&self) -> usize {
        self.early_bytes
    }

    /// The live messages that waited for a SUBACK, once nothing more is to be asked about it.
    pub(in crate::mqtt) fn take_early(&mut self) -> Vec<Message> {
        if self.awaited.back().is_some_and(Awaited::goes_on) {
            return Vec::new();
        }
        self.early_bytes = 0;
        std::mem::take(&mut self.early)
    }

    pub(in crate::mqtt) fn awaits(&self, filter: &str) -> bool {
        self.awaited.iter().any(|awaited| match awaited {
            Awaited::Suback(suback) => suback.asked().any(|one| &*one.filter == filter),
            Awaited::Restored(again) => again.iter().any(|one| &*one.filter == filter),
            Awaited::Unsuback(..) | Awaited::Withdrawn => false,
        })
    }
}
