//! Following the blackboard: what is there, and every change, over any number of connections.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::blackboard::RoomBlackboard;
use super::core::decode;
use super::error::Error;
use super::feed::{Feed, FeedSender, UNREAD};
use super::link::{Letter, Level, LinkWatch};
use super::room::Room;
use crate::wire::blackboard::Entry;
use crate::wire::name::Key;

/// A change of a key, or how it stood at the beginning.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum KeyUpdate {
    /// It has this value.
    Set(Entry),
    /// It is gone.
    Deleted(Key),
    /// What was there at the beginning has been told; comes once.
    UpToDate,
}

/// What a message on a state topic says.
enum StateChange {
    Is(Box<Entry>),
    IsGone(Key),
}

pub(super) async fn begin(
    room: &Room,
    board: RoomBlackboard,
    prefix: Option<Key>,
) -> Result<Feed<KeyUpdate>, Error> {
    let link = &room.core().link;
    let (sender, feed) = Feed::new(link, UNREAD);
    let (change, changes) = mpsc::channel(UNREAD);
    let overflowed = sender.clone();
    let root = format!("{}/{}/blackboard/state/", room.core().root, room.name());
    let arrived = move |mut letter: Letter| {
        letter.ack();
        // What was there before comes with the snapshot, which says when it is whole.
        if !letter.is_retained
            && let Some(read) = read(&letter, &root)
            && change.try_send(read).is_err()
        {
            overflowed.push(Err(Error::Overflow("too many changes at once")));
        }
    };
    // A key and those below it: `plan/#` matches `plan` as well (MQTT section 4.7.1.2).
    let filter = match &prefix {
        Some(prefix) => format!("blackboard/state/{prefix}/#"),
        None => "blackboard/state/#".to_owned(),
    };
    let route = room.subscribe(&filter, Level::Certain, arrived).await?;
    let follower = Follower {
        board,
        prefix,
        sender,
        known: BTreeMap::new(),
        revision: 0,
    };
    let connections = link.connections();
    let session = connections.now().sessions;
    tokio::spawn(follower.follow(changes, connections, session));
    Ok(feed.with(route))
}

fn read(letter: &Letter, root: &str) -> Option<StateChange> {
    if letter.payload.is_empty() {
        let key = letter.topic.strip_prefix(root)?;
        return Key::new(key).ok().map(StateChange::IsGone);
    }
    match decode(&letter.payload) {
        Ok(entry) => Some(StateChange::Is(Box::new(entry))),
        Err(error) => {
            tracing::error!(topic = %letter.topic, %error, "passed over");
            None
        }
    }
}

struct Follower {
    board: RoomBlackboard,
    prefix: Option<Key>,
    sender: FeedSender<KeyUpdate>,
    /// The versions that were told.
    known: BTreeMap<Key, u64>,
    /// Changes up to this one are in the last snapshot.
    revision: u64,
}

impl Follower {
    async fn follow(
        mut self,
        mut changes: mpsc::Receiver<StateChange>,
        mut connections: LinkWatch,
        mut session: u64,
    ) {
        if let Err(error) = self.catch_up().await {
            self.sender.send(Err(error)).await;
            return;
        }
        self.sender.send(Ok(KeyUpdate::UpToDate)).await;
        let closed = self.sender.clone();
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => self.changed(change).await,
                    None => return,
                },
                // With the session the changes are gone that came meanwhile.
                linked = connections.session_other_than(session) => {
                    let Some(linked) = linked else { return };
                    session = linked.sessions;
                    if let Err(error) = self.catch_up().await {
                        self.sender.send(Err(error)).await;
                        return;
                    }
                }
                () = closed.closed() => return,
            }
        }
    }

    /// Tells what is different from what was told.
    async fn catch_up(&mut self) -> Result<(), Error> {
        let prefix = self.prefix.as_ref().map(Key::as_str);
        let snapshot = self.board.snapshot(prefix).await?;
        self.revision = snapshot.revision;
        let mut gone = std::mem::take(&mut self.known);
        for entry in snapshot.entries {
            let known = gone.remove(&entry.key);
            self.known.insert(entry.key.clone(), entry.version);
            if known != Some(entry.version) {
                self.sender.send(Ok(KeyUpdate::Set(entry))).await;
            }
        }
        for key in gone.into_keys() {
            self.sender.send(Ok(KeyUpdate::Deleted(key))).await;
        }
        Ok(())
    }

    async fn changed(&mut self, change: StateChange) {
        match change {
            StateChange::Is(entry) => {
                let is_news = self.known.get(&entry.key) < Some(&entry.version);
                if is_news && entry.revision > self.revision {
                    self.known.insert(entry.key.clone(), entry.version);
                    self.sender.send(Ok(KeyUpdate::Set(*entry))).await;
                }
            }
            StateChange::IsGone(key) => {
                if self.known.remove(&key).is_some() {
                    self.sender.send(Ok(KeyUpdate::Deleted(key))).await;
                }
            }
        }
    }
}
