//! What a room is without its patterns: its name, its agents and what they share, recorded by
//! itself.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::name::{Agent, Capability, CommandId, Room, Tool};
use crate::wire::presence::{Announcement, ConnectionState};

use super::context::Context;
use super::departures::Departures;
use super::event::EventCounter;
use super::gate::GateMessage;
use super::member::{Member, Members};
use super::outcomes::{OutcomeKey, Outcomes};
use super::record::{Changes, Put, RecordKey, RecordProblem, decode, encode, key, name};

const MEMBER: u8 = 2;
const OUTCOME: u8 = 7;
const DEPARTED: u8 = 32;

/// A room but for its patterns.
#[derive(Debug)]
pub(super) struct RoomCore {
    pub(super) name: Room,
    pub(super) log: EventCounter,
    pub(super) members: Members,
    /// Members that have not left.
    pub(super) present: usize,
    pub(super) departures: Departures,
    pub(super) outcomes: Outcomes,
    pub(super) changes: Changes<RoomChange>,
    /// Agents whose presence may look different now, and whether it does for certain.
    pub(super) dirty_presence: BTreeMap<Agent, bool>,
    /// Agents that can take something else now, as patterns have to hear.
    pub(super) reassess: Vec<Agent>,
    /// What patterns have to tell each other before the input is over.
    pub(super) gate_messages: VecDeque<GateMessage>,
    /// Approvals that await a decision, those included that are about to be asked for.
    pub(super) pending_approvals: usize,
}

/// What of it must be recorded anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RoomChange {
    Member(Agent),
    Outcome(OutcomeKey),
    Departed(Agent),
}

impl RecordKey for RoomChange {
    fn key(&self, room: &Room) -> Vec<u8> {
        match self {
            RoomChange::Member(agent) => key(room, MEMBER, &[agent.as_str().as_bytes()]),
            RoomChange::Departed(agent) => key(room, DEPARTED, &[agent.as_str().as_bytes()]),
            RoomChange::Outcome(OutcomeKey { agent, command, id }) => {
                let parts = [agent.as_str(), "\0", command, "\0", id.as_str()];
                key(room, OUTCOME, &parts.map(str::as_bytes))
            }
        }
    }

    fn parse(tag: u8, rest: &[u8]) -> Option<Option<RoomChange>> {
        Some(match tag {
            MEMBER => name(rest, Agent::new).map(RoomChange::Member),
            DEPARTED => name(rest, Agent::new).map(RoomChange::Departed),
            OUTCOME => outcome_key(rest).map(RoomChange::Outcome),
            _ => return None,
        })
    }
}

fn outcome_key(rest: &[u8]) -> Option<OutcomeKey> {
    let mut parts = std::str::from_utf8(rest).ok()?.splitn(3, '\0');
    Some(OutcomeKey {
        agent: Agent::new(parts.next()?).ok()?,
        command: parts.next()?.to_owned(),
        id: CommandId::new(parts.next()?).ok()?,
    })
}

/// An agent's place in a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct MemberRecord {
    since: Millis,
    last_seen: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    announcement: Option<Box<Announcement>>,
    works: Vec<Capability>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    provides: Vec<Tool>,
    connection: ConnectionState,
    durable: bool,
    left: bool,
    #[serde(default)]
    unconfirmed: bool,
}

impl MemberRecord {
    fn of(member: &Member) -> MemberRecord {
        MemberRecord {
            since: member.since,
            last_seen: member.last_seen,
            announcement: member.announcement.clone(),
            works: member.works.iter().cloned().collect(),
            provides: member.provides.iter().cloned().collect(),
            connection: member.connection,
            durable: member.durable,
            left: member.left,
            unconfirmed: member.unconfirmed,
        }
    }
}

impl RoomCore {
    pub(super) fn new(name: Room) -> RoomCore {
        RoomCore {
            log: EventCounter::new(name.clone()),
            name,
            members: Members::default(),
            present: 0,
            departures: Departures::default(),
            outcomes: Outcomes::default(),
            changes: Changes::default(),
            dirty_presence: BTreeMap::new(),
            reassess: Vec::new(),
            gate_messages: VecDeque::new(),
            pending_approvals: 0,
        }
    }

    /// The room is about to be forgotten: nobody remembers who was in it.
    pub(super) fn forget_all_departed(&mut self) {
        while let Some(agent) = self.departures.remove_oldest() {
            self.changes.note(RoomChange::Departed(agent));
        }
    }

    pub(super) fn drain_records(&mut self, put: Put<'_>) {
        for change in self.changes.take() {
            put(change.key(&self.name), self.value(&change));
        }
    }

    fn value(&self, change: &RoomChange) -> Option<Vec<u8>> {
        match change {
            RoomChange::Member(agent) => {
                let member = self.members.0.get(agent)?;
                Some(encode(&MemberRecord::of(member)))
            }
            RoomChange::Outcome(key) => Some(encode(self.outcomes.find(key)?)),
            RoomChange::Departed(agent) => Some(encode(self.departures.get(agent)?)),
        }
    }

    /// Takes a record back, if one of this tag is its own.
    pub(super) fn restore(
        &mut self,
        cx: &mut Context,
        tag: u8,
        rest: &[u8],
        value: &[u8],
    ) -> Option<Result<(), RecordProblem>> {
        let change = RoomChange::parse(tag, rest)?.ok_or(RecordProblem::Key);
        Some(change.and_then(|change| {
            match change {
                RoomChange::Member(agent) => self.restore_member(cx, agent, decode(value)?),
                RoomChange::Departed(_) => self.departures.insert(decode(value)?),
                RoomChange::Outcome(key) => self.outcomes.insert(key, decode(value)?),
            }
            Ok(())
        }))
    }

    fn restore_member(&mut self, cx: &mut Context, agent: Agent, record: MemberRecord) {
        let session = cx.sessions.entry(agent.clone()).or_default();
        session.durable = record.durable;
        session.rooms.insert(self.name.clone());
        let member = Member {
            last_seen: record.last_seen,
            announcement: record.announcement,
            works: record.works.into_iter().collect(),
            provides: record.provides.into_iter().collect(),
            connection: match record.connection {
                ConnectionState::Offline => ConnectionState::Offline,
                ConnectionState::Online | ConnectionState::Away => ConnectionState::Away,
            },
            durable: record.durable,
            left: record.left,
            unconfirmed: record.unconfirmed,
            ..Member::new(record.since)
        };
        cx.stats.agents += 1;
        self.present += usize::from(!member.left);
        self.members.0.insert(agent, member);
    }

    /// The largest packet that an agent takes, if it has said so.
    pub(super) fn takes(&self, agent: &str) -> Option<usize> {
        let member = self.members.0.get(agent);
        member.and_then(Member::max_bytes).map(|most| most as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        let room = Room::new("studio").unwrap();
        let changes = [
            RoomChange::Member(Agent::new("a").unwrap()),
            RoomChange::Departed(Agent::new("a").unwrap()),
            RoomChange::Outcome(OutcomeKey {
                agent: Agent::new("a").unwrap(),
                command: "handoff/update".to_owned(),
                id: CommandId::new("1").unwrap(),
            }),
        ];
        for change in changes {
            let key = change.key(&room);
            let (_, tag, rest) = crate::engine::record::split(&key).unwrap();
            assert_eq!(RoomChange::parse(tag, rest), Some(Some(change)));
        }
    }
}
