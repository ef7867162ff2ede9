//! While the disk takes nothing: who needs it is refused at once, and who does not goes on.
//!
//! Sessions that end with their connection keep nothing, so that what answers them about themselves
//! needs no commit; it waits for one only to keep its place among other answers. While there is
//! none, it goes without. What it would show of others' changes is held to what is on disk.

use std::sync::Arc;

use super::clients::Clients;
use super::delivery::DeliveryContext;
use super::port::{CloseReason, OpenRequest, Response, Subscription};
use super::timers::ClientTimer;
use crate::log_limiter::limited;
use crate::wire::reply::Code;

/// How long a client waits whose SUBSCRIBE came before the disk was known to refuse. It is as long
/// as `mqtt.connect_timeout` is by default; who comes later waits for nothing.
const LONGEST_WAIT_MS: u64 = 10_000;

/// The disk refuses what it is given, from now on. Who has subscribed just before is not answered
/// for longer than [`LONGEST_WAIT_MS`].
pub(super) fn begin(delivery: &mut DeliveryContext<'_>) {
    let ids = delivery.clients.iter().map(|client| client.id.clone());
    let waiting = ids.filter(|id| delivery.clients.waits_for_disk(id, delivery.commits));
    for id in waiting.collect::<Vec<_>>() {
        delivery.set_timer(
            delivery.now + LONGEST_WAIT_MS,
            ClientTimer::SubackTimeout(id),
        );
    }
}

/// Whether a client that connects brings, or has, something that must be on disk before it is told
/// that it is connected.
pub(super) fn needs_disk(clients: &Clients, open: &OpenRequest) -> bool {
    let client = clients.get(&open.client_id);
    open.is_durable()
        || open.will.is_some()
        || client.is_some_and(|known| {
            known.will_stored || known.delayed_will.is_some() || known.state.is_durable()
        })
}

/// Refuses a client that needs the disk while it takes nothing. Nothing has come of its CONNECT.
pub(super) fn refuses_client(delivery: &DeliveryContext<'_>, open: &OpenRequest) -> bool {
    let refuses = delivery.commits.is_stalled() && needs_disk(delivery.clients, open);
    if refuses {
        delivery.stats.refused_sessions.add_one();
        let id = &open.client_id;
        let admitted = delivery.settings.admits("disk", id);
        limited!(warn, admitted, client = %id, kind = "disk", "connection refused: its session cannot be written to disk");
        let refusal = Response::Close(CloseReason::NoDisk);
        drop(open.connection.responses.send(refusal));
    }
    refuses
}

/// Refuses a SUBSCRIBE of a session that is kept while the disk takes nothing, unless its place is
/// behind one that waits.
pub(super) fn refuses_subscriptions(
    delivery: &DeliveryContext<'_>,
    id: &Arc<str>,
    packet_id: u16,
    asked: &[Subscription],
) -> bool {
    let Some(client) = delivery.clients.get(id) else {
        return false;
    };
    let commits = &delivery.commits;
    let refuses = commits.is_stalled() && client.state.is_durable();
    let connected = client.state.connected();
    let Some(connected) = connected.filter(|own| refuses && commits.is_durable(own.subscribed_in))
    else {
        return false;
    };
    let response = Response::Subscribed {
        packet_id,
        results: vec![Err(Code::TooMany); asked.len()],
        retained: Vec::new(),
        retained_room: usize::MAX,
        retained_seq: delivery.retained.last_retained_seq(),
    };
    drop(connected.connection.responses.send(response));
    delivery.stats.refused_subscriptions.add(asked.len() as u64);
    let admitted = delivery.settings.admits("disk", id);
    limited!(warn, admitted, client = %id, kind = "disk", "subscriptions refused: they cannot be written to disk");
    true
}

/// Answers SUBSCRIBE or UNSUBSCRIBE, about what nobody keeps, or about what is.
pub(super) fn answer(delivery: &mut DeliveryContext<'_>, id: &Arc<str>, response: Response) {
    let Some(client) = delivery.clients.get_mut(id) else {
        return;
    };
    let durable = client.state.is_durable();
    let Some(connected) = client.state.connected_mut() else {
        return;
    };
    connected.subscribed_in = delivery.commits.number();
    if durable {
        delivery.commits.respond(&connected.connection, response);
        if delivery.commits.is_stalled() {
            let at = delivery.now + LONGEST_WAIT_MS;
            delivery.set_timer(at, ClientTimer::SubackTimeout(id.clone()));
        }
    } else {
        delivery
            .commits
            .respond_non_durable(&connected.connection, response);
    }
}
