//! Tools: found by their card, called with arguments that fit, answered exactly once.

use hallward::wire::tools::{CallState, ReturnStatus, ToolCard, ToolResult};
use serde_json::{Value, json};

use crate::harness::{Agent, Connect, Gateway, Setup};

fn spell() -> Value {
    json!({
        "title": "Spell checker",
        "description": "finds misspelt words",
        "inputSchema": {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
        },
        "outputSchema": {
            "type": "object",
            "properties": {"words": {"type": "array", "items": {"type": "string"}}},
            "required": ["words"],
        },
        "annotations": {"readOnlyHint": true},
    })
}

fn idempotent() -> Value {
    let mut tool = spell();
    tool["idempotent"] = true.into();
    tool
}

fn provider(gateway: &Gateway, id: &str, tool: Value) -> Agent {
    let mut provider = Agent::join_v311(gateway, "lab", id);
    provider.listen(&format!("tools/cancelled/{id}"));
    provider.provide("spell", tool);
    provider
}

fn caller(gateway: &Gateway, id: &str) -> Agent {
    let mut caller = Agent::join(gateway, "lab", id);
    caller.listen(&format!("tools/result/{id}"));
    caller
}

fn text(word: &str) -> Value {
    json!({"arguments": {"text": word}})
}

fn code(result: &ToolResult) -> Option<&str> {
    assert!(
        result.is_final && result.status == ReturnStatus::Error,
        "{result:?}"
    );
    result
        .error
        .as_ref()
        .and_then(|error| error.code.as_deref())
}

#[test]
fn a_tool_is_found_called_and_answered() {
    let gateway = Gateway::start();
    let mut speller = provider(&gateway, "speller", spell());
    let mut ann = caller(&gateway, "ann");
    ann.listen("tools/card/+");
    let card: ToolCard = ann.next("tools/card/spell");
    assert_eq!((card.name.as_str(), card.idempotent), ("spell", false));
    assert_eq!(
        card.providers
            .iter()
            .map(|a| a.as_str())
            .collect::<Vec<_>>(),
        ["speller"]
    );
    assert_eq!(
        card.annotations.expect("hints").text(),
        r#"{"readOnlyHint":true}"#
    );
    let call = ann.call("spell", json!({"id": "one", "arguments": {"text": "helo"}}));
    assert_eq!(call, "ann/one");
    let run = speller.run("spell");
    assert_eq!((run.call.as_str(), run.caller.as_str()), ("ann/one", "ann"));
    assert_eq!(run.arguments.unwrap().text(), r#"{"text":"helo"}"#);
    for part in [1, 2] {
        let reply = speller.answer(&call, "partial", json!({"result": {"part": part}}));
        assert_eq!(u16::from(reply.code), 200, "{reply:?}");
    }
    speller.answer(&call, "success", json!({"result": {"words": ["helo"]}}));
    for part in [1, 2] {
        let result = ann.tool_result();
        assert!(!result.is_final);
        assert_eq!(
            result.result.expect("a part").text(),
            format!(r#"{{"part":{part}}}"#)
        );
    }
    let result = ann.tool_result();
    assert!(
        result.is_final && result.status == ReturnStatus::Success,
        "{result:?}"
    );
    assert_eq!(
        result.result.expect("a result").text(),
        r#"{"words":["helo"]}"#
    );
    ann.expect_no_mail();
    speller.expect_no_mail();
}

#[test]
fn arguments_and_results_are_checked_against_their_schemas() {
    let gateway = Gateway::start();
    let mut speller = provider(&gateway, "speller", spell());
    let mut ann = caller(&gateway, "ann");
    let reply = ann.rejected(
        422,
        "tools/call/ann/spell",
        json!({"arguments": {"text": 7}}),
    );
    assert_eq!(reply.path.as_deref(), Some("/arguments/text"));
    speller.expect_no_mail();
    let call = ann.call("spell", text("helo"));
    speller.run("spell");
    let reply = speller.answer(&call, "success", json!({"result": {"words": ["a", 7]}}));
    assert_eq!(
        (u16::from(reply.code), reply.path.as_deref()),
        (422, Some("/result/words/1"))
    );
    speller.answer(&call, "success", json!({"result": {"words": []}}));
    assert_eq!(ann.tool_result().status, ReturnStatus::Success);
    ann.expect_no_mail();
    let odd = json!({"description": "d", "inputSchema": {"type": "odd"}});
    let reply = speller.rejected(422, "tools/register/speller/odd", odd);
    assert_eq!(reply.path.as_deref(), Some("inputSchema"));
}

#[test]
fn nobody_there_is_said_within_the_round_trip() {
    let gateway = Gateway::start();
    let mut ann = caller(&gateway, "ann");
    ann.rejected(503, "tools/call/ann/spell", text("helo"));
    let mut speller = provider(&gateway, "speller", spell());
    let call = ann.call("spell", text("helo"));
    speller.run("spell");
    speller.answer(&call, "success", json!({"result": {"words": []}}));
    assert!(ann.tool_result().is_final);
    speller.disconnect();
    let topic = ann.topic("presence/agent/speller");
    ann.subscribe(&[(&topic, 1)]);
    ann.presence_where("speller", |presence| {
        presence.connection != hallward::wire::presence::ConnectionState::Online
    });
    ann.rejected(503, "tools/call/ann/spell", text("helo"));
}

#[test]
fn a_wildcard_watches_runs_and_provides_nothing() {
    let gateway = Gateway::start();
    let mut watcher = Agent::join(&gateway, "lab", "watcher");
    watcher.listen("tools/run/+");
    watcher.accepted("tools/register/watcher/spell", spell());
    let mut ann = caller(&gateway, "ann");
    ann.rejected(503, "tools/call/ann/spell", text("helo"));
    let mut shared = Agent::join(&gateway, "lab", "shared");
    let filter = format!("$share/g/{}", shared.topic("tools/run/spell"));
    assert_eq!(shared.subscribe(&[(&filter, 1)]), [1]);
    shared.accepted("tools/register/shared/spell", spell());
    let call = ann.call("spell", text("helo"));
    assert_eq!(shared.run("spell").call.as_str(), call);
    assert_eq!(watcher.run("spell").call.as_str(), call);
    let reply = watcher.answer(&call, "success", json!({"result": {"words": []}}));
    assert_eq!(u16::from(reply.code), 409, "{reply:?}");
    shared.answer(&call, "success", json!({"result": {"words": []}}));
    assert!(ann.tool_result().is_final);
}

#[test]
fn a_call_that_takes_too_long_ends_and_its_late_answer_counts_for_nothing() {
    let gateway = Gateway::start();
    let mut speller = provider(&gateway, "speller", spell());
    let mut ann = caller(&gateway, "ann");
    let call = ann.call(
        "spell",
        json!({"arguments": {"text": "x"}, "timeoutMs": 150}),
    );
    speller.run("spell");
    assert_eq!(code(&ann.tool_result()), Some("timeout"));
    let over = speller.call_over();
    assert_eq!(
        (over.call.as_str(), over.code.as_str()),
        (call.as_str(), "timeout")
    );
    let late = speller.answer(&call, "success", json!({"result": {"words": []}}));
    assert_eq!(u16::from(late.code), 409, "{late:?}");
    ann.expect_no_mail();
}

#[test]
fn a_caller_cancels_and_the_provider_is_told() {
    let gateway = Gateway::start();
    let mut speller = provider(&gateway, "speller", spell());
    let mut ann = caller(&gateway, "ann");
    let mut bob = caller(&gateway, "bob");
    let call = ann.call("spell", text("helo"));
    speller.run("spell");
    bob.rejected(403, "tools/cancel/bob", json!({"call": call}));
    ann.accepted(
        "tools/cancel/ann",
        json!({"call": call, "reason": "found it"}),
    );
    let result = ann.tool_result();
    assert_eq!(code(&result), Some("cancelled"));
    assert_eq!(speller.call_over().reason, "found it");
    ann.rejected(409, "tools/cancel/ann", json!({"call": call}));
    ann.expect_no_mail();
}

#[test]
fn a_provider_that_is_killed_costs_an_error_soon_and_not_the_time_out() {
    let gateway = Setup::new().with("tools.provider_grace", "100ms").start();
    let mut speller = provider(&gateway, "speller", spell());
    let mut ann = caller(&gateway, "ann");
    ann.call(
        "spell",
        json!({"arguments": {"text": "x"}, "timeoutMs": 3_600_000}),
    );
    speller.run("spell");
    speller.vanish();
    assert_eq!(code(&ann.tool_result()), Some("provider-gone"));
    ann.expect_no_mail();
}

#[test]
fn an_idempotent_call_is_taken_over_by_another_provider() {
    let gateway = Setup::new().with("tools.provider_grace", "0s").start();
    let mut one = provider(&gateway, "one", idempotent());
    let mut ann = caller(&gateway, "ann");
    let call = ann.call("spell", text("helo"));
    one.run("spell");
    let mut two = provider(&gateway, "two", idempotent());
    one.vanish();
    assert_eq!(two.run("spell").call.as_str(), call);
    let mut one = Agent::join_v311(&gateway, "lab", "one");
    let late = one.answer(&call, "success", json!({"result": {"words": ["late"]}}));
    assert_eq!(u16::from(late.code), 409, "{late:?}");
    two.answer(&call, "success", json!({"result": {"words": []}}));
    let result = ann.tool_result();
    assert_eq!(
        (result.provider.as_str(), result.status),
        ("two", ReturnStatus::Success)
    );
    ann.expect_no_mail();
}

#[test]
fn two_providers_share_the_calls_and_must_agree_on_the_tool() {
    let gateway = Gateway::start();
    let mut one = provider(&gateway, "one", spell());
    let mut two = Agent::join(&gateway, "lab", "two");
    two.listen("tools/run/spell");
    let other = json!({"description": "d", "inputSchema": {}});
    two.rejected(409, "tools/register/two/spell", other);
    two.accepted("tools/register/two/spell", spell());
    let mut ann = caller(&gateway, "ann");
    let first = ann.call("spell", text("a"));
    let second = ann.call("spell", text("b"));
    assert_eq!(one.run("spell").call.as_str(), first);
    assert_eq!(two.run("spell").call.as_str(), second);
    one.expect_no_mail();
    two.expect_no_mail();
}

#[test]
fn calls_survive_a_kill_and_end_once() {
    let mut gateway = Gateway::start();
    let mut speller = provider(&gateway, "speller", spell());
    let mut ann = caller(&gateway, "ann");
    let call = ann.call("spell", json!({"id": "a", "arguments": {"text": "x"}}));
    speller.run("spell");
    let brief = ann.call(
        "spell",
        json!({"arguments": {"text": "x"}, "timeoutMs": 300}),
    );
    gateway.kill();
    gateway.restart();
    let mut speller = Agent::join(&gateway, "lab", "speller");
    speller.listen("tools/run/spell");
    let mut ann = caller(&gateway, "ann");
    let result = ann.tool_result();
    assert_eq!(
        (result.call.as_str(), code(&result)),
        (brief.as_str(), Some("timeout"))
    );
    let again = ann.call("spell", json!({"id": "a", "arguments": {"text": "x"}}));
    assert_eq!(again, call, "the repeat is no second call");
    let reply = speller.answer(&call, "success", json!({"result": {"words": []}}));
    assert_eq!(u16::from(reply.code), 200, "{reply:?}");
    assert_eq!(ann.tool_result().status, ReturnStatus::Success);
    let again = speller.answer(&call, "success", json!({"result": {"words": []}}));
    assert_eq!(u16::from(again.code), 409, "{again:?}");
}

#[test]
fn a_result_waits_for_a_caller_that_was_away() {
    let gateway = Gateway::start();
    let mut speller = provider(&gateway, "speller", spell());
    let mut ann = Agent::join_as(&gateway, "lab", Connect::v311("ann"));
    let call = ann.call("spell", text("helo"));
    ann.vanish();
    speller.run("spell");
    speller.answer(&call, "success", json!({"result": {"words": []}}));
    let mut ann = caller(&gateway, "ann");
    assert_eq!(ann.tool_result().call.as_str(), call);
    ann.expect_no_mail();
}

#[test]
fn a_caller_that_was_started_anew_asks_what_came_of_its_calls_after_a_kill() {
    let mut gateway = Gateway::start();
    let mut speller = provider(&gateway, "speller", spell());
    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    let asked = |id: &str| json!({"id": id, "arguments": {"text": "helo"}});
    for id in ["boot-1", "boot-2", "boot-3"] {
        ann.call("spell", asked(id));
        speller.run("spell");
    }
    let words = json!({"result": {"words": ["helo"]}});
    speller.answer("ann/boot-1", "success", words);
    let why = json!({"error": {"code": "ink", "message": "out of ink"}});
    speller.answer("ann/boot-2", "error", why);
    gateway.kill();
    gateway.restart();
    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    let done = ann.call_view("ann/boot-1");
    assert_eq!(
        (done.state, done.provider.as_str()),
        (CallState::Success, "speller")
    );
    assert_eq!(
        done.result.expect("a result").text(),
        r#"{"words":["helo"]}"#
    );
    assert!(done.called_at <= done.ended_at.expect("it is over"));
    let failed = ann.call_view("ann/boot-2");
    let code = failed.error.expect("an error").code;
    assert_eq!(
        (failed.state, code.as_deref()),
        (CallState::Error, Some("ink"))
    );
    assert_eq!(ann.call_view("ann/boot-3").state, CallState::Running);
    let never = ann.rejected(404, "tools/get/ann", json!({"call": "ann/boot-4"}));
    assert_eq!(never.path.as_deref(), Some("call"));
    // What it is not sure of it may call again under the same id: nothing runs twice.
    let _speller = provider(&gateway, "speller", spell());
    assert_eq!(ann.call("spell", asked("boot-1")), "ann/boot-1");
    assert_eq!(ann.call_view("ann/boot-1").ended_at, done.ended_at);
    assert_eq!(gateway.metric("hallward_tool_calls"), 1);
    let mut observer = Agent::join(&gateway, "lab", "observer").in_cbor();
    let seen = observer.call_view("ann/boot-1");
    assert_eq!(
        seen.result.expect("a result").text(),
        r#"{"words":["helo"]}"#
    );
}

#[test]
fn the_oldest_calls_that_are_over_are_forgotten_where_there_are_too_many() {
    let setup = Setup::new().with("tools.max_ended_calls_per_room", "1");
    let gateway = setup.start();
    let mut speller = provider(&gateway, "speller", spell());
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let mut calls = Vec::new();
    for _ in 0..2 {
        let call = ann.call("spell", text("helo"));
        speller.run("spell");
        speller.answer(&call, "success", json!({"result": {"words": []}}));
        calls.push(call);
    }
    ann.rejected(404, "tools/get/ann", json!({"call": calls[0]}));
    assert_eq!(ann.call_view(&calls[1]).state, CallState::Success);
    assert_eq!(gateway.metric("hallward_tool_calls_remembered"), 1);
    assert_eq!(gateway.metric("hallward_forgotten_early_total"), 1);
}

#[test]
fn a_provider_that_restarts_after_it_acknowledged_a_call_is_sent_it_again_if_it_may_run_twice() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.listen("tools/result/ann");
    let tool = json!({"description": "d", "inputSchema": {}, "idempotent": true});
    let mut provider = Agent::join_v311(&gateway, "lab", "provider");
    provider.provide("spell", tool.clone());
    let id = ann.call("spell", json!({"arguments": {"text": "helo"}}));
    let first = provider.run("spell");
    // The answer to the ping comes after the acknowledgement of the run.
    provider.ping();
    provider.vanish();
    let mut provider = Agent::join_v311(&gateway, "lab", "provider");
    assert!(!provider.session_present);
    provider.provide("spell", tool);
    let again = provider.run("spell");
    assert_eq!(again, first);
    provider.answer(&id, "success", json!({"result": {"words": ["hello"]}}));
    assert_eq!(ann.tool_result().status, ReturnStatus::Success);
    provider.expect_no_mail();
    ann.expect_no_mail();
}

#[test]
fn a_provider_that_restarts_is_not_sent_again_what_may_run_only_once_and_the_caller_is_told() {
    let gateway = Setup::new().with("tools.provider_grace", "200ms").start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.listen("tools/result/ann");
    let tool = json!({"description": "d", "inputSchema": {}});
    let mut provider = Agent::join_v311(&gateway, "lab", "provider");
    provider.provide("spell", tool.clone());
    let id = ann.call("spell", json!({"arguments": {}, "timeoutMs": 600_000}));
    provider.run("spell");
    provider.ping();
    provider.vanish();
    let mut provider = Agent::join_v311(&gateway, "lab", "provider");
    provider.provide("spell", tool);
    let result = ann.tool_result();
    let code = result.error.and_then(|error| error.code);
    assert_eq!(code.as_deref(), Some("provider-gone"));
    let late = provider.answer(&id, "success", json!({"result": 1}));
    assert_eq!(u16::from(late.code), 409, "{late:?}");
    provider.expect_no_mail();
}
