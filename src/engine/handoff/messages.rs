//! What handoff sends: assignments to workers, results to dispatchers, views to whoever asks.

use bytes::Bytes;

use crate::wire::Millis;
use crate::wire::fit::packet_bytes;
use crate::wire::handoff::{Assignment, ResultStatus, TaskResult, TaskState, TaskView};
use crate::wire::json::Json;
use crate::wire::message::Qos;
use crate::wire::mirror::{MessageMirrors, Trace};
use crate::wire::name::{Agent, Capability, Room, TaskId};
use crate::wire::presence::Encoding;
use crate::wire::reply::{Code, Rejection, Reply};
use crate::wire::topic::{RoomTopic, Topic};

use crate::engine::effect::{Directed, DirectedKind, Effect};
use crate::engine::ids::AssignmentKey;
use crate::engine::member::Member;
use crate::engine::replies;
use crate::engine::settings::Settings;
use crate::engine::tx::RoomTx;

use super::Handoff;
use super::task::{Body, Task, TaskStage};
use crate::engine::ids::TaskNo;

/// The attempt that sizes are counted with, because the length of its number is part of them: few
/// tasks see a later one.
const MEASURED_ATTEMPT: u32 = 999;

impl Handoff {
    pub(super) fn deliver_result(&mut self, tx: &mut RoomTx<'_>, to: Agent, result: &TaskResult) {
        let dispatcher = to.clone();
        tx.cx.emit(Effect::Deliver(Directed {
            to,
            topic: RoomTopic::new(tx.room.name.clone(), Topic::HandoffResult { dispatcher }),
            payload: tx.cx.wall.encode(result),
            class: DirectedKind::Result,
            mirrors: MessageMirrors {
                correlation_id: result.correlation_id.clone(),
                from: result.worker.clone(),
                trace: Trace {
                    traceparent: result.traceparent.clone(),
                    tracestate: result.tracestate.clone(),
                },
                expires_at: Some(tx.cx.after(tx.cx.settings.mailbox.result_ttl.ms())),
            },
        }));
    }

    /// Whether the task's assignment is larger than what its worker takes.
    pub(super) fn is_too_large(&self, tx: &RoomTx<'_>, no: TaskNo, worker: &Agent) -> bool {
        let said = tx.room.members.0.get(worker).and_then(Member::max_bytes);
        let task = self.tasks.get(&no);
        said.zip(task)
            .is_some_and(|(most, task)| task.assignment_bytes() > most)
    }

    /// Sends a worker the task that it has.
    pub(super) fn deliver(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        let Some(task) = self.tasks.get(&no) else {
            return;
        };
        let Some(worker) = task.status.holder() else {
            return;
        };
        if self.is_too_large(tx, no, worker) {
            return;
        }
        let offers = |capability: &&Capability| {
            let member = tx.room.members.0.get(worker);
            member.is_some_and(|member| member.works.contains(*capability))
        };
        let asked = || task.body.capabilities.iter().chain(task.body.any_of());
        let Some(capability) = asked().find(offers).or(asked().next()) else {
            return;
        };
        let topic = Topic::HandoffWork {
            capability: capability.clone(),
        };
        tx.cx.emit(Effect::Deliver(Directed {
            to: worker.clone(),
            topic: RoomTopic::new(tx.room.name.clone(), topic),
            payload: self.assignment(tx, no, task, worker),
            class: DirectedKind::Assignment(AssignmentKey {
                room: tx.room.name.clone(),
                task: task.body.id.clone(),
                attempt: task.status.attempt,
                answers: self.questions.answered(no),
            }),
            mirrors: MessageMirrors {
                correlation_id: task.body.correlation_id.as_deref().map(str::to_owned),
                from: Some(task.body.dispatcher.clone()),
                trace: Trace {
                    traceparent: task.body.traceparent.as_deref().map(str::to_owned),
                    tracestate: task.body.tracestate.as_deref().map(str::to_owned),
                },
                expires_at: task.body.deadline,
            },
        }));
    }
}

impl Handoff {
    /// An assignment, with what was said of the task before as far as its worker can take it.
    fn assignment(&self, tx: &RoomTx<'_>, no: TaskNo, task: &Task, worker: &Agent) -> Bytes {
        let plain = task.body.assignment(task.status.attempt);
        let (said, answers) = (self.progress.get(no), self.questions.answers(no));
        if said.is_none() && answers.is_empty() {
            return tx.cx.wall.encode(&plain);
        }
        let most = tx.room.members.0.get(worker).and_then(Member::max_bytes);
        let room = most.map(|most| most.saturating_sub(task.assignment_bytes()) as usize);
        let holds = plain.payload.as_ref().map_or("", Json::text);
        let of = |one: &Assignment| Encoding::greatest_length_of(one, holds);
        let fits =
            |one: &Assignment| room.is_none_or(|room| of(one).saturating_sub(of(&plain)) <= room);
        let with_answers = Assignment {
            answers: answers.to_vec(),
            ..plain.clone()
        };
        let with_all = Assignment {
            last_progress: said.cloned(),
            ..with_answers.clone()
        };
        let fitting = [&with_all, &with_answers].into_iter().find(|one| fits(one));
        tx.cx.wall.encode(fitting.unwrap_or(&plain))
    }

    /// Tells a worker that what it is at is of no use any more: a task that was cancelled, or whose
    /// time is over.
    pub(super) fn tell_worker(
        &self,
        tx: &mut RoomTx<'_>,
        no: TaskNo,
        worker: &Agent,
        attempt: u32,
    ) {
        let Some(task) = self.tasks.get(&no) else {
            return;
        };
        let code = match task.status.state() {
            TaskState::Cancelled => Code::Conflict,
            TaskState::Expired => Code::Expired,
            _ => return,
        };
        let id = &task.body.id;
        let error = task.status.error.as_deref();
        let words = error.map_or("", |error| error.message.as_str());
        let state = task.status.state().as_str();
        let reason =
            format!("attempt {attempt} of {id} is over, because the task is {state}: {words}");
        let reply = Reply {
            task: Some(id.clone()),
            ..Reply::rejected("handoff/work", Rejection::new(code, reason))
        };
        replies::send(tx.cx, worker.clone(), tx.room.name.clone(), None, reply);
    }
}

impl Body {
    fn assignment(&self, attempt: u32) -> Assignment {
        Assignment {
            task: self.id.clone(),
            attempt,
            task_type: self.task_type.clone(),
            capabilities: self.capabilities.to_vec(),
            payload: self.payload.clone(),
            last_progress: None,
            answers: Vec::new(),
            priority: self.priority,
            dispatcher: self.dispatcher.clone(),
            lease_ms: self.lease_ms,
            created_at: self.created_at,
            deadline: self.deadline,
            correlation_id: self.correlation_id.as_deref().map(str::to_owned),
            traceparent: self.traceparent.as_deref().map(str::to_owned),
            tracestate: self.tracestate.as_deref().map(str::to_owned),
        }
    }

    /// Counts how large its assignment is as a packet, in whichever encoding and on whichever of
    /// its topics it is larger.
    pub(in crate::engine) fn measure(&mut self, settings: &Settings, room: &Room) {
        let assignment = self.assignment(MEASURED_ATTEMPT);
        let holds = self.payload.as_ref().map_or("", Json::text);
        let payload = Encoding::greatest_length_of(&assignment, holds);
        let offered = self.capabilities.iter().chain(&self.any_of);
        let longest = offered.map(|capability| capability.as_str().len()).max();
        let topic = settings.rooms.root.len()
            + room.as_str().len()
            + "//handoff/work/".len()
            + longest.unwrap_or_default();
        let bytes = packet_bytes(topic, payload, Qos::AtLeastOnce);
        self.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    }
}

impl Task {
    /// The size of the assignment of its present attempt, as a packet.
    pub(super) fn assignment_bytes(&self) -> u32 {
        let digits = |attempt: u32| attempt.max(1).ilog10();
        let more = digits(self.status.attempt).saturating_sub(digits(MEASURED_ATTEMPT));
        self.body.bytes.saturating_add(more)
    }

    pub(super) fn result(
        &self,
        now: Millis,
        status: ResultStatus,
        result: Option<Json>,
    ) -> TaskResult {
        let body = &self.body;
        let is_partial = status == ResultStatus::Partial;
        let is_final = !is_partial && status != ResultStatus::Input;
        TaskResult {
            task: body.id.clone(),
            task_type: body.task_type.clone(),
            status,
            is_final,
            part: is_partial.then_some(self.status.parts),
            result,
            error: self.status.error.as_deref().filter(|_| is_final).cloned(),
            ask: None,
            question: None,
            schema: None,
            expires_at: None,
            attempts: self.status.attempt,
            worker: self.status.worker().cloned(),
            created_at: body.created_at,
            at: now,
            correlation_id: body.correlation_id.as_deref().map(str::to_owned),
            traceparent: body.traceparent.as_deref().map(str::to_owned),
            tracestate: body.tracestate.as_deref().map(str::to_owned),
            too_large: None,
        }
    }

    pub(super) fn view(&self) -> TaskView {
        let (body, status) = (&self.body, &self.status);
        let unmet = match &status.stage {
            TaskStage::Waiting { unmet, .. } => unmet.as_slice(),
            _ => &[],
        };
        let ties = body.ties.iter().flat_map(|ties| &ties.depends_on);
        let group = body.ties.as_deref().and_then(|ties| ties.group.as_ref());
        let ids = |ids: &mut dyn Iterator<Item = &TaskId>| ids.cloned().collect();
        TaskView {
            task: body.id.clone(),
            task_type: body.task_type.clone(),
            state: status.state(),
            dispatcher: body.dispatcher.clone(),
            worker: status.worker().cloned(),
            attempt: status.attempt,
            max_attempts: body.max_attempts,
            capabilities: body.capabilities.to_vec(),
            any_of: body.any_of.to_vec(),
            priority: body.priority,
            created_at: body.created_at,
            updated_at: status.updated_at,
            due_at: match status.stage {
                TaskStage::Waiting { until, .. } => Some(until),
                _ => None,
            },
            approval: status.awaits.clone(),
            depends_on: ids(&mut ties.clone().map(|tie| &tie.id)),
            waits_for: ids(&mut ties
                .filter(|tie| unmet.contains(&tie.no))
                .map(|tie| &tie.id)),
            parent: body.ties.as_deref().and_then(|ties| ties.parent.clone()),
            group: group.map(|group| group.name.to_string()),
            deadline: body.deadline,
            bytes: Some(body.bytes),
            error: status.error.as_deref().cloned(),
            last_progress: None,
            result: None,
            result_omitted: false,
            payload: None,
            asking: None,
            answers: Vec::new(),
            history: Vec::new(),
        }
    }
}
