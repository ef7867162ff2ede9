//! A connection after CONNACK: moves bytes, requests, responses and frames between the session and the world, and keeps time.
//!
//! It waits in one place, for whatever comes first, so that nothing that is slow (the client, the desk, the live plane) keeps the
//! others waiting; what the session cannot take at the moment is left unread.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::desk::port::{Request, Response, ResponseReceiver};
use crate::diary::{limited, shortened};

use super::accept::incumbents::Seat;
use super::accept::listener::stopped;
use super::codec::encode::Output;
use super::codec::reason::Reason;
use super::ending::Ending;
use super::peer::Peer;
use super::plane::{Plane, Publisher, Received, Subscriber};
use super::session::access::{Access, Change};
use super::session::awaited::Step;
use super::session::{End, Session};
use super::stream::{GOODBYE, poll_read, say_goodbye};

/// The most frames taken from the live plane in one go: one client's share of a turn, no limit on anything that waits.
const FRAMES: usize = 256;
/// The most that is read for the sake of a newer connection, in bytes.
const MOST_READ_AT_ONCE: usize = 256 * 1024;
/// A keep-alive that is none.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a connection can wait for.
enum Event {
    Stop,
    /// `None`: the desk is gone.
    Response(Option<Response>),
    /// The desk's channel took a request, or is gone.
    Asked(bool),
    Flushed,
    Read(usize),
    Wrote(usize),
    Broken,
    /// The live plane did the step at the front.
    Stepped,
    Frames(Received),
    /// What the client may do has changed.
    Access(Change),
    /// A newer connection wants the client's session.
    Wanted,
    /// The client is read again, or it has been silent for long.
    Timer,
}

/// After CONNACK.
pub(super) struct Running<P: Plane, S> {
    pub(super) session: Session<P>,
    pub(super) peer: Peer,
    pub(super) stream: S,
    pub(super) input: BytesMut,
    pub(super) responses: ResponseReceiver,
    pub(super) stop: watch::Receiver<bool>,
    /// Filled by the live plane, emptied in the same round.
    pub(super) frames: Vec<Bytes>,
    /// Bytes were written that the stream may hold back until it is flushed.
    pub(super) unflushed: bool,
    /// The socket is not to be written to any more.
    pub(super) closed: bool,
    pub(super) last_packet: Instant,
    pub(super) seat: Seat,
    /// A newer connection waits until what has come is read.
    pub(super) is_wanted: bool,
}

impl<P, S> Running<P, S>
where
    P: Plane,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Serves the client until its session ends.
    pub(super) async fn run(&mut self) {
        let timer = sleep_until(self.keep_alive_deadline());
        let mut timer = pin!(timer);
        loop {
            self.begin();
            self.advance();
            if self.session.end.is_some() {
                break;
            }
            if std::mem::take(&mut self.is_wanted) {
                self.seat.settled();
            }
            if let Some(until) = self.session.held_until() {
                timer.as_mut().reset(until);
            }
            let event = self.next_event(timer.as_mut()).await;
            self.begin();
            match event {
                Event::Timer => {
                    let deadline = self.keep_alive_deadline();
                    // Silence that we caused by not reading does not count.
                    let heard = deadline > Instant::now() || self.reads_held_back();
                    let again = if heard {
                        deadline.max(Instant::now() + GOODBYE)
                    } else {
                        deadline
                    };
                    timer.as_mut().reset(again);
                    if !heard {
                        self.session.refuse(Reason::KeepAliveTimeout);
                    }
                }
                event => self.on_event(event),
            }
        }
    }

    fn begin(&mut self) {
        if self.session.begin() {
            // While it was not read, it could not be heard.
            self.last_packet = Instant::now();
        }
    }

    /// Does all that needs no waiting.
    fn advance(&mut self) {
        loop {
            self.session.settle_round();
            self.take_steps();
            if self.input.is_empty() || !self.session.may_read() {
                break;
            }
            let used = self.session.feed(&self.input);
            if used == 0 {
                break;
            }
            self.last_packet = Instant::now();
            self.input.advance(used);
        }
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.session.settle_input(self.input.len());
    }

    /// Asks the desk as far as the live plane has done its part.
    fn take_steps(&mut self) {
        let session = &mut self.session;
        while let Some(Step::Ask(_)) = session.subscribing.steps.front() {
            if let Some(Step::Ask(request)) = session.subscribing.steps.pop_front() {
                session.exits.ask(*request);
            }
        }
        if session.subscribing.steps.is_empty() {
            session.subscribing.steps.shrink_to_fit();
        }
    }

    async fn next_event(&mut self, timer: Pin<&mut tokio::time::Sleep>) -> Event {
        let publishing = self.session.is_publishing();
        let wants_input = !publishing && self.session.may_read();
        let session = &mut self.session;
        let waiting = &mut session.exits.waiting;
        let io = poll_fn(|cx| {
            let output = &mut session.exits.output;
            if let Poll::Ready(event) =
                poll_write(&mut self.stream, output, &mut self.unflushed, cx)
            {
                return Poll::Ready(event);
            }
            if !wants_input {
                return Poll::Pending;
            }
            Poll::Ready(
                match ready!(poll_read(&mut self.stream, &mut self.input, cx)) {
                    Ok(count) if count > 0 => Event::Read(count),
                    _ => Event::Broken,
                },
            )
        });
        let live = live_event(
            session.subscriber.as_mut(),
            session.subscribing.steps.front(),
            &mut self.frames,
        );
        // In no fixed order, so that neither a client, nor the desk, nor the live plane can starve the others.
        let anyone = async {
            tokio::select! {
                event = io => event,
                event = live => event,
                response = self.responses.recv() => Event::Response(response),
            }
        };
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Event::Stop,
            asked = ask_one(&session.exits.desk, waiting), if !publishing => Event::Asked(asked),
            () = flush(session.publisher.as_mut()) => Event::Flushed,
            event = anyone => event,
            change = Access::change(session.access.as_deref_mut()) => Event::Access(change),
            () = self.seat.wanted() => Event::Wanted,
            () = timer => Event::Timer,
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Stop => self.session.refuse(Reason::ShuttingDown),
            Event::Response(Some(response)) => {
                self.session.on_response(response);
                self.drain_responses();
            }
            Event::Response(None) | Event::Asked(false) => {
                self.session.refuse(Reason::ShuttingDown);
            }
            Event::Access(change) => self.session.on_change(change),
            Event::Wanted => {
                self.is_wanted = true;
                self.read_what_came();
            }
            Event::Asked(true) | Event::Flushed | Event::Timer => {}
            Event::Read(count) => self.session.exits.metrics.bytes_received.add(count as u64),
            Event::Wrote(count) => self.count_output(count),
            Event::Broken => {
                self.closed = true;
                self.session.end.get_or_insert(End::Gone);
            }
            Event::Stepped => {
                self.session.subscribing.steps.pop_front();
            }
            Event::Frames(received) => {
                // A response that was sent before a broadcast is seen before it: the snapshot before its successors.
                self.drain_responses();
                let bytes: usize = self.frames.iter().map(Bytes::len).sum();
                let most = self.session.config.write_high_water_bytes;
                self.session.exits.output.reserve(bytes.min(most));
                self.session.on_frames(&mut self.frames, received);
                if self.frames.capacity() > FRAMES / 8 {
                    self.frames = Vec::new();
                }
            }
        }
    }

    /// Reads what the client sent so far, as far as it may be read now.
    fn read_what_came(&mut self) {
        // Whoever waits next for the stream brings a waker of its own.
        let mut cx = Context::from_waker(Waker::noop());
        while self.input.len() < MOST_READ_AT_ONCE && self.session.may_read() {
            match poll_read(&mut self.stream, &mut self.input, &mut cx) {
                Poll::Ready(Ok(count @ 1..)) => {
                    self.on_event(Event::Read(count));
                    continue;
                }
                // What came before the end is taken first: it may be a DISCONNECT. Then the end is met again.
                Poll::Ready(_) => self.is_wanted = false,
                Poll::Pending => {}
            }
            break;
        }
    }

    fn drain_responses(&mut self) {
        while let Ok(response) = self.responses.try_recv() {
            self.session.on_response(response);
        }
    }

    fn count_output(&mut self, bytes: usize) {
        let exits = &mut self.session.exits;
        exits.metrics.packets_sent.add(exits.output.take_packets());
        exits.metrics.bytes_sent.add(bytes as u64);
    }

    fn keep_alive_deadline(&self) -> Instant {
        match self.session.client.keep_alive {
            0 => Instant::now() + FOR_EVER,
            // MQTT-3.1.2-22: one and a half times.
            seconds => self.last_packet + Duration::from_millis(u64::from(seconds) * 1500),
        }
    }

    /// Whether it is the desk or the live plane, rather than the client, for whose sake nothing is read.
    fn reads_held_back(&self) -> bool {
        let client_reads =
            self.session.exits.output.len() < self.session.config.write_high_water_bytes;
        client_reads && (self.session.is_publishing() || !self.session.may_read())
    }

    /// Hands on what was taken from the client, tells the desk, tells the client.
    pub(super) async fn finish(mut self: Box<Self>) {
        let session = &mut self.session;
        let (publish_will, why, expiry) = match session.end {
            Some(End::Left {
                publish_will,
                expiry,
            }) => (publish_will, "disconnected", expiry),
            Some(End::Refused(ending)) => (true, ending.words(), None),
            Some(End::Gone) | None => (true, "connection lost", None),
        };
        session.subscriber = None;
        if let Some(publisher) = &mut session.publisher {
            let patience = session.config.drain_timeout;
            let _ = timeout(patience, publisher.flush()).await;
        }
        let last = Request::Close {
            connection: session.exits.connection,
            publish_will,
            why,
            expiry,
        };
        for request in session.exits.waiting.drain(..).chain([last]) {
            if session.exits.desk.send(request).await.is_err() {
                break;
            }
        }
        self.seat.leave();
        if let Some(End::Refused(ending)) = session.end {
            session.exits.metrics.disconnects.of(ending).add(1);
            if session.client.v5 {
                session.exits.output.disconnect(ending.reason());
            }
        }
        self.tell_of_the_end();
        self.count_output(self.session.exits.output.len());
        if !self.closed {
            say_goodbye(self.stream, self.session.exits.output.pending()).await;
        }
    }
}

/// Lines about how connections end.
impl<P: Plane, S> Running<P, S> {
    fn tell_of_the_end(&self) {
        let session = &self.session;
        let (peer, client) = (self.peer.shown(), shortened(&session.client.id));
        let Some(End::Refused(ending)) = session.end else {
            if session.config.log_connections {
                let left = matches!(session.end, Some(End::Left { .. }));
                let (kind, why) = match left {
                    true => ("disconnected", "it said DISCONNECT"),
                    false => ("connection_lost", "connection lost"),
                };
                let admitted = session.admits(kind);
                limited!(info, admitted, client, %peer, kind, "disconnected: {why}");
            }
            return;
        };
        let kind = ending.name();
        let admitted = session.admits(kind);
        let words = ending.words();
        let detail = &session.detail;
        limited!(info, admitted, client, %peer, kind, "closed: {words}{detail}");
        let rivals = &session.door.rivals;
        if ending == Ending::TakenOver && rivals.taken_over(&session.client.id, Instant::now()) {
            let kind = "two_devices";
            let admitted = session.admits(kind);
            limited!(warn, admitted, client, %peer, kind, "two devices with one id: taken over three times within a minute");
        }
    }
}

/// What the live plane is asked: the step at the front, else frames.
async fn live_event<S: Subscriber>(
    subscriber: Option<&mut S>,
    step: Option<&Step>,
    frames: &mut Vec<Bytes>,
) -> Event {
    let Some(subscriber) = subscriber else {
        return pending().await;
    };
    match step {
        Some(Step::Open { filter, reliable }) => {
            subscriber.subscribe(filter, *reliable).await;
            Event::Stepped
        }
        Some(Step::Close(filter)) => {
            subscriber.unsubscribe(filter).await;
            Event::Stepped
        }
        Some(Step::Ask(_)) | None => Event::Frames(subscriber.recv(frames, FRAMES).await),
    }
}

async fn flush<L: Publisher>(publisher: Option<&mut L>) {
    match publisher {
        Some(publisher) if !publisher.is_empty() => publisher.flush().await,
        _ => pending().await,
    }
}

/// Waits for a place in the desk's channel, for the oldest request.
async fn ask_one(desk: &mpsc::Sender<Request>, waiting: &mut VecDeque<Request>) -> bool {
    if waiting.is_empty() {
        return pending().await;
    }
    let Ok(place) = desk.reserve().await else {
        return false;
    };
    if let Some(request) = waiting.pop_front() {
        place.send(request);
    }
    true
}

/// Writes what waits, then flushes. Pending once there is nothing left to do.
fn poll_write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    output: &mut Output,
    unflushed: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Event> {
    if !output.is_empty() {
        let Ok(count @ 1..) = ready!(Pin::new(&mut *stream).poll_write(cx, output.pending()))
        else {
            return Poll::Ready(Event::Broken);
        };
        output.advance(count);
        *unflushed = true;
        return Poll::Ready(Event::Wrote(count));
    }
    if *unflushed {
        if ready!(Pin::new(stream).poll_flush(cx)).is_err() {
            return Poll::Ready(Event::Broken);
        }
        *unflushed = false;
    }
    Poll::Pending
}
