//! What a start would see, without a start: the database under what the log has beside it. Changes
//! nothing.

use std::path::Path;

use super::super::store::{StoreError, StoreReader};
use super::overlay::{Over, Overlay};
use super::reader::LoggedReader;
use super::survey::survey;

/// Reads the ledger in the data directory `dir`, whose database `base` reads.
pub(in super::super) fn look(
    dir: &Path,
    base: Box<dyn StoreReader>,
) -> Result<Box<dyn StoreReader>, StoreError> {
    let mut overlay = Overlay::default();
    survey(dir, Some(&*base), &mut |batch| {
        overlay.add_batch(batch);
        Ok(())
    })?;
    let over = move |space, from: &[u8], to: Option<&[u8]>| {
        let mut over = Over::new();
        overlay.lay_over(space, from, to, &mut over);
        over
    };
    Ok(Box::new(LoggedReader::new(over, base)))
}
