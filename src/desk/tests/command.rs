//! Commands of callers within the process, through the port.

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::desk::port::{Authorizer, CommandRequest};
use crate::wire::reply::{Reply, ReplyStatus};

type Answered = oneshot::Receiver<Reply>;

fn request(id: &str, topic: &str, payload: &str) -> (CommandRequest, Answered) {
    let (answer, answered) = oneshot::channel();
    let request = CommandRequest {
        client_id: id.into(),
        owner: None,
        authorizer: None,
        topic: topic.into(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        mirrors: CommandMirrors::default(),
        answer,
    };
    (request, answered)
}

/// Asks without committing.
fn ask(world: &mut World, id: &str, topic: &str, payload: &str) -> Answered {
    let (request, answered) = request(id, topic, payload);
    world.handle(Request::Command(Box::new(request)));
    answered
}

fn reply(world: &mut World, mut answered: Answered) -> Reply {
    world.commit();
    answered.try_recv().expect("an answer")
}

/// Somebody who takes drafts.
fn worker(world: &mut World) -> Peer {
    let (mut worker, _) = world.connect("wanda", false, 100);
    world.subscribe(
        &mut worker,
        "rooms/den/handoff/work/draft",
        Qos::AtLeastOnce,
    );
    worker
}

const SET: &str = r#"{"value":1}"#;
const TASK: &str = r#"{"id":"t1","type":"draft"}"#;
const DISPATCH: &str = "rooms/den/handoff/dispatch/ann";

#[test]
fn an_answer_leaves_only_after_its_commit() {
    let mut world = World::new();
    let mut worker = worker(&mut world);
    let mut answered = ask(&mut world, "ann", DISPATCH, TASK);
    assert_eq!(answered.try_recv(), Err(TryRecvError::Empty));
    let reply = reply(&mut world, answered);
    assert_eq!(
        (reply.status, reply.code),
        (ReplyStatus::Accepted, Code::Taken)
    );
    assert_eq!(reply.id.map(|id| id.to_string()).as_deref(), Some("t1"));
    assert_eq!(worker.deliveries().len(), 1, "the work is there");
    assert_eq!(world.rows(Space::Outbox), 1, "and no reply in a mailbox");
}

/// Sets a key, and says which version that is.
fn set(world: &mut World, key: &str) -> Option<u64> {
    let topic = format!("rooms/den/blackboard/set/ann/{key}");
    let answered = ask(world, "ann", &topic, SET);
    reply(world, answered).version
}

#[test]
fn who_dies_before_the_commit_has_answered_nobody_and_done_nothing() {
    let mut world = World::new();
    let mut answered = ask(&mut world, "ann", "rooms/den/blackboard/set/ann/k", SET);
    world.crash();
    assert_eq!(answered.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(set(&mut world, "k"), Some(1));
}

#[test]
fn every_command_is_answered_whether_or_not_it_has_an_id() {
    let mut world = World::new();
    assert_eq!(set(&mut world, "k"), Some(1));
    let answered = ask(
        &mut world,
        "ann",
        "rooms/den/blackboard/get/ann",
        r#"{"keys":["k"]}"#,
    );
    let data = reply(&mut world, answered).data.expect("a snapshot");
    assert!(data.text().contains("\"value\":1"), "{}", data.text());
}

#[test]
fn what_comes_later_is_in_the_mailbox() {
    let mut world = World::new();
    let mut worker = worker(&mut world);
    let answered = ask(&mut world, "ann", DISPATCH, TASK);
    reply(&mut world, answered);
    let delivery = worker.deliveries().remove(0);
    world.acknowledge(&worker, delivery.seq, Stage::Done);
    let done = r#"{"task":"t1","attempt":1,"status":"success"}"#;
    world.publish(
        &mut worker,
        to_room("wanda", "rooms/den/handoff/update/wanda", done),
    );
    world.commit();
    let (mut ann, _) = world.connect("ann", false, 100);
    world.subscribe(&mut ann, "rooms/den/handoff/result/ann", Qos::AtLeastOnce);
    assert_eq!(ann.deliveries().len(), 1);
}

#[test]
fn a_lock_that_is_waited_for_is_answered_at_once_and_got_by_mail() {
    let mut world = World::new();
    let lock = r#"{"id":"a","waitMs":60000}"#;
    let answered = ask(
        &mut world,
        "bob",
        "rooms/den/blackboard/lock/bob/press",
        lock,
    );
    assert_eq!(reply(&mut world, answered).code, Code::Done);
    let answered = ask(
        &mut world,
        "ann",
        "rooms/den/blackboard/lock/ann/press",
        lock,
    );
    assert_eq!(reply(&mut world, answered).code, Code::Taken);
    let answered = ask(
        &mut world,
        "bob",
        "rooms/den/blackboard/unlock/bob/press",
        r#"{"token":1}"#,
    );
    assert_eq!(reply(&mut world, answered).code, Code::Done);
    let (mut ann, _) = world.connect("ann", false, 100);
    world.subscribe(&mut ann, "rooms/den/reply/ann", Qos::AtLeastOnce);
    assert_eq!(ann.deliveries().len(), 1, "it has the lock");
}

#[test]
fn an_inbox_message_is_relayed_as_it_is() {
    let mut world = World::new();
    let answered = ask(&mut world, "ann", "rooms/den/inbox/bob/ann", "any bytes");
    assert_eq!(reply(&mut world, answered).code, Code::Taken);
    let (mut bob, _) = world.connect("bob", false, 100);
    world.subscribe(&mut bob, "rooms/den/inbox/bob/+", Qos::AtLeastOnce);
    let message = bob.deliveries().remove(0).message;
    assert_eq!(message.payload(), "any bytes");
    assert_eq!(message.publisher(), "ann");
}

#[test]
fn what_a_caller_writes_in_says_nothing_of_its_agent() {
    let mut world = World::new();
    let (mut in_cbor, answered) = request("ann", "rooms/den/blackboard/set/ann/k", "");
    in_cbor.payload = crate::wire::cbor::from_json(SET.as_bytes());
    world.handle(Request::Command(Box::new(in_cbor)));
    assert_eq!(reply(&mut world, answered).version, Some(1));
    assert_eq!(world.desk.parts().engine.stats().encodings, 0);
}

#[derive(Debug)]
struct ReadsOnly;

impl Authorizer for ReadsOnly {
    fn may_publish(&self, _topic: &str) -> bool {
        false
    }

    fn may_receive(&self, _topic: &str) -> bool {
        true
    }
}

#[test]
fn what_is_not_the_callers_to_write_is_refused() {
    let mut world = World::new();
    for (topic, code) in [
        ("rooms/den/handoff/dispatch/bob", Code::Forbidden),
        ("rooms/den/handoff/work/draft", Code::Forbidden),
        ("rooms/den/nonsense", Code::Malformed),
        ("rooms/den/observe/events/ann/mood", Code::Malformed),
        ("elsewhere", Code::Malformed),
        ("$SYS/broker", Code::Malformed),
        (DISPATCH, Code::Malformed),
    ] {
        let answered = ask(&mut world, "ann", topic, "no JSON");
        assert_eq!(reply(&mut world, answered).code, code, "{topic}");
    }
    let (mut reader, answered) = request("ann", DISPATCH, TASK);
    reader.authorizer = Some(Arc::new(ReadsOnly));
    world.handle(Request::Command(Box::new(reader)));
    assert_eq!(reply(&mut world, answered).code, Code::Forbidden);
    assert_eq!(world.desk.stats().direct_commands.value(), 8);
    assert_eq!(world.desk.stats().refusals.value(), 8);
}

#[test]
fn what_is_kept_for_one_user_is_not_spoken_for_by_another() {
    let mut world = World::new();
    let mut worker = worker(&mut world);
    let as_user = |user: &str, payload: &str| {
        let (mut request, answered) = request("ann", DISPATCH, payload);
        request.owner = Some(user.into());
        (Request::Command(Box::new(request)), answered)
    };
    let (first, answered) = as_user("anna", TASK);
    world.handle(first);
    assert_eq!(reply(&mut world, answered).code, Code::Taken);
    let delivery = worker.deliveries().remove(0);
    world.acknowledge(&worker, delivery.seq, Stage::Done);
    let done = r#"{"task":"t1","attempt":1,"status":"success"}"#;
    world.publish(
        &mut worker,
        to_room("wanda", "rooms/den/handoff/update/wanda", done),
    );
    world.commit();
    let (next, answered) = as_user("anna", r#"{"id":"t2","type":"draft"}"#);
    world.handle(next);
    assert_eq!(
        reply(&mut world, answered).code,
        Code::Taken,
        "its mailbox is its own now"
    );
    let (other, answered) = as_user("mallory", r#"{"id":"t3","type":"draft"}"#);
    world.handle(other);
    assert_eq!(reply(&mut world, answered).code, Code::Forbidden);
    assert!(world.is_refused("mallory", "ann"));
}

#[test]
fn a_caller_who_has_gone_has_nothing_done() {
    let mut world = World::new();
    let (request, answered) = request("ann", "rooms/den/blackboard/set/ann/k", SET);
    drop(answered);
    world.handle(Request::Command(Box::new(request)));
    let left_later = ask(&mut world, "ann", "rooms/den/blackboard/set/ann/l", SET);
    drop(left_later);
    world.commit();
    assert_eq!(set(&mut world, "k"), Some(1));
    assert_eq!(set(&mut world, "l"), Some(2));
}

#[test]
fn who_asks_when_the_memory_is_full_is_refused_at_once_and_nothing_is_held() {
    let memory = MemoryBudget::new(10_000);
    let mut world = World::with(DeskSettings {
        memory: memory.clone(),
        ..settings()
    });
    let mut held = ask(&mut world, "ann", "rooms/den/blackboard/set/ann/k", SET);
    assert!(memory.reserved(crate::desk::Account::Answers) > 0);
    memory.reserve(crate::desk::Account::Outgoing, 10_000);
    let before = memory.total();
    let mut refused = ask(&mut world, "ann", "rooms/den/blackboard/set/ann/l", SET);
    let code = refused.try_recv().map(|reply| reply.code);
    assert_eq!(code, Ok(Code::TooMany));
    assert_eq!(memory.total(), before);
    world.commit();
    assert_eq!(held.try_recv().map(|reply| reply.code), Ok(Code::Done));
    assert_eq!(memory.reserved(crate::desk::Account::Answers), 0);
}

#[test]
fn who_was_never_connected_is_away_and_leaves_the_room_after_the_grace() {
    let mut world = World::new();
    let _stays = worker(&mut world);
    let answered = ask(&mut world, "ann", "rooms/den/presence/announce/ann", "{}");
    assert_eq!(reply(&mut world, answered).code, Code::Done);
    let answered = ask(&mut world, "bob", "rooms/den/presence/list/bob", "");
    let listed = reply(&mut world, answered);
    let data = listed.data.as_ref().map_or("", |data| data.text());
    assert!(data.contains("\"away\""), "{listed:?}");
    world.pass(10 * 60_000);
    let answered = ask(&mut world, "bob", "rooms/den/presence/list/bob", "");
    let listed = reply(&mut world, answered);
    let data = listed.data.as_ref().map_or("", |data| data.text());
    assert_eq!(listed.code, Code::Done, "{listed:?}");
    assert!(!data.contains("\"ann\""), "{data}");
}

#[test]
fn what_was_answered_is_there_after_a_crash_and_nothing_else() {
    for seed in 0..100_u64 {
        let mut world = World::new();
        let mut dice = seed;
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005);
            dice = dice.wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        let (mut versions, mut waiting) = ([0_u64; 4], Vec::new());
        for _ in 0..60 {
            match roll(6) {
                0 => {
                    world.crash();
                    for (_, mut answered) in waiting.drain(..) {
                        let answer: Result<Reply, _> = Answered::try_recv(&mut answered);
                        assert_eq!(answer, Err(TryRecvError::Closed), "seed {seed}");
                    }
                }
                1 => {
                    world.commit();
                    for (key, mut answered) in waiting.drain(..) {
                        let reply = Answered::try_recv(&mut answered).expect("an answer");
                        versions[key] += 1;
                        assert_eq!(reply.version, Some(versions[key]), "seed {seed}");
                    }
                }
                _ => {
                    let key = usize::try_from(roll(4)).expect("small");
                    let topic = format!("rooms/den/blackboard/set/ann/k{key}");
                    waiting.push((key, ask(&mut world, "ann", &topic, SET)));
                }
            }
        }
    }
}
