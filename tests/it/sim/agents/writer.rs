//! Writers: they set, merge and delete a handful of keys against one another, often with a version
//! that is no longer true.

use bytes::Bytes;
use hallward::wire::blackboard::LockName;
use hallward::wire::blackboard::{
    Delete, Entry, Fence, Get, GetHistory, ListKeys, Lock, Op, OpKind, Set, Txn, Unlock,
};
use hallward::wire::json::Json;
use hallward::wire::name::{CommandId, Key, Room};
use hallward::wire::topic::{RoomTopic, Topic};

use super::super::durable::ROOT;
use super::super::history::read;
use super::Ctx;

pub(in super::super) const KEYS: [&str; 4] = ["plan", "plan/a", "notes", "x/y/z"];

/// Remembers the versions that it has seen.
#[derive(Default)]
pub(in super::super) struct Writer {
    seen: Vec<u64>,
}

impl Writer {
    pub(super) fn stroll(&mut self, ctx: &mut Ctx<'_>) {
        let room = ctx.room();
        let key = Key::new(ctx.dice.pick::<&str>(&KEYS)).expect("a key");
        match ctx.dice.below(100) {
            0..=51 => self.set(&room, key, ctx),
            52..=60 => self.delete(&room, key, ctx),
            61..=69 => self.transact(&room, ctx),
            70..=92 => lock(&room, ctx),
            93..=94 if ctx.asks_more => list(&room, ctx),
            93..=96 => look_back(&room, key, ctx),
            _ => look(&room, ctx),
        }
    }

    fn set(&mut self, room: &Room, key: Key, ctx: &mut Ctx<'_>) {
        let id = mint(ctx, "set");
        let set = Set {
            fence: fence(ctx),
            value: Json::parse(value(ctx)).expect("JSON"),
            if_version: self.condition(room, &key, ctx),
            merge: ctx.dice.percent(4),
            ttl_ms: ctx.dice.maybe(15, |dice| dice.between(50, 3_000)),
            correlation_id: ctx
                .dice
                .maybe(30, |dice| format!("c-{}", dice.below(1_000))),
            id: id.clone(),
        };
        let me = ctx.me.clone();
        let topic = Topic::BlackboardSet { me, key };
        let command = ctx.publish(room, topic, &set, id.is_some());
        if id.is_some() && ctx.dice.percent(15) {
            ctx.again(command, true);
        }
    }

    fn delete(&mut self, room: &Room, key: Key, ctx: &mut Ctx<'_>) {
        let me = ctx.me.clone();
        let topic = Topic::BlackboardDelete {
            me,
            key: key.clone(),
        };
        if ctx.dice.percent(20) {
            let _ = ctx.publish_bytes(room, topic, Bytes::new(), false);
            return;
        }
        let id = mint(ctx, "delete");
        let delete = Delete {
            fence: fence(ctx),
            if_version: self.condition(room, &key, ctx),
            id: id.clone(),
            correlation_id: None,
        };
        let _ = ctx.publish(room, topic, &delete, id.is_some());
    }

    fn transact(&mut self, room: &Room, ctx: &mut Ctx<'_>) {
        let id = mint(ctx, "txn");
        let mut keys: Vec<&str> = KEYS.to_vec();
        let mut ops = Vec::new();
        for _ in 0..ctx.dice.between(1, 3) {
            let at = usize::try_from(ctx.dice.below(keys.len() as u64)).expect("few");
            let key = Key::new(keys.remove(at)).expect("a key");
            let believed = self.condition(room, &key, ctx);
            let op = *ctx
                .dice
                .pick(&[OpKind::Set, OpKind::Set, OpKind::Delete, OpKind::Check]);
            let is_set = op == OpKind::Set;
            ops.push(Op {
                op,
                key,
                value: is_set.then(|| Json::parse(value(ctx)).expect("JSON")),
                if_version: match op {
                    OpKind::Check => Some(believed.unwrap_or_default()),
                    _ => believed,
                },
                merge: is_set && ctx.dice.percent(20),
                ttl_ms: ctx
                    .dice
                    .maybe(15, |dice| dice.between(50, 3_000))
                    .filter(|_| is_set),
            });
        }
        let txn = Txn {
            ops,
            fence: fence(ctx),
            id: id.clone(),
            correlation_id: None,
        };
        let me = ctx.me.clone();
        let command = ctx.publish(room, Topic::BlackboardTxn { me }, &txn, id.is_some());
        if id.is_some() && ctx.dice.percent(15) {
            ctx.again(command, true);
        }
    }

    /// The version that it believes in: the present one, an old one, none, or any.
    fn condition(&mut self, room: &Room, key: &Key, ctx: &mut Ctx<'_>) -> Option<u64> {
        let topic = Topic::BlackboardState { key: key.clone() };
        let topic = RoomTopic::new(room.clone(), topic).format(ROOT);
        let current = ctx.durable.retained.get(&topic);
        let current = current.map_or(0, |payload| read::<Entry>(payload).version);
        self.seen.push(current);
        match ctx.dice.below(10) {
            0..=2 => None,
            3..=6 => Some(current),
            7..=8 => Some(*ctx.dice.pick(&self.seen)),
            _ => Some(0),
        }
    }
}

fn mint(ctx: &mut Ctx<'_>, kind: &str) -> Option<CommandId> {
    let wanted = ctx.dice.percent(70);
    wanted.then(|| CommandId::new(&ctx.mint(kind)).expect("a name"))
}

fn value(ctx: &mut Ctx<'_>) -> &'static str {
    ctx.dice.pick::<&str>(&[
        r#"{"b": 1.10, "a": {"x": null, "y": 2}}"#,
        r#"{"a": {"y": null}, "c": [1, null]}"#,
        "null",
        "12345678901234567890123",
        r#"[ 1.0,2 ]"#,
        r#"{"a": 7}"#,
        r#""words""#,
    ])
}

/// What is there?
fn look(room: &Room, ctx: &mut Ctx<'_>) {
    let get = Get {
        locks: false,
        revision: ctx.dice.maybe(50, |dice| dice.below(40)),
        prefix: ctx.dice.maybe(50, |_| Key::new("plan").expect("a key")),
        correlation_id: Some(ctx.mint("look")),
    };
    let me = ctx.me.clone();
    let _ = ctx.publish(room, Topic::BlackboardGet { me }, &get, true);
}

/// Which keys are there, from some place on?
fn list(room: &Room, ctx: &mut Ctx<'_>) {
    let cursors = [None, Some("plan"), Some("plan/b"), Some("z")];
    let list = ListKeys {
        prefix: ctx.dice.maybe(50, |_| Key::new("plan").expect("a key")),
        limit: ctx.dice.maybe(50, |dice| 1 + dice.below(3) as u32),
        cursor: ctx.dice.pick(&cursors).map(str::to_owned),
        correlation_id: Some(ctx.mint("list")),
    };
    let me = ctx.me.clone();
    let _ = ctx.publish(room, Topic::BlackboardList { me }, &list, true);
}

/// What was there?
fn look_back(room: &Room, key: Key, ctx: &mut Ctx<'_>) {
    let get = GetHistory {
        key,
        limit: ctx.dice.maybe(30, |dice| dice.between(1, 4)),
        correlation_id: Some(ctx.mint("look-back")),
    };
    let me = ctx.me.clone();
    let _ = ctx.publish(room, Topic::BlackboardHistory { me }, &get, true);
}

fn press() -> LockName {
    LockName::new("press").expect("a name")
}

/// Any token that may stand, may have stood, or may never stand.
fn fence(ctx: &mut Ctx<'_>) -> Option<Fence> {
    let token = ctx.dice.maybe(10, |dice| dice.below(30))?;
    let lock = press();
    Some(Fence { lock, token })
}

/// Takes or renews the lock of the room, waits for it, or gives it back.
fn lock(room: &Room, ctx: &mut Ctx<'_>) {
    let me = ctx.me.clone();
    let name = press();
    if ctx.dice.percent(35) {
        let unlock = Unlock {
            correlation_id: Some(ctx.mint("unlock")),
            ..Unlock::default()
        };
        let topic = Topic::BlackboardUnlock { me, name };
        let _ = ctx.publish(room, topic, &unlock, false);
        return;
    }
    let lock = Lock {
        ttl_ms: Some(ctx.dice.between(50, 4_000)),
        wait_ms: ctx.dice.maybe(75, |dice| dice.between(50, 3_000)),
        correlation_id: Some(ctx.mint("lock")),
        ..Lock::default()
    };
    let _ = ctx.publish(room, Topic::BlackboardLock { me, name }, &lock, false);
}
