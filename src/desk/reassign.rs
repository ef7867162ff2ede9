//! Reassignment: unsent messages of a shared subscription go from absent members to one that is
//! connected.
//!
//! While all members of a group are away, its messages are spread over their queues, so that none
//! waits in memory alone. A member that may stay away for ever must not keep its part from one that
//! is connected (MQTT 5 section 4.8.2 leaves it to the server). What was sent to a member before
//! stays with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::delivery::DeliveryContext;
use super::distribute::deliver_to_member;
use super::replay::{go_on_replaying, room};
use super::shared_subscriptions::MemberTurn;
use crate::wire::message::{Message, Qos};

/// What one member has that another can take.
enum Unsent {
    /// These, next.
    Messages(Vec<(u64, Message)>),
    /// Nothing any more.
    Nothing,
    /// Something, which the other cannot take now.
    NoRoom,
}

/// After a connect or a subscribe: what had no taker may have one, and there may be room for what
/// waits elsewhere.
pub(super) fn resume_deliveries(delivery: &mut DeliveryContext<'_>, id: &Arc<str>) {
    if delivery.resume(id) {
        refill(delivery, id);
    }
}

/// Where little waits there is room for what waits elsewhere: retained messages, and what other
/// members of its groups have.
pub(super) fn refill(delivery: &mut DeliveryContext<'_>, id: &Arc<str>) {
    go_on_replaying(delivery, id);
    reassign_to(delivery, id);
}

/// Moves messages of the client's groups from members that are away into its queue, as far as
/// little waits there.
fn reassign_to(delivery: &mut DeliveryContext<'_>, id: &Arc<str>) {
    // A group names one absent member at a time: once that one has nothing more, there may be
    // another.
    while reassign_once(delivery, id) {}
}

/// Takes what it can from one absent member of each group; whether one of those has nothing more.
fn reassign_once(delivery: &mut DeliveryContext<'_>, id: &Arc<str>) -> bool {
    let mut is_cleared = false;
    for (turn, absent) in delivery.index.shares().absent_with_unsent(id) {
        loop {
            match next_unsent(delivery, &turn, &absent) {
                Unsent::Messages(moved) => {
                    for (seq, message) in moved {
                        delivery.drop_entry(&absent, seq);
                        deliver_to_member(delivery, turn.clone(), &message);
                    }
                    // In one commit: nowhere is it twice, nowhere is it missing.
                    delivery.commits.set_awaited(true);
                }
                Unsent::Nothing => {
                    delivery
                        .index
                        .shares_mut()
                        .clear_unsent(&turn.share, &absent);
                    is_cleared = true;
                    break;
                }
                Unsent::NoRoom => break,
            }
        }
    }
    is_cleared
}

/// The next messages that a member takes from an absent one.
fn next_unsent(delivery: &DeliveryContext<'_>, turn: &MemberTurn, absent: &str) -> Unsent {
    let Some(away) = delivery.clients.get(absent) else {
        return Unsent::Nothing;
    };
    let mut unsent = away.outbox.unsent_of(&turn.share).peekable();
    if unsent.peek().is_none() {
        return Unsent::Nothing;
    }
    let limits = delivery.clients.limits();
    let client = delivery.clients.get(&turn.client);
    let client = client.filter(|client| client.state.is_connected());
    let room = client.and_then(|client| Some((client, room(&client.outbox, limits)?)));
    // At QoS 0 it would be lost with the connection.
    let Some((client, (messages, bytes))) = room.filter(|_| turn.member.qos > Qos::AtMostOnce)
    else {
        return Unsent::NoRoom;
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
        true => Unsent::NoRoom,
        false => Unsent::Messages(moved),
    }
}

/// A member is gone, for now at least: who of its groups is here takes over what it was not sent.
pub(super) fn reassign_unsent(delivery: &mut DeliveryContext<'_>, id: &Arc<str>) {
    let Some(client) = delivery.clients.get(id) else {
        return;
    };
    let shares: BTreeSet<Arc<str>> = client.outbox.unsent_groups().cloned().collect();
    for share in shares {
        delivery.index.shares_mut().note_unsent(&share, id);
        let here = |id: &&Arc<str>| delivery.clients.is_connected(id);
        let member = delivery.index.shares().members(&share).find(here).cloned();
        if let Some(member) = member {
            reassign_to(delivery, &member);
        }
    }
}

/// After a start: whoever has messages of a group is away.
pub(super) fn recover_unsent(delivery: &mut DeliveryContext<'_>) {
    for client in delivery.clients.iter() {
        for share in client.outbox.unsent_groups() {
            delivery.index.shares_mut().note_unsent(share, &client.id);
        }
    }
}
