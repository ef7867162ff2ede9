//! While the disk takes nothing: who needs it is refused at once, and who does not goes on.
//!
//! Sessions that end with their connection keep nothing, so that what answers them about themselves needs no commit; it waits for one only to keep its
//! place among other answers. While there is none, it goes without. What it would show of others' changes is held to what is on disk.

use std::sync::Arc;

use super::batch::Release;
use super::core::Desk;
use super::port::{CloseReason, ConnectionId, Open, Response, Subscription};
use super::timers::Timer;
use crate::diary::limited;
use crate::wire::Millis;
use crate::wire::reply::Code;

/// How long a client waits whose SUBSCRIBE came before the disk was known to refuse. It is as long as `mqtt.connect_timeout` is by default; who
/// comes later waits for nothing.
const LONGEST_WAIT_MS: u64 = 10_000;

/// What a release takes beside the message in it, which is counted where it is kept.
const RELEASE_BYTES: usize = size_of::<Release>();

impl Desk {
    /// Whether the disk refuses what it is given, from now on. Who has subscribed just before is not answered for longer than
    /// [`LONGEST_WAIT_MS`].
    pub fn disk_stalls(&mut self, now: Millis, stands: bool) {
        let begins = stands && !self.disk.is_stalled;
        self.disk.is_stalled = stands;
        if begins {
            let ids = self.clients.iter().map(|client| client.id.clone());
            let waiting: Vec<_> = ids.filter(|id| self.waits_for_disk(id)).collect();
            for id in waiting {
                self.set_timer(now + LONGEST_WAIT_MS, Timer::Unanswered(id));
            }
        }
    }

    /// Whether a client waits for an answer to SUBSCRIBE or UNSUBSCRIBE that only the disk can give.
    pub(super) fn waits_for_disk(&self, id: &str) -> bool {
        let durable = self.clients.session(id);
        let connected = self.clients.connected(id);
        self.disk.is_stalled
            && durable.is_some_and(|session| session.durable)
            && connected.is_some_and(|own| own.subscribed_in > self.durable)
    }

    /// It has subscribed when the disk filled up: whether that will be kept nobody knows, so that no SUBACK is true.
    pub(super) fn give_up_on_disk(&mut self, now: Millis, id: &Arc<str>) {
        if self.waits_for_disk(id) {
            self.disconnect(now, id, CloseReason::NoDisk);
        }
    }

    /// How much the pending batch holds, in bytes: of records, and roughly of what waits for them.
    pub fn pending_bytes(&self) -> usize {
        self.pending.records.bytes() + self.pending.releases.len() * RELEASE_BYTES
    }

    /// Whether it does.
    pub fn is_stalled(&self) -> bool {
        self.disk.is_stalled
    }

    /// Sends what of a batch that is not on disk needs no disk. Batches in their order.
    pub fn let_go(&self, releases: &mut Vec<Release>) {
        let all = std::mem::take(releases);
        for release in all {
            match release {
                Release::Unkept(connection, mut response) => {
                    self.hide_unsaved(&mut response);
                    // A session that is gone needs no answer.
                    drop(connection.responses.send(response));
                }
                other => releases.push(other),
            }
        }
    }

    /// The same with the batch that fills.
    pub fn let_go_of_pending(&mut self) {
        let mut new = self.pending.releases.split_off(self.pending.kept);
        self.let_go(&mut new);
        self.pending.releases.append(&mut new);
        self.pending.kept = self.pending.releases.len();
    }

    /// Retained messages that are not on disk yet come once they are, as any that is published then.
    fn hide_unsaved(&self, response: &mut Response) {
        if let Response::Subscribed {
            retained, stamp, ..
        } = response
        {
            let durable = self.disk.durable;
            retained.retain(|(_, message)| message.stamp() <= durable);
            *stamp = durable.min(*stamp);
        }
    }

    /// Whether a client that connects brings, or has, something that must be on disk before it is told that it is connected.
    pub(super) fn needs_disk(&self, open: &Open) -> bool {
        let client = self.clients.get(&open.client_id);
        open.is_durable()
            || open.will.is_some()
            || client.is_some_and(|known| {
                known.will_stored || known.delayed_will.is_some() || known.state.is_durable()
            })
    }

    /// Refuses a client that needs the disk while it takes nothing. Nothing has come of its CONNECT.
    pub(super) fn refuse_for_disk(&mut self, open: &Open) -> bool {
        let refuses = self.disk.is_stalled && self.needs_disk(open);
        if refuses {
            self.stats.refused_sessions.add_one();
            let id = &open.client_id;
            let admitted = self.admits("disk", id);
            limited!(warn, admitted, client = %id, kind = "disk", "connection refused: its session cannot be written to disk");
            let refusal = Response::Close(CloseReason::NoDisk);
            drop(open.connection.responses.send(refusal));
        }
        refuses
    }

    /// Refuses a SUBSCRIBE of a session that is kept while the disk takes nothing, unless its place is behind one that waits.
    pub(super) fn refuse_subscriptions(
        &mut self,
        id: &Arc<str>,
        packet_id: u16,
        asked: &[Subscription],
    ) -> bool {
        let Some(client) = self.clients.get(id) else {
            return false;
        };
        let durable = client.state.is_durable();
        let connected = client.state.connected();
        let Some(connected) = connected
            .filter(|own| self.disk.is_stalled && durable && own.subscribed_in <= self.durable)
        else {
            return false;
        };
        let response = Response::Subscribed {
            packet_id,
            results: vec![Err(Code::TooMany); asked.len()],
            retained: Vec::new(),
            retained_room: usize::MAX,
            stamp: self.stamp,
        };
        drop(connected.connection.responses.send(response));
        self.stats.refused_subscriptions.add(asked.len() as u64);
        let admitted = self.admits("disk", id);
        limited!(warn, admitted, client = %id, kind = "disk", "subscriptions refused: they cannot be written to disk");
        true
    }

    /// Answers a connection about what nobody keeps, or about what is.
    pub(super) fn answer(&mut self, now: Millis, connection: ConnectionId, response: Response) {
        let Some(id) = self.client_of(connection) else {
            return;
        };
        let number = self.pending.number;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let durable = client.state.is_durable();
        let Some(connected) = client.state.connected_mut() else {
            return;
        };
        connected.subscribed_in = number;
        let connection = connected.connection.clone();
        if durable {
            self.pending.respond(&connection, response);
            if self.disk.is_stalled {
                self.set_timer(now + LONGEST_WAIT_MS, Timer::Unanswered(id));
            }
        } else {
            self.pending.respond_unkept(&connection, response);
        }
    }
}
