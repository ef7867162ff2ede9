//! What the engine needs to know of the pattern's messages: which commands may carry an `id`, and
//! which fields are times.

use crate::engine::replies::envelope;
use crate::engine::shown::dated;
use crate::wire::blackboard as wire;

envelope!(wire::Set, id);
envelope!(wire::Delete, id);
envelope!(wire::Txn, id);
envelope!(wire::Lock, id);
envelope!(wire::Unlock, id);
envelope!(wire::Get);
envelope!(wire::ListKeys);
envelope!(wire::GetHistory);

dated! {
    wire::Entry { updated_at, expires_at }
    wire::History { versions }
    wire::Version { updated_at, expires_at }
    wire::KeyLine { updated_at, expires_at }
    wire::KeyPage { keys }
    wire::LockState { expires_at }
    wire::Snapshot { entries, locks }
}
