//! Dispatchers: they hand out tasks of every kind, repeat themselves, and change their minds.

use hallward::engine::Command;
use hallward::wire::handoff::{Backoff, Cancel, GetTask, Priority, Task};
use hallward::wire::json::Json;
use hallward::wire::name::{Capability, CommandId, Room, TaskId, TaskType};
use hallward::wire::topic::Topic;

use super::Ctx;

/// What tasks need; nobody can do the last.
pub(in super::super) const SKILLS: [&str; 4] = ["draft", "review", "publish", "divine"];

/// Remembers what it asked for.
#[derive(Default)]
pub(in super::super) struct Dispatcher {
    tasks: Vec<(Room, TaskId)>,
    said: Vec<Command>,
}

impl Dispatcher {
    pub(super) fn stroll(&mut self, ctx: &mut Ctx<'_>) {
        match ctx.dice.below(100) {
            0..=69 => self.dispatch(ctx),
            70..=79 => self.cancel(ctx),
            80..=89 => self.repeat(ctx),
            _ => self.ask(ctx),
        }
    }

    fn dispatch(&mut self, ctx: &mut Ctx<'_>) {
        let room = ctx.room();
        let task = self.imagine(ctx);
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

    fn cancel(&mut self, ctx: &mut Ctx<'_>) {
        let (room, task) = if self.tasks.is_empty() || ctx.dice.percent(10) {
            (ctx.room(), TaskId::new("never-heard-of").expect("a name"))
        } else {
            let recent = self.tasks.len().saturating_sub(6);
            ctx.dice.pick(&self.tasks[recent..]).clone()
        };
        let id = ctx.dice.percent(60).then_some("cancel");
        let id = id.map(|kind| CommandId::new(&ctx.mint(kind)).expect("a name"));
        let cancel = Cancel {
            task,
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

    /// The same command again, to the letter, long after.
    fn repeat(&mut self, ctx: &mut Ctx<'_>) {
        if !self.said.is_empty() {
            let command = ctx.dice.pick(&self.said).clone();
            ctx.again(command, true);
        }
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
            correlation_id,
        };
        let _ = ctx.publish(&room, Topic::HandoffGet { me }, &question, true);
    }
}

fn skill_at(index: usize) -> Capability {
    Capability::new(SKILLS[index]).expect("a name")
}
