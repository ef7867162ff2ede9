//! Reads CONNECT (MQTT sections 3.1.2 and 3.1.3): what a client says of itself, unjudged.

use crate::wire::message::Qos;

use super::fields;
use super::properties::id;
use super::reader::PacketReader;
use super::reason::Reason;

/// Properties of CONNECT, and those of its will.
const PROPERTIES: [u8; 9] = [
    id::SESSION_EXPIRY,
    id::RECEIVE_MAXIMUM,
    id::MAXIMUM_PACKET_SIZE,
    id::TOPIC_ALIAS_MAXIMUM,
    id::REQUEST_PROBLEM_INFORMATION,
    id::REQUEST_RESPONSE_INFORMATION,
    id::AUTHENTICATION_METHOD,
    id::AUTHENTICATION_DATA,
    id::USER_PROPERTY,
];
const WILL_PROPERTIES: [u8; 7] = [
    id::WILL_DELAY,
    id::PAYLOAD_FORMAT,
    id::MESSAGE_EXPIRY,
    id::CONTENT_TYPE,
    id::RESPONSE_TOPIC,
    id::CORRELATION_DATA,
    id::USER_PROPERTY,
];

/// CONNECT, borrowed from the input.
#[derive(Debug)]
pub(in crate::mqtt) struct ConnectPacket<'a> {
    pub(in crate::mqtt) client_id: &'a str,
    /// Clean Start, or 3.1.1's Clean Session.
    pub(in crate::mqtt) clean_start: bool,
    /// Seconds.
    pub(in crate::mqtt) keep_alive: u16,
    pub(in crate::mqtt) wishes: ConnectProperties,
    pub(in crate::mqtt) will: Option<WillFields<'a>>,
    /// Who the client says that it is, if it does.
    pub(in crate::mqtt) user_name: Option<&'a str>,
    /// What it shows for it.
    pub(in crate::mqtt) password: Option<&'a [u8]>,
}

/// The properties of CONNECT (MQTT 5 section 3.1.2.11), or what they are where they are absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) struct ConnectProperties {
    /// Session Expiry Interval, in seconds.
    pub(in crate::mqtt) session_expiry: u32,
    pub(in crate::mqtt) receive_maximum: u16,
    /// Maximum Packet Size, in bytes.
    pub(in crate::mqtt) max_packet: usize,
    pub(in crate::mqtt) topic_alias_maximum: u16,
    /// Request Problem Information.
    pub(in crate::mqtt) problem_information: bool,
    /// Whether there is an Authentication Method.
    pub(in crate::mqtt) extended_authentication: bool,
}

impl Default for ConnectProperties {
    fn default() -> Self {
        Self {
            session_expiry: 0,
            receive_maximum: u16::MAX,
            max_packet: usize::MAX,
            topic_alias_maximum: 0,
            problem_information: true,
            extended_authentication: false,
        }
    }
}

/// The will, borrowed from the input.
#[derive(Debug)]
pub(in crate::mqtt) struct WillFields<'a> {
    pub(in crate::mqtt) topic: &'a str,
    pub(in crate::mqtt) payload: &'a [u8],
    pub(in crate::mqtt) qos: Qos,
    pub(in crate::mqtt) retain: bool,
    /// Will Delay Interval, in seconds.
    pub(in crate::mqtt) delay: u32,
    /// As in PUBLISH.
    pub(in crate::mqtt) properties: Vec<u8>,
}

/// Connect Flags (section 3.1.2.3).
#[derive(Debug, Clone, Copy)]
struct Flags(u8);

impl Flags {
    /// Checks what must not be together (MQTT-3.1.2-3, and -11 to -13 of MQTT 5).
    fn new(v5: bool, flags: u8) -> Result<Flags, Reason> {
        let flags = Flags(flags);
        let will_bits = flags.0 >> 3 & 0b111;
        let bad_will = flags.will_level() == 3 || (!flags.has(0b100) && will_bits != 0);
        // 3.1.1 knows no password without a user name (MQTT-3.1.2-22 there).
        let bad_password = !v5 && flags.has(0x40) && !flags.has(0x80);
        if flags.has(1) || bad_will || bad_password {
            return Err(Reason::Malformed);
        }
        Ok(flags)
    }

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    fn will_level(self) -> u8 {
        self.0 >> 3 & 0b11
    }
}

/// Reads the body behind the protocol level; `wishes` is filled as far as reading gets, so that a
/// refusal can heed them.
pub(in crate::mqtt) fn read<'a>(
    v5: bool,
    mut reader: PacketReader<'a>,
    wishes: &mut ConnectProperties,
) -> Result<ConnectPacket<'a>, Reason> {
    let flags = Flags::new(v5, reader.u8()?)?;
    let keep_alive = reader.u16()?;
    if v5 {
        *wishes = read_wishes(&mut reader)?;
    }
    let client_id = reader.string()?;
    let will = flags
        .has(0b100)
        .then(|| read_will(v5, flags, &mut reader))
        .transpose()?;
    let user_name = flags.has(0x80).then(|| reader.string()).transpose()?;
    let password = flags.has(0x40).then(|| reader.binary()).transpose()?;
    if !reader.is_empty() {
        return Err(Reason::Malformed);
    }
    Ok(ConnectPacket {
        client_id,
        clean_start: flags.has(0b10),
        keep_alive,
        wishes: *wishes,
        will,
        user_name,
        password,
    })
}

fn read_wishes(reader: &mut PacketReader<'_>) -> Result<ConnectProperties, Reason> {
    let mut wishes = ConnectProperties::default();
    let mut data_alone = false;
    fields::read(reader, &PROPERTIES, |property, value, _| {
        let number = value.number();
        let short = u16::try_from(number).unwrap_or(u16::MAX);
        match property {
            id::SESSION_EXPIRY => wishes.session_expiry = number,
            id::TOPIC_ALIAS_MAXIMUM => wishes.topic_alias_maximum = short,
            id::RECEIVE_MAXIMUM if number > 0 => wishes.receive_maximum = short,
            id::MAXIMUM_PACKET_SIZE if number > 0 => wishes.max_packet = number as usize,
            id::REQUEST_PROBLEM_INFORMATION if number <= 1 => {
                wishes.problem_information = number == 1;
            }
            id::REQUEST_RESPONSE_INFORMATION if number <= 1 => {}
            id::AUTHENTICATION_METHOD => wishes.extended_authentication = true,
            id::AUTHENTICATION_DATA => data_alone = true,
            id::USER_PROPERTY => {}
            // Each of these names its bad values a protocol error.
            _ => return Err(Reason::Protocol),
        }
        Ok(())
    })?;
    if data_alone && !wishes.extended_authentication {
        return Err(Reason::Protocol);
    }
    Ok(wishes)
}

fn read_will<'a>(
    v5: bool,
    flags: Flags,
    reader: &mut PacketReader<'a>,
) -> Result<WillFields<'a>, Reason> {
    let mut delay = 0;
    let mut properties = Vec::new();
    if v5 {
        fields::read(reader, &WILL_PROPERTIES, |property, value, bytes| {
            match property {
                id::WILL_DELAY => delay = value.number(),
                _ => properties.extend_from_slice(bytes),
            }
            Ok(())
        })?;
    }
    Ok(WillFields {
        topic: reader.string()?,
        payload: reader.binary()?,
        qos: Qos::from_level(flags.will_level()).unwrap_or_default(),
        retain: flags.has(0b10_0000),
        delay,
        properties,
    })
}
