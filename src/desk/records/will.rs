//! What a will looks like in the ledger.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::desk::port::{Publication, Route};
use crate::wire::message::Message;
use crate::wire::mirror::{CommandMirrors, Trace};
use crate::wire::name::{Agent, Key};
use crate::wire::topic::RoomTopic;

/// A will, as its client gave it.
#[derive(Debug)]
pub struct WillRecord {
    /// The message, with its expiry still to be set.
    pub publication: Publication,
    /// Seconds that it waits for the client to come back.
    pub delay: u32,
    /// Seconds that it may wait for its receivers, from when it is published.
    pub expiry: Option<u32>,
}

const SUBSCRIBERS: u8 = 0;
const ENGINE: u8 = 1;
/// The same where the Content Type says CBOR.
const ENGINE_CBOR: u8 = 2;

/// The record's value: delay (4), whether there is an expiry (1), it (4), the route, the message.
pub fn encode(will: &WillRecord) -> Option<Bytes> {
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
        Route::Event { .. } | Route::Refused { .. } => return None,
    }
    out.put_slice(message.as_bytes());
    Some(out.freeze())
}

/// Reads it; `root` is the topic level of rooms, `client` whose it is.
pub fn decode(root: &str, client: &str, mut value: Bytes) -> Option<WillRecord> {
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
            topic: RoomTopic::parse(root, message.topic())?.ok()?,
            mirrors,
        },
    };
    Some(WillRecord {
        publication: Publication { message, route },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::Parts;

    fn round_trip(route: Route, topic: &str) -> WillRecord {
        let message = Message::encode(&Parts {
            topic,
            payload: b"gone",
            ..Parts::default()
        });
        let will = WillRecord {
            publication: Publication { message, route },
            delay: 7,
            expiry: Some(0),
        };
        let read = decode("rooms", "ann", encode(&will).unwrap()).unwrap();
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
