//! What handoff sends: assignments to workers, results to dispatchers, views to whoever asks.

use crate::wire::Millis;
use crate::wire::handoff::{Assignment, ResultStatus, TaskResult, TaskView};
use crate::wire::json::{self, Json};
use crate::wire::mirror::{MessageMirrors, Trace};
use crate::wire::name::{Agent, Capability};
use crate::wire::topic::{RoomTopic, Topic};

use crate::engine::context::Context;
use crate::engine::room::RoomState;
use crate::engine::{AssignmentKey, Class, Directed, Effect};

use super::TaskNo;
use super::task::Task;

impl RoomState {
    pub(super) fn deliver_result(&mut self, cx: &mut Context, to: Agent, result: &TaskResult) {
        let dispatcher = to.clone();
        cx.emit(Effect::Deliver(Directed {
            to,
            topic: RoomTopic::new(self.name.clone(), Topic::HandoffResult { dispatcher }),
            payload: json::encode(result),
            class: Class::Result,
            mirrors: MessageMirrors {
                correlation_id: result.correlation_id.clone(),
                from: result.worker.clone(),
                trace: Trace {
                    traceparent: result.traceparent.clone(),
                    tracestate: result.tracestate.clone(),
                },
                expires_at: Some(cx.after(cx.settings.directed_ttl_ms)),
            },
        }));
    }

    /// Sends a worker the task that it has.
    pub(super) fn deliver(&mut self, cx: &mut Context, no: TaskNo) {
        let Some(task) = self.handoff.tasks.get(&no) else {
            return;
        };
        let Some(worker) = task.status.holder() else {
            return;
        };
        let offers = |capability: &&Capability| {
            let member = self.members.0.get(worker);
            member.is_some_and(|member| member.works.contains(*capability))
        };
        let capabilities = &task.body.capabilities;
        let Some(capability) = capabilities.iter().find(offers).or(capabilities.first()) else {
            return;
        };
        let topic = Topic::HandoffWork {
            capability: capability.clone(),
        };
        cx.emit(Effect::Deliver(Directed {
            to: worker.clone(),
            topic: RoomTopic::new(self.name.clone(), topic),
            payload: json::encode(&task.assignment()),
            class: Class::Assignment(AssignmentKey {
                room: self.name.clone(),
                task: task.body.id.clone(),
                attempt: task.status.attempt,
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

impl Task {
    fn assignment(&self) -> Assignment {
        let body = &self.body;
        Assignment {
            task: body.id.clone(),
            attempt: self.status.attempt,
            task_type: body.task_type.clone(),
            capabilities: body.capabilities.to_vec(),
            payload: body.payload.clone(),
            priority: body.priority,
            dispatcher: body.dispatcher.clone(),
            lease_ms: body.lease_ms,
            created_at: body.created_at,
            deadline: body.deadline,
            correlation_id: body.correlation_id.as_deref().map(str::to_owned),
            traceparent: body.traceparent.as_deref().map(str::to_owned),
            tracestate: body.tracestate.as_deref().map(str::to_owned),
        }
    }

    pub(super) fn result(
        &self,
        now: Millis,
        status: ResultStatus,
        result: Option<Json>,
    ) -> TaskResult {
        let body = &self.body;
        let is_final = status != ResultStatus::Partial;
        TaskResult {
            task: body.id.clone(),
            task_type: body.task_type.clone(),
            status,
            is_final,
            result,
            error: self.status.error.as_deref().filter(|_| is_final).cloned(),
            attempts: self.status.attempt,
            worker: self.status.worker().cloned(),
            created_at: body.created_at,
            at: now,
            correlation_id: body.correlation_id.as_deref().map(str::to_owned),
            traceparent: body.traceparent.as_deref().map(str::to_owned),
            tracestate: body.tracestate.as_deref().map(str::to_owned),
        }
    }

    pub(super) fn view(&self) -> TaskView {
        let (body, status) = (&self.body, &self.status);
        TaskView {
            task: body.id.clone(),
            task_type: body.task_type.clone(),
            state: status.state(),
            dispatcher: body.dispatcher.clone(),
            worker: status.worker().cloned(),
            attempt: status.attempt,
            max_attempts: body.max_attempts,
            capabilities: body.capabilities.to_vec(),
            priority: body.priority,
            created_at: body.created_at,
            updated_at: status.updated_at,
            deadline: body.deadline,
            error: status.error.as_deref().cloned(),
        }
    }
}
