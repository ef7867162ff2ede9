//! Registering: what agents may say of the tools that they provide, and what others see of it.
//!
//! A tool means one thing in a room: two providers must agree on its schemas and on whether a call
//! may run twice. Who comes with another idea is refused while somebody else can be called, and is
//! believed when nobody can.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::wire::approve::ApprovalRule;
use crate::wire::json::{self, Json};
use crate::wire::name::{Agent, CallId, Tool};
use crate::wire::reply::{Code, Rejection};
use crate::wire::tools::{Registration, ToolCard};
use crate::wire::topic::{RoomTopic, Topic};

use super::records::ToolChange;
use crate::engine::context::Context;
use crate::engine::digest::digest;
use crate::engine::effect::Effect;
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::gating::check_rule;
use crate::engine::recorded::Recorded;
use crate::engine::replies::{Accepted, Call, Outcome, between, json_at_most, text_at_most};
use crate::engine::tx::RoomTx;

use super::Tools;
use super::call::CallEnd;
use super::registry::{Contract, Definition};
use super::states::REGISTERED;

/// What callers rely on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Promise {
    input_schema: serde_json::Value,
    output_schema: Option<serde_json::Value>,
    idempotent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalRule>,
}

/// What becomes of an agent's registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    New,
    Again,
    Withdrawn,
}

impl Told {
    fn event(self) -> &'static str {
        match self {
            Told::New | Told::Again => "tools.registered",
            Told::Withdrawn => "tools.withdrawn",
        }
    }
}

impl Tools {
    pub(in crate::engine) fn register_tool(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
        tool: &Tool,
    ) -> Outcome {
        let agent = call.from();
        if call.command.payload.is_empty() {
            if !self.registry.registered_by(agent).contains(tool) {
                let reason = format!("{agent} has not registered {tool}");
                return Err(Rejection::new(Code::NotFound, reason));
            }
            self.withdraw_tool(tx, agent, tool);
            return Ok(Accepted::new(Code::Done));
        }
        let mut said: Registration = call.read(&tx.cx.settings)?;
        tx.once(call, |tx| {
            check_registration(tx.cx, &said)?;
            said.input_schema = of_an_object("inputSchema", &said.input_schema)?;
            if let Some(schema) = &mut said.output_schema {
                *schema = of_an_object("outputSchema", schema)?;
            }
            if let Some(rule) = &said.approval {
                check_rule(tx.cx, rule)?;
            }
            if let Some(hints) = &said.annotations {
                check_annotations(hints)?;
            }
            self.admit_tool(tx, agent, tool)?;
            let definition = self.definition(agent, tool, said)?;
            let contract = Contract::of(&definition)?;
            contract.fits_mcp()?;
            tx.join(agent)?;
            self.put_tool(tx, agent, tool, definition, contract);
            Ok(Accepted::new(Code::Done))
        })
    }

    fn admit_tool(&self, tx: &RoomTx<'_>, agent: &Agent, tool: &Tool) -> Result<(), Rejection> {
        let too_many = |reason: String| Err(Rejection::new(Code::TooMany, reason));
        let registry = &self.registry;
        let own = registry.registered_by(agent);
        let limit = tx.cx.settings.tools.max_per_agent;
        if own.len() >= limit && !own.contains(tool) {
            return too_many(format!("{agent} has registered its {limit} tools"));
        }
        let limit = tx.cx.settings.tools.max_per_room;
        let Some(entry) = registry.get(tool) else {
            return match registry.len() >= limit {
                true => too_many(format!("the room has its {limit} tools")),
                false => Ok(()),
            };
        };
        let registered = &entry.definition.registered;
        let limit = tx.cx.settings.tools.max_providers;
        if registered.len() >= limit && !registered.contains(agent) {
            return too_many(format!("{tool} has its {limit} providers"));
        }
        Ok(())
    }

    /// What the tool is from now on, with everybody who stands by it.
    fn definition(
        &self,
        agent: &Agent,
        tool: &Tool,
        said: Registration,
    ) -> Result<Definition, Rejection> {
        let contract = contract_of(&said)?;
        let mut registered = BTreeSet::from([agent.clone()]);
        if let Some(entry) = self.registry.get(tool) {
            if entry.definition.contract == contract {
                registered.extend(entry.definition.registered.iter().cloned());
            } else if let Some(other) = entry.callable.iter().find(|other| *other != agent) {
                let reason = format!(
                    "{other} provides {tool} with other schemas, another idempotent or another approval: they must be the same"
                );
                return Err(Rejection::new(Code::Conflict, reason));
            }
        }
        Ok(Definition {
            title: said.title,
            description: said.description,
            input_schema: said.input_schema,
            output_schema: said.output_schema,
            annotations: said.annotations,
            timeout_ms: said.timeout_ms,
            idempotent: said.idempotent,
            approval: said.approval,
            contract,
            registered,
        })
    }

    fn put_tool(
        &mut self,
        tx: &mut RoomTx<'_>,
        agent: &Agent,
        tool: &Tool,
        definition: Definition,
        contract: Contract,
    ) {
        let before = self.registry.get(tool);
        let is_new = before.is_none();
        let changed = before.filter(|entry| entry.definition.contract != definition.contract);
        let orphans: Vec<CallId> =
            changed.map_or_else(Vec::new, |entry| entry.calls.iter().cloned().collect());
        let registered = before.map(|entry| entry.definition.registered.clone());
        let registered = registered.unwrap_or_default();
        tx.cx.stats.tools += usize::from(is_new);
        let ousted = registered.difference(&definition.registered).cloned();
        let ousted: Vec<Agent> = ousted.collect();
        self.registry.put(tool, definition, contract);
        for other in &ousted {
            self.tell_tool(tx, other, tool, Told::Withdrawn);
        }
        for id in orphans {
            self.end_call(tx, &id, None, CallEnd::Changed);
        }
        self.change(tx, ToolChange::Tool(tool.clone()));
        let told = match registered.contains(agent) {
            true => Told::Again,
            false => Told::New,
        };
        self.tell_tool(tx, agent, tool, told);
        tx.refresh(agent);
    }

    /// An agent does not provide a tool any more: its calls of it go, and the tool with its last
    /// provider.
    fn withdraw_tool(&mut self, tx: &mut RoomTx<'_>, agent: &Agent, tool: &Tool) {
        if !self.registry.unregister(tool, agent) {
            return;
        }
        if self.registry.get(tool).is_none() {
            tx.cx.stats.tools -= 1;
        }
        self.change(tx, ToolChange::Tool(tool.clone()));
        self.tell_tool(tx, agent, tool, Told::Withdrawn);
        for id in self.registry.calls_of(agent) {
            if self.calls.get(&id).is_some_and(|call| call.tool == *tool) {
                self.lose_call(tx, &id, CallEnd::Withdrawn(agent.clone()));
            }
        }
    }

    /// The agent has left the room: it provides nothing, and what it was called for is lost.
    pub(in crate::engine) fn withdraw_tools(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        self.lose_calls(tx, agent);
        for tool in self.registry.registered_by(agent) {
            self.withdraw_tool(tx, agent, &tool);
        }
    }

    /// The grace is over for an agent that came back with a new session: what it has not subscribed
    /// to again it does not provide.
    pub(in crate::engine) fn confirm_tools(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        for tool in self.registry.registered_by(agent) {
            let listens = |member: &crate::engine::member::Member| member.provides.contains(&tool);
            if !tx.room.members.0.get(agent).is_some_and(listens) {
                self.withdraw_tool(tx, agent, &tool);
            }
        }
    }

    /// Sees to it that an agent can be called for just what it provides now.
    pub(in crate::engine) fn recall(&mut self, tx: &mut RoomTx<'_>, agent: &Agent, may_work: bool) {
        let none = BTreeSet::new();
        let member = tx.room.members.0.get(agent);
        let listens = member.filter(|member| may_work && member.is_available());
        let listens = listens.map_or(&none, |member| &member.provides);
        let limit = tx.cx.settings.tools.max_calls_per_provider;
        self.registry.set_callable(agent, listens, limit);
    }

    /// After a restart nobody knows what was shown of whom, and nobody is connected.
    pub(in crate::engine) fn stir_cards(&mut self, tx: &mut RoomTx<'_>) {
        if !self.registry.is_empty() {
            self.registry.stir_all();
            tx.touch();
        }
    }

    /// Shows every tool that looks different from when it was last shown.
    pub(in crate::engine) fn flush_cards(&mut self, tx: &mut RoomTx<'_>) {
        for tool in std::mem::take(&mut self.registry.dirty) {
            let timeout_ms = tx.cx.settings.tools.timeout.ms();
            let payload = match self.registry.get_mut(&tool) {
                Some(entry) if entry.shown.as_ref() == Some(&entry.callable) => continue,
                Some(entry) => {
                    entry.shown = Some(entry.callable.clone());
                    let providers = entry.callable.iter().cloned().collect();
                    let card = entry.definition.card(&tool, timeout_ms, providers);
                    Some(json::encode(&card))
                }
                None => None,
            };
            tx.cx.emit(Effect::Retain {
                topic: RoomTopic::new(tx.room.name.clone(), Topic::ToolsCard { tool }),
                payload,
            });
        }
    }

    fn tell_tool(&mut self, tx: &mut RoomTx<'_>, agent: &Agent, tool: &Tool, change: Told) {
        let definition = self.registry.definition(tool);
        let contract = definition.map(|definition| definition.contract.clone());
        let happened = RoomEvent {
            from: (change == Told::Withdrawn).then_some(REGISTERED),
            to: (change == Told::New).then_some(REGISTERED),
            detail: Detail {
                digest: contract.as_deref(),
                ..Detail::default()
            },
            ..RoomEvent::new(change.event(), tool.as_str(), agent)
        };
        tx.record_event(&happened);
    }
}

impl Definition {
    fn card(&self, tool: &Tool, timeout_ms: u64, providers: Vec<Agent>) -> ToolCard {
        let is_taken = |schema: &Json| {
            of_an_object("outputSchema", schema).is_ok_and(|taken| taken == *schema)
        };
        let hints = self.annotations.clone();
        ToolCard {
            name: tool.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            input_schema: self.input_schema.clone(),
            // What an earlier version has registered may be none that a client of MCP takes.
            output_schema: self.output_schema.clone().filter(is_taken),
            annotations: hints.filter(|hints| check_annotations(hints).is_ok()),
            timeout_ms: self.timeout_ms.unwrap_or(timeout_ms),
            idempotent: self.idempotent,
            approval: self.approval.clone(),
            providers,
        }
    }
}

/// The schema of a tool's arguments or results, which are an object and say so in MCP's `Tool`; so
/// must each property be described by one. Clients of MCP drop the whole list for one card that is
/// otherwise.
fn of_an_object(path: &str, schema: &Json) -> Result<Json, Rejection> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        of: Option<Json>,
        #[serde(default)]
        properties: BTreeMap<String, Json>,
    }
    let text = schema.text().trim();
    let refuse = || {
        let shown: String = text.chars().take(64).collect();
        let reason = format!(
            r#"expected the schema of an object, {{"type":"object",…}}, but it is {shown}"#
        );
        Rejection::new(Code::Invalid, reason).at(path)
    };
    let inside = text.strip_prefix('{').ok_or_else(refuse)?;
    let typed: Typed = serde_json::from_str(text).map_err(|_| refuse())?;
    let is_object = |schema: &Json| schema.text().starts_with('{');
    if let Some((name, found)) = typed.properties.iter().find(|(_, one)| !is_object(one)) {
        let shown: String = found.text().chars().take(64).collect();
        let reason = format!(
            r#"expected a schema, {{}} for anything and {{"not":{{}}}} for nothing, but it is {shown}"#
        );
        let path = format!("{path}.properties.{name}");
        return Err(Rejection::new(Code::Invalid, reason).at(path));
    }
    match typed.of {
        Some(of) if of.text() == r#""object""# => Ok(schema.clone()),
        Some(_) => Err(refuse()),
        None => {
            let comma = if inside.trim_start() == "}" { "" } else { "," };
            let whole = format!(r#"{{"type":"object"{comma}{inside}"#);
            serde_json::from_str(&whole).map_err(|_| refuse())
        }
    }
}

/// Refuses hints that are not as MCP's `ToolAnnotations` has them.
fn check_annotations(hints: &Json) -> Result<(), Rejection> {
    const TITLE: &str = "title";
    const FLAGS: [&str; 4] = [
        "readOnlyHint",
        "destructiveHint",
        "idempotentHint",
        "openWorldHint",
    ];
    let refuse = |path: String, expected: &str, found: &str| {
        let shown: String = found.chars().take(64).collect();
        let reason = format!("expected {expected}, as MCP has it, but it is {shown}");
        Err(Rejection::new(Code::Invalid, reason).at(path))
    };
    let text = hints.text();
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, Json>>(text) else {
        return refuse("annotations".to_owned(), "an object", text);
    };
    for (name, value) in &fields {
        let value = value.text();
        let (expected, is_so) = match name.as_str() {
            TITLE => ("a text", value.starts_with('"')),
            flag if FLAGS.contains(&flag) => ("true or false", matches!(value, "true" | "false")),
            _ => continue,
        };
        if !is_so {
            return refuse(format!("annotations.{name}"), expected, value);
        }
    }
    Ok(())
}

/// The digest of what callers rely on.
fn contract_of(said: &Registration) -> Result<String, Rejection> {
    let parse = |path: &str, schema: &Json| {
        serde_json::from_str(schema.text())
            .map_err(|error| Rejection::new(Code::Invalid, json::words(&error)).at(path))
    };
    let output = said.output_schema.as_ref();
    let promise = Promise {
        input_schema: parse("inputSchema", &said.input_schema)?,
        output_schema: output
            .map(|schema| parse("outputSchema", schema))
            .transpose()?,
        idempotent: said.idempotent,
        approval: said.approval.clone(),
    };
    digest(&promise).map_err(|error| {
        let reason = format!("a schema has no canonical form: {}", json::words(&error));
        Rejection::new(Code::Invalid, reason).at("inputSchema")
    })
}

fn check_registration(cx: &Context, said: &Registration) -> Result<(), Rejection> {
    let settings = &cx.settings;
    text_at_most(
        "title",
        said.title.as_deref(),
        settings.commands.max_label.0,
    )?;
    let words = settings.commands.max_reason.0;
    text_at_most("description", Some(&said.description), words)?;
    let schema = settings.tools.max_schema.0;
    json_at_most("inputSchema", Some(&said.input_schema), schema)?;
    json_at_most("outputSchema", said.output_schema.as_ref(), schema)?;
    let hints = settings.rooms.max_metadata.0;
    json_at_most("annotations", said.annotations.as_ref(), hints)?;
    match said.timeout_ms {
        Some(ms) => between("timeoutMs", ms, 1, settings.tools.max_timeout.ms()),
        None => Ok(()),
    }
}
