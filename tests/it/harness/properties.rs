//! MQTT 5 properties (section 2.2.2): any of them in any order to send, only the allowed ones once
//! to receive.

/// The identifiers of section 2.2.2.2 that tests name.
pub(crate) mod id {
    pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_ID: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const USER: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
}

/// A property's value, by its type (section 1.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Byte(u8),
    Two(u16),
    Four(u32),
    Variable(u32),
    Text(String),
    Binary(Vec<u8>),
    Pair(String, String),
}

/// Properties in the order in which they stand in the packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Properties(pub(crate) Vec<(u8, Value)>);

impl Properties {
    pub(crate) fn new() -> Properties {
        Properties::default()
    }

    pub(crate) fn with(mut self, id: u8, value: Value) -> Properties {
        self.0.push((id, value));
        self
    }

    pub(crate) fn text(self, id: u8, text: &str) -> Properties {
        self.with(id, Value::Text(text.to_owned()))
    }

    pub(crate) fn four(self, id: u8, number: u32) -> Properties {
        self.with(id, Value::Four(number))
    }

    pub(crate) fn binary(self, id: u8, bytes: &[u8]) -> Properties {
        self.with(id, Value::Binary(bytes.to_vec()))
    }

    pub(crate) fn user(self, name: &str, value: &str) -> Properties {
        self.with(id::USER, Value::Pair(name.to_owned(), value.to_owned()))
    }

    /// The first property with this identifier.
    pub(crate) fn find(&self, id: u8) -> Option<&Value> {
        self.0
            .iter()
            .find_map(|(found, value)| (*found == id).then_some(value))
    }

    /// The value of the first user property with this name.
    pub(crate) fn find_user(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(_, value)| match value {
            Value::Pair(found, value) if found == name => Some(value.as_str()),
            _ => None,
        })
    }
}

/// An empty value of the type that the identifier has.
pub(super) fn type_of(id: u8) -> Option<Value> {
    Some(match id {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => Value::Byte(0),
        0x13 | 0x21 | 0x22 | 0x23 => Value::Two(0),
        0x02 | 0x11 | 0x18 | 0x27 => Value::Four(0),
        0x0B => Value::Variable(0),
        0x03 | 0x08 | 0x12 | 0x15 | 0x1A | 0x1C | 0x1F => Value::Text(String::new()),
        0x09 | 0x16 => Value::Binary(Vec::new()),
        0x26 => Value::Pair(String::new(), String::new()),
        _ => return None,
    })
}
