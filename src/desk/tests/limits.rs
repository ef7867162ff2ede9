//! Limits: what is refused, what is dropped, and what memory is counted for.

use super::*;
use crate::desk::Account;
use crate::setting::Size;

const KIB: usize = 1024;

/// A world whose memory for all that waits is this large.
fn small(max: usize) -> (World, Arc<MemoryBudget>) {
    let memory = MemoryBudget::new(max);
    let settings = DeskSettings {
        memory: memory.clone(),
        ..settings()
    };
    (World::with(settings), memory)
}

fn kib(topic: &str, retain: bool) -> Publication {
    ordinary("ann", topic, &"x".repeat(KIB), Qos::AtLeastOnce, retain)
}

#[test]
fn full_queue_of_an_absent_subscriber_refuses_the_publisher_and_nobody_gets_the_message() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
    world.close(&sub, false);
    let (mut ann, _) = world.connect("ann", true, 0);
    for n in 0..10 {
        let id = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
        world.commit();
        let verdict = ann.verdict(id);
        let expected = if n < 8 { Ok(()) } else { Err(Code::TooMany) };
        assert_eq!(verdict, Some(expected), "message {n}");
    }
    assert_eq!(world.desk.stats().refused.queue_full.value(), 2);
    assert_eq!(world.rows(Space::Outbox), 8);
    assert_eq!(world.broadcasts.len(), 8, "all or nobody");
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    for _ in 0..4 {
        for delivery in sub.deliveries() {
            world.acknowledge(&sub, delivery.seq, Stage::Done);
        }
        world.commit();
    }
    let id = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
    world.commit();
    assert_eq!(ann.verdict(id), Some(Ok(())), "there is room again");
}

#[test]
fn full_member_of_a_share_leaves_its_turn_to_others_and_the_last_one_refuses() {
    let mut world = World::new();
    let (mut one, _) = world.connect("one", false, u32::MAX);
    let (mut two, _) = world.connect("two", false, u32::MAX);
    world.subscribe(&mut one, "$share/g/a", Qos::AtLeastOnce);
    world.subscribe(&mut two, "$share/g/a", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    for n in 0..17 {
        let id = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
        world.commit();
        let expected = if n < 16 { Ok(()) } else { Err(Code::TooMany) };
        assert_eq!(ann.verdict(id), Some(expected), "message {n}");
    }
    assert_eq!(world.desk.stats().refused.queue_full.value(), 1);
}

#[test]
fn messages_of_the_gateway_that_a_full_queue_cannot_take_are_dropped_and_counted() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "rooms/lab/blackboard/state/#", Qos::AtLeastOnce);
    world.close(&sub, false);
    let (mut ann, _) = world.connect("ann", true, 0);
    for _ in 0..10 {
        let set = to_room("ann", "rooms/lab/blackboard/set/ann/k", r#"{"value":1}"#);
        let id = world.publish(&mut ann, set);
        world.commit();
        assert_eq!(ann.verdict(id), Some(Ok(())), "it is on the blackboard");
    }
    assert_eq!(world.desk.stats().dropped.queue_full.value(), 2);
}

#[test]
fn subscriptions_end_at_their_limit_and_the_refusal_says_so() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    for n in 0..10 {
        world.subscribe(&mut ann, &format!("a/{n}"), Qos::AtLeastOnce);
    }
    let asked = |filter: &str| Subscription {
        filter: filter.into(),
        qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Always,
        id: None,
    };
    world.handle(Request::Subscribe {
        connection: ann.connection,
        packet_id: 99,
        subscriptions: vec![asked("one/more"), asked("a/3")],
    });
    world.commit();
    match ann.next() {
        Some(Response::Subscribed { results, .. }) => {
            assert_eq!(results, [Err(Code::TooMany), Ok(Qos::AtLeastOnce)]);
        }
        other => panic!("expected Subscribed, got {other:?}"),
    }
    assert_eq!(world.desk.stats().refused_subscriptions.value(), 1);
}

#[test]
fn more_sessions_than_may_be_are_refused() {
    let mut world = World::new();
    for n in 0..100 {
        world.connect(&format!("c{n}"), false, u32::MAX);
    }
    let (sender, mut responses) = crate::desk::port::responses();
    world.handle(Request::Open(Box::new(OpenRequest {
        connection: Connection {
            id: 9999,
            responses: sender,
            backlog: Arc::default(),
            published: Arc::default(),
        },
        client_id: "one-more".into(),
        owner: None,
        authorizer: None,
        clean_start: true,
        expiry: 0,
        window: 2,
        will: None,
        will_delay: 0,
        will_expiry: None,
    })));
    world.commit();
    let answer = responses.try_recv();
    assert!(
        matches!(answer, Ok(Response::Close(CloseReason::QuotaExceeded))),
        "{answer:?}"
    );
    assert_eq!(world.desk.stats().refused_sessions.value(), 1);
}

#[test]
fn without_memory_queues_refuse_and_what_needs_none_goes_on() {
    let (mut world, memory) = small(4 * KIB);
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    let mut verdicts = Vec::new();
    for _ in 0..4 {
        let id = world.publish(&mut ann, kib("a", false));
        world.commit();
        verdicts.extend(ann.verdict(id));
    }
    assert_eq!(
        verdicts,
        [Ok(()), Ok(()), Err(Code::TooMany), Err(Code::TooMany)]
    );
    assert_eq!(memory.outcomes.refused.value(), 2);
    assert!(memory.reserved(Account::Sessions) > 2 * KIB);
    let id = world.publish(&mut ann, kib("nobody/keeps/this", false));
    world.commit();
    assert_eq!(ann.verdict(id), Some(Ok(())));
    for delivery in sub.deliveries() {
        world.acknowledge(&sub, delivery.seq, Stage::Done);
    }
    assert_eq!(memory.reserved(Account::Sessions), 0);
    let id = world.publish(&mut ann, kib("a", false));
    world.commit();
    assert_eq!(ann.verdict(id), Some(Ok(())), "there is room again");
}

#[test]
fn a_full_store_retains_nothing_more_but_clearing_is_possible() {
    let retained = RetainedConfig {
        max_messages: 10,
        max_bytes: Size(3 * KIB),
    };
    let mut world = World::with(DeskSettings {
        retained,
        ..settings()
    });
    let (mut ann, _) = world.connect("ann", true, 0);
    let mut publish = |publication| {
        let id = world.publish(&mut ann, publication);
        world.commit();
        ann.verdict(id)
    };
    assert_eq!(publish(kib("s/1", true)), Some(Ok(())));
    assert_eq!(publish(kib("s/2", true)), Some(Ok(())));
    assert_eq!(publish(kib("s/3", true)), Some(Err(Code::TooMany)));
    assert_eq!(
        publish(kib("s/1", true)),
        Some(Ok(())),
        "no larger than before"
    );
    let clear = ordinary("ann", "s/1", "", Qos::AtLeastOnce, true);
    assert_eq!(publish(clear), Some(Ok(())));
    assert_eq!(publish(kib("s/3", true)), Some(Ok(())));
}

#[test]
fn without_memory_mail_is_refused_and_its_sender_told() {
    let (mut world, memory) = small(8 * KIB);
    let (mut ann, _) = world.connect("ann", true, 0);
    world.subscribe(&mut ann, "rooms/lab/reply/ann", Qos::AtMostOnce);
    let mail = || to_room("ann", "rooms/lab/inbox/bob/ann", &"x".repeat(2 * KIB));
    let mut verdicts = Vec::new();
    for _ in 0..3 {
        let id = world.publish(&mut ann, mail());
        world.commit();
        verdicts.extend(ann.verdict(id));
    }
    assert_eq!(verdicts, [Ok(()), Ok(()), Err(Code::TooMany)]);
    assert_eq!(memory.outcomes.refused.value(), 1);
    assert!(memory.reserved(Account::Mailboxes) > 4 * KIB);
    world.crash();
    let parts = world.desk.parts();
    let holdings = crate::desk::status::holdings(parts.clients, parts.retained);
    assert!(
        holdings.stored_messages >= 2,
        "what was acknowledged is kept"
    );
}

#[test]
fn wills_and_subscriptions_take_memory_until_they_are_gone() {
    let (mut world, memory) = small(64 * KIB);
    let will = || {
        Some(ordinary(
            "ann",
            "w",
            &"x".repeat(20 * KIB),
            Qos::AtLeastOnce,
            false,
        ))
    };
    let (mut ann, _) = world.connect_with("ann", false, 60, will(), 30);
    world.subscribe(&mut ann, "a/b", Qos::AtLeastOnce);
    world.subscribe(&mut ann, "a/b", Qos::AtMostOnce);
    world.subscribe(&mut ann, "$share/g/a", Qos::AtMostOnce);
    assert!(memory.reserved(Account::Wills) > 20 * KIB);
    let subscriptions = memory.reserved(Account::Subscriptions);
    assert!((512..4 * KIB).contains(&subscriptions), "{subscriptions}");
    world.close(&ann, true);
    assert!(memory.reserved(Account::Wills) > 20 * KIB, "it is delayed");
    world.pass(30_000);
    assert_eq!(memory.reserved(Account::Wills), 0);
    assert_eq!(memory.reserved(Account::Subscriptions), subscriptions);
    world.pass(60_000);
    assert_eq!(memory.reserved(Account::Subscriptions), 0);
    assert_eq!(memory.total(), 0);
}

#[test]
fn without_memory_large_wills_and_new_subscriptions_are_refused() {
    let (mut world, memory) = small(64 * KIB);
    let (mut ann, _) = world.connect("ann", true, 0);
    world.subscribe(&mut ann, "old", Qos::AtLeastOnce);
    memory.reserve(Account::Outgoing, 64 * KIB);
    let subscription = |filter: &str| Subscription {
        filter: filter.into(),
        qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Always,
        id: None,
    };
    world.handle(Request::Subscribe {
        connection: ann.connection,
        packet_id: 9,
        subscriptions: vec![subscription("new"), subscription("old")],
    });
    world.commit();
    match ann.next() {
        Some(Response::Subscribed { results, .. }) => {
            assert_eq!(results, [Err(Code::TooMany), Ok(Qos::AtLeastOnce)]);
        }
        other => panic!("expected Subscribed, got {other:?}"),
    }
    let will = |size: usize| {
        Some(ordinary(
            "bob",
            "w",
            &"x".repeat(size),
            Qos::AtLeastOnce,
            false,
        ))
    };
    world.connect_with("bob", true, 0, will(KIB), 0);
    let (sender, mut responses) = crate::desk::port::responses();
    world.handle(Request::Open(Box::new(OpenRequest {
        connection: Connection {
            id: 9999,
            responses: sender,
            backlog: Arc::default(),
            published: Arc::default(),
        },
        client_id: "bob".into(),
        owner: None,
        authorizer: None,
        clean_start: true,
        expiry: 0,
        window: 2,
        will: will(20 * KIB),
        will_delay: 0,
        will_expiry: None,
    })));
    world.commit();
    let answer = responses.try_recv();
    assert!(
        matches!(answer, Ok(Response::Close(CloseReason::QuotaExceeded))),
        "{answer:?}"
    );
    assert_eq!(memory.outcomes.refused.value(), 2);
}

#[test]
fn full_blackboards_are_named_and_stop_no_dispatch() {
    let settings = Settings::tuned(|settings| settings.blackboard.max_bytes = Size(3 * KIB));
    let mut world = World::of(super::settings(), settings);
    let (mut ann, _) = world.connect("ann", true, 0);
    world.subscribe(&mut ann, "rooms/+/reply/ann", Qos::AtLeastOnce);
    let mut command = |topic: &str, payload: &str| {
        world.publish(&mut ann, to_room("ann", topic, payload));
        world.commit();
        let reply = ann.deliveries().pop().expect("a reply");
        world.acknowledge(&ann, reply.seq, Stage::Done);
        let budgets = world.desk.stats().budgets.warnings();
        let reply = String::from_utf8_lossy(&reply.message.payload()).into_owned();
        (reply, budgets)
    };
    let set = format!(r#"{{"id":"ID","value":"{}"}}"#, "x".repeat(KIB));
    let mut set = |room: &str, key: &str| {
        let topic = format!("rooms/{room}/blackboard/set/ann/{key}");
        command(&topic, &set.replace("ID", key))
    };
    assert!(set("one", "a").0.contains("accepted"));
    let (reply, warnings) = set("two", "b");
    assert!(reply.contains("accepted") && warnings.is_empty(), "{reply}");
    let (reply, _) = set("two", "c");
    assert!(reply.contains("blackboard.max_bytes"), "{reply}");
    let task = r#"{"id":"t","type":"work"}"#;
    let (reply, _) = command("rooms/two/handoff/dispatch/ann", task);
    assert!(reply.contains("accepted"), "{reply}");
}

#[test]
fn a_mailbox_without_room_says_which_limit_is_reached() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    world.subscribe(&mut ann, "rooms/+/reply/ann", Qos::AtLeastOnce);
    let mut last = String::new();
    for n in 0..11 {
        world.publish(
            &mut ann,
            to_room("ann", "rooms/lab/inbox/bob/ann", &n.to_string()),
        );
        world.commit();
        for delivery in ann.deliveries() {
            last = String::from_utf8_lossy(&delivery.message.payload()).into_owned();
            world.acknowledge(&ann, delivery.seq, Stage::Done);
        }
    }
    assert!(last.contains("mailbox.max_messages is reached"), "{last}");
}
