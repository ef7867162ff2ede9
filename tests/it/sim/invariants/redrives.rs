//! Redrives: dead tasks that live again, one by one, or all of a type in a walk that goes on from
//! answer to answer.

use std::collections::BTreeMap;

use hallward::wire::handoff::{Redrive, Redriven};
use hallward::wire::name::{Room, TaskId, TaskType};
use hallward::wire::reply::Code;

use super::super::agents::{Participant, Role};
use super::super::history::{Step, read};
use super::super::model::Model;
use super::super::model::tasks::{REDRIVEN, TaskModel};
use super::super::model::walks::Walk;
use super::lists::data;
use super::{Check, ensure};

/// Tasks that a redrive puts back where it does not say.
const USUAL_LIMIT: usize = 100;

/// What one command of a walk should come to.
#[derive(Debug)]
struct Look<'a> {
    revived: Vec<&'a TaskId>,
    skipped: BTreeMap<u16, u32>,
    /// The last task that is looked at.
    last: u64,
    /// Dead tasks behind it.
    behind: usize,
}

/// Handoff: only what is dead can be put back, and only if there is room and time.
pub(super) fn commands(model: &mut Model, step: &Step, room: &Room) -> Check {
    let redrive: Redrive = read(&step.command().expect("a redrive").payload);
    match (&redrive.task, &redrive.task_type) {
        (_, Some(of_type)) => of_a_type(model, step, room, &redrive, of_type),
        (Some(id), _) => of_one(model, step, room, id),
        (None, None) => Err("nobody asks for nothing".to_owned()),
    }
}

fn of_one(model: &Model, step: &Step, room: &Room, id: &TaskId) -> Check {
    let Some(task) = model.tasks.find(room, id) else {
        ensure!(
            step.refusal() == Some(Code::NotFound),
            "a redrive of an unknown task got {:?}",
            step.verdict
        );
        return Ok(());
    };
    let expected = match task.state == "dead" {
        true => obstacle(model, step, room, task, &[]),
        false => Some(Code::Conflict),
    };
    ensure!(
        step.refusal() == expected,
        "a redrive of {task:?} got {:?}, expected {expected:?}",
        step.verdict
    );
    Ok(())
}

/// Handoff: a redrive by type looks at the dead from where the one before ended, oldest first,
/// until it has put back as many as it may: it says how many, why it left others, and how many are
/// left behind; a walk leaves none out, and ends.
fn of_a_type(
    model: &mut Model,
    step: &Step,
    room: &Room,
    redrive: &Redrive,
    of_type: &TaskType,
) -> Check {
    let walk = match &redrive.cursor {
        None => Walk::begins(step.now),
        Some(cursor) => match model.walks.find(room, of_type, cursor) {
            Some(walk) => walk.clone(),
            None => {
                ensure!(
                    step.refusal() == Some(Code::Invalid),
                    "the cursor {cursor} was nobody's and got {:?}",
                    step.verdict
                );
                return Ok(());
            }
        },
    };
    ensure!(
        step.verdict.is_ok(),
        "a redrive by type got {:?}",
        step.verdict
    );
    let told: Redriven = data(step).ok_or("a redrive by type got no numbers")?;
    let limit = redrive.limit.map_or(USUAL_LIMIT, |limit| limit as usize);
    let look = look(model, step, room, of_type, &walk, limit);
    is_told(step, &told, &look)?;
    let walk = Walk {
        last: look.last,
        commands: walk.commands + 1,
        lacked_room: walk.lacked_room || look.skipped.contains_key(&Code::TooMany.into()),
        ..walk
    };
    for (code, count) in &look.skipped {
        *model.tally.left_dead.entry(*code).or_default() += u64::from(*count);
    }
    match &told.cursor {
        None => {
            nothing_good_is_left(model, step, room, of_type, &walk)?;
            model.tally.walked += u64::from(walk.commands > 1);
        }
        Some(cursor) => model.walks.goes_on(room, of_type, cursor, walk),
    }
    Ok(())
}

fn look<'a>(
    model: &'a Model,
    step: &Step,
    room: &Room,
    of_type: &TaskType,
    walk: &Walk,
    limit: usize,
) -> Look<'a> {
    let mut dead: Vec<(&TaskId, &TaskModel)> = of_the_type(model, room, of_type)
        .filter(|(_, task)| task.state == "dead" && task.order > walk.last)
        .collect();
    dead.sort_by_key(|(_, task)| task.order);
    let mut look = Look {
        revived: Vec::new(),
        skipped: BTreeMap::new(),
        last: walk.last,
        behind: dead.len(),
    };
    for (id, task) in dead.into_iter().take(model.rules.redrive_looks) {
        if look.revived.len() == limit {
            break;
        }
        look.behind -= 1;
        look.last = task.order;
        match obstacle(model, step, room, task, &look.revived) {
            None => look.revived.push(id),
            Some(code) => *look.skipped.entry(code.into()).or_default() += 1,
        }
    }
    look
}

fn of_the_type<'a>(
    model: &'a Model,
    room: &Room,
    of_type: &TaskType,
) -> impl Iterator<Item = (&'a TaskId, &'a TaskModel)> {
    let all = model.tasks.all.iter();
    all.filter(move |((at, _), task)| at == room && task.spec.task_type == *of_type)
        .map(|((_, id), task)| (id, task))
}

/// Why a dead task cannot live again now, when others just do.
fn obstacle(
    model: &Model,
    step: &Step,
    room: &Room,
    task: &TaskModel,
    revived: &[&TaskId],
) -> Option<Code> {
    if task.deadline.is_some_and(|at| at <= step.now) {
        return Some(Code::Expired);
    }
    let dispatcher = &task.dispatcher;
    let others = revived.iter().filter(|id| {
        let other = model.tasks.find(room, id);
        other.is_some_and(|other| other.dispatcher == *dispatcher)
    });
    if step.places_of(dispatcher) <= model.promised(dispatcher) + others.count() {
        return Some(Code::TooMany);
    }
    let mut above =
        std::iter::successors(parent(model, room, task), |task| parent(model, room, task));
    let is_orphan = above.any(|task| task.state == "cancelled");
    let is_doomed = || {
        let mut needs = model.tasks.dependencies(room, task);
        needs.any(|one| {
            let lives = revived.iter().any(|id| {
                let other = model.tasks.find(room, id);
                other.is_some_and(|other| other.order == one.order)
            });
            one.is_final() && one.state != "succeeded" && !lives
        })
    };
    let is_tied = is_orphan || (task.attempt == 0 && is_doomed());
    is_tied.then_some(Code::Conflict)
}

fn parent<'a>(model: &'a Model, room: &Room, task: &TaskModel) -> Option<&'a TaskModel> {
    model.tasks.find(room, task.spec.parent.as_ref()?)
}

fn is_told(step: &Step, told: &Redriven, look: &Look<'_>) -> Check {
    let redriven = step.events().filter(|event| event.what == REDRIVEN);
    let redriven: Vec<&str> = redriven.map(|event| event.subject.as_str()).collect();
    let revived: Vec<&str> = look.revived.iter().map(|id| id.as_str()).collect();
    let because = told.skipped_because.iter();
    let because: Vec<(u16, u32)> = because.map(|why| (why.code.into(), why.count)).collect();
    let mut skipped = because.clone();
    skipped.sort_unstable();
    let expected: Vec<(u16, u32)> = look.skipped.iter().map(|(code, n)| (*code, *n)).collect();
    ensure!(
        redriven == revived
            && told.redriven as usize == revived.len()
            && skipped == expected
            && told.skipped == because.iter().map(|(_, count)| count).sum::<u32>()
            && told.remaining == look.behind as u64
            && told.cursor.is_some() == (look.behind > 0),
        "{redriven:?} live again, expected {look:?}, told {told:?}"
    );
    Ok(())
}

/// Handoff: when a walk has ended, nothing is dead that has been since it began, has time left, and
/// is tied to nothing. It took no more commands than there are tasks.
fn nothing_good_is_left(
    model: &Model,
    step: &Step,
    room: &Room,
    of_type: &TaskType,
    walk: &Walk,
) -> Check {
    let redriven: Vec<&str> = step
        .events()
        .filter(|event| event.what == REDRIVEN)
        .map(|event| event.subject.as_str())
        .collect();
    let is_good = |task: &TaskModel| {
        let has_time = task.deadline.is_none_or(|at| at > step.now);
        has_time && task.spec.parent.is_none() && task.spec.depends_on.is_empty()
    };
    let mut left = of_the_type(model, room, of_type).filter(|(id, task)| {
        let was_dead = task.ended_at.is_some_and(|at| at < walk.began);
        task.state == "dead" && was_dead && is_good(task) && !redriven.contains(&id.as_str())
    });
    let left = left.next().filter(|_| !walk.lacked_room);
    ensure!(
        left.is_none(),
        "{walk:?} has ended at {} and left {left:?}",
        step.now
    );
    let all = of_the_type(model, room, of_type).count();
    ensure!(
        walk.commands <= all + 1,
        "{walk:?} took more than there is: {all}"
    );
    Ok(())
}

/// Handoff: who goes on as it is told comes to an end.
pub(super) fn walks_have_ended(everybody: &[Participant]) -> Check {
    for one in everybody {
        if let Role::Operator(operator) = &one.role {
            let walk = operator.walk();
            ensure!(walk.is_none(), "{} still walks: {walk:?}", one.name);
        }
    }
    Ok(())
}
