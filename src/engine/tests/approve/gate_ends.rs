//! What awaits approval when its room or its time ends.

use crate::wire::tools::ToolResult;

use super::gates::{gated, gated_types, with_tool};
use super::*;

#[test]
fn what_waits_when_its_room_is_closed_is_cancelled_and_not_refused() {
    let mut world = with_tool();
    world.reconfigure(|settings| {
        settings.handoff.types = gated_types();
        settings.tools.max_calls_per_caller = 200;
    });
    world.dispatch("ann", "t", "publish");
    for id in 0..150 {
        let call = json!({ "id": format!("{id}"), "arguments": { "n": 1 } });
        assert_eq!(world.send("ann", "tools/call/wipe", call), Ok(()));
    }
    assert_eq!(world.engine.stats().pending_approvals, 151);
    world.send("root", "room/close", json!({})).unwrap();
    world.pass(10);
    assert_eq!(world.engine.stats().pending_approvals, 0);
    assert_eq!(world.state("t"), TaskState::Cancelled);
    let is_result = |topic: &Topic| matches!(topic, Topic::ToolsResult { .. });
    let results = world.directed_to::<ToolResult>("ann", is_result);
    let codes = results.into_iter().map(|result| result.error.unwrap().code);
    let codes: Vec<Option<String>> = codes.collect();
    assert_eq!(codes, vec![Some("cancelled".to_owned()); 150]);
}

#[test]
fn what_timed_out_first_says_how_a_task_ends_also_when_all_comes_due_at_once() {
    for (ttl_ms, state) in [(61_000, TaskState::Dead), (59_000, TaskState::Expired)] {
        let mut world = gated();
        world.dispatch_with(
            "boss",
            json!({ "id": "t", "type": "publish", "ttlMs": ttl_ms }),
        );
        world.now += 100_000;
        world.crash();
        assert_eq!(world.state("t"), state);
        assert_eq!(world.engine.stats().pending_approvals, 0);
        assert_eq!(world.results("boss").len(), 1);
    }
}
