//! Wills: stored with the connection that they are for, published when it breaks, after their delay or with the end of their session,
//! and gone once they are published or discarded; published after a restart where a crash broke that connection (MQTT-3.1.2-7,
//! MQTT-3.1.2-8).

use std::sync::Arc;

use super::client_state::Will;
use super::core::Desk;
use super::port::{Publication, Route};
use super::records::{self, will};
use super::timers::Timer;
use crate::diary::{limited, shown};
use crate::engine::Input;
use crate::ledger::Space;
use crate::wire::Millis;
use crate::wire::message::{Message, Parts};

impl Desk {
    /// Stores the will of the connection that was just accepted, or forgets that of an earlier one.
    pub(super) fn store_will(&mut self, id: &Arc<str>) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let will = client
            .state
            .connected()
            .and_then(|connected| connected.will.as_ref());
        match will.and_then(|will| will::encode(&will.record)) {
            Some(record) => {
                client.will_stored = true;
                self.pending
                    .records
                    .put(Space::Session, records::will_key(id), record);
            }
            None => self.forget_will(id),
        }
    }

    /// The will is published, or never will be.
    pub(super) fn forget_will(&mut self, id: &str) {
        let client = self.clients.get_mut(id);
        if client.is_some_and(|client| std::mem::take(&mut client.will_stored)) {
            self.pending
                .records
                .delete(Space::Session, records::will_key(id));
        }
    }

    /// After a restart every connection is broken: its will falls due now, or after what is left of its delay.
    pub(super) fn recover_wills(&mut self, now: Millis) {
        let mut due = Vec::new();
        for client in self.clients.iter_mut() {
            let Some((_, mut will)) = client.delayed_will.take() else {
                continue;
            };
            // A will from before authentication is nobody's, and nobody may do nothing.
            let owner = client.owner.as_deref().unwrap_or_default();
            let gates = self.settings.gates.as_ref();
            will.gate = gates.map(|gates| gates.of(owner, &client.id));
            let since = client
                .state
                .session()
                .filter(|session| session.expiry > 0)
                .map(|session| session.offline_since.unwrap_or(now));
            let at = since.map_or(now, |since| since + u64::from(will.record.delay) * 1000);
            due.push((client.id.clone(), at, will));
        }
        for (id, at, will) in due {
            if at > now {
                self.set_timer(at, Timer::Will(id.clone()));
                if let Some(client) = self.clients.get_mut(&id) {
                    client.delayed_will = Some((at, will));
                }
            } else {
                self.publish_will(now, &id, &will);
                self.forget_if_idle(&id);
            }
        }
    }

    /// At once, or after its delay, or when the session ends, whichever is first (MQTT-3.1.2-8).
    pub(super) fn will_falls_due(
        &mut self,
        now: Millis,
        id: &Arc<str>,
        will: Will,
        session_continues: bool,
    ) {
        if will.record.delay == 0 || !session_continues {
            self.publish_will(now, id, &will);
            return;
        }
        let at = now + u64::from(will.record.delay) * 1000;
        if let Some(client) = self.clients.get_mut(id) {
            client.delayed_will = Some((at, will));
        }
        self.set_timer(at, Timer::Will(id.clone()));
    }

    /// A delay is over: of this will, or of an earlier one.
    pub(super) fn will_timer(&mut self, now: Millis, id: &Arc<str>) {
        let due = self
            .clients
            .get(id)
            .and_then(|client| client.delayed_will.as_ref());
        if due.is_some_and(|(at, _)| *at <= now) {
            self.publish_delayed_will(now, id);
        }
    }

    /// The delay is over, or the session is.
    pub(super) fn publish_delayed_will(&mut self, now: Millis, id: &Arc<str>) {
        let will = self
            .clients
            .get_mut(id)
            .and_then(|client| client.delayed_will.take());
        if let Some((_, will)) = will {
            self.publish_will(now, id, &will);
        }
    }

    /// It leaves like any other publish, if its client still may.
    fn publish_will(&mut self, now: Millis, id: &Arc<str>, will: &Will) {
        self.forget_will(id);
        let record = &will.record;
        let message = &record.publication.message;
        if will
            .gate
            .as_ref()
            .is_some_and(|gate| !gate.may_publish(message.topic()))
        {
            let admitted = self.admits("will_refused", id);
            let topic = shown(message.topic());
            limited!(info, admitted, client = %id, kind = "will_refused", topic, "will refused: no longer allowed");
            self.stats.refusals.add_one();
            return;
        }
        let expires_at = record
            .expiry
            .map_or(0, |seconds| now + u64::from(seconds) * 1000);
        let publication = Publication {
            message: Message::encode(&Parts {
                expires_at,
                ..message.parts()
            }),
            route: record.publication.route.clone(),
        };
        if let Err(code) = self.route(now, &publication) {
            let admitted = self.admits("will_refused", id);
            let (topic, code) = (shown(message.topic()), u16::from(code));
            limited!(info, admitted, client = %id, kind = "will_refused", topic, code, "will refused");
        }
        // A will may bring an agent into a room, where it would be online for ever if nobody said otherwise.
        if let Route::Engine { from, .. } = &record.publication.route
            && !self.clients.is_connected(id)
        {
            let (agent, why) = (from.clone(), "its will spoke for it");
            let gives_back = false;
            self.feed(
                now,
                Input::Disconnected {
                    agent,
                    why,
                    gives_back,
                },
            );
        }
    }
}
