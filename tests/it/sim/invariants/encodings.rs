//! Encodings: everybody is spoken to in what it asked for or spoke last, and what all see is in
//! that of its room.

use hallward::engine::Effect;
use hallward::wire::cbor;
use hallward::wire::presence::{Announcement, Encoding};
use hallward::wire::topic::Topic;

use super::super::history::{Step, read};
use super::super::model::Model;
use super::{Check, ensure};

/// Looks at a step as it was on the wire.
pub(super) fn everybody_is_understood(model: &mut Model, step: &Step) -> Check {
    if let Some(command) = step.command() {
        model.encodings.heard(command);
        let announces = matches!(command.topic.topic, Topic::PresenceAnnounce { .. });
        if announces && step.verdict.is_ok() && !command.payload.is_empty() {
            let said: Announcement = read(&command.payload);
            if let Some(encoding) = said.encoding {
                model.encodings.announced(&command.from, encoding);
            }
        }
    }
    for effect in &step.effects {
        match effect {
            Effect::Deliver(directed) => {
                let is_cbor = cbor::is_map(&directed.payload);
                let expected = model.encodings.of(&directed.to);
                ensure!(
                    is_cbor == (expected == Encoding::Cbor),
                    "{} is to be spoken to in {expected:?}, and gets {directed:?}",
                    directed.to
                );
                model.tally.told_in_cbor += u64::from(is_cbor);
            }
            Effect::Retain {
                topic,
                payload: Some(payload),
            } => {
                let is_cbor = cbor::is_map(payload);
                let expected = model.rules.encoding(&topic.room);
                ensure!(
                    is_cbor == (expected == Encoding::Cbor),
                    "what everybody reads is to be {expected:?}: {effect:?}"
                );
                model.tally.shown_in_cbor += u64::from(is_cbor);
            }
            _ => {}
        }
    }
    Ok(())
}
