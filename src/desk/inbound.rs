//! Packet ids of QoS 2 publishes, from PUBLISH to PUBREL: one that comes meanwhile is a repeat
//! (method B of MQTT 5 section 4.3.3).

use bytes::Bytes;

use super::clients::Clients;
use super::commits::Commits;
use super::port::Response;
use super::records;
use crate::ledger::Space;

/// Whether a packet id is between PUBLISH and PUBREL: then this is a repeat (MQTT-4.3.3-10).
pub(super) fn was_taken(clients: &Clients, id: &str, packet_id: u16) -> bool {
    let session = clients.session(id);
    session.is_some_and(|session| session.unreleased.contains(&packet_id))
}

/// The id joins the batch of its message: both are on disk, or neither (CVE-2026-8741).
pub(super) fn take(clients: &mut Clients, commits: &mut Commits, id: &str, packet_id: u16) {
    let Some(session) = clients.session_mut(id) else {
        return;
    };
    session.unreleased.insert(packet_id);
    if session.durable {
        let key = records::inbound_key(id, packet_id);
        commits.put(Space::Inbound, key, Bytes::new());
    }
}

/// PUBREL. Its effect is on disk before PUBCOMP says that the id is free, else a crash would take
/// the id's next message for a repeat.
pub(super) fn release(clients: &mut Clients, commits: &mut Commits, id: &str, packet_id: u16) {
    let Some(client) = clients.get_mut(id) else {
        return;
    };
    if let Some(session) = client.state.session_mut()
        && session.unreleased.remove(&packet_id)
        && session.durable
    {
        commits.delete(Space::Inbound, records::inbound_key(id, packet_id));
    }
    if let Some(connected) = client.state.connected() {
        commits.respond(&connected.connection, Response::Released { packet_id });
    }
}
