//! Messages for whoever subscribes: to durable sessions' queues, to one member of each group, to
//! the live plane.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::clients::Clients;
use super::delivery::DeliveryContext;
use super::forward::Export;
use super::outbox_kind::OutboxKind;
use super::port::{self, Full, Response};
use super::shared_subscriptions::MemberTurn;
use crate::log_limiter::{limited, shown};
use crate::wire::message::{Message, Qos};

/// Whose queues a message goes into.
struct Targets {
    durable: BTreeMap<Arc<str>, OutboxKind>,
    turns: Vec<MemberTurn>,
    /// What of it leaves for other brokers.
    exports: Vec<Export>,
    /// As published.
    qos: Qos,
}

impl Targets {
    /// Those that keep it until it is acknowledged.
    fn queued(&self) -> impl Iterator<Item = &Arc<str>> {
        let keeps = |turn: &&MemberTurn| turn.member.qos.min(self.qos) > Qos::AtMostOnce;
        let members = self.turns.iter().filter(keeps).map(|turn| &turn.client);
        self.durable.keys().chain(members)
    }
}

/// All who want a client's message get it (MQTT-4.5.0-1); returns the connected subscribers that
/// are slow. Where a queue is full, its session misses the message, or, if queues are to be full
/// for nobody, nobody gets it and its publisher knows.
pub(super) fn publish(
    delivery: &mut DeliveryContext<'_>,
    message: &Message,
) -> Result<Vec<Arc<str>>, Full> {
    let clears = message.payload().is_empty();
    if message.retain() && !clears && !delivery.retained.has_room_for(message) {
        delivery.stats.refused.retained_full.add_one();
        warn_of_full_retained(delivery, message);
        return Err(Full::Retained);
    }
    let targets = targets(delivery, message);
    check_room(delivery, &targets, message.size())?;
    let message = if message.retain() {
        delivery.retained.retain(message, delivery.commits)
    } else {
        message.clone()
    };
    Ok(distribute_to(delivery, message, targets))
}

/// Checks that a message may go to all whom it is for. Where publishers are refused for a full
/// queue, and one of the queues is full, nobody gets it and its publisher is told.
fn check_room(delivery: &DeliveryContext<'_>, targets: &Targets, bytes: usize) -> Result<(), Full> {
    let mut queues = targets.queued().peekable();
    if queues.peek().is_some() && delivery.settings.memory.room_to_store() < bytes {
        return Err(Full::Memory);
    }
    if let Some(bridge) = delivery.forward.refusing(&targets.exports) {
        let kind = "bridge_full";
        let admitted = delivery.settings.admits(kind, bridge);
        limited!(
            warn,
            admitted,
            kind,
            %bridge,
            "publish refused: the queue of a bridge that it is for is full"
        );
        return Err(Full::Bridge);
    }
    let limits = delivery.clients.limits();
    if !limits.refuse_when_full {
        return Ok(());
    }
    let full = queues.find(|id| {
        let client = delivery.clients.get(id);
        client.is_some_and(|client| !client.can_queue(limits, bytes))
    });
    let Some(full) = full else {
        return Ok(());
    };
    delivery.stats.refused.queue_full.add_one();
    delivery.warn_of_full_queue(full);
    Err(Full::Queue)
}

fn warn_of_full_retained(delivery: &DeliveryContext<'_>, message: &Message) {
    let (client, kind) = (message.publisher(), "retained_full");
    let admitted = delivery.settings.admits(kind, client);
    let (topic, bytes) = (shown(message.topic()), message.size());
    let limits = "retained.max_messages or retained.max_bytes";
    limited!(
        warn,
        admitted,
        client,
        kind,
        topic,
        bytes,
        "retained message refused: {limits} is reached"
    );
}

/// A message that nobody could refuse, to all who want it.
pub(super) fn distribute(delivery: &mut DeliveryContext<'_>, message: Message) {
    let targets = targets(delivery, &message);
    distribute_to(delivery, message, targets);
}

fn targets(delivery: &mut DeliveryContext<'_>, message: &Message) -> Targets {
    let takes = can_take(delivery.clients, message);
    Targets {
        turns: delivery.index.turns(message.topic(), takes),
        durable: delivery.index.durable_matches(message),
        exports: delivery.forward.exports(message, delivery.now),
        qos: message.qos(),
    }
}

fn distribute_to(
    delivery: &mut DeliveryContext<'_>,
    message: Message,
    targets: Targets,
) -> Vec<Arc<str>> {
    let mut slow = Vec::new();
    let (now, settings) = (delivery.now, delivery.settings);
    delivery
        .forward
        .append(targets.exports, now, settings, delivery.commits);
    for (client, kind) in targets.durable {
        if delivery.enqueue(&client, kind, message.clone()) {
            slow.push(client);
        }
    }
    for turn in targets.turns {
        deliver_to_member(delivery, turn, &message);
    }
    delivery.broadcast(message);
    slow
}

/// A group's message, to the member whose turn it is.
pub(super) fn deliver_to_member(
    delivery: &mut DeliveryContext<'_>,
    turn: MemberTurn,
    message: &Message,
) {
    let qos = message.qos().min(turn.member.qos);
    let subscription_ids: Vec<u32> = turn.member.id.into_iter().collect();
    if qos == Qos::AtMostOnce {
        send_unacknowledged(delivery, &turn.client, message, subscription_ids);
        return;
    }
    let kind = OutboxKind::Queued {
        qos,
        retain: false,
        subscription_ids,
        share: Some(turn.share),
    };
    delivery.enqueue(&turn.client, kind, message.clone());
}

/// Gives what members whose sessions have ended did not acknowledge to others of their groups, if
/// there are any.
pub(super) fn redistribute_shared(
    delivery: &mut DeliveryContext<'_>,
    unfinished_shared: Vec<(Arc<str>, Message)>,
) {
    for (share, message) in unfinished_shared {
        let takes = can_take(delivery.clients, &message);
        if let Some(turn) = delivery.index.shares_mut().pick_from(&share, takes) {
            deliver_to_member(delivery, turn, &message);
        }
    }
}

/// QoS 0 to a member of a shared subscription: dropped if the member is away or does not keep up.
fn send_unacknowledged(
    delivery: &mut DeliveryContext<'_>,
    client: &str,
    message: &Message,
    subscription_ids: Vec<u32>,
) {
    let Some(connected) = delivery.clients.connected(client) else {
        return;
    };
    let connection = &connected.connection;
    let backlog = connection.backlog.load(Ordering::Relaxed);
    if backlog > delivery.clients.limits().max_backlog_bytes {
        delivery.stats.dropped.backlog.add_one();
        return;
    }
    let sent = port::Delivery {
        seq: 0,
        packet_id: None,
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        subscription_ids,
        message: message.clone(),
    };
    delivery
        .commits
        .respond(connection, Response::Deliver(sent));
}

/// Who of a shared group can take a message now: is connected, may have it, and has room.
fn can_take(clients: &Clients, message: &Message) -> impl Fn(&str) -> bool {
    let bytes = message.size();
    move |id| {
        clients.get(id).is_some_and(|client| {
            client.may_receive_now(message.topic()) && client.can_queue(clients.limits(), bytes)
        })
    }
}
