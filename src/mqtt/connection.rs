//! A connection after CONNACK: moves bytes, requests, responses and frames between the session and
//! the world, does what the session wants of the live plane, and keeps time.
//!
//! It waits in one place, for whatever comes first, so that nothing that is slow (the client, the
//! desk, the live plane) keeps the others waiting; what the session cannot take at the moment is
//! left unread. It decides nothing.

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

use super::accept::listener::stopped;
use super::accept::takeover::Slot;
use super::codec::encode::Output;
use super::codec::reason::Reason;
use super::peer::Peer;
use super::session::access::{AccessChange, ClientAccess};
use super::session::{Action, ClientSession};
use super::stream::{GOODBYE, poll_read, say_goodbye};
use crate::live::{Plane, Publisher, Received, Subscriber};

/// The most frames taken from the live plane in one go: one client's share of a turn, no limit on
/// anything that waits.
const FRAMES: usize = 256;
/// The most that is read for the sake of a newer connection, in bytes.
const MOST_READ_AT_ONCE: usize = 256 * 1024;
/// A keep-alive that is none.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a connection can wait for.
enum Wakeup {
    Stop,
    /// `None`: the desk is gone.
    Response(Option<Response>),
    /// The desk's channel took a request, or is gone.
    Asked(bool),
    Flushed,
    Read(usize),
    Wrote(usize),
    Broken,
    /// The live plane did what the session wanted.
    ActionDone,
    Frames(Received),
    /// What the client may do has changed.
    Access(AccessChange),
    /// A newer connection wants the client's session.
    Wanted,
    /// The client is read again, or it has been silent for long.
    Timer,
}

/// After CONNACK.
pub(super) struct Running<P: Plane, S> {
    pub(super) session: ClientSession<P>,
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
    pub(super) slot: Slot,
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
            if self.session.is_over() {
                break;
            }
            if std::mem::take(&mut self.is_wanted) {
                self.slot.settled();
            }
            if let Some(until) = self.session.held_until() {
                timer.as_mut().reset(until);
            }
            let event = self.next_event(timer.as_mut()).await;
            self.begin();
            match event {
                Wakeup::Timer => {
                    let deadline = self.keep_alive_deadline();
                    // Silence that we caused by not reading does not count.
                    let heard = deadline > Instant::now() || self.session.reads_held_back();
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

    async fn next_event(&mut self, timer: Pin<&mut tokio::time::Sleep>) -> Wakeup {
        let publishing = self.session.is_publishing();
        let wants_input = !publishing && self.session.may_read();
        let action = self.session.poll_action();
        let ClientSession {
            io, live, access, ..
        } = &mut self.session;
        let bytes = poll_fn(|cx| {
            if let Poll::Ready(event) =
                poll_write(&mut self.stream, &mut io.output, &mut self.unflushed, cx)
            {
                return Poll::Ready(event);
            }
            if !wants_input {
                return Poll::Pending;
            }
            Poll::Ready(
                match ready!(poll_read(&mut self.stream, &mut self.input, cx)) {
                    Ok(count) if count > 0 => Wakeup::Read(count),
                    _ => Wakeup::Broken,
                },
            )
        });
        let fan_out = live_event(live.subscriber.as_mut(), action, &mut self.frames);
        // In no fixed order, so that neither a client, nor the desk, nor the live plane can starve
        // the others.
        let anyone = async {
            tokio::select! {
                event = bytes => event,
                event = fan_out => event,
                response = self.responses.recv() => Wakeup::Response(response),
            }
        };
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Wakeup::Stop,
            asked = ask_one(&io.desk, &mut io.waiting), if !publishing => Wakeup::Asked(asked),
            () = flush(live.publisher.as_mut()) => Wakeup::Flushed,
            event = anyone => event,
            change = ClientAccess::change(access.as_deref_mut()) => Wakeup::Access(change),
            () = self.slot.wanted() => Wakeup::Wanted,
            () = timer => Wakeup::Timer,
        }
    }

    fn on_event(&mut self, event: Wakeup) {
        match event {
            Wakeup::Stop => self.session.refuse(Reason::ShuttingDown),
            Wakeup::Response(Some(response)) => {
                self.session.on_response(response);
                self.drain_responses();
            }
            Wakeup::Response(None) | Wakeup::Asked(false) => {
                self.session.refuse(Reason::ShuttingDown);
            }
            Wakeup::Access(change) => self.session.on_change(change),
            Wakeup::Wanted => {
                self.is_wanted = true;
                self.read_what_came();
            }
            Wakeup::Asked(true) | Wakeup::Flushed | Wakeup::Timer => {}
            Wakeup::Read(count) => self.session.io.metrics.bytes_received.add(count as u64),
            Wakeup::Wrote(count) => self.session.io.count_output(count),
            Wakeup::Broken => {
                self.closed = true;
                self.session.lose();
            }
            Wakeup::ActionDone => self.session.action_done(),
            Wakeup::Frames(received) => {
                // A response that was sent before a broadcast is seen before it: the snapshot
                // before its successors.
                self.drain_responses();
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
                    self.on_event(Wakeup::Read(count));
                    continue;
                }
                // What came before the end is taken first: it may be a DISCONNECT. Then the end is
                // met again.
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

    fn keep_alive_deadline(&self) -> Instant {
        match self.session.max_silence() {
            None => Instant::now() + FOR_EVER,
            Some(silence) => self.last_packet + silence,
        }
    }

    /// Hands on what was taken from the client, tells the desk, tells the client.
    pub(super) async fn finish(mut self: Box<Self>) {
        let session = &mut self.session;
        session.live.subscriber = None;
        if let Some(publisher) = &mut session.live.publisher {
            let _ = timeout(session.config.mqtt.drain_timeout.0, publisher.flush()).await;
        }
        for request in session.last_requests() {
            if session.io.desk.send(request).await.is_err() {
                break;
            }
        }
        self.slot.leave();
        session.tell_of_the_end(&self.peer);
        session.io.count_output(session.io.output.len());
        if !self.closed {
            say_goodbye(self.stream, session.io.output.pending()).await;
        }
    }
}

/// Does on the live plane what the session wants there, else receives.
async fn live_event<S: Subscriber>(
    subscriber: Option<&mut S>,
    action: Option<Action>,
    frames: &mut Vec<Bytes>,
) -> Wakeup {
    let Some(subscriber) = subscriber else {
        return pending().await;
    };
    match action {
        Some(Action::LiveOpen { filter, reliable }) => {
            subscriber.subscribe(&filter, reliable).await;
        }
        Some(Action::LiveClose(filter)) => subscriber.unsubscribe(&filter).await,
        None => return Wakeup::Frames(subscriber.recv(frames, FRAMES).await),
    }
    Wakeup::ActionDone
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
) -> Poll<Wakeup> {
    if !output.is_empty() {
        let Ok(count @ 1..) = ready!(Pin::new(&mut *stream).poll_write(cx, output.pending()))
        else {
            return Poll::Ready(Wakeup::Broken);
        };
        output.advance(count);
        *unflushed = true;
        return Poll::Ready(Wakeup::Wrote(count));
    }
    if *unflushed {
        if ready!(Pin::new(stream).poll_flush(cx)).is_err() {
            return Poll::Ready(Wakeup::Broken);
        }
        *unflushed = false;
    }
    Poll::Pending
}
