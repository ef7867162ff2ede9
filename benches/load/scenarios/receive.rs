//! The receiving side of the flow scenarios: one subscriber on a blocking socket, or a hundred on
//! one polling thread. Counts, answers acknowledgements and looks for gaps and repeats; tells the
//! publisher's side of progress through `Progress`. Called by `flow`.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::client::{Client, DRAIN_LIMIT, Inbound, STALL, is_wait};
use crate::codec::{self, Packet};

/// Once the publisher has ended, silence this long means that the rest is lost.
const DRAIN_QUIET: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(50);
/// Receive buffer of one of many subscribers.
const MEMBER_BUFFER: usize = 64 * 1024;

/// What the two sides of a flow and the clock between them share.
#[derive(Default)]
pub(super) struct Progress {
    /// Deliveries to all subscribers so far.
    pub(super) delivered: AtomicU64,
    /// Whether latencies count now.
    pub(super) measuring: AtomicBool,
    /// Tells the publisher to end.
    pub(super) ended: AtomicBool,
    /// Messages sent in all, plus one; 0 while the publisher is at work.
    total: AtomicU64,
    /// Woken at every delivery, if it paces itself by deliveries.
    pub(super) paced: OnceLock<Thread>,
}

impl Progress {
    /// Ends the receiving side once it has had its share of `sent` messages.
    pub(super) fn publisher_done(&self, sent: u64) {
        self.total.store(sent + 1, Ordering::Release);
    }

    fn total(&self) -> Option<u64> {
        self.total.load(Ordering::Acquire).checked_sub(1)
    }

    fn add(&self, deliveries: u64) {
        self.delivered.fetch_add(deliveries, Ordering::Release);
        if let Some(publisher) = self.paced.get() {
            publisher.unpark();
        }
    }
}

/// What a subscriber has seen of the sequence that the publisher numbers from 0.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    expected: u64,
    received: u64,
    /// Messages with a number that was already passed: repeated, or out of order.
    pub(super) repeated: u64,
}

impl Tally {
    /// Messages received, without repeats.
    pub(super) fn distinct(&self) -> u64 {
        self.received - self.repeated
    }

    fn take(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<()> {
        match packet {
            Packet::Publish(message) => {
                let head = message
                    .payload
                    .first_chunk()
                    .context("expected a numbered payload")?;
                let number = u64::from_be_bytes(*head);
                self.received += 1;
                self.repeated += u64::from(number < self.expected);
                self.expected = self.expected.max(number + 1);
                message.acknowledge(out);
            }
            Packet::PubRel(packet_id) => codec::complete(out, *packet_id),
            _ => {}
        }
        Ok(())
    }
}

/// Decides when a receiving side has had all it will get.
struct Drain {
    heard: Instant,
    ending: Option<Instant>,
}

impl Drain {
    fn new() -> Self {
        Self {
            heard: Instant::now(),
            ending: None,
        }
    }

    /// # Errors
    /// When the publisher is at work and nothing arrives for [`STALL`].
    fn over(
        &mut self,
        progress: &Progress,
        arrived: u64,
        distinct: u64,
        subscribers: u64,
    ) -> Result<bool> {
        let now = Instant::now();
        if arrived > 0 {
            self.heard = now;
            progress.add(arrived);
        }
        let Some(sent) = progress.total() else {
            ensure!(
                now - self.heard < STALL,
                "expected messages, the subscriber got none for {} s",
                STALL.as_secs()
            );
            return Ok(false);
        };
        let ending = *self.ending.get_or_insert(now);
        let quiet = now - self.heard.max(ending) > DRAIN_QUIET;
        Ok(distinct >= sent * subscribers || quiet || now - ending > DRAIN_LIMIT)
    }
}

/// Runs a single subscriber to the end of the flow.
pub(super) fn one(mut client: Client, progress: &Progress) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut drain = Drain::new();
    loop {
        let before = tally.received;
        client.pump(|packet, out| tally.take(&packet, out))?;
        if drain.over(progress, tally.received - before, tally.distinct(), 1)? {
            return Ok(tally);
        }
    }
}

/// Runs many subscribers on this thread to the end of the flow.
pub(super) fn many(clients: Vec<Client>, progress: &Progress) -> Result<Vec<Tally>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(clients.len());
    let mut members = Vec::with_capacity(clients.len());
    for client in clients {
        members.push(Member::register(client, &poll, members.len())?);
    }
    let subscribers = u64::try_from(members.len())?;
    let mut drain = Drain::new();
    loop {
        if let Err(error) = poll.poll(&mut events, Some(TICK)) {
            ensure!(
                is_wait(&error),
                "waiting for {subscribers} subscribers: {error}"
            );
        }
        let mut arrived = 0;
        for event in &events {
            let member = &mut members[event.token().0];
            let before = member.tally.received;
            member.serve()?;
            arrived += member.tally.received - before;
        }
        let distinct = members.iter().map(|member| member.tally.distinct()).sum();
        if drain.over(progress, arrived, distinct, subscribers)? {
            return Ok(members.into_iter().map(|member| member.tally).collect());
        }
    }
}

/// One of many subscribers.
struct Member {
    stream: TcpStream,
    inbound: Inbound,
    out: Vec<u8>,
    tally: Tally,
}

impl Member {
    fn register(client: Client, poll: &Poll, index: usize) -> Result<Self> {
        let stream = client.into_stream();
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(
            &mut stream,
            Token(index),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        Ok(Self {
            stream,
            inbound: Inbound::new(MEMBER_BUFFER),
            out: Vec::new(),
            tally: Tally::default(),
        })
    }

    /// Reads until the socket is empty (events are edge-triggered), then writes what it can.
    fn serve(&mut self) -> Result<()> {
        loop {
            match self.inbound.fill(&mut self.stream) {
                Ok(more) => {
                    let tally = &mut self.tally;
                    self.inbound
                        .drain(&mut self.out, |packet, out| tally.take(&packet, out))?;
                    if !more {
                        break;
                    }
                }
                Err(error) if is_wait(&error) => break,
                Err(error) => return Err(error).context("reading as one of many subscribers"),
            }
        }
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(written) => drop(self.out.drain(..written)),
                Err(error) if is_wait(&error) => return Ok(()),
                Err(error) => return Err(error).context("writing as one of many subscribers"),
            }
        }
        Ok(())
    }
}
