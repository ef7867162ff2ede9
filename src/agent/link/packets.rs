//! Packets to bytes and back. Which version of MQTT is spoken is known here and nowhere else.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::{self as mqtt, v4};
use rumqttc::v5::mqttbytes::{self as mqtt5, v5};

use super::options::{LinkOptions, Protocol};
use super::{Level, Posting};
use crate::agent::error::{Error, Refusal};
use crate::wire::filter::check_name;
use crate::wire::reply::Code;

/// The largest packet that is read. The gateway's own bounds are far below.
const MAX_INCOMING: u32 = 16 * 1024 * 1024;
/// Where the gateway does not say what it takes: its default, `mqtt.max_packet`.
const USUAL_MAX_OUTGOING: u32 = 1024 * 1024;

/// What comes from the gateway.
#[derive(Debug)]
pub(super) enum FromGateway {
    Welcome(Welcome),
    /// CONNACK with a refusal; `is_final` where another try makes no sense.
    Unwelcome {
        reason: String,
        is_final: bool,
    },
    Publish(IncomingPublish),
    /// PUBACK, with what it refuses.
    Acknowledged {
        id: u16,
        refused: Option<Error>,
    },
    /// SUBACK: for each filter nothing, or why not.
    Subscribed {
        id: u16,
        refused: Vec<Option<Error>>,
    },
    Unsubscribed {
        id: u16,
    },
    Pong,
    /// DISCONNECT.
    Farewell {
        is_taken: bool,
        reason: String,
    },
}

/// What a CONNACK grants.
#[derive(Debug)]
pub(super) struct Welcome {
    pub(super) resumed: bool,
    /// Publishes in flight at most.
    pub(super) limit: u16,
    pub(super) keep_alive: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct IncomingPublish {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    /// At QoS 1.
    pub(super) id: Option<u16>,
    pub(super) dup: bool,
    pub(super) retain: bool,
}

/// One connection's packets.
#[derive(Debug)]
pub(super) struct Codec {
    protocol: Protocol,
    max_outgoing: u32,
}

impl Codec {
    pub(super) fn new(protocol: Protocol) -> Codec {
        Codec {
            protocol,
            max_outgoing: USUAL_MAX_OUTGOING,
        }
    }

    /// The next packet, once all of it is there.
    ///
    /// # Errors
    /// In words, if it is none: the connection is of no use any more.
    pub(super) fn read(&mut self, input: &mut BytesMut) -> Result<Option<FromGateway>, String> {
        match self.protocol {
            Protocol::V5 => match v5::Packet::read(input, Some(MAX_INCOMING)) {
                Ok(packet) => self.understand(packet).map(Some),
                Err(mqtt5::Error::InsufficientBytes(_)) => Ok(None),
                Err(error) => Err(error.to_string()),
            },
            Protocol::V311 => match v4::Packet::read(input, MAX_INCOMING as usize) {
                Ok(packet) => from_v4(packet).map(Some),
                Err(mqtt::Error::InsufficientBytes(_)) => Ok(None),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    fn understand(&mut self, packet: v5::Packet) -> Result<FromGateway, String> {
        Ok(match packet {
            v5::Packet::ConnAck(connack) => self.welcome(connack),
            v5::Packet::Publish(publish) => FromGateway::Publish(IncomingPublish {
                topic: publish.topic,
                payload: publish.payload,
                id: (publish.pkid != 0).then_some(publish.pkid),
                dup: publish.dup,
                retain: publish.retain,
            }),
            v5::Packet::PubAck(puback) => FromGateway::Acknowledged {
                id: puback.pkid,
                refused: refusal_of(&puback),
            },
            v5::Packet::SubAck(suback) => FromGateway::Subscribed {
                id: suback.pkid,
                refused: suback
                    .return_codes
                    .iter()
                    .map(|code| match code {
                        v5::SubscribeReasonCode::Success(_) => None,
                        other => Some(unsubscribable(format!("{other:?}"))),
                    })
                    .collect(),
            },
            v5::Packet::UnsubAck(unsuback) => FromGateway::Unsubscribed { id: unsuback.pkid },
            v5::Packet::PingResp(_) => FromGateway::Pong,
            v5::Packet::Disconnect(farewell) => FromGateway::Farewell {
                is_taken: farewell.reason_code == v5::DisconnectReasonCode::SessionTakenOver,
                reason: farewell
                    .properties
                    .and_then(|properties| properties.reason_string)
                    .unwrap_or_else(|| format!("{:?}", farewell.reason_code)),
            },
            other => return Err(format!("unexpected packet: {other:?}")),
        })
    }

    fn welcome(&mut self, connack: v5::ConnAck) -> FromGateway {
        use v5::ConnectReturnCode as Returned;
        let properties = connack.properties;
        if connack.code != Returned::Success {
            let words = properties.and_then(|properties| properties.reason_string);
            return FromGateway::Unwelcome {
                reason: words.unwrap_or_else(|| format!("{:?}", connack.code)),
                is_final: matches!(
                    connack.code,
                    Returned::ClientIdentifierNotValid
                        | Returned::BadUserNamePassword
                        | Returned::NotAuthorized
                        | Returned::Banned
                        | Returned::UnsupportedProtocolVersion
                ),
            };
        }
        let properties = properties.as_ref();
        if let Some(max) = properties.and_then(|properties| properties.max_packet_size) {
            self.max_outgoing = max;
        }
        FromGateway::Welcome(Welcome {
            resumed: connack.session_present,
            limit: properties
                .and_then(|properties| properties.receive_max)
                .unwrap_or(u16::MAX),
            keep_alive: properties
                .and_then(|properties| properties.server_keep_alive)
                .map(|seconds| Duration::from_secs(seconds.into())),
        })
    }

    /// Adds a CONNECT. `is_new`: with a session of its own; `is_kept`: which outlives the
    /// connection.
    pub(super) fn connect(
        &self,
        options: &LinkOptions,
        is_new: bool,
        is_kept: bool,
        out: &mut BytesMut,
    ) -> Result<(), String> {
        let keep_alive = u16::try_from(options.keep_alive.as_secs()).unwrap_or(u16::MAX);
        let credentials = options.credentials.as_ref();
        match self.protocol {
            Protocol::V5 => {
                let mut properties = v5::ConnectProperties::new();
                let session = if is_kept {
                    options.session.as_secs()
                } else {
                    0
                };
                properties.session_expiry_interval =
                    Some(u32::try_from(session).unwrap_or(u32::MAX));
                properties.receive_maximum = Some(options.window);
                properties.max_packet_size = Some(MAX_INCOMING);
                let connect = v5::Connect {
                    keep_alive,
                    client_id: options.agent.clone(),
                    clean_start: is_new,
                    properties: Some(properties),
                };
                let login = credentials.map(|(name, word)| v5::Login::new(name, word));
                self.put_v5(&v5::Packet::Connect(connect, None, login), out)
            }
            Protocol::V311 => {
                let connect = v4::Connect {
                    keep_alive,
                    clean_session: is_new,
                    login: credentials.map(|(name, word)| v4::Login::new(name, word)),
                    ..v4::Connect::new(&options.agent)
                };
                self.put_v4(&v4::Packet::Connect(connect), out)
            }
        }
    }

    /// Adds a PUBLISH.
    ///
    /// # Errors
    /// 413 if it is larger than the gateway takes; 400 for a topic for which it would end the
    /// connection, again and again (MQTT-3.3.2-2).
    pub(super) fn publish(
        &self,
        id: u16,
        publication: &Posting,
        dup: bool,
        out: &mut BytesMut,
    ) -> Result<(), Error> {
        let Posting {
            topic,
            payload,
            expiry,
            retain,
            ..
        } = publication;
        check_name(topic).map_err(|rule| refused(topic, Code::Malformed, rule.to_string()))?;
        let written = match self.protocol {
            Protocol::V5 => {
                let properties = expiry.map(|seconds| v5::PublishProperties {
                    message_expiry_interval: Some(seconds),
                    ..v5::PublishProperties::default()
                });
                let publish = v5::Publish {
                    dup,
                    qos: mqtt5::QoS::AtLeastOnce,
                    retain: *retain,
                    topic: Bytes::copy_from_slice(topic.as_bytes()),
                    pkid: id,
                    payload: payload.clone(),
                    properties,
                };
                self.put_v5(&v5::Packet::Publish(publish), out)
            }
            Protocol::V311 => {
                let publish = v4::Publish {
                    dup,
                    qos: mqtt::QoS::AtLeastOnce,
                    retain: *retain,
                    topic: topic.clone(),
                    pkid: id,
                    payload: payload.clone(),
                };
                self.put_v4(&v4::Packet::Publish(publish), out)
            }
        };
        written.map_err(|reason| refused(topic, Code::TooLarge, reason))
    }

    pub(super) fn subscribe(
        &self,
        id: u16,
        filters: &[(&str, Level)],
        out: &mut BytesMut,
    ) -> Result<(), String> {
        match self.protocol {
            Protocol::V5 => {
                let qos = |level| match level {
                    Level::Fleeting => mqtt5::QoS::AtMostOnce,
                    Level::Certain => mqtt5::QoS::AtLeastOnce,
                };
                let filters = filters
                    .iter()
                    .map(|(filter, level)| v5::Filter::new(*filter, qos(*level)));
                let mut subscribe = v5::Subscribe::new_many(filters, None);
                subscribe.pkid = id;
                self.put_v5(&v5::Packet::Subscribe(subscribe), out)
            }
            Protocol::V311 => {
                let qos = |level| match level {
                    Level::Fleeting => mqtt::QoS::AtMostOnce,
                    Level::Certain => mqtt::QoS::AtLeastOnce,
                };
                let filters = filters
                    .iter()
                    .map(|(filter, level)| v4::SubscribeFilter::new((*filter).into(), qos(*level)));
                let mut subscribe = v4::Subscribe::new_many(filters);
                subscribe.pkid = id;
                self.put_v4(&v4::Packet::Subscribe(subscribe), out)
            }
        }
    }

    pub(super) fn unsubscribe(
        &self,
        id: u16,
        filter: &str,
        out: &mut BytesMut,
    ) -> Result<(), String> {
        match self.protocol {
            Protocol::V5 => {
                let mut unsubscribe = v5::Unsubscribe::new(filter, None);
                unsubscribe.pkid = id;
                self.put_v5(&v5::Packet::Unsubscribe(unsubscribe), out)
            }
            Protocol::V311 => {
                let mut unsubscribe = v4::Unsubscribe::new(filter);
                unsubscribe.pkid = id;
                self.put_v4(&v4::Packet::Unsubscribe(unsubscribe), out)
            }
        }
    }

    pub(super) fn acknowledge(&self, id: u16, out: &mut BytesMut) -> Result<(), String> {
        match self.protocol {
            Protocol::V5 => self.put_v5(&v5::Packet::PubAck(v5::PubAck::new(id, None)), out),
            Protocol::V311 => self.put_v4(&v4::Packet::PubAck(v4::PubAck::new(id)), out),
        }
    }

    pub(super) fn ping(&self, out: &mut BytesMut) -> Result<(), String> {
        match self.protocol {
            Protocol::V5 => self.put_v5(&v5::Packet::PingReq(v5::PingReq), out),
            Protocol::V311 => self.put_v4(&v4::Packet::PingReq, out),
        }
    }

    /// Adds a DISCONNECT, which on MQTT 5 ends the session, too.
    pub(super) fn disconnect(&self, out: &mut BytesMut) -> Result<(), String> {
        match self.protocol {
            Protocol::V5 => {
                let mut disconnect =
                    v5::Disconnect::new(v5::DisconnectReasonCode::NormalDisconnection);
                disconnect.properties = Some(v5::DisconnectProperties {
                    session_expiry_interval: Some(0),
                    reason_string: None,
                    user_properties: Vec::new(),
                    server_reference: None,
                });
                self.put_v5(&v5::Packet::Disconnect(disconnect), out)
            }
            Protocol::V311 => self.put_v4(&v4::Packet::Disconnect, out),
        }
    }

    fn put_v5(&self, packet: &v5::Packet, out: &mut BytesMut) -> Result<(), String> {
        let written = packet.write(out, Some(self.max_outgoing));
        written.map(drop).map_err(|error| error.to_string())
    }

    fn put_v4(&self, packet: &v4::Packet, out: &mut BytesMut) -> Result<(), String> {
        let written = packet.write(out, self.max_outgoing as usize);
        written.map(drop).map_err(|error| error.to_string())
    }
}

fn from_v4(packet: v4::Packet) -> Result<FromGateway, String> {
    Ok(match packet {
        v4::Packet::ConnAck(connack) => match connack.code {
            v4::ConnectReturnCode::Success => FromGateway::Welcome(Welcome {
                resumed: connack.session_present,
                limit: u16::MAX,
                keep_alive: None,
            }),
            code => FromGateway::Unwelcome {
                reason: format!("{code:?}"),
                is_final: code != v4::ConnectReturnCode::ServiceUnavailable,
            },
        },
        v4::Packet::Publish(publish) => FromGateway::Publish(IncomingPublish {
            topic: publish.topic.into(),
            payload: publish.payload,
            id: (publish.pkid != 0).then_some(publish.pkid),
            dup: publish.dup,
            retain: publish.retain,
        }),
        v4::Packet::PubAck(puback) => FromGateway::Acknowledged {
            id: puback.pkid,
            refused: None,
        },
        v4::Packet::SubAck(suback) => FromGateway::Subscribed {
            id: suback.pkid,
            refused: suback
                .return_codes
                .iter()
                .map(|code| match code {
                    v4::SubscribeReasonCode::Success(_) => None,
                    other => Some(unsubscribable(format!("{other:?}"))),
                })
                .collect(),
        },
        v4::Packet::UnsubAck(unsuback) => FromGateway::Unsubscribed { id: unsuback.pkid },
        v4::Packet::PingResp => FromGateway::Pong,
        other => return Err(format!("unexpected packet: {other:?}")),
    })
}

/// What a PUBACK refuses: as close to the reply's code as its reason comes.
fn refusal_of(puback: &v5::PubAck) -> Option<Error> {
    let code = match puback.reason {
        v5::PubAckReason::Success | v5::PubAckReason::NoMatchingSubscribers => return None,
        v5::PubAckReason::NotAuthorized => Code::Forbidden,
        v5::PubAckReason::QuotaExceeded => Code::TooMany,
        v5::PubAckReason::ImplementationSpecificError => Code::Conflict,
        _ => Code::Malformed,
    };
    let properties = puback.properties.as_ref();
    let words = properties.and_then(|properties| properties.reason_string.clone());
    let reason = words.unwrap_or_else(|| format!("{:?}", puback.reason));
    Some(refused("publish", code, reason))
}

fn unsubscribable(reason: String) -> Error {
    refused("subscribe", Code::Forbidden, reason)
}

fn refused(command: &str, code: Code, reason: String) -> Error {
    Error::refused(Refusal {
        command: command.to_owned(),
        code,
        reason,
        path: None,
        current: None,
        lock: None,
    })
}
