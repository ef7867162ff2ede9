//! Hostile clients: whatever they do, the gateway stays up, its memory bounded, and other clients
//! notice nothing.
//!
//! `docs/security-tests.md` says which test stands for which class of flaws that brokers have had.

mod before_connect;
mod bombs;
mod bystander;
mod consumers;
mod crowd;
mod fuzzed;
mod names;
mod offences;
mod poison;
mod qos2;
mod smoke;
mod table;
mod takeover;

use std::io::Read;
use std::net::TcpStream;

use crate::harness::{DEADLINE, Gateway};

/// What [`fuzzed`] needs of the harness; the fuzz targets bring the same from elsewhere.
mod packets {
    pub(crate) use crate::harness::{
        Ack, Connect, Packet, Properties, Publish, Value, Version, Will, decode, encode,
    };
}

const MIB: u64 = 1 << 20;

/// A connection that says nothing yet.
fn stranger(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.mqtt).expect("the gateway accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    stream.set_write_timeout(Some(DEADLINE)).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Everything that comes until the gateway closes; a reset is a close, too.
fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("the gateway should have closed; it said {all:?}")
        }
        _ => all,
    }
}

/// Bytes by which the gateway's memory has grown.
fn grown(gateway: &Gateway, before: u64) -> u64 {
    gateway.resident().saturating_sub(before)
}
