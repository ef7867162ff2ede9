//! MQTT over WebSocket with the clients that browsers and scripts use, and with frames of our own.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::tls_client::{CONNACK, CONNECT};
use super::{Listening, passes};
use crate::harness::{DEADLINE, Setup};
use crate::tools::Tools;

const MASK: [u8; 4] = [9, 8, 7, 6];

fn mqttjs(url: &str, ca: &str) {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/transport/round_trip.cjs"
    );
    passes(Tools::get().node().args([script, url, ca]));
}

#[test]
fn mqttjs_speaks_over_websocket() {
    let up = Listening::start();
    mqttjs(&format!("ws://localhost:{}/mqtt", up.websocket.port()), "-");
}

#[test]
fn mqttjs_speaks_over_secure_websocket() {
    let up = Listening::start();
    let url = format!("wss://localhost:{}/mqtt", up.secure_websocket.port());
    mqttjs(&url, up.pki.path("ca.crt"));
}

#[test]
fn paho_speaks_over_websocket() {
    let up = Listening::start();
    passes(
        Tools::get()
            .python()
            .args([
                "-B",
                concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/tests/it/transport/round_trip.py"
                ),
            ])
            .args([&up.websocket.port().to_string(), "websockets", "-"]),
    );
}

/// A WebSocket client with every byte in the test's hands.
struct Raw(TcpStream);

impl Raw {
    /// Opens a connection and returns the head of the answer to a request, which `change` may
    /// spoil.
    fn request(up: &Listening, change: impl Fn(String) -> String) -> (Raw, String) {
        let mut socket = TcpStream::connect(up.websocket).expect("it listens");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let request = change(format!(
            "GET /mqtt HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: mqtt\r\n\r\n",
            up.websocket
        ));
        socket.write_all(request.as_bytes()).expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("it answers");
            head.extend(byte);
        }
        (Raw(socket), String::from_utf8(head).expect("text"))
    }

    fn open(up: &Listening) -> Raw {
        let (raw, head) = Raw::request(up, |request| request);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).expect("short")];
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
        self.0.write_all(&frame).expect("it reads");
    }

    /// The next frame: its first byte and its payload.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a frame");
        let mut payload = vec![0; head[1].into()];
        self.0.read_exact(&mut payload).expect("a frame");
        (head[0], payload)
    }

    fn expect_end(&mut self) {
        let rest = self.0.read(&mut [0; 16]);
        assert!(matches!(rest, Ok(0)), "{rest:?}");
    }
}

/// 5.0: MQTT-6.0.0-2. 3.1.1: MQTT-6.0.0-2.
#[test]
fn mqtt_6_0_0_2_a_packet_may_span_frames_and_a_frame_hold_several() {
    let up = Listening::start();
    let mut client = Raw::open(&up);
    for byte in CONNECT {
        client.send(0x82, &[*byte]);
    }
    assert_eq!(client.frame(), (0x82, CONNACK.to_vec()));
    // Two PINGREQs in one frame; the answers may come in one as well.
    client.send(0x82, &[0xC0, 0, 0xC0, 0]);
    let mut answers = Vec::new();
    while answers.len() < 4 {
        answers.extend(client.frame().1);
    }
    assert_eq!(answers, [0xD0, 0, 0xD0, 0]);
}

/// 5.0: MQTT-6.0.0-1. 3.1.1: MQTT-6.0.0-1.
#[test]
fn mqtt_6_0_0_1_a_text_frame_closes_the_connection_with_1003() {
    let up = Listening::start();
    let mut client = Raw::open(&up);
    client.send(0x82, CONNECT);
    assert_eq!(client.frame(), (0x82, CONNACK.to_vec()));
    client.send(0x81, b"\xC0\x00");
    assert_eq!(client.frame(), (0x88, 1003_u16.to_be_bytes().to_vec()));
    client.expect_end();
}

/// 5.0: MQTT-6.0.0-4. 3.1.1: MQTT-6.0.0-4.
#[test]
fn mqtt_6_0_0_4_the_sub_protocol_that_is_selected_is_mqtt() {
    let up = Listening::start();
    let several = "Sec-WebSocket-Protocol: chat, mqtt, mqttv3.1";
    let offer = |request: String| request.replacen("Sec-WebSocket-Protocol: mqtt", several, 1);
    let (_, head) = Raw::request(&up, offer);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let head = head.to_lowercase();
    let selected = head
        .lines()
        .filter_map(|line| line.strip_prefix("sec-websocket-protocol:"));
    let selected: Vec<&str> = selected.map(str::trim).collect();
    assert_eq!(selected, ["mqtt"], "{head}");
}

#[test]
fn goodbyes_are_said_in_frames() {
    let mut up = Listening::start();
    let mut leaving = Raw::open(&up);
    leaving.send(0x82, CONNECT);
    assert_eq!(leaving.frame().1, CONNACK);
    leaving.send(0x82, &[0xE0, 0]);
    assert_eq!(leaving.frame(), (0x88, 1000_u16.to_be_bytes().to_vec()));
    leaving.send(0x88, &1000_u16.to_be_bytes());
    leaving.expect_end();

    let mut staying = Raw::open(&up);
    staying.send(0x82, CONNECT);
    assert_eq!(staying.frame().1, CONNACK);
    up.gateway.signal("TERM");
    assert_eq!(staying.frame(), (0x88, 1000_u16.to_be_bytes().to_vec()));
    drop(staying);
    assert!(up.gateway.ended().success());
}

#[test]
fn requests_that_are_no_mqtt_are_refused_with_words() {
    let up = Listening::start();
    for (from, to, status) in [
        ("Sec-WebSocket-Protocol: mqtt\r\n", "", "400"),
        ("/mqtt", "/", "404"),
        ("Upgrade: websocket\r\n", "", "426"),
        ("Host:", "Origin: https://trap.example\r\nHost:", "403"),
    ] {
        let (mut raw, head) = Raw::request(&up, |request| request.replacen(from, to, 1));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let mut words = String::new();
        raw.0.read_to_string(&mut words).expect("it closes");
        assert!(words.ends_with('\n') && words.len() > 10, "{words}");
    }
    up.wait_for(
        "hallward_mqtt_openings_failed_total{reason=\"websocket\"}",
        4,
    );
}

#[test]
fn pages_that_are_listed_may_connect() {
    let setup = Setup::new().with(
        "websocket.origins",
        "https://app.example, https://two.example",
    );
    let up = Listening::with(setup, super::Pki::new());
    for (origin, status) in [
        ("https://app.example", "101"),
        ("https://two.example", "101"),
        ("http://localhost:3000", "101"),
        ("https://three.example", "403"),
    ] {
        let header = format!("Origin: {origin}\r\nHost:");
        let (_, head) = Raw::request(&up, |request| request.replacen("Host:", &header, 1));
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{origin}: {head}"
        );
    }
}

#[test]
fn a_packet_that_is_too_large_is_refused_however_its_frames_are_cut() {
    let up = Listening::start();
    let mut client = Raw::open(&up);
    // A frame that declares a tebibyte, and in it the head of a first packet of 256 MiB.
    let mut frame = vec![0x82, 0x80 | 127];
    frame.extend((1_u64 << 40).to_be_bytes());
    frame.extend(MASK);
    let head = [0x10, 0xFF, 0xFF, 0xFF, 0x7F];
    frame.extend(head.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
    client.0.write_all(&frame).expect("it reads");
    let (first, _) = client.frame();
    assert_eq!(first, 0x88);
    client.expect_end();
}
