//! Locks as they are known from what was told of them: who holds which, under which token, until when, and who waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hallward::wire::Millis;
use hallward::wire::json::Json;
use hallward::wire::name::{Agent, Room};
use hallward::wire::observe::Event;

use super::super::history::read;
use super::Tally;

/// Names a lock in every room.
pub(in super::super) type LockKey = (Room, String);

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Holder {
    pub(in super::super) agent: Agent,
    pub(in super::super) token: u64,
    pub(in super::super) until: Millis,
}

/// All locks of all rooms.
#[derive(Debug, Default)]
pub(in super::super) struct Locks {
    pub(in super::super) held: BTreeMap<LockKey, Holder>,
    pub(in super::super) queues: BTreeMap<LockKey, VecDeque<Agent>>,
    /// The largest token that a room ever gave out.
    pub(in super::super) last_token: BTreeMap<Room, u64>,
    /// Correlation ids of lock commands that have not been answered yet.
    pub(in super::super) unanswered: BTreeSet<String>,
}

/// What an event of a lock says besides.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(in super::super) struct Detail {
    pub(in super::super) token: u64,
    pub(in super::super) until: Millis,
    pub(in super::super) reason: String,
}

impl Detail {
    pub(in super::super) fn of(event: &Event) -> Detail {
        let text = event.detail.as_ref().map(Json::text);
        text.map_or_else(Detail::default, |text| read(text.as_bytes()))
    }
}

impl Locks {
    pub(in super::super) fn queue(&self, key: &LockKey) -> Option<&VecDeque<Agent>> {
        self.queues.get(key).filter(|queue| !queue.is_empty())
    }

    pub(super) fn event(&mut self, event: &Event, tally: &mut Tally) {
        let key = (event.room.clone(), event.subject.clone());
        let detail = Detail::of(event);
        match event.what.as_str() {
            "blackboard.locked" => {
                tally.locked += 1;
                if let Some(queue) = self.queues.get_mut(&key) {
                    tally.waited += u64::from(queue.pop_front().is_some());
                }
                self.last_token.insert(event.room.clone(), detail.token);
                let holder = Holder {
                    agent: event.who.clone(),
                    token: detail.token,
                    until: detail.until,
                };
                self.held.insert(key, holder);
            }
            "blackboard.unlocked" => drop(self.held.remove(&key)),
            "blackboard.waiting" => {
                self.queues
                    .entry(key)
                    .or_default()
                    .push_back(event.who.clone());
            }
            "blackboard.gaveUp" => {
                let queue = self.queues.entry(key).or_default();
                queue.retain(|agent| *agent != event.who);
            }
            _ => {}
        }
    }
}
