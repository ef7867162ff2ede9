//! Locks as they are known from what was told of them: who holds which, under which token, until
//! when, and who waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hallward::wire::Millis;
use hallward::wire::blackboard::Lock;
use hallward::wire::json::Json;
use hallward::wire::name::{Agent, Room};
use hallward::wire::observe::Event;

use super::super::history::{Step, read};
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
    /// Until when whom waits for which.
    pub(in super::super) waits: BTreeMap<(LockKey, Agent), Millis>,
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

/// How long the agent waits that has said so just now.
fn waits_until(step: &Step) -> Option<Millis> {
    let lock: Lock = read(&step.command()?.payload);
    Some(step.now + lock.wait_ms?)
}

impl Locks {
    pub(in super::super) fn queue(&self, key: &LockKey) -> Option<&VecDeque<Agent>> {
        self.queues.get(key).filter(|queue| !queue.is_empty())
    }

    pub(super) fn event(&mut self, step: &Step, event: &Event, tally: &mut Tally) {
        let key = (event.room.clone(), event.subject.clone());
        let detail = Detail::of(event);
        let whose = (key.clone(), event.who.clone());
        match event.what.as_str() {
            "blackboard.locked" => {
                self.waits.remove(&whose);
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
                self.waits.extend(waits_until(step).map(|at| (whose, at)));
                self.queues
                    .entry(key)
                    .or_default()
                    .push_back(event.who.clone());
            }
            "blackboard.gaveUp" => {
                self.waits.remove(&whose);
                let queue = self.queues.entry(key).or_default();
                queue.retain(|agent| *agent != event.who);
            }
            _ => {}
        }
    }
}
