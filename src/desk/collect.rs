//! What a group's messages wait for: members who are away. The first one that is back takes them over.
//!
//! While all members of a shared subscription are away its messages are shared out among them, so that none waits in memory alone.
//! A member that may stay away for ever must not keep its part from one that is here (MQTT 5 section 4.8.2 leaves it to the
//! server). What was sent to a member before stays with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::core::Desk;
use super::outbox::Outbox;
use super::replay::room;
use super::shares::Turn;
use crate::wire::Millis;
use crate::wire::message::{Message, Qos};

/// What one member has for another.
enum Owed {
    /// These, next.
    Messages(Vec<(u64, Message)>),
    /// Nothing any more.
    Nothing,
    /// Something, which the other cannot take now.
    NoRoom,
}

impl Desk {
    /// Moves messages of the client's groups from members that are away into its queue, as far as little waits there.
    pub(super) fn collect_from_groups(&mut self, now: Millis, id: &Arc<str>) {
        // A group tells of one that owes it something at a time: with that one settled, there may be another.
        while self.collect_once(now, id) {}
    }

    /// Whether somebody owes a group nothing any more.
    fn collect_once(&mut self, now: Millis, id: &Arc<str>) -> bool {
        let mut is_settled = false;
        for (turn, debtor) in self.shares.debtors(id) {
            loop {
                match self.owed(&turn, &debtor) {
                    Owed::Messages(moved) => {
                        for (seq, message) in moved {
                            self.drop_entry(&debtor, seq);
                            self.deliver_to_member(now, turn.clone(), &message);
                        }
                        // In one commit: nowhere is it twice, nowhere is it missing.
                        self.pending.awaited = true;
                    }
                    Owed::Nothing => {
                        self.shares.settle(&turn.share, &debtor);
                        is_settled = true;
                        break;
                    }
                    Owed::NoRoom => break,
                }
            }
        }
        is_settled
    }

    /// What a member is to be given of another's now.
    fn owed(&self, turn: &Turn, debtor: &str) -> Owed {
        let Some(away) = self.clients.get(debtor) else {
            return Owed::Nothing;
        };
        let mut unsent = away.outbox.unsent_of(&turn.share).peekable();
        if unsent.peek().is_none() {
            return Owed::Nothing;
        }
        let limits = &self.clients.limits;
        let client = self.clients.get(&turn.client);
        let client = client.filter(|client| client.state.is_connected());
        let room = client.and_then(|client| Some((client, room(&client.outbox, limits)?)));
        // At QoS 0 it would be lost with the connection.
        let Some((client, (messages, bytes))) = room.filter(|_| turn.member.qos > Qos::AtMostOnce)
        else {
            return Owed::NoRoom;
        };
        let (mut moved, mut size) = (Vec::new(), 0);
        for (seq, message) in unsent {
            size += message.size();
            // What its queue does not take stays where it is: it was acknowledged.
            let fits = client.can_queue(limits, size)
                && size <= self.settings.memory.room_to_store()
                && client.may_receive_now(message.topic());
            if !fits || moved.len() == messages || (size > bytes && !moved.is_empty()) {
                break;
            }
            moved.push((seq, message.clone()));
        }
        match moved.is_empty() {
            true => Owed::NoRoom,
            false => Owed::Messages(moved),
        }
    }

    /// A member is gone, for now at least: who of its groups is here takes over what it was not sent.
    pub(super) fn hand_over(&mut self, now: Millis, id: &Arc<str>) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let shares: BTreeSet<Arc<str>> = client.outbox.unsent_groups().cloned().collect();
        for share in shares {
            self.shares.owes(&share, id);
            let here = |id: &&Arc<str>| self.clients.is_connected(id);
            let member = self.shares.members(&share).find(here).cloned();
            if let Some(member) = member {
                self.collect_from_groups(now, &member);
            }
        }
    }

    /// After a start: who has messages of a group is away.
    pub(super) fn recover_debts(&mut self) {
        for client in self.clients.iter() {
            for share in client.outbox.unsent_groups() {
                self.shares.owes(share, &client.id);
            }
        }
    }
}

impl Outbox {
    /// Messages of one group that were never sent, oldest first.
    fn unsent_of(&self, share: &str) -> impl Iterator<Item = (u64, &Message)> {
        let entries = self.entries.iter();
        entries.filter_map(move |(seq, entry)| {
            let is_of_it = entry.kind.share().is_some_and(|own| **own == *share);
            let unsent = is_of_it && self.waiting(*seq).is_some();
            unsent.then_some((*seq, &entry.message))
        })
    }

    fn unsent_groups(&self) -> impl Iterator<Item = &Arc<str>> {
        let entries = self.entries.iter();
        entries.filter_map(|(seq, entry)| {
            let share = entry.kind.share()?;
            self.waiting(*seq).map(|_| share)
        })
    }
}
