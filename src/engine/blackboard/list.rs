//! Lists of keys without their values, a page at a time.
//!
//! A page is of the moment when it was asked for. Keys are in the order of their names and a page
//! goes on behind the last one of the page before, so whatever stands all the while is on exactly
//! one of them.

use crate::wire::blackboard::{KeyLine, KeyPage, ListKeys};
use crate::wire::json;
use crate::wire::name::Key;
use crate::wire::reply::{Code, Rejection};

use crate::engine::replies::{Accepted, Call, Outcome, page_limit};
use crate::engine::tx::RoomTx;

use super::Blackboard;
use super::{KeyVersion, below};

/// Keys in a page where the question does not say.
const USUAL_PAGE: u32 = 100;

impl Blackboard {
    pub(in crate::engine) fn list_keys(&self, tx: &RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
        let asked: ListKeys = call.read_or_default(&tx.cx.settings)?;
        let limit = page_limit(asked.limit, USUAL_PAGE, tx.cx.settings.handoff.max_page)?;
        let most = tx.page_bytes(call)?;
        let after = asked.cursor.as_deref().map(read_cursor).transpose()?;
        let board = &self;
        let mut page = KeyPage {
            revision: board.revision,
            keys: Vec::new(),
            cursor: None,
        };
        let mut bytes = 0;
        for (key, cell) in below(&board.cells, asked.prefix.as_ref(), after.as_ref()) {
            let line = cell.line(key);
            let length = json::length(&line) + 1;
            if bytes + length > most && page.keys.is_empty() {
                let reason =
                    format!("{key} takes {length} bytes, an answer to you may have {most}");
                return Err(Rejection::new(Code::TooLarge, reason));
            }
            if page.keys.len() == limit || bytes + length > most {
                page.cursor = page.keys.last().map(|last| last.key.to_string());
                break;
            }
            bytes += length;
            page.keys.push(line);
        }
        Ok(Accepted::found(tx.cx, page))
    }
}

impl KeyVersion {
    fn line(&self, key: &Key) -> KeyLine {
        KeyLine {
            key: key.clone(),
            version: self.version,
            revision: self.revision,
            bytes: self.size(),
            updated_at: self.updated_at,
            updated_by: self.updated_by.clone(),
            expires_at: self.expires_at,
        }
    }
}

fn read_cursor(text: &str) -> Result<Key, Rejection> {
    Key::new(text).map_err(|_| {
        let reason = "cursor must be one that a page came with";
        Rejection::new(Code::Invalid, reason).at("cursor")
    })
}
