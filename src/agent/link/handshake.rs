//! How a connection comes about: TCP, CONNECT, CONNACK.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::options::{LinkOptions, Protocol};
use super::packets::{Codec, FromGateway, Welcome};

/// A connection that the gateway has said yes to.
pub(super) struct Established {
    pub(super) stream: TcpStream,
    pub(super) codec: Codec,
    pub(super) input: BytesMut,
    pub(super) welcome: Welcome,
}

pub(super) enum Unestablished {
    /// Another try may succeed.
    Trouble(String),
    /// It will not have us.
    Unwelcome(String),
}

/// Connects, and says who we are. `is_new`: with a new session.
pub(super) async fn establish(
    options: LinkOptions,
    is_new: bool,
) -> Result<Established, Unestablished> {
    let is_kept = !options.session.is_zero();
    let attempt = async {
        if options.protocol == Protocol::V311 && is_new && is_kept {
            // MQTT 3.1.1 cannot begin a new session and keep it: one that is not kept goes before,
            // and takes what was there with it.
            greet(&options, true, false).await?;
            return greet(&options, false, true).await;
        }
        greet(&options, is_new || !is_kept, is_kept).await
    };
    let late = || Unestablished::Trouble("no answer from the gateway".to_owned());
    let attempt = tokio::time::timeout(options.deadline, attempt).await;
    attempt.unwrap_or_else(|_| Err(late()))
}

async fn greet(
    options: &LinkOptions,
    is_new: bool,
    is_kept: bool,
) -> Result<Established, Unestablished> {
    let trouble = |error: std::io::Error| Unestablished::Trouble(error.to_string());
    let place = (options.address.host.as_str(), options.address.port);
    let mut stream = TcpStream::connect(place).await.map_err(trouble)?;
    stream.set_nodelay(true).map_err(trouble)?;
    let mut codec = Codec::new(options.protocol);
    let mut buffer = BytesMut::with_capacity(8 * 1024);
    codec
        .connect(options, is_new, is_kept, &mut buffer)
        .map_err(Unestablished::Unwelcome)?;
    stream.write_all(&buffer).await.map_err(trouble)?;
    buffer.clear();
    loop {
        match codec.read(&mut buffer).map_err(Unestablished::Trouble)? {
            Some(FromGateway::Welcome(welcome)) => {
                return Ok(Established {
                    stream,
                    codec,
                    input: buffer,
                    welcome,
                });
            }
            Some(FromGateway::Unwelcome {
                reason,
                is_final: true,
            }) => return Err(Unestablished::Unwelcome(reason)),
            Some(FromGateway::Unwelcome { reason, .. }) => {
                return Err(Unestablished::Trouble(reason));
            }
            Some(_) => {
                let words = "a packet before CONNACK".to_owned();
                return Err(Unestablished::Trouble(words));
            }
            None => {}
        }
        if stream.read_buf(&mut buffer).await.map_err(trouble)? == 0 {
            let words = "closed before CONNACK".to_owned();
            return Err(Unestablished::Trouble(words));
        }
    }
}

/// Ends the session that is kept: on MQTT 3.1.1 a DISCONNECT does not, but that of a connection
/// whose session goes with it.
pub(super) async fn end_session(options: &LinkOptions) -> Option<()> {
    let mut last = greet(options, true, false).await.ok()?;
    let mut out = BytesMut::new();
    last.codec.disconnect(&mut out).ok()?;
    last.stream.write_all(&out).await.ok()?;
    last.stream.shutdown().await.ok()?;
    last.stream.read_buf(&mut last.input).await.ok().map(drop)
}
