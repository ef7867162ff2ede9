//! The HTTP request that becomes a WebSocket, and the answer to one that does not (RFC 6455 section
//! 4.2).
//!
//! One request per connection, its head bounded; the deadline is the listener's.

use std::fmt::Write as _;
use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tungstenite::error::{Error as WsError, ProtocolError};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::HeaderValue;
use tungstenite::http::header::{HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};

use super::UpgradeRules;
use super::origin;

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 8 * 1024;
/// Read at once while the head has not ended.
const CHUNK: usize = 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";
/// The names of MQTT as a sub-protocol, the standard's (MQTT-6.0.0-3) first; the other is what
/// clients of MQTT 3.1 say.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Why a request did not become a WebSocket.
#[derive(Debug, thiserror::Error)]
pub(in crate::mqtt) enum UpgradeError {
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("the client left before its request was complete")]
    Gone,
    #[error("expected a request of at most {MAX_HEAD} bytes, but it goes on")]
    TooLong,
    #[error("expected an HTTP request, but found something else: {0}")]
    NotHttp(String),
    #[error("expected a request to upgrade to WebSocket version 13, but {0}")]
    NoUpgrade(String),
    #[error("expected the path {expected}, but it is {found}")]
    Path { expected: String, found: String },
    #[error("expected the sub-protocol mqtt (MQTT-6.0.0-3), but it is {0}")]
    Protocol(String),
    #[error("pages from {0} may not connect: websocket.origins does not name it")]
    Origin(String),
}

impl UpgradeError {
    /// The status line of the answer; none if nobody would read it.
    fn status(&self) -> Option<&'static str> {
        Some(match self {
            UpgradeError::Broken(_) | UpgradeError::Gone => return None,
            UpgradeError::TooLong => "431 Request Header Fields Too Large",
            UpgradeError::NotHttp(_) | UpgradeError::Protocol(_) => "400 Bad Request",
            UpgradeError::NoUpgrade(_) => "426 Upgrade Required",
            UpgradeError::Path { .. } => "404 Not Found",
            UpgradeError::Origin(_) => "403 Forbidden",
        })
    }
}

/// Reads a request and answers it. Returns what came after it.
pub(super) async fn upgrade<S>(
    stream: &mut S,
    rules: &UpgradeRules,
) -> Result<BytesMut, UpgradeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = BytesMut::new();
    let judged = match read_head(stream, &mut input).await {
        Ok(()) => judge(&mut input, rules),
        Err(error) => Err(error),
    };
    match judged {
        Ok(answer) => {
            stream.write_all(&answer).await?;
            stream.flush().await?;
            Ok(input)
        }
        Err(error) => {
            if let Some(status) = error.status() {
                refuse(stream, status, &error).await?;
            }
            Err(error)
        }
    }
}

async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    input: &mut BytesMut,
) -> Result<(), UpgradeError> {
    loop {
        let mut chunk = [0; CHUNK];
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Err(UpgradeError::Gone);
        }
        // The end may be cut in two by the reads.
        let looked_at = input.len().saturating_sub(HEAD_END.len() - 1);
        input.extend_from_slice(&chunk[..count]);
        let ended = |window: &[u8]| window == HEAD_END;
        if input[looked_at..].windows(HEAD_END.len()).any(ended) {
            return Ok(());
        }
        if input.len() >= MAX_HEAD {
            return Err(UpgradeError::TooLong);
        }
    }
}

/// The answer to a good request, which is taken off the input.
fn judge(input: &mut BytesMut, rules: &UpgradeRules) -> Result<Vec<u8>, UpgradeError> {
    let (length, request) = match Request::try_parse(input) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Err(UpgradeError::NotHttp("no head".to_owned())),
        Err(WsError::Protocol(error @ ProtocolError::WrongHttpMethod)) => {
            return Err(UpgradeError::NoUpgrade(error.to_string()));
        }
        Err(error) => return Err(UpgradeError::NotHttp(error.to_string())),
    };
    input.advance(length);
    let path = request.uri().path();
    if path != rules.path {
        return Err(UpgradeError::Path {
            expected: rules.path.clone(),
            found: shortened(path),
        });
    }
    check_origin(&request, rules)?;
    let mut response =
        create_response(&request).map_err(|error| UpgradeError::NoUpgrade(error.to_string()))?;
    let chosen = HeaderValue::from_static(protocol(&request)?);
    response
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, chosen);
    let mut answer = Vec::new();
    write_response(&mut answer, &response)
        .map_err(|error| UpgradeError::NotHttp(error.to_string()))?;
    Ok(answer)
}

/// MQTT-6.0.0-4: the sub-protocol that both speak.
fn protocol(request: &Request) -> Result<&'static str, UpgradeError> {
    let headers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let offered: Vec<&str> = headers
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let known = PROTOCOLS.into_iter().find(|own| offered.contains(own));
    known.ok_or_else(|| match &offered[..] {
        [] => UpgradeError::Protocol("not given".to_owned()),
        some => UpgradeError::Protocol(shortened(&some.join(", "))),
    })
}

/// Browsers say which page opens the connection; other clients need not. A page of anybody's must
/// not reach a gateway that its reader can reach.
fn check_origin(request: &Request, rules: &UpgradeRules) -> Result<(), UpgradeError> {
    let Some(page) = request.headers().get(ORIGIN) else {
        return Ok(());
    };
    let page = String::from_utf8_lossy(page.as_bytes());
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    if origin::may_connect(&page, host, rules) {
        Ok(())
    } else {
        Err(UpgradeError::Origin(shortened(&page)))
    }
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    status: &str,
    error: &UpgradeError,
) -> io::Result<()> {
    let words = format!("{error}\n");
    let mut answer = String::new();
    // Writing to memory does not fail.
    let _ = write!(
        answer,
        "HTTP/1.1 {status}\r\nConnection: close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{words}",
        words.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// What a stranger wrote, in a length for logs and answers.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}
