//! Handoff, many at once: pages of tasks.

use hallward::wire::handoff::{ListTasks, States, TaskPage};
use hallward::wire::name::{Room, TaskId};
use hallward::wire::reply::Code;
use serde::de::DeserializeOwned;

use super::super::history::{Step, read};
use super::super::model::Model;
use super::super::model::tasks::TaskModel;
use super::{Check, ensure};

/// What a reply to a question has.
pub(super) fn data<T: DeserializeOwned>(step: &Step) -> Option<T> {
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
