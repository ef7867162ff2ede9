//! Handoff, the end: exactly one final result, and nothing left undone.

use std::collections::BTreeSet;

use hallward::engine::{Directed, DirectedKind};
use hallward::wire::handoff::{GroupResult, ResultStatus, TaskResult, Update, UpdateStatus};
use hallward::wire::json::Json;
use hallward::wire::name::{Agent, Room, TaskId};
use hallward::wire::topic::Topic;

use super::super::agents::Participant;
use super::super::durable::Durable;
use super::super::history::{Step, group_result, plain_payload, read};
use super::super::model::Model;
use super::super::model::tasks::{GATHERED, GroupName, TaskModel};
use super::mail::told;
use super::{Check, ensure, gates};

/// Handoff: results go to the dispatcher, echo what it said, and there is one final one.
pub(super) fn results(model: &Model, step: &Step, directed: &Directed) -> Check {
    if let Some(result) = group_result(directed) {
        return group_results(model, directed, &result);
    }
    let result: TaskResult = read(&directed.payload);
    let Some(task) = model.tasks.find(&directed.topic.room, &result.task) else {
        return Err(format!("a result of an unknown task: {result:?}"));
    };
    let expected = Topic::HandoffResult {
        dispatcher: task.dispatcher.clone(),
    };
    ensure!(
        directed.to == task.dispatcher && directed.topic.topic == expected,
        "{} wants the result, it goes to {}",
        task.dispatcher,
        directed.to
    );
    ensure!(
        directed.mirrors.expires_at.is_none_or(|at| at > step.now),
        "a result that has expired already"
    );
    ensure!(
        task.finals.is_empty(),
        "after the final result {:?} comes {result:?}",
        task.finals
    );
    gates::results_say_so(task, &result)?;
    ensure!(
        result.is_final != matches!(result.status, ResultStatus::Partial | ResultStatus::Input),
        "final or not: {result:?}"
    );
    ensure!(
        result.attempts == task.attempt
            && result.worker == task.last_worker
            && result.created_at == task.created_at
            && (task.spec.correlation_id.is_none()
                || result.correlation_id == task.spec.correlation_id),
        "a result that tells another story: {result:?} of {task:?}"
    );
    Ok(())
}

/// Handoff: a group has one result, which lists all its tasks in the order of dispatch as they
/// ended, when the last has.
fn group_results(model: &Model, directed: &Directed, result: &GroupResult) -> Check {
    let room = &directed.topic.room;
    let name = (room.clone(), directed.to.clone(), result.group.clone());
    let Some(group) = model.tasks.groups.get(&name) else {
        return Err(format!("a result of no group, or a second one: {result:?}"));
    };
    let listed = result.tasks.iter().map(|entry| &entry.task);
    ensure!(
        listed.eq(&group.members) && result.size == group.size,
        "the group is {group:?}, its result {result:?}"
    );
    ensure!(
        result.complete == (group.members.len() == group.size as usize),
        "complete or not: {group:?}, {result:?}"
    );
    let same =
        |one: &Option<Json>, other: &Option<Json>| model.encodings.same(&directed.to, one, other);
    for entry in &result.tasks {
        let task = model.tasks.find(room, &entry.task);
        let told = |task: &TaskModel| {
            task.is_final()
                && task.state == word(entry.status)
                && (entry.omitted || same(&entry.result, &task.outcome))
                && entry.attempts == task.attempt
        };
        ensure!(
            task.is_some_and(told),
            "gathered as {entry:?}, but is {task:?}"
        );
    }
    Ok(())
}

/// Handoff: a group of which all tasks are there and have ended has had its result.
pub(super) fn complete_groups_are_gathered(model: &Model) -> Check {
    for ((room, whose, name), group) in &model.tasks.groups {
        let is_over = |id: &TaskId| model.tasks.find(room, id).is_none_or(TaskModel::is_final);
        let complete = group.members.len() >= group.size as usize;
        ensure!(
            !(complete && group.members.iter().all(is_over)),
            "{name} of {whose} is complete and not gathered: {group:?}"
        );
    }
    Ok(())
}

/// Handoff: the dispatcher gets exactly one final result, at the moment at which the task ends, and
/// it says how.
pub(super) fn final_states_have_their_result(model: &Model, step: &Step) -> Check {
    let mut touched: BTreeSet<(Room, TaskId)> = BTreeSet::new();
    for event in step
        .events()
        .filter(|event| event.what.starts_with("handoff.") && event.what != GATHERED)
    {
        if let Ok(id) = TaskId::new(&event.subject) {
            touched.insert((event.room.clone(), id));
        }
    }
    let results = step
        .directed()
        .filter(|one| one.class == DirectedKind::Result);
    for directed in results.filter(|one| group_result(one).is_none()) {
        let result: TaskResult = read(&directed.payload);
        touched.insert((directed.topic.room.clone(), result.task));
    }
    ensure!(
        !model.tasks.has_nameless(),
        "a task was taken and no event tells of it"
    );
    for (room, id) in touched {
        let Some(task) = model.tasks.find(&room, &id) else {
            continue;
        };
        let finals: Vec<&str> = task.finals.iter().map(|status| word(*status)).collect();
        let expected: Vec<&str> = task
            .is_final()
            .then_some(task.state.as_str())
            .into_iter()
            .collect();
        ensure!(
            finals == expected,
            "{id} is {:?}, its final results are {finals:?}",
            task.state
        );
    }
    Ok(())
}

fn word(status: ResultStatus) -> &'static str {
    match status {
        ResultStatus::Partial => "partial",
        ResultStatus::Input => "input",
        ResultStatus::Succeeded => "succeeded",
        ResultStatus::Dead => "dead",
        ResultStatus::Expired => "expired",
        ResultStatus::Cancelled => "cancelled",
    }
}

/// Handoff: success, error and release end the attempt at once.
pub(super) fn what_was_given_back_is_held_no_more(model: &Model, step: &Step) -> Check {
    if step.command().is_none() {
        return Ok(());
    }
    for ((_, id), task) in model.tasks.live() {
        ensure!(
            !task.hold.as_ref().is_some_and(|hold| hold.given_back),
            "{id} was given back and is still held: {task:?}"
        );
    }
    Ok(())
}

/// Handoff: a partial result goes to the dispatcher as it comes, and success brings the worker's
/// result, to the letter.
pub(super) fn what_a_worker_returns_reaches_the_dispatcher(model: &Model, step: &Step) -> Check {
    let Some(command) = step.command().filter(|_| step.verdict.is_ok()) else {
        return Ok(());
    };
    if !matches!(command.topic.topic, Topic::HandoffUpdate { .. }) {
        return Ok(());
    }
    let update: Update = read(&command.payload);
    let results: Vec<TaskResult> = step
        .directed()
        .filter(|directed| {
            directed.class == DirectedKind::Result && group_result(directed).is_none()
        })
        .map(|directed| read(&directed.payload))
        .filter(|result: &TaskResult| result.task == update.task)
        .collect();
    let task = model.tasks.find(&command.topic.room, &update.task);
    let same = |result: &TaskResult| {
        task.is_some_and(|task| {
            let encodings = &model.encodings;
            encodings.same(&task.dispatcher, &result.result, &update.result)
        })
    };
    let partial = update.status == UpdateStatus::Progress && update.result.is_some();
    if update.status == UpdateStatus::Input {
        let asked = |result: &TaskResult| {
            task.is_some_and(|task| {
                let same = (&result.question, &update.question);
                result.status == ResultStatus::Input
                    && model.encodings.same(&task.dispatcher, same.0, same.1)
                    && result.ask == Some(task.asks)
            })
        };
        ensure!(
            results.len() == 1 && asked(&results[0]),
            "{update:?} brought {results:?}"
        );
    }
    if partial || update.status == UpdateStatus::Success {
        ensure!(
            results.len() == 1 && same(&results[0]),
            "{update:?} brought {results:?}"
        );
    }
    Ok(())
}

/// Handoff: nobody capable, the task waits: that is the point of a queue. Anybody capable, and it
/// does not.
pub(super) fn waiting_for_nobody(model: &Model) -> Result<Vec<(Room, TaskId, Agent)>, String> {
    let mut waiting = Vec::new();
    for ((room, id), task) in model.tasks.live() {
        let able = model
            .people
            .of_room(room)
            .find(|(_, member)| task.suits(member) && member.max_bytes().is_none());
        let free_to_go = model.tasks.is_free_to_go(room, task);
        if let Some((able, _)) = able.filter(|_| free_to_go) {
            return Err(format!(
                "all has been calm, {able} can do {id}, and it is not done: {task:?}"
            ));
        }
        waiting.push((room.clone(), id.clone(), task.dispatcher.clone()));
    }
    Ok(waiting)
}

/// Handoff: every accepted task has ended.
pub(super) fn every_task_has_ended(model: &Model) -> Check {
    for ((_, id), task) in &model.tasks.all {
        ensure!(task.is_final(), "{id} has not ended: {task:?}");
    }
    Ok(())
}

/// Handoff: the dispatcher has read one final result of each life of its tasks, and one of each
/// group.
pub(super) fn results_were_read_once(model: &Model, one: &Participant, durable: &Durable) -> Check {
    let mut read_results: Vec<(Room, TaskId)> = Vec::new();
    let mut read_groups: Vec<GroupName> = Vec::new();
    for letter in told(one, durable).filter(|l| l.class == Some(DirectedKind::Result)) {
        let room = letter.topic.room.clone();
        if let Ok(result) = serde_json::from_slice::<GroupResult>(&plain_payload(&letter.payload)) {
            read_groups.push((room, one.name.clone(), result.group));
            continue;
        }
        let result: TaskResult = read(&letter.payload);
        if result.is_final {
            read_results.push((room, result.task));
        }
    }
    let gathered = model.tasks.gathered.iter();
    let mut gathered: Vec<_> = gathered
        .filter(|(_, whose, _)| *whose == one.name)
        .cloned()
        .collect();
    gathered.sort();
    read_groups.sort();
    ensure!(
        read_groups == gathered,
        "{} was sent the results of {gathered:?} and read {read_groups:?}",
        one.name
    );
    let mut expected: Vec<(Room, TaskId)> = model
        .tasks
        .all
        .iter()
        .filter(|(_, task)| task.dispatcher == one.name)
        .flat_map(|(name, task)| std::iter::repeat_n(name.clone(), task.lives))
        .collect();
    read_results.sort();
    expected.sort();
    ensure!(
        read_results == expected,
        "{} dispatched {expected:?} and read the results of {read_results:?}",
        one.name
    );
    Ok(())
}
