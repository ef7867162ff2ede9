//! Tools and calls: who has registered what, who has which call, and the one final result.

use std::collections::{BTreeMap, BTreeSet};

use hallward::engine::Directed;
use hallward::wire::Millis;
use hallward::wire::json::Json;
use hallward::wire::name::{Agent, CallId, GATEWAY, Room, Tool};
use hallward::wire::observe::Event;
use hallward::wire::question::{AnswerCall, GivenAnswer};
use hallward::wire::tools::{
    Registration, ReturnStatus, ToolCall, ToolResult, ToolReturn, ToolRun,
};

use super::super::history::{Step, read};
use super::Tally;
use super::asks::what_came_of;
use super::encodings::canonical;
use super::gates::Clearance;

/// A tool, as the last who registered it described it.
#[derive(Debug, Clone)]
pub(in super::super) struct ToolModel {
    pub(in super::super) said: Registration,
    pub(in super::super) registered: BTreeSet<Agent>,
}

/// One call.
#[derive(Debug, Clone)]
pub(in super::super) struct CallModel {
    pub(in super::super) tool: Tool,
    pub(in super::super) caller: Agent,
    /// Who has it; nobody before its first run.
    pub(in super::super) provider: Option<Agent>,
    pub(in super::super) turn: u32,
    /// When it was sent to its provider last.
    pub(in super::super) sent_at: Millis,
    pub(in super::super) idempotent: bool,
    pub(in super::super) arguments: Json,
    /// What its tool was when it was called.
    pub(in super::super) said: Registration,
    /// Whether a provider may get it.
    pub(in super::super) clearance: Clearance,
    /// How long it may take from then on.
    pub(in super::super) timeout_ms: Millis,
    pub(in super::super) called_at: Millis,
    pub(in super::super) deadline: Millis,
    pub(in super::super) correlation_id: Option<String>,
    /// What its provider waits to be answered.
    pub(in super::super) asked: Option<CallAsk>,
    /// How many questions were asked: those that were taken back have a number, too.
    pub(in super::super) asks: u32,
    /// What came of the questions before.
    pub(in super::super) answers: Vec<GivenAnswer>,
    /// The result that its provider gave, as that spelt it.
    pub(in super::super) outcome: Option<Json>,
    /// Its final results: one, when it is over.
    pub(in super::super) finals: Vec<ToolResult>,
}

/// A question of a provider's: until then the time of its call stands still.
#[derive(Debug, Clone)]
pub(in super::super) struct CallAsk {
    pub(in super::super) until: Millis,
    /// What is left of the call's time.
    left: Millis,
    /// What was answered in the step that is being looked at.
    pub(in super::super) answer: Option<Json>,
}

impl CallModel {
    /// The answers as a run lists them; the one that brings it included.
    pub(in super::super) fn given(&self, comes_with_one: bool) -> Vec<GivenAnswer> {
        let mut answers = self.answers.clone();
        if let Some(ask) = self.asked.as_ref().filter(|_| comes_with_one) {
            answers.push(what_came_of(self.asks, ask.answer.clone()));
        }
        answers
    }

    /// Who has it, as others are told: the gateway, before anybody gets it.
    pub(in super::super) fn told_provider(&self) -> Agent {
        let gateway = || Agent::new(GATEWAY).expect("a name");
        self.provider.clone().unwrap_or_else(gateway)
    }

    /// When its time is over, as a run of now says it.
    pub(in super::super) fn deadline_at(&self, now: Millis) -> Millis {
        match &self.asked {
            Some(ask) => now + ask.left,
            // It begins once it is approved.
            None if self.provider.is_none() && self.clearance != Clearance::NotNeeded => {
                now + self.timeout_ms
            }
            None => self.deadline,
        }
    }
}

/// Names a call in every room.
pub(in super::super) type CallName = (Room, CallId);

/// All tools and calls of all rooms.
#[derive(Debug, Default)]
pub(in super::super) struct Tools {
    pub(in super::super) registry: BTreeMap<(Room, Tool), ToolModel>,
    pub(in super::super) calls: BTreeMap<CallName, CallModel>,
    /// Calls that are not over.
    pub(in super::super) open: BTreeSet<CallName>,
    /// Those that are over and remembered, in the order of their ends.
    kept: BTreeMap<Room, BTreeSet<(Millis, CallId)>>,
    /// Calls that each provider has, in all rooms.
    load: BTreeMap<(Room, Agent), usize>,
}

/// Whether two say the same of a tool, as far as callers rely on it.
pub(in super::super) fn same_contract(one: &Registration, other: &Registration) -> bool {
    let contract = |said: &Registration| {
        let schemas = (&said.input_schema, &said.output_schema);
        (canonical(&schemas), said.idempotent, said.approval.clone())
    };
    contract(one) == contract(other)
}

impl Tools {
    pub(in super::super) fn find(&self, room: &Room, call: &CallId) -> Option<&CallModel> {
        self.calls.get(&(room.clone(), call.clone()))
    }

    pub(in super::super) fn is_open(&self, room: &Room, call: &CallId) -> bool {
        self.open.contains(&(room.clone(), call.clone()))
    }

    pub(in super::super) fn load(&self, room: &Room, agent: &Agent) -> usize {
        let load = self.load.get(&(room.clone(), agent.clone()));
        load.copied().unwrap_or_default()
    }

    /// A registration that was accepted, or with an empty payload a withdrawal (which its event
    /// completes).
    pub(super) fn registered(&mut self, step: &Step, tool: &Tool) {
        let command = step.command().expect("a registration");
        if command.payload.is_empty() {
            return;
        }
        let said: Registration = read(&command.payload);
        let key = (command.topic.room.clone(), tool.clone());
        let mut registered = match self.registry.remove(&key) {
            Some(before) if same_contract(&before.said, &said) => before.registered,
            _ => BTreeSet::new(),
        };
        registered.insert(command.from.clone());
        self.registry.insert(key, ToolModel { said, registered });
    }

    /// A call that was accepted: its event names it.
    pub(super) fn called(&mut self, step: &Step, tool: &Tool, usual_timeout_ms: Millis) {
        let command = step.command().expect("a call");
        let room = &command.topic.room;
        let event = step.events().find(|event| event.what == "tools.called");
        let call = event.and_then(|event| CallId::new(&event.subject).ok());
        let known = self.registry.get(&(room.clone(), tool.clone()));
        let (Some(id), Some(known)) = (call, known) else {
            return;
        };
        let asked: ToolCall = read(&command.payload);
        let timeout = asked.timeout_ms.or(known.said.timeout_ms);
        let timeout = timeout.unwrap_or(usual_timeout_ms);
        let call = CallModel {
            tool: tool.clone(),
            caller: command.from.clone(),
            provider: None,
            turn: 0,
            sent_at: step.now,
            idempotent: known.said.idempotent,
            arguments: asked.arguments.expect("smiths name their arguments"),
            said: known.said.clone(),
            clearance: Clearance::before(known.said.approval.as_ref()),
            timeout_ms: timeout,
            called_at: step.now,
            deadline: step.now + timeout,
            correlation_id: asked
                .correlation_id
                .or_else(|| command.mirrors.correlation_id.clone()),
            asked: None,
            asks: 0,
            answers: Vec::new(),
            outcome: None,
            finals: Vec::new(),
        };
        let name = (room.clone(), id);
        self.open.insert(name.clone());
        self.calls.insert(name, call);
    }

    /// An answer that was accepted.
    pub(super) fn answered(&mut self, step: &Step) {
        let command = step.command().expect("an answer");
        let said: ToolReturn = read(&command.payload);
        let name = (command.topic.room.clone(), said.call);
        let Some(call) = self.calls.get_mut(&name) else {
            return;
        };
        match said.status {
            ReturnStatus::Success => call.outcome = said.result,
            ReturnStatus::Input => {
                let until = step.now + said.ttl_ms.expect("how long it waits");
                let left = call.deadline.saturating_sub(step.now).max(1);
                call.deadline = until;
                call.asks += 1;
                call.asked = Some(CallAsk {
                    until,
                    left,
                    answer: None,
                });
            }
            ReturnStatus::Error | ReturnStatus::Partial => {}
        }
    }

    /// An answer of its caller's that was accepted.
    pub(super) fn told(&mut self, step: &Step) {
        let command = step.command().expect("an answer");
        let said: AnswerCall = read(&command.payload);
        let name = (command.topic.room.clone(), said.call);
        if let Some(ask) = self
            .calls
            .get_mut(&name)
            .and_then(|call| call.asked.as_mut())
        {
            ask.answer = Some(said.answer);
        }
    }

    /// A provider got a run.
    pub(super) fn ran(&mut self, now: Millis, directed: &Directed, turn: u32, tally: &mut Tally) {
        let run: ToolRun = read(&directed.payload);
        let name = (directed.topic.room.clone(), run.call);
        let Some(call) = self.calls.get_mut(&name) else {
            return;
        };
        let again = call.provider.as_ref() == Some(&directed.to) && call.turn == turn;
        call.deadline = call.deadline_at(now);
        let asked = call.asked.take();
        if let Some(ask) = asked.filter(|_| again) {
            match &ask.answer {
                Some(_) => tally.tool_answers += 1,
                None => tally.tool_silences += 1,
            }
            let given = what_came_of(call.asks, ask.answer);
            call.answers.push(given);
        } else if again {
            tally.run_again += 1;
        } else {
            tally.called += u64::from(turn == 0);
            tally.rerouted += u64::from(turn > 0);
        }
        call.turn = turn;
        call.sent_at = now;
        let before = call.provider.replace(directed.to.clone());
        self.move_load(&name.0, before.as_ref(), Some(&directed.to));
    }

    fn move_load(&mut self, room: &Room, from: Option<&Agent>, to: Option<&Agent>) {
        if let Some(load) = from.and_then(|from| self.load.get_mut(&(room.clone(), from.clone()))) {
            *load -= 1;
        }
        if let Some(to) = to {
            *self.load.entry((room.clone(), to.clone())).or_default() += 1;
        }
    }

    pub(super) fn result(&mut self, room: &Room, result: ToolResult, tally: &mut Tally) {
        let name = (room.clone(), result.call.clone());
        let Some(call) = self.calls.get_mut(&name) else {
            return;
        };
        if !result.is_final {
            tally.tool_parts += 1;
            return;
        }
        let code = result
            .error
            .as_ref()
            .map_or("success", |error| error.code.as_deref().unwrap_or_default());
        *tally.tool_ends.entry(code.to_owned()).or_default() += 1;
        let kept = self.kept.entry(room.clone()).or_default();
        kept.insert((result.at, result.call.clone()));
        call.finals.push(result);
        let provider = call.provider.clone();
        if self.open.remove(&name) {
            self.move_load(room, provider.as_ref(), None);
        }
    }

    /// So many that are over are remembered in each room.
    pub(super) fn keep(&mut self, most: usize) {
        for kept in self.kept.values_mut() {
            while kept.len() > most {
                kept.pop_first();
            }
        }
    }

    /// Whether a call is over and remembered.
    pub(in super::super) fn is_kept(&self, room: &Room, call: &CallId) -> bool {
        let over = self.find(room, call).and_then(|call| call.finals.first());
        over.is_some_and(|over| {
            let kept = self.kept.get(room);
            kept.is_some_and(|kept| kept.contains(&(over.at, call.clone())))
        })
    }

    pub(super) fn event(&mut self, event: &Event) {
        if event.what != "tools.withdrawn" {
            return;
        }
        let Ok(tool) = Tool::new(&event.subject) else {
            return;
        };
        let key = (event.room.clone(), tool);
        if let Some(known) = self.registry.get_mut(&key) {
            known.registered.remove(&event.who);
            if known.registered.is_empty() {
                self.registry.remove(&key);
            }
        }
    }

    /// How many results an agent is owed.
    pub(super) fn promised(&self, agent: &Agent) -> usize {
        let open = self.open.iter().filter_map(|name| self.calls.get(name));
        open.filter(|call| call.caller == *agent).count()
    }
}
