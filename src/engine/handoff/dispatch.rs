//! Dispatch: admitting a task.
//!
//! It checks what was asked for against the limits, so that everything after it works with values
//! that hold. A task that is taken is owed a final result, for which there must be room.

use std::collections::BTreeSet;

use crate::setting::Span;
use crate::wire::handoff::{self, Backoff};
use crate::wire::name::{Capability, TaskId};
use crate::wire::reply::{Code, Rejection};

use super::records::TaskChange;
use crate::engine::context::Context;
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::gate::{GateMessage, GateRequest};
use crate::engine::recorded::Recorded;
use crate::engine::replies::{
    Accepted, Call, Outcome, between, entries_at_most, json_at_most, text_at_most,
};
use crate::engine::settings::Settings;
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::Handoff;
use super::approval::gate;
use super::dependencies::Ties;
use super::scheduler::RouteNo;
use super::task::{Body, TaskStage, TaskStatus};
use crate::engine::ids::TaskNo;
use crate::engine::size::SizeClass;

impl Handoff {
    pub(in crate::engine) fn dispatch(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
    ) -> Outcome {
        let mut asked: handoff::Task = call.read(&tx.cx.settings)?;
        asked.ttl_ms = asked.ttl_ms.or(call.command.mirrors.ttl_ms);
        let trace = &call.command.mirrors.trace;
        trace.complete(&mut asked.traceparent, &mut asked.tracestate);
        if let Some(first) = self.dispatched_before(call, asked.id.as_ref())? {
            return Ok(first);
        }
        default_by_type(&tx.cx.settings, &mut asked);
        check(&tx.cx.settings, &asked)?;
        self.admit_task(tx, call, &asked)?;
        let delay_ms = asked.not_before_ms.unwrap_or(0);
        let require_online = asked.require_online;
        let group = self.admit_group(tx, call, &asked)?;
        let ties = self.tie(tx, &asked, group)?;
        let mut body = body(tx.cx, call, asked, ties);
        body.measure(&tx.cx.settings, &tx.room.name);
        self.admit_capabilities(tx, &body)?;
        let gate = gate(tx, &body)?;
        body.approval = gate.as_ref().map(|gate| gate.id.clone());
        let route = self.route(tx, &body, require_online)?;
        self.count_capabilities(tx, &body);
        Ok(self.take(tx, body, route, delay_ms, gate))
    }

    fn dispatched_before(
        &self,
        call: &Call<'_>,
        id: Option<&TaskId>,
    ) -> Result<Option<Accepted>, Rejection> {
        let Some((id, no)) = id.and_then(|id| self.numbers.get_key_value(id)) else {
            return Ok(None);
        };
        let first = &self.tasks[no].body;
        if first.dispatcher != *call.from() {
            let reason = format!("the id {id} is another dispatcher's");
            return Err(Rejection::new(Code::Conflict, reason).at("id"));
        }
        call.expect_repeat(first.fingerprint)?;
        Ok(Some(Accepted {
            approval: first.approval.clone(),
            ..Accepted::task(Code::Taken, id)
        }))
    }

    fn admit_task(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &Call<'_>,
        asked: &handoff::Task,
    ) -> Result<(), Rejection> {
        let settings = &tx.cx.settings;
        let too_many = |reason: String| Err(Rejection::new(Code::TooMany, reason));
        let limit = settings.handoff.max_tasks_per_room;
        if self.unfinished() >= limit {
            return too_many(format!("the room has its {limit} unfinished tasks"));
        }
        let size = asked.payload.as_ref().map_or(0, |json| json.text().len());
        let limit = settings.handoff.max_task_bytes_per_room.0;
        self.spare_bytes(tx, size);
        if self.kept_bytes() + size > limit {
            return too_many(format!(
                "the room has its {limit} bytes of unfinished tasks"
            ));
        }
        tx.cx
            .may_wait_for(call.mailboxes, call.from(), "the result of another task")
    }

    fn route(
        &mut self,
        tx: &RoomTx<'_>,
        body: &Body,
        require_online: bool,
    ) -> Result<RouteNo, Rejection> {
        let limit = tx.cx.settings.handoff.max_routes_per_room;
        let scheduler = &mut self.scheduler;
        let Some(route) = scheduler.enter(body.need(), limit) else {
            let reason = format!("the room's tasks need {limit} different sets of capabilities");
            return Err(Rejection::new(Code::TooMany, reason));
        };
        if require_online && !scheduler.is_served(route, body.size()) {
            let smaller = scheduler.is_served(route, SizeClass::default());
            scheduler.leave(route);
            let words = |names: &[Capability], join| {
                let names: Vec<&str> = names.iter().map(Capability::as_str).collect();
                names.join(join)
            };
            let mut reason = format!(
                "nobody online can do {}",
                words(&body.capabilities, " and ")
            );
            if !body.any_of().is_empty() {
                reason += &format!(" and one of {}", words(body.any_of(), ", "));
            }
            if smaller {
                reason += &format!(" and take a packet of {} bytes", body.bytes);
            }
            return Err(Rejection::new(Code::Unavailable, reason));
        }
        Ok(route)
    }

    /// From here on the task exists.
    fn take(
        &mut self,
        tx: &mut RoomTx<'_>,
        body: Body,
        route: RouteNo,
        delay_ms: u64,
        gate: Option<Box<GateRequest>>,
    ) -> Accepted {
        self.last_no += 1;
        let no = TaskNo(self.last_no);
        let unmet = body.ties.as_deref().map(|ties| self.unmet(ties));
        let unmet = unmet.unwrap_or_default();
        let stage = if delay_ms == 0 && unmet.is_empty() && gate.is_none() {
            TaskStage::Queued
        } else {
            let until = tx.cx.after(delay_ms);
            TaskStage::Waiting { until, unmet }
        };
        let accepted = Accepted {
            approval: body.approval.clone(),
            ..Accepted::task(Code::Taken, &body.id)
        };
        let status = TaskStatus {
            awaits: body.approval.clone(),
            ..TaskStatus::new(stage, tx.cx.now)
        };
        tx.cx.reserve_result(&body.dispatcher);
        tx.cx.stats.tasks.add(status.state());
        self.change(tx, TaskChange::Body(no));
        self.change(tx, TaskChange::State(no));
        self.tell_dispatched(tx, &body, &status);
        if let Some(deadline) = body.deadline {
            let subject = TimerSubject::Task(tx.room.name.clone(), no);
            tx.cx.timers.arm(deadline, Timer::Deadline, subject);
        }
        self.payload_bytes += body.payload_bytes();
        self.insert(no, body, status, Some(route));
        self.entered_stage(tx, no, false);
        self.join_family(no);
        self.join_group(tx, no);
        if let Some(gate) = gate {
            tx.tell_gates(GateMessage::Ask(gate));
        }
        accepted
    }

    fn tell_dispatched(&mut self, tx: &mut RoomTx<'_>, body: &Body, status: &TaskStatus) {
        let until = match status.stage {
            TaskStage::Waiting { until, .. } => Some(until).filter(|until| *until > tx.cx.now),
            _ => None,
        };
        let happened = RoomEvent {
            to: Some(status.state().as_str()),
            detail: Detail {
                task_type: Some(body.task_type.as_str()),
                until,
                ..Detail::default()
            },
            traceparent: body.traceparent.as_deref(),
            ..RoomEvent::new("handoff.dispatched", body.id.as_str(), &body.dispatcher)
        };
        tx.record_event(&happened);
    }
}

/// Fills in what the configuration says of tasks of this type.
fn default_by_type(settings: &Settings, asked: &mut handoff::Task) {
    let usual = &settings.handoff;
    let Some(of_type) = usual.types.get(&asked.task_type) else {
        return;
    };
    asked.lease_ms = asked.lease_ms.or(of_type.lease.map(Span::ms));
    asked.max_attempts = asked.max_attempts.or(of_type.max_attempts);
    asked.priority = asked.priority.or(of_type.priority);
    asked.ttl_ms = asked.ttl_ms.or(of_type.ttl.map(Span::ms));
    asked.require_online |= of_type.require_online;
    asked.backoff.get_or_insert(Backoff {
        initial_ms: of_type
            .backoff_initial
            .unwrap_or(usual.backoff_initial)
            .ms(),
        factor: of_type.backoff_factor.unwrap_or(usual.backoff_factor),
        max_ms: of_type.backoff_max.unwrap_or(usual.backoff_max).ms(),
    });
}

/// What the checked request comes to, with the room's defaults.
fn body(cx: &mut Context, call: &Call<'_>, asked: handoff::Task, ties: Option<Box<Ties>>) -> Body {
    let settings = &cx.settings;
    let backoff = asked.backoff.unwrap_or(Backoff {
        initial_ms: settings.handoff.backoff_initial.ms(),
        factor: settings.handoff.backoff_factor,
        max_ms: settings.handoff.backoff_max.ms(),
    });
    Body {
        dispatcher: call.from().clone(),
        user: call.command.user.clone(),
        capabilities: needed(&asked),
        any_of: distinct(&asked.any_of),
        bytes: 0,
        task_type: asked.task_type,
        payload: asked.payload,
        priority: asked.priority.unwrap_or_default(),
        created_at: cx.now,
        deadline: asked.ttl_ms.map(|ms| cx.after(ms)),
        lease_ms: asked.lease_ms.unwrap_or(settings.handoff.lease.ms()),
        max_attempts: asked.max_attempts.unwrap_or(settings.handoff.max_attempts),
        max_deliveries: asked.max_deliveries,
        backoff,
        affinity: asked.affinity.map(Into::into),
        correlation_id: call.correlation_id.as_deref().map(Into::into),
        traceparent: asked.traceparent.map(Into::into),
        tracestate: asked.tracestate.map(Into::into),
        ties,
        fingerprint: call.fingerprint,
        approval: None,
        id: asked.id.unwrap_or_else(|| mint(cx)),
    }
}

fn mint(cx: &mut Context) -> TaskId {
    TaskId::new(&cx.mint()).expect("a ULID is a name")
}

/// What a worker must be able to do, in the task's order, without repeats.
fn needed(asked: &handoff::Task) -> Box<[Capability]> {
    if asked.capabilities.is_empty() {
        return Box::new([asked.task_type.clone().into()]);
    }
    distinct(&asked.capabilities)
}

fn distinct(names: &[Capability]) -> Box<[Capability]> {
    let mut seen = BTreeSet::new();
    let each = names.iter().filter(|name| seen.insert(*name));
    each.cloned().collect()
}

fn check(settings: &Settings, asked: &handoff::Task) -> Result<(), Rejection> {
    json_at_most(
        "payload",
        asked.payload.as_ref(),
        settings.handoff.max_payload.0,
    )?;
    entries_at_most(
        "capabilities",
        asked.capabilities.len(),
        settings.handoff.max_capabilities_per_task,
    )?;
    entries_at_most(
        "anyOf",
        asked.any_of.len(),
        settings.handoff.max_capabilities_per_task,
    )?;
    let correlation = settings.commands.max_correlation.0;
    text_at_most("traceparent", asked.traceparent.as_deref(), correlation)?;
    text_at_most("tracestate", asked.tracestate.as_deref(), correlation)?;
    text_at_most(
        "affinity",
        asked.affinity.as_deref(),
        settings.commands.max_label.0,
    )?;
    check_times(settings, asked)
}

fn check_times(settings: &Settings, asked: &handoff::Task) -> Result<(), Rejection> {
    let longest = settings.commands.max_ttl.ms();
    if asked.ttl_ms == Some(0) {
        let reason = "the task's time to live is over";
        return Err(Rejection::new(Code::Expired, reason).at("ttlMs"));
    }
    between("ttlMs", asked.ttl_ms.unwrap_or(1), 1, longest)?;
    between("notBeforeMs", asked.not_before_ms.unwrap_or(0), 0, longest)?;
    let lease_ms = asked.lease_ms.unwrap_or(settings.handoff.lease.ms());
    let (least, most) = (
        settings.handoff.min_lease.ms(),
        settings.handoff.max_lease.ms(),
    );
    between("leaseMs", lease_ms, least, most)?;
    let attempts = asked.max_attempts.unwrap_or(settings.handoff.max_attempts);
    let most = settings.handoff.max_attempts_limit;
    between("maxAttempts", attempts.into(), 1, most.into())?;
    let deliveries = asked
        .max_deliveries
        .unwrap_or(settings.handoff.max_deliveries);
    between("maxDeliveries", deliveries.into(), 1, most.into())?;
    let Some(backoff) = asked.backoff else {
        return Ok(());
    };
    let most = settings.handoff.backoff_limit.ms();
    between("backoff.maxMs", backoff.max_ms, 1, most)?;
    between("backoff.initialMs", backoff.initial_ms, 1, backoff.max_ms)?;
    if !(1.0..=100.0).contains(&backoff.factor) {
        let reason = format!("backoff.factor must be 1 to 100, but is {}", backoff.factor);
        return Err(Rejection::new(Code::Invalid, reason).at("backoff.factor"));
    }
    Ok(())
}
