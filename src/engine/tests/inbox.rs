//! Inbox: what is admitted into somebody's mailbox.

use super::*;

fn relayed(world: &World) -> Vec<(String, u64)> {
    let relayed = world.effects.iter().filter_map(|effect| match effect {
        Effect::Relay { to, expires_at } => Some((to.to_string(), *expires_at - world.now)),
        _ => None,
    });
    relayed.collect()
}

fn write(world: &mut World, command: Command) -> Verdict {
    world.input(Input::Command(command))
}

fn message(ttl_ms: Option<u64>, payload: &'static str) -> Command {
    Command {
        mirrors: CommandMirrors {
            ttl_ms,
            correlation_id: Some("c".to_owned()),
            ..CommandMirrors::default()
        },
        ..World::command("me", topic("rooms/r/inbox/you/me"), payload)
    }
}

#[test]
fn a_message_is_relayed_as_it_is_and_asks_for_no_reply() {
    let mut world = World::new();
    write(&mut world, message(None, "any \u{1} bytes")).unwrap();
    assert_eq!(relayed(&world), [("you".to_owned(), 7 * 24 * 60 * 60_000)]);
    assert!(world.replies("me").is_empty());
    let event = &world.events[0];
    assert_eq!(
        (event.what.as_str(), event.subject.as_str()),
        ("inbox.queued", "you")
    );
    assert_eq!(event.who, agent("me"));
    write(&mut world, message(Some(5), "")).unwrap();
    assert_eq!(relayed(&world)[1].1, 5);
}

#[test]
fn a_message_to_oneself_is_a_message() {
    let mut world = World::new();
    write(
        &mut world,
        World::command("me", topic("rooms/r/inbox/me/me"), "x"),
    )
    .unwrap();
    assert_eq!(relayed(&world)[0].0, "me");
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut world = World::new();
    assert_eq!(write(&mut world, message(Some(0), "x")), Err(Code::Expired));
    assert_eq!(world.last_reply("me").correlation_id.as_deref(), Some("c"));
    let to_gateway = World::command("me", topic("rooms/r/inbox/gateway/me"), "x");
    assert_eq!(write(&mut world, to_gateway), Err(Code::Forbidden));
    let large = World::command("me", topic("rooms/r/inbox/you/me"), "x".repeat(262_145));
    assert_eq!(write(&mut world, large), Err(Code::TooLarge));
    world.mailboxes.free_messages.insert(agent("you"), 0);
    assert_eq!(write(&mut world, message(None, "x")), Err(Code::TooMany));
    world.mailboxes.free_messages.insert(agent("you"), 1);
    world.mailboxes.free_bytes.insert(agent("you"), 3);
    assert_eq!(write(&mut world, message(None, "xxxx")), Err(Code::TooMany));
    write(&mut world, message(None, "xxx")).unwrap();
}

#[test]
fn what_is_promised_and_what_is_sent_do_not_crowd_each_other_out() {
    let mut world = World::new();
    world.mailboxes.free_messages.insert(agent("you"), 1);
    world.mailboxes.free_results.insert(agent("you"), 2);
    world.dispatch("you", "t", "draft");
    world.dispatch("you", "u", "draft");
    let third = json!({ "id": "v", "type": "draft" });
    let refused = world.send("you", "handoff/dispatch", third);
    assert_eq!(refused, Err(Code::TooMany));
    write(&mut world, message(None, "x")).unwrap();
    world.mailboxes.free_messages.insert(agent("you"), 0);
    assert_eq!(write(&mut world, message(None, "x")), Err(Code::TooMany));
    world
        .send("you", "handoff/cancel", json!({ "task": "t" }))
        .unwrap();
    world.dispatch("you", "v", "draft");
}
