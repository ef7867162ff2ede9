//! One MQTT 3.1.1 connection with blocking sockets and large buffers, kept thin because it shares
//! the machine with the broker that it measures. Owns the socket, its buffers and its time-outs: no
//! call waits longer than [`STALL`]. Keeps no queue and never reconnects. Called by the scenarios.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::codec::{self, Packet, Publish};

/// Longest wait for a broker that owes an answer; then the scenario ends with an error.
pub(crate) const STALL: Duration = Duration::from_secs(10);
/// Longest wait, after the measured time, for what is still under way; the rest counts as lost or
/// as an error.
pub(crate) const DRAIN_LIMIT: Duration = Duration::from_secs(20);
/// Longest single wait for bytes, so that a loop can look at its clock.
const TICK: Duration = Duration::from_millis(50);
/// Receive buffer of an ordinary client; a packet must fit.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// A connected client.
pub(crate) struct Client {
    stream: TcpStream,
    inbound: Inbound,
    /// Bytes to be written by the next [`Client::flush`].
    pub(crate) out: Vec<u8>,
    heard: Instant,
}

impl Client {
    /// Connects and waits for a CONNACK that accepts.
    pub(crate) fn connect(addr: SocketAddr, client_id: &str, clean: bool) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, STALL)
            .with_context(|| format!("connecting {client_id} to {addr}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(STALL))?;
        let inbound = Inbound::new(RECEIVE_BUFFER);
        let mut client = Self {
            stream,
            inbound,
            out: Vec::new(),
            heard: Instant::now(),
        };
        codec::connect(&mut client.out, client_id, clean);
        let code = client.request(|packet| match packet {
            Packet::ConnAck { code } => Some(code),
            _ => None,
        })?;
        ensure!(
            code == 0,
            "expected CONNACK 0 for {client_id}, the broker sent {code}"
        );
        Ok(client)
    }

    /// Subscribes to every filter at `qos` and waits for a SUBACK that grants it.
    pub(crate) fn subscribe(&mut self, filters: &[&str], qos: u8) -> Result<()> {
        codec::subscribe(&mut self.out, u16::MAX, filters, qos);
        let granted = self.request(|packet| match packet {
            Packet::SubAck { codes } => Some(codes.to_vec()),
            _ => None,
        })?;
        ensure!(
            granted.iter().all(|&code| code == qos),
            "expected QoS {qos} for {filters:?}, the broker granted {granted:?}"
        );
        Ok(())
    }

    /// Publishes one message at QoS 1 and waits for its PUBACK; messages that arrive meanwhile go
    /// to `on_message`.
    pub(crate) fn publish_acked(
        &mut self,
        topic: &str,
        packet_id: u16,
        payload: &[u8],
        mut on_message: impl FnMut(&Publish<'_>),
    ) -> Result<()> {
        codec::publish(&mut self.out, topic, 1, packet_id, payload);
        self.begin_waiting();
        self.flush()?;
        let mut acked = false;
        while !acked {
            self.pump(|packet, out| {
                match packet {
                    Packet::PubAck(id) => acked |= id == packet_id,
                    Packet::Publish(message) => {
                        message.acknowledge(out);
                        on_message(&message);
                    }
                    _ => {}
                }
                Ok(())
            })?;
            self.expect_sound()?;
        }
        Ok(())
    }

    /// Waits at most a tick for bytes, gives each complete packet to `on` together with the
    /// outgoing buffer, then writes what was queued there. Says whether bytes came.
    pub(crate) fn pump(
        &mut self,
        on: impl FnMut(Packet<'_>, &mut Vec<u8>) -> Result<()>,
    ) -> Result<bool> {
        match self.inbound.fill(&mut self.stream) {
            Ok(_) => {}
            Err(error) if is_wait(&error) => return Ok(false),
            Err(error) => return Err(error).context("reading from the broker"),
        }
        self.heard = Instant::now();
        self.inbound.drain(&mut self.out, on)?;
        self.flush()?;
        Ok(true)
    }

    /// Writes what is queued.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            self.stream
                .write_all(&self.out)
                .context("writing to the broker")?;
            self.out.clear();
        }
        Ok(())
    }

    /// Time since the broker last sent anything.
    pub(crate) fn quiet(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Starts the silence clock anew, for one who only now begins to expect something.
    pub(crate) fn begin_waiting(&mut self) {
        self.heard = Instant::now();
    }

    /// # Errors
    /// When the broker has been silent for [`STALL`].
    pub(crate) fn expect_sound(&self) -> Result<()> {
        ensure!(
            self.quiet() < STALL,
            "expected an answer, the broker sent nothing for {} s",
            STALL.as_secs()
        );
        Ok(())
    }

    /// Gives up the buffers and keeps the open socket, for a connection that will only idle or be
    /// polled.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn request<T>(&mut self, mut answer: impl FnMut(Packet<'_>) -> Option<T>) -> Result<T> {
        self.begin_waiting();
        self.flush()?;
        let mut found = None;
        while found.is_none() {
            self.pump(|packet, _| {
                found = found.take().or_else(|| answer(packet));
                Ok(())
            })?;
            self.expect_sound()?;
        }
        found.context("an answer was just found")
    }
}

/// A fixed receive buffer that packets are decoded from in place.
pub(crate) struct Inbound {
    buffer: Box<[u8]>,
    filled: usize,
}

impl Inbound {
    /// `capacity` in bytes is also the largest packet.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            buffer: vec![0; capacity].into_boxed_slice(),
            filled: 0,
        }
    }

    /// One read. Says whether it filled the space that there was, so that more may be waiting.
    pub(crate) fn fill(&mut self, stream: &mut impl Read) -> io::Result<bool> {
        let space = &mut self.buffer[self.filled..];
        match stream.read(space)? {
            0 if space.is_empty() => Err(io::Error::new(
                ErrorKind::InvalidData,
                "packet larger than the receive buffer",
            )),
            0 => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the broker closed the connection",
            )),
            read => {
                let full = read == space.len();
                self.filled += read;
                Ok(full)
            }
        }
    }

    /// Gives every complete packet to `on` and keeps the incomplete rest.
    pub(crate) fn drain(
        &mut self,
        out: &mut Vec<u8>,
        mut on: impl FnMut(Packet<'_>, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let mut start = 0;
        while let Some((packet, length)) = codec::decode(&self.buffer[start..self.filled])? {
            on(packet, out)?;
            start += length;
        }
        self.buffer.copy_within(start..self.filled, 0);
        self.filled -= start;
        Ok(())
    }
}

/// Whether a read or write only ran into its time-out.
pub(crate) fn is_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// Hands out packet ids 1 to 65,534; the last one is kept for SUBSCRIBE.
#[derive(Default)]
pub(crate) struct PacketIds(u16);

impl PacketIds {
    pub(crate) fn mint(&mut self) -> u16 {
        self.0 = self.0 % (u16::MAX - 1) + 1;
        self.0
    }
}

/// Ends the calling scenario when a thread of it panicked.
pub(crate) fn join<T>(thread: std::thread::JoinHandle<Result<T>>) -> Result<T> {
    match thread.join() {
        Ok(outcome) => outcome,
        Err(_) => bail!("a load thread panicked"),
    }
}
