//! MQTT control packets as tests write and read them (MQTT 3.1.1 and 5.0, section 3).

use super::properties::{Properties, id};

/// Which MQTT a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V311,
    V5,
}

/// What CONNECT says (section 3.1).
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) clean: bool,
    /// Seconds; 0 turns it off.
    pub(crate) keep_alive: u16,
    pub(crate) will: Option<Will>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) properties: Properties,
}

/// What is published if the client vanishes.
#[derive(Debug, Clone)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) properties: Properties,
}

impl Connect {
    /// A clean session without keep-alive.
    pub(crate) fn new(version: Version, client_id: &str) -> Connect {
        Connect {
            version,
            client_id: client_id.to_owned(),
            clean: true,
            keep_alive: 0,
            will: None,
            username: None,
            password: None,
            properties: Properties::new(),
        }
    }

    pub(crate) fn v311(client_id: &str) -> Connect {
        Connect::new(Version::V311, client_id)
    }

    pub(crate) fn v5(client_id: &str) -> Connect {
        Connect::new(Version::V5, client_id)
    }

    /// A session that goes on where it was, and outlives its connection by an hour on MQTT 5.
    pub(crate) fn persistent(mut self) -> Connect {
        self.clean = false;
        if self.version == Version::V5 {
            self.properties = self.properties.four(id::SESSION_EXPIRY, 3600);
        }
        self
    }

    /// With a user name and a password.
    pub(crate) fn by(mut self, user: &str, password: &str) -> Connect {
        self.username = Some(user.to_owned());
        self.password = Some(password.as_bytes().to_vec());
        self
    }

    pub(crate) fn with_will(
        mut self,
        topic: &str,
        payload: &str,
        qos: u8,
        retain: bool,
    ) -> Connect {
        self.will = Some(Will {
            topic: topic.to_owned(),
            payload: payload.as_bytes().to_vec(),
            qos,
            retain,
            properties: Properties::new(),
        });
        self
    }
}

/// PUBLISH (section 3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) dup: bool,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) topic: String,
    pub(crate) packet_id: Option<u16>,
    pub(crate) properties: Properties,
    pub(crate) payload: Vec<u8>,
}

impl Publish {
    /// Without a packet id: the client gives it one.
    pub(crate) fn new(topic: &str, payload: impl Into<Vec<u8>>, qos: u8) -> Publish {
        Publish {
            dup: false,
            qos,
            retain: false,
            topic: topic.to_owned(),
            packet_id: None,
            properties: Properties::new(),
            payload: payload.into(),
        }
    }

    pub(crate) fn retained(mut self) -> Publish {
        self.retain = true;
        self
    }

    /// The payload as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("a text payload")
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7); the code is 0 on 3.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) packet_id: u16,
    pub(crate) code: u8,
}

/// Any packet that one of the two sides may send; AUTH is not among them, for the gateway knows no
/// enhanced authentication.
#[derive(Debug, Clone)]
pub(crate) enum Packet {
    Connect(Connect),
    ConnAck {
        session_present: bool,
        code: u8,
        properties: Properties,
    },
    Publish(Publish),
    PubAck(Ack),
    PubRec(Ack),
    PubRel(Ack),
    PubComp(Ack),
    Subscribe {
        packet_id: u16,
        /// Filter and options byte (on 3.1.1: the QoS).
        filters: Vec<(String, u8)>,
        properties: Properties,
    },
    SubAck {
        packet_id: u16,
        codes: Vec<u8>,
    },
    Unsubscribe {
        packet_id: u16,
        filters: Vec<String>,
    },
    UnsubAck {
        packet_id: u16,
        /// One each on MQTT 5, none on 3.1.1.
        codes: Vec<u8>,
    },
    PingReq,
    PingResp,
    Disconnect {
        code: u8,
        properties: Properties,
    },
}
