//! Fitting: what the engine does about readers that have announced `maxBytes`.

use super::*;
use crate::engine::AssignmentKey;
use crate::wire::cbor;
use crate::wire::fit::packet_bytes;
use crate::wire::message::Qos;
use crate::wire::name::TaskId;

fn announce(world: &mut World, name: &str, said: Value) {
    world.send(name, "presence/announce", said).unwrap();
}

/// The size of a directed message as a packet.
fn size(directed: &Directed) -> usize {
    let topic = directed.topic.format(ROOT).len();
    packet_bytes(topic, directed.payload.len(), Qos::AtLeastOnce)
}

fn dispatch(world: &mut World, id: &str, payload: Value) -> usize {
    world.dispatch_with(
        "boss",
        json!({ "id": id, "type": "draft", "payload": payload }),
    );
    world.view(id).bytes.unwrap() as usize
}

#[test]
fn an_assignment_is_measured_as_a_packet_to_the_byte() {
    let mut world = World::new();
    world.worker("w", "draft");
    announce(&mut world, "w", json!({ "capacity": 9 }));
    for (id, payload) in [("a", json!(null)), ("b", json!("x".repeat(300)))] {
        let measured = dispatch(&mut world, id, payload);
        // Two digits less than the attempt with which it is measured.
        assert_eq!(
            measured,
            size(
                world
                    .directed
                    .iter()
                    .rfind(|one| one.to.as_str() == "w")
                    .unwrap()
            ) + 2
        );
    }
}

#[test]
fn a_worker_of_cbor_is_never_sent_more_floats_than_it_can_take() {
    let mut world = World::new();
    world.worker("w", "draft");
    announce(
        &mut world,
        "w",
        json!({ "capacity": 9, "maxBytes": 256, "encoding": "cbor" }),
    );
    let floats = json!([
        0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3, 1.4, 1.5
    ]);
    let as_text = dispatch(&mut world, "text", json!(floats.to_string()));
    let as_floats = dispatch(&mut world, "floats", floats);
    assert!(as_text < 256 && as_floats > 256, "{as_text} {as_floats}");
    let sent: Vec<&Directed> = world
        .directed
        .iter()
        .filter(|one| matches!(one.class, DirectedKind::Assignment(_)))
        .collect();
    assert_eq!(sent.len(), 1);
    assert!(cbor::is_map(&sent[0].payload) && size(sent[0]) <= 256);
}

#[test]
fn an_answer_that_its_asker_cannot_take_is_refused() {
    let mut world = World::new();
    announce(&mut world, "small", json!({ "maxBytes": 256 }));
    let set = json!({ "value": "x".repeat(100), "id": "s" });
    world.send("small", "blackboard/set/k", set).unwrap();
    assert_eq!(world.last_reply("small").code, Code::Done);
    let asked = world.send("small", "blackboard/get", json!({ "prefix": "k" }));
    assert_eq!(asked, Err(Code::TooLarge));
    let reply = world.last_reply("small");
    assert_eq!((reply.data, reply.code), (None, Code::TooLarge));
    assert!(
        reply
            .reason
            .unwrap()
            .ends_with("you take 256: ask for less")
    );
    assert!(size(world.directed.last().unwrap()) <= 256);
    announce(&mut world, "small", json!({ "maxBytes": 512 }));
    assert_eq!(
        world.send("small", "blackboard/get", json!({ "prefix": "k" })),
        Ok(())
    );
    world.crash();
    announce(&mut world, "small", json!({ "maxBytes": 256 }));
    world.crash();
    let asked = world.send("small", "blackboard/get", json!({ "prefix": "k" }));
    assert_eq!(asked, Err(Code::TooLarge), "remembered");
}

#[test]
fn inbox_messages_that_their_reader_cannot_take_are_refused_to_their_sender() {
    let mut world = World::new();
    announce(&mut world, "small", json!({ "maxBytes": 128 }));
    let send = |world: &mut World, bytes: usize| {
        let topic = topic("rooms/r/inbox/small/ann");
        world.input(Input::Command(World::command("ann", topic, vec![0; bytes])))
    };
    // Two bytes of header, 2 and 23 of topic, two of packet identifier.
    assert_eq!(send(&mut world, 128 - 29), Ok(()));
    assert_eq!(send(&mut world, 128 - 28), Err(Code::TooLarge));
    let reason = world.last_reply("ann").reason.unwrap();
    assert_eq!(
        reason,
        "small takes packets of at most 128 bytes, and this has 129"
    );
}

#[test]
fn a_call_goes_to_whoever_can_take_it() {
    let mut world = World::new();
    let tool = json!({ "description": "d", "inputSchema": {}, "idempotent": true });
    for name in ["small", "wide"] {
        world.connect(name);
        world.subscribe(name, "rooms/r/tools/run/t").unwrap();
        world.send(name, "tools/register/t", tool.clone()).unwrap();
    }
    announce(&mut world, "small", json!({ "maxBytes": 200 }));
    let call = |world: &mut World, bytes: usize| {
        let call = json!({ "arguments": { "x": "y".repeat(bytes) } });
        world.send("ann", "tools/call/t", call)
    };
    let runs = |world: &World| {
        let runs = world
            .directed
            .iter()
            .filter(|one| matches!(one.class, DirectedKind::Run(_)));
        runs.map(|one| one.to.to_string()).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        call(&mut world, 200).unwrap();
    }
    assert_eq!(runs(&world), ["wide", "wide"]);
    call(&mut world, 1).unwrap();
    assert_eq!(runs(&world).last().unwrap(), "small", "it has less to do");
    // Nobody else can take them.
    world.end_session("wide");
    assert_eq!(runs(&world).len(), 3);
    assert_eq!(call(&mut world, 200), Err(Code::TooLarge));
    let reply = world.last_reply("ann");
    assert_eq!(reply.path.as_deref(), Some("arguments"));
    assert!(
        reply
            .reason
            .unwrap()
            .starts_with("nobody who provides t takes a packet of")
    );
}

#[test]
fn what_could_not_be_sent_goes_to_somebody_else_unless_it_is_no_longer_theirs() {
    let mut world = World::new();
    world.worker("small", "draft");
    world.dispatch("boss", "t", "draft");
    let too_large = |attempt| Input::TooLarge {
        agent: agent("small"),
        class: DirectedKind::Assignment(AssignmentKey {
            room: Room::new("r").unwrap(),
            task: TaskId::new("t").unwrap(),
            attempt,
            answers: 0,
        }),
    };
    world.input(too_large(2)).unwrap();
    assert_eq!(world.state("t"), TaskState::Assigned, "another attempt's");
    world.input(too_large(1)).unwrap();
    assert_eq!(world.state("t"), TaskState::Waiting);
    let last = world.events.last().unwrap();
    assert_eq!(last.what, "handoff.lost");
    world.input(too_large(1)).unwrap();
    world.pass(60_000);
    world.update("small", "t", 2, "accepted").unwrap();
    world.input(too_large(2)).unwrap();
    assert_eq!(world.state("t"), TaskState::Running, "it has seen it");
    world.check();
}

#[test]
fn a_run_that_could_not_be_sent_goes_to_another_provider_if_it_may() {
    for idempotent in [true, false] {
        let mut world = World::new();
        let tool = json!({ "description": "d", "inputSchema": {}, "idempotent": idempotent });
        for name in ["p1", "p2"] {
            world.connect(name);
            world.subscribe(name, "rooms/r/tools/run/t").unwrap();
            world.send(name, "tools/register/t", tool.clone()).unwrap();
        }
        world
            .send("ann", "tools/call/t", json!({ "id": "c" }))
            .unwrap();
        let last = |world: &World| {
            let mut runs = world
                .directed
                .iter()
                .rev()
                .filter_map(|one| match &one.class {
                    DirectedKind::Run(key) => Some((one.to.clone(), key.clone())),
                    _ => None,
                });
            runs.next().unwrap()
        };
        let (provider, key) = last(&world);
        let class = DirectedKind::Run(key.clone());
        let agent = provider.clone();
        let too_large = Input::TooLarge { agent, class };
        world.input(too_large.clone()).unwrap();
        let (next, moved) = last(&world);
        let story = world.events.last().unwrap().what.clone();
        if idempotent {
            assert!(next != provider && moved.turn == key.turn + 1);
            assert_eq!(story, "tools.rerouted");
        } else {
            assert_eq!((next, moved), (provider, key));
            assert_eq!(story, "tools.lost");
            let result = world
                .directed
                .iter()
                .rfind(|one| one.class == DirectedKind::ToolResult);
            let result: Value = parse(&result.unwrap().payload);
            assert_eq!(result["error"]["code"], "too-large");
        }
        let events = world.events.len();
        world.input(too_large).unwrap();
        assert_eq!(world.events.len(), events, "it is somebody else's, or over");
        world.check();
    }
}
