//! Presence: the merged truth about everybody.

use std::collections::BTreeSet;

use hallward::engine::{DirectedKind, Effect, Input};
use hallward::wire::name::{Agent, Room};
use hallward::wire::presence::{ConnectionState, Presence, PresenceList, Roll, Status};
use hallward::wire::reply::Code;
use hallward::wire::topic::{RoomTopic, Topic};

use super::super::durable::{Durable, ROOT};
use super::super::history::{Step, read};
use super::super::model::people::{Link, Member};
use super::super::model::{LEFT, Model};
use super::{Check, ensure};

/// Presence: the retained record of an agent says whether it is connected, what it can do, how much
/// it takes and how much it has; who is in no room any more has none.
pub(super) fn retained_presence_is_the_truth(model: &Model, durable: &Durable) -> Check {
    for ((room, agent), member) in &model.people.members {
        let topic = Topic::PresenceAgent {
            agent: agent.clone(),
        };
        let topic = RoomTopic::new(room.clone(), topic).format(ROOT);
        let shown: Option<Presence> = durable.retained.get(&topic).map(|payload| read(payload));
        one_record(model, room, agent, member, shown.as_ref())
            .map_err(|error| format!("{topic}: {error}: {shown:?}, {member:?}"))?;
    }
    for topic in durable.retained.keys() {
        if let Some(Ok(RoomTopic {
            room,
            topic: Topic::PresenceAgent { agent },
        })) = RoomTopic::parse(ROOT, topic)
        {
            ensure!(
                model.people.member_of(&room, &agent).is_some(),
                "{topic} is retained though {agent} has left"
            );
        }
    }
    Ok(())
}

fn one_record(
    model: &Model,
    room: &Room,
    agent: &Agent,
    member: &Member,
    shown: Option<&Presence>,
) -> Check {
    let grace = model.rules.grace_ms;
    let Some(shown) = shown else {
        let gone = model.people.is_past(agent, grace, model.ticked_at)
            && !model.people.outlives_its_connection(agent);
        ensure!(
            gone || member.unsure || !member.is_in(),
            "in the room and not shown"
        );
        return Ok(());
    };
    let connection = match model.people.link(agent) {
        Link::Online => ConnectionState::Online,
        Link::Away { .. } if model.people.is_past(agent, grace, model.ticked_at) => {
            ensure!(
                model.people.outlives_its_connection(agent),
                "its session ended with its connection and the grace is over"
            );
            ConnectionState::Offline
        }
        Link::Away { .. } => ConnectionState::Away,
        Link::Gone => ConnectionState::Offline,
    };
    ensure!(
        shown.connection == connection,
        "expected {connection:?} at {}",
        model.now
    );
    let in_flight = model.tasks.in_flight(room, agent);
    ensure!(shown.in_flight == in_flight, "it holds {in_flight}");
    if member.unsure || model.people.link(agent) != Link::Online {
        return Ok(());
    }
    let capabilities: BTreeSet<_> = shown.capabilities.iter().cloned().collect();
    ensure!(
        capabilities == member.capabilities() && shown.capacity == member.capacity(),
        "other capabilities or capacity"
    );
    ensure!(
        member.is_draining() == (shown.status == Status::Draining),
        "other status"
    );
    Ok(())
}

/// Presence: an agent is in a room until it leaves or its session ends: of somebody who is away, a
/// session that does not outlive its connection ends with the grace; of somebody who is back, so
/// does the earlier one, where the new one says nothing.
pub(super) fn places_end_for_a_reason(before: &Model, step: &Step) -> Check {
    let grace = before.rules.grace_ms;
    for event in step.events().filter(|event| event.what == LEFT) {
        let (room, agent) = (&event.room, &event.who);
        let said_so = step.command().is_some_and(|command| {
            let is_farewell = matches!(command.topic.topic, Topic::PresenceAnnounce { .. })
                && command.payload.is_empty();
            is_farewell && command.from == *agent && command.topic.room == *room
        });
        let ended =
            matches!(step.input(), Some(Input::SessionEnded { agent: whose }) if whose == agent);
        let people = &before.people;
        let gone = people.is_past(agent, grace, step.now) && !people.outlives_its_connection(agent);
        let member = people.member_of(room, agent);
        let silent = member.and_then(|member| member.silent_since);
        let silent = silent.is_some_and(|since| since + grace <= step.now);
        let is_closed = before.closed.contains_key(room)
            || step
                .events()
                .any(|other| other.what == "room.closed" && other.room == *room);
        ensure!(
            said_so || ended || is_closed || (step.runs_timers() && (gone || silent)),
            "{agent} is taken out of {room} at {} for no reason: {:?}, {member:?}",
            step.now,
            people.link(agent)
        );
    }
    Ok(())
}

/// The end of a batch shows how everybody looks by then, and which tools there are; nothing happens
/// by it.
pub(super) fn the_end_of_a_batch_only_shows(step: &Step) -> Check {
    let shows = |effect: &&Effect| match effect {
        Effect::Retain { topic, .. } => matches!(
            topic.topic,
            Topic::PresenceAgent { .. } | Topic::ToolsCard { .. }
        ),
        _ => false,
    };
    let other = step.effects.iter().find(|effect| !shows(effect));
    ensure!(
        step.input().is_some() || other.is_none(),
        "the end of a batch did {other:?}"
    );
    Ok(())
}

/// Presence: a place does not outlast the session that took it by more than the grace.
pub(super) fn silent_sessions_are_out(model: &Model) -> Check {
    for ((room, agent), member) in &model.people.members {
        let silent = member.silent_since;
        ensure!(
            silent.is_none_or(|since| since + model.rules.grace_ms > model.ticked_at),
            "{agent} has said nothing in {room} since {silent:?} and is still there at {}",
            model.ticked_at
        );
    }
    Ok(())
}

/// Handoff: a worker that reconnects in time gets its assignments again.
pub(super) fn workers_that_return_get_their_tasks_again(model: &Model, step: &Step) -> Check {
    let Some(Input::Connected {
        agent,
        resumed: true,
        ..
    }) = step.input()
    else {
        return Ok(());
    };
    let told: BTreeSet<_> = step
        .directed()
        .filter_map(|directed| match &directed.class {
            DirectedKind::Assignment(key) if directed.to == *agent => {
                Some((&key.task, key.attempt))
            }
            _ => None,
        })
        .collect();
    for ((room, id), task) in model.tasks.live() {
        let held = task.hold.as_ref().is_some_and(|hold| hold.worker == *agent);
        // What it is at and would not fit is not sent again.
        let member = model.people.member_of(room, agent);
        let is_small = member.is_some_and(|member| member.max_bytes().is_some());
        ensure!(
            !held || is_small || told.contains(&(id, task.attempt)),
            "{agent} is back in {room} and is not told of {id}"
        );
    }
    Ok(())
}

/// Presence: a list shows those who are in the room and nobody else, by name, and as departed
/// nobody who is there.
pub(super) fn lists(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a list is a command");
    if step.refusal() == Some(Code::TooMany) && step.free_of(&command.from) == 0 {
        return Ok(());
    }
    let Some((_, reply)) = step.replies_to(&command.from).pop() else {
        return Err("a list without a reply".to_owned());
    };
    let data = reply.data.as_ref().map(|data| data.text().as_bytes());
    let roll: Roll = read(data.unwrap_or_default());
    let asked: PresenceList = read(&command.payload);
    let limit = asked.limit.map_or(100, |limit| limit as usize);
    let listed = roll.agents.iter().map(|one| &one.agent);
    let departed = roll.departed.iter().map(|one| &one.agent);
    let names: Vec<&Agent> = listed.clone().chain(departed.clone()).collect();
    ensure!(
        names.is_sorted() && names.len() <= limit && listed.len() <= roll.present,
        "a list of {limit} at most, by name: {roll:?}"
    );
    for agent in listed.clone() {
        ensure!(
            model.people.member_of(room, agent).is_some(),
            "{agent} is listed in {room}, where it is not"
        );
    }
    ensure!(
        roll.next.is_some() || asked.departed || listed.len() == roll.present,
        "a list that ends without everybody: {roll:?}"
    );
    for agent in departed {
        let known = model.people.member_of(room, agent);
        let here = known.is_some_and(|member| member.is_in() && !member.unsure);
        ensure!(
            !here || model.people.link(agent) != Link::Online,
            "{agent} is listed as departed from {room}, where it is"
        );
    }
    Ok(())
}
