//! The states of tools and calls, as tables: see [`machine`](crate::engine::machine).

use crate::engine::machine::{Machine, Transition};

pub(super) const REGISTERED: &str = "registered";
pub(super) const APPROVING: &str = "approving";
pub(super) const RUNNING: &str = "running";
pub(super) const ASKING: &str = "asking";

/// What an agent provides: each of a tool's providers has its own.
#[rustfmt::skip]
pub(in crate::engine) const TOOL: Machine = Machine {
    name: "tool",
    transitions: &[
        Transition::begins("an agent registers it", REGISTERED, "tools.registered"),
        Transition::stays(REGISTERED, "the agent registers it again", "tools.registered"),
        Transition::ends(REGISTERED, "the agent withdraws it, leaves the room, or came back without it; or another registered it with other schemas while nobody could be called", "tools.withdrawn"),
    ],
};

/// A call of a tool.
#[rustfmt::skip]
pub(in crate::engine) const CALL: Machine = Machine {
    name: "call",
    transitions: &[
        Transition::begins("a provider is called", RUNNING, "tools.called"),
        Transition::begins("a call is taken that has to be approved", APPROVING, "tools.called"),
        Transition::moves(APPROVING, "it is approved, and a provider is called", RUNNING, "tools.approved"),
        Transition::moves(APPROVING, "it is not approved", "error", "tools.refused"),
        Transition::moves(APPROVING, "it is approved, and nobody can be called; or the tool means something else now", "error", "tools.lost"),
        Transition::moves(APPROVING, "the caller takes it back, or the room is closed", "error", "tools.cancelled"),
        Transition::stays(RUNNING, "the provider sends a partial result", "tools.progress"),
        Transition::stays(RUNNING, "the provider is gone or cannot take the run any more, the tool is idempotent, and another one can be called", "tools.rerouted"),
        Transition::moves(RUNNING, "the provider cannot go on without an answer of the caller's", ASKING, "tools.asked"),
        Transition::moves(ASKING, "the caller answers", RUNNING, "tools.answered"),
        Transition::moves(ASKING, "the caller has not answered in time", RUNNING, "tools.unanswered"),
        Transition::moves(ASKING, "the provider is gone or cannot take the run any more, the tool is idempotent, and another one can be called", RUNNING, "tools.rerouted"),
        Transition::moves(ASKING, "the provider is done without an answer", "success", "tools.returned"),
        Transition::moves(ASKING, "the provider says that it cannot", "error", "tools.returned"),
        Transition::moves(ASKING, "the caller takes it back, or the room is closed", "error", "tools.cancelled"),
        Transition::moves(ASKING, "the provider is gone, cannot take the run any more or withdraws the tool, and nobody else may have the call; or the tool means something else now", "error", "tools.lost"),
        Transition::moves(RUNNING, "the provider answers", "success", "tools.returned"),
        Transition::moves(RUNNING, "the provider says that it cannot", "error", "tools.returned"),
        Transition::moves(RUNNING, "nobody answered in time", "error", "tools.expired"),
        Transition::moves(RUNNING, "the caller takes it back, or the room is closed", "error", "tools.cancelled"),
        Transition::moves(RUNNING, "the provider is gone, cannot take the run any more or withdraws the tool, and nobody else may have the call; or the tool means something else now", "error", "tools.lost"),
    ],
};
