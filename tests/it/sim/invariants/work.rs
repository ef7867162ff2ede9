//! Handoff, task against task and worker against worker: who goes first, and to whom.

use std::collections::{BTreeMap, BTreeSet};

use hallward::engine::DirectedKind;
use hallward::wire::name::Agent;

use super::super::desk::Desk;
use super::super::history::Step;
use super::super::model::people::Member;
use super::super::model::tasks::TaskModel;
use super::super::model::{Model, TaskName};
use super::{Check, ensure};

/// How things stood before a step.
pub(super) struct Queue {
    queued: BTreeSet<TaskName>,
    attempts: BTreeMap<TaskName, u32>,
    /// What waits because its worker gave it back: it is for everybody but that worker.
    given_back: BTreeMap<TaskName, Agent>,
    /// What each member of each room held, and whether it could take more.
    loads: BTreeMap<(hallward::wire::name::Room, Agent), Load>,
}

#[derive(Clone, Copy)]
struct Load {
    in_flight: u32,
    capacity: u32,
    takes_work: bool,
}

impl Queue {
    /// Nothing to compare where a step assigns nothing.
    pub(super) fn before(model: &Model, step: &Step) -> Option<Queue> {
        let assigns = step
            .directed()
            .any(|directed| matches!(directed.class, DirectedKind::Assignment(_)));
        assigns.then(|| Queue::of(model))
    }

    fn of(model: &Model) -> Queue {
        let live = || model.tasks.live();
        let queued = live().filter(|(_, task)| task.state == "queued");
        let loads = model.people.members.iter().map(|((room, agent), member)| {
            let in_flight = model.tasks.in_flight(room, agent);
            let load = Load {
                in_flight,
                capacity: member.capacity(),
                takes_work: takes_work(model, agent, member) && in_flight < member.capacity(),
            };
            ((room.clone(), agent.clone()), load)
        });
        Queue {
            queued: queued.map(|(name, _)| name.clone()).collect(),
            attempts: live()
                .map(|(name, task)| (name.clone(), task.attempt))
                .collect(),
            given_back: live()
                .filter(|(_, task)| task.state == "waiting")
                .filter_map(|(name, task)| {
                    let (by, _) = task.released.as_ref()?;
                    Some((name.clone(), by.clone()))
                })
                .collect(),
            loads: loads.collect(),
        }
    }
}

fn takes_work(model: &Model, agent: &Agent, member: &Member) -> bool {
    model.people.is_online(agent) && !member.is_draining() && !member.unsure
}

/// The new assignments of a step, with their workers; not those that a worker is told of again.
fn assigned<'a>(
    model: &'a Model,
    step: &'a Step,
    before: &'a Queue,
) -> impl Iterator<Item = (TaskName, &'a TaskModel, &'a Agent)> {
    step.directed().filter_map(|directed| {
        let DirectedKind::Assignment(key) = &directed.class else {
            return None;
        };
        let name = (key.room.clone(), key.task.clone());
        let task = model.tasks.find(&key.room, &key.task)?;
        let is_new = before.attempts.get(&name).copied().unwrap_or(0) < key.attempt;
        is_new.then_some((name, task, &directed.to))
    })
}

/// Handoff: what has waited for long may go before what is more urgent; otherwise highest priority
/// first, oldest first within a priority and a dispatcher: who got a task could not have had a
/// better one.
pub(super) fn priority_is_respected(model: &Model, step: &Step, before: &Queue) -> Check {
    for (name, task, worker) in assigned(model, step, before) {
        let Some(member) = model.people.member_of(&name.0, worker) else {
            continue;
        };
        // What it was not given may have been too large for it.
        if member.max_bytes().is_some() {
            continue;
        }
        // Its own turn, or that of another of its priority that has waited for so long: dispatchers
        // take turns there, too.
        let mut queued = before.queued.iter();
        let is_late = queued.any(|other| {
            let waited = model.tasks.find(&other.0, &other.1);
            waited.is_some_and(|waited| {
                other.0 == name.0
                    && waited.priority() == task.priority()
                    && waited.created_at + model.rules.max_wait_ms <= step.now
            })
        });
        for other in &before.queued {
            let Some(waiting) = model.tasks.find(&other.0, &other.1) else {
                continue;
            };
            let passed_over = other.0 == name.0
                && waiting.state == "queued"
                && waiting.suits(member)
                && waiting.spec.affinity.is_none()
                && waiting.goes_before(task)
                && !(is_late && waiting.priority() > task.priority());
            ensure!(
                !passed_over,
                "{worker} got {} ({:?} of {}) while {} ({:?} of {}) waits",
                name.1,
                task.priority(),
                task.created_at,
                other.1,
                waiting.priority(),
                waiting.created_at
            );
        }
    }
    Ok(())
}

/// Handoff: to the least loaded worker. A worker with more in hand than another that could have
/// taken it, before and after the step and by any measure, was the wrong one.
pub(super) fn load_is_shared(model: &Model, step: &Step, before: &Queue) -> Check {
    for (name, task, worker) in assigned(model, step, before) {
        let key = (name.0.clone(), worker.clone());
        let Some(chosen) = before.loads.get(&key) else {
            continue;
        };
        // The step may have freed it first: then it had less than before.
        let given = assigned(model, step, before);
        let given = given.filter(|(other, _, to)| *to == worker && other.0 == name.0);
        let given = u32::try_from(given.count()).expect("few");
        let left = model.tasks.in_flight(&name.0, worker).saturating_sub(given);
        let chosen = Load {
            in_flight: chosen.in_flight.min(left),
            ..*chosen
        };
        if task.spec.affinity.is_some() {
            continue;
        }
        let gave_back_now = |agent: &Agent| {
            step.events().any(|event| {
                event.what == "handoff.released"
                    && (&event.room, &event.who) == (&name.0, agent)
                    && event.subject == name.1.as_str()
            })
        };
        for (agent, member) in model.people.of_room(&name.0) {
            let key = (name.0.clone(), agent.clone());
            let Some(load) = before.loads.get(&key) else {
                continue;
            };
            let now = model.tasks.in_flight(&name.0, agent);
            let free = load.takes_work
                && before.given_back.get(&name) != Some(agent)
                && !gave_back_now(agent)
                && member.max_bytes().is_none()
                && takes_work(model, agent, member)
                && now < member.capacity()
                && member.capacity() == load.capacity;
            let heavier = now.max(load.in_flight);
            let less = heavier < chosen.in_flight
                && u64::from(heavier) * u64::from(chosen.capacity)
                    < u64::from(chosen.in_flight) * u64::from(load.capacity);
            ensure!(
                !(free && less && task.suits(member)),
                "{worker} with {} in hand got {}, {agent} has {heavier} and is free",
                chosen.in_flight,
                name.1
            );
        }
    }
    Ok(())
}

/// Handoff: a queued task does not wait while somebody who can do it is online and free.
pub(super) fn nobody_idles_while_work_waits(model: &Model, desk: &Desk) -> Check {
    let free = model
        .people
        .members
        .iter()
        .filter(|((room, agent), member)| {
            takes_work(model, agent, member)
                && member.max_bytes().is_none()
                && !member.works.is_empty()
                && model.tasks.in_flight(room, agent) < member.capacity()
                && desk.free_messages(agent) > 0
        });
    for ((room, agent), member) in free {
        let mut live = model.tasks.live();
        let is_for = |task: &TaskModel| {
            let given_back = task.released.as_ref();
            let by_another = given_back.is_some_and(|(by, _)| by != agent);
            task.state == "queued" || (task.state == "waiting" && by_another)
        };
        let passed_over =
            live.find(|((at, _), task)| at == room && is_for(task) && task.suits(member));
        ensure!(
            passed_over.is_none(),
            "{passed_over:?} waits at {} while {agent} is free: {member:?}",
            model.now
        );
    }
    Ok(())
}
