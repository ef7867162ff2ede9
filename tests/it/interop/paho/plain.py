"""Ordinary MQTT through paho-mqtt: everything outside the rooms."""

from peer import V5, Peer, Silent, connack_code, divided, pass_time, run, same

NOT_AUTHORIZED = 0x87
TAKEN_OVER = 0x8E


def every_qos_both_ways_is_the_lower_of_the_two():
    publisher = Peer("qos-pub").up()
    for wanted in (0, 1, 2):
        subscriber = Peer(f"qos-sub-{wanted}").up()
        same("granted QoS", subscriber.subscribe("qos/level", qos=wanted), wanted)
        for published in (0, 1, 2):
            publisher.publish("qos/level", f"{published}", qos=published)
            got = subscriber.expect("qos/level")
            same("payload", got.payload, f"{published}".encode())
            same(f"QoS of {published} to {wanted}", got.qos, min(published, wanted))
        subscriber.down()
    publisher.down()


def a_burst_at_each_qos_arrives_whole_and_in_order():
    publisher, subscriber = Peer("burst-pub").up(), Peer("burst-sub").up()
    for qos in (1, 2):
        topic = f"burst/{qos}"
        subscriber.subscribe(topic, qos=2)
        for number in range(200):
            publisher.paho.publish(topic, f"{number}", qos)
        got = [int(subscriber.expect(topic).payload) for _ in range(200)]
        same(f"QoS {qos} order", got, list(range(200)))
        publisher.publish(topic, "end", qos)
        same("nothing twice", subscriber.expect(topic).payload, b"end")
    publisher.down()
    subscriber.down()


def subscribing_and_publishing_in_one_breath_works():
    client = Peer("breath").up()
    for number in range(20):
        client.paho.subscribe(f"breath/{number}", 1)
        client.publish(f"breath/{number}", f"{number}")
        same("own message", client.expect(f"breath/{number}").payload, f"{number}".encode())
    client.down()


def large_and_empty_payloads_come_as_they_are():
    client = Peer("sizes").up()
    client.subscribe("sizes", qos=2)
    for payload in (b"", b"\0\xff", bytes(range(256)) * 1000):
        client.publish("sizes", payload, qos=2)
        same("payload", client.expect("sizes").payload == payload, True)
    client.down()


def wildcards_match_by_the_rules():
    publisher = Peer("wild-pub").up()
    topics = ["w/a", "w/a/b", "w", "/w", "w//b", "w/ä/ö"]
    wanted = {
        "w/+": ["w/a"],
        "w/#": ["w/a", "w/a/b", "w", "w//b", "w/ä/ö"],
        "+/a/b": ["w/a/b"],
        "/+": ["/w"],
        "+/+": ["w/a", "/w"],
        "w/+/b": ["w/a/b", "w//b"],
        "w/ä/+": ["w/ä/ö"],
    }
    for number, (topic_filter, matching) in enumerate(wanted.items()):
        subscriber = Peer(f"wild-{number}").up()
        subscriber.subscribe(topic_filter)
        subscriber.subscribe("wild-end")
        for topic in topics:
            publisher.publish(topic, "x")
        publisher.publish("wild-end")
        same(f"topics for {topic_filter}", [m.topic for m in subscriber.before("wild-end")], matching)
        subscriber.down()
    publisher.down()


def dollar_topics_are_not_for_clients():
    client = Peer("dollar").up()
    for topic_filter in ("#", "+/d", "$app/#", "$SYS/#"):
        client.subscribe(topic_filter)
    for topic in ("$app/d", "$SYS/broker/version"):
        same(f"publish to {topic}", client.publish(topic, "x"), NOT_AUTHORIZED if V5 else 0)
    client.publish("dollar-end")
    same("what came of it", [m.topic for m in client.before("dollar-end") if m.payload == b"x"], [])
    client.down()


def unsubscribing_ends_delivery():
    client = Peer("unsub").up()
    client.subscribe("unsub/a")
    client.subscribe("unsub/end")
    client.unsubscribe("unsub/a")
    client.publish("unsub/a", "x")
    client.publish("unsub/end")
    same("after UNSUBSCRIBE", client.before("unsub/end"), [])
    client.down()


def retained_messages_are_set_found_replaced_and_cleared():
    publisher, early = Peer("ret-pub").up(), Peer("ret-early").up()
    early.subscribe("ret/+", qos=2)
    for value in ("one", "two"):
        publisher.publish("ret/a", value, qos=2, retain=True)
        got = early.expect("ret/a")
        same("to who was there", (got.payload, got.retain), (value.encode(), False))
    late = Peer("ret-late").up()
    late.subscribe("ret/#", qos=1)
    got = late.expect("ret/a")
    same("to who came later", (got.payload, got.retain, got.qos), (b"two", True, 1))
    late.subscribe("ret/#", qos=1)
    same("again on subscribing again", late.expect("ret/a").payload, b"two")
    publisher.publish("ret/a", b"", retain=True)
    same("the clearing message", early.expect("ret/a").payload, b"")
    after = Peer("ret-after").up()
    after.subscribe("ret/#")
    publisher.publish("ret/end")
    same("after clearing", after.before("ret/end"), [])
    for client in (publisher, early, late, after):
        client.down()


def a_will_comes_after_a_cut_and_not_after_disconnect():
    watcher = Peer("will-watch").up()
    watcher.subscribe("will/+", qos=2)
    Peer("will-polite", will=("will/polite", "gone", 1, False)).up().down()
    Peer("will-cut", will=("will/cut", "lost", 2, True)).up().drop()
    got = watcher.expect("will/cut")
    same("the will", (got.payload, got.qos, got.retain), (b"lost", 2, False))
    same("the will of who said goodbye", watcher.messages, [])
    late = Peer("will-late").up()
    late.subscribe("will/+")
    got = late.expect("will/cut")
    same("a retained will", (got.payload, got.retain), (b"lost", True))
    late.publish("will/cut", b"", retain=True)
    late.down()
    watcher.down()


def keep_alive_is_enforced_and_zero_turns_it_off():
    watcher = Peer("alive-watch").up()
    watcher.subscribe("alive/+")
    quiet = Silent("alive-zero", 0, "alive/zero")
    Silent("alive-one", 1, "alive/one").wait_for_end()
    same("the will of the silent", watcher.expect("alive/one").payload, b"silent")
    same("who need not speak", watcher.messages, [])
    quiet.socket.close()
    same("and is noticed when it goes", watcher.expect("alive/zero").payload, b"silent")
    watcher.down()


def a_persistent_session_keeps_its_queue_in_order():
    options = {"clean": False, "expiry": 300}
    Peer("queue", clean=True).up().down()
    away = Peer("queue", **options).up()
    same("session present at first", away.session_present, False)
    away.subscribe("queue/#", qos=2)
    away.down()
    publisher = Peer("queue-pub").up()
    # In order within a QoS: paho hands a QoS 2 message over at its PUBREL, and so after later ones of QoS 1.
    for qos in (1, 2):
        for number in range(15):
            publisher.publish(f"queue/{qos}", f"{number}", qos=qos)
    back = Peer("queue", **options).up()
    same("session present", back.session_present, True)
    for qos in (1, 2):
        got = [back.expect(f"queue/{qos}") for _ in range(15)]
        same("the queue", [(int(m.payload), m.qos) for m in got], [(number, qos) for number in range(15)])
    publisher.publish("queue/0", "live", qos=2)
    same("live again", back.expect("queue/0").payload, b"live")
    back.drop()
    publisher.publish("queue/0", "while cut", qos=1)
    again = Peer("queue", **options).up()
    same("after a cut", again.expect("queue/0").payload, b"while cut")
    again.down()
    clean = Peer("queue", clean=True).up()
    same("a clean start forgets", clean.session_present, False)
    clean.subscribe("queue-end")
    publisher.publish("queue/0", "nobody asked")
    publisher.publish("queue-end")
    same("subscriptions forgotten", clean.before("queue-end"), [])
    clean.down()
    publisher.down()


def the_order_of_a_persistent_queue_is_one_over_all_topics():
    Peer("order", clean=True).up().down()
    away = Peer("order", clean=False, expiry=300).up()
    away.subscribe("order/#", qos=2)
    away.down()
    publisher = Peer("order-pub").up()
    for number in range(20):
        publisher.publish(f"order/{number}", qos=1)
    back = Peer("order", clean=False, expiry=300).up()
    publisher.publish("order/end", qos=1)
    same("order", [m.topic for m in back.before("order/end")], [f"order/{number}" for number in range(20)])
    back.down(expiry=0)
    publisher.down()
    if not V5:
        Peer("order", clean=True).up().down()


def the_same_client_id_takes_over():
    first = Peer("twin").up()
    second = Peer("twin").up()
    code = first.lost()
    if V5:
        same("reason for the first", code, TAKEN_OVER)
    second.subscribe("twin")
    second.publish("twin", "still here")
    same("the second works", second.expect("twin").payload, b"still here")
    second.down()


def a_take_over_brings_the_session_along():
    Peer("heir", clean=True).up().down()
    first = Peer("heir", clean=False, expiry=60).up()
    first.subscribe("heir", qos=1)
    second = Peer("heir", clean=False, expiry=60).up()
    same("session present", second.session_present, True)
    second.publish("heir", "mine now")
    same("the subscription stands", second.expect("heir").payload, b"mine now")
    first.lost()
    second.down()
    Peer("heir", clean=True).up().down()


def a_share_gives_each_message_to_one_member():
    publisher = Peer("share-pub").up()
    members = [Peer(f"share-{number}").up() for number in range(3)]
    everyone = Peer("share-all").up()
    everyone.subscribe("share/jobs")
    for member in members:
        same("granted", member.subscribe("$share/team/share/jobs", qos=1), 1)
    for number in range(60):
        publisher.publish("share/jobs", f"{number}")
    same("who is in no share", [int(everyone.expect("share/jobs").payload) for _ in range(60)], list(range(60)))
    taken = divided(members, "share/jobs", 60)
    same("each to one member", sorted(int(n) for numbers in taken for n in numbers), list(range(60)))
    same("everybody had some", all(taken), True)
    # Who leaves takes nothing along.
    members.pop().down()
    for number in range(60, 80):
        publisher.publish("share/jobs", f"{number}")
    taken = divided(members, "share/jobs", 20)
    same("among who is left", sorted(int(n) for numbers in taken for n in numbers), list(range(60, 80)))
    for client in (publisher, everyone, *members):
        client.down()


def an_empty_client_id_is_given_one():
    client = Peer("")
    same("CONNACK", client.connect(), 0)
    if V5:
        assigned = client.connack[2].AssignedClientIdentifier
        same("assigned", len(assigned) > 0, True)
    client.subscribe("assigned")
    client.publish("assigned", "works")
    same("it works", client.expect("assigned").payload, b"works")
    client.down()
    if not V5:
        # paho would not let us ask for this: no id, and no clean session.
        same("refused", connack_code(bytes.fromhex("100c00044d5154540400003c0000")), 2)


def user_properties_and_the_rest_come_through():
    client = Peer("props").up()
    client.subscribe("props", qos=1)
    sent = {
        "UserProperty": [("b", "2"), ("a", "1"), ("b", "3")],
        "CorrelationData": b"\x00\x01corr",
        "ResponseTopic": "props/answers",
        "ContentType": "application/x-test",
        "PayloadFormatIndicator": 1,
    }
    client.publish("props", "x", **sent)
    got = client.expect("props").properties
    for name, value in sent.items():
        same(name, getattr(got, name, None), value)
    client.down()


def an_answer_finds_its_way_by_response_topic():
    asker, answerer = Peer("ask").up(), Peer("answer").up()
    asker.subscribe("ask/answers")
    answerer.subscribe("ask/questions")
    asker.publish("ask/questions", "?", ResponseTopic="ask/answers", CorrelationData=b"42")
    question = answerer.expect("ask/questions").properties
    answerer.publish(question.ResponseTopic, "!", CorrelationData=question.CorrelationData)
    same("correlation", asker.expect("ask/answers").properties.CorrelationData, b"42")
    asker.down()
    answerer.down()


def expired_messages_are_not_delivered():
    Peer("expiry", clean=True).up().down()
    away = Peer("expiry", clean=False, expiry=300).up()
    away.subscribe("expiry/#", qos=1)
    away.down()
    publisher = Peer("expiry-pub").up()
    publisher.publish("expiry/short", "x", MessageExpiryInterval=1)
    publisher.publish("expiry/long", "x", MessageExpiryInterval=100)
    publisher.publish("expiry/kept", "x", retain=True, MessageExpiryInterval=1)
    pass_time(2)
    back = Peer("expiry", clean=False, expiry=300).up()
    left = back.expect("expiry/long").properties.MessageExpiryInterval
    same("what is left of 100 s", 90 <= left <= 98, True)
    late = Peer("expiry-late").up()
    late.subscribe("expiry/kept")
    publisher.publish("expiry/kept", "end")
    same("an expired retained message", late.expect("expiry/kept").payload, b"end")
    publisher.publish("expiry/end")
    same("an expired queued message", [m.topic for m in back.before("expiry/end")], ["expiry/kept"])
    back.down(expiry=0)
    late.down()
    publisher.down()


def subscription_identifiers_say_which_filter():
    client = Peer("subid").up()
    client.subscribe("subid/a", identifier=1)
    client.subscribe("subid/#", identifier=268435455)
    client.subscribe("subid-end")
    client.publish("subid/b", "one")
    same("one filter", client.expect("subid/b").properties.SubscriptionIdentifier, [268435455])
    client.publish("subid/a", "two")
    client.publish("subid-end")
    # Several matching filters: one message with all identifiers or one message for each (MQTT 5, 3.3.4).
    found = sorted(i for m in client.before("subid-end") for i in m.properties.SubscriptionIdentifier)
    same("two filters", found, [1, 268435455])
    client.down()


def no_local_and_retain_as_published_are_honoured():
    client, other = Peer("local").up(), Peer("local-other").up()
    client.subscribe("local", qos=1, noLocal=True)
    client.subscribe("local-end")
    client.publish("local", "own")
    client.publish("local-end")
    same("own messages", client.before("local-end"), [])
    other.publish("local", "other's")
    same("other's messages", client.expect("local").payload, b"other's")
    client.subscribe("rap/yes", retainAsPublished=True)
    client.subscribe("rap/no", retainAsPublished=False)
    for topic, flag in (("rap/yes", True), ("rap/no", False)):
        other.publish(topic, "x", retain=True)
        same(f"retain flag on {topic}", client.expect(topic).retain, flag)
        other.publish(topic, b"", retain=True)
    client.down()
    other.down()


def retain_handling_is_honoured():
    publisher = Peer("handling-pub").up()
    publisher.publish("handling/a", "kept", retain=True)
    for handling, expected in ((0, [1, 1]), (1, [1, 0]), (2, [0, 0])):
        client = Peer(f"handling-{handling}").up()
        client.subscribe("handling-end")
        got = []
        for _ in range(2):
            client.subscribe("handling/#", retainHandling=handling)
            publisher.publish("handling-end")
            got.append(len(client.before("handling-end")))
        same(f"retained messages with handling {handling}", got, expected)
        client.down()
    publisher.publish("handling/a", b"", retain=True)
    publisher.down()


def sessions_expire_when_they_said():
    Peer("expire", clean=True, expiry=0).up().down()

    def present(expiry):
        client = Peer("expire", clean=False, expiry=expiry).up()
        return client, client.session_present

    client, _ = present(0)
    client.down()
    client, there = present(100)
    same("expiry 0 ends with the connection", there, False)
    client.down()
    client, there = present(1)
    same("expiry 100 outlives it", there, True)
    client.down()
    pass_time(2)
    client, there = present(100)
    same("expiry 1 is over after 2 s", there, False)
    client.down(expiry=0)
    client, there = present(0)
    same("DISCONNECT can end it", there, False)
    client.down()


CHECKS = [
    every_qos_both_ways_is_the_lower_of_the_two,
    a_burst_at_each_qos_arrives_whole_and_in_order,
    subscribing_and_publishing_in_one_breath_works,
    large_and_empty_payloads_come_as_they_are,
    wildcards_match_by_the_rules,
    dollar_topics_are_not_for_clients,
    unsubscribing_ends_delivery,
    retained_messages_are_set_found_replaced_and_cleared,
    a_will_comes_after_a_cut_and_not_after_disconnect,
    keep_alive_is_enforced_and_zero_turns_it_off,
    a_persistent_session_keeps_its_queue_in_order,
    the_order_of_a_persistent_queue_is_one_over_all_topics,
    the_same_client_id_takes_over,
    a_take_over_brings_the_session_along,
    a_share_gives_each_message_to_one_member,
    an_empty_client_id_is_given_one,
]
ONLY_IN_5 = [
    user_properties_and_the_rest_come_through,
    an_answer_finds_its_way_by_response_topic,
    expired_messages_are_not_delivered,
    subscription_identifiers_say_which_filter,
    no_local_and_retain_as_published_are_honoured,
    retain_handling_is_honoured,
    sessions_expire_when_they_said,
]

run(CHECKS + (ONLY_IN_5 if V5 else []))
