//! What the engine needs to know of the pattern's messages: which commands may carry an `id`, and
//! which fields are times.

use crate::engine::replies::envelope;
use crate::engine::shown::dated;
use crate::wire::{question, tools as wire};

envelope!(wire::Registration, id);
envelope!(wire::ToolCall, id);
envelope!(wire::ToolReturn, id);
envelope!(question::AnswerCall, id);
envelope!(wire::CancelCall, id);
envelope!(wire::GetCall);

dated! {
    wire::ToolRun { called_at, deadline }
    wire::ToolResult { expires_at, called_at, at }
    wire::CallOver { at }
    wire::CallView { called_at, deadline, ended_at }
}
