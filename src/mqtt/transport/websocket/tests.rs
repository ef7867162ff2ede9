//! WebSocket: the handshake, and frames of every kind.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tungstenite::protocol::frame::coding::CloseCode;

use super::*;

const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: localhost:8083\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
const MASK: [u8; 4] = [1, 2, 3, 4];

type Accepted = JoinHandle<Result<WebSocketStream<DuplexStream>, UpgradeError>>;

fn dial() -> (DuplexStream, Accepted) {
    let (near, far) = duplex(1 << 16);
    let rules = UpgradeRules {
        path: "/mqtt".to_owned(),
        origins: Vec::new(),
        same_host: false,
    };
    let accepted = tokio::spawn(async move { accept(far, &rules).await });
    (near, accepted)
}

/// Reads an HTTP head byte by byte, so that nothing after it is taken.
async fn head(client: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn open() -> (DuplexStream, WebSocketStream<DuplexStream>) {
    let (mut client, accepted) = dial();
    client.write_all(REQUEST.as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    (client, accepted.await.unwrap().unwrap())
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
    bytes
}

async fn exactly(client: &mut DuplexStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    timeout(Duration::from_secs(60), client.read_exact(&mut bytes))
        .await
        .expect("the bytes come")
        .unwrap();
    bytes
}

/// The answer to a request that is refused, and why.
async fn refused(request: &str) -> (String, UpgradeError) {
    let (mut client, accepted) = dial();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let Err(error) = accepted.await.unwrap() else {
        panic!("{request} was taken")
    };
    (answer, error)
}

#[tokio::test]
async fn the_answer_proves_that_the_request_was_read() {
    let (mut client, accepted) = dial();
    client.write_all(REQUEST.as_bytes()).await.unwrap();
    let answer = head(&mut client).await.to_lowercase();
    // From the example in RFC 6455 section 1.3.
    assert!(
        answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{answer}"
    );
    assert!(
        answer.contains("sec-websocket-protocol: mqtt\r\n"),
        "{answer}"
    );
    accepted.await.unwrap().unwrap();
}

#[tokio::test]
async fn mqtt_6_0_0_4_the_answer_names_the_protocol_that_was_offered() {
    for (offer, answered) in [
        ("mqttv3.1", "mqttv3.1"),
        ("mqttv3.1, mqtt", "mqtt"),
        ("chat,mqtt", "mqtt"),
        ("chat\r\nSec-WebSocket-Protocol: mqtt", "mqtt"),
    ] {
        let (mut client, accepted) = dial();
        let request = REQUEST.replace("Protocol: mqtt", &format!("Protocol: {offer}"));
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = head(&mut client).await.to_lowercase();
        let wanted = format!("sec-websocket-protocol: {answered}\r\n");
        assert!(answer.contains(&wanted), "{offer}: {answer}");
        accepted.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn requests_that_cannot_be_upgraded_are_told_why() {
    let with = |from: &str, to: &str| {
        assert!(REQUEST.contains(from), "{from}");
        REQUEST.replace(from, to)
    };
    for (request, status, words) in [
        (with("Sec-WebSocket-Protocol: mqtt\r\n", ""), "400", "mqtt"),
        (with("Protocol: mqtt", "Protocol: chat"), "400", "chat"),
        (with("GET /mqtt", "GET /other"), "404", "/mqtt"),
        (with("GET", "POST"), "426", "WebSocket"),
        (with("Upgrade: websocket\r\n", ""), "426", "WebSocket"),
        (with("Version: 13", "Version: 8"), "426", "13"),
        (
            with("Host:", "Origin: https://elsewhere.example\r\nHost:"),
            "403",
            "elsewhere",
        ),
        ("\u{10}\u{c}\0\u{4}MQTT\r\n\r\n".to_owned(), "400", "HTTP"),
    ] {
        let (answer, error) = refused(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{error}: {answer}"
        );
        assert!(answer.contains(words), "{answer}");
    }
}

#[tokio::test]
async fn a_query_after_the_path_does_not_matter() {
    let (mut client, accepted) = dial();
    let request = REQUEST.replace("/mqtt ", "/mqtt?token=1 ");
    client.write_all(request.as_bytes()).await.unwrap();
    accepted.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_head_without_end_is_refused_and_takes_little_memory() {
    let (answer, error) =
        refused(&format!("GET /mqtt HTTP/1.1\r\nX: {}", "x".repeat(10_000))).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(matches!(error, UpgradeError::TooLong));
}

#[tokio::test]
async fn a_client_that_leaves_during_its_request_is_gone() {
    let (mut client, accepted) = dial();
    client.write_all(&REQUEST.as_bytes()[..50]).await.unwrap();
    drop(client);
    assert!(matches!(accepted.await.unwrap(), Err(UpgradeError::Gone)));
}

#[tokio::test]
async fn mqtt_6_0_0_2_packets_may_span_frames_and_share_one() {
    let (mut client, accepted) = dial();
    // The first frame comes with the request: nothing of it may be lost.
    let early = [REQUEST.as_bytes(), &frame(0x82, b"ab")].concat();
    client.write_all(&early).await.unwrap();
    head(&mut client).await;
    let mut stream = accepted.await.unwrap().unwrap();
    client.write_all(&frame(0x02, b"c")).await.unwrap();
    client.write_all(&frame(0x80, b"defg")).await.unwrap();
    let mut got = [0; 7];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"abcdefg");
}

#[tokio::test]
async fn what_is_written_goes_out_in_binary_frames() {
    let (mut client, mut stream) = open().await;
    stream.write_all(b"hi").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(exactly(&mut client, 4).await, [0x82, 2, b'h', b'i']);
    let large = vec![5; 20_000];
    stream.write_all(&large).await.unwrap();
    stream.flush().await.unwrap();
    let first = exactly(&mut client, 4 + 16_384).await;
    assert_eq!(first[..4], [0x82, 126, 0x40, 0]);
    let second = exactly(&mut client, 4 + 3616).await;
    assert_eq!(second[..4], [0x82, 126, 0x0E, 0x20]);
}

#[tokio::test]
async fn nothing_is_lost_to_a_reader_that_is_slow() {
    let (near, far) = duplex(64);
    let mut stream = WebSocketStream::new(far, bytes::BytesMut::new());
    let sent: Vec<u8> = (0..50_000_u32)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    let writing = tokio::spawn({
        let sent = sent.clone();
        async move {
            for part in sent.chunks(777) {
                stream.write_all(part).await.unwrap();
            }
            stream.shutdown().await.unwrap();
        }
    });
    let mut near = near;
    let mut got = Vec::new();
    loop {
        let [first, length] = exactly(&mut near, 2).await[..] else {
            unreachable!()
        };
        let length = match length {
            126 => near.read_u16().await.unwrap().into(),
            short => usize::from(short),
        };
        let payload = exactly(&mut near, length).await;
        match first {
            0x82 => got.extend(payload),
            0x88 => break,
            other => panic!("{other:#x}"),
        }
    }
    writing.await.unwrap();
    assert_eq!(got, sent);
}

#[tokio::test]
async fn pings_are_answered_while_the_session_only_reads() {
    let (mut client, mut stream) = open().await;
    let reading = tokio::spawn(async move { stream.read_u8().await });
    client.write_all(&frame(0x89, b"there?")).await.unwrap();
    assert_eq!(exactly(&mut client, 8).await, b"\x8A\x06there?");
    client.write_all(&frame(0x82, b"x")).await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), b'x');
}

#[tokio::test]
async fn a_goodbye_is_said_back_and_ends_the_stream() {
    let (mut client, mut stream) = open().await;
    let goodbye = [frame(0x82, b"last"), frame(0x88, &[0x03, 0xE9])].concat();
    client.write_all(&goodbye).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"last");
    assert_eq!(exactly(&mut client, 4).await, [0x88, 2, 0x03, 0xE9]);
    assert!(stream.write_all(b"too late").await.is_err());
}

#[tokio::test]
async fn mqtt_6_0_0_1_text_closes_with_1003() {
    let (mut client, mut stream) = open().await;
    client.write_all(&frame(0x81, b"text")).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    let code = u16::from(CloseCode::Unsupported).to_be_bytes();
    assert_eq!(exactly(&mut client, 4).await, [0x88, 2, code[0], code[1]]);
}

#[tokio::test]
async fn an_idle_stream_holds_no_buffer() {
    let (mut client, mut stream) = open().await;
    client.write_all(&frame(0x82, b"x")).await.unwrap();
    stream.read_u8().await.unwrap();
    stream.write_all(&[0; 9000]).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(stream.held_bytes(), 0);
    drop(client);
}
