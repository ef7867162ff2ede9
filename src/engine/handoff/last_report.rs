//! Words: what a worker may say of a task, and how a repeat of the update that ended it is told
//! from another one.
//!
//! A worker whose acknowledgement was lost says the same again, and that changes nothing. Somebody
//! who says something else of a task that has ended must learn that nobody heard it. A digest is
//! kept, not what was said: the dispatcher has that.

use std::num::NonZeroU64;

use sha2::{Digest as _, Sha256};

use crate::wire::handoff::{Update, UpdateStatus};
use crate::wire::json::Json;
use crate::wire::name::Agent;
use crate::wire::reply::{Code, Rejection};

use super::task::{Task, TaskStage, TaskStatus};

/// What a worker said last of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct LastReport {
    pub(super) status: UpdateStatus,
    /// Of all that an update says besides; `None` where nobody can tell any more, and for a worker
    /// that left.
    pub(super) digest: Option<NonZeroU64>,
}

impl LastReport {
    /// Without particulars: any update of this status is the same.
    pub(super) fn plain(status: UpdateStatus) -> LastReport {
        LastReport {
            status,
            digest: None,
        }
    }

    /// The word that an update is: the same text makes the same word, whatever the update's id is.
    pub(super) fn of(update: &Update) -> LastReport {
        LastReport {
            status: update.status,
            digest: NonZeroU64::new(digest(update)),
        }
    }

    /// Whether an update says the same as this.
    pub(super) fn is_said_again_by(self, update: &Update) -> bool {
        self.status == update.status
            && (self.digest.is_none() || self.digest == LastReport::of(update).digest)
    }
}

/// Whether a worker may say this of it now; `Ok(false)` if it has said the very same before and the
/// task has ended by it.
pub(in crate::engine) fn admits(
    task: &Task,
    from: &Agent,
    update: &Update,
) -> Result<bool, Rejection> {
    let (id, status) = (&task.body.id, &task.status);
    let is_late = status.attempt >= update.attempt
        && update.status == UpdateStatus::Success
        && status.history.is_nobody_elses_since(update.attempt, from);
    let is_theirs = status.attempt == update.attempt && status.worker() == Some(from);
    match &status.stage {
        TaskStage::Held { .. } | TaskStage::Asking { .. } if is_theirs => Ok(true),
        // An attempt that the gateway ended is over, whatever its worker says later.
        TaskStage::Ended { how, at, .. } => {
            match status.last_word().filter(|_| is_theirs || is_late) {
                Some(word) if word.is_said_again_by(update) => Ok(false),
                word => Err(conflict(format!(
                    "{id} has ended: {} at {at}{}",
                    how.state().as_str(),
                    word.map_or("", |_| ", by something else that its worker said")
                ))),
            }
        }
        // It came late; but what is done is done, as long as nobody else is at it.
        _ if is_late => Ok(true),
        TaskStage::Held { worker, .. } | TaskStage::Asking { worker, .. } => {
            Err(conflict(format!(
                "{id} is at attempt {} with {worker}; attempt {} of {from} is over",
                status.attempt, update.attempt
            )))
        }
        TaskStage::Waiting { .. } | TaskStage::Queued => Err(conflict(format!(
            "nobody has {id} now: attempt {} of {from} is over",
            update.attempt
        ))),
    }
}

impl TaskStatus {
    /// The word of its worker that ended it.
    fn last_word(&self) -> Option<LastReport> {
        match self.stage {
            TaskStage::Ended { said, digest, .. } => {
                said.map(|status| LastReport { status, digest })
            }
            _ => None,
        }
    }
}

fn conflict(reason: String) -> Rejection {
    Rejection::new(Code::Conflict, reason)
}

/// Stands in records, so it must not change between versions: the first 8 bytes of SHA-256 over
/// each part and its length.
fn digest(update: &Update) -> u64 {
    let error = update.error.as_ref().map(Json::of);
    let mut hash = Sha256::new();
    for part in [&update.result, &error] {
        let text = part.as_ref().map_or("", Json::text);
        // JSON is never empty: an absent part has a length of its own.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    let sum: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = sum;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(json: &str) -> Update {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn only_what_was_said_counts() {
        let first = LastReport::of(&update(
            r#"{"task":"t","attempt":1,"status":"success","result":[1]}"#,
        ));
        for (again, json) in [
            (true, r#"{"id":"other","result":[1],"status":"success""#),
            (false, r#"{"result":[2],"status":"success""#),
            (false, r#"{"status":"success""#),
            (false, r#"{"result":[1],"status":"error""#),
            (
                false,
                r#"{"result":[1],"error":{"message":"m"},"status":"success""#,
            ),
        ] {
            let second = update(&format!(r#"{json},"task":"t","attempt":1}}"#));
            assert_eq!(first.is_said_again_by(&second), again, "{json}");
        }
    }

    #[test]
    fn digest_is_that_of_every_version() {
        // printf '\0\0\0\0\0\0\0\3[1]\0\0\0\0\0\0\0\0' | sha256sum
        let update = update(r#"{"task":"t","attempt":1,"status":"success","result":[1]}"#);
        assert_eq!(format!("{:016x}", digest(&update)), "14facaa2361a367f");
    }

    #[test]
    fn where_no_digest_was_kept_the_status_decides() {
        let known = LastReport::plain(UpdateStatus::Success);
        let said = update(r#"{"task":"t","attempt":1,"status":"success","result":1}"#);
        assert!(known.is_said_again_by(&said));
    }
}
