//! Publishes on their way to the gateway: what waits, what is in flight, and what is sent again. No
//! I/O.

use std::collections::{BTreeSet, VecDeque};

use tokio::sync::oneshot;

use super::Posting;
use crate::agent::error::Error;

/// In flight at most, however much the gateway would take.
const MOST_IN_FLIGHT: usize = 1_024;

/// A publish, and who waits for its PUBACK.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) publication: Posting,
    done: oneshot::Sender<Result<u64, Error>>,
}

impl Outgoing {
    pub(super) fn new(publication: Posting, done: oneshot::Sender<Result<u64, Error>>) -> Outgoing {
        Outgoing { publication, done }
    }

    /// Tells whoever waits for it, if anybody does; with the number of the connection that it went
    /// through.
    pub(super) fn end(self, outcome: Result<u64, Error>) {
        // Who does not wait any more need not know.
        let _ = self.done.send(outcome);
    }

    fn is_wanted(&self) -> bool {
        !self.done.is_closed()
    }
}

/// The publishes of one agent, in the order in which they were given.
#[derive(Debug)]
pub(super) struct Flow {
    waiting: VecDeque<Outgoing>,
    in_flight: VecDeque<(u16, Outgoing)>,
    /// Packet identifiers in use, also those of SUBSCRIBE and UNSUBSCRIBE.
    used: BTreeSet<u16>,
    last: u16,
    limit: usize,
}

impl Default for Flow {
    fn default() -> Flow {
        Flow {
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            used: BTreeSet::new(),
            last: 0,
            limit: MOST_IN_FLIGHT,
        }
    }
}

impl Flow {
    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.waiting.push_back(outgoing);
    }

    /// How many were not sent yet, and are wanted still.
    pub(super) fn waiting(&mut self) -> usize {
        self.waiting.retain(Outgoing::is_wanted);
        self.waiting.len()
    }

    /// Whether the next one may be sent at once.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.len() < self.limit
    }

    /// A connection whose gateway takes so many at once. What is in flight is to be sent again: at
    /// once and under its identifier where the session was kept (MQTT-4.4.0-1), in its turn and
    /// under a new one where not.
    pub(super) fn reconnected(&mut self, resumed: bool, limit: u16) -> &VecDeque<(u16, Outgoing)> {
        self.limit = MOST_IN_FLIGHT.min(limit.into());
        self.used.clear();
        if resumed {
            self.used.extend(self.in_flight.iter().map(|(id, _)| *id));
        } else {
            while let Some((_, outgoing)) = self.in_flight.pop_back() {
                self.waiting.push_front(outgoing);
            }
        }
        &self.in_flight
    }

    /// The next one to send, with its packet identifier.
    pub(super) fn next(&mut self) -> Option<(u16, &Posting)> {
        if self.in_flight.len() >= self.limit {
            return None;
        }
        let outgoing = loop {
            let outgoing = self.waiting.pop_front()?;
            if outgoing.is_wanted() {
                break outgoing;
            }
        };
        let id = self.take_id();
        outgoing.publication.sent.set();
        self.in_flight.push_back((id, outgoing));
        self.in_flight
            .back()
            .map(|(id, sent)| (*id, &sent.publication))
    }

    /// A packet identifier that nobody uses.
    pub(super) fn take_id(&mut self) -> u16 {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if self.used.insert(self.last) {
                return self.last;
            }
        }
    }

    /// A SUBSCRIBE or UNSUBSCRIBE was answered.
    pub(super) fn give_id_back(&mut self, id: u16) {
        self.used.remove(&id);
    }

    /// A PUBACK; `None` if nothing of this identifier is in flight.
    pub(super) fn acknowledged(&mut self, id: u16) -> Option<Outgoing> {
        // They come in order, so it is the first of them.
        let at = self.in_flight.iter().position(|(own, _)| *own == id)?;
        self.used.remove(&id);
        self.in_flight.remove(at).map(|(_, outgoing)| outgoing)
    }

    /// Nothing more will be sent.
    pub(super) fn end(&mut self, error: &Error) {
        let in_flight = self.in_flight.drain(..).map(|(_, outgoing)| outgoing);
        for outgoing in in_flight.chain(self.waiting.drain(..)) {
            outgoing.end(Err(error.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Acked = oneshot::Receiver<Result<u64, Error>>;

    fn give(flow: &mut Flow, topic: &str) -> Acked {
        let (done, acked) = oneshot::channel();
        let publication = Posting {
            topic: topic.to_owned(),
            ..Posting::default()
        };
        flow.push(Outgoing::new(publication, done));
        acked
    }

    fn sent(flow: &mut Flow) -> Vec<(u16, String)> {
        let mut sent = Vec::new();
        while let Some((id, publication)) = flow.next() {
            sent.push((id, publication.topic.clone()));
        }
        sent
    }

    #[test]
    fn no_more_are_in_flight_than_the_gateway_takes() {
        let mut flow = Flow::default();
        flow.reconnected(false, 2);
        let _acked: Vec<Acked> = ["a", "b", "c"].map(|topic| give(&mut flow, topic)).into();
        assert_eq!(sent(&mut flow), [(1, "a".into()), (2, "b".into())]);
        flow.acknowledged(1).expect("in flight").end(Ok(1));
        assert_eq!(sent(&mut flow), [(3, "c".into())]);
        assert!(flow.acknowledged(1).is_none());
    }

    #[test]
    fn a_session_that_was_kept_gets_the_same_again_and_a_new_one_gets_it_anew() {
        let mut flow = Flow::default();
        flow.reconnected(false, 10);
        let _acked: Vec<Acked> = ["a", "b"].map(|topic| give(&mut flow, topic)).into();
        sent(&mut flow);
        let _later = give(&mut flow, "c");
        let again = flow.reconnected(true, 10).iter().map(|(id, _)| *id);
        assert_eq!(again.collect::<Vec<_>>(), [1, 2]);
        assert!(flow.reconnected(false, 10).is_empty());
        let topics: Vec<_> = sent(&mut flow)
            .into_iter()
            .map(|(_, topic)| topic)
            .collect();
        assert_eq!(topics, ["a", "b", "c"]);
    }

    #[test]
    fn what_nobody_waits_for_is_not_sent() {
        let mut flow = Flow::default();
        flow.reconnected(false, 10);
        drop(give(&mut flow, "a"));
        let _acked = give(&mut flow, "b");
        assert_eq!(flow.waiting(), 1);
        assert_eq!(sent(&mut flow), [(1, "b".into())]);
    }

    #[test]
    fn identifiers_in_use_are_passed_over() {
        let mut flow = Flow {
            last: u16::MAX - 1,
            ..Flow::default()
        };
        assert_eq!(flow.take_id(), u16::MAX);
        assert_eq!(flow.take_id(), 1);
        flow.last = u16::MAX - 1;
        assert_eq!(flow.take_id(), 2);
    }
}
