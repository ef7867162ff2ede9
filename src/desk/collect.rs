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

impl Desk {
    /// Moves messages of the client's groups from members that are away into its queue, as far as little waits there.
    pub(super) fn collect_from_groups(&mut self, now: Millis, id: &Arc<str>) {
        for (turn, debtor) in self.shares.debtors(id) {
            while let Some(moved) = self.owed(&turn, &debtor) {
                if moved.is_empty() {
                    self.shares.settle(&turn.share, &debtor);
                    break;
                }
                for (seq, message) in moved {
                    self.drop_entry(&debtor, seq);
                    self.deliver_to_member(now, turn.clone(), &message);
                }
                // In one commit: nowhere is it twice, nowhere is it missing.
                self.pending.awaited = true;
            }
        }
    }

    /// What a member may be given of another's; `None` while it can take nothing.
    fn owed(&self, turn: &Turn, debtor: &str) -> Option<Vec<(u64, Message)>> {
        let client = self.clients.get(&turn.client)?;
        client.connected.as_ref()?;
        let (messages, bytes) = room(&client.outbox, &self.clients.limits)?;
        // At QoS 0 it would be lost with the connection.
        if turn.member.qos == Qos::AtMostOnce {
            return None;
        }
        let Some(away) = self.clients.get(debtor) else {
            return Some(Vec::new());
        };
        let mut moved = Vec::new();
        let mut left = bytes;
        for (seq, message) in away.outbox.unsent_of(&turn.share) {
            if moved.len() == messages || left == 0 || !client.may_receive_now(message.topic()) {
                break;
            }
            left = left.saturating_sub(message.size());
            moved.push((seq, message.clone()));
        }
        Some(moved)
    }

    /// A member is gone, for now at least: who of its groups is here takes over what it was not sent.
    pub(super) fn hand_over(&mut self, now: Millis, id: &Arc<str>) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let shares: BTreeSet<Arc<str>> = client.outbox.unsent_groups().cloned().collect();
        for share in shares {
            self.shares.owes(&share, id);
            let here = |id: &&Arc<str>| {
                let client = self.clients.get(id);
                client.is_some_and(|client| client.connected.is_some())
            };
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
