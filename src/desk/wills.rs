//! Wills on disk: stored with the connection that they are for, gone once they are published or discarded, and published after a
//! restart where a crash broke that connection (MQTT-3.1.2-7, MQTT-3.1.2-8).

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::clients::Will;
use super::core::{Desk, DeskSettings};
use super::memory::{Held, Holder};
use super::port::{Publication, Route};
use super::records;
use super::timers::Timer;
use crate::ledger::Space;
use crate::wire::Millis;
use crate::wire::message::Message;
use crate::wire::mirror::{CommandMirrors, Trace};
use crate::wire::name::{Agent, Key};
use crate::wire::topic::RoomTopic;

const SUBSCRIBERS: u8 = 0;
const ENGINE: u8 = 1;
/// The same where the Content Type says CBOR.
const ENGINE_CBOR: u8 = 2;

/// The record's value: delay (4), whether there is an expiry (1), it (4), the route, the message.
fn encode(will: &Will) -> Option<Bytes> {
    let message = &will.publication.message;
    let mut out = BytesMut::with_capacity(message.size() + 16);
    out.put_u32(will.delay);
    out.put_u8(u8::from(will.expiry.is_some()));
    out.put_u32(will.expiry.unwrap_or_default());
    match &will.publication.route {
        Route::Subscribers => out.put_u8(SUBSCRIBERS),
        Route::Engine { mirrors, .. } => {
            out.put_u8(if mirrors.is_cbor { ENGINE_CBOR } else { ENGINE });
            put_text(&mut out, mirrors.correlation_id.as_deref());
            put_text(&mut out, mirrors.reply_rest.as_ref().map(Key::as_str));
            put_text(&mut out, mirrors.trace.traceparent.as_deref());
            put_text(&mut out, mirrors.trace.tracestate.as_deref());
            out.put_u64(mirrors.ttl_ms.unwrap_or(u64::MAX));
        }
        // Such a will is refused with its CONNECT.
        Route::Refused { .. } => return None,
    }
    out.put_slice(message.as_bytes());
    Some(out.freeze())
}

pub(super) fn decode(settings: &DeskSettings, client: &str, mut value: Bytes) -> Option<Will> {
    let delay = value.try_get_u32().ok()?;
    let expires = value.try_get_u8().ok()? != 0;
    let expiry = value.try_get_u32().ok()?;
    let mirrors = match value.try_get_u8().ok()? {
        SUBSCRIBERS => None,
        tag @ (ENGINE | ENGINE_CBOR) => Some(CommandMirrors {
            is_cbor: tag == ENGINE_CBOR,
            ..take_mirrors(&mut value)?
        }),
        _ => return None,
    };
    let message = Message::decode(value).ok()?;
    let route = match mirrors {
        None => Route::Subscribers,
        Some(mirrors) => Route::Engine {
            from: Agent::new(client).ok()?,
            topic: RoomTopic::parse(&settings.root, message.topic())?.ok()?,
            mirrors,
        },
    };
    Some(Will {
        _held: Held::new(&settings.memory, Holder::Wills, message.size()),
        publication: Publication { message, route },
        gate: None,
        delay,
        expiry: expires.then_some(expiry),
    })
}

fn take_mirrors(value: &mut Bytes) -> Option<CommandMirrors> {
    let correlation_id = take_text(value)?;
    let reply_rest = take_text(value)?;
    let traceparent = take_text(value)?;
    let tracestate = take_text(value)?;
    let ttl_ms = value.try_get_u64().ok()?;
    Some(CommandMirrors {
        correlation_id,
        reply_rest: reply_rest.map(|rest| Key::new(&rest)).transpose().ok()?,
        ttl_ms: (ttl_ms != u64::MAX).then_some(ttl_ms),
        trace: Trace {
            traceparent,
            tracestate,
        },
        is_cbor: false,
    })
}

/// Texts come from MQTT properties, so 16 bits count them; one bit more says whether there is one.
fn put_text(out: &mut BytesMut, text: Option<&str>) {
    let text = text.map(str::as_bytes);
    out.put_u8(u8::from(text.is_some()));
    let text = text.unwrap_or_default();
    out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.put_slice(text);
}

/// The outer `None` is an unreadable record.
fn take_text(value: &mut Bytes) -> Option<Option<String>> {
    let is_there = value.try_get_u8().ok()? != 0;
    let len = usize::try_from(value.try_get_u32().ok()?).ok()?;
    let text = (value.len() >= len).then(|| value.split_to(len))?;
    let text = String::from_utf8(text.to_vec()).ok()?;
    Some(is_there.then_some(text))
}

impl Desk {
    /// Stores the will of the connection that was just accepted, or forgets that of an earlier one.
    pub(super) fn store_will(&mut self, id: &Arc<str>) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let will = client
            .connected
            .as_ref()
            .and_then(|connected| connected.will.as_ref());
        match will.and_then(encode) {
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
                .session
                .as_ref()
                .filter(|session| session.expiry > 0)
                .map(|session| session.offline_since.unwrap_or(now));
            let at = since.map_or(now, |since| since + u64::from(will.delay) * 1000);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::Parts;

    fn round_trip(route: Route, topic: &str) -> Will {
        let message = Message::encode(&Parts {
            topic,
            payload: b"gone",
            ..Parts::default()
        });
        let settings = crate::desk::tests::settings();
        let will = Will {
            _held: Held::new(&settings.memory, Holder::Wills, 0),
            gate: None,
            publication: Publication { message, route },
            delay: 7,
            expiry: Some(0),
        };
        let read = decode(&settings, "ann", encode(&will).unwrap()).unwrap();
        assert_eq!((read.delay, read.expiry), (7, Some(0)));
        assert_eq!(&read.publication.message.payload()[..], b"gone");
        read
    }

    #[test]
    fn wills_are_read_as_they_were_written() {
        let plain = round_trip(Route::Subscribers, "a/b");
        assert!(matches!(plain.publication.route, Route::Subscribers));
        let text = "rooms/lab/presence/announce/ann";
        let written = CommandMirrors {
            correlation_id: Some(String::new()),
            reply_rest: Key::new("x/y").ok(),
            ttl_ms: Some(5),
            trace: Trace::default(),
            is_cbor: true,
        };
        let command = Route::Engine {
            from: Agent::new("ann").unwrap(),
            topic: RoomTopic::parse("rooms", text).unwrap().unwrap(),
            mirrors: written.clone(),
        };
        match round_trip(command, text).publication.route {
            Route::Engine { from, mirrors, .. } => {
                assert_eq!((from.as_str(), mirrors), ("ann", written));
            }
            other => panic!("{other:?}"),
        }
    }
}
