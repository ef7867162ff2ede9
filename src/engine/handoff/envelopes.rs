//! What the engine needs to know of the pattern's messages: which commands may carry an `id`, and
//! which fields are times.

use crate::engine::replies::envelope;
use crate::engine::shown::dated;
use crate::wire::{handoff as wire, question};

envelope!(wire::Task, id);
envelope!(wire::Update, id);
envelope!(wire::Cancel, id);
envelope!(question::AnswerTask, id);
envelope!(wire::Redrive, id);
envelope!(wire::GetTask);
envelope!(wire::ListTasks);

dated! {
    wire::Assignment { created_at, deadline }
    wire::AttemptView { assigned_at, ended_at }
    wire::TaskResult { expires_at, created_at, at }
    question::OpenQuestion { asked_at, expires_at }
    wire::TaskView { created_at, updated_at, due_at, deadline, asking, history }
    wire::GroupResult { at }
}
