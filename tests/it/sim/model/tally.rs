//! What happened how often.

use std::collections::BTreeMap;

/// How often something happened: a run in which nothing went wrong proves little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Tally {
    pub(in super::super) steps: u64,
    pub(in super::super) crashes: u64,
    pub(in super::super) clock_steps: u64,
    pub(in super::super) configured: u64,
    pub(in super::super) assigned: u64,
    pub(in super::super) assigned_again: u64,
    pub(in super::super) put_back: u64,
    pub(in super::super) ended: BTreeMap<String, u64>,
    pub(in super::super) rejected: BTreeMap<u16, u64>,
    pub(in super::super) repeats: u64,
    /// Ids that came again with something else.
    pub(in super::super) misused_ids: u64,
    pub(in super::super) writes: u64,
    pub(in super::super) deletes: u64,
    pub(in super::super) lapsed_keys: u64,
    pub(in super::super) transactions: u64,
    pub(in super::super) locked: u64,
    pub(in super::super) waited: u64,
    pub(in super::super) fenced_off: u64,
    pub(in super::super) approved: u64,
    pub(in super::super) refused: u64,
    pub(in super::super) timed_out: u64,
    pub(in super::super) escalated: u64,
    pub(in super::super) audited: u64,
    pub(in super::super) relayed: u64,
    pub(in super::super) relays_expired: u64,
    pub(in super::super) mail_listed: u64,
    pub(in super::super) mail_purged: u64,
    pub(in super::super) told_in_cbor: u64,
    pub(in super::super) shown_in_cbor: u64,
    pub(in super::super) too_large: u64,
    pub(in super::super) closed: u64,
    pub(in super::super) opened: u64,
    pub(in super::super) turned_away: u64,
    pub(in super::super) doomed: u64,
    pub(in super::super) redriven: u64,
    /// Redrives by type that took more than one command.
    pub(in super::super) walked: u64,
    pub(in super::super) answered: u64,
    pub(in super::super) unanswered: u64,
    /// Their workers were gone.
    pub(in super::super) answered_late: u64,
    /// Dead tasks that those left where they were, by the code that said why.
    pub(in super::super) left_dead: BTreeMap<u16, u64>,
    pub(in super::super) gathered: u64,
    pub(in super::super) recalled: u64,
    pub(in super::super) not_recalled: u64,
    pub(in super::super) called: u64,
    pub(in super::super) rerouted: u64,
    pub(in super::super) run_again: u64,
    pub(in super::super) tool_parts: u64,
    pub(in super::super) tool_answers: u64,
    pub(in super::super) tool_silences: u64,
    pub(in super::super) calls_told: u64,
    pub(in super::super) calls_forgotten: u64,
    pub(in super::super) tool_ends: BTreeMap<String, u64>,
    /// What became of what the gateway asked for by itself, by what it held back.
    pub(in super::super) gates: BTreeMap<String, u64>,
}

impl Tally {
    /// Both together.
    pub(in super::super) fn add(&mut self, other: &Tally) {
        let counts = [
            (&mut self.steps, other.steps),
            (&mut self.crashes, other.crashes),
            (&mut self.clock_steps, other.clock_steps),
            (&mut self.configured, other.configured),
            (&mut self.assigned, other.assigned),
            (&mut self.assigned_again, other.assigned_again),
            (&mut self.put_back, other.put_back),
            (&mut self.repeats, other.repeats),
            (&mut self.misused_ids, other.misused_ids),
            (&mut self.writes, other.writes),
            (&mut self.deletes, other.deletes),
            (&mut self.lapsed_keys, other.lapsed_keys),
            (&mut self.transactions, other.transactions),
            (&mut self.locked, other.locked),
            (&mut self.waited, other.waited),
            (&mut self.fenced_off, other.fenced_off),
            (&mut self.approved, other.approved),
            (&mut self.refused, other.refused),
            (&mut self.timed_out, other.timed_out),
            (&mut self.escalated, other.escalated),
            (&mut self.audited, other.audited),
            (&mut self.relayed, other.relayed),
            (&mut self.relays_expired, other.relays_expired),
            (&mut self.mail_listed, other.mail_listed),
            (&mut self.mail_purged, other.mail_purged),
            (&mut self.told_in_cbor, other.told_in_cbor),
            (&mut self.shown_in_cbor, other.shown_in_cbor),
            (&mut self.too_large, other.too_large),
            (&mut self.closed, other.closed),
            (&mut self.opened, other.opened),
            (&mut self.turned_away, other.turned_away),
            (&mut self.doomed, other.doomed),
            (&mut self.redriven, other.redriven),
            (&mut self.walked, other.walked),
            (&mut self.answered, other.answered),
            (&mut self.unanswered, other.unanswered),
            (&mut self.answered_late, other.answered_late),
            (&mut self.gathered, other.gathered),
            (&mut self.recalled, other.recalled),
            (&mut self.not_recalled, other.not_recalled),
            (&mut self.called, other.called),
            (&mut self.rerouted, other.rerouted),
            (&mut self.run_again, other.run_again),
            (&mut self.tool_parts, other.tool_parts),
            (&mut self.tool_answers, other.tool_answers),
            (&mut self.tool_silences, other.tool_silences),
            (&mut self.calls_told, other.calls_told),
            (&mut self.calls_forgotten, other.calls_forgotten),
        ];
        for (mine, theirs) in counts {
            *mine += theirs;
        }
        for (end, count) in &other.ended {
            *self.ended.entry(end.clone()).or_default() += count;
        }
        for (end, count) in &other.tool_ends {
            *self.tool_ends.entry(end.clone()).or_default() += count;
        }
        for (what, count) in &other.gates {
            *self.gates.entry(what.clone()).or_default() += count;
        }
        for (code, count) in &other.left_dead {
            *self.left_dead.entry(*code).or_default() += count;
        }
        for (code, count) in &other.rejected {
            *self.rejected.entry(*code).or_default() += count;
        }
    }

    /// Whether all that can become of what the gateway holds back has become of a task and of a
    /// call.
    fn has_every_gate(&self) -> bool {
        let ends = [
            "approved",
            "edited",
            "refused",
            "timed out",
            "taken back",
            "withdrawn",
        ];
        let mut all = ["task", "call"]
            .iter()
            .flat_map(|kind| ends.map(|end| format!("{kind} {end}")));
        all.all(|what| self.gates.contains_key(&what))
    }

    /// Fails unless everything that can happen has happened.
    pub(in super::super) fn has_everything(&self) {
        let counts = [
            self.crashes,
            self.clock_steps,
            self.configured,
            self.assigned_again,
            self.put_back,
            self.repeats,
            self.misused_ids,
            self.deletes,
            self.lapsed_keys,
            self.transactions,
            self.locked,
            self.waited,
            self.fenced_off,
            self.approved,
            self.refused,
            self.timed_out,
            self.escalated,
            self.audited,
            self.relayed,
            self.relays_expired,
            self.mail_listed,
            self.mail_purged,
            self.told_in_cbor,
            self.shown_in_cbor,
            self.too_large,
            self.closed,
            self.opened,
            self.turned_away,
            self.doomed,
            self.redriven,
            self.walked,
            self.answered,
            self.unanswered,
            self.answered_late,
            self.gathered,
            self.recalled,
            self.not_recalled,
            self.called,
            self.rerouted,
            self.run_again,
            self.tool_answers,
            self.tool_silences,
            self.tool_parts,
            self.calls_told,
            self.calls_forgotten,
        ];
        let tool_ends = [
            "success",
            "sim",
            "timeout",
            "cancelled",
            "provider-gone",
            "withdrawn",
            "tool-changed",
            "not-approved",
            "unavailable",
        ];
        let tool_ends = tool_ends.map(|end| self.tool_ends.get(end));
        let ended = ["succeeded", "dead", "expired", "cancelled"].map(|end| self.ended.get(end));
        let left_dead = [408, 409, 429].map(|code| self.left_dead.get(&code));
        let rejected = [400, 403, 404, 409, 422, 429, 503].map(|code| self.rejected.get(&code));
        assert!(
            self.has_every_gate()
                && counts.iter().all(|count| *count > 0)
                && ended.iter().all(Option::is_some)
                && tool_ends.iter().all(Option::is_some)
                && left_dead.iter().all(Option::is_some)
                && rejected.iter().all(Option::is_some),
            "something never happened: {self:?}"
        );
    }
}
