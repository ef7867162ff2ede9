//! The first level of rooms' topics, under which everything that the desk keeps was made.
//!
//! Topics of retained messages and mailboxes begin with it, and so do the filters of sessions:
//! under another one nobody would find what is there. So a start with another one is refused as
//! long as there are rooms. Earlier versions did not write it down; what they have kept tells it.

use std::ops::ControlFlow;

use super::error::RecoverError;
use super::records::{self, OutboxItem};
use crate::ledger::{Batch, Space, Store, StoreError};

const KEY: &[u8] = b"root";

/// Sees that the rooms of a store, if it has any, are below this root. Changes nothing.
///
/// # Errors
/// [`RecoverError::OtherRoot`] if they are below another one, or what the store says.
pub fn check_root(store: &dyn Store, root: &str) -> Result<(), RecoverError> {
    match root_of(store)? {
        Some(found) if found != root && has_rooms(store)? => Err(RecoverError::OtherRoot {
            found,
            configured: root.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The root that the rooms of a store are below, as far as it tells.
///
/// # Errors
/// If the store cannot be read.
pub fn root_of(store: &dyn Store) -> Result<Option<String>, StoreError> {
    match store.get(Space::Meta, KEY)? {
        Some(root) => Ok(Some(String::from_utf8_lossy(&root).into_owned())),
        None => guess(store),
    }
}

fn has_rooms(store: &dyn Store) -> Result<bool, StoreError> {
    let mut has_any = false;
    store.scan(Space::Engine, &[], &mut |_, _| {
        has_any = true;
        ControlFlow::Break(())
    })?;
    Ok(has_any)
}

/// The first level of a topic on which the gateway itself has written.
fn guess(store: &dyn Store) -> Result<Option<String>, StoreError> {
    let retained = first_level(store, Space::Retained, |key, value| {
        let message = records::read_retained(key, value).ok()?;
        let is_own = message.publisher().is_empty();
        is_own.then(|| message.topic().to_owned())
    })?;
    if retained.is_some() {
        return Ok(retained);
    }
    first_level(
        store,
        Space::Outbox,
        |key, value| match records::read_outbox(key, value).ok()? {
            (_, _, OutboxItem::Message(kind, message)) if kind.is_directed() => {
                Some(message.topic().to_owned())
            }
            _ => None,
        },
    )
}

fn first_level(
    store: &dyn Store,
    space: Space,
    topic_of: impl Fn(&[u8], &[u8]) -> Option<String>,
) -> Result<Option<String>, StoreError> {
    let mut found = None;
    store.scan(space, &[], &mut |key, value| {
        let topic = topic_of(key, value);
        found = topic.and_then(|topic| Some(topic.split_once('/')?.0.to_owned()));
        match found {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    })?;
    Ok(found)
}

/// Has the store know under which root it was made, unless it does.
pub(super) fn note_root(
    root: &str,
    store: &dyn Store,
    records: &mut Batch,
) -> Result<(), StoreError> {
    let root = root.as_bytes();
    let known = store.get(Space::Meta, KEY)?;
    if known.is_none_or(|known| known != root) {
        records.put(Space::Meta, KEY, root.to_vec());
    }
    Ok(())
}
