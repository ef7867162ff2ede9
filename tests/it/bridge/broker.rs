//! A broker that does as the test says, packet by packet, in MQTT 5.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::until;
use crate::harness::{DEADLINE, free_address};

/// It listens, and takes one connection after the other.
pub(super) struct Broker {
    pub(super) address: SocketAddr,
    listener: TcpListener,
}

/// A bridge that is connected to it.
pub(super) struct Guest {
    stream: TcpStream,
}

/// What a bridge sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) id: u16,
    pub(super) topic: String,
    pub(super) text: String,
    pub(super) retain: bool,
    /// As encoded.
    pub(super) properties: Vec<u8>,
}

impl Broker {
    pub(super) fn new() -> Broker {
        let address = free_address();
        let listener = TcpListener::bind(address).expect("a free address");
        listener.set_nonblocking(true).expect("a socket");
        Broker { address, listener }
    }

    /// The next connection; its CONNECT was read and is answered with this code and properties.
    pub(super) fn guest(&self, code: u8, properties: &[u8]) -> Guest {
        let taken = std::cell::RefCell::new(None);
        until("a connection", || {
            *taken.borrow_mut() = self.listener.accept().ok();
            taken.borrow().is_some()
        });
        let (stream, _) = taken.into_inner().expect("a connection");
        stream.set_nonblocking(false).expect("a socket");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let mut guest = Guest { stream };
        let (kind, _) = guest.packet().expect("CONNECT");
        assert_eq!(kind & 0xF0, 0x10, "CONNECT comes first");
        let len = u8::try_from(properties.len()).expect("short");
        let mut connack = vec![0x20, len + 3, 0, code, len];
        connack.extend(properties);
        guest.write(&connack);
        guest
    }

    /// One that takes what comes.
    pub(super) fn welcome(&self) -> Guest {
        self.guest(0, &[])
    }
}

impl Guest {
    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the bridge reads");
    }

    /// Header byte and body; `None` once the other end has closed.
    fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let kind = self.byte()?;
        let (mut len, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            len |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body).ok()?;
        Some((kind, body))
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(1) => Some(byte[0]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing comes"),
            _ => None,
        }
    }

    /// The next PUBLISH; pings are answered on the way.
    pub(super) fn publish(&mut self) -> Sent {
        loop {
            let (kind, body) = self.packet().expect("the bridge stays");
            match kind & 0xF0 {
                0x30 => return sent(kind, &body),
                0xC0 => self.write(&[0xD0, 0]),
                other => panic!("PUBLISH expected, but came {other:#x}"),
            }
        }
    }

    /// The texts of the next so many.
    pub(super) fn texts(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.publish().text).collect()
    }

    /// PUBACK.
    pub(super) fn answer(&mut self, id: u16, code: u8) {
        let [high, low] = id.to_be_bytes();
        self.write(&[0x40, 4, high, low, code, 0]);
    }

    /// DISCONNECT with a reason.
    pub(super) fn dismiss(mut self, code: u8) {
        self.write(&[0xE0, 2, code, 0]);
        self.gone();
    }

    /// Waits until the bridge has left.
    pub(super) fn gone(mut self) {
        while self.packet().is_some() {}
    }
}

fn sent(kind: u8, body: &[u8]) -> Sent {
    let len = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (topic, rest) = body[2..].split_at(len);
    assert_eq!(kind & 0b110, 0b010, "QoS 1");
    let id = u16::from_be_bytes([rest[0], rest[1]]);
    let properties = usize::from(rest[2]);
    assert!(properties < 0x80, "few properties");
    let (properties, payload) = rest[3..].split_at(properties);
    Sent {
        id,
        topic: text(topic),
        text: text(payload),
        retain: kind & 1 == 1,
        properties: properties.to_vec(),
    }
}
