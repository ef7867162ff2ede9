//! CONNECT and CONNACK: who the client is, what it asks for, and what it is granted (MQTT 5
//! sections 3.1 and 3.2).

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use crate::desk::port::{Publication, Route, Sorted, Subscription};
use crate::mqtt::codec::connect_packet::{self, ConnectPacket, ConnectProperties, WillFields};
use crate::mqtt::codec::encode::{ErrorDetail, Output, put_string};
use crate::mqtt::codec::properties::{Properties, id};
use crate::mqtt::codec::reader::PacketReader;
use crate::mqtt::codec::reason::Reason;
use crate::mqtt::config::DoorConfig;
use crate::mqtt::disconnect_reason::DisconnectReason;
use crate::mqtt::session::inbound::sorted;
use crate::wire::filter::{check_levels, check_name};
use crate::wire::message::{Message, Parts, Qos};
use crate::wire::name::GATEWAY;

use super::assigned_id::assigned_client_id;

/// A client that was let in, as far as the session goes on asking about it.
#[derive(Debug)]
pub(in crate::mqtt) struct ClientInfo {
    /// MQTT 5; else 3.1.1.
    pub(in crate::mqtt) v5: bool,
    pub(in crate::mqtt) id: Arc<str>,
    /// The session outlives the connection.
    pub(in crate::mqtt) durable: bool,
    /// CONNECT gave the session time after the connection: DISCONNECT may change it
    /// (MQTT-3.14.2-2).
    pub(in crate::mqtt) asked_to_last: bool,
    /// Seconds; 0 for none.
    pub(in crate::mqtt) keep_alive: u16,
}

impl ClientInfo {
    /// Whether what a subscription selects may not be lost on the live plane. For a durable session
    /// QoS 1 and 2 are the desk's.
    pub(in crate::mqtt) fn relies_on(&self, subscription: &Subscription) -> bool {
        !self.durable && subscription.qos > Qos::AtMostOnce
    }
}

/// A CONNECT that was allowed.
#[derive(Debug)]
pub(in crate::mqtt) struct Connect {
    pub(in crate::mqtt) client: ClientInfo,
    pub(in crate::mqtt) clean_start: bool,
    /// Seconds.
    pub(in crate::mqtt) expiry: u32,
    /// Our limit and the client's Receive Maximum, whichever is less.
    pub(in crate::mqtt) window: u16,
    /// The client's Maximum Packet Size, in bytes.
    pub(in crate::mqtt) max_packet: usize,
    /// Our limit and the client's Topic Alias Maximum, whichever is less.
    pub(in crate::mqtt) max_alias: u16,
    /// Whether acks that refuse may say why (Request Problem Information).
    pub(in crate::mqtt) problem_information: bool,
    pub(in crate::mqtt) will: Option<ConnectWill>,
    pub(in crate::mqtt) user: Option<String>,
    pub(in crate::mqtt) password: Option<Secret>,
    pub(in crate::mqtt) assigned_id: bool,
    capped_expiry: bool,
    capped_keep_alive: bool,
}

/// Bytes that no log may show.
pub(in crate::mqtt) struct Secret(pub(in crate::mqtt) Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A will that was allowed.
#[derive(Debug)]
pub(in crate::mqtt) struct ConnectWill {
    pub(in crate::mqtt) publication: Publication,
    /// Seconds.
    pub(in crate::mqtt) delay: u32,
    /// Seconds from its publication on.
    pub(in crate::mqtt) expiry: Option<u32>,
}

/// A CONNECT that was not, and how the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) enum ConnectRefusal {
    /// In 3.1.1's words: a return code.
    V4(u8),
    /// In MQTT 5's, and the client's Maximum Packet Size.
    V5(Reason, usize),
    /// Not at all: it is not known to speak MQTT, or not known to understand.
    Silent(Reason),
}

/// 3.1.1's return codes (table 3.1 there).
const BAD_VERSION: u8 = 1;
const BAD_ID: u8 = 2;
const UNAVAILABLE: u8 = 3;
const BAD_CREDENTIALS: u8 = 4;
const NOT_AUTHORIZED: u8 = 5;

/// Reads and judges the body of the first packet.
pub(in crate::mqtt) fn connect(
    config: &DoorConfig,
    body: &[u8],
) -> Result<Connect, ConnectRefusal> {
    let mut reader = PacketReader::new(body);
    let v5 = version(&mut reader)? == 5;
    let mut wishes = ConnectProperties::default();
    let judged =
        connect_packet::read(v5, reader, &mut wishes).and_then(|asked| judge(config, v5, &asked));
    judged.map_err(|reason| {
        if v5 {
            ConnectRefusal::V5(reason, wishes.max_packet)
        } else {
            refusal_v4(reason)
        }
    })
}

/// The protocol level, if it is one that we speak (MQTT-3.1.2-2).
fn version(reader: &mut PacketReader<'_>) -> Result<u8, ConnectRefusal> {
    let name = reader.string().map_err(ConnectRefusal::Silent)?;
    let level = reader.u8().map_err(ConnectRefusal::Silent)?;
    match (name, level) {
        ("MQTT", 4 | 5) => Ok(level),
        // Bit 7 marks a bridge; bridges that are told of a wrong version try again without it.
        ("MQTT", 6..=0x7f) => Err(ConnectRefusal::V5(Reason::UnsupportedVersion, usize::MAX)),
        ("MQTT" | "MQIsdp", _) => Err(ConnectRefusal::V4(BAD_VERSION)),
        _ => Err(ConnectRefusal::Silent(Reason::Protocol)),
    }
}

fn refusal_v4(reason: Reason) -> ConnectRefusal {
    match reason {
        Reason::ClientIdRefused => ConnectRefusal::V4(BAD_ID),
        Reason::NotAuthorized => ConnectRefusal::V4(NOT_AUTHORIZED),
        other => ConnectRefusal::Silent(other),
    }
}

fn judge(config: &DoorConfig, v5: bool, asked: &ConnectPacket<'_>) -> Result<Connect, Reason> {
    let wishes = asked.wishes;
    if wishes.extended_authentication {
        return Err(Reason::BadAuthentication);
    }
    let assigned_id = asked.client_id.is_empty();
    if asked.client_id == GATEWAY || (assigned_id && !v5 && !asked.clean_start) {
        return Err(Reason::ClientIdRefused);
    }
    let id: Arc<str> = if assigned_id {
        assigned_client_id().into()
    } else {
        asked.client_id.into()
    };
    let will = asked
        .will
        .as_ref()
        .map(|will| judge_will(config, &id, will))
        .transpose()?;
    let wanted = match v5 {
        true => wishes.session_expiry,
        false if asked.clean_start => 0,
        false => u32::MAX,
    };
    let expiry = wanted.min(config.mqtt.longest_session());
    let longest = config.mqtt.longest_keep_alive().filter(|_| v5);
    let too_long = |longest: &u16| asked.keep_alive == 0 || asked.keep_alive > *longest;
    let capped = longest.filter(too_long);
    let connect = Connect {
        client: ClientInfo {
            v5,
            id,
            durable: expiry > 0,
            asked_to_last: wanted > 0,
            keep_alive: capped.unwrap_or(asked.keep_alive),
        },
        clean_start: asked.clean_start,
        expiry,
        window: config.mqtt.max_inflight.min(wishes.receive_maximum),
        max_packet: wishes.max_packet,
        max_alias: config.mqtt.topic_alias_max.min(wishes.topic_alias_maximum),
        problem_information: wishes.problem_information,
        will,
        user: asked.user_name.map(str::to_owned),
        password: asked.password.map(|password| Secret(password.to_vec())),
        assigned_id,
        capped_expiry: expiry != wanted,
        capped_keep_alive: capped.is_some(),
    };
    connect.check_answer(config)?;
    Ok(connect)
}

fn judge_will(config: &DoorConfig, id: &str, will: &WillFields<'_>) -> Result<ConnectWill, Reason> {
    check_name(will.topic)?;
    check_levels(will.topic, config.mqtt.max_topic_levels)?;
    let properties = Properties::parse(&will.properties)?;
    if !properties.fits(will.payload) {
        return Err(Reason::PayloadInvalid);
    }
    let route = match sorted(&config.root, id, will.topic, &properties) {
        // Nobody waits for its acknowledgement: it is passed on, and not remembered.
        Sorted::Plain | Sorted::Told(_) => Route::Subscribers,
        Sorted::Desk(route) => route,
        Sorted::Dollar | Sorted::Refused(_) | Sorted::Forbidden => {
            return Err(Reason::NotAuthorized);
        }
    };
    let message = Message::encode(&Parts {
        topic: will.topic,
        publisher: id,
        qos: will.qos,
        retain: will.retain,
        retained_seq: 0,
        expires_at: 0,
        properties: &properties.forwarded,
        payload: will.payload,
    });
    Ok(ConnectWill {
        publication: Publication { message, route },
        delay: will.delay,
        expiry: properties.expiry,
    })
}

impl Connect {
    /// Gives a client that brought no id another one than it would have had.
    pub(in crate::mqtt) fn assign(&mut self, id: Arc<str>) {
        if let Some(will) = &mut self.will {
            let message = &will.publication.message;
            will.publication.message = Message::encode(&Parts {
                publisher: &id,
                ..message.parts()
            });
        }
        self.client.id = id;
    }

    /// A client that cannot be sent CONNACK cannot be let in (MQTT-3.1.2-24).
    fn check_answer(&self, config: &DoorConfig) -> Result<(), Reason> {
        let mut answer = Output::default();
        self.accept(config, false, &mut answer);
        if answer.len() > self.max_packet {
            return Err(Reason::ImplementationSpecific);
        }
        Ok(())
    }

    /// CONNACK for a client that is let in (MQTT 5 section 3.2.2.3).
    pub(in crate::mqtt) fn accept(
        &self,
        config: &DoorConfig,
        session_present: bool,
        out: &mut Output,
    ) {
        if !self.client.v5 {
            out.connack(session_present, 0, None);
            return;
        }
        let mut block = BytesMut::with_capacity(64);
        if self.capped_expiry {
            block.put_u8(id::SESSION_EXPIRY);
            block.put_u32(self.expiry);
        }
        block.put_u8(id::RECEIVE_MAXIMUM);
        block.put_u16(config.mqtt.receive_maximum);
        block.put_u8(id::MAXIMUM_PACKET_SIZE);
        block.put_u32(u32::try_from(config.mqtt.max_packet.0).unwrap_or(u32::MAX));
        if config.mqtt.topic_alias_max > 0 {
            block.put_u8(id::TOPIC_ALIAS_MAXIMUM);
            block.put_u16(config.mqtt.topic_alias_max);
        }
        if self.assigned_id {
            block.put_u8(id::ASSIGNED_CLIENT_ID);
            put_string(&mut block, self.client.id.as_bytes());
        }
        if self.capped_keep_alive {
            block.put_u8(id::SERVER_KEEP_ALIVE);
            block.put_u16(self.client.keep_alive);
        }
        out.connack(session_present, 0, Some(&block));
    }

    /// The refusal of a client that could have been let in, had all been well on our side.
    pub(in crate::mqtt) fn turn_away(&self, reason: Reason) -> ConnectRefusal {
        if self.client.v5 {
            // CONNACK's list of reasons (MQTT 5 section 3.2.2.2) knows neither of the two.
            let reason = match reason {
                Reason::ShuttingDown | Reason::TakenOver => Reason::ServerUnavailable,
                other => other,
            };
            ConnectRefusal::V5(reason, self.max_packet)
        } else {
            ConnectRefusal::V4(match reason {
                Reason::BadCredentials => BAD_CREDENTIALS,
                Reason::NotAuthorized => NOT_AUTHORIZED,
                Reason::ClientIdRefused => BAD_ID,
                _ => UNAVAILABLE,
            })
        }
    }
}

impl ConnectRefusal {
    /// Its name and its words for the log.
    pub(in crate::mqtt) fn told(self) -> (&'static str, &'static str) {
        let reason = match self {
            ConnectRefusal::V4(BAD_VERSION) => Reason::UnsupportedVersion,
            ConnectRefusal::V4(BAD_ID) => Reason::ClientIdRefused,
            ConnectRefusal::V4(NOT_AUTHORIZED) => Reason::NotAuthorized,
            ConnectRefusal::V4(BAD_CREDENTIALS) => Reason::BadCredentials,
            ConnectRefusal::V4(_) => Reason::ServerUnavailable,
            ConnectRefusal::V5(reason, _) | ConnectRefusal::Silent(reason) => reason,
        };
        match reason {
            Reason::UnsupportedVersion => (
                "version",
                "it asks for a version of MQTT other than 3.1.1 and 5.0",
            ),
            Reason::ClientIdRefused => ("client_id_refused", "its client id cannot be used"),
            Reason::BadAuthentication => (
                "authentication_method",
                "it asks for an authentication method, and there is none",
            ),
            Reason::Protocol if matches!(self, ConnectRefusal::Silent(_)) => (
                "no_connect",
                "what it sends does not begin with CONNECT of MQTT",
            ),
            Reason::PacketTooLarge => (
                "connect_too_large",
                "CONNECT is larger than mqtt.max_connect_packet",
            ),
            Reason::Malformed => ("connect_malformed", "CONNECT does not read as MQTT says"),
            other => {
                let ending = DisconnectReason::from(other);
                (ending.name(), ending.words())
            }
        }
    }

    /// CONNACK for a client that is not let in; `speaks`: with a Reason String.
    pub(in crate::mqtt) fn write(self, speaks: bool, out: &mut Output) {
        match self {
            ConnectRefusal::V4(code) => out.connack(false, code, None),
            ConnectRefusal::V5(reason, max_packet) => {
                out.configure(max_packet, ErrorDetail::at_the_door(speaks));
                out.connack_refusal(reason);
            }
            ConnectRefusal::Silent(_) => {}
        }
    }
}
