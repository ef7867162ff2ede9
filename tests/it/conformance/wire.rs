//! Bytes by hand: what the harness's client is too well-behaved to send, and packets as they came.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::harness::{DEADLINE, Gateway};

/// A packet of this first byte and body.
pub(super) fn frame(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut packet = vec![first];
    packet.extend(varint(body.len()));
    packet.extend(body);
    packet
}

/// A variable byte integer, in as few bytes as it takes.
pub(super) fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7F) as u8;
        value >>= 7;
        bytes.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return bytes;
        }
    }
}

/// A field with its two bytes of length.
pub(super) fn binary(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("a field of a test fits");
    [&len.to_be_bytes()[..], bytes].concat()
}

pub(super) fn text(text: &str) -> Vec<u8> {
    binary(text.as_bytes())
}

/// A connection on which nothing is checked.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    incoming: Vec<u8>,
}

impl Wire {
    pub(super) fn open(gateway: &Gateway) -> Wire {
        let stream = TcpStream::connect(gateway.mqtt).expect("the gateway accepts");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        Wire {
            stream,
            incoming: Vec::new(),
        }
    }

    /// Sends bytes, split as they are given.
    pub(super) fn send(&mut self, bytes: &[u8]) -> &mut Wire {
        // The gateway may have closed already; then what comes back says so.
        let _ = self.stream.write_all(bytes);
        self
    }

    /// The next packet: first byte and body. `None` once the connection is closed.
    pub(super) fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((header, body)) = whole(&self.incoming) {
                let packet: Vec<u8> = self.incoming.drain(..header + body).collect();
                return Some((packet[0], packet[header..].to_vec()));
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.incoming.extend(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    panic!("neither a packet nor the end of the connection in time");
                }
                Err(_) => return None,
            }
        }
    }

    /// The next packet, which must be there.
    #[track_caller]
    pub(super) fn expect(&mut self) -> (u8, Vec<u8>) {
        self.packet().expect("a packet before the end")
    }

    /// Expects the connection to be closed without another packet.
    #[track_caller]
    pub(super) fn expect_end(&mut self) {
        let more = self.packet();
        assert_eq!(more, None, "the end of the connection expected");
    }
}

/// How long the first packet's header and body are, if it is all there.
fn whole(buffer: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for at in 1..=4 {
        let byte = *buffer.get(at)?;
        length |= usize::from(byte & 0x7F) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            return (buffer.len() > at + length).then_some((at + 1, length));
        }
    }
    panic!("a remaining length of more than four bytes");
}

/// A property block with its length.
pub(super) fn block(properties: &[&[u8]]) -> Vec<u8> {
    let properties = properties.concat();
    [varint(properties.len()), properties].concat()
}

/// CONNECT at this protocol level, keep-alive off; `properties` where the level has them.
pub(super) fn connect(level: u8, flags: u8, properties: &[&[u8]], payload: &[&[u8]]) -> Vec<u8> {
    let block = if level >= 5 {
        block(properties)
    } else {
        Vec::new()
    };
    let head = [&text("MQTT")[..], &[level, flags, 0, 0], &block].concat();
    frame(0x10, &[&head, &payload.concat()])
}
