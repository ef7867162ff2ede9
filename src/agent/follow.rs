//! Following the gateway's events without a gap: their numbers tell when one is missing, and the
//! past has it.

use std::time::Duration;

use tokio::sync::mpsc;

use super::command::millis;
use super::core::decode;
use super::error::Error;
use super::feed::{Feed, FeedSender, UNREAD};
use super::link::{Letter, Level, LinkWatch};
use super::observe::RoomEvents;
use super::room::Room;
use crate::wire::Millis;
use crate::wire::observe::{Event, Replay};

/// Events in one page of the past.
const PAGE: u32 = 500;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// With the next one.
    Now,
    /// With the oldest that is kept.
    Beginning,
    /// With this number.
    Seq(u64),
    /// At this time, Unix milliseconds.
    At(Millis),
    /// So long ago.
    Ago(Duration),
}

/// An event, or that some are missing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Followed {
    /// The next event.
    Event(Event),
    /// These are not kept any more, both included.
    Gap {
        /// The first of them.
        from_seq: u64,
        /// The last of them.
        to_seq: u64,
    },
}

pub(super) async fn begin(
    room: &Room,
    events: RoomEvents,
    since: Since,
) -> Result<Feed<Followed>, Error> {
    let link = &room.core().link;
    let (sender, feed) = Feed::new(link, UNREAD);
    let (live, arriving) = mpsc::channel::<Event>(UNREAD);
    let arrived = move |mut letter: Letter| {
        letter.ack();
        match decode(&letter.payload) {
            // What does not fit is found in the past, as everything that was missed.
            Ok(event) => drop(live.try_send(event)),
            Err(error) => tracing::error!(topic = %letter.topic, %error, "passed over"),
        }
    };
    // First what comes, then what came: so nothing is between.
    let filter = "observe/events/gateway/+";
    let route = room.subscribe(filter, Level::Certain, arrived).await?;
    let mut follower = EventFollower {
        events,
        sender,
        next: None,
    };
    let connections = link.connections();
    let first = follower.past(query(since)).await?;
    tokio::spawn(follower.follow(first, arriving, connections));
    Ok(feed.with(route))
}

fn query(since: Since) -> Replay {
    let mut replay = Replay {
        limit: Some(PAGE),
        ..Replay::default()
    };
    match since {
        // Nothing is as late as that, and the page says which is the next.
        Since::Now => replay.since = Some(Millis::from(u32::MAX) * 1_000),
        Since::Beginning => {}
        Since::Seq(seq) => replay.from_seq = Some(seq),
        Since::At(at) => replay.since = Some(at),
        Since::Ago(ago) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let at = now.unwrap_or_default().saturating_sub(ago);
            replay.since = Some(millis(at));
        }
    }
    replay
}

struct EventFollower {
    events: RoomEvents,
    sender: FeedSender<Followed>,
    /// The number of the next event to tell; known once a page has said so.
    next: Option<u64>,
}

impl EventFollower {
    async fn follow(
        mut self,
        first: Option<Replay>,
        mut arriving: mpsc::Receiver<Event>,
        mut connections: LinkWatch,
    ) {
        if let Err(error) = self.catch_up(first).await {
            self.sender.send(Err(error)).await;
            return;
        }
        let mut count = connections.now().count;
        let closed = self.sender.clone();
        loop {
            let caught_up = tokio::select! {
                event = arriving.recv() => match event {
                    Some(event) => self.arrived(event).await,
                    None => return,
                },
                linked = connections.other_than(count) => {
                    let Some(linked) = linked else { return };
                    count = linked.count;
                    self.catch_up(self.rest()).await
                }
                () = closed.closed() => return,
            };
            if let Err(error) = caught_up {
                self.sender.send(Err(error)).await;
                return;
            }
        }
    }

    async fn arrived(&mut self, event: Event) -> Result<(), Error> {
        let next = self.next.unwrap_or(event.seq);
        if event.seq > next {
            self.catch_up(self.rest()).await?;
        } else if event.seq == next {
            self.next = Some(next + 1);
            self.sender.send(Ok(Followed::Event(event))).await;
        }
        Ok(())
    }

    /// Asks for what comes after what was told.
    fn rest(&self) -> Option<Replay> {
        Some(Replay {
            from_seq: self.next,
            limit: Some(PAGE),
            ..Replay::default()
        })
    }

    async fn catch_up(&mut self, first: Option<Replay>) -> Result<(), Error> {
        let mut query = first;
        while let Some(replay) = query {
            query = self.past(replay).await?;
        }
        Ok(())
    }

    /// Tells one page of the past; returns how to ask for the next one.
    async fn past(&mut self, replay: Replay) -> Result<Option<Replay>, Error> {
        let from = replay.from_seq;
        let page = self.events.replay(replay).await?;
        if let Some(from_seq) = from.filter(|from| !page.complete && *from < page.oldest) {
            let to_seq = page.oldest - 1;
            self.sender
                .send(Ok(Followed::Gap { from_seq, to_seq }))
                .await;
        }
        for event in page.events {
            self.sender.send(Ok(Followed::Event(event))).await;
        }
        self.next = Some(page.next);
        Ok(if page.end { None } else { self.rest() })
    }
}
