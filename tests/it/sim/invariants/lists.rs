//! Handoff, many at once: pages of tasks, and redrives.

use hallward::wire::handoff::{ListTasks, Redrive, Redriven, States, TaskPage};
use hallward::wire::name::{Room, TaskId};
use hallward::wire::reply::Code;
use hallward::wire::topic::Topic;
use serde::de::DeserializeOwned;

use super::super::history::{Step, read};
use super::super::model::Model;
use super::super::model::tasks::TaskModel;
use super::{Check, ensure};

fn data<T: DeserializeOwned>(step: &Step) -> Option<T> {
    let command = step.command()?;
    let (_, reply) = step.replies_to(&command.from).pop()?;
    serde_json::from_str(reply.data?.text()).ok()
}

/// Handoff: a page has the oldest tasks that meet its conditions, and says when there are more.
pub(super) fn pages(model: &Model, step: &Step, room: &Room) -> Check {
    let asked: ListTasks = read(&step.command().expect("a list").payload);
    let from = &step.command().expect("a list").from;
    let is_full = step.refusal() == Some(Code::TooMany) && step.free_of(from) == 0;
    if is_full {
        return Ok(());
    }
    let page: TaskPage = data(step).ok_or("a list got no page")?;
    let states = asked.state.as_ref().map_or(&[][..], States::as_slice);
    let wanted = |task: &TaskModel| {
        let of_type = asked.task_type.as_ref();
        let of_state = states.iter().any(|state| state.as_str() == task.state);
        of_type.is_none_or(|of_type| task.spec.task_type == *of_type)
            && (states.is_empty() || of_state)
    };
    let here = model.tasks.all.iter().filter(|((at, _), _)| at == room);
    let mut found: Vec<(u64, &TaskId)> = here
        .filter(|(_, task)| wanted(task))
        .map(|((_, id), task)| (task.order, id))
        .collect();
    found.sort();
    let limit = asked.limit.unwrap_or(50) as usize;
    let expected = found.iter().take(limit).map(|(_, id)| *id);
    ensure!(
        page.tasks.iter().map(|view| &view.task).eq(expected)
            && page.cursor.is_some() == (found.len() > limit),
        "asked {asked:?}, expected {found:?}, got {page:?}"
    );
    Ok(())
}

/// Handoff: only what is dead can be put back, and only if there is room and time.
pub(super) fn redrives(model: &Model, step: &Step, room: &Room) -> Check {
    let redrive: Redrive = read(&step.command().expect("a redrive").payload);
    let Some(id) = &redrive.task else {
        ensure!(
            step.verdict.is_ok(),
            "a redrive by type got {:?}",
            step.verdict
        );
        return Ok(());
    };
    let Some(task) = model.tasks.find(room, id) else {
        ensure!(
            step.refusal() == Some(Code::NotFound),
            "a redrive of an unknown task got {:?}",
            step.verdict
        );
        return Ok(());
    };
    let right = match step.refusal() {
        None => task.state == "dead",
        Some(Code::Conflict) => {
            let parent = task.spec.parent.is_some();
            task.state != "dead" || parent || !model.tasks.is_free_to_go(room, task)
        }
        Some(Code::Expired) => task.deadline.is_some_and(|at| at <= step.now),
        Some(Code::TooMany) => step.places_of(&task.dispatcher) <= model.promised(&task.dispatcher),
        Some(_) => false,
    };
    ensure!(right, "a redrive of {task:?} got {:?}", step.verdict);
    Ok(())
}

/// Handoff: a redrive by type says how many it put back, why it did not put others back, and how many are left to be looked at.
pub(super) fn redrives_tell_what_remains(model: &Model, step: &Step) -> Check {
    let Some(command) = step.command().filter(|_| step.verdict.is_ok()) else {
        return Ok(());
    };
    if !matches!(command.topic.topic, Topic::HandoffRedrive { .. }) {
        return Ok(());
    }
    let redrive: Redrive = read(&command.payload);
    let Some(of_type) = &redrive.task_type else {
        return Ok(());
    };
    let told: Redriven = data(step).ok_or("a redrive by type got no numbers")?;
    let here = model.tasks.all.iter();
    let here = here.filter(|((at, _), _)| *at == command.topic.room);
    let dead = here.filter(|(_, task)| task.state == "dead" && task.spec.task_type == *of_type);
    let dead = dead.count() as u64;
    let redriven = step
        .events()
        .filter(|event| event.what == "handoff.redriven");
    let skipped: u32 = told.skipped_because.iter().map(|why| why.count).sum();
    let remaining = match told.cursor {
        Some(_) => dead - u64::from(told.skipped),
        None => 0,
    };
    ensure!(
        told.remaining == remaining
            && told.skipped == skipped
            && told.redriven as usize == redriven.count(),
        "{dead} {of_type} are dead, told {told:?}"
    );
    Ok(())
}
