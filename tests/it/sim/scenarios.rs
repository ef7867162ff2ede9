//! Named scenarios: what the random agents once found, told step by step. Every invariant is
//! checked on the way.

use hallward::engine::{Command, DirectedKind, Input, Verdict};
use hallward::wire::Millis;
use hallward::wire::approve::Decide;
use hallward::wire::handoff::{
    Backoff, Cancel, GetTask, ResultStatus, Task, TaskError, TaskResult, TaskView, Update,
    UpdateStatus,
};
use hallward::wire::json::{self, Json};
use hallward::wire::mirror::CommandMirrors;
use hallward::wire::name::{Agent, ApprovalId, Capability, Room, TaskId, TaskType, Tool};
use hallward::wire::presence::Announcement;
use hallward::wire::reply::Code;
use hallward::wire::room::CloseRoom;
use hallward::wire::tools::{Registration, ToolResult};
use hallward::wire::topic::{Offer, RoomTopic, Topic};

use super::desk::Desk;
use super::history::{Step, read};
use super::invariants::Checker;
use super::rules::{Rules, usual_gate};

/// A desk, a checker, and a clock that is moved by hand.
struct Play {
    now: Millis,
    desk: Desk,
    checker: Checker,
    last: Vec<Step>,
}

fn agent(name: &str) -> Agent {
    Agent::new(name).expect("a name")
}

fn room() -> Room {
    Room::new("alpha").expect("a name")
}

fn task(name: &str) -> TaskId {
    TaskId::new(name).expect("a name")
}

impl Play {
    fn new() -> Play {
        Play::with(&Rules::default())
    }

    /// Tasks of the type `publish` have to be approved.
    fn gated() -> Play {
        Play::with(&Rules {
            gate: Some(usual_gate()),
            ..Rules::default()
        })
    }

    fn with(rules: &Rules) -> Play {
        Play {
            now: 1_700_000_000_000,
            desk: Desk::new(rules, 1),
            checker: Checker::new(rules),
            last: Vec::new(),
        }
    }

    /// Hands an input in and commits at once.
    fn hand_in(&mut self, input: Input) -> Verdict {
        let verdict = self.desk.handle(self.now, input);
        self.commit();
        // Work goes out as soon as it may.
        let waits = self.desk.unsent_work();
        for (agent, letter) in waits {
            self.desk.send(self.now, &agent, letter);
        }
        let last = std::mem::take(&mut self.last);
        if self.desk.has_open_batch() {
            self.commit();
        }
        self.last = last;
        verdict
    }

    fn commit(&mut self) {
        self.last = self.desk.commit(self.now).steps;
        for step in &self.last {
            self.checker.step(step).expect("no promise is broken");
        }
        self.checker
            .committed(&self.desk)
            .expect("no promise is broken");
    }

    fn say<T: serde::Serialize>(&mut self, me: &str, topic: Topic, body: &T) -> Verdict {
        self.hand_in(Input::Command(Command {
            user: None,
            from: agent(me),
            topic: RoomTopic::new(room(), topic),
            payload: json::encode(body),
            mirrors: CommandMirrors::default(),
        }))
    }

    /// Connects and offers `draft`, with a session that outlives its connection.
    fn worker_comes(&mut self, name: &str) {
        self.worker_comes_with(name, true);
    }

    fn worker_comes_with(&mut self, name: &str, persistent: bool) {
        let _ = self.desk.connect(self.now, &agent(name), persistent);
        let draft = Capability::new("draft").expect("a name");
        let offer = Offer::Works(room(), draft);
        let agent = agent(name);
        let _ = self.hand_in(Input::Offered { agent, offer });
    }

    fn dispatch(&mut self, id: &str, max_attempts: u32) {
        self.dispatch_for(&[], id, max_attempts);
    }

    fn dispatch_for(&mut self, needs: &[&str], id: &str, max_attempts: u32) {
        let me = agent("boss");
        let needs = needs.iter();
        let body = Task {
            id: Some(task(id)),
            capabilities: needs
                .map(|need| Capability::new(need).expect("a name"))
                .collect(),
            max_attempts: Some(max_attempts),
            backoff: Some(Backoff {
                initial_ms: 500,
                factor: 1.0,
                max_ms: 500,
            }),
            ..json::decode(br#"{"type":"draft"}"#).expect("a task")
        };
        assert_eq!(body.task_type, TaskType::new("draft").expect("a name"));
        assert_eq!(
            self.say("boss", Topic::HandoffDispatch { me }, &body),
            Ok(())
        );
    }

    /// Dispatches what has to be approved, and tells by which approval.
    fn dispatch_gated(&mut self, id: &str, ttl_ms: Option<Millis>) -> Option<ApprovalId> {
        let body = Task {
            id: Some(task(id)),
            ttl_ms,
            ..json::decode(br#"{"type":"publish","payload":{"n":1}}"#).expect("a task")
        };
        let topic = Topic::HandoffDispatch { me: agent("boss") };
        assert_eq!(self.say("boss", topic, &body), Ok(()));
        let (_, reply) = self.last[0].replies_to(&agent("boss")).remove(0);
        reply.approval
    }

    /// Connects and provides a tool whose calls have to be approved.
    fn provider_comes(&mut self, name: &str, tool: &Tool) {
        let _ = self.desk.connect(self.now, &agent(name), true);
        let offer = Offer::Provides(room(), tool.clone());
        let _ = self.hand_in(Input::Offered {
            agent: agent(name),
            offer,
        });
        let said: Registration =
            read(br#"{"description":"wipes","inputSchema":{"type":"object"},"approval":{}}"#);
        let (me, tool) = (agent(name), tool.clone());
        let topic = Topic::ToolsRegister { me, tool };
        assert_eq!(self.say(name, topic, &said), Ok(()));
    }

    fn update(&mut self, me: &str, id: &str, attempt: u32, status: UpdateStatus) -> Verdict {
        let body = Play::word(id, attempt, status);
        self.say(me, Topic::HandoffUpdate { me: agent(me) }, &body)
    }

    fn cancel(&mut self, id: &str) -> Verdict {
        let body = Cancel {
            task: Some(task(id)),
            group: None,
            reason: None,
            id: None,
            correlation_id: None,
        };
        self.say("boss", Topic::HandoffCancel { me: agent("boss") }, &body)
    }

    fn word(id: &str, attempt: u32, status: UpdateStatus) -> Update {
        Update {
            error: (status == UpdateStatus::Error).then(|| TaskError {
                code: None,
                message: "it would not".to_owned(),
                retryable: None,
            }),
            ..Update::new(task(id), attempt, status)
        }
    }

    /// Lets time pass, and wakes the engine whenever it asks.
    fn wait(&mut self, ms: Millis) {
        let until = self.now + ms;
        while let Some(at) = self.desk.wakes_at().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            let _ = self.hand_in(Input::Tick);
        }
        self.now = until;
    }

    fn crash(&mut self) {
        self.desk.crash();
        self.desk.recover(self.now);
        self.commit();
    }

    /// The tasks that the last commit handed out.
    fn assigned(&self) -> Vec<String> {
        let directed = self.last.iter().flat_map(Step::directed);
        let tasks = directed.filter_map(|one| match &one.class {
            DirectedKind::Assignment(key) => Some(key.task.to_string()),
            _ => None,
        });
        tasks.collect()
    }

    /// The result that the last step sent.
    fn result(&self) -> TaskResult {
        let mut directed = self.last.iter().flat_map(Step::directed);
        let result = directed.find(|one| one.to == agent("boss"));
        read(&result.expect("a result").payload)
    }
}

#[test]
fn result_of_a_task_that_waits_names_who_had_it_last() {
    let mut play = Play::new();
    play.worker_comes("w1");
    play.dispatch("t1", 3);
    assert_eq!(play.update("w1", "t1", 1, UpdateStatus::Error), Ok(()));
    assert_eq!(play.cancel("t1"), Ok(()));
    let result = play.result();
    assert_eq!(result.status, ResultStatus::Cancelled);
    assert_eq!((result.attempts, result.worker), (1, Some(agent("w1"))));
}

#[test]
fn get_names_who_had_a_waiting_task_last_even_after_a_crash() {
    let mut play = Play::new();
    play.worker_comes("w1");
    play.dispatch("t1", 3);
    assert_eq!(play.update("w1", "t1", 1, UpdateStatus::Error), Ok(()));
    play.crash();
    let question = GetTask {
        task: task("t1"),
        payload: false,
        correlation_id: Some("q".to_owned()),
    };
    let topic = Topic::HandoffGet { me: agent("boss") };
    assert_eq!(play.say("boss", topic, &question), Ok(()));
    let (_, reply) = play.last[0].replies_to(&agent("boss")).remove(0);
    let view: TaskView = read(reply.data.expect("a view").text().as_bytes());
    assert_eq!(view.worker, Some(agent("w1")));
}

#[test]
fn error_after_the_lease_ran_out_on_the_last_attempt_is_a_conflict() {
    let mut play = Play::new();
    play.worker_comes("w1");
    play.dispatch("t1", 1);
    play.wait(1_500);
    let verdict = play.update("w1", "t1", 1, UpdateStatus::Error);
    assert_eq!(verdict, Err(Code::Conflict), "the gateway ended it, not w1");
}

#[test]
fn task_that_a_cancellation_dooms_cannot_be_cancelled_a_moment_later() {
    let mut play = Play::new();
    play.dispatch("first", 3);
    let mut then: Task = json::decode(br#"{"type":"draft"}"#).expect("a task");
    (then.id, then.depends_on) = (Some(task("then")), vec![task("first")]);
    let topic = || Topic::HandoffDispatch { me: agent("boss") };
    assert_eq!(play.say("boss", topic(), &then), Ok(()));
    assert_eq!(play.cancel("first"), Ok(()));
    assert_eq!(play.cancel("then"), Err(Code::Conflict));
    assert_eq!(
        play.last[0].events().next().map(|one| &*one.what),
        Some("handoff.failed")
    );
}

#[test]
fn partial_result_that_finds_no_room_does_not_move_its_task_on() {
    let mut play = Play::new();
    play.worker_comes("w1");
    play.dispatch("t1", 1);
    for n in 2..=Rules::default().mailbox_results {
        play.dispatch(&format!("t{n}"), 1);
    }
    let mut progress = Play::word("t1", 1, UpdateStatus::Progress);
    progress.result = Some(Json::parse("[1]").expect("JSON"));
    let topic = Topic::HandoffUpdate { me: agent("w1") };
    let verdict = play.say("w1", topic, &progress);
    assert_eq!(verdict, Err(Code::TooMany));
    assert_eq!(play.last.iter().flat_map(Step::events).count(), 0);
}

#[test]
fn error_that_ended_a_task_may_come_again_and_changes_nothing() {
    let mut play = Play::new();
    play.worker_comes("w1");
    play.dispatch("t1", 1);
    assert_eq!(play.update("w1", "t1", 1, UpdateStatus::Error), Ok(()));
    assert_eq!(play.result().status, ResultStatus::Dead);
    play.crash();
    let again = play.update("w1", "t1", 1, UpdateStatus::Error);
    assert!(matches!(again, Ok(()) | Err(Code::Conflict)), "{again:?}");
}

#[test]
fn worker_that_returns_after_a_crash_keeps_its_task_and_a_late_one_does_not() {
    let mut play = Play::new();
    play.worker_comes("w1");
    play.dispatch("t1", 3);
    play.crash();
    play.wait(1_999);
    play.worker_comes("w1");
    assert_eq!(play.update("w1", "t1", 1, UpdateStatus::Progress), Ok(()));
    play.crash();
    play.wait(2_000);
    play.worker_comes("w1");
    let verdict = play.update("w1", "t1", 1, UpdateStatus::Progress);
    assert_eq!(verdict, Err(Code::Conflict));
    // What it has done all the same counts: nobody else has begun with it.
    assert_eq!(play.update("w1", "t1", 1, UpdateStatus::Success), Ok(()));
    assert_eq!(play.result().status, ResultStatus::Succeeded);
}

#[test]
fn worker_that_was_gone_before_a_crash_comes_back_as_a_stranger() {
    let mut play = Play::new();
    play.worker_comes_with("w1", false);
    let topic = || Topic::PresenceAnnounce { me: agent("w1") };
    let can_review: Announcement = read(br#"{"capabilities":["review"]}"#);
    assert_eq!(play.say("w1", topic(), &can_review), Ok(()));
    let _ = play.hand_in(Input::Disconnected {
        gives_back: false,
        agent: agent("w1"),
        why: "",
    });
    play.wait(2_000);
    // The restart gives a new grace to those who are away, not to those whose session is over.
    play.crash();
    play.dispatch_for(&["draft", "review"], "older", 1);
    play.dispatch("younger", 1);
    play.worker_comes_with("w1", false);
    assert_eq!(
        play.assigned(),
        ["younger"],
        "w1 has not said that it can review"
    );
}

#[test]
fn what_was_done_late_counts_also_while_the_same_worker_asks() {
    let mut play = Play::new();
    play.worker_comes("w1");
    play.dispatch("t1", 3);
    // The lease runs out, and the task comes to the same worker once more.
    play.wait(3_000);
    assert_eq!(play.update("w1", "t1", 2, UpdateStatus::Accepted), Ok(()));
    let mut question = Play::word("t1", 2, UpdateStatus::Input);
    question.question = Some(Json::parse("\"which?\"").expect("JSON"));
    question.ttl_ms = Some(5_000);
    let topic = || Topic::HandoffUpdate { me: agent("w1") };
    assert_eq!(play.say("w1", topic(), &question), Ok(()));
    assert_eq!(play.update("w1", "t1", 1, UpdateStatus::Success), Ok(()));
    assert_eq!(play.result().status, ResultStatus::Succeeded);
}

#[test]
fn repeated_dispatch_is_told_of_its_approval_also_when_that_is_decided() {
    let mut play = Play::gated();
    let first = play.dispatch_gated("t1", None);
    let id = first.clone().expect("an approval");
    let editor: Announcement = read(br#"{"role":"editor"}"#);
    let topic = Topic::PresenceAnnounce { me: agent("ed") };
    let _ = play.desk.connect(play.now, &agent("ed"), true);
    assert_eq!(play.say("ed", topic, &editor), Ok(()));
    let yes: Decide = read(br#"{"decision":"approve"}"#);
    let topic = Topic::ApproveDecide {
        me: agent("ed"),
        id,
    };
    assert_eq!(play.say("ed", topic, &yes), Ok(()));
    play.crash();
    assert_eq!(play.dispatch_gated("t1", None), first);
    assert_eq!(play.cancel("t1"), Ok(()));
    assert_eq!(play.dispatch_gated("t1", None), first);
}

#[test]
fn task_whose_approval_timed_out_before_its_time_was_over_is_dead_after_a_long_night() {
    let mut play = Play::gated();
    assert!(play.dispatch_gated("t1", Some(3_500)).is_some());
    play.now += 60_000;
    play.crash();
    let result = play.result();
    assert_eq!(result.status, ResultStatus::Dead);
    assert_eq!(
        result.error.and_then(|error| error.code).as_deref(),
        Some("not-approved")
    );
}

#[test]
fn calls_that_await_approval_are_cancelled_with_their_room_however_many_they_are() {
    let mut play = Play::new();
    let wipe = Tool::new("wipe").expect("a name");
    play.provider_comes("p", &wipe);
    for number in 0..120 {
        let me = agent(&format!("caller{}", number / 15));
        let (tool, name) = (wipe.clone(), me.to_string());
        let call: serde_json::Value = serde_json::json!({ "arguments": { "text": "all" } });
        assert_eq!(
            play.say(&name, Topic::ToolsCall { me, tool }, &call),
            Ok(())
        );
    }
    let me = agent("root");
    assert_eq!(
        play.say("root", Topic::RoomClose { me }, &CloseRoom::default()),
        Ok(())
    );
    let mut codes = Vec::new();
    for _ in 0..5 {
        let directed = play.last.iter().flat_map(Step::directed);
        let results = directed.filter(|one| one.class == DirectedKind::ToolResult);
        let results = results.map(|one| read::<ToolResult>(&one.payload));
        codes.extend(results.filter_map(|result| result.error?.code));
        play.now += 1;
        let _ = play.hand_in(Input::Tick);
    }
    assert_eq!(codes, vec!["cancelled".to_owned(); 120]);
}
