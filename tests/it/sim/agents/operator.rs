//! Operators: they look into the mailboxes of others, take mail out of them, and close rooms for a while.

use bytes::Bytes;
use hallward::engine::Command;
use hallward::wire::mailbox::{MailKind, MailboxList, MailboxPage, MailboxPurge};
use hallward::wire::name::{Agent, CommandId, Key, Room};
use hallward::wire::reply::{Code, Reply};
use hallward::wire::room::CloseRoom;
use hallward::wire::topic::Topic;

use super::super::durable::Letter;
use super::super::history::read;
use super::{Ctx, Intent};

const KINDS: [MailKind; 5] = [
    MailKind::Inbox,
    MailKind::Assignment,
    MailKind::Result,
    MailKind::Decision,
    MailKind::Reply,
];

/// Remembers what it saw in mailboxes.
#[derive(Default)]
pub(in super::super) struct Operator {
    seen: Vec<(Room, Agent, Vec<u64>)>,
    /// The last thing that it closed.
    closed: Option<Command>,
}

impl Operator {
    pub(super) fn stroll(&mut self, ctx: &mut Ctx<'_>) {
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
