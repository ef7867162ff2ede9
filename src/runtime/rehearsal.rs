//! Whether a gateway would start on a ledger, and making it so that one does.
//!
//! It builds engine and desk from the records as a start would, under default settings, and throws
//! them away. It listens nowhere and writes nothing but what [`fit`] takes out of a copy.

use std::sync::Arc;

use super::{seed, settings, timekeeping};
use crate::config::Config;
use crate::desk::{self, Desk, InterestIndex, MemoryBudget, RecoverError};
use crate::engine::Engine;
use crate::ledger::repair::{RepairReport, count};
use crate::ledger::{Batch, Store, StoreError};
use crate::log_limiter::LogLimiter;

/// Records that are taken out one after the other until a start would succeed. Each takes a start
/// to find.
const MAX_UNFIT: usize = 1000;
/// Of those so many are named.
const MAX_NAMED: usize = 20;

/// Starts from a store and throws away what that makes.
///
/// # Errors
/// Why a start refuses.
pub(super) fn rehearse(store: &dyn Store) -> Result<(), RecoverError> {
    let config = Config::default();
    let mut settings_of_desk = settings::desk(
        &config,
        MemoryBudget::new(usize::MAX),
        None,
        Arc::new(LogLimiter::new(0)),
    );
    if let Some(root) = desk::root_of(store)? {
        settings_of_desk.root = root;
    }
    let records = desk::engine_records(store)?;
    let engine = Engine::recover(config.engine(), seed(), records)?;
    let last = desk::last_mark(store)?;
    let clock = timekeeping::start(last.as_ref(), engine.latest(), config.clock.max_step.0);
    let mut desk = Desk::new(settings_of_desk, engine, Arc::new(InterestIndex::default()));
    desk.recover(clock.now(), store)
}

/// Takes records out of a copy until a start succeeds, and says which.
///
/// # Errors
/// What the store answers.
pub(super) fn fit(store: &mut dyn Store, report: &mut RepairReport) -> Result<(), StoreError> {
    let mut taken = 0;
    loop {
        let refusal = match rehearse(store) {
            Ok(()) => break,
            Err(RecoverError::Store(error)) => return Err(error),
            Err(refusal) => refusal,
        };
        let Some((space, key)) = refusal.row().filter(|_| taken < MAX_UNFIT) else {
            report.refusal = Some(refusal.to_string());
            break;
        };
        let mut batch = Batch::default();
        batch.delete(space, key);
        store.commit(&batch)?;
        taken += 1;
        report.copied.rows -= 1;
        if taken <= MAX_NAMED {
            let words = format!("what no start can read: {}", record(&refusal));
            report.left_out.push(words);
        }
    }
    if taken > MAX_NAMED {
        let more = taken - MAX_NAMED;
        let words = format!(
            "{} more that no start can read",
            count(more as u64, "record")
        );
        report.left_out.push(words);
    }
    Ok(())
}

/// What a start cannot read, and why.
fn record(refusal: &RecoverError) -> String {
    match refusal {
        RecoverError::Record(error) => error.to_string(),
        RecoverError::Engine(error) => error.to_string(),
        RecoverError::Store(_) | RecoverError::OtherRoot { .. } => refusal.to_string(),
    }
}
