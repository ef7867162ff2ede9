//! Dispatchers: they hand out tasks of every kind, repeat themselves, and change their minds.

use hallward::engine::Command;
use hallward::wire::handoff::{
    Backoff, Cancel, GetTask, ListTasks, Priority, Redrive, ResultStatus, States, Task, TaskResult,
    TaskState,
};
use hallward::wire::json::{self, Json};
use hallward::wire::name::{Capability, CommandId, Room, TaskId, TaskType};
use hallward::wire::question::AnswerTask;
use hallward::wire::topic::Topic;

use super::super::durable::Letter;
use super::approver::take_back;
use super::{Ctx, Intent};

/// What tasks need; nobody can do the last.
pub(in super::super) const SKILLS: [&str; 4] = ["draft", "review", "publish", "divine"];

/// Remembers what it asked for.
#[derive(Default)]
pub(in super::super) struct Dispatcher {
    tasks: Vec<(Room, TaskId)>,
    said: Vec<Command>,
    /// The group that it is about to dispatch: where, its name, its size, and how many tasks it
    /// still lacks.
    group: Option<(Room, String, u32, u32)>,
}

impl Dispatcher {
    pub(super) fn stroll(&mut self, ctx: &mut Ctx<'_>) {
        match ctx.dice.below(100) {
            0..=63 => self.dispatch(ctx),
            64..=71 if ctx.asks_more && ctx.dice.percent(20) => take_back(ctx),
            64..=71 => self.cancel(ctx),
            72..=79 => self.repeat(ctx),
            80..=88 => self.redrive(ctx),
            89..=92 => list(ctx),
            _ => self.ask(ctx),
        }
    }

    /// What a worker asks is mostly answered, sometimes when nobody waits for it any more.
    pub(super) fn receive(letter: &Letter, ctx: &mut Ctx<'_>) {
        // That of a group looks otherwise.
        let Ok(result) = json::decode::<TaskResult>(&letter.payload) else {
            return;
        };
        if result.status != ResultStatus::Input || !ctx.dice.percent(85) {
            return;
        }
        let id = ctx.dice.percent(50).then(|| ctx.mint("answer"));
        let text = format!("[{}.0, null]", ctx.dice.below(9));
        let answer = AnswerTask {
            task: result.task,
            attempt: result.attempts + u32::from(ctx.dice.percent(4)),
            ask: ctx.dice.maybe(70, |_| result.ask.expect("a number")),
            answer: Json::parse(&text).expect("JSON"),
            id: id.map(|id| CommandId::new(&id).expect("a name")),
            correlation_id: None,
        };
        let pause = *ctx.dice.pick(&[1, 100, 1_000, 6_000]);
        let room = letter.topic.room.clone();
        ctx.later(pause, Intent::Answer(room, Box::new(answer)));
    }

    pub(super) fn answer(&mut self, room: &Room, answer: &AnswerTask, ctx: &mut Ctx<'_>) {
        let me = ctx.me.clone();
        let repeatable = answer.id.is_some();
        let command = ctx.publish(room, Topic::HandoffAnswer { me }, answer, repeatable);
        if repeatable {
            self.said.push(command);
        }
    }

    fn dispatch(&mut self, ctx: &mut Ctx<'_>) {
        let room = ctx.room();
        let mut task = self.imagine(ctx);
        if task.id.is_some() {
            self.tie(&room, &mut task, ctx);
        }
        let repeatable = task.id.is_some();
        if let Some(id) = &task.id {
            self.tasks.push((room.clone(), id.clone()));
        }
        let me = ctx.me.clone();
        let command = ctx.publish(&room, Topic::HandoffDispatch { me }, &task, repeatable);
        if repeatable {
            self.said.push(command);
        }
    }

    /// A task with a little of everything.
    fn imagine(&mut self, ctx: &mut Ctx<'_>) -> Task {
        let skill = ctx.dice.weighted(&[(40, 0usize), (30, 1), (25, 2), (5, 3)]);
        let capabilities = match ctx.dice.below(10) {
            0..=1 => vec![skill_at(skill), skill_at(1)],
            2 => vec![skill_at(skill)],
            _ => Vec::new(),
        };
        let any_of = if capabilities.is_empty() || ctx.dice.percent(90) {
            Vec::new()
        } else {
            vec![skill_at(0), skill_at(2)]
        };
        let has_id = ctx.dice.percent(80);
        let id = has_id.then(|| TaskId::new(&ctx.mint("task")).expect("a name"));
        let dice = &mut *ctx.dice;
        Task {
            id,
            task_type: TaskType::new(SKILLS[skill]).expect("a name"),
            capabilities,
            any_of,
            payload: dice.maybe(80, |dice| {
                let text = format!("{{\"n\": {}.0, \"b\":[ null ]}}", dice.below(1000));
                Json::parse(&text).expect("JSON")
            }),
            priority: dice.maybe(60, |dice| {
                *dice.pick(&[
                    Priority::Low,
                    Priority::Medium,
                    Priority::High,
                    Priority::Critical,
                ])
            }),
            not_before_ms: dice.maybe(15, |dice| dice.between(1, 3_000)),
            ttl_ms: dice.maybe(25, |dice| dice.between(200, 15_000)),
            lease_ms: dice.maybe(40, |dice| dice.between(1_000, 3_000)),
            max_deliveries: None,
            max_attempts: dice.maybe(60, |dice| u32::try_from(dice.between(1, 4)).expect("small")),
            backoff: dice.maybe(40, |dice| Backoff {
                initial_ms: dice.between(1, 500),
                factor: *dice.pick(&[1.0, 1.5, 3.0]),
                max_ms: dice.between(500, 1_500),
            }),
            affinity: dice.maybe(10, |dice| format!("doc-{}", dice.below(3))),
            depends_on: Vec::new(),
            parent: None,
            group: None,
            group_size: None,
            require_online: dice.percent(10),
            correlation_id: dice.maybe(50, |dice| format!("c-{}", dice.below(100_000))),
            traceparent: dice.maybe(10, |_| "00-aa-bb-01".to_owned()),
            tracestate: None,
        }
    }

    /// Ties it to others, mostly to such as there are.
    fn tie(&mut self, room: &Room, task: &mut Task, ctx: &mut Ctx<'_>) {
        let here: Vec<&TaskId> = self
            .tasks
            .iter()
            .rev()
            .filter(|(at, _)| at == room)
            .take(5)
            .map(|(_, id)| id)
            .collect();
        let somebody = |ctx: &mut Ctx<'_>| {
            let unknown = here.is_empty() || ctx.dice.percent(3);
            if unknown {
                TaskId::new("never-heard-of").expect("a name")
            } else {
                (*ctx.dice.pick(&here)).clone()
            }
        };
        if ctx.dice.percent(15) {
            task.depends_on.push(somebody(ctx));
            if ctx.dice.percent(40) {
                task.depends_on.push(somebody(ctx));
            }
        }
        if ctx.dice.percent(15) {
            task.parent = Some(somebody(ctx));
        }
        self.group_up(room, task, ctx);
    }

    fn group_up(&mut self, room: &Room, task: &mut Task, ctx: &mut Ctx<'_>) {
        if self.group.is_none() && ctx.dice.percent(15) {
            let size = u32::try_from(ctx.dice.between(1, 4)).expect("small");
            self.group = Some((room.clone(), ctx.mint("group"), size, size));
        }
        let Some((at, name, size, lacks)) = &mut self.group else {
            return;
        };
        if at != room {
            return;
        }
        task.group = Some(name.clone());
        task.group_size = Some(*size + u32::from(ctx.dice.percent(3)));
        *lacks -= 1;
        // Now and then one too many.
        if *lacks == 0 && !ctx.dice.percent(10) {
            self.group = None;
        } else {
            *lacks = (*lacks).max(1);
        }
    }

    /// Another life for the dead, one or a few of a type.
    fn redrive(&mut self, ctx: &mut Ctx<'_>) {
        let mut redrive = Redrive {
            id: Some(CommandId::new(&ctx.mint("redrive")).expect("a name")),
            correlation_id: Some(ctx.mint("again")),
            ..Redrive::default()
        };
        let room = if ctx.dice.percent(70) || self.tasks.is_empty() {
            let skill = *ctx.dice.pick(&SKILLS);
            redrive.task_type = Some(TaskType::new(skill).expect("a name"));
            redrive.limit = Some(2);
            ctx.room()
        } else {
            let (room, task) = ctx.dice.pick(&self.tasks).clone();
            redrive.task = Some(task);
            room
        };
        let me = ctx.me.clone();
        let command = ctx.publish(&room, Topic::HandoffRedrive { me }, &redrive, true);
        self.said.push(command);
    }

    fn cancel(&mut self, ctx: &mut Ctx<'_>) {
        let (room, task) = if self.tasks.is_empty() || ctx.dice.percent(10) {
            (ctx.room(), TaskId::new("never-heard-of").expect("a name"))
        } else {
            let recent = self.tasks.len().saturating_sub(6);
            ctx.dice.pick(&self.tasks[recent..]).clone()
        };
        let id = ctx.dice.percent(60).then_some("cancel");
        let id = id.map(|kind| CommandId::new(&ctx.mint(kind)).expect("a name"));
        let group = self.group.take_if(|_| ctx.dice.percent(20));
        let (room, task, group) = match group {
            Some((room, group, ..)) => (room, None, Some(group)),
            None => (room, Some(task), None),
        };
        let cancel = Cancel {
            task,
            group,
            reason: Some("changed my mind".to_owned()),
            id: id.clone(),
            correlation_id: None,
        };
        let me = ctx.me.clone();
        let command = ctx.publish(&room, Topic::HandoffCancel { me }, &cancel, id.is_some());
        if id.is_some() {
            self.said.push(command);
        }
    }

    /// The same command again, to the letter or spelt in another way, long after; or its id for
    /// something else.
    fn repeat(&mut self, ctx: &mut Ctx<'_>) {
        if self.said.is_empty() {
            return;
        }
        let mut command = ctx.dice.pick(&self.said).clone();
        match ctx.dice.below(4) {
            0 => ctx.respell(&mut command, false),
            1 => ctx.respell(&mut command, true),
            _ => {}
        }
        ctx.again(command, true);
    }

    /// How is my task doing?
    fn ask(&mut self, ctx: &mut Ctx<'_>) {
        if self.tasks.is_empty() {
            return;
        }
        let (room, task) = ctx.dice.pick(&self.tasks).clone();
        let correlation_id = Some(ctx.mint("ask"));
        let me = ctx.me.clone();
        let question = GetTask {
            task,
            payload: ctx.dice.percent(30),
            correlation_id,
        };
        let _ = ctx.publish(&room, Topic::HandoffGet { me }, &question, true);
    }
}

/// What is there?
fn list(ctx: &mut Ctx<'_>) {
    let room = ctx.room();
    let states = [
        TaskState::Waiting,
        TaskState::Queued,
        TaskState::Running,
        TaskState::Dead,
    ];
    let question = ListTasks {
        state: ctx.dice.maybe(60, |dice| States::One(*dice.pick(&states))),
        task_type: ctx.dice.maybe(40, |dice| {
            let skill = *dice.pick(&SKILLS);
            TaskType::new(skill).expect("a name")
        }),
        limit: Some(5),
        correlation_id: Some(ctx.mint("list")),
        ..ListTasks::default()
    };
    let me = ctx.me.clone();
    let _ = ctx.publish(&room, Topic::HandoffList { me }, &question, true);
}

fn skill_at(index: usize) -> Capability {
    Capability::new(SKILLS[index]).expect("a name")
}
