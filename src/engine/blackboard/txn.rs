//! Transactions: several writes and conditions, all or nothing.
//!
//! Everything is planned on the room as it is before anything is written, so conditions never see
//! what the same transaction writes. All of it makes one revision, and leaves in one commit because
//! it is one input.

use std::collections::BTreeSet;

use crate::wire::blackboard::{Op, OpKind, Txn};
use crate::wire::json::Json;
use crate::wire::name::Room;
use crate::wire::reply::{Code, Rejection};

use crate::engine::replies::{Accepted, Call, Outcome, entries_at_most};
use crate::engine::settings::Settings;
use crate::engine::tx::RoomTx;

use super::Blackboard;
use super::write::{SetRequest, Write};

impl Blackboard {
    pub(in crate::engine) fn transact(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
    ) -> Outcome {
        let txn: Txn = call.read(&tx.cx.settings)?;
        entries_at_most("ops", txn.ops.len(), tx.cx.settings.blackboard.max_txn_ops)?;
        if txn.ops.is_empty() {
            let reason = "a transaction has one operation at least, but this one has none";
            return Err(Rejection::new(Code::Invalid, reason).at("ops"));
        }
        tx.once(call, |tx| {
            self.check_fence(txn.fence.as_ref())?;
            let writes = self.plan(&tx.room.name, &tx.cx.settings, txn.ops)?;
            self.admit(tx.cx, &writes)?;
            if !writes.is_empty() {
                self.revision += 1;
            }
            let versions = writes
                .into_iter()
                .map(|write| self.make(tx, call.from(), write))
                .collect();
            Ok(Accepted {
                revision: Some(self.revision),
                versions,
                ..Accepted::new(Code::Done)
            })
        })
    }
}

impl Blackboard {
    fn plan(
        &self,
        room: &Room,
        settings: &Settings,
        ops: Vec<Op>,
    ) -> Result<Vec<Write>, Rejection> {
        let mut written = BTreeSet::new();
        let mut writes = Vec::with_capacity(ops.len());
        for (index, op) in ops.into_iter().enumerate() {
            let key = op.key.clone();
            if op.op != OpKind::Check && !written.insert(key.clone()) {
                let reason = format!("{key} is written by an operation before this one");
                let rejection = Rejection::new(Code::Invalid, reason);
                return Err(rejection.at(format!("ops[{index}].key")));
            }
            let planned = self.plan_op(room, settings, op);
            writes.extend(planned.map_err(|rejection| within(index, rejection))?);
        }
        Ok(writes)
    }

    fn plan_op(
        &self,
        room: &Room,
        settings: &Settings,
        op: Op,
    ) -> Result<Option<Write>, Rejection> {
        let Op {
            op,
            key,
            value,
            if_version,
            merge,
            ttl_ms,
        } = op;
        let missing = |field: &str| {
            let reason = format!("this operation needs {field}");
            Rejection::new(Code::Malformed, reason).at(field)
        };
        Ok(match op {
            OpKind::Set => {
                let value: Json = value.ok_or_else(|| missing("value"))?;
                let wanted = SetRequest {
                    value,
                    if_version,
                    merge,
                    ttl_ms,
                };
                Some(self.plan_set(room, settings, key, wanted)?)
            }
            OpKind::Delete => Some(self.plan_delete(key, if_version)?),
            OpKind::Check => {
                let expected = if_version.ok_or_else(|| missing("ifVersion"))?;
                self.expect(&key, Some(expected))?;
                None
            }
        })
    }
}

/// Says which operation a refusal is about.
fn within(index: usize, rejection: Rejection) -> Rejection {
    let path = match &rejection.path {
        Some(path) => format!("ops[{index}].{path}"),
        None => format!("ops[{index}]"),
    };
    rejection.at(path)
}
