//! What the engine needs to know of the pattern's messages: which commands may carry an `id`, and
//! which fields are times.

use crate::engine::replies::envelope;
use crate::engine::shown::dated;
use crate::wire::approve as wire;

envelope!(wire::ApprovalRequest, id);
envelope!(wire::Decide, id);
envelope!(wire::CancelApproval, id);
envelope!(wire::AuditQuery);

dated! {
    wire::PendingApproval { requested_at, expires_at }
    wire::Decision { decided_at }
    wire::AuditEntry { at }
    wire::AuditedApproval { requested_at, expires_at, decided_at, trail }
    wire::AuditPage { approvals }
}
