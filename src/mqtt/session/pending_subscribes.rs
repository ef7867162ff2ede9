//! SUBSCRIBEs and UNSUBSCRIBEs that are not answered yet, in the client's order, and what waits for
//! them.
//!
//! It keeps and bounds; `subscribing` asks and answers, and the connection does on the live plane
//! what it says.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::desk::port::{Request, Subscription};
use crate::mqtt::codec::reason::Reason;
use crate::wire::filter::matches;
use crate::wire::message::Message;

/// SUBSCRIBEs and UNSUBSCRIBEs of one client that may await the desk at once; beyond, its socket is
/// not read. The desk answers with every commit, so a larger number would only let one client hold
/// more; there is no key for it.
const MAX_PENDING: usize = 16;

/// Live messages that wait for the SUBACK of the subscription that selects them; beyond it they are
/// dropped and counted. Nobody was promised them yet, so there is no key for it.
const MAX_EARLY: usize = 256;

/// Filters in all of these from which on nothing more is read.
const MAX_PENDING_FILTERS: usize = 1024;

/// Filters that the desk is asked about at once. To find what is retained under each takes it a
/// while; between two parts it turns to others.
const FILTERS_AT_ONCE: usize = 8;

/// What a session wants of the live plane. The connection does one after the other, each as long as
/// it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mqtt) enum Action {
    /// Subscribe there; `reliable` if what the filter carries must not be lost.
    LiveOpen { filter: Arc<str>, reliable: bool },
    /// Unsubscribe there.
    LiveClose(Arc<str>),
}

/// One of the things that are done in order.
#[derive(Debug)]
enum QueuedStep {
    Live(Action),
    /// Then the desk is asked.
    Ask(Box<Request>),
}

/// What was asked and not answered yet.
#[derive(Debug)]
pub(super) enum PendingAnswer {
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
pub(super) struct Suback {
    pub(super) packet_id: u16,
    /// For SUBACK, as far as the desk has answered.
    pub(super) codes: Vec<u8>,
    /// Before the desk.
    pub(super) part: Vec<Result<Subscription, Reason>>,
    /// Still to come.
    pub(super) rest: VecDeque<Result<Subscription, Reason>>,
    /// Filters behind these that are refused because there are too many.
    pub(super) surplus: usize,
}

impl PendingAnswer {
    /// Filters that are not answered.
    fn filters(&self) -> usize {
        match self {
            PendingAnswer::Suback(suback) => suback.part.len() + suback.rest.len(),
            PendingAnswer::Unsuback(_, asked) => asked.len(),
            PendingAnswer::Restored(again) => again.len(),
            PendingAnswer::Withdrawn => 0,
        }
    }

    /// Whether the desk is to be asked about more of it, so that nothing may be asked behind it
    /// yet.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self, PendingAnswer::Suback(suback) if !suback.rest.is_empty())
    }
}

impl Suback {
    /// Subscriptions that are or will be asked of the desk.
    fn asked(&self) -> impl Iterator<Item = &Subscription> {
        self.part.iter().chain(&self.rest).flatten()
    }

    /// Takes the next filters as the part to be asked about; at least one of them is for the desk
    /// if any of the rest is.
    pub(super) fn take_part(&mut self) -> Vec<Subscription> {
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
pub(super) struct PendingSubscribes {
    steps: VecDeque<QueuedStep>,
    pending: VecDeque<PendingAnswer>,
    /// Live messages that only a pending filter selects: they follow its SUBACK.
    early: Vec<Message>,
    early_bytes: usize,
    /// A PUBLISH came while something was pending: it goes first as soon as nothing is.
    publish_waits: bool,
    /// Offers that stand and may not be made at present.
    pub(super) suspended: Vec<Subscription>,
}

impl PendingSubscribes {
    /// Notes what is wanted of the live plane, behind what was before.
    pub(super) fn want(&mut self, action: Action) {
        self.steps.push_back(QueuedStep::Live(action));
    }

    /// Notes what the desk is to be asked, once the live plane has done what was wanted before.
    pub(super) fn ask(&mut self, pending: PendingAnswer, request: Request) {
        self.pending.push_back(pending);
        self.steps.push_back(QueuedStep::Ask(Box::new(request)));
    }

    /// What the live plane is to do now; it stays until it is done.
    pub(super) fn action(&self) -> Option<&Action> {
        match self.steps.front() {
            Some(QueuedStep::Live(action)) => Some(action),
            Some(QueuedStep::Ask(_)) | None => None,
        }
    }

    /// The live plane has done what was wanted first.
    pub(super) fn action_done(&mut self) {
        self.steps
            .pop_front_if(|step| matches!(step, QueuedStep::Live(_)));
    }

    /// The next request whose turn it is.
    pub(super) fn next_request(&mut self) -> Option<Request> {
        if self.steps.is_empty() {
            self.steps.shrink_to_fit();
        }
        match self
            .steps
            .pop_front_if(|step| matches!(step, QueuedStep::Ask(_)))
        {
            Some(QueuedStep::Ask(request)) => Some(*request),
            _ => None,
        }
    }

    /// Whether more may be asked.
    pub(super) fn has_room(&self) -> bool {
        let filters = self
            .pending
            .iter()
            .map(PendingAnswer::filters)
            .sum::<usize>();
        self.steps.is_empty()
            && self.pending.len() < MAX_PENDING
            && filters < MAX_PENDING_FILTERS
            && !self.pending.back().is_some_and(PendingAnswer::goes_on)
            && !self.publish_waits
    }

    /// Whether a PUBLISH has to wait. A client that subscribes and publishes in one breath expects
    /// to receive that; until the desk has answered, the session does not know the subscription.
    pub(super) fn holds_publish(&mut self) -> bool {
        self.publish_waits = !self.pending.is_empty();
        self.publish_waits
    }

    /// What the desk has answered now.
    pub(super) fn answered(&mut self) -> Option<PendingAnswer> {
        let answered = self.pending.pop_front();
        self.publish_waits &= !self.pending.is_empty();
        answered
    }

    /// Keeps a live message that no subscription that stands selects, if one that is pending does;
    /// false if it does and there is no room.
    pub(super) fn keep_early(&mut self, message: &Message) -> bool {
        let topic = message.topic();
        let selects = |pending: &PendingAnswer| match pending {
            PendingAnswer::Suback(suback) => suback.asked().any(|one| matches(&one.filter, topic)),
            PendingAnswer::Unsuback(..) | PendingAnswer::Withdrawn | PendingAnswer::Restored(_) => {
                false
            }
        };
        if !self.pending.iter().any(selects) {
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
    pub(super) fn early_bytes(&self) -> usize {
        self.early_bytes
    }

    /// The live messages that waited for a SUBACK, once nothing more is to be asked about it.
    pub(super) fn take_early(&mut self) -> Vec<Message> {
        if self.pending.back().is_some_and(PendingAnswer::goes_on) {
            return Vec::new();
        }
        self.early_bytes = 0;
        std::mem::take(&mut self.early)
    }

    pub(super) fn has(&self, filter: &str) -> bool {
        self.pending.iter().any(|pending| match pending {
            PendingAnswer::Suback(suback) => suback.asked().any(|one| &*one.filter == filter),
            PendingAnswer::Restored(again) => again.iter().any(|one| &*one.filter == filter),
            PendingAnswer::Unsuback(..) | PendingAnswer::Withdrawn => false,
        })
    }
}
