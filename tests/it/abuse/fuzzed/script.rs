//! What hostile clients do in one run: made from arbitrary bytes, so that a fuzzer can shape it.
//! Topics, filters and ids come from small pools as often as not, because what never meets never
//! collides.

use arbitrary::{Arbitrary, Result, Unstructured};

use super::packets::{Ack, Connect, Packet, Properties, Publish, Value, Version, Will};

/// Everything that the hostile clients of one run do, in order.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Step {
    /// One of the few clients dials (again) and says CONNECT.
    Connect { who: u8, connect: Dial },
    /// A client dials and sends what it likes.
    Blurt { who: u8, bytes: Vec<u8> },
    /// A well-formed packet.
    Send { who: u8, packet: Sent },
    /// The same several times in one write.
    Repeat { who: u8, packet: Sent, times: u8 },
    /// Bytes that need not be a packet, on a standing connection.
    Raw { who: u8, bytes: Vec<u8> },
    /// The client reads, or stops reading.
    Ears { who: u8, open: bool },
    /// The connection breaks.
    Vanish { who: u8 },
    /// So many seconds pass for the desk.
    Later { seconds: u16 },
    /// The gateway is killed and comes back.
    Restart,
}

#[derive(Debug, Clone)]
pub(crate) struct Dial(pub(crate) Connect);

#[derive(Debug, Clone)]
pub(crate) struct Sent(pub(crate) Packet);

const IDS: &[&str] = &["", "ann", "bob", "gateway", "a/b", "+", "$share", "é"];
const TOPICS: &[&str] = &[
    "a",
    "a/b",
    "a/b/c",
    "/",
    "$SYS/broker/uptime",
    "rooms/r/inbox/bob/ann",
    "rooms/r/handoff/dispatch/ann",
    "rooms/r/handoff/update/bob",
    "rooms/r/blackboard/set/ann/key",
    "rooms/r/presence/announce/ann",
    "rooms/r/approve/request/ann",
    "rooms/r/blackboard/state/key",
    "rooms/r/observe/events/ann/x",
];
const FILTERS: &[&str] = &[
    "#",
    "+",
    "a/#",
    "a/+",
    "+/b/#",
    "$share/g/a/#",
    "$share/g/#",
    "$share/h/rooms/#",
    "$SYS/#",
    "rooms/#",
    "rooms/r/reply/ann",
    "rooms/r/inbox/bob/+",
    "rooms/r/handoff/work/w",
    "rooms/+/inbox/+/#",
];
const PAYLOADS: &[&str] = &[
    "",
    "x",
    r#"{"type":"w","payload":1,"id":"one"}"#,
    r#"{"value":1,"ifVersion":0,"correlationId":"c"}"#,
    r#"{"action":"x","timeoutMs":5}"#,
    r#"{"capabilities":["w"],"capacity":2}"#,
    "{",
    "\u{0}",
];

fn text(u: &mut Unstructured<'_>, pool: &[&str]) -> Result<String> {
    if u.ratio(7, 8)? {
        return Ok((*u.choose(pool)?).to_owned());
    }
    String::arbitrary(u)
}

fn payload(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    if u.ratio(3, 4)? {
        return Ok(u.choose(PAYLOADS)?.as_bytes().to_vec());
    }
    Vec::arbitrary(u)
}

/// Properties of any packet; some will not be allowed in it.
fn properties(u: &mut Unstructured<'_>) -> Result<Properties> {
    let mut all = Properties::new();
    while !u.is_empty() && u.ratio(1, 3)? {
        let id = *u.choose(&[
            0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x11, 0x17, 0x18, 0x19, 0x21, 0x22, 0x23, 0x26,
            0x27,
        ])?;
        let value = match id {
            0x01 | 0x17 | 0x19 => Value::Byte(u.arbitrary()?),
            0x21..=0x23 => Value::Two(u.int_in_range(0..=20)?),
            0x02 | 0x11 | 0x18 | 0x27 => Value::Four(*u.choose(&[0, 1, 20, 100, u32::MAX])?),
            0x0B => Value::Variable(u.int_in_range(0..=0x0fff_ffff)?),
            0x03 => Value::Text(u.arbitrary()?),
            0x08 => Value::Text(text(u, TOPICS)?),
            0x09 => Value::Binary(u.arbitrary()?),
            _ => Value::Pair(text(u, &["k", "traceparent"])?, u.arbitrary()?),
        };
        all = all.with(id, value);
    }
    Ok(all)
}

impl<'a> Arbitrary<'a> for Dial {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Dial> {
        let version = *u.choose(&[Version::V311, Version::V5])?;
        let will = if u.ratio(1, 3)? {
            Some(Will {
                topic: text(u, TOPICS)?,
                payload: payload(u)?,
                qos: u.int_in_range(0..=3)?,
                retain: u.arbitrary()?,
                properties: properties(u)?,
            })
        } else {
            None
        };
        Ok(Dial(Connect {
            version,
            client_id: text(u, IDS)?,
            clean: u.arbitrary()?,
            keep_alive: u.arbitrary()?,
            will,
            username: u.arbitrary()?,
            password: u.arbitrary()?,
            properties: properties(u)?,
        }))
    }
}

impl<'a> Arbitrary<'a> for Sent {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Sent> {
        let packet_id = u.int_in_range(0..=6)?;
        let ack = Ack {
            packet_id,
            code: *u.choose(&[0, 0, 0, 0x10, 0x80, 0x92])?,
        };
        Ok(Sent(match u.int_in_range(0..=10)? {
            0..=3 => {
                let qos = u.int_in_range(0..=3)?;
                Packet::Publish(Publish {
                    dup: u.ratio(1, 4)?,
                    qos,
                    retain: u.ratio(1, 3)?,
                    topic: text(u, TOPICS)?,
                    packet_id: (qos > 0).then_some(packet_id),
                    properties: properties(u)?,
                    payload: payload(u)?,
                })
            }
            4 | 5 => {
                let mut filters = Vec::new();
                while filters.is_empty() || !u.is_empty() && u.ratio(1, 2)? {
                    filters.push((text(u, FILTERS)?, *u.choose(&[0, 1, 2, 5, 9, 0x22, 0xff])?));
                }
                Packet::Subscribe {
                    packet_id,
                    filters,
                    properties: properties(u)?,
                }
            }
            6 => Packet::Unsubscribe {
                packet_id,
                filters: vec![text(u, FILTERS)?],
            },
            7 => Packet::PubAck(ack),
            8 if u.arbitrary()? => Packet::PubRec(ack),
            8 => Packet::PubComp(ack),
            9 => Packet::PubRel(ack),
            _ if u.ratio(3, 4)? => Packet::PingReq,
            _ => Packet::Disconnect {
                code: *u.choose(&[0, 4, 0x80])?,
                properties: properties(u)?,
            },
        }))
    }
}
