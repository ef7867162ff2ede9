//! Workers: some finish what they get, some fail, some fall silent, some come back when nobody
//! waits for them any more.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use hallward::wire::handoff::{Assignment, TaskError, Update, UpdateStatus};
use hallward::wire::json::Json;
use hallward::wire::name::{Capability, CommandId, Room, TaskId};
use hallward::wire::presence::{Announcement, Status};
use hallward::wire::topic::{Offer, Topic};

use super::super::durable::Letter;
use super::super::history::read;
use super::{Ctx, Doing, Intent};

/// One thing that a worker does about a task.
#[derive(Debug, Clone, Copy)]
enum Move {
    Say(UpdateStatus),
    Fail {
        retryable: bool,
    },
    Wait(u64),
    Break {
        back_after: u64,
    },
    /// Names an attempt that never was.
    Guess,
    /// Asks, and does the rest when there is an answer, or none in time.
    Ask {
        ttl_ms: u64,
    },
    /// Says the last thing twice.
    Stutter,
    /// Has another result when it is too late.
    Recant,
}

/// A task in hand and what is left to do about it.
#[derive(Debug)]
pub(in super::super) struct Job {
    room: Room,
    task: TaskId,
    attempt: u32,
    moves: VecDeque<Move>,
    life: u64,
}

/// What a worker can and what it holds.
pub(in super::super) struct Worker {
    subscribed: Vec<Capability>,
    announced: Vec<Capability>,
    capacity: Option<u32>,
    /// The largest assignment that it takes.
    max_bytes: Option<u32>,
    /// The attempts that it is at, and how many answers it has had by then.
    hands: BTreeMap<(Room, TaskId), (u32, usize)>,
    /// Counts its restarts: a restarted worker has forgotten its tasks.
    life: u64,
    draining: bool,
    diligent: bool,
}

impl Worker {
    pub(in super::super) fn new(
        subscribed: Vec<Capability>,
        announced: Vec<Capability>,
        capacity: Option<u32>,
        max_bytes: Option<u32>,
    ) -> Worker {
        Worker {
            subscribed,
            announced,
            capacity,
            max_bytes,
            hands: BTreeMap::new(),
            life: 0,
            draining: false,
            diligent: false,
        }
    }

    /// Whether it is a device that takes little.
    pub(super) fn is_small(&self) -> bool {
        self.max_bytes.is_some()
    }

    /// From now on it does what it is asked, at once.
    pub(in super::super) fn reform(&mut self) {
        self.diligent = true;
        self.draining = false;
        self.max_bytes = self.max_bytes.map(|_| 400);
    }

    pub(super) fn wants(&self, rooms: &[Room]) -> Vec<Offer> {
        let works = |room: &Room| {
            self.subscribed
                .iter()
                .map(|capability| Offer::Works(room.clone(), capability.clone()))
                .collect::<Vec<_>>()
        };
        rooms.iter().flat_map(works).collect()
    }

    pub(super) fn greet(&mut self, resumed: bool, ctx: &mut Ctx<'_>) {
        if !resumed {
            self.life += 1;
            self.hands.clear();
        }
        let says_more = self.capacity.is_some() || self.max_bytes.is_some();
        if says_more || !self.announced.is_empty() {
            self.announce(ctx);
        }
    }

    fn announce(&mut self, ctx: &mut Ctx<'_>) {
        let announcement = Announcement {
            capabilities: self.announced.clone(),
            capacity: self.capacity,
            max_bytes: self.max_bytes,
            encoding: ctx.wants,
            status: Some(if self.draining {
                Status::Draining
            } else {
                Status::Idle
            }),
            ..Announcement::default()
        };
        for room in ctx.rooms {
            let me = ctx.me.clone();
            let topic = Topic::PresenceAnnounce { me };
            let _ = ctx.publish(room, topic, &announcement, false);
        }
    }

    pub(super) fn stroll(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(room) = ctx.missing_from() {
            self.come_back(&room, ctx);
            return;
        }
        match ctx.dice.below(100) {
            0..=9 if self.capacity.is_some() => {
                self.draining = !self.draining;
                self.announce(ctx);
            }
            10..=14 if self.capacity.is_some() => {
                self.capacity = Some(u32::try_from(ctx.dice.between(1, 3)).expect("small"));
                self.announce(ctx);
            }
            15..=19 => {
                let wants = self.wants(ctx.rooms);
                let offer = ctx.dice.pick(&wants).clone();
                ctx.doings.push(Doing::Withdraw(offer.clone()));
                ctx.doings.push(Doing::Offer(offer));
            }
            20..=24 => self.babble(ctx),
            25..=27 => self.leave(ctx),
            28..=67 if self.is_small() => {
                self.max_bytes = Some(*ctx.dice.pick(&[288, 400]));
                self.announce(ctx);
            }
            _ => {}
        }
    }

    /// Leaves a room for a while, whatever it has in hand.
    fn leave(&mut self, ctx: &mut Ctx<'_>) {
        let room = ctx.room();
        for offer in self.wants(std::slice::from_ref(&room)) {
            ctx.doings.push(Doing::Withdraw(offer));
        }
        let me = ctx.me.clone();
        let topic = Topic::PresenceAnnounce { me };
        let _ = ctx.publish_bytes(&room, topic, Bytes::new(), false);
        let pause = ctx.dice.between(200, 3_000);
        ctx.later(pause, Intent::Return(room));
    }

    pub(super) fn come_back(&mut self, room: &Room, ctx: &mut Ctx<'_>) {
        for offer in self.wants(std::slice::from_ref(room)) {
            ctx.doings.push(Doing::Offer(offer));
        }
    }

    /// An update on somebody else's task, or on none.
    fn babble(&mut self, ctx: &mut Ctx<'_>) {
        let room = ctx.room();
        let letters = ctx
            .durable
            .mailboxes
            .values()
            .flat_map(|box_| box_.letters());
        let known: Vec<_> = letters.filter_map(|letter| letter.assignment()).collect();
        let (room, task, attempt) = if known.is_empty() || ctx.dice.percent(30) {
            (room, TaskId::new("no-such-task").expect("a name"), 1)
        } else {
            let key = *ctx.dice.pick(&known);
            (key.room.clone(), key.task.clone(), key.attempt)
        };
        if !self.hands.contains_key(&(room.clone(), task.clone())) {
            let update = Update::new(task, attempt, UpdateStatus::Success);
            let me = ctx.me.clone();
            let _ = ctx.publish(&room, Topic::HandoffUpdate { me }, &update, false);
        }
    }

    /// Takes a task in hand, unless it is there already.
    pub(super) fn receive(&mut self, letter: &Letter, ctx: &mut Ctx<'_>) {
        let assignment: Assignment = read(&letter.payload);
        let room = letter.topic.room.clone();
        let known = (room.clone(), assignment.task.clone());
        let now = (assignment.attempt, assignment.answers.len());
        if self.hands.get(&known) == Some(&now) {
            return;
        }
        self.hands.insert(known, now);
        if self.is_small() && !self.diligent && ctx.dice.percent(40) {
            // What waits behind it is too large now.
            self.max_bytes = Some(150);
            self.announce(ctx);
        }
        let job = Job {
            room,
            task: assignment.task,
            attempt: assignment.attempt,
            moves: self.plan(assignment.lease_ms, ctx).into(),
            life: self.life,
        };
        let pause = ctx.dice.between(1, 60);
        ctx.later(pause, Intent::Work(job));
    }

    /// How this task will go.
    fn plan(&mut self, lease_ms: u64, ctx: &mut Ctx<'_>) -> Vec<Move> {
        use UpdateStatus::{Accepted, Progress, Release, Success};
        if self.diligent {
            return vec![Move::Say(Success)];
        }
        let (dice, asks_more) = (&mut *ctx.dice, ctx.asks_more);
        let mut moves = Vec::new();
        if dice.percent(75) {
            moves.push(Move::Say(Accepted));
        }
        for _ in 0..dice.below(3) {
            moves.push(Move::Wait(dice.between(1, lease_ms)));
            moves.push(Move::Say(Progress));
        }
        if asks_more && dice.percent(25) {
            let ttl_ms = *dice.pick(&[300, 3_000, 20_000]);
            moves.push(Move::Ask { ttl_ms });
            // Most wait for what comes of it; some go on, or are gone by then.
            match dice.below(10) {
                0..=6 => return moves,
                7 => moves.push(Move::Break {
                    back_after: *dice.pick(&[100, 4_000]),
                }),
                _ => {}
            }
        }
        let grace = *dice.pick(&[100, 600, 1_500, 2_500]);
        let end: &[Move] = match dice.below(100) {
            0..=44 => &[Move::Say(Success)],
            45..=47 => &[Move::Say(Success), Move::Stutter],
            48..=49 => &[Move::Say(Success), Move::Recant],
            50..=59 => &[Move::Fail { retryable: true }],
            60..=64 => &[Move::Fail { retryable: false }],
            65..=69 => &[Move::Say(Release)],
            70..=74 => &[Move::Guess, Move::Say(Success)],
            75..=79 => &[],
            80..=86 => &[Move::Wait(lease_ms + 500), Move::Say(Success)],
            _ => &[Move::Break { back_after: grace }, Move::Say(Success)],
        };
        moves.extend_from_slice(end);
        moves
    }

    pub(super) fn go_on(&mut self, mut job: Job, ctx: &mut Ctx<'_>) {
        // A worker that was started anew has forgotten its tasks; now and then the old process is
        // still about.
        if job.life != self.life && !ctx.dice.percent(20) {
            return;
        }
        let Some(next) = job.moves.pop_front() else {
            return;
        };
        let mut pause = ctx.dice.between(1, 150);
        match next {
            Move::Say(status) => self.say(&job, update_of(&job, status), ctx),
            Move::Stutter => {
                let update = update_of(&job, UpdateStatus::Success);
                self.say(&job, update, ctx);
            }
            Move::Recant => {
                let mut update = update_of(&job, UpdateStatus::Success);
                update.result = Some(Json::parse("{\"done\": 2}").expect("JSON"));
                self.say(&job, update, ctx);
            }
            Move::Fail { retryable } => {
                let mut update = update_of(&job, UpdateStatus::Error);
                update.error = Some(TaskError {
                    code: Some("sim".to_owned()),
                    message: "it would not".to_owned(),
                    retryable: if retryable { None } else { Some(false) },
                });
                self.say(&job, update, ctx);
            }
            Move::Guess => {
                let mut update = update_of(&job, UpdateStatus::Success);
                update.attempt += 1;
                self.say(&job, update, ctx);
            }
            Move::Ask { ttl_ms } => {
                let mut update = update_of(&job, UpdateStatus::Input);
                let question = format!("{{\"or\": [{}, 2.0]}}", ctx.dice.below(9));
                update.question = Some(Json::parse(&question).expect("JSON"));
                update.ttl_ms = Some(ttl_ms);
                self.say(&job, update, ctx);
            }
            Move::Wait(ms) => pause = ms,
            Move::Break { back_after } => ctx.doings.push(Doing::HangUp { back_after }),
        }
        if !job.moves.is_empty() {
            ctx.later(pause, Intent::Work(job));
        }
    }

    fn say(&mut self, job: &Job, mut update: Update, ctx: &mut Ctx<'_>) {
        if ctx.dice.percent(50) {
            update.id = Some(CommandId::new(&ctx.mint("update")).expect("a name"));
        }
        update.result = match update.status {
            UpdateStatus::Success if update.result.is_some() => update.result,
            UpdateStatus::Success => Some(Json::parse("{ \"done\": 1.0 }").expect("JSON")),
            UpdateStatus::Progress | UpdateStatus::Error | UpdateStatus::Release => {
                let far = ctx.dice.below(100);
                let said = format!("[{far},  2]");
                ctx.dice.maybe(40, |_| Json::parse(&said).expect("JSON"))
            }
            _ => None,
        };
        let me = ctx.me.clone();
        let repeatable = update.id.is_some();
        let topic = Topic::HandoffUpdate { me };
        let command = ctx.publish(&job.room, topic, &update, repeatable);
        if repeatable && ctx.dice.percent(10) {
            ctx.again(command, true);
        }
    }
}

fn update_of(job: &Job, status: UpdateStatus) -> Update {
    Update::new(job.task.clone(), job.attempt, status)
}
