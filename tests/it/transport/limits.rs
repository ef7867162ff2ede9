//! Limits at the door: strangers who take their time, and those who come too many or too fast.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::Listening;
use super::pki::Pki;
use super::tls_client::{CONNACK, CONNECT, Hello};
use crate::harness::{Client, Connect, DEADLINE, Gateway, Setup};

fn dial(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("it listens");
    socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
    socket
}

/// Waits until the gateway has closed the connection.
fn expect_closed(mut socket: TcpStream) {
    let mut rest = Vec::new();
    match socket.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert!(
            error.kind() == std::io::ErrorKind::ConnectionReset,
            "it should have been closed: {error}"
        ),
    }
}

#[test]
fn those_who_dawdle_are_closed_at_the_deadline_on_every_listener() {
    let setup = Setup::new().with("mqtt.connect_timeout", "300ms");
    let up = Listening::with(setup, Pki::new());
    let begun = [
        // Nothing at all.
        (up.gateway.mqtt, &b""[..]),
        (up.tls, b""),
        (up.websocket, b""),
        (up.secure_websocket, b""),
        // A beginning of each: CONNECT, a ClientHello, a request.
        (up.gateway.mqtt, &CONNECT[..9]),
        (up.tls, b"\x16\x03\x01\x02\x00\x01"),
        (up.websocket, b"GET /mqtt HTTP/1.1\r\nHost:"),
        (up.secure_websocket, b"\x16\x03\x01"),
    ];
    let sockets: Vec<TcpStream> = begun
        .iter()
        .map(|(address, bytes)| {
            let mut socket = dial(*address);
            socket.write_all(bytes).expect("it reads");
            socket
        })
        .collect();
    sockets.into_iter().for_each(expect_closed);
    up.wait_for("hallward_mqtt_openings_failed_total{reason=\"timeout\"}", 8);
    up.wait_for("hallward_mqtt_connections", "0.0");
}

#[test]
fn a_stranger_who_says_nothing_gives_way_to_newcomers() {
    let setup = Setup::new()
        .with("mqtt.max_opening", "1")
        .with("mqtt.connect_timeout", "5m");
    let up = Listening::with(setup, Pki::new());
    let silent = dial(up.tls);
    let waiting = std::thread::spawn(move || expect_closed(silent));
    let begun = Instant::now();
    // Refused while the silent one has its fair time; let in afterwards.
    while Hello::trusting(&up.pki).connect(up.tls).is_err() {
        assert!(begun.elapsed() < DEADLINE, "nobody can get in");
    }
    waiting.join().expect("the silent one was closed");
    up.wait_for(
        "hallward_mqtt_openings_failed_total{reason=\"gave_way\"}",
        1,
    );
}

#[test]
fn one_address_may_not_take_all_the_places() {
    let gateway = Setup::new()
        .with("mqtt.max_connections_per_address", "2")
        .start();
    let one = Client::connect(gateway.mqtt, Connect::v5("one"));
    let _two = Client::connect(gateway.mqtt, Connect::v5("two"));
    expect_closed(dial(gateway.mqtt));
    let (_, metrics) = gateway.get("/metrics");
    let count = "hallward_mqtt_connections_refused_total{reason=\"address\"} 1";
    assert!(metrics.contains(count), "{metrics}");
    one.disconnect();
    // Its place is free as soon as the gateway has seen the end of the connection.
    let begun = Instant::now();
    while !lets_in(&gateway) {
        assert!(begun.elapsed() < DEADLINE, "the place stays taken");
    }
}

fn lets_in(gateway: &Gateway) -> bool {
    let mut socket = dial(gateway.mqtt);
    let mut answer = [0; 4];
    socket.write_all(CONNECT).is_ok() && socket.read_exact(&mut answer).is_ok() && answer == CONNACK
}

#[test]
fn connects_that_come_too_fast_are_closed() {
    let mut gateway = Setup::new()
        .with("mqtt.connect_rate_per_address", "1")
        .with("mqtt.connect_burst_per_address", "2")
        .start();
    let begun = Instant::now();
    let let_in = (0..50).filter(|_| lets_in(&gateway)).count();
    // However slow this machine is: the burst, and one for each second begun.
    let most = 2 + begun.elapsed().as_secs() as usize + 1;
    assert!(
        (2..=most).contains(&let_in),
        "{let_in} of 50, {most} at most"
    );
    let (_, metrics) = gateway.get("/metrics");
    let refused = 50 - let_in;
    let count =
        format!("hallward_mqtt_connections_refused_total{{reason=\"address_rate\"}} {refused}\n");
    assert!(metrics.contains(&count), "{metrics}");
    assert!(gateway.stop().success());
    let log = gateway.stderr();
    assert_eq!(log.matches("connection refused").count(), 1, "{log}");
}

#[test]
fn the_limit_on_connections_holds_for_all_listeners_together() {
    let setup = Setup::new().with("mqtt.max_connections", "2");
    let up = Listening::with(setup, Pki::new());
    let _plain = Client::connect(up.gateway.mqtt, Connect::v5("plain"));
    let _encrypted = Hello::trusting(&up.pki).connect(up.tls).expect("let in");
    for address in [up.gateway.mqtt, up.tls, up.websocket, up.secure_websocket] {
        expect_closed(dial(address));
    }
    up.wait_for(
        "hallward_mqtt_connections_refused_total{reason=\"too_many\"}",
        4,
    );
}

/// The operating system's timer for a connection of the gateway, in seconds, if it is the one for
/// keep-alive.
#[cfg(target_os = "linux")]
fn keepalive_timer(gateway: SocketAddr, client: SocketAddr) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let ends = [gateway, client].map(|end| format!(":{:04X}", end.port()));
    let mut rows = table.lines().map(|line| line.split_whitespace());
    let row: Vec<&str> = rows
        .find(|row| {
            let mut row = row.clone().skip(1);
            ends.iter()
                .all(|end| row.next().is_some_and(|own| own.ends_with(end)))
        })?
        .collect();
    let (kind, hundredths) = row[5].split_once(':')?;
    let hundredths = u64::from_str_radix(hundredths, 16).expect("hexadecimal");
    (kind == "02").then_some(hundredths / 100)
}

#[cfg(target_os = "linux")]
#[test]
fn clients_without_a_keep_alive_are_asked_whether_they_are_there() {
    for (wanted, least, most) in [("10m", 590, 600), ("0s", 0, 0)] {
        let gateway = Setup::new().with("mqtt.tcp_keepalive", wanted).start();
        let mut client = TcpStream::connect(gateway.mqtt).expect("it accepts");
        client.write_all(CONNECT).expect("written");
        let mut connack = [0; 4];
        client.read_exact(&mut connack).expect("let in");
        let own = client.local_addr().expect("bound");
        let begun = Instant::now();
        loop {
            // While an acknowledgement of TCP is awaited, that has the timer.
            match keepalive_timer(gateway.mqtt, own) {
                Some(seconds) if (least..=most).contains(&seconds) => break,
                None if most == 0 => break,
                other => assert!(begun.elapsed() < DEADLINE, "{wanted}: {other:?}"),
            }
            std::thread::yield_now();
        }
    }
}
