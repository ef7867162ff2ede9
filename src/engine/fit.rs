//! Keeping to `maxBytes` where the engine may choose: answers to questions, inbox messages, and who
//! gets a tool's run. (Who gets a task is a matter of `handoff`.)
//!
//! Sizes are those of whole packets, in the encoding that the reader has. What is larger all the
//! same when it leaves is the desk's.

use crate::wire::reply::{Code, Rejection, Reply};
use crate::wire::topic::{RoomTopic, Topic};

use super::context::Context;
use super::replies::{Call, Outcome, command_name};

/// Turns an answer to a question that its asker cannot take into a refusal; `most` is the largest
/// packet that it takes, if it has said so. A command that had an effect is never refused for that.
pub(super) fn fit(cx: &Context, most: Option<usize>, call: &Call<'_>, outcome: Outcome) -> Outcome {
    let accepted = outcome?;
    if accepted.data.is_none() {
        return Ok(accepted);
    }
    // The one command that tells of its effect where questions have their answer.
    let had_effect = matches!(call.command.topic.topic, Topic::MailboxPurge { .. });
    let Some(most) = most.filter(|_| !had_effect && !call.is_asked) else {
        return Ok(accepted);
    };
    let reply = Reply {
        id: call.id.clone(),
        correlation_id: call.correlation_id.clone(),
        ..accepted.clone().reply(command_name(call.command))
    };
    let payload = cx.encodings.of(call.from()).length_of(&reply);
    let topic = Topic::Reply {
        me: call.from().clone(),
        rest: call.command.mirrors.reply_rest.clone(),
    };
    let topic = RoomTopic::new(call.command.topic.room.clone(), topic);
    let bytes = cx.packet_bytes(&topic, payload);
    if bytes <= most {
        return Ok(accepted);
    }
    let reason = format!("the answer has {bytes} bytes, you take {most}: ask for less");
    Err(Rejection::new(Code::TooLarge, reason))
}
