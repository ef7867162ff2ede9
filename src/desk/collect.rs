//! What a group's messages wait for: members who are away. The first one that is back takes them over.
//!
//! While all members of a shared subscription are away its messages are shared out among them, so that none waits in memory alone.
//! A member that may stay away for ever must not keep its part from one that is here (MQTT 5 section 4.8.2 leaves it to the
//! server). What was sent to a member before stays with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::delivery::Delivery;
use super::distribute::deliver_to_member;
use super::replay::{go_on_replaying, room};
use super::shares::Turn;
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

/// After a connect or a subscribe: what had no taker may have one, and there may be room for what
/// waits elsewhere.
pub(super) fn resume_deliveries(delivery: &mut Delivery<'_>, id: &Arc<str>) {
    if delivery.resume(id) {
        refill(delivery, id);
    }
}

/// Where little waits there is room for what waits elsewhere: retained messages, and what other
/// members of its groups have.
pub(super) fn refill(delivery: &mut Delivery<'_>, id: &Arc<str>) {
    go_on_replaying(delivery, id);
    collect_from_groups(delivery, id);
}

/// Moves messages of the client's groups from members that are away into its queue, as far as
/// little waits there.
fn collect_from_groups(delivery: &mut Delivery<'_>, id: &Arc<str>) {
    // A group tells of one that owes it something at a time: with that one settled, there may be
    // another.
    while collect_once(delivery, id) {}
}

/// Whether somebody owes a group nothing any more.
fn collect_once(delivery: &mut Delivery<'_>, id: &Arc<str>) -> bool {
    let mut is_settled = false;
    for (turn, debtor) in delivery.index.shares().debtors(id) {
        loop {
            match owed(delivery, &turn, &debtor) {
                Owed::Messages(moved) => {
                    for (seq, message) in moved {
                        delivery.drop_entry(&debtor, seq);
                        deliver_to_member(delivery, turn.clone(), &message);
                    }
                    // In one commit: nowhere is it twice, nowhere is it missing.
                    delivery.commits.set_awaited(true);
                }
                Owed::Nothing => {
                    delivery.index.shares_mut().settle(&turn.share, &debtor);
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
fn owed(delivery: &Delivery<'_>, turn: &Turn, debtor: &str) -> Owed {
    let Some(away) = delivery.clients.get(debtor) else {
        return Owed::Nothing;
    };
    let mut unsent = away.outbox.unsent_of(&turn.share).peekable();
    if unsent.peek().is_none() {
        return Owed::Nothing;
    }
    let limits = delivery.clients.limits();
    let client = delivery.clients.get(&turn.client);
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
            && size <= delivery.settings.memory.room_to_store()
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
pub(super) fn hand_over(delivery: &mut Delivery<'_>, id: &Arc<str>) {
    let Some(client) = delivery.clients.get(id) else {
        return;
    };
    let shares: BTreeSet<Arc<str>> = client.outbox.unsent_groups().cloned().collect();
    for share in shares {
        delivery.index.shares_mut().owes(&share, id);
        let here = |id: &&Arc<str>| delivery.clients.is_connected(id);
        let member = delivery.index.shares().members(&share).find(here).cloned();
        if let Some(member) = member {
            collect_from_groups(delivery, &member);
        }
    }
}

/// After a start: who has messages of a group is away.
pub(super) fn recover_debts(delivery: &mut Delivery<'_>) {
    for client in delivery.clients.iter() {
        for share in client.outbox.unsent_groups() {
            delivery.index.shares_mut().owes(share, &client.id);
        }
    }
}
