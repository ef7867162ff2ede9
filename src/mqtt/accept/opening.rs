//! A connection up to CONNACK: reads CONNECT against the clock, asks the desk for the session,
//! listens again where it listened.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::auth::AuthRefusal;
use crate::desk::ConnectionShare;
use crate::desk::port::{
    self, CloseReason, Connection as DeskEnd, ConnectionId, OpenRequest, Request, Response,
    ResponseReceiver, Subscription,
};

use crate::live::{Plane, Subscriber};
use crate::log_limiter::{limited, shortened};
use crate::mqtt::codec::encode::{ErrorDetail, Output};
use crate::mqtt::codec::fixed_header::{self, PacketType};
use crate::mqtt::codec::reason::Reason;
use crate::mqtt::config::DoorConfig;
use crate::mqtt::connection::Running;
use crate::mqtt::context::ServerContext;
use crate::mqtt::current::Versioned;
use crate::mqtt::disconnect_reason::DisconnectReason;
use crate::mqtt::peer::Peer;
use crate::mqtt::session::ClientSession;
use crate::mqtt::session::access::{self, ClientAccess};
use crate::mqtt::session::inbound::Inbound;
use crate::mqtt::session::io::SessionIo;
use crate::mqtt::session::live_filters::LiveFilters;
use crate::mqtt::session::outbound::Outbound;
use crate::mqtt::session::subscriptions::needs_live;
use crate::mqtt::stream::{GOODBYE, poll_read, say_goodbye};

use super::admission::HalfOpenPlace;
use super::handshake::{self, ClientInfo, Connect, ConnectRefusal};
use super::listener::{Arrival, must_give_way, stopped};

/// Serves a stream from its first byte to its last.
pub(in crate::mqtt) async fn serve<P, S>(
    context: Arc<ServerContext<P>>,
    stream: S,
    arrival: Arrival,
    stop: watch::Receiver<bool>,
) where
    P: Plane,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Both phases live on the heap, one after the other: the task of an idle connection is as large
    // as the second alone.
    let share = ConnectionShare::new(Arc::clone(&context.memory));
    let opening = Opening {
        config: context.config.get(),
        context,
        stream,
        stop,
        input: BytesMut::new(),
        peer: arrival.peer,
        deadline: arrival.deadline,
        waiting: arrival.waiting,
        share,
    };
    if let Some(mut running) = Box::pin(opening.open()).await {
        running.run().await;
        Box::pin(running.finish()).await;
    }
}

/// Reads the first packet; `None` if the client went away.
async fn read_connect<P: Plane, S: AsyncRead + Unpin>(
    context: &ServerContext<P>,
    config: &DoorConfig,
    stream: &mut S,
    input: &mut BytesMut,
    share: &mut ConnectionShare,
) -> Result<Connect, Option<ConnectRefusal>> {
    let silent = |reason| Some(ConnectRefusal::Silent(reason));
    let max = config
        .mqtt
        .max_connect_packet
        .0
        .min(config.mqtt.max_packet.0);
    loop {
        if let Some(&first) = input.first()
            && fixed_header::packet_type(first) != Ok(PacketType::Connect)
        {
            // MQTT-3.1.0-1.
            return Err(silent(Reason::Protocol));
        }
        if let Some(frame) = fixed_header::first(input, max).map_err(silent)? {
            context.metrics.packets_received.add(1);
            context.metrics.connects.add_one();
            let connect = handshake::connect(config, &input[frame.header..frame.len()]);
            input.advance(frame.len());
            return connect.map_err(Some);
        }
        let count = poll_fn(|cx| poll_read(stream, input, cx))
            .await
            .map_err(|_| None)?;
        if count == 0 {
            return Err(None);
        }
        context.metrics.bytes_received.add(count as u64);
        share.set_incoming(input.len());
        share.look();
        if share.is_refused(input.len()) {
            share.memory().outcomes.closed.add_one();
            return Err(silent(Reason::QuotaExceeded));
        }
    }
}

/// A line for a stranger who is not let in; whom the authenticator or the desk refuses, they have
/// told of.
fn tell<P: Plane>(context: &ServerContext<P>, peer: &Peer, refusal: ConnectRefusal) {
    let (kind, why) = refusal.told();
    let admitted = context.admits_stranger(kind, peer);
    let peer = peer.shown();
    limited!(info, admitted, %peer, kind, "refused: {why}");
}

async fn refuse<P: Plane, S>(context: &ServerContext<P>, stream: S, refusal: ConnectRefusal)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    context.metrics.connects_refused.add(1);
    let mut output = Output::default();
    refusal.write(context.config.get().mqtt.reason_strings, &mut output);
    context.metrics.packets_sent.add(output.take_packets());
    context.metrics.bytes_sent.add(output.len() as u64);
    say_goodbye(stream, output.pending()).await;
}

/// From the first byte to CONNACK.
struct Opening<P, S> {
    context: Arc<ServerContext<P>>,
    /// As it was when the connection came: all that its client is told is of one piece.
    config: Arc<Versioned<DoorConfig>>,
    stream: S,
    peer: Peer,
    stop: watch::Receiver<bool>,
    input: BytesMut,
    deadline: Instant,
    /// Until CONNECT is here.
    waiting: Option<HalfOpenPlace>,
    share: ConnectionShare,
}

/// What a connection shares with the desk; the desk has the other ends.
struct DeskSide {
    id: ConnectionId,
    responses: ResponseReceiver,
    backlog: Arc<AtomicUsize>,
    published: Arc<AtomicU64>,
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
    #[expect(
        clippy::too_many_lines,
        reason = "the order of its steps is what matters"
    )]
    async fn open(mut self) -> Option<Box<Running<P, S>>> {
        let reading = read_connect(
            &self.context,
            &self.config,
            &mut self.stream,
            &mut self.input,
            &mut self.share,
        );
        let first = tokio::select! {
            first = timeout_at(self.deadline, reading) => first,
            () = stopped(&mut self.stop) => return None,
            () = must_give_way(self.waiting.as_ref()) => {
                self.context.metrics.openings_failed.gave_way.add(1);
                return None;
            }
        };
        self.waiting = None;
        let mut connect = match first {
            Ok(Ok(connect)) => connect,
            Ok(Err(Some(refusal))) => {
                tell(&self.context, &self.peer, refusal);
                refuse(&self.context, self.stream, refusal).await;
                return None;
            }
            Ok(Err(None)) => return None,
            Err(_) => {
                self.context.metrics.openings_failed.timeout.add(1);
                let admitted = self.context.admits_stranger("connect_timeout", &self.peer);
                let peer = self.peer.shown();
                limited!(info, admitted, %peer, kind = "connect_timeout", "closed: no CONNECT in time");
                return None;
            }
        };
        self.deadline = Instant::now() + self.config.mqtt.connect_timeout.0;
        let access = match self.identify(&mut connect).await {
            Ok(access) => access,
            Err(reason) => {
                if reason == Reason::ServerUnavailable {
                    tell(&self.context, &self.peer, connect.turn_away(reason));
                }
                refuse(&self.context, self.stream, connect.turn_away(reason)).await;
                return None;
            }
        };
        self.context.connected.settle(&connect.client.id).await;
        let id = self.context.next_connection();
        let (sender, responses) = port::responses();
        let mut desk = DeskSide {
            id,
            responses,
            backlog: Arc::default(),
            published: Arc::default(),
        };
        let desk_end = DeskEnd {
            id,
            responses: sender,
            backlog: Arc::clone(&desk.backlog),
            published: Arc::clone(&desk.published),
        };
        let admitted = match self
            .ask(&mut connect, access.as_ref(), desk_end, &mut desk.responses)
            .await
        {
            Ok(opened) => self.listen(&connect.client, opened).await,
            Err(reason) => Err(reason),
        };
        match admitted {
            Ok((opened, live_filters, subscriber)) => {
                let mut running = self.running(connect, desk, &opened, access);
                running
                    .session
                    .resume(opened.subscriptions, live_filters, subscriber);
                Some(running)
            }
            Err(reason) => {
                let close = Request::Close {
                    connection: id,
                    publish_will: false,
                    why: DisconnectReason::from(reason).words(),
                    expiry: None,
                };
                // The desk may be gone; then there is nothing to close.
                let _ = timeout(GOODBYE, self.context.desk.send(close)).await;
                refuse(&self.context, self.stream, connect.turn_away(reason)).await;
                None
            }
        }
    }

    /// Asks the authenticator, if there is one, who the client is. A check that waits for others
    /// waits no longer than the deadline.
    async fn identify(&self, connect: &mut Connect) -> Result<Option<ClientAccess>, Reason> {
        let Some(authenticator) = &self.context.authenticator else {
            return Ok(None);
        };
        let entering = access::enter(authenticator, &self.peer, connect);
        match timeout_at(self.deadline, entering).await {
            Ok(entered) => entered.map(Some),
            Err(_) => Err(Reason::ServerUnavailable),
        }
    }

    /// Asks the desk for the session.
    async fn ask(
        &self,
        connect: &mut Connect,
        access: Option<&ClientAccess>,
        connection: DeskEnd,
        responses: &mut ResponseReceiver,
    ) -> Result<Opened, Reason> {
        let will = connect.will.take();
        let open = OpenRequest {
            connection,
            client_id: Arc::clone(&connect.client.id),
            owner: access.map(ClientAccess::owner),
            authorizer: access.map(ClientAccess::authorizer),
            clean_start: connect.clean_start,
            expiry: connect.expiry,
            window: connect.window,
            will_delay: will.as_ref().map_or(0, |will| will.delay),
            will_expiry: will.as_ref().and_then(|will| will.expiry),
            will: will.map(|will| will.publication),
        };
        let asking = self.context.desk.send(Request::Open(Box::new(open)));
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
            Ok(Some(Response::Close(reason))) => {
                if let (Some(access), CloseReason::NotOwner) = (access, reason) {
                    let what = "CONNECT: what is kept under this id is another user's";
                    access.refused(AuthRefusal::Owner, &what);
                }
                Err(reason.into())
            }
            _ => Err(Reason::ServerUnavailable),
        }
    }

    /// Subscribes on the live plane what still stands. Before CONNACK: a client that reads "session
    /// present" misses nothing from then on.
    async fn listen(
        &self,
        client: &ClientInfo,
        opened: Opened,
    ) -> Result<(Opened, LiveFilters, Option<P::Subscriber>), Reason> {
        let (mut subscriber, mut live_filters) = (None, LiveFilters::default());
        for subscription in &opened.subscriptions {
            let filter = &subscription.filter;
            if needs_live(&self.config.root, &client.id, filter)
                && let Some((filter, reliable)) =
                    live_filters.open(filter, client.relies_on(subscription))
            {
                let subscriber = subscriber.get_or_insert_with(|| self.context.plane.subscriber());
                let subscribing = subscriber.subscribe(&filter, reliable);
                if timeout_at(self.deadline, subscribing).await.is_err() {
                    return Err(Reason::ServerUnavailable);
                }
            }
        }
        Ok((opened, live_filters, subscriber))
    }

    fn running(
        self,
        connect: Connect,
        desk: DeskSide,
        opened: &Opened,
        access: Option<ClientAccess>,
    ) -> Box<Running<P, S>> {
        let mut connect = connect;
        // A session that was durable before stays so until it ends.
        connect.client.durable = opened.durable;
        let config = &**self.config;
        let client = &connect.client;
        let resumed = opened.session_present;
        let mut io = SessionIo::new(
            desk.id,
            self.context.desk.clone(),
            Arc::clone(&self.context.metrics),
            self.share,
        );
        let detail = ErrorDetail {
            speaks: config.mqtt.reason_strings,
            explains: client.v5 && connect.problem_information && config.mqtt.reason_strings,
            reveals: config.reveal_denials,
        };
        io.output.configure(connect.max_packet, detail);
        connect.accept(config, opened.session_present, &mut io.output);
        let outbound = Outbound::new(
            Arc::clone(&self.config),
            client.v5,
            connect.max_packet,
            connect.window,
            connect.max_alias,
            desk.backlog,
        );
        let slot = self.context.connected.register(&connect.client.id);
        let session = ClientSession::new(
            Arc::clone(&self.context),
            Arc::clone(&self.config),
            connect.client,
            io,
            Inbound::new(desk.published, &opened.unreleased),
            outbound,
            access,
        );
        if config.log_connections {
            let admitted = session.admits("connected");
            let client = &session.client;
            let (id, version) = (
                shortened(&client.id),
                if client.v5 { "5.0" } else { "3.1.1" },
            );
            let (peer, keep_alive) = (self.peer.shown(), client.keep_alive);
            limited!(info, admitted, client = id, %peer, version, keep_alive, resumed, "connected");
        }
        Box::new(Running {
            last_packet: Instant::now(),
            slot,
            is_wanted: false,
            session,
            peer: self.peer,
            stream: self.stream,
            input: self.input,
            responses: desk.responses,
            stop: self.stop,
            frames: Vec::new(),
            unflushed: false,
            closed: false,
        })
    }
}
