//! The registry: which tools a room has, who has registered them, and who can be called right now.
//!
//! For each tool it keeps those who can be called by load, so that choosing one costs the same
//! however many there are. It knows names, schemas and numbers; calls and connections are others'
//! business.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::schema::{Schema, is_unicode_pattern};
use crate::wire::approve::ApprovalRule;
use crate::wire::json::Json;
use crate::wire::name::{Agent, CallId, Tool};
use crate::wire::reply::{Code, Rejection};

/// What a tool is, as its providers have registered it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Definition {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    pub(super) description: String,
    pub(super) input_schema: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) output_schema: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) timeout_ms: Option<u64>,
    pub(super) idempotent: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) approval: Option<ApprovalRule>,
    /// Digest of what callers rely on: both schemas, whether a call may run twice, and who
    /// approves.
    pub(super) contract: String,
    /// Who has registered it.
    pub(super) registered: BTreeSet<Agent>,
}

/// Both schemas of a tool, ready to check.
#[derive(Debug)]
pub(super) struct Contract {
    pub(super) input: Schema,
    pub(super) output: Option<Schema>,
}

/// A tool.
#[derive(Debug)]
pub(super) struct ToolEntry {
    pub(super) definition: Definition,
    /// Words where a schema of an earlier run cannot be used any more: nobody is called then.
    contract: Result<Contract, String>,
    /// Who can be called, busy or not.
    pub(super) callable: BTreeSet<Agent>,
    /// Those of them who can take one more: the least loaded first, then who waited longest.
    ready: BTreeSet<(ProviderLoad, Agent)>,
    /// Calls that are not over.
    pub(super) calls: BTreeSet<CallId>,
    /// The callable ones as they were last shown.
    pub(super) shown: Option<BTreeSet<Agent>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ProviderLoad {
    calls: usize,
    /// When it last got a call, counted in calls.
    turn: u64,
}

/// What an agent has to do with tools.
#[derive(Debug, Default)]
struct Provider {
    registered: BTreeSet<Tool>,
    /// What it can be called for.
    callable: BTreeSet<Tool>,
    calls: BTreeSet<CallId>,
    turn: u64,
}

/// A room's tools and providers.
#[derive(Debug, Default)]
pub(in crate::engine) struct Registry {
    entries: BTreeMap<Tool, ToolEntry>,
    providers: BTreeMap<Agent, Provider>,
    last_turn: u64,
    /// Tools whose card may look different.
    pub(super) dirty: BTreeSet<Tool>,
}

impl ToolEntry {
    fn new(definition: Definition, contract: Result<Contract, String>) -> ToolEntry {
        ToolEntry {
            definition,
            contract,
            callable: BTreeSet::new(),
            ready: BTreeSet::new(),
            calls: BTreeSet::new(),
            shown: None,
        }
    }

    pub(super) fn contract(&self) -> Result<&Contract, Rejection> {
        self.contract
            .as_ref()
            .map_err(|why| Rejection::new(Code::Unavailable, why.clone()))
    }
}

impl Contract {
    pub(super) fn of(definition: &Definition) -> Result<Contract, Rejection> {
        let compile = |path: &str, schema: &Json| {
            Schema::compile(schema.text())
                .map_err(|error| Rejection::new(Code::Invalid, error.to_string()).at(path))
        };
        let output = definition.output_schema.as_ref();
        Ok(Contract {
            input: compile("inputSchema", &definition.input_schema)?,
            output: output
                .map(|schema| compile("outputSchema", schema))
                .transpose()?,
        })
    }

    /// Refuses an output schema that clients of MCP cannot compile: they drop the whole list with
    /// it.
    pub(super) fn fits_mcp(&self) -> Result<(), Rejection> {
        let mut patterns = self.output.iter().flat_map(Schema::patterns);
        let Some(bad) = patterns.find(|pattern| !is_unicode_pattern(pattern)) else {
            return Ok(());
        };
        let shown: String = bad.chars().take(200).collect();
        let reason = format!("the pattern {shown} is none of ECMA-262 with its flag u");
        Err(Rejection::new(Code::Invalid, reason).at("outputSchema"))
    }
}

impl Provider {
    fn load(&self) -> ProviderLoad {
        ProviderLoad {
            calls: self.calls.len(),
            turn: self.turn,
        }
    }

    fn is_idle(&self) -> bool {
        self.registered.is_empty() && self.callable.is_empty() && self.calls.is_empty()
    }
}

impl Registry {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, tool: &Tool) -> Option<&ToolEntry> {
        self.entries.get(tool)
    }

    pub(super) fn get_mut(&mut self, tool: &Tool) -> Option<&mut ToolEntry> {
        self.entries.get_mut(tool)
    }

    pub(in crate::engine) fn definition(&self, tool: &Tool) -> Option<&Definition> {
        self.entries.get(tool).map(|entry| &entry.definition)
    }

    /// What an agent has registered.
    pub(super) fn registered_by(&self, agent: &Agent) -> BTreeSet<Tool> {
        let provider = self.providers.get(agent);
        provider.map_or_else(BTreeSet::new, |provider| provider.registered.clone())
    }

    pub(super) fn calls_of(&self, agent: &Agent) -> BTreeSet<CallId> {
        let provider = self.providers.get(agent);
        provider.map_or_else(BTreeSet::new, |provider| provider.calls.clone())
    }

    /// Puts a tool in place, or in the place of what it was. Whoever is not among the registered
    /// any more is not callable either.
    pub(super) fn put(&mut self, tool: &Tool, definition: Definition, contract: Contract) {
        let registered = definition.registered.clone();
        self.dirty.insert(tool.clone());
        let Some(entry) = self.entries.get_mut(tool) else {
            let entry = ToolEntry::new(definition, Ok(contract));
            self.entries.insert(tool.clone(), entry);
            self.note_registered(tool, &registered);
            return;
        };
        let before = std::mem::replace(&mut entry.definition, definition).registered;
        entry.contract = Ok(contract);
        entry.shown = None;
        for gone in before.difference(&registered) {
            self.close(tool, gone);
            self.note(gone, |provider| {
                provider.registered.remove(tool);
            });
        }
        self.note_registered(tool, &registered);
    }

    fn note_registered(&mut self, tool: &Tool, registered: &BTreeSet<Agent>) {
        for agent in registered {
            self.note(agent, |provider| {
                provider.registered.insert(tool.clone());
            });
        }
    }

    /// Puts a tool back from its record.
    pub(super) fn restore(&mut self, tool: Tool, definition: Definition) {
        let contract = Contract::of(&definition);
        let contract =
            contract.map_err(|rejection| format!("{tool} has no schema to check by: {rejection}"));
        self.note_registered(&tool, &definition.registered);
        self.entries
            .insert(tool, ToolEntry::new(definition, contract));
    }

    /// An agent does not provide the tool any more; says whether it did, and removes the tool with
    /// the last of them.
    pub(super) fn unregister(&mut self, tool: &Tool, agent: &Agent) -> bool {
        self.close(tool, agent);
        let Some(entry) = self.entries.get_mut(tool) else {
            return false;
        };
        let was_registered = entry.definition.registered.remove(agent);
        if entry.definition.registered.is_empty() {
            self.entries.remove(tool);
        }
        self.dirty.insert(tool.clone());
        self.note(agent, |provider| {
            provider.registered.remove(tool);
        });
        was_registered
    }

    fn note(&mut self, agent: &Agent, change: impl FnOnce(&mut Provider)) {
        let provider = self.providers.entry(agent.clone()).or_default();
        change(provider);
        if provider.is_idle() {
            self.providers.remove(agent);
        }
    }

    /// Sets what an agent can be called for: what it has registered of what it listens to.
    pub(super) fn set_callable(&mut self, agent: &Agent, listens: &BTreeSet<Tool>, limit: usize) {
        let Some(provider) = self.providers.get(agent) else {
            return;
        };
        let wanted: BTreeSet<Tool> = provider.registered.intersection(listens).cloned().collect();
        let gone: Vec<Tool> = provider.callable.difference(&wanted).cloned().collect();
        for tool in &gone {
            self.close(tool, agent);
        }
        for tool in wanted {
            self.open(&tool, agent, limit);
        }
    }

    fn open(&mut self, tool: &Tool, agent: &Agent, limit: usize) {
        let (Some(entry), Some(provider)) =
            (self.entries.get_mut(tool), self.providers.get_mut(agent))
        else {
            return;
        };
        if !provider.callable.insert(tool.clone()) {
            return;
        }
        entry.callable.insert(agent.clone());
        if provider.calls.len() < limit {
            entry.ready.insert((provider.load(), agent.clone()));
        }
        self.dirty.insert(tool.clone());
    }

    fn close(&mut self, tool: &Tool, agent: &Agent) {
        let (Some(entry), Some(provider)) =
            (self.entries.get_mut(tool), self.providers.get_mut(agent))
        else {
            return;
        };
        if provider.callable.remove(tool) {
            entry.callable.remove(agent);
            entry.ready.remove(&(provider.load(), agent.clone()));
            self.dirty.insert(tool.clone());
        }
    }

    /// Whom to call: the least loaded who can take one more, of those that will do. There are at
    /// most as many as may provide a tool.
    pub(super) fn pick(&self, tool: &Tool, will_do: impl Fn(&Agent) -> bool) -> Option<Agent> {
        let ready = &self.entries.get(tool)?.ready;
        let mut agents = ready.iter().map(|(_, agent)| agent);
        agents.find(|agent| will_do(agent)).cloned()
    }

    /// A tool has one call more.
    pub(super) fn enter(&mut self, tool: &Tool, call: &CallId) {
        if let Some(entry) = self.entries.get_mut(tool) {
            entry.calls.insert(call.clone());
        }
    }

    /// A tool has one call less.
    pub(super) fn exit(&mut self, tool: &Tool, call: &CallId) {
        if let Some(entry) = self.entries.get_mut(tool) {
            entry.calls.remove(call);
        }
    }

    /// An agent has got a call.
    pub(super) fn took(&mut self, agent: &Agent, call: &CallId, limit: usize) {
        self.last_turn += 1;
        let turn = self.last_turn;
        self.reload(agent, limit, |provider| {
            provider.calls.insert(call.clone());
            provider.turn = turn;
        });
    }

    /// An agent has one call less.
    pub(super) fn freed(&mut self, agent: &Agent, call: &CallId, limit: usize) {
        self.reload(agent, limit, |provider| {
            provider.calls.remove(call);
        });
    }

    fn reload(&mut self, agent: &Agent, limit: usize, change: impl FnOnce(&mut Provider)) {
        let provider = self.providers.entry(agent.clone()).or_default();
        let before = provider.load();
        change(provider);
        let after = provider.load();
        for tool in &provider.callable {
            if let Some(entry) = self.entries.get_mut(tool) {
                entry.ready.remove(&(before, agent.clone()));
                if after.calls < limit {
                    entry.ready.insert((after, agent.clone()));
                }
            }
        }
        if provider.is_idle() {
            self.providers.remove(agent);
        }
    }

    /// Another number of calls at once is allowed.
    pub(in crate::engine) fn set_limit(&mut self, limit: usize) {
        for entry in self.entries.values_mut() {
            let provider = |agent: &Agent| Some((self.providers.get(agent)?.load(), agent.clone()));
            let loads = entry.callable.iter().filter_map(provider);
            entry.ready = loads.filter(|(load, _)| load.calls < limit).collect();
        }
    }

    /// Every card may look different: after a restart nobody knows what was shown.
    pub(super) fn stir_all(&mut self) {
        self.dirty.extend(self.entries.keys().cloned());
    }
}
