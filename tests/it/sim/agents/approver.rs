//! Approvers: they ask each other for leave and decide, sometimes on their own request, on
//! something else, or too late.

use hallward::wire::approve::{
    ApprovalRequest, ApprovalState, AuditQuery, CancelApproval, Decide, OnTimeout, PendingApproval,
};
use hallward::wire::json::Json;
use hallward::wire::name::{ApprovalId, CommandId, Room};
use hallward::wire::presence::Announcement;
use hallward::wire::topic::{RoomTopic, Topic};

use super::super::dice::Dice;
use super::super::durable::ROOT;
use super::super::history::read;
use super::Ctx;

/// Remembers what it asked and what it saw pending.
#[derive(Default)]
pub(in super::super) struct Approver {
    seen: Vec<(Room, PendingApproval)>,
    asked: Vec<(Room, ApprovalId)>,
}

impl Approver {
    pub(super) fn greet(&mut self, ctx: &mut Ctx<'_>) {
        let announcement = Announcement {
            role: Some("editor".to_owned()),
            encoding: ctx.wants,
            ..Announcement::default()
        };
        ctx.announce(&announcement);
    }

    pub(super) fn stroll(&mut self, ctx: &mut Ctx<'_>) {
        match ctx.dice.below(100) {
            0..=19 => self.request(ctx),
            20..=23 => self.cancel(ctx),
            24..=29 => self.audit(ctx),
            _ => self.decide(ctx),
        }
    }

    fn request(&mut self, ctx: &mut Ctx<'_>) {
        let room = ctx.room();
        let id = ctx.dice.percent(80);
        let id = id.then(|| ApprovalId::new(&ctx.mint("approval")).expect("a name"));
        let other = ctx.dice.pick(ctx.others).to_string();
        let approvers = match ctx.dice.below(10) {
            0..=5 => Vec::new(),
            6..=7 => vec!["role:editor".to_owned()],
            _ => vec![other, ctx.me.to_string()],
        };
        let escalate_to: Vec<String> = match ctx.dice.below(10) {
            0 => vec!["role:editor".to_owned()],
            1 => vec![ctx.dice.pick(ctx.others).to_string()],
            _ => Vec::new(),
        };
        let dice = &mut *ctx.dice;
        let request = ApprovalRequest {
            task: None,
            call: None,
            id: id.clone(),
            action: format!("publish {}", dice.below(100)),
            content: dice.maybe(70, |dice| {
                let text = format!("{{\"z\":1.50, \"a\":[{}, null, \"é\"]}}", dice.below(10));
                Json::parse(&text).expect("JSON")
            }),
            approvers,
            quorum: dice.maybe(70, |dice| u32::try_from(dice.between(1, 2)).expect("small")),
            timeout_ms: dice.maybe(50, |dice| dice.between(500, 6_000)),
            on_timeout: match escalate_to.is_empty() {
                false => Some(OnTimeout::Escalate),
                true => dice.maybe(20, |dice| {
                    *dice.pick(&[OnTimeout::Reject, OnTimeout::Approve])
                }),
            },
            escalate_to,
            urgency: dice.maybe(20, |_| "high".to_owned()),
            correlation_id: dice.maybe(50, |dice| format!("c-{}", dice.below(1_000))),
            traceparent: None,
            tracestate: None,
        };
        self.asked.extend(id.clone().map(|id| (room.clone(), id)));
        let me = ctx.me.clone();
        let command = ctx.publish(&room, Topic::ApproveRequest { me }, &request, id.is_some());
        if id.is_some() && ctx.dice.percent(10) {
            ctx.again(command, true);
        }
    }

    /// Takes back what it asked, or what somebody else did.
    fn cancel(&mut self, ctx: &mut Ctx<'_>) {
        let seen = self.seen.iter();
        let seen = seen.map(|(room, pending)| (room.clone(), pending.id.clone()));
        let known: Vec<_> = self.asked.iter().cloned().chain(seen).collect();
        if known.is_empty() {
            return;
        }
        let (room, approval) = ctx.dice.pick(&known).clone();
        let id = ctx.dice.percent(60);
        let id = id.then(|| CommandId::new(&ctx.mint("cancel")).expect("a name"));
        let cancel = CancelApproval {
            approval,
            reason: ctx.dice.maybe(50, |_| "never mind".to_owned()),
            id: id.clone(),
            correlation_id: None,
        };
        let me = ctx.me.clone();
        let command = ctx.publish(&room, Topic::ApproveCancel { me }, &cancel, id.is_some());
        if id.is_some() && ctx.dice.percent(10) {
            ctx.again(command, true);
        }
    }

    /// What was asked, and what became of it?
    fn audit(&mut self, ctx: &mut Ctx<'_>) {
        let one = !self.asked.is_empty() && ctx.dice.percent(30);
        let (room, approval) = match one {
            true => {
                let (room, id) = ctx.dice.pick(&self.asked).clone();
                (room, Some(id))
            }
            false => (ctx.room(), None),
        };
        let states = [
            ApprovalState::Pending,
            ApprovalState::Approved,
            ApprovalState::Rejected,
            ApprovalState::TimedOut,
            ApprovalState::Cancelled,
        ];
        let moment = |dice: &mut Dice| 1_700_000_000_000 + dice.below(20_000);
        let asked = AuditQuery {
            approval,
            state: ctx.dice.maybe(40, |dice| *dice.pick(&states)),
            since: ctx.dice.maybe(30, moment),
            until: ctx.dice.maybe(20, moment),
            limit: Some(u32::try_from(ctx.dice.between(1, 20)).expect("small")),
            cursor: None,
            correlation_id: Some(ctx.mint("audit")),
        };
        let me = ctx.me.clone();
        let _ = ctx.publish(&room, Topic::ApproveAudit { me }, &asked, true);
    }

    fn decide(&mut self, ctx: &mut Ctx<'_>) {
        let Some((room, pending)) = self.choose(ctx) else {
            return;
        };
        let id = ctx.dice.percent(60);
        let id = id.then(|| CommandId::new(&ctx.mint("vote")).expect("a name"));
        let dice = &mut *ctx.dice;
        let decide = Decide {
            decision: dice
                .weighted(&[
                    (60, "approve"),
                    (10, "reject"),
                    (10, "defer"),
                    (5, "Approve"),
                    (5, "yes"),
                    (5, ""),
                    (5, "approve "),
                ])
                .to_owned(),
            reason: dice.maybe(50, |_| "because".to_owned()),
            digest: match dice.below(10) {
                0..=4 => Some(pending.digest.clone()),
                5 => Some("0".repeat(64)),
                _ => None,
            },
            edit: dice.maybe(15, |dice| edit_of(&pending, dice)),
            defer_ms: dice.maybe(50, |dice| dice.between(500, 6_000)),
            id: id.clone(),
            correlation_id: None,
        };
        let topic = Topic::ApproveDecide {
            me: ctx.me.clone(),
            id: pending.id,
        };
        let command = ctx.publish(&room, topic, &decide, id.is_some());
        if id.is_some() && ctx.dice.percent(10) {
            ctx.again(command, true);
        }
    }

    /// What is pending now, or was once: late decisions are part of life.
    fn choose(&mut self, ctx: &mut Ctx<'_>) -> Option<(Room, PendingApproval)> {
        let pending = pending(ctx);
        let pending: Vec<_> = pending.collect();
        if pending.is_empty() || ctx.dice.percent(10) {
            return (!self.seen.is_empty()).then(|| ctx.dice.pick(&self.seen).clone());
        }
        let chosen = ctx.dice.pick(&pending).clone();
        self.seen.push(chosen.clone());
        Some(chosen)
    }
}

/// Takes back what the gateway asked before something of its own.
pub(super) fn take_back(ctx: &mut Ctx<'_>) {
    let pending = pending(ctx).filter(|(_, pending)| pending.requester == *ctx.me);
    let pending: Vec<_> = pending.collect();
    if pending.is_empty() {
        return;
    }
    let (room, pending) = ctx.dice.pick(&pending).clone();
    let id = ctx.dice.percent(60);
    let cancel = CancelApproval {
        approval: pending.id,
        reason: ctx.dice.maybe(50, |_| "not now".to_owned()),
        id: id.then(|| CommandId::new(&ctx.mint("back")).expect("a name")),
        correlation_id: None,
    };
    let me = ctx.me.clone();
    let _ = ctx.publish(&room, Topic::ApproveCancel { me }, &cancel, id);
}

/// What is pending now in its rooms.
pub(super) fn pending<'a>(
    ctx: &Ctx<'a>,
) -> impl Iterator<Item = (Room, PendingApproval)> + use<'a> {
    let (retained, rooms) = (&ctx.durable.retained, ctx.rooms);
    let pending = retained.iter().filter_map(|(topic, payload)| {
        let topic = RoomTopic::parse(ROOT, topic)?.ok()?;
        matches!(topic.topic, Topic::ApprovePending { .. })
            .then(|| (topic.room, read::<PendingApproval>(payload)))
    });
    pending.filter(|(room, _)| rooms.contains(room))
}

/// Something else instead; of a call's arguments mostly what its tool takes.
fn edit_of(pending: &PendingApproval, dice: &mut Dice) -> Json {
    let fits = pending.call.is_some() && dice.percent(70);
    let name = if fits { "text" } else { "edited" };
    let number = dice.below(3);
    let value = match fits {
        true => format!("\"edited {number}\""),
        false => format!("{number}.0"),
    };
    Json::parse(&format!("{{\"{name}\": {value}}}")).expect("JSON")
}
