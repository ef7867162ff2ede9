//! Workers that cannot go on without an answer.

use crate::setting::Size;
use crate::wire::handoff::ResultStatus;
use crate::wire::question::OpenQuestion;

use super::*;

/// `w` has `t`, and has asked something.
fn asking(more: Value) -> World {
    let mut world = World::new();
    world.connect("boss");
    world.worker("w", "draft");
    world.dispatch("boss", "t", "draft");
    assert_eq!(ask(&mut world, 1, more), Ok(()));
    world
}

fn ask(world: &mut World, attempt: u32, more: Value) -> Verdict {
    let mut update = json!({
        "task": "t", "attempt": attempt, "status": "input", "question": { "how": "long" },
    });
    let fields = update.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    world.send("w", "handoff/update", update)
}

fn answer(world: &mut World, from: &str, answer: Value) -> Verdict {
    let said = json!({ "task": "t", "attempt": 1, "answer": answer });
    world.send(from, "handoff/answer", said)
}

fn shown(world: &World) -> Option<OpenQuestion> {
    let shown = world.retained("handoff/asking/t")?;
    Some(serde_json::from_value(shown).unwrap())
}

fn last_assignment(world: &World, name: &str) -> Assignment {
    let is_work = |topic: &Topic| matches!(topic, Topic::HandoffWork { .. });
    let all: Vec<Assignment> = world.directed_to(name, is_work);
    all.into_iter().next_back().unwrap()
}

fn answers(assignment: &Assignment) -> Vec<(u32, Option<&str>)> {
    let given = assignment.answers.iter();
    given
        .map(|one| (one.ask, one.answer.as_ref().map(|answer| answer.text())))
        .collect()
}

#[test]
fn what_a_worker_asks_goes_to_the_dispatcher_and_the_answer_back_to_it() {
    let mut world = asking(json!({ "schema": { "type": "integer" }, "ttlMs": 5_000 }));
    assert_eq!(world.state("t"), TaskState::Asking);
    let told = world.results("boss").pop().unwrap();
    assert_eq!((told.status, told.is_final), (ResultStatus::Input, false));
    assert_eq!((told.ask, told.attempts), (Some(1), 1));
    assert_eq!(told.question.unwrap().text(), r#"{"how":"long"}"#);
    assert_eq!(told.expires_at, Some(START + 5_000));
    let open = shown(&world).unwrap();
    assert_eq!((open.worker.as_str(), open.ask, open.attempt), ("w", 1, 1));
    assert_eq!(world.view("t").asking.as_deref(), Some(&open));

    assert_eq!(answer(&mut world, "boss", json!(900)), Ok(()));
    assert_eq!(world.state("t"), TaskState::Assigned);
    let again = last_assignment(&world, "w");
    assert_eq!(
        (again.attempt, answers(&again)),
        (1, vec![(1, Some("900"))])
    );
    assert_eq!(shown(&world), None);
    world.success("w", "t", 1);
    assert_eq!(
        world.final_results("boss"),
        [("t".to_owned(), TaskState::Succeeded)]
    );
    assert_eq!(
        world.story("t")[2..],
        ["handoff.asked", "handoff.answered", "handoff.succeeded"]
    );
    world.check();
}

#[test]
fn meanwhile_the_lease_rests_and_the_place_is_free() {
    let mut world = asking(json!({}));
    assert_eq!(world.presence("w").unwrap().in_flight, 0);
    world.dispatch("boss", "u", "draft");
    assert_eq!(world.state("u"), TaskState::Assigned);
    world.pass(10 * 60_000);
    assert_eq!(world.state("t"), TaskState::Asking);
    // It goes on with it all the same, beyond its capacity.
    world.worker("w", "draft");
    assert_eq!(answer(&mut world, "boss", json!(1)), Ok(()));
    assert_eq!(world.state("t"), TaskState::Assigned);
    world.check();
}

#[test]
fn an_answer_is_judged_and_the_question_stays_open() {
    let mut world = asking(json!({ "schema": { "type": "object", "required": ["n"] } }));
    world.connect("other");
    for (from, said, code) in [
        (
            "boss",
            json!({ "task": "t", "attempt": 1, "answer": {} }),
            Code::Invalid,
        ),
        (
            "other",
            json!({ "task": "t", "attempt": 1, "answer": { "n": 1 } }),
            Code::Forbidden,
        ),
        (
            "w",
            json!({ "task": "t", "attempt": 1, "answer": { "n": 1 } }),
            Code::Forbidden,
        ),
        (
            "boss",
            json!({ "task": "t", "attempt": 2, "answer": { "n": 1 } }),
            Code::Conflict,
        ),
        (
            "boss",
            json!({ "task": "t", "attempt": 1, "ask": 2, "answer": { "n": 1 } }),
            Code::Conflict,
        ),
        (
            "boss",
            json!({ "task": "u", "attempt": 1, "answer": 1 }),
            Code::NotFound,
        ),
        (
            "boss",
            json!({ "task": "t", "attempt": 1 }),
            Code::Malformed,
        ),
    ] {
        assert_eq!(
            world.send(from, "handoff/answer", said.clone()),
            Err(code),
            "{said}"
        );
        assert_eq!(world.state("t"), TaskState::Asking);
    }
    assert_eq!(answer(&mut world, "boss", json!({ "n": 1 })), Ok(()));
    assert_eq!(
        answer(&mut world, "boss", json!({ "n": 1 })),
        Err(Code::Conflict)
    );
}

#[test]
fn whoever_a_question_names_may_answer_it() {
    for name in ["role:editor", "ed"] {
        let mut world = asking(json!({ "answerers": [name] }));
        world.connect("ed");
        world
            .send("ed", "presence/announce", json!({ "role": "editor" }))
            .unwrap();
        assert_eq!(answer(&mut world, "ed", json!(null)), Ok(()), "{name}");
        let again = last_assignment(&world, "w");
        assert_eq!(answers(&again), [(1, Some("null"))]);
    }
    let mut world = World::new();
    world.worker("w", "draft");
    world.connect("boss");
    world.dispatch("boss", "t", "draft");
    let odd = json!({ "answerers": ["who ever"] });
    assert_eq!(ask(&mut world, 1, odd), Err(Code::Invalid));
    assert_eq!(
        ask(&mut world, 1, json!({ "schema": { "type": 1 } })),
        Err(Code::Invalid)
    );
    let plain = json!({ "task": "t", "attempt": 1, "status": "input" });
    assert_eq!(world.send("w", "handoff/update", plain), Err(Code::Invalid));
    assert_eq!(world.state("t"), TaskState::Assigned);
}

#[test]
fn a_worker_that_is_not_answered_in_time_goes_on_without() {
    let mut world = asking(json!({ "ttlMs": 2_000 }));
    world.pass(1_999);
    assert_eq!(world.state("t"), TaskState::Asking);
    world.pass(1);
    assert_eq!(world.state("t"), TaskState::Assigned);
    let again = last_assignment(&world, "w");
    assert!(again.answers[0].timed_out);
    assert_eq!((again.attempt, answers(&again)), (1, vec![(1, None)]));
    assert_eq!(answer(&mut world, "boss", json!(1)), Err(Code::Conflict));
    world.check();
}

#[test]
fn an_answer_for_a_worker_that_is_gone_goes_to_another_with_the_task() {
    let mut world = asking(json!({}));
    world.end_session("w");
    assert_eq!(world.state("t"), TaskState::Asking);
    assert_eq!(answer(&mut world, "boss", json!("yes")), Ok(()));
    assert_eq!(world.state("t"), TaskState::Queued);
    world.worker("x", "draft");
    let again = last_assignment(&world, "x");
    assert_eq!(
        (again.attempt, answers(&again)),
        (2, vec![(1, Some("\"yes\""))])
    );
    assert_eq!(world.view("t").answers.len(), 1);
    world.success("x", "t", 2);
    assert_eq!(world.view("t").answers.len(), 0);
    world.check();
}

#[test]
fn time_can_be_over_when_the_worker_is_gone() {
    let mut world = asking(json!({ "ttlMs": 1_000 }));
    world.end_session("w");
    world.pass(1_000);
    assert_eq!(world.state("t"), TaskState::Queued);
    assert_eq!(world.story("t").last().unwrap(), "handoff.unanswered");
}

#[test]
fn what_is_asked_survives_a_crash() {
    let mut world = asking(json!({ "ttlMs": 60_000 }));
    world.crash();
    world.connect("boss");
    world.connect_as("w", true, true);
    assert_eq!(world.state("t"), TaskState::Asking);
    assert_eq!(answer(&mut world, "boss", json!(1)), Ok(()));
    assert_eq!(ask(&mut world, 1, json!({})), Ok(()));
    world.crash();
    world.pass(15 * 60_000);
    let view = world.view("t");
    assert_eq!(view.answers.len(), 2);
    assert!(view.answers[1].timed_out);
    world.check();
}

#[test]
fn a_worker_may_end_the_attempt_without_the_answer() {
    for (status, state) in [
        ("success", TaskState::Succeeded),
        ("error", TaskState::Waiting),
        ("release", TaskState::Waiting),
    ] {
        let mut world = asking(json!({}));
        assert_eq!(world.update("w", "t", 1, "progress"), Ok(()));
        assert_eq!(ask(&mut world, 1, json!({})), Err(Code::Conflict));
        assert_eq!(world.update("w", "t", 1, status), Ok(()), "{status}");
        assert_eq!(world.state("t"), state);
        assert_eq!(shown(&world), None);
        assert_eq!(world.view("t").asking, None);
        world.check();
    }
}

#[test]
fn a_task_that_asks_ends_as_any_other_and_its_worker_is_told() {
    let mut world = asking(json!({}));
    world
        .send("boss", "handoff/cancel", json!({ "task": "t" }))
        .unwrap();
    assert_eq!(world.state("t"), TaskState::Cancelled);
    assert_eq!(world.last_reply("w").code, Code::Conflict);
    assert_eq!(shown(&world), None);
    world.check();
}

#[test]
fn nobody_may_ask_for_ever() {
    let mut world = asking(json!({ "ttlMs": 1 }));
    world.reconfigure(|settings| settings.handoff.max_questions_per_task = 2);
    world.pass(1);
    assert_eq!(ask(&mut world, 1, json!({ "ttlMs": 1 })), Ok(()));
    world.pass(1);
    assert_eq!(ask(&mut world, 1, json!({})), Err(Code::TooMany));
}

#[test]
fn answers_are_left_out_where_a_worker_takes_no_more() {
    let mut world = World::new();
    world.connect("boss");
    world.worker("w", "draft");
    world
        .send("w", "presence/announce", json!({ "maxBytes": 240 }))
        .unwrap();
    world.dispatch("boss", "t", "draft");
    assert_eq!(ask(&mut world, 1, json!({})), Ok(()));
    assert_eq!(answer(&mut world, "boss", json!("x".repeat(300))), Ok(()));
    assert_eq!(answers(&last_assignment(&world, "w")), []);
    assert_eq!(world.view("t").answers.len(), 1);
}

#[test]
fn no_number_is_used_twice_and_each_question_counts() {
    let mut world = asking(json!({}));
    world.reconfigure(|settings| settings.handoff.max_questions_per_task = 2);
    assert_eq!(world.update("w", "t", 1, "release"), Ok(()));
    world.pass(1_000);
    assert_eq!(ask(&mut world, 2, json!({})), Ok(()));
    assert_eq!(shown(&world).unwrap().ask, 2);
    assert_eq!(world.update("w", "t", 2, "release"), Ok(()));
    world.pass(1_000);
    assert_eq!(ask(&mut world, 3, json!({})), Err(Code::TooMany));
}

#[test]
fn who_gives_a_task_back_that_asks_gives_it_to_others_at_once() {
    let mut world = asking(json!({}));
    world.worker("x", "draft");
    assert_eq!(world.update("w", "t", 1, "release"), Ok(()));
    assert_eq!(world.view("t").worker.unwrap().as_str(), "x");
}

#[test]
fn an_answer_that_its_worker_was_not_sent_costs_no_attempt() {
    let mut world = World::new();
    world.connect("boss");
    world.connect_as("w", false, true);
    world.offers("w", "draft");
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "maxAttempts": 1 }),
    );
    assert_eq!(ask(&mut world, 1, json!({})), Ok(()));
    world.disconnect("w");
    world.is_stuck = true;
    assert_eq!(answer(&mut world, "boss", json!(1)), Ok(()));
    world.end_session("w");
    world.is_stuck = false;
    assert!(!world.state("t").is_final());
    world.worker("x", "draft");
    world.pass(1_000);
    assert_eq!(answers(&last_assignment(&world, "x")), [(1, Some("1"))]);
}

#[test]
fn what_dead_tasks_were_told_gives_way_to_what_lives() {
    let mut world = World::new();
    world.reconfigure(|settings| settings.handoff.max_task_bytes_per_room = Size(40_000));
    world.connect("boss");
    world.worker("w", "draft");
    for round in 0..5 {
        let id = format!("t{round}");
        world.dispatch_with(
            "boss",
            json!({ "id": id, "type": "draft", "maxAttempts": 1 }),
        );
        let asks = json!({ "task": id, "attempt": 1, "status": "input", "question": 1 });
        assert_eq!(world.send("w", "handoff/update", asks), Ok(()));
        let said = json!({ "task": id, "attempt": 1, "answer": "x".repeat(12_000) });
        assert_eq!(
            world.send("boss", "handoff/answer", said),
            Ok(()),
            "{round}"
        );
        assert_eq!(world.update("w", &id, 1, "error"), Ok(()));
    }
    world.check();
}

#[test]
fn a_worker_whose_question_finds_no_room_has_been_heard() {
    let mut world = World::new();
    world.connect("boss");
    world.worker("w", "draft");
    world.dispatch("boss", "t", "draft");
    world.update("w", "t", 1, "accepted").unwrap();
    world.pass(40_000);
    world
        .mailboxes
        .free_results
        .insert("boss".parse().unwrap(), 0);
    assert_eq!(ask(&mut world, 1, json!({})), Err(Code::TooMany));
    world.pass(59_999);
    assert_eq!(world.state("t"), TaskState::Running);
    world.pass(1);
    assert_eq!(world.state("t"), TaskState::Waiting);
    world.check();
}
