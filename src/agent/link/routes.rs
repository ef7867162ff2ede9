//! Who wants which messages.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::receipts::Ticket;
use crate::wire::filter;

type RouteSink = Arc<dyn Fn(Letter) + Send + Sync>;

/// A message that came.
#[derive(Debug)]
pub(in crate::agent) struct Letter {
    /// The whole topic.
    pub(in crate::agent) topic: Arc<str>,
    /// The bytes.
    pub(in crate::agent) payload: Bytes,
    /// Whether it was there before the subscription.
    pub(in crate::agent) is_retained: bool,
    /// At QoS 1: to be acknowledged.
    pub(in crate::agent) ticket: Option<Ticket>,
}

impl Letter {
    /// What stands behind the last slash of the topic.
    pub(in crate::agent) fn last_level(&self) -> &str {
        self.topic.rsplit('/').next().unwrap_or_default()
    }

    /// It was handled.
    pub(in crate::agent) fn ack(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.ack();
        }
    }

    fn share(&self) -> Letter {
        Letter {
            topic: self.topic.clone(),
            payload: self.payload.clone(),
            is_retained: self.is_retained,
            ticket: self.ticket.as_ref().map(Ticket::share),
        }
    }
}

/// Which route it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) struct RouteId {
    pub(super) filter: String,
    number: u64,
}

/// All routes, by their filters.
#[derive(Default)]
pub(super) struct Routes(Mutex<RouteTable>);

#[derive(Default)]
struct RouteTable {
    exact: BTreeMap<String, Vec<(u64, RouteSink)>>,
    wild: BTreeMap<String, Vec<(u64, RouteSink)>>,
    last: u64,
}

impl RouteTable {
    fn side(&mut self, filter: &str) -> &mut BTreeMap<String, Vec<(u64, RouteSink)>> {
        if filter::has_wildcard(filter) {
            &mut self.wild
        } else {
            &mut self.exact
        }
    }
}

impl Routes {
    fn table(&self) -> MutexGuard<'_, RouteTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, filter: &str, sink: RouteSink) -> RouteId {
        let mut table = self.table();
        table.last += 1;
        let number = table.last;
        let sinks = table.side(filter).entry(filter.to_owned()).or_default();
        sinks.push((number, sink));
        RouteId {
            filter: filter.to_owned(),
            number,
        }
    }

    /// Whether it was the last of its filter.
    pub(super) fn remove(&self, route: &RouteId) -> bool {
        let mut table = self.table();
        let side = table.side(&route.filter);
        let Some(sinks) = side.get_mut(&route.filter) else {
            return false;
        };
        sinks.retain(|(number, _)| *number != route.number);
        if !sinks.is_empty() {
            return false;
        }
        side.remove(&route.filter);
        true
    }

    /// Whether anybody wants what matches this filter.
    pub(super) fn has(&self, filter: &str) -> bool {
        self.table().side(filter).contains_key(filter)
    }

    /// Nothing more will come: whoever reads is told so by the end of its queue.
    pub(super) fn clear(&self) {
        let mut table = self.table();
        table.exact.clear();
        table.wild.clear();
    }

    /// Hands a message to all who want it; back if there is nobody.
    pub(super) fn hand_out(&self, letter: Letter) -> Option<Letter> {
        let mut sinks = self.find(&letter.topic);
        let Some(last) = sinks.pop() else {
            return Some(letter);
        };
        for sink in sinks {
            sink(letter.share());
        }
        last(letter);
        None
    }

    fn find(&self, topic: &str) -> Vec<RouteSink> {
        let table = self.table();
        let exact = table.exact.get(topic).into_iter();
        let wild = table
            .wild
            .iter()
            .filter(|(filter, _)| filter::matches(filter, topic))
            .map(|(_, sinks)| sinks);
        exact
            .chain(wild)
            .flatten()
            .map(|(_, sink)| sink.clone())
            .collect()
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table();
        f.debug_list()
            .entries(table.exact.keys().chain(table.wild.keys()))
            .finish()
    }
}
