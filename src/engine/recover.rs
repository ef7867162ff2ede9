//! Recovery: the state rebuilt from its records, after a restart.
//!
//! Nothing is decided again: what follows from the records (queues, timers, counts, promises) is derived from them, and what takes time
//! is left to the timers. Nobody is connected yet; `Input::Recovered` says when the clock starts for those who were.

use std::collections::BTreeMap;

use crate::wire::name::{Agent, Room};
use crate::wire::presence::ConnectionState;

use super::Engine;
use super::approve::Approval;
use super::context::Context;
use super::handoff::TaskNo;
use super::handoff::task::Body;
use super::member::Member;
use super::record::{
    Change, Head, MemberRecord, Place, RecordError, RecordProblem, agent_of_encoding, decode,
    ground_key, place,
};
use super::room::RoomState;
use super::settings::Settings;
use super::timer::{Subject, Timer};

/// A room while its records come in.
struct Rebuilt {
    room: RoomState,
    /// Bodies whose status has not come yet.
    bodies: BTreeMap<TaskNo, Body>,
}

impl Engine {
    /// Rebuilds the state from records alone; nothing is re-decided. They come in the order of their keys. The seed must not be
    /// one that an earlier run used.
    ///
    /// # Errors
    /// If a record cannot be read, or half of a task is missing.
    pub fn recover(
        settings: Settings,
        seed: u64,
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Engine, RecordError> {
        let mut engine = Engine::new(settings, seed);
        let mut rooms = BTreeMap::new();
        for (key, value) in records {
            if key == ground_key() {
                let ground = decode(&value).map_err(|problem| RecordError {
                    key: "the ground of all rooms".to_owned(),
                    row: key.clone(),
                    problem,
                })?;
                engine.vacated.stand_on(ground);
                continue;
            }
            if let Some(agent) = agent_of_encoding(&key) {
                let spoken = decode(&value).map_err(|problem| RecordError {
                    key: format!("the encoding of {agent}"),
                    row: key.clone(),
                    problem,
                })?;
                engine.cx.encodings.restore(agent, spoken);
                continue;
            }
            let taken = place(&key)
                .and_then(|(room, place)| take(&mut engine.cx, &mut rooms, room, place, &value));
            taken.map_err(|problem| RecordError {
                key: String::from_utf8_lossy(&key).into_owned(),
                row: key.clone(),
                problem,
            })?;
        }
        for (name, rebuilt) in rooms {
            if let Some(no) = rebuilt.bodies.keys().next() {
                return Err(RecordError {
                    key: format!("{name} task {}", no.0),
                    row: Change::Body(*no).key(&name),
                    problem: RecordProblem::Alone,
                });
            }
            let mut room = rebuilt.room;
            if room.is_vacant() {
                let limit = engine.cx.settings.max_vacated_rooms;
                engine.cx.timers.go_on(&name);
                engine.vacated.insert(name, room.head(), limit);
                continue;
            }
            room.outcomes.sort();
            engine.cx.enter(&name);
            room.arm_retention(&mut engine.cx);
            engine.cx.stats.rooms += 1;
            engine.rooms.insert(name, room);
        }
        engine.cx.stats.vacated_rooms = engine.vacated.len();
        Ok(engine)
    }
}

fn take(
    cx: &mut Context,
    rooms: &mut BTreeMap<Room, Rebuilt>,
    name: Room,
    place: Place,
    value: &[u8],
) -> Result<(), RecordProblem> {
    let rebuilt = rooms.entry(name).or_insert_with_key(|name| {
        if !cx.may_exist(name) {
            cx.timers.halt(name);
        }
        Rebuilt {
            room: RoomState::new(name.clone()),
            bodies: BTreeMap::new(),
        }
    });
    let room = &mut rebuilt.room;
    cx.enter(&room.name);
    match place {
        Place::Head => room.rebuild_head(cx, &decode(value)?),
        Place::Of(Change::Member(agent)) => room.rebuild_member(cx, agent, decode(value)?),
        Place::Of(Change::Body(no)) => {
            rebuilt.bodies.insert(no, decode(value)?);
        }
        Place::Of(Change::State(no)) => {
            let body = rebuilt.bodies.remove(&no).ok_or(RecordProblem::Alone)?;
            room.rebuild_task(cx, no, body, decode(value)?);
        }
        Place::Of(Change::Progress(no)) => room.handoff.rebuild_progress(no, decode(value)?),
        Place::Of(Change::Key(key)) => room.rebuild_key(cx, key, decode(value)?),
        Place::Of(Change::Version(key, _)) => room.rebuild_version(cx, key, decode(value)?),
        Place::Of(Change::Lock(name)) => room.rebuild_lock(cx, name, decode(value)?),
        Place::Of(Change::Approval(_)) => room.rebuild_approval(cx, decode(value)?),
        Place::Of(Change::Tool(tool)) => room.rebuild_tool(cx, tool, decode(value)?),
        Place::Of(Change::Call(_)) => room.rebuild_call(cx, decode(value)?),
        Place::Of(Change::EndedCall(_)) => room.rebuild_ended_call(cx, decode(value)?),
        Place::Of(Change::Departed(_)) => room.departures.insert(decode(value)?),
        Place::Of(Change::Outcome(key)) => room.outcomes.insert(key, decode(value)?),
    }
    Ok(())
}

impl RoomState {
    fn rebuild_head(&mut self, cx: &mut Context, head: &Head) {
        self.go_on(head);
        // The clock never goes back, not even over a restart.
        cx.now = cx.now.max(head.at);
    }

    fn rebuild_member(&mut self, cx: &mut Context, agent: Agent, record: MemberRecord) {
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

    fn rebuild_approval(&mut self, cx: &mut Context, approval: Approval) {
        let asked = &approval.asked;
        let id = asked.id.clone();
        if approval.ended.is_none() {
            let subject = Subject::Approval(self.name.clone(), id);
            cx.timers.arm(asked.expires_at, Timer::Approval, subject);
            cx.promise(&asked.requester);
            cx.stats.pending_approvals += 1;
        }
        self.approvals.put(approval);
    }
}
