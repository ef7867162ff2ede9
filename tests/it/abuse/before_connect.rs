//! Strangers: what somebody may do who has not been let in.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use super::bystander::Bystander;
use super::{MIB, grown, read_to_end, stranger};
use crate::harness::{Gateway, Setup};

#[test]
fn first_packet_that_is_no_connect_closes_unanswered() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let mut everything: Vec<Vec<u8>> = (0u8..=255)
        .filter(|first| *first != 0x10)
        .map(|first| vec![first, 2, 0, 0])
        .collect();
    everything.extend([
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\x10\x0c\x00\x04MQTX\x04\x02\x00\x00\x00\x00".to_vec(),
        b"\x10\x00".to_vec(),
        b"\x11\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00".to_vec(),
    ]);
    for bytes in everything {
        let mut stranger = stranger(&gateway);
        stranger.write_all(&bytes).expect("accepted");
        assert_eq!(read_to_end(stranger), b"", "after {bytes:?}");
    }
    bystander.is_served();
}

#[test]
fn bytes_before_connect_are_bounded_on_every_socket() {
    const SOCKETS: usize = 200;
    let gateway = Setup::new().with("mqtt.connect_timeout", "2s").start();
    let mut bystander = Bystander::at(&gateway);
    let before = gateway.resident();
    // 256 MB announced, by a CONNECT and by a PUBLISH: neither is worth a buffer.
    for first in [0x10, 0x30] {
        let mut strangers: Vec<TcpStream> = (0..SOCKETS).map(|_| stranger(&gateway)).collect();
        for stranger in &mut strangers {
            // It may be closed already, which is what it deserves.
            let _ = stranger.write_all(&[first, 0xff, 0xff, 0xff, 0x7f]);
            let _ = stranger.write_all(&[0; 1024]);
        }
        strangers
            .into_iter()
            .for_each(|stranger| assert_eq!(read_to_end(stranger), b""));
    }
    // As much as a stranger may announce, byte by byte: held until the deadline, and no longer.
    let mut strangers: Vec<TcpStream> = (0..SOCKETS).map(|_| stranger(&gateway)).collect();
    let most = 64 * 1024u32 - 4;
    let [_, _, high, low] = (most - 4).to_be_bytes();
    let length = u32::from_be_bytes([0, 0, high, low]);
    let header = [
        0x10,
        (length & 0x7f) as u8 | 0x80,
        (length >> 7 & 0x7f) as u8 | 0x80,
        (length >> 14) as u8,
    ];
    for stranger in &mut strangers {
        stranger.write_all(&header).expect("it is allowed");
        stranger.write_all(&[0; 60_000]).expect("it is allowed");
    }
    bystander.is_served();
    let held = grown(&gateway, before);
    for stranger in strangers {
        assert_eq!(read_to_end(stranger), b"", "closed at the deadline");
    }
    assert!(held < 100 * MIB, "{held} bytes for {SOCKETS} strangers");
    bystander.is_served();
}

#[test]
fn slow_writers_are_cut_off_at_the_deadline_however_busy_they_look() {
    let gateway = Setup::new().with("mqtt.connect_timeout", "1s").start();
    let mut bystander = Bystander::at(&gateway);
    let mut stranger = stranger(&gateway);
    let connect = b"\x10\xff\x7f\x00\x04MQTT\x05\x02\x00\x00";
    let mut sent = 0;
    // A byte at a time, for as long as they are taken.
    for byte in connect.iter().chain(std::iter::repeat(&0)) {
        if stranger.write_all(&[*byte]).is_err() {
            break;
        }
        sent += 1;
        if sent > connect.len() {
            // The server answers pings meanwhile: time passes by events, not by sleep.
            bystander.is_served();
        }
    }
    assert!(sent < 16_000, "it was never cut off");
    bystander.is_served();
}

#[test]
fn lengths_of_five_bytes_and_packets_cut_short_close() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    for bytes in [
        &[0x10, 0x80, 0x80, 0x80, 0x80, 0x01][..],
        &[0x10, 0xff, 0xff, 0xff, 0xff, 0x7f],
        b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x80\x80\x80\x80\x01",
        b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x00\x00\xff\xffa\x00",
    ] {
        let mut stranger = stranger(&gateway);
        stranger.write_all(bytes).expect("accepted");
        stranger.shutdown(Shutdown::Write).expect("it stands");
        let answer = read_to_end(stranger);
        assert!(
            answer.is_empty() || matches!(answer[..], [0x20, _, 0, 0x81 | 0x82, ..]),
            "{bytes:?} was answered with {answer:?}"
        );
    }
    bystander.is_served();
}
