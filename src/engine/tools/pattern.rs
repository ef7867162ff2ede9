//! Tools as one of a room's patterns.

use crate::wire::Millis;
use crate::wire::name::Agent;
use crate::wire::topic::Topic;

use crate::engine::gate::GateMessage;
use crate::engine::pattern::{AgentChange, Pattern};
use crate::engine::replies::{Call, Outcome, no_command};
use crate::engine::settings::Settings;
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::Tools;

impl Pattern for Tools {
    fn command(&mut self, tx: &mut RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
        match &call.command.topic.topic {
            Topic::ToolsRegister { tool, .. } => self.register_tool(tx, call, tool),
            Topic::ToolsCall { tool, .. } => self.call_tool(tx, call, tool),
            Topic::ToolsReturn { .. } => self.return_call(tx, call),
            Topic::ToolsAnswer { .. } => self.answer(tx, call),
            Topic::ToolsCancel { .. } => self.cancel_call(tx, call),
            Topic::ToolsGet { .. } => self.get_call(tx, call),
            _ => Err(no_command()),
        }
    }

    fn timer(&mut self, tx: &mut RoomTx<'_>, timer: Timer, subject: &TimerSubject) {
        match (timer, subject) {
            (Timer::Call, TimerSubject::Call(_, id)) => self.call_timed_out(tx, id),
            (Timer::ProviderGrace, TimerSubject::Provider(_, agent)) => {
                self.provider_is_gone(tx, agent)
            }
            _ => {}
        }
    }

    fn agent_changed(&mut self, tx: &mut RoomTx<'_>, agent: &Agent, change: AgentChange<'_>) {
        match change {
            AgentChange::Able { may_work } => self.recall(tx, agent, may_work),
            AgentChange::Connected { resumed, mailboxes } => {
                self.provider_is_back(tx, agent, resumed, mailboxes);
            }
            AgentChange::Disconnected => self.expect_provider_back(tx, agent),
            AgentChange::Provides(tool) => self.send_owed_runs(tx, agent, tool),
            AgentChange::Restarted => self.spare_provider(agent),
            AgentChange::Confirmed { .. } => self.confirm_tools(tx, agent),
            AgentChange::Leaves => self.withdraw_tools(tx, agent),
            AgentChange::Offline => self.lose_calls(tx, agent),
            AgentChange::Window(_)
            | AgentChange::Resumed
            | AgentChange::SaidGoodbye
            | AgentChange::Works(_)
            | AgentChange::WentOn
            | AgentChange::GivesUp(_)
            | AgentChange::Removed => {}
        }
    }

    fn gate_told(&mut self, tx: &mut RoomTx<'_>, message: &GateMessage) {
        self.approval_told(tx, message);
    }

    fn flush(&mut self, tx: &mut RoomTx<'_>) {
        self.flush_cards(tx);
    }

    fn restarted(&mut self, tx: &mut RoomTx<'_>) {
        self.stir_cards(tx);
    }

    fn reconfigured(&mut self, tx: &mut RoomTx<'_>, before: &Settings) {
        let most = tx.cx.settings.tools.max_calls_per_provider;
        if before.tools.max_calls_per_provider != most {
            self.registry.set_limit(most);
        }
        if tx.cx.may_exist(&tx.room.name) {
            self.forget_calls_over_limits(tx);
        }
    }

    fn next_retention(&self, settings: &Settings) -> Option<Millis> {
        let over = self.ended.oldest()?;
        Some(over.saturating_add(settings.tools.result_retention.ms()))
    }

    fn forget_oldest(&mut self, tx: &mut RoomTx<'_>) {
        self.forget_oldest_call(tx);
    }

    fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.ended.is_empty() && self.registry.is_empty()
    }

    fn end_some(&mut self, tx: &mut RoomTx<'_>, left: &mut usize, words: &'static str) -> bool {
        while *left > 0 && self.cancel_first_call(tx, words) {
            *left -= 1;
        }
        *left > 0
    }
}
