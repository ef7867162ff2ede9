//! Smiths: they provide tools and call each other's. Some answer, some in parts, some fall silent
//! or go, some answer what is over.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use hallward::wire::approve::ApprovalRule;
use hallward::wire::json::Json;
use hallward::wire::name::{CallId, CommandId, Room, Tool};
use hallward::wire::presence::{Announcement, Status};
use hallward::wire::question::AnswerCall;
use hallward::wire::tools::{
    CancelCall, GetCall, Registration, ReturnStatus, ToolCall, ToolError, ToolResult, ToolReturn,
    ToolRun,
};
use hallward::wire::topic::{Offer, Topic};

use super::super::durable::Letter;
use super::super::history::read;
use super::approver::{pending, take_back};
use super::{Ctx, Doing, Intent};

/// What there is to be provided; the first may run twice.
pub(in super::super) const TOOLS: [&str; 2] = ["search", "deploy"];

/// One thing that a provider does about a call.
#[derive(Debug, Clone, Copy)]
enum Move {
    Part,
    Succeed,
    /// Gives what its tool does not promise, and then something better.
    Blunder,
    Fail,
    /// Asks its caller, and does the rest when there is an answer, or none in time.
    Ask {
        ttl_ms: u64,
    },
    Wait(u64),
    Break {
        back_after: u64,
    },
    Withdraw,
}

/// A call in hand and what is left to do about it.
#[derive(Debug)]
pub(in super::super) struct Errand {
    room: Room,
    call: CallId,
    tool: Tool,
    moves: VecDeque<Move>,
    life: u64,
}

/// What a smith provides and what it remembers.
#[derive(Default)]
pub(in super::super) struct Smith {
    provides: BTreeSet<Tool>,
    /// Calls that it had, and that it made, over or not.
    had: Vec<(Room, CallId)>,
    made: Vec<(Room, CallId)>,
    in_hand: BTreeSet<(Room, CallId)>,
    life: u64,
    draining: bool,
    /// Answers at once whatever it is asked.
    reformed: bool,
}

fn tool(name: &str) -> Tool {
    Tool::new(name).expect("a name")
}

impl Smith {
    /// Provides the first tool, the second, or both.
    pub(in super::super) fn new(which: u64) -> Smith {
        let provided = TOOLS.iter().enumerate();
        let provided = provided.filter(|(at, _)| which == 2 || which == *at as u64);
        Smith {
            provides: provided.map(|(_, name)| tool(name)).collect(),
            ..Smith::default()
        }
    }

    pub(in super::super) fn reform(&mut self) {
        self.reformed = true;
        self.draining = false;
    }

    pub(super) fn wants(&self, rooms: &[Room]) -> Vec<Offer> {
        let provides = |room: &Room| {
            let tools = self.provides.iter().cloned();
            let provides = tools.map(|tool| Offer::Provides(room.clone(), tool));
            let joins = std::iter::once(Offer::Joins(room.clone()));
            joins.chain(provides).collect::<Vec<_>>()
        };
        rooms.iter().flat_map(provides).collect()
    }

    pub(super) fn greet(&mut self, resumed: bool, ctx: &mut Ctx<'_>) {
        if !resumed {
            self.life += 1;
            self.in_hand.clear();
        }
        if !resumed || ctx.dice.percent(30) {
            for room in ctx.rooms {
                for tool in self.provides.clone() {
                    self.register(room, &tool, ctx);
                }
            }
        }
    }

    fn register(&mut self, room: &Room, tool: &Tool, ctx: &mut Ctx<'_>) {
        let often = ctx.asks_more && awaits_approval(room, ctx) && ctx.dice.percent(25);
        let said = registration(room, tool, often || ctx.dice.percent(6), ctx);
        let topic = Topic::ToolsRegister {
            me: ctx.me.clone(),
            tool: tool.clone(),
        };
        let command = ctx.publish(room, topic, &said, said.id.is_some());
        if said.id.is_some() && ctx.dice.percent(10) {
            ctx.again(command, true);
        }
    }

    pub(super) fn stroll(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(room) = ctx.missing_from().filter(|_| ctx.dice.percent(50)) {
            self.come_back(&room, ctx);
            return;
        }
        match ctx.dice.below(100) {
            0..=39 => self.call(ctx),
            40..=49 if ctx.asks_more && ctx.dice.percent(25) => take_back(ctx),
            40..=49 => self.cancel(ctx),
            50..=54 => self.babble(ctx),
            55..=59 => self.withdraw(ctx),
            60..=64 => {
                let room = ctx.room();
                let tool = tool(ctx.dice.pick::<&str>(&TOOLS));
                self.register(&room, &tool, ctx);
            }
            65..=68 => {
                let wants = self.wants(ctx.rooms);
                let offer = ctx.dice.pick(&wants).clone();
                ctx.doings.push(Doing::Withdraw(offer.clone()));
                if ctx.dice.percent(80) {
                    ctx.doings.push(Doing::Offer(offer));
                }
            }
            69..=71 => {
                self.draining = !self.draining;
                let status = [Status::Idle, Status::Draining][usize::from(self.draining)];
                let announcement = Announcement {
                    status: Some(status),
                    encoding: ctx.wants,
                    ..Announcement::default()
                };
                let room = ctx.room();
                let me = ctx.me.clone();
                let _ = ctx.publish(&room, Topic::PresenceAnnounce { me }, &announcement, false);
            }
            72..=73 => {
                let room = ctx.room();
                let me = ctx.me.clone();
                let topic = Topic::PresenceAnnounce { me };
                let _ = ctx.publish_bytes(&room, topic, Bytes::new(), false);
                let pause = ctx.dice.between(100, 2_000);
                ctx.later(pause, Intent::Return(room));
            }
            74..=86 if ctx.asks_more => self.ask(ctx),
            _ => {}
        }
    }

    pub(super) fn come_back(&mut self, room: &Room, ctx: &mut Ctx<'_>) {
        for offer in self.wants(std::slice::from_ref(room)) {
            ctx.doings.push(Doing::Offer(offer));
        }
        for tool in self.provides.clone() {
            self.register(room, &tool, ctx);
        }
    }

    fn call(&mut self, ctx: &mut Ctx<'_>) {
        let room = ctx.room();
        let tool = tool(
            ctx.dice
                .weighted(&[(60, TOOLS[0]), (37, TOOLS[1]), (3, "ghost")]),
        );
        let id = ctx.dice.percent(75);
        let id = id.then(|| CommandId::new(&ctx.mint("call")).expect("a name"));
        let fits = ctx.dice.percent(92);
        let arguments = match (fits, tool.as_str()) {
            (true, "search") => r#"{"text": "h\u00e9lo", "n": 1.0}"#,
            (true, _) => r#"{"text":""}"#,
            (false, _) => r#"{"text":7}"#,
        };
        let call = ToolCall {
            arguments: Some(Json::parse(arguments).expect("JSON")),
            timeout_ms: ctx.dice.maybe(70, |dice| dice.between(20, 3_000)),
            id: id.clone(),
            correlation_id: ctx
                .dice
                .maybe(40, |dice| format!("t-{}", dice.below(1_000))),
            traceparent: None,
            tracestate: None,
        };
        if let Some(id) = &id {
            self.made.push((room.clone(), CallId::of(ctx.me, id)));
        }
        let me = ctx.me.clone();
        let command = ctx.publish(&room, Topic::ToolsCall { me, tool }, &call, id.is_some());
        if id.is_some() && ctx.dice.percent(15) {
            ctx.again(command, true);
        }
    }

    fn cancel(&mut self, ctx: &mut Ctx<'_>) {
        let late = self.made.len().saturating_sub(3);
        let own = ctx.dice.percent(85);
        let known = if own {
            &self.made[late..]
        } else {
            &self.had[..]
        };
        if known.is_empty() {
            return;
        }
        let (room, call) = ctx.dice.pick(known).clone();
        let id = ctx.dice.percent(60);
        let cancel = CancelCall {
            call,
            reason: ctx.dice.maybe(50, |_| "found it".to_owned()),
            id: id.then(|| CommandId::new(&ctx.mint("cancel")).expect("a name")),
            correlation_id: None,
        };
        let me = ctx.me.clone();
        let command = ctx.publish(&room, Topic::ToolsCancel { me }, &cancel, id);
        if id && ctx.dice.percent(10) {
            ctx.again(command, true);
        }
    }

    /// What came of a call of one's own, of one that one had, or of one that never was?
    fn ask(&mut self, ctx: &mut Ctx<'_>) {
        let never = CommandId::new("never").expect("a name");
        let never = (ctx.room(), CallId::of(ctx.me, &never));
        let known = if ctx.dice.percent(70) {
            &self.made
        } else {
            &self.had
        };
        let late = known.len().saturating_sub(8);
        let known = if ctx.dice.percent(60) {
            &known[late..]
        } else {
            &known[..]
        };
        let (room, call) = match known.is_empty() || ctx.dice.percent(5) {
            true => never,
            false => ctx.dice.pick(known).clone(),
        };
        let asked = GetCall {
            call,
            arguments: ctx.dice.percent(40),
            correlation_id: Some(ctx.mint("ask")),
        };
        let me = ctx.me.clone();
        let _ = ctx.publish(&room, Topic::ToolsGet { me }, &asked, true);
    }

    fn withdraw(&mut self, ctx: &mut Ctx<'_>) {
        let room = ctx.room();
        let tool = tool(ctx.dice.pick::<&str>(&TOOLS));
        let topic = Topic::ToolsRegister {
            me: ctx.me.clone(),
            tool: tool.clone(),
        };
        let _ = ctx.publish_bytes(&room, topic, Bytes::new(), false);
        if self.provides.contains(&tool) && ctx.dice.percent(70) {
            let pause = ctx.dice.between(100, 1_500);
            ctx.later(pause, Intent::Return(room));
        }
    }

    /// An answer to what is somebody else's, was one's own, or never was.
    fn babble(&mut self, ctx: &mut Ctx<'_>) {
        let letters = ctx.durable.mailboxes.values();
        let letters = letters.flat_map(|mailbox| mailbox.letters());
        let mut known: Vec<_> = letters
            .filter_map(|letter| letter.run())
            .map(|key| (key.room.clone(), key.call.clone()))
            .collect();
        known.extend(self.had.iter().rev().take(5).cloned());
        if known.is_empty() {
            return;
        }
        let (room, call) = ctx.dice.pick(&known).clone();
        if !self.in_hand.contains(&(room.clone(), call.clone())) {
            self.answer(&room, &call, ReturnStatus::Success, r#"{"found":0}"#, ctx);
        }
    }

    /// Takes a call in hand, unless it is there already.
    pub(super) fn receive(&mut self, letter: &Letter, ctx: &mut Ctx<'_>) {
        let run: ToolRun = read(&letter.payload);
        let known = (letter.topic.room.clone(), run.call.clone());
        if !self.in_hand.insert(known.clone()) {
            return;
        }
        self.had.push(known);
        let errand = Errand {
            room: letter.topic.room.clone(),
            call: run.call,
            tool: run.tool,
            moves: self.plan(ctx).into(),
            life: self.life,
        };
        let pause = ctx.dice.between(1, 60);
        ctx.later(pause, Intent::Run(errand));
    }

    /// What a provider asks is mostly answered, sometimes when nobody waits for it any more.
    pub(super) fn hear(letter: &Letter, ctx: &mut Ctx<'_>) {
        let result: ToolResult = read(&letter.payload);
        if result.status != ReturnStatus::Input || !ctx.dice.percent(80) {
            return;
        }
        let id = ctx.dice.percent(50).then(|| ctx.mint("answer"));
        let answer = AnswerCall {
            call: result.call,
            ask: ctx.dice.maybe(70, |_| result.ask.expect("a number")),
            answer: Json::parse("[7.0, null]").expect("JSON"),
            id: id.map(|id| CommandId::new(&id).expect("a name")),
            correlation_id: None,
        };
        let pause = *ctx.dice.pick(&[1, 100, 1_000, 4_000]);
        let room = letter.topic.room.clone();
        ctx.later(pause, Intent::Tell(room, Box::new(answer)));
    }

    pub(super) fn tell(room: &Room, answer: &AnswerCall, ctx: &mut Ctx<'_>) {
        let me = ctx.me.clone();
        let repeatable = answer.id.is_some();
        let command = ctx.publish(room, Topic::ToolsAnswer { me }, answer, repeatable);
        if repeatable && ctx.dice.percent(20) {
            ctx.again(command, true);
        }
    }

    fn plan(&mut self, ctx: &mut Ctx<'_>) -> Vec<Move> {
        if self.reformed {
            return vec![Move::Succeed];
        }
        let (dice, asks_more) = (&mut *ctx.dice, ctx.asks_more);
        let mut moves = Vec::new();
        for _ in 0..dice.below(3) {
            moves.push(Move::Wait(dice.between(1, 300)));
            moves.push(Move::Part);
        }
        if asks_more && dice.percent(20) {
            let ttl_ms = *dice.pick(&[200, 2_000]);
            moves.push(Move::Ask { ttl_ms });
            if dice.percent(70) {
                return moves;
            }
        }
        let away = *dice.pick(&[50, 300, 500, 1_500, 3_000]);
        let end: &[Move] = match dice.below(100) {
            0..=44 => &[Move::Succeed],
            45..=49 => &[Move::Succeed, Move::Succeed],
            50..=54 => &[Move::Fail, Move::Succeed],
            55..=64 => &[Move::Fail],
            65..=69 => &[Move::Blunder, Move::Succeed],
            70..=74 => &[],
            75..=79 => &[Move::Wait(3_100), Move::Succeed],
            80..=84 => &[Move::Withdraw, Move::Succeed],
            _ => &[Move::Break { back_after: away }, Move::Succeed],
        };
        moves.extend_from_slice(end);
        moves
    }

    pub(super) fn go_on(&mut self, mut errand: Errand, ctx: &mut Ctx<'_>) {
        // Who was started anew has forgotten its calls; now and then the old process is still
        // about.
        if errand.life != self.life && !ctx.dice.percent(20) {
            return;
        }
        let Some(next) = errand.moves.pop_front() else {
            return;
        };
        let mut pause = ctx.dice.between(1, 100);
        let Errand { room, call, .. } = &errand;
        match next {
            Move::Part => self.answer(room, call, ReturnStatus::Partial, "[1,  2]", ctx),
            Move::Succeed => {
                self.answer(room, call, ReturnStatus::Success, r#"{"found": 1.0}"#, ctx)
            }
            Move::Blunder => self.answer(room, call, ReturnStatus::Success, "[]", ctx),
            Move::Fail => self.answer(room, call, ReturnStatus::Error, "", ctx),
            Move::Ask { ttl_ms } => {
                let said = ToolReturn {
                    question: Some(Json::parse(r#"{"which": [1.0, 2]}"#).expect("JSON")),
                    ttl_ms: Some(ttl_ms),
                    ..ToolReturn::new(call.clone(), ReturnStatus::Input)
                };
                let me = ctx.me.clone();
                let _ = ctx.publish(room, Topic::ToolsReturn { me }, &said, false);
            }
            Move::Wait(ms) => pause = ms,
            Move::Break { back_after } => ctx.doings.push(Doing::HangUp { back_after }),
            Move::Withdraw => {
                let topic = Topic::ToolsRegister {
                    me: ctx.me.clone(),
                    tool: errand.tool.clone(),
                };
                let _ = ctx.publish_bytes(room, topic, Bytes::new(), false);
                ctx.later(800, Intent::Return(room.clone()));
            }
        }
        if errand.moves.is_empty() {
            self.in_hand.remove(&(errand.room, errand.call));
        } else {
            ctx.later(pause, Intent::Run(errand));
        }
    }

    fn answer(
        &self,
        room: &Room,
        call: &CallId,
        status: ReturnStatus,
        result: &str,
        ctx: &mut Ctx<'_>,
    ) {
        let id = ctx.dice.percent(50);
        let failed = status == ReturnStatus::Error;
        let said = ToolReturn {
            result: (!failed).then(|| Json::parse(result).expect("JSON")),
            error: failed.then(|| ToolError {
                code: Some("sim".to_owned()),
                message: "it would not".to_owned(),
                data: None,
            }),
            id: id.then(|| CommandId::new(&ctx.mint("return")).expect("a name")),
            ..ToolReturn::new(call.clone(), status)
        };
        let me = ctx.me.clone();
        let command = ctx.publish(room, Topic::ToolsReturn { me }, &said, id);
        if id && ctx.dice.percent(10) {
            ctx.again(command, true);
        }
    }
}

/// What a tool is: everybody says the same of it, except who has another idea.
fn registration(room: &Room, tool: &Tool, is_odd: bool, ctx: &mut Ctx<'_>) -> Registration {
    let parse = |text: &str| Json::parse(text).expect("JSON");
    let id = ctx.dice.percent(60);
    Registration {
        approval: approval_of(room, tool, ctx),
        title: None,
        description: "as its name says".to_owned(),
        input_schema: parse(
            r#"{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}"#,
        ),
        output_schema: (!is_odd).then(|| parse(r#"{"type":"object"}"#)),
        annotations: None,
        timeout_ms: ctx.dice.maybe(30, |dice| dice.between(200, 2_500)),
        idempotent: tool.as_str() == TOOLS[0],
        id: id.then(|| CommandId::new(&ctx.mint("register")).expect("a name")),
        correlation_id: None,
    }
}

/// Whether some call of a room waits: then others may mean something else by its tool.
fn awaits_approval(room: &Room, ctx: &Ctx<'_>) -> bool {
    pending(ctx).any(|(at, pending)| at == *room && pending.call.is_some())
}

/// In one room calls of the one tool have to be approved, in the other those of the other; now and
/// then somebody thinks that it is the other way round.
fn approval_of(room: &Room, tool: &Tool, ctx: &mut Ctx<'_>) -> Option<ApprovalRule> {
    if !ctx.asks_more {
        return None;
    }
    let is_first = tool.as_str() == TOOLS[0];
    let is_gated = is_first != (room.as_str() == "alpha");
    let rule = ApprovalRule {
        action: is_first.then(|| "look it up".to_owned()),
        approvers: (!is_first)
            .then(|| "role:editor".to_owned())
            .into_iter()
            .collect(),
        quorum: None,
        timeout_ms: (!is_first).then_some(2_500),
    };
    (is_gated != ctx.dice.percent(5)).then_some(rule)
}
