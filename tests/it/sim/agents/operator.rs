//! Operators: they look into the mailboxes of others, take mail out of them, and close rooms for a
//! while. They have tasks die, and give the dead of a type another life, walking on as they are
//! told until none is left.

use bytes::Bytes;
use hallward::engine::Command;
use hallward::wire::handoff::{Assignment, Redrive, Redriven};
use hallward::wire::mailbox::{MailKind, MailboxList, MailboxPage, MailboxPurge};
use hallward::wire::name::{Agent, Capability, CommandId, Key, Room, TaskType};
use hallward::wire::presence::Announcement;
use hallward::wire::reply::{Code, Reply};
use hallward::wire::room::CloseRoom;
use hallward::wire::topic::{Offer, Topic};
use serde_json::json;

use super::super::durable::Letter;
use super::super::history::read;
use super::dispatcher::SKILLS;
use super::{Ctx, Doing, Intent};

const KINDS: [MailKind; 5] = [
    MailKind::Inbox,
    MailKind::Assignment,
    MailKind::Result,
    MailKind::Decision,
    MailKind::Reply,
];

/// What only operators do, and badly.
const SALVAGE: &str = "salvage";

/// A redrive by type that is not over.
#[derive(Debug)]
pub(in super::super) struct Walk {
    room: Room,
    task_type: TaskType,
    limit: Option<u32>,
    /// The command that it said last, which is said again until it is answered.
    command: Command,
    id: CommandId,
    /// Where to go on, once that was answered.
    next: Option<String>,
}

/// Remembers what it saw in mailboxes.
#[derive(Default)]
pub(in super::super) struct Operator {
    seen: Vec<(Room, Agent, Vec<u64>)>,
    /// The last thing that it closed.
    closed: Option<Command>,
    /// The tasks that it dispatched last.
    wrecks: Vec<(Room, String)>,
    walk: Option<Box<Walk>>,
}

impl Operator {
    /// What it has not come to the end of.
    pub(in super::super) fn walk(&self) -> Option<&Walk> {
        self.walk.as_deref()
    }

    pub(super) fn greet(ctx: &mut Ctx<'_>) {
        let announcement = Announcement {
            capacity: Some(6),
            encoding: ctx.wants,
            ..Announcement::default()
        };
        ctx.announce(&announcement);
    }

    pub(super) fn wants(rooms: &[Room]) -> Vec<Offer> {
        let salvage = Capability::new(SALVAGE).expect("a name");
        let offers = |room: &Room| {
            let joins = Offer::Joins(room.clone());
            [joins, Offer::Works(room.clone(), salvage.clone())]
        };
        rooms.iter().flat_map(offers).collect()
    }

    pub(super) fn come_back(room: &Room, ctx: &mut Ctx<'_>) {
        let offers = Operator::wants(std::slice::from_ref(room));
        ctx.doings.extend(offers.into_iter().map(Doing::Offer));
    }

    pub(super) fn stroll(&mut self, ctx: &mut Ctx<'_>) {
        if ctx.asks_more && ctx.dice.percent(45) {
            match ctx.missing_from() {
                Some(room) => Operator::come_back(&room, ctx),
                None if self.walk.is_none() && ctx.dice.percent(60) => self.begin_walk(ctx),
                None => self.wreck(ctx),
            }
            return;
        }
        match ctx.dice.below(100) {
            0..=49 => list(ctx),
            50..=91 => self.purge(ctx),
            92..=95 => self.close(ctx),
            // As if it had never been acknowledged.
            _ => {
                if let Some(command) = self.closed.clone() {
                    ctx.again(command, true);
                }
            }
        }
    }

    fn close(&mut self, ctx: &mut Ctx<'_>) {
        let room = ctx.room();
        let is_large = ctx.dice.percent(15);
        if is_large {
            pile_up(&room, ctx);
        }
        let id = ctx.dice.percent(80);
        let close = CloseRoom {
            reason: ctx.dice.maybe(50, |_| "cleared".to_owned()),
            id: id.then(|| CommandId::new(&ctx.mint("close")).expect("a name")),
            correlation_id: None,
        };
        let me = ctx.me.clone();
        let command = ctx.publish(&room, Topic::RoomClose { me }, &close, id);
        self.closed = Some(command).filter(|_| id);
        if is_large {
            // Before all of it has ended, perhaps.
            self.open(&room, ctx);
        } else {
            let pause = ctx.dice.between(1, 1_500);
            ctx.later(pause, Intent::Open(room));
        }
    }

    pub(super) fn open(&mut self, room: &Room, ctx: &mut Ctx<'_>) {
        let open = CloseRoom {
            id: Some(CommandId::new(&ctx.mint("open")).expect("a name")),
            ..CloseRoom::default()
        };
        let me = ctx.me.clone();
        let _ = ctx.publish(room, Topic::RoomOpen { me }, &open, true);
        if ctx.asks_more {
            ctx.later(300, Intent::Return(room.clone()));
        }
    }

    /// Dispatches what will die: some of it has little time, some depends on what will die as well.
    fn wreck(&mut self, ctx: &mut Ctx<'_>) {
        let room = ctx.room();
        for _ in 0..ctx.dice.between(8, 24) {
            let id = ctx.mint("wreck");
            let here = self.wrecks.iter().rev().filter(|(at, _)| *at == room);
            let here: Vec<&str> = here.take(4).map(|(_, id)| id.as_str()).collect();
            let tied = !here.is_empty() && ctx.dice.percent(20);
            let task = json!({
                "id": id,
                "type": SALVAGE,
                "maxAttempts": 1,
                "ttlMs": ctx.dice.maybe(40, |dice| dice.between(200, 3_000)),
                "dependsOn": if tied { vec![*ctx.dice.pick(&here)] } else { Vec::new() },
            });
            let me = ctx.me.clone();
            let _ = ctx.publish(&room, Topic::HandoffDispatch { me }, &task, true);
            self.wrecks.push((room.clone(), id));
        }
    }

    /// It fails at what has never lived before, and at half of the rest.
    pub(super) fn salvage(letter: &Letter, ctx: &mut Ctx<'_>) {
        let assignment: Assignment = read(&letter.payload);
        let is_done = ctx.calm || (assignment.attempt > 1 && ctx.dice.percent(50));
        let update = json!({
            "task": assignment.task,
            "attempt": assignment.attempt,
            "status": if is_done { "success" } else { "error" },
            "id": ctx.mint("salvage"),
        });
        let me = ctx.me.clone();
        let _ = ctx.publish(
            &letter.topic.room,
            Topic::HandoffUpdate { me },
            &update,
            true,
        );
    }

    fn begin_walk(&mut self, ctx: &mut Ctx<'_>) {
        let room = ctx.room();
        let task_type = if ctx.dice.percent(80) {
            SALVAGE
        } else {
            *ctx.dice.pick(&SKILLS)
        };
        let task_type = TaskType::new(task_type).expect("a name");
        let limit = ctx.dice.maybe(55, |dice| 1 + dice.below(4) as u32);
        // Now and then with a cursor that nobody was given.
        let cursor = ctx.dice.maybe(4, |_| "nowhere".to_owned());
        self.walk_on(room, task_type, limit, cursor, ctx);
    }

    fn walk_on(
        &mut self,
        room: Room,
        task_type: TaskType,
        limit: Option<u32>,
        cursor: Option<String>,
        ctx: &mut Ctx<'_>,
    ) {
        let id = CommandId::new(&ctx.mint("walk")).expect("a name");
        let redrive = Redrive {
            task_type: Some(task_type.clone()),
            limit,
            cursor,
            id: Some(id.clone()),
            ..Redrive::default()
        };
        let me = ctx.me.clone();
        let command = ctx.publish(&room, Topic::HandoffRedrive { me }, &redrive, true);
        ctx.later(1_500, Intent::Walk(id.clone()));
        self.walk = Some(Box::new(Walk {
            room,
            task_type,
            limit,
            command,
            id,
            next: None,
        }));
    }

    /// Goes on as it was told, or asks once more where it was told nothing.
    pub(super) fn keep_walking(&mut self, id: &CommandId, ctx: &mut Ctx<'_>) {
        let Some(walk) = self.walk.take_if(|walk| walk.id == *id) else {
            return;
        };
        // What nobody can do is not to live again when everybody is about to leave.
        if ctx.calm && walk.task_type.as_str() != SALVAGE {
            return;
        }
        if let Some(cursor) = walk.next {
            self.walk_on(walk.room, walk.task_type, walk.limit, Some(cursor), ctx);
            return;
        }
        ctx.again(walk.command.clone(), true);
        ctx.later(1_500, Intent::Walk(id.clone()));
        self.walk = Some(walk);
    }

    fn walked(&mut self, reply: &Reply, ctx: &mut Ctx<'_>) {
        let is_answer = |walk: &&mut Box<Walk>| reply.id.as_ref() == Some(&walk.id);
        let Some(walk) = self.walk.as_mut().filter(is_answer) else {
            return;
        };
        if reply.code == Code::Invalid {
            self.walk = None;
            return;
        }
        let Some(data) = &reply.data else {
            return;
        };
        let told: Redriven = read(data.text().as_bytes());
        match told.cursor {
            None => self.walk = None,
            Some(cursor) if walk.next.is_none() => {
                walk.next = Some(cursor);
                let pause = ctx.dice.weighted(&[(70, 1), (20, 200), (10, 2_000)]);
                ctx.later(pause, Intent::Walk(walk.id.clone()));
            }
            Some(_) => {}
        }
    }

    /// Takes out what it saw, or whatever there is.
    fn purge(&mut self, ctx: &mut Ctx<'_>) {
        let seen = self.seen.pop().filter(|_| ctx.dice.percent(50));
        let (room, whose, seqs) = seen.unwrap_or_else(|| (ctx.room(), somebody(ctx), Vec::new()));
        let is_idle = seqs.is_empty();
        let all = is_idle && ctx.dice.percent(30);
        let id = ctx.dice.percent(60);
        let id = id.then(|| CommandId::new(&ctx.mint("purge")).expect("a name"));
        let kind = (is_idle && !all).then(|| *ctx.dice.pick(&KINDS));
        let purge = MailboxPurge {
            seqs,
            // Now and then it does not say what.
            kind: kind.filter(|_| ctx.dice.percent(95)),
            all,
            id: id.clone(),
            correlation_id: ctx
                .dice
                .maybe(50, |dice| format!("p-{}", dice.below(1_000))),
        };
        let (me, of) = (ctx.me.clone(), Some(whose));
        let topic = Topic::MailboxPurge { me, of };
        let command = ctx.publish(&room, topic, &purge, id.is_some());
        if id.is_some() && ctx.dice.percent(15) {
            ctx.again(command, true);
        }
    }

    pub(super) fn receive(&mut self, letter: &Letter, ctx: &mut Ctx<'_>) {
        let reply: Reply = read(&letter.payload);
        if reply.command == "room/open" && reply.code == Code::Conflict {
            ctx.later(5, Intent::Open(letter.topic.room.clone()));
        }
        self.walked(&reply, ctx);
        let Some(data) = reply.data.filter(|_| reply.command == "mailbox/list") else {
            return;
        };
        let page: MailboxPage = read(data.text().as_bytes());
        let seqs: Vec<u64> = page.mail.iter().map(|mail| mail.seq).collect();
        if !seqs.is_empty() {
            let room = letter.topic.room.clone();
            self.seen.push((room, page.agent, seqs));
        }
    }
}

/// More than a room ends at once when it is closed.
fn pile_up(room: &Room, ctx: &mut Ctx<'_>) {
    for number in 0..120 {
        let me = ctx.me.clone();
        let key = Key::new(&format!("pile/{number}")).expect("a key");
        let topic = Topic::BlackboardSet { me, key };
        let one = Bytes::from_static(br#"{"value":1}"#);
        let _ = ctx.publish_bytes(room, topic, one, false);
    }
}

/// Mostly somebody who has not read for a while.
fn somebody(ctx: &mut Ctx<'_>) -> Agent {
    let mailboxes = ctx.durable.mailboxes.iter();
    let waiting = mailboxes.filter(|(_, mailbox)| mailbox.letters().count() > 3);
    let waiting: Vec<&Agent> = waiting.map(|(agent, _)| agent).collect();
    let from_these = !waiting.is_empty() && ctx.dice.percent(70);
    if from_these {
        (*ctx.dice.pick(&waiting)).clone()
    } else {
        ctx.dice.pick(ctx.others).clone()
    }
}

/// What waits there?
fn list(ctx: &mut Ctx<'_>) {
    let room = ctx.room();
    let asked = MailboxList {
        kind: ctx.dice.maybe(30, |dice| *dice.pick(&KINDS)),
        after: ctx.dice.maybe(30, |dice| dice.below(60)),
        limit: ctx
            .dice
            .maybe(40, |dice| u32::try_from(dice.between(1, 5)).expect("small")),
        correlation_id: Some(ctx.mint("mail")),
    };
    let of = ctx.dice.percent(90).then(|| somebody(ctx));
    let me = ctx.me.clone();
    let _ = ctx.publish(&room, Topic::MailboxList { me, of }, &asked, true);
}
