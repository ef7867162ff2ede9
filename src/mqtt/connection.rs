//! One connection: moves bytes, requests, responses and frames between the session and the world, and keeps time.
//!
//! It waits in one place, for whatever comes first, so that nothing that is slow (the client, the desk, the live plane) keeps the
//! others waiting; what the session cannot take at the moment is left unread.

use std::future::{pending, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::debug;

use crate::desk::port::{
    Connection as DeskEnd, ConnectionId, Open, Request, Response, Subscription,
};

use super::encode::Output;
use super::exits::Exits;
use super::frame::{self, Kind};
use super::handshake::{self, Connect, Refusal};
use super::listener::{Door, stopped};
use super::outbound::Outbound;
use super::plane::{Plane, Publisher, Received, Subscriber};
use super::reason::Reason;
use super::session::{End, Session};
use super::subscribing::Step;
use super::subscriptions::needs_live;

/// The most that one read takes, in bytes. On the stack while reading, so an idle connection holds no input buffer.
const READ_BYTES: usize = 32 * 1024;
/// The most frames taken from the live plane in one go.
const FRAMES: usize = 256;
/// How long a closing connection waits for the client to take the last bytes, and again to close its side.
const GOODBYE: Duration = Duration::from_secs(1);
/// A keep-alive that is none.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Serves a stream from its first byte to its last.
pub(super) async fn serve<P, S>(door: Arc<Door<P>>, stream: S, stop: watch::Receiver<bool>)
where
    P: Plane,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Both phases live on the heap, one after the other: the task of an idle connection is as large as the second alone.
    let opening = Opening {
        deadline: Instant::now() + door.config.connect_timeout,
        door,
        stream,
        stop,
        input: BytesMut::new(),
    };
    if let Some(mut running) = Box::pin(opening.open()).await {
        running.run().await;
        Box::pin(running.finish()).await;
    }
}

/// Reads the first packet; `None` if the client went away.
async fn read_connect<P: Plane, S: AsyncRead + Unpin>(
    door: &Door<P>,
    stream: &mut S,
    input: &mut BytesMut,
) -> Result<Connect, Option<Refusal>> {
    let silent = |reason| Some(Refusal::Silent(reason));
    let max = door
        .config
        .max_connect_packet_bytes
        .min(door.config.max_packet_bytes);
    loop {
        if let Some(&first) = input.first()
            && frame::kind(first) != Ok(Kind::Connect)
        {
            // MQTT-3.1.0-1.
            return Err(silent(Reason::Protocol));
        }
        if let Some(frame) = frame::first(input, max).map_err(silent)? {
            door.metrics.packets_received.add(1);
            let connect = handshake::connect(&door.config, &input[frame.header..frame.len()]);
            input.advance(frame.len());
            return connect.map_err(Some);
        }
        let count = poll_fn(|cx| poll_read(stream, input, cx))
            .await
            .map_err(|_| None)?;
        if count == 0 {
            return Err(None);
        }
        door.metrics.bytes_received.add(count as u64);
    }
}

async fn refuse<P: Plane, S>(door: &Door<P>, stream: S, refusal: Refusal)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    debug!(?refusal, "refused a client");
    door.metrics.connects_refused.add(1);
    let mut output = Output::default();
    refusal.write(&mut output);
    door.metrics.packets_sent.add(output.take_packets());
    door.metrics.bytes_sent.add(output.len() as u64);
    say_goodbye(stream, output.pending()).await;
}

/// Writes the last bytes and closes. The client's own last bytes are read away first: closing on unread input resets the
/// connection, and the client might never see what was written.
async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, last: &[u8]) {
    let farewell = async {
        stream.write_all(last).await?;
        stream.shutdown().await
    };
    if let Ok(Ok(())) = timeout(GOODBYE, farewell).await {
        let mut ignored = [0; 512];
        let read_away = async { while stream.read(&mut ignored).await.is_ok_and(|n| n > 0) {} };
        let _ = timeout(GOODBYE, read_away).await;
    }
}

/// From the first byte to CONNACK.
struct Opening<P, S> {
    door: Arc<Door<P>>,
    stream: S,
    stop: watch::Receiver<bool>,
    input: BytesMut,
    deadline: Instant,
}

/// What the desk answered to CONNECT.
struct Opened {
    session_present: bool,
    durable: bool,
    subscriptions: Vec<Subscription>,
    unreleased: Vec<u16>,
}

impl<P, S> Opening<P, S>
where
    P: Plane,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Lets the client in, or not.
    async fn open(mut self) -> Option<Box<Running<P, S>>> {
        let reading = read_connect(&self.door, &mut self.stream, &mut self.input);
        let first = tokio::select! {
            first = timeout_at(self.deadline, reading) => first,
            () = stopped(&mut self.stop) => return None,
        };
        let mut connect = match first {
            Ok(Ok(connect)) => connect,
            Ok(Err(Some(refusal))) => {
                refuse(&self.door, self.stream, refusal).await;
                return None;
            }
            Ok(Err(None)) | Err(_) => return None,
        };
        self.deadline = Instant::now() + self.door.config.connect_timeout;
        let id = self.door.next_connection();
        let (sender, mut responses) = mpsc::unbounded_channel();
        let backlog = Arc::new(AtomicUsize::new(0));
        let desk_end = DeskEnd {
            id,
            responses: sender,
            backlog: Arc::clone(&backlog),
        };
        let admitted = match self.ask(&mut connect, desk_end, &mut responses).await {
            Ok(opened) => self.listen(&connect.client.id, opened).await,
            Err(reason) => Err(reason),
        };
        match admitted {
            Ok((opened, subscriber)) => {
                let mut running = self.running(connect, id, backlog, responses, &opened);
                running.session.subscriber = subscriber;
                for subscription in opened.subscriptions {
                    let qos = subscription.qos;
                    running.session.subscriptions.insert(subscription, qos, 0);
                }
                Some(running)
            }
            Err(reason) => {
                let close = Request::Close {
                    connection: id,
                    publish_will: false,
                    expiry: None,
                };
                // The desk may be gone; then there is nothing to close.
                let _ = timeout(GOODBYE, self.door.desk.send(close)).await;
                refuse(&self.door, self.stream, connect.turn_away(reason)).await;
                None
            }
        }
    }

    /// Asks the desk for the session.
    async fn ask(
        &self,
        connect: &mut Connect,
        connection: DeskEnd,
        responses: &mut mpsc::UnboundedReceiver<Response>,
    ) -> Result<Opened, Reason> {
        let will = connect.will.take();
        let open = Open {
            connection,
            client_id: Arc::clone(&connect.client.id),
            clean_start: connect.clean_start,
            expiry: connect.expiry,
            window: connect.window,
            will_delay: will.as_ref().map_or(0, |will| will.delay),
            will_expiry: will.as_ref().and_then(|will| will.expiry),
            will: will.map(|will| will.publication),
        };
        let asking = self.door.desk.send(Request::Open(Box::new(open)));
        if !matches!(timeout_at(self.deadline, asking).await, Ok(Ok(()))) {
            return Err(Reason::ServerUnavailable);
        }
        match timeout_at(self.deadline, responses.recv()).await {
            Ok(Some(Response::Opened {
                session_present,
                durable,
                subscriptions,
                unreleased,
            })) => Ok(Opened {
                session_present,
                durable,
                subscriptions,
                unreleased,
            }),
            Ok(Some(Response::Close(reason))) => Err(reason.into()),
            _ => Err(Reason::ServerUnavailable),
        }
    }

    /// Subscribes on the live plane what still stands. Before CONNACK: a client that reads "session present" misses nothing
    /// from then on.
    async fn listen(
        &self,
        me: &str,
        opened: Opened,
    ) -> Result<(Opened, Option<P::Subscriber>), Reason> {
        let mut subscriber = None;
        for Subscription { filter, .. } in &opened.subscriptions {
            if needs_live(&self.door.config.root, me, filter) {
                let subscriber = subscriber.get_or_insert_with(|| self.door.plane.subscriber());
                if timeout_at(self.deadline, subscriber.subscribe(filter))
                    .await
                    .is_err()
                {
                    return Err(Reason::ServerUnavailable);
                }
            }
        }
        Ok((opened, subscriber))
    }

    fn running(
        self,
        connect: Connect,
        id: ConnectionId,
        backlog: Arc<AtomicUsize>,
        responses: mpsc::UnboundedReceiver<Response>,
        opened: &Opened,
    ) -> Box<Running<P, S>> {
        let mut connect = connect;
        // A session that was durable before stays so until it ends.
        connect.client.durable = opened.durable;
        let config = &self.door.config;
        let client = &connect.client;
        debug!(client = %client.id, v5 = client.v5, resumed = opened.session_present, "connected");
        let mut exits = Exits::new(id, Arc::clone(&self.door.metrics));
        connect.accept(config, opened.session_present, &mut exits.output);
        let outbound = Outbound::new(
            config,
            client.v5,
            connect.max_packet,
            connect.window,
            backlog,
        );
        let mut session = Session::new(Arc::clone(&self.door), connect.client, exits, outbound);
        session.inbound.restore(&opened.unreleased);
        Box::new(Running {
            last_packet: Instant::now(),
            session,
            stream: self.stream,
            input: self.input,
            responses,
            stop: self.stop,
            frames: Vec::new(),
            unflushed: false,
            closed: false,
        })
    }
}

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
    KeepAlive,
}

/// After CONNACK.
struct Running<P: Plane, S> {
    session: Session<P>,
    stream: S,
    input: BytesMut,
    responses: mpsc::UnboundedReceiver<Response>,
    stop: watch::Receiver<bool>,
    /// Filled by the live plane, emptied in the same round.
    frames: Vec<Bytes>,
    /// Bytes were written that the stream may hold back until it is flushed.
    unflushed: bool,
    /// The socket is not to be written to any more.
    closed: bool,
    last_packet: Instant,
}

impl<P, S> Running<P, S>
where
    P: Plane,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    async fn run(&mut self) {
        let timer = sleep_until(self.keep_alive_deadline());
        let mut timer = pin!(timer);
        loop {
            self.session.begin();
            self.advance();
            if self.session.end.is_some() {
                break;
            }
            let event = self.next_event(timer.as_mut()).await;
            self.session.begin();
            match event {
                Event::KeepAlive => {
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

    /// Does all that needs no waiting.
    fn advance(&mut self) {
        loop {
            self.session.settle_round();
            self.take_steps();
            self.ask();
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
        self.ask();
    }

    /// Passes requests to the queue as far as the live plane has done its part.
    fn take_steps(&mut self) {
        let session = &mut self.session;
        while let Some(Step::Ask(_)) = session.subscribing.steps.front() {
            if let Some(Step::Ask(request)) = session.subscribing.steps.pop_front() {
                session.exits.requests.push_back(request);
            }
        }
        if session.subscribing.steps.is_empty() {
            session.subscribing.steps.shrink_to_fit();
        }
    }

    /// Gives the desk's channel what it has room for.
    fn ask(&mut self) {
        let session = &mut self.session;
        while let Some(request) = session.exits.requests.pop_front() {
            match session.door.desk.try_send(request) {
                Ok(()) => {}
                Err(TrySendError::Full(request)) => {
                    session.exits.requests.push_front(request);
                    return;
                }
                Err(TrySendError::Closed(_)) => session.refuse(Reason::ShuttingDown),
            }
        }
    }

    async fn next_event(&mut self, timer: Pin<&mut tokio::time::Sleep>) -> Event {
        let publishing = self
            .session
            .publisher
            .as_ref()
            .is_some_and(|live| !live.is_empty());
        let wants_input = !publishing && self.session.may_read();
        let session = &mut self.session;
        let requests = &mut session.exits.requests;
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
        let io_or_live = async {
            tokio::select! {
                event = io => event,
                event = live => event,
            }
        };
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Event::Stop,
            response = self.responses.recv() => Event::Response(response),
            asked = ask_one(&session.door.desk, requests) => Event::Asked(asked),
            () = flush(session.publisher.as_mut()) => Event::Flushed,
            event = io_or_live => event,
            () = timer => Event::KeepAlive,
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
            Event::Asked(true) | Event::Flushed | Event::KeepAlive => {}
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
                let bytes = self.frames.iter().map(Bytes::len).sum();
                self.session.exits.output.reserve(bytes);
                self.session.on_frames(&mut self.frames, received);
                if self.frames.capacity() > FRAMES / 8 {
                    self.frames = Vec::new();
                }
            }
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
            self.session.exits.output.len() < self.session.door.config.write_high_water_bytes;
        let publishing = self
            .session
            .publisher
            .as_ref()
            .is_some_and(|live| !live.is_empty());
        client_reads && (publishing || !self.session.may_read())
    }

    /// Hands on what was taken from the client, tells the desk, tells the client.
    async fn finish(mut self: Box<Self>) {
        let session = &mut self.session;
        let (publish_will, expiry) = match session.end {
            Some(End::Left {
                publish_will,
                expiry,
            }) => (publish_will, expiry),
            _ => (true, None),
        };
        if let Some(publisher) = &mut session.publisher {
            let patience = session.door.config.drain_timeout;
            let _ = timeout(patience, publisher.flush()).await;
        }
        session.subscriber = None;
        let last = Request::Close {
            connection: session.exits.connection,
            publish_will,
            expiry,
        };
        for request in session.exits.requests.drain(..).chain([last]) {
            if session.door.desk.send(request).await.is_err() {
                break;
            }
        }
        if let Some(End::Refused(reason)) = session.end {
            debug!(client = %session.client.id, ?reason, "closing");
            session.exits.metrics.disconnects.add(1);
            if session.client.v5 {
                session.exits.output.disconnect(reason);
            }
        }
        self.count_output(self.session.exits.output.len());
        if !self.closed {
            say_goodbye(self.stream, self.session.exits.output.pending()).await;
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
        Some(Step::Open(filter)) => {
            subscriber.subscribe(filter).await;
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
async fn ask_one(
    desk: &mpsc::Sender<Request>,
    requests: &mut std::collections::VecDeque<Request>,
) -> bool {
    if requests.is_empty() {
        return pending().await;
    }
    let Ok(place) = desk.reserve().await else {
        return false;
    };
    if let Some(request) = requests.pop_front() {
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

/// Reads once, by way of the stack, so that only what came is kept.
fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    input: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
    let mut buffer = ReadBuf::uninit(&mut space);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    input.extend_from_slice(buffer.filled());
    Poll::Ready(Ok(buffer.filled().len()))
}
