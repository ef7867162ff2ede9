"""The rooms through paho-mqtt, as a client without any SDK uses them: topics and JSON."""

from peer import V5, Peer, run, same

NOT_AUTHORIZED = 0x87



def fields(what, message, **expected):
    """Checks some fields of a JSON message."""
    for name, value in expected.items():
        same(f"{what}.{name}", message.get(name), value)


def handoff_goes_from_dispatch_to_one_result():
    base = "rooms/handoff"
    boss, worker = Peer("boss").up(), Peer("worker").up()
    boss.subscribe(f"{base}/handoff/result/boss")
    boss.subscribe(f"{base}/reply/boss")
    worker.subscribe(f"{base}/handoff/work/draft", qos=1)
    payload = '{"z": 1.10, "a": [null, "ü"]}'
    task = '{"id":"t1","type":"draft","payload":%s,"priority":"high","correlationId":"c1"}' % payload
    same("ack", boss.publish(f"{base}/handoff/dispatch/boss", task), 0)
    fields("reply", boss.reply("handoff", "c1"), command="handoff/dispatch", status="accepted", code=202, id="t1", task="t1")

    work = worker.expect(f"{base}/handoff/work/draft")
    same("the payload as it was written", payload.encode() in work.payload, True)
    worker.messages.append(work)
    work = worker.expect_json(f"{base}/handoff/work/draft")
    fields("work", work, task="t1", attempt=1, type="draft", dispatcher="boss", priority="high", correlationId="c1")

    def update(**more):
        worker.publish(f"{base}/handoff/update/worker", {"task": "t1", "attempt": 1, **more})

    update(status="accepted")
    update(status="progress", result={"done": 0.5})
    update(status="success", result={"words": 900})
    partial, final = (boss.expect_json(f"{base}/handoff/result/boss") for _ in range(2))
    fields("partial", partial, task="t1", status="partial", final=False, result={"done": 0.5})
    fields("final", final, task="t1", status="succeeded", final=True, attempts=1, worker="worker")
    fields("final", final, result={"words": 900}, correlationId="c1")

    boss.publish(f"{base}/handoff/get/boss", {"task": "t1", "correlationId": "c2"})
    fields("task", boss.reply("handoff", "c2")["data"], state="succeeded", attempt=1, worker="worker")
    boss.publish(f"{base}/handoff/dispatch/boss", task.replace("c1", "c3"))
    fields("the same id again", boss.reply("handoff", "c3"), status="accepted", task="t1")
    boss.publish(f"{base}/handoff/dispatch/boss", {"id": "t2", "type": "draft"})
    fields("the next work", worker.expect_json(f"{base}/handoff/work/draft"), task="t2")
    boss.publish(f"{base}/handoff/cancel/boss", {"task": "t2", "reason": "enough"})
    fields("cancelled", boss.expect_json(f"{base}/handoff/result/boss"), task="t2", status="cancelled", final=True)
    boss.down()
    worker.down()


def retry_hands_the_task_out_again_and_fences_the_old_attempt():
    base = "rooms/retry"
    boss, worker = Peer("boss").up(), Peer("worker").up()
    boss.subscribe(f"{base}/handoff/result/boss")
    worker.subscribe(f"{base}/handoff/work/flaky")
    worker.subscribe(f"{base}/reply/worker")
    backoff = {"initialMs": 1, "factor": 1, "maxMs": 1}
    boss.publish(f"{base}/handoff/dispatch/boss", {"id": "t", "type": "flaky", "maxAttempts": 2, "backoff": backoff})
    for attempt in (1, 2):
        work = worker.expect_json(f"{base}/handoff/work/flaky")
        fields("work", work, task="t", attempt=attempt)
        if attempt == 2:
            stale = {"task": "t", "attempt": 1, "status": "success", "correlationId": "old"}
            worker.publish(f"{base}/handoff/update/worker", stale)
            fields("an old attempt", worker.reply("retry", "old"), status="rejected", code=409)
        error = {"message": "no luck"}
        worker.publish(f"{base}/handoff/update/worker", {"task": "t", "attempt": attempt, "status": "error", "error": error})
    final = boss.expect_json(f"{base}/handoff/result/boss")
    fields("final", final, status="dead", final=True, attempts=2)
    same("the error", final["error"]["message"], "no luck")
    boss.down()
    worker.down()


def workers_share_the_tasks_and_each_goes_to_one():
    base = "rooms/workers"
    boss = Peer("boss").up()
    boss.subscribe(f"{base}/handoff/result/boss")
    crew = [Peer(f"crew-{number}").up() for number in range(3)]
    # A share on the work topic offers the capability like the topic itself.
    for number, worker in enumerate(crew):
        worker.subscribe(f"{base}/handoff/work/dig" if number else f"$share/crew/{base}/handoff/work/dig")
    for number in range(3):
        boss.publish(f"{base}/handoff/dispatch/boss", {"id": f"t{number}", "type": "dig"})
    for worker in crew:
        work = worker.expect_json(f"{base}/handoff/work/dig")
        done = {"task": work["task"], "attempt": work["attempt"], "status": "success"}
        worker.publish(f"{base}/handoff/update/{worker.id}", done)
    results = [boss.expect_json(f"{base}/handoff/result/boss") for _ in range(3)]
    same("tasks", sorted(result["task"] for result in results), ["t0", "t1", "t2"])
    same("workers", sorted(result["worker"] for result in results), ["crew-0", "crew-1", "crew-2"])
    for client in (boss, *crew):
        client.down()


def blackboard_keeps_versions_and_refuses_stale_writers():
    base = "rooms/blackboard"
    ann, bob = Peer("ann").up(), Peer("bob").up()
    for client in (ann, bob):
        client.subscribe(f"{base}/reply/{client.id}")
    bob.subscribe(f"{base}/blackboard/state/#")

    def set_plan(client, **body):
        client.publish(f"{base}/blackboard/set/{client.id}/plan/week", {"correlationId": "set", **body})
        return client.reply("blackboard", "set")

    fields("first write", set_plan(ann, value={"n": 1}, ifVersion=0), status="accepted", code=200, version=1, revision=1)
    state = bob.expect_json(f"{base}/blackboard/state/plan/week")
    fields("state", state, key="plan/week", value={"n": 1}, version=1, updatedBy="ann")
    fields("second write", set_plan(bob, value=None, ifVersion=1), version=2, revision=2)
    fields("null is a value", bob.expect_json(f"{base}/blackboard/state/plan/week"), value=None, version=2)
    stale = set_plan(ann, value=3, ifVersion=1)
    fields("a stale writer", stale, status="rejected", code=409)
    fields("what it is told", stale["current"], version=2, value=None)

    late = Peer("late").up()
    late.subscribe(f"{base}/blackboard/state/#")
    got = late.expect(f"{base}/blackboard/state/plan/week")
    same("a late joiner has it, retained", got.retain, True)
    ann.publish(f"{base}/blackboard/get/ann", {"prefix": "plan", "correlationId": "get"})
    snapshot = ann.reply("blackboard", "get")["data"]
    same("snapshot", [(entry["key"], entry["version"]) for entry in snapshot["entries"]], [("plan/week", 2)])
    ann.publish(f"{base}/blackboard/delete/ann/plan/week", b"")
    same("deleted", late.expect(f"{base}/blackboard/state/plan/week").payload, b"")
    fields("a version is never used twice", set_plan(ann, value=4), version=3)
    for client in (ann, bob, late):
        client.down()


def approve_waits_for_a_decision_and_delivers_it_once():
    base = "rooms/approve"
    agent, human = Peer("agent").up(), Peer("human").up()
    agent.subscribe(f"{base}/approve/decision/agent")
    agent.subscribe(f"{base}/reply/agent")
    human.subscribe(f"{base}/approve/pending/+")
    human.subscribe(f"{base}/reply/human")
    request = {"id": "a1", "action": "publish", "content": {"title": "Tides"}, "correlationId": "ask"}
    agent.publish(f"{base}/approve/request/agent", request)
    fields("reply", agent.reply("approve", "ask"), status="accepted", approval="a1")
    pending = human.expect_json(f"{base}/approve/pending/a1")
    fields("pending", pending, requester="agent", action="publish", content={"title": "Tides"}, quorum=1)

    agent.publish(f"{base}/approve/decide/agent/a1", {"decision": "approve", "correlationId": "own"})
    fields("one's own request", agent.reply("approve", "own"), status="rejected", code=403)
    wrong = {"decision": "approve", "digest": "0" * 64, "correlationId": "digest"}
    human.publish(f"{base}/approve/decide/human/a1", wrong)
    fields("another content", human.reply("approve", "digest"), status="rejected", code=409)
    human.publish(f"{base}/approve/decide/human/a1", {"decision": "approve", "digest": pending["digest"], "reason": "fine"})
    decision = agent.expect_json(f"{base}/approve/decision/agent")
    fields("decision", decision, id="a1", approved=True, decision="approve", by=["human"], reason="fine", edited=False)
    fields("decision", decision, timedOut=False, correlationId="ask", content={"title": "Tides"})
    same("pending is cleared", human.expect(f"{base}/approve/pending/a1").payload, b"")
    human.publish(f"{base}/approve/decide/human/a1", {"decision": "reject", "correlationId": "late"})
    fields("decided already", human.reply("approve", "late"), status="rejected", code=409)

    agent.publish(f"{base}/approve/request/agent", {"id": "a2", "action": "wait", "timeoutMs": 1})
    fields("nobody decided", agent.expect_json(f"{base}/approve/decision/agent"), id="a2", approved=False, timedOut=True)
    agent.publish(f"{base}/approve/request/agent", {"id": "a3", "action": "perhaps"})
    human.publish(f"{base}/approve/decide/human/a3", {"decision": "looks good"})
    fields("anything but approve", agent.expect_json(f"{base}/approve/decision/agent"), id="a3", approved=False)
    agent.down()
    human.down()


def inbox_waits_for_who_is_not_there():
    base = "rooms/inbox"
    Peer("absent").up().down()
    sender = Peer("sender").up()
    payloads = [b"\0any bytes\xff", b"two", b"three"]
    for payload in payloads:
        sender.publish(f"{base}/inbox/absent/sender", payload)
    absent = Peer("absent").up()
    absent.subscribe(f"{base}/inbox/absent/+")
    got = [absent.expect(f"{base}/inbox/absent/sender") for _ in payloads]
    same("in order, as they were", [message.payload for message in got], payloads)
    same("QoS", {message.qos for message in got}, {1})
    # paho acknowledges once its callback has returned: a round trip on the same thread comes after that.
    absent.publish("elsewhere", b"acknowledged")
    absent.down()
    again = Peer("absent").up()
    again.subscribe(f"{base}/inbox/absent/+")
    sender.publish(f"{base}/inbox/absent/sender", b"four")
    same("what was acknowledged is gone", again.expect(f"{base}/inbox/absent/sender").payload, b"four")
    again.down()
    sender.down()


def presence_is_known_without_a_word_and_better_with_one():
    base = "rooms/presence"
    watcher = Peer("watcher").up()
    watcher.subscribe(f"{base}/presence/agent/+")

    def until(agent, **wanted):
        while True:
            payload = watcher.expect_json(f"{base}/presence/agent/{agent}")
            if all(payload.get(name) == value for name, value in wanted.items()):
                return payload

    agent = Peer("visible").up()
    agent.subscribe(f"{base}/handoff/work/paint")
    until("visible", connection="online", capabilities=["paint"], status="idle", inFlight=0)
    said = {"name": "Vera", "role": "painter", "capabilities": ["sand"], "capacity": 2, "metadata": {"floor": 3}}
    agent.publish(f"{base}/presence/announce/visible", said)
    until("visible", name="Vera", role="painter", capabilities=["paint", "sand"], capacity=2, metadata={"floor": 3})
    agent.drop()
    until("visible", connection="away")
    agent = Peer("visible").up()
    until("visible", connection="online")
    agent.publish(f"{base}/presence/announce/visible", b"")
    same("left", watcher.expect(f"{base}/presence/agent/visible").payload, b"")
    agent.down()
    watcher.down()


def observe_shows_every_change_in_order():
    base = "rooms/observe"
    watcher, boss = Peer("watcher").up(), Peer("boss").up()
    watcher.subscribe(f"{base}/observe/events/#")
    boss.publish(f"{base}/observe/events/boss/log", {"severity": "info", "payload": "hello"})
    fields("an agent's own", watcher.expect_json(f"{base}/observe/events/boss/log"), severity="info", payload="hello")
    boss.publish(f"{base}/blackboard/set/boss/plan", {"value": 1})
    boss.publish(f"{base}/blackboard/set/boss/plan", {"value": 2})
    boss.publish(f"{base}/blackboard/delete/boss/plan", b"")
    events = [watcher.expect_json(f"{base}/observe/events/gateway/blackboard") for _ in range(3)]
    same("what", [event["what"] for event in events], ["blackboard.set", "blackboard.set", "blackboard.deleted"])
    same("who", {event["who"] for event in events}, {"boss"})
    same("subject", {event["subject"] for event in events}, {"plan"})
    first = events[0]["seq"]
    same("seq", [event["seq"] for event in events], [first, first + 1, first + 2])
    watcher.down()
    boss.down()


def refusals_have_a_code_and_words():
    base = "rooms/refusals"
    mallory = Peer("mallory").up()
    mallory.subscribe(f"{base}/reply/mallory")
    mallory.subscribe("alive")

    def refused(topic, payload, code, ack):
        got = mallory.publish(topic, payload)
        same(f"ack on {topic}", got, ack if V5 else 0)
        reply = mallory.expect_json(f"{base}/reply/mallory")
        fields(topic, reply, status="rejected", code=code)
        same("words", len(reply["reason"]) > 10, True)
        return reply

    refused(f"{base}/handoff/dispatch/boss", {"type": "x"}, 403, NOT_AUTHORIZED)
    refused(f"{base}/inbox/ann/boss", b"x", 403, NOT_AUTHORIZED)
    refused(f"{base}/blackboard/state/plan", {"value": 1}, 403, NOT_AUTHORIZED)
    refused(f"{base}/observe/events/gateway/x", {}, 403, NOT_AUTHORIZED)
    malformed = refused(f"{base}/handoff/dispatch/mallory", '{"type": 7, "correlationId": "bad"}', 400, 0x99)
    fields("malformed", malformed, command="handoff/dispatch", path="type", correlationId="bad")
    refused(f"{base}/handoff/dispatch/mallory", b"not json", 400, 0x99)
    refused(f"{base}/handoff/cancel/mallory", {"task": "none"}, 404, 0x83)
    refused(f"{base}/approve/decide/mallory/none", {"decision": "approve"}, 404, 0x83)
    refused(f"{base}/tools/call/mallory/hammer", {"arguments": {}}, 503, 0x83)
    mallory.publish("alive", "yes")
    same("and the connection lives", mallory.expect("alive").payload, b"yes")
    mallory.down()


def mirrors_of_mqtt_5_stand_for_the_fields():
    base = "rooms/mirrors"
    boss, worker = Peer("boss").up(), Peer("worker").up()
    boss.subscribe(f"{base}/reply/boss/#")
    boss.subscribe(f"{base}/handoff/result/boss")
    worker.subscribe(f"{base}/handoff/work/copy")
    answers = f"{base}/reply/boss/inner/one"
    boss.publish(f"{base}/handoff/dispatch/boss", {"type": "copy"}, CorrelationData=b"c-7", ResponseTopic=answers)
    reply = boss.expect(answers)
    same("correlation of the reply", reply.properties.CorrelationData, b"c-7")
    work = worker.expect(f"{base}/handoff/work/copy")
    same("correlation of the work", work.properties.CorrelationData, b"c-7")
    worker.messages.append(work)
    work = worker.expect_json(work.topic)
    fields("work", work, correlationId="c-7")
    worker.publish(f"{base}/handoff/update/worker", {"task": work["task"], "attempt": 1, "status": "success"})
    result = boss.expect(f"{base}/handoff/result/boss")
    same("correlation of the result", result.properties.CorrelationData, b"c-7")
    boss.publish(f"{base}/handoff/dispatch/boss", {"id": "brief", "type": "nobody"}, MessageExpiryInterval=1)
    fields("expiry", boss.expect_json(f"{base}/handoff/result/boss"), task="brief", status="expired")
    elsewhere = f"{base}/reply/worker"
    worker.subscribe(elsewhere)
    boss.publish(f"{base}/handoff/get/boss", {"task": "none"}, CorrelationData=b"x", ResponseTopic=elsewhere)
    boss.expect(f"{base}/reply/boss")
    same("nobody else's reply topic", [m for m in worker.messages if m.topic == elsewhere], [])
    boss.down()
    worker.down()


CHECKS = [
    handoff_goes_from_dispatch_to_one_result,
    retry_hands_the_task_out_again_and_fences_the_old_attempt,
    workers_share_the_tasks_and_each_goes_to_one,
    blackboard_keeps_versions_and_refuses_stale_writers,
    approve_waits_for_a_decision_and_delivers_it_once,
    inbox_waits_for_who_is_not_there,
    presence_is_known_without_a_word_and_better_with_one,
    observe_shows_every_change_in_order,
    refusals_have_a_code_and_words,
]

run(CHECKS + ([mirrors_of_mqtt_5_stand_for_the_fields] if V5 else []))
