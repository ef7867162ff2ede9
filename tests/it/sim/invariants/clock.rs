//! Time: the engine asks to be woken no later than the first thing is due.

use hallward::wire::Millis;

use super::super::desk::Desk;
use super::super::model::Model;
use super::super::model::people::Link;
use super::{Check, ensure};

/// Whatever ends by itself ends when it is due, and not when somebody happens to come by.
pub(super) fn the_engine_wakes_in_time(model: &Model, desk: &Desk) -> Check {
    let asks = desk.asks_at().unwrap_or(Millis::MAX);
    let first = dues(model).min();
    if let Some((at, what)) = first {
        ensure!(
            asks <= at,
            "{what} is due at {at}, and the engine asks to be woken at {asks} at {}",
            model.now
        );
    }
    Ok(())
}

/// What is due when, at the latest.
fn dues(model: &Model) -> impl Iterator<Item = (Millis, String)> {
    let people = &model.people;
    let rules = &model.rules;
    let tasks = model.tasks.live().flat_map(|((room, id), task)| {
        let waits = task.state == "waiting" && model.tasks.is_free_to_go(room, task);
        let is_due = waits && task.clearance.awaited().is_none();
        let hold = task.hold.as_ref();
        let lease = hold.filter(|hold| people.is_online(&hold.worker));
        let doomed_at = model.tasks.doomed_at(room, task).filter(|_| !waits);
        let doomed_at = doomed_at.filter(|_| task.state == "waiting");
        [
            task.deadline,
            is_due.then_some(task.due_by),
            doomed_at.map(|at| at.max(task.created_at)),
            lease.map(|hold| hold.lease_high),
        ]
        .into_iter()
        .flatten()
        .map(move |at| (at, id.to_string()))
    });
    let approvals = model.approvals.iter();
    let approvals = approvals.filter(|(_, approval)| approval.is_open());
    let approvals = approvals.map(|((_, id), approval)| (approval.expires_at, id.to_string()));
    let entries = model.boards.values().flat_map(|board| &board.entries);
    let keys = entries.filter_map(|(key, entry)| Some((entry.expires_at?, key.to_string())));
    let held = model.locks.held.iter();
    let locks = held.map(|((_, name), holder)| (holder.until, name.clone()));
    let waits = model.locks.waits.iter();
    let waiters = waits.map(|((_, agent), at)| (*at, agent.to_string()));
    let groups = model.tasks.groups.iter();
    let groups = groups.filter_map(|((room, _, name), group)| {
        let members = group.members.iter();
        let ended = members.map(|id| model.tasks.find(room, id)?.ended_at);
        // It waits no longer than this for what it lacks; after a restart it begins anew.
        let last = ended.collect::<Option<Vec<_>>>()?.into_iter().max()?;
        Some((
            last.max(model.recovered_at) + rules.retention_ms,
            name.clone(),
        ))
    });
    let open = model.tools.open.iter();
    let open = open.map(|name| (name, &model.tools.calls[name]));
    let running = open.filter(|(_, call)| call.provider.is_some());
    let calls = running.map(|(name, call)| (call.deadline, name.1.to_string()));
    let places = people
        .members
        .keys()
        .filter_map(|(_, agent)| match people.link(agent) {
            Link::Away { since } => Some((since + rules.grace_ms, agent.to_string())),
            _ => None,
        });
    // Who keeps its place has been shown as offline by then.
    let places = places.filter(|(at, _)| *at > model.ticked_at);
    let busy = model.tools.open.iter().filter_map(|name| {
        let provider = model.tools.calls[name].provider.as_ref()?;
        let at = people.cut_at(provider)? + rules.provider_grace_ms;
        Some((at, provider.to_string()))
    });
    tasks
        .chain(approvals)
        .chain(keys)
        .chain(locks)
        .chain(waiters)
        .chain(groups)
        .chain(calls)
        .chain(places)
        .chain(busy)
}
