//! Looking at tasks: one with its history, or a page of many. It changes nothing.

use serde::Serialize;

use crate::wire::Millis;
use crate::wire::handoff::{GetTask, ListTasks, States, TaskView};
use crate::wire::json::{self, Json};
use crate::wire::reply::{Code, Rejection};

use crate::engine::replies::{Accepted, Call, Outcome, page_limit};
use crate::engine::shown::{Dated, Wall};
use crate::engine::tx::RoomTx;

use super::Handoff;
use super::index::TaskFilter;
use super::task::Task;
use crate::engine::ids::TaskNo;

/// Tasks that one command looks at, where conditions that have no index drop some of them: the page
/// ends there, and the next goes on.
const LOOKED_AT: usize = 1_000;

/// Tasks on a page where the question does not say.
const USUAL_PAGE: u32 = 50;

/// As `wire::handoff::TaskPage`, with its tasks encoded already.
#[derive(Serialize)]
struct EncodedTaskPage {
    tasks: Vec<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// Its tasks are as others see them already.
impl Dated for EncodedTaskPage {
    fn date(&mut self, _: Wall) {}
}

impl Handoff {
    /// The number from which on tasks were dispatched then or later: numbers grow with time.
    fn first_of(&self, at: Millis) -> TaskNo {
        let (mut low, mut high) = (0, self.last_no + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.tasks.range(TaskNo(middle)..TaskNo(high)).next() {
                Some((no, task)) if task.body.created_at < at => low = no.0 + 1,
                _ => high = middle,
            }
        }
        TaskNo(low)
    }

    /// From the first to the last number that may be meant.
    fn range_of(&self, asked: &ListTasks, after: Option<TaskNo>) -> (TaskNo, TaskNo) {
        let mut first = asked
            .created_after
            .map_or(TaskNo(0), |at| self.first_of(at));
        let mut last = match asked.created_before {
            Some(at) => TaskNo(self.first_of(at).0.saturating_sub(1)),
            None => TaskNo(self.last_no),
        };
        match after {
            Some(after) if asked.newest_first => last = last.min(TaskNo(after.0.saturating_sub(1))),
            Some(after) => first = first.max(TaskNo(after.0.saturating_add(1))),
            None => {}
        }
        (first, last)
    }
}

impl Handoff {
    pub(in crate::engine) fn get_task(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
    ) -> Outcome {
        let get: GetTask = call.read(&tx.cx.settings)?;
        let no = self.number(&get.task)?;
        let task = &self.tasks[&no];
        let payload = task.body.payload.as_ref().filter(|_| get.payload);
        let mut view = TaskView {
            last_progress: self.progress.get(no).cloned(),
            asking: self.open_question(no, task).map(Box::new),
            answers: self.questions.answers(no).to_vec(),
            history: task.status.history.view(),
            result: task.kept_result().cloned(),
            result_omitted: task.lost_result(),
            payload: payload.cloned(),
            ..task.view()
        };
        let most = tx.can_take(call);
        if json::length(&view) > most {
            view.payload = None;
        }
        if json::length(&view) > most {
            (view.asking, view.answers) = (None, Vec::new());
        }
        if view.result.is_some() && json::length(&view) > most {
            (view.result, view.result_omitted) = (None, true);
        }
        Ok(Accepted {
            task: Some(get.task),
            ..Accepted::found(tx.cx, view)
        })
    }

    pub(in crate::engine) fn list_tasks(&self, tx: &RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
        let mut asked: ListTasks = call.read_or_default(&tx.cx.settings)?;
        let point = |shown: Option<Millis>| shown.map(|shown| tx.cx.wall.point(shown));
        asked.created_after = point(asked.created_after);
        asked.created_before = point(asked.created_before);
        let limit = page_limit(asked.limit, USUAL_PAGE, tx.cx.settings.handoff.max_page)?;
        let most = tx.page_bytes(call)?;
        let after = asked.cursor.as_deref().map(read_cursor).transpose()?;
        let (first, last) = self.range_of(&asked, after);
        let wanted = TaskFilter {
            states: asked.state.as_ref().map_or(&[], States::as_slice),
            task_type: asked.task_type.as_ref(),
            capability: asked.capability.as_ref(),
        };
        let index = &self.index;
        let mut found = index.find(wanted, first..=last, asked.newest_first);
        let mut page = EncodedTaskPage {
            tasks: Vec::new(),
            cursor: None,
        };
        let (mut bytes, mut looked_at, mut at) = (0, 0, None);
        while page.tasks.len() < limit && looked_at < LOOKED_AT {
            let Some(no) = found.next() else {
                return Ok(Accepted::found(tx.cx, page));
            };
            looked_at += 1;
            let task = &self.tasks[&no];
            if is_asked_for(task, &asked) {
                let view = Json::of(&tx.cx.wall.show(task.view()));
                bytes += view.text().len();
                if bytes > most && page.tasks.is_empty() {
                    let reason = format!(
                        "{} takes {bytes} bytes, an answer to you may have {most}",
                        task.body.id
                    );
                    return Err(Rejection::new(Code::TooLarge, reason));
                }
                if bytes > most {
                    page.cursor = at;
                    return Ok(Accepted::found(tx.cx, page));
                }
                page.tasks.push(view);
            }
            at = Some(no.0.to_string());
        }
        page.cursor = found.next().and(at);
        Ok(Accepted::found(tx.cx, page))
    }
}

/// Whether it meets the conditions that the index does not see to.
fn is_asked_for(task: &Task, asked: &ListTasks) -> bool {
    let dispatcher = asked.dispatcher.as_ref();
    let capability = asked.capability.as_ref();
    dispatcher.is_none_or(|dispatcher| task.body.dispatcher == *dispatcher)
        && capability.is_none_or(|capability| task.body.asks_for(capability))
}

fn read_cursor(text: &str) -> Result<TaskNo, Rejection> {
    let number = text.parse().map_err(|_| {
        let reason = format!("cursor must be one that a page came with, but is {text:?}");
        Rejection::new(Code::Invalid, reason).at("cursor")
    })?;
    Ok(TaskNo(number))
}
