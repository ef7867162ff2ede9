//! Providers that cannot go on without an answer of the caller's.

use super::*;

fn ask(world: &mut World, provider: &str, call: &str, more: Value) -> Verdict {
    let mut said = json!({ "call": call, "status": "input", "question": "which English?" });
    let fields = said.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    world.send(provider, "tools/return", said)
}

fn reply(world: &mut World, from: &str, call: &str, answer: Value) -> Verdict {
    let said = json!({ "call": call, "answer": answer });
    world.send(from, "tools/answer", said)
}

fn asking(tool: Value, more: Value) -> (World, String) {
    let mut world = with_provider(tool);
    let id = call(&mut world, "ann");
    assert_eq!(ask(&mut world, "p1", &id, more), Ok(()));
    (world, id)
}

#[test]
fn what_a_provider_asks_goes_to_the_caller_and_the_answer_back() {
    let (mut world, id) = asking(spell(), json!({ "schema": { "enum": ["en-GB", "en-US"] } }));
    let told = results(&world, "ann").pop().unwrap();
    assert_eq!(
        (told.status, told.is_final, told.ask),
        (ReturnStatus::Input, false, Some(1))
    );
    assert_eq!(told.question.unwrap().text(), r#""which English?""#);
    assert_eq!(told.expires_at, Some(START + 15 * 60_000));
    assert_eq!(ask(&mut world, "p1", &id, json!({})), Err(Code::Conflict));
    assert_eq!(
        reply(&mut world, "ann", &id, json!("fr")),
        Err(Code::Invalid)
    );
    assert_eq!(
        reply(&mut world, "p1", &id, json!("en-GB")),
        Err(Code::Forbidden)
    );
    // Longer than a call may take: its time stands still.
    world.pass(60_000);
    assert_eq!(reply(&mut world, "ann", &id, json!("en-GB")), Ok(()));
    let again = runs(&world, "p1").pop().unwrap();
    assert_eq!(
        again.answers[0].answer.as_ref().unwrap().text(),
        r#""en-GB""#
    );
    assert_eq!((again.arguments, again.deadline), (None, START + 90_000));
    assert_eq!(
        reply(&mut world, "ann", &id, json!("en-GB")),
        Err(Code::Conflict)
    );
    assert_eq!(
        answer(&mut world, "p1", &id, "success", json!({ "words": [] })),
        Ok(())
    );
    assert_eq!(the_result(&world, "ann").0, ReturnStatus::Success);
    assert_eq!(
        world.story(&id),
        [
            "tools.called",
            "tools.asked",
            "tools.answered",
            "tools.returned"
        ]
    );
    world.check();
}

#[test]
fn a_provider_that_is_not_answered_goes_on_without_and_has_the_rest_of_its_time() {
    let (mut world, id) = asking(idempotent(), json!({ "ttlMs": 1_000 }));
    world.crash();
    world.connect_as("p1", true, true);
    world.pass(1_000);
    let again = runs(&world, "p1").pop().unwrap();
    assert!(again.answers[0].timed_out);
    assert_eq!(again.arguments.unwrap().text(), r#"{"text":"helo"}"#);
    assert_eq!(world.story(&id).last().unwrap(), "tools.unanswered");
    world.pass(30_000);
    assert_eq!(the_result(&world, "ann"), lost("timeout"));
    world.check();
}

#[test]
fn another_provider_begins_with_what_was_answered_and_not_with_what_is_open() {
    let (mut world, id) = asking(idempotent(), json!({}));
    provide(&mut world, "p2", idempotent());
    assert_eq!(reply(&mut world, "ann", &id, json!(1)), Ok(()));
    assert_eq!(ask(&mut world, "p1", &id, json!({})), Ok(()));
    world.end_session("p1");
    let run = runs(&world, "p2").pop().unwrap();
    assert_eq!((run.answers.len(), run.deadline), (1, START + 30_000));
    assert_eq!(reply(&mut world, "ann", &id, json!(2)), Err(Code::Conflict));
    assert_eq!(ask(&mut world, "p2", &id, json!({})), Ok(()));
    let asked = results(&world, "ann").pop().unwrap();
    assert_eq!(asked.ask, Some(3));
    let stale = json!({ "call": id, "ask": 2, "answer": "of another's" });
    assert_eq!(
        world.send("ann", "tools/answer", stale),
        Err(Code::Conflict)
    );
    world.check();
}

#[test]
fn a_call_that_asks_ends_as_any_other() {
    for end in ["success", "error", "cancel", "lose"] {
        let (mut world, id) = asking(spell(), json!({}));
        assert_eq!(
            answer(&mut world, "p1", &id, "partial", json!(1)),
            Err(Code::Conflict)
        );
        let expected = match end {
            "cancel" => {
                let cancel = json!({ "call": id });
                assert_eq!(world.send("ann", "tools/cancel", cancel), Ok(()));
                lost("cancelled")
            }
            "lose" => {
                world.end_session("p1");
                lost("provider-gone")
            }
            status => {
                let result = json!({ "words": [] });
                assert_eq!(answer(&mut world, "p1", &id, status, result), Ok(()));
                match status {
                    "success" => (ReturnStatus::Success, None),
                    _ => (ReturnStatus::Error, None),
                }
            }
        };
        let finals = the_result(&world, "ann");
        assert_eq!(finals, expected, "{end}");
        assert_eq!(reply(&mut world, "ann", &id, json!(1)), Err(Code::Conflict));
        world.check();
    }
}
