//! The task that owns the socket: connects, reads, writes, and connects again.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Level;
use super::flow::{Flow, Outgoing};
use super::handshake::{Established, Unestablished, end_session, establish};
use super::options::{LinkOptions, Protocol};
use super::packets::{Codec, FromGateway, IncomingPublish, Welcome};
use super::pulse::Pulse;
use super::receipts::Receipts;
use super::routes::{Letter, Routes};
use super::status::StatusBoard;
use super::subscriptions::FilterBook;
use crate::agent::error::Error;
use crate::agent::pause::RetryPause;
use crate::wire::filter;
use crate::wire::topic::is_own_mail;

/// Bytes that wait for the socket; beyond them no new orders are taken.
const MOST_UNWRITTEN: usize = 256 * 1024;
/// Room for what is read next.
const READ_AT_ONCE: usize = 8 * 1024;
/// Orders that are taken in one go.
const ORDERS_A_TURN: usize = 64;
/// The window may be full for so long before something is done about it.
const PATIENCE: Duration = Duration::from_millis(500);
/// A connection that ended sooner is no success.
const SHORT_LIFE: Duration = Duration::from_secs(2);
/// So many in a row, on MQTT 3.1.1, mean that somebody else uses our name.
const SHORT_LIVES: u32 = 5;
/// For the gateway to close its side after our DISCONNECT.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the driver is asked to do.
#[derive(Debug)]
pub(super) enum LinkOrder {
    Publish(Outgoing),
    Subscribe {
        filter: String,
        level: Level,
        done: oneshot::Sender<Result<(), Error>>,
    },
    Unsubscribe(String),
}

/// Ends the connection, and is told when it is over. Not an order: it does not wait behind them.
pub(super) type Close = oneshot::Sender<()>;

/// Why a connection ended.
enum Ending {
    /// It is to be made again.
    Lost(String),
    /// Again, with a new session.
    GivenBack,
    /// For good.
    Over(Error),
}

/// What is done about a window that is full of mail in hand.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Relief {
    Unneeded,
    /// If it is still full by then.
    At(Instant),
    /// Mail is unsubscribed from; then the connection is made anew.
    Unsubscribing,
}

impl Relief {
    async fn due(self) {
        match self {
            Relief::At(at) => tokio::time::sleep_until(at).await,
            Relief::Unneeded | Relief::Unsubscribing => std::future::pending().await,
        }
    }
}

/// How a connection is ended from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// With its session.
    InGoodOrder,
    /// Nobody holds it any more; somebody may come back for the session.
    Dropped,
}

pub(super) struct Driver {
    options: LinkOptions,
    orders: mpsc::Receiver<LinkOrder>,
    closes: mpsc::Receiver<Close>,
    routes: Arc<Routes>,
    receipts: Arc<Receipts>,
    status: Arc<StatusBoard>,
    flow: Flow,
    filters: FilterBook,
    closing: Option<Closing>,
    relief: Relief,
    /// Told when the connection has been closed.
    closed: Vec<Close>,
}

impl Driver {
    pub(super) fn new(
        options: LinkOptions,
        orders: mpsc::Receiver<LinkOrder>,
        closes: mpsc::Receiver<Close>,
        routes: Arc<Routes>,
        receipts: Arc<Receipts>,
        status: Arc<StatusBoard>,
    ) -> Driver {
        Driver {
            options,
            orders,
            closes,
            routes,
            receipts,
            status,
            flow: Flow::default(),
            filters: FilterBook::default(),
            closing: None,
            relief: Relief::Unneeded,
            closed: Vec::new(),
        }
    }

    /// Drives the connection until it is closed, or nobody holds it any more.
    pub(super) async fn run(mut self, opened: oneshot::Sender<Result<(), Error>>) {
        let mut opened = Some(opened);
        let end = self.live(&mut opened).await;
        if let Some(opened) = opened {
            // Who does not wait any more has its own error.
            let _ = opened.send(Err(end.clone()));
        }
        self.status.ended(end.clone());
        self.flow.end(&end);
        self.filters.end(&end);
        self.routes.clear();
        for closed in self.closed {
            let _ = closed.send(());
        }
    }

    async fn live(&mut self, opened: &mut Option<oneshot::Sender<Result<(), Error>>>) -> Error {
        let (mut pause, mut is_new, mut short_lives) = (RetryPause::reconnecting(), true, 0);
        loop {
            let attempt = establish(self.options.clone(), is_new);
            let established = match self.meanwhile(attempt).await {
                Ok(established) => established,
                Err(end) => return end,
            };
            match established {
                Ok(established) => {
                    if let Some(opened) = opened.take() {
                        let _ = opened.send(Ok(()));
                    }
                    let since = Instant::now();
                    let ending = self.serve(established).await;
                    is_new = self.options.session.is_zero();
                    match ending {
                        Ending::Over(error) => return error,
                        Ending::GivenBack => {
                            is_new = true;
                            self.status.disconnected("for a new session".to_owned());
                        }
                        Ending::Lost(reason) => self.status.disconnected(reason),
                    }
                    if since.elapsed() > SHORT_LIFE {
                        (pause, short_lives) = (RetryPause::reconnecting(), 0);
                    } else if self.options.protocol == Protocol::V311 && !is_new {
                        short_lives += 1;
                    }
                    if short_lives >= SHORT_LIVES {
                        return Error::SessionTaken;
                    }
                }
                Err(Unestablished::Trouble(reason)) => self.status.disconnected(reason),
                Err(Unestablished::Unwelcome(reason)) => return Error::Unconnected(reason),
            }
            if let Err(end) = self.meanwhile(tokio::time::sleep(pause.next())).await {
                return end;
            }
        }
    }

    /// Takes orders while there is no connection.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                outcome = &mut work => return Ok(outcome),
                order = self.orders.recv() => match order {
                    Some(LinkOrder::Publish(outgoing)) if self.is_offline_full() => {
                        outgoing.end(Err(Error::Overflow("too much waits for a connection")));
                    }
                    Some(order) => self.take(order),
                    None => return Err(Error::Disconnected),
                },
                close = self.closes.recv() => {
                    self.closed.extend(close);
                    return Err(Error::Disconnected);
                }
            }
        }
    }

    fn is_offline_full(&mut self) -> bool {
        self.flow.waiting() >= self.options.offline
    }

    fn take(&mut self, order: LinkOrder) {
        match order {
            LinkOrder::Publish(outgoing) => self.flow.push(outgoing),
            LinkOrder::Subscribe {
                filter,
                level,
                done,
            } => self.filters.want(filter, level, done),
            // Somebody may want it again since.
            LinkOrder::Unsubscribe(filter) if self.routes.has(&filter) => {}
            LinkOrder::Unsubscribe(filter) => self.filters.forget(filter),
        }
    }

    /// One connection, from its beginning to its end.
    async fn serve(&mut self, established: Established) -> Ending {
        let Established {
            stream,
            mut codec,
            mut input,
            welcome,
        } = established;
        let (mut reader, mut writer) = stream.into_split();
        let mut out = BytesMut::with_capacity(16 * 1024);
        let keep_alive = welcome.keep_alive.unwrap_or(self.options.keep_alive);
        let mut pulse = Pulse::new(keep_alive);
        self.begin(&welcome, &codec, &mut out);
        let receipts = self.receipts.clone();
        self.relief = Relief::Unneeded;
        loop {
            match self.turn(&mut codec, &mut input, &mut out) {
                Ok(None) => {}
                Ok(Some(ending)) => {
                    wind_down(reader, writer, out).await;
                    return ending;
                }
                Err(reason) => return Ending::Lost(reason),
            }
            if let Some(close) = self.closing {
                if close == Closing::InGoodOrder {
                    self.part(&codec, reader, writer, out).await;
                } else {
                    wind_down(reader, writer, out).await;
                }
                return Ending::Over(Error::Disconnected);
            }
            input.reserve(READ_AT_ONCE);
            let takes_orders = out.len() < MOST_UNWRITTEN && self.flow.has_room();
            tokio::select! {
                read = reader.read_buf(&mut input) => match read {
                    Ok(0) => return Ending::Lost("the gateway closed the connection".to_owned()),
                    Ok(_) => pulse.heard(),
                    Err(error) => return Ending::Lost(error.to_string()),
                },
                written = writer.write_buf(&mut out), if !out.is_empty() => {
                    if let Err(error) = written {
                        return Ending::Lost(error.to_string());
                    }
                }
                order = self.orders.recv(), if takes_orders => match order {
                    Some(order) => self.take_several(order),
                    // What was handled is acknowledged all the same.
                    None => self.closing = Some(Closing::Dropped),
                },
                Some(close) = self.closes.recv() => {
                    self.closed.push(close);
                    self.closing = Some(Closing::InGoodOrder);
                }
                () = receipts.changed() => {}
                () = self.relief.due() => self.relieve(),
                () = pulse.beat() => {
                    if !pulse.is_alive() {
                        return Ending::Lost("the gateway has fallen silent".to_owned());
                    }
                    if let Err(reason) = codec.ping(&mut out) {
                        return Ending::Lost(reason);
                    }
                }
            }
        }
    }

    fn take_several(&mut self, first: LinkOrder) {
        self.take(first);
        for _ in 1..ORDERS_A_TURN {
            match self.orders.try_recv() {
                Ok(order) => self.take(order),
                Err(_) => return,
            }
        }
    }

    fn begin(&mut self, welcome: &Welcome, codec: &Codec, out: &mut BytesMut) {
        let mut refused = Vec::new();
        let resumed = welcome.resumed;
        let filters = &self.filters;
        self.receipts
            .reconnected(resumed, |topic| filters.is_aside(topic));
        self.filters.reconnected(resumed);
        for (id, outgoing) in self.flow.reconnected(resumed, welcome.limit) {
            if let Err(error) = codec.publish(*id, &outgoing.publication, true, out) {
                refused.push((*id, error));
            }
        }
        // Another gateway may take less.
        for (id, error) in refused {
            if let Some(outgoing) = self.flow.acknowledged(id) {
                outgoing.end(Err(error));
            }
        }
        self.status.connected(resumed);
    }

    /// Reads all packets that are there, and writes all that is due.
    fn turn(
        &mut self,
        codec: &mut Codec,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Option<Ending>, String> {
        while let Some(packet) = codec.read(input)? {
            if let Some(ending) = self.received(packet)? {
                return Ok(Some(ending));
            }
        }
        for id in self.receipts.due() {
            codec.acknowledge(id, out)?;
        }
        if self.receipts.is_given_back() && self.closing.is_none() {
            return Ok(Some(Ending::GivenBack));
        }
        self.watch_window();
        let flow = &mut self.flow;
        while let Some((id, filters)) = self.filters.ask(|| flow.take_id()) {
            codec.subscribe(id, &filters, out)?;
        }
        while let Some(filter) = self.filters.take_unwanted() {
            codec.unsubscribe(flow.take_id(), &filter, out)?;
        }
        while out.len() < MOST_UNWRITTEN
            && let Some((id, publication)) = flow.next()
        {
            if let Err(error) = codec.publish(id, publication, false, out)
                && let Some(outgoing) = flow.acknowledged(id)
            {
                outgoing.end(Err(error));
            }
        }
        Ok(None)
    }

    /// Nothing can be acknowledged before its handler is done, and that may wait for something that
    /// has no room to come, because mail in hand takes up the whole window. What is for this agent
    /// alone waits at the gateway while nobody subscribes to it, also what was sent already, once
    /// there is another connection. So such mail is set aside: its handlers go on, and when they
    /// are done we subscribe again, and acknowledge what comes again.
    fn watch_window(&mut self) {
        let is_full = self.receipts.len() >= self.options.window.into();
        match self.relief {
            Relief::Unneeded if is_full => self.relief = Relief::At(Instant::now() + PATIENCE),
            Relief::At(_) if !is_full => self.relief = Relief::Unneeded,
            _ => {}
        }
        if self.receipts.is_aside_done() && self.relief != Relief::Unsubscribing {
            self.filters.take_back();
        }
    }

    fn relieve(&mut self) {
        let (root, me) = (&self.options.root, &self.options.agent);
        let topics = self.receipts.topics();
        let takes_room = |filter: &str| {
            is_own_mail(root, me, filter)
                && topics.iter().any(|topic| filter::matches(filter, topic))
        };
        self.relief = match self.filters.set_aside(takes_room) {
            true => Relief::Unsubscribing,
            false => Relief::Unneeded,
        };
    }

    fn received(&mut self, packet: FromGateway) -> Result<Option<Ending>, String> {
        match packet {
            FromGateway::Publish(publish) => self.delivered(publish)?,
            FromGateway::Acknowledged { id, refused } => {
                if let Some(outgoing) = self.flow.acknowledged(id) {
                    outgoing.end(refused.map_or(Ok(self.status.count()), Err));
                }
            }
            FromGateway::Subscribed { id, refused } => {
                self.flow.give_id_back(id);
                self.filters.answered(id, refused);
            }
            FromGateway::Unsubscribed { id } => {
                self.flow.give_id_back(id);
                if self.relief == Relief::Unsubscribing {
                    return Ok(Some(Ending::Lost("to make room in the window".to_owned())));
                }
            }
            FromGateway::Pong => {}
            FromGateway::Farewell { is_taken: true, .. } => {
                return Ok(Some(Ending::Over(Error::SessionTaken)));
            }
            FromGateway::Farewell { reason, .. } => return Ok(Some(Ending::Lost(reason))),
            FromGateway::Welcome(_) | FromGateway::Unwelcome { .. } => {
                return Err("a second CONNACK".to_owned());
            }
        }
        Ok(None)
    }

    fn delivered(&mut self, publish: IncomingPublish) -> Result<(), String> {
        let topic = std::str::from_utf8(&publish.topic).map_err(|error| error.to_string())?;
        let (topic, payload): (Arc<str>, _) = (topic.into(), publish.payload);
        let ticket = match publish.id {
            None => None,
            Some(id) => match self.receipts.receive(id, publish.dup, &topic, &payload) {
                None => return Ok(()),
                ticket => ticket,
            },
        };
        let letter = Letter {
            topic,
            payload,
            is_retained: publish.retain,
            ticket,
        };
        if let Some(mut stray) = self.routes.hand_out(letter) {
            // What is for this agent alone goes back to its mailbox, by being dropped.
            if !is_own_mail(&self.options.root, &self.options.agent, &stray.topic) {
                stray.ack();
            }
        }
        Ok(())
    }

    /// Says good-bye, and ends the session.
    async fn part(
        &mut self,
        codec: &Codec,
        reader: OwnedReadHalf,
        writer: OwnedWriteHalf,
        mut out: BytesMut,
    ) {
        // Without it the gateway ends the session by itself, later.
        let _ = codec.disconnect(&mut out);
        wind_down(reader, writer, out).await;
        let is_kept = !self.options.session.is_zero();
        if self.options.protocol == Protocol::V311 && is_kept {
            let _ = tokio::time::timeout(FAREWELL, end_session(&self.options)).await;
        }
    }
}

/// Writes what is left, and waits until the gateway has read it: whoever comes next under this
/// name may be quicker otherwise.
async fn wind_down(mut reader: OwnedReadHalf, mut writer: OwnedWriteHalf, mut out: BytesMut) {
    let farewell = async {
        writer.write_all_buf(&mut out).await?;
        writer.shutdown().await?;
        // What it still sends comes again; it closes the connection when it has seen ours closed.
        while reader.read_buf(&mut out).await? > 0 {
            out.clear();
        }
        Ok::<(), std::io::Error>(())
    };
    // Whatever fails here: the connection is over, and what is missing comes again.
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}
