//! rumqttc, the Rust client, by both of its interfaces: 3.1.1 and 5.

use std::time::Duration;

use ::rumqttc::v5::mqttbytes as mqtt5;
use ::rumqttc::{self as mqtt4, v5};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::harness::{DEADLINE, Gateway};

const VERSIONS: [Version; 2] = [Version::V4, Version::V5];
const KEEP_ALIVE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V4,
    V5,
}

/// What a connection is opened with.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    /// The session outlives the connection.
    persistent: bool,
    /// Published when the connection is cut.
    will: Option<(&'static str, &'static str)>,
}

/// What arrives, in the terms that both interfaces share.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Incoming {
    Connected { session_present: bool },
    Subscribed,
    Acknowledged,
    Message(Message),
    Ended,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    topic: String,
    payload: Bytes,
    qos: u8,
    retain: bool,
}

enum Client {
    V4(mqtt4::AsyncClient),
    V5(v5::AsyncClient),
}

/// One connection. Messages are kept until a test asks for them.
struct Peer {
    client: Client,
    incoming: UnboundedReceiver<Incoming>,
    messages: Vec<Message>,
    session_present: bool,
    connection: JoinHandle<()>,
}

impl Peer {
    async fn connect(gateway: &Gateway, version: Version, id: &str, options: Options) -> Peer {
        let (tell, incoming) = unbounded_channel();
        let (client, connection) = match version {
            Version::V4 => open4(gateway, id, options, tell),
            Version::V5 => open5(gateway, id, options, tell),
        };
        let mut peer = Peer {
            client,
            incoming,
            messages: Vec::new(),
            session_present: false,
            connection,
        };
        peer.session_present = peer
            .until("CONNACK", |incoming| match incoming {
                Incoming::Connected { session_present } => Some(*session_present),
                _ => None,
            })
            .await;
        peer
    }

    async fn up(gateway: &Gateway, version: Version, id: &str) -> Peer {
        Peer::connect(gateway, version, id, Options::default()).await
    }

    /// Waits for something; messages that come first are kept.
    async fn until<T>(&mut self, what: &str, wanted: impl Fn(&Incoming) -> Option<T>) -> T {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.incoming.recv()).await;
            let next =
                next.unwrap_or_else(|_| panic!("no {what} in time; unread: {:?}", self.messages));
            let next = next.unwrap_or_else(|| panic!("the connection ended before {what}"));
            if let Some(found) = wanted(&next) {
                return found;
            }
            if let Incoming::Message(message) = next {
                self.messages.push(message);
            }
        }
    }

    async fn subscribe(&mut self, filter: &str, qos: u8) {
        match &self.client {
            Client::V4(client) => client
                .subscribe(filter, qos4(qos))
                .await
                .expect("it is connected"),
            Client::V5(client) => client
                .subscribe(filter, qos5(qos))
                .await
                .expect("it is connected"),
        }
        self.until("SUBACK", |incoming| {
            (*incoming == Incoming::Subscribed).then_some(())
        })
        .await;
    }

    /// Publishes, and waits for PUBACK or PUBCOMP.
    async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>, qos: u8, retain: bool) {
        let payload = payload.into();
        match &self.client {
            Client::V4(client) => client
                .publish(topic, qos4(qos), retain, payload)
                .await
                .expect("it is connected"),
            Client::V5(client) => client
                .publish(topic, qos5(qos), retain, payload)
                .await
                .expect("it is connected"),
        }
        if qos > 0 {
            let acknowledged =
                |incoming: &Incoming| (*incoming == Incoming::Acknowledged).then_some(());
            self.until("an acknowledgement", acknowledged).await;
        }
    }

    async fn say(&mut self, topic: &str, payload: &Value) {
        self.publish(topic, payload.to_string(), 1, false).await;
    }

    /// The oldest message on this topic that nobody has asked for yet.
    async fn expect(&mut self, topic: &str) -> Message {
        if let Some(at) = self
            .messages
            .iter()
            .position(|message| message.topic == topic)
        {
            return self.messages.remove(at);
        }
        self.until(topic, |incoming| match incoming {
            Incoming::Message(message) if message.topic == topic => Some(message.clone()),
            _ => None,
        })
        .await
    }

    async fn expect_json(&mut self, topic: &str) -> Value {
        let message = self.expect(topic).await;
        serde_json::from_slice(&message.payload).expect("JSON")
    }

    /// DISCONNECT, the orderly way.
    async fn down(mut self) {
        match &self.client {
            Client::V4(client) => client.disconnect().await.expect("it is connected"),
            Client::V5(client) => client.disconnect().await.expect("it is connected"),
        }
        self.lost().await;
    }

    /// Waits until the connection has ended.
    async fn lost(&mut self) {
        self.until("the end", |incoming| {
            (*incoming == Incoming::Ended).then_some(())
        })
        .await;
    }

    /// Cuts the connection without a word.
    async fn drop(self) {
        self.connection.abort();
        let _ = self.connection.await;
    }
}

fn qos4(level: u8) -> mqtt4::QoS {
    mqtt4::qos(level).expect("0, 1 or 2")
}

fn qos5(level: u8) -> mqtt5::QoS {
    mqtt5::qos(level).expect("0, 1 or 2")
}

fn open4(
    gateway: &Gateway,
    id: &str,
    options: Options,
    tell: UnboundedSender<Incoming>,
) -> (Client, JoinHandle<()>) {
    let mut how = mqtt4::MqttOptions::new(id, gateway.mqtt.ip().to_string(), gateway.mqtt.port());
    how.set_keep_alive(KEEP_ALIVE)
        .set_clean_session(!options.persistent);
    if let Some((topic, payload)) = options.will {
        how.set_last_will(mqtt4::LastWill::new(
            topic,
            payload,
            mqtt4::QoS::AtLeastOnce,
            false,
        ));
    }
    let (client, mut events) = mqtt4::AsyncClient::new(how, 64);
    let connection = tokio::spawn(async move {
        use mqtt4::{Event, Packet};
        while let Ok(event) = events.poll().await {
            let incoming = match event {
                Event::Incoming(Packet::ConnAck(ack)) => Incoming::Connected {
                    session_present: ack.session_present,
                },
                Event::Incoming(Packet::SubAck(_)) => Incoming::Subscribed,
                Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => Incoming::Acknowledged,
                Event::Incoming(Packet::Publish(publish)) => Incoming::Message(Message {
                    topic: publish.topic,
                    payload: publish.payload,
                    qos: publish.qos as u8,
                    retain: publish.retain,
                }),
                _ => continue,
            };
            let _ = tell.send(incoming);
        }
        let _ = tell.send(Incoming::Ended);
    });
    (Client::V4(client), connection)
}

fn open5(
    gateway: &Gateway,
    id: &str,
    options: Options,
    tell: UnboundedSender<Incoming>,
) -> (Client, JoinHandle<()>) {
    let mut how = v5::MqttOptions::new(id, gateway.mqtt.ip().to_string(), gateway.mqtt.port());
    how.set_keep_alive(KEEP_ALIVE)
        .set_clean_start(!options.persistent);
    how.set_session_expiry_interval(options.persistent.then_some(300));
    if let Some((topic, payload)) = options.will {
        how.set_last_will(mqtt5::v5::LastWill::new(
            topic,
            payload,
            mqtt5::QoS::AtLeastOnce,
            false,
            None,
        ));
    }
    let (client, mut events) = v5::AsyncClient::new(how, 64);
    let connection = tokio::spawn(async move {
        use mqtt5::v5::Packet;
        use v5::Event;
        while let Ok(event) = events.poll().await {
            let incoming = match event {
                Event::Incoming(Packet::ConnAck(ack)) => Incoming::Connected {
                    session_present: ack.session_present,
                },
                Event::Incoming(Packet::SubAck(_)) => Incoming::Subscribed,
                Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => Incoming::Acknowledged,
                Event::Incoming(Packet::Publish(publish)) => Incoming::Message(Message {
                    topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                    payload: publish.payload,
                    qos: publish.qos as u8,
                    retain: publish.retain,
                }),
                _ => continue,
            };
            let _ = tell.send(incoming);
        }
        let _ = tell.send(Incoming::Ended);
    });
    (Client::V5(client), connection)
}

#[tokio::test]
async fn rumqttc_gets_the_lower_of_both_qos() {
    let gateway = Gateway::start();
    for version in VERSIONS {
        let mut client = Peer::up(&gateway, version, "both").await;
        for wanted in 0..3 {
            let topic = format!("qos/{wanted}");
            client.subscribe(&topic, wanted).await;
            for published in 0..3 {
                client.publish(&topic, [published], published, false).await;
                let got = client.expect(&topic).await;
                assert_eq!(
                    (got.payload[0], got.qos),
                    (published, published.min(wanted)),
                    "{version:?}"
                );
            }
        }
        client.down().await;
    }
}

#[tokio::test]
async fn rumqttc_finds_retained_messages_until_they_are_cleared() {
    let gateway = Gateway::start();
    for version in VERSIONS {
        let mut writer = Peer::up(&gateway, version, "writer").await;
        writer.publish("kept", "one", 1, true).await;
        writer.publish("kept", "two", 2, true).await;
        let mut reader = Peer::up(&gateway, version, "reader").await;
        reader.subscribe("kept", 1).await;
        let got = reader.expect("kept").await;
        assert_eq!(
            (got.payload.as_ref(), got.retain),
            (&b"two"[..], true),
            "{version:?}"
        );
        writer.publish("kept", "", 1, true).await;
        assert!(reader.expect("kept").await.payload.is_empty());
        let mut late = Peer::up(&gateway, version, "late").await;
        late.subscribe("kept", 1).await;
        writer.publish("kept", "live", 1, false).await;
        assert_eq!(late.expect("kept").await.payload, "live", "{version:?}");
        writer.down().await;
    }
}

#[tokio::test]
async fn rumqttc_leaves_a_will_when_cut_and_none_when_it_says_goodbye() {
    let gateway = Gateway::start();
    for version in VERSIONS {
        let mut watcher = Peer::up(&gateway, version, "watcher").await;
        watcher.subscribe("will", 1).await;
        let will = |payload| Options {
            will: Some(("will", payload)),
            ..Options::default()
        };
        Peer::connect(&gateway, version, "polite", will("polite"))
            .await
            .down()
            .await;
        Peer::connect(&gateway, version, "cut", will("cut"))
            .await
            .drop()
            .await;
        assert_eq!(watcher.expect("will").await.payload, "cut", "{version:?}");
        watcher.down().await;
    }
}

#[tokio::test]
async fn rumqttc_gets_what_came_while_it_was_away() {
    let gateway = Gateway::start();
    let persistent = Options {
        persistent: true,
        ..Options::default()
    };
    for version in VERSIONS {
        let id = format!("away-{version:?}");
        let mut away = Peer::connect(&gateway, version, &id, persistent).await;
        assert!(!away.session_present);
        away.subscribe("away/#", 2).await;
        away.drop().await;
        let mut writer = Peer::up(&gateway, version, "writer").await;
        for number in 0..20u8 {
            writer
                .publish("away/x", [number], 1 + number % 2, false)
                .await;
        }
        let mut back = Peer::connect(&gateway, version, &id, persistent).await;
        assert!(back.session_present, "{version:?}");
        for number in 0..20u8 {
            let got = back.expect("away/x").await;
            assert_eq!(
                (got.payload[0], got.qos),
                (number, 1 + number % 2),
                "{version:?}"
            );
        }
        back.down().await;
        Peer::up(&gateway, version, &id).await.down().await;
        writer.down().await;
    }
}

#[tokio::test]
async fn rumqttc_is_taken_over_by_its_own_id() {
    let gateway = Gateway::start();
    for version in VERSIONS {
        let mut first = Peer::up(&gateway, version, "twin").await;
        let mut second = Peer::up(&gateway, version, "twin").await;
        first.lost().await;
        second.subscribe("twin", 1).await;
        second.publish("twin", "still here", 1, false).await;
        assert_eq!(
            second.expect("twin").await.payload,
            "still here",
            "{version:?}"
        );
        second.down().await;
    }
}

#[tokio::test]
async fn rumqttc_shares_a_subscription_across_versions() {
    let gateway = Gateway::start();
    let mut writer = Peer::up(&gateway, Version::V4, "writer").await;
    let mut members = [
        Peer::up(&gateway, Version::V4, "one").await,
        Peer::up(&gateway, Version::V5, "two").await,
    ];
    for member in &mut members {
        member.subscribe("$share/team/jobs", 1).await;
        member.subscribe("end", 1).await;
    }
    for number in 0..40u8 {
        writer.publish("jobs", [number], 1, false).await;
    }
    let mut got = Vec::new();
    let [one, two] = &mut members;
    while got.len() < 40 {
        let message = tokio::select! {
            message = one.expect("jobs") => message,
            message = two.expect("jobs") => message,
        };
        got.push(message.payload[0]);
    }
    got.sort_unstable();
    assert_eq!(got, (0..40).collect::<Vec<u8>>());
    writer.publish("end", "", 1, false).await;
    for member in &mut members {
        member.expect("end").await;
        assert!(
            member
                .messages
                .iter()
                .all(|message| message.topic != "jobs"),
            "nothing twice"
        );
    }
}

#[tokio::test]
async fn rumqttc_hands_off_a_task_between_versions() {
    let gateway = Gateway::start();
    let mut boss = Peer::up(&gateway, Version::V4, "boss").await;
    let mut worker = Peer::up(&gateway, Version::V5, "worker").await;
    boss.subscribe("rooms/lab/handoff/result/boss", 1).await;
    worker.subscribe("rooms/lab/handoff/work/draft", 1).await;
    boss.say(
        "rooms/lab/handoff/dispatch/boss",
        &json!({"id": "t1", "type": "draft", "payload": {"n": 1}}),
    )
    .await;
    let work = worker.expect_json("rooms/lab/handoff/work/draft").await;
    assert_eq!(
        (&work["task"], &work["payload"]),
        (&json!("t1"), &json!({"n": 1}))
    );
    let done =
        json!({"task": "t1", "attempt": work["attempt"], "status": "success", "result": [1, null]});
    worker.say("rooms/lab/handoff/update/worker", &done).await;
    let result = boss.expect_json("rooms/lab/handoff/result/boss").await;
    assert_eq!(
        (&result["status"], &result["result"]),
        (&json!("succeeded"), &json!([1, null]))
    );
}

#[tokio::test]
async fn rumqttc_works_with_state_approvals_and_mail() {
    let gateway = Gateway::start();
    for version in VERSIONS {
        let base = format!("rooms/{version:?}");
        let mut ann = Peer::up(&gateway, version, "ann").await;
        let mut bob = Peer::up(&gateway, version, "bob").await;
        ann.say(
            &format!("{base}/blackboard/set/ann/plan"),
            &json!({"value": null}),
        )
        .await;
        bob.subscribe(&format!("{base}/blackboard/state/#"), 1)
            .await;
        let state = bob
            .expect_json(&format!("{base}/blackboard/state/plan"))
            .await;
        assert_eq!(
            (&state["value"], &state["version"]),
            (&Value::Null, &json!(1))
        );

        ann.say(
            &format!("{base}/approve/request/ann"),
            &json!({"id": "a1", "action": "go"}),
        )
        .await;
        bob.subscribe(&format!("{base}/approve/pending/+"), 1).await;
        let pending = bob.expect_json(&format!("{base}/approve/pending/a1")).await;
        let word = json!({"decision": "approve", "digest": pending["digest"]});
        bob.say(&format!("{base}/approve/decide/bob/a1"), &word)
            .await;
        let topic = format!("{base}/approve/decision/ann");
        ann.subscribe(&topic, 1).await;
        assert_eq!(ann.expect_json(&topic).await["approved"], json!(true));

        let mail = format!("{base}/inbox/bob/ann");
        ann.publish(&mail, [0, 255], 1, false).await;
        bob.subscribe(&mail, 1).await;
        assert_eq!(bob.expect(&mail).await.payload.as_ref(), [0, 255]);

        ann.say(&format!("{base}/handoff/dispatch/bob"), &json!({}))
            .await;
        let reply = format!("{base}/reply/ann");
        ann.subscribe(&reply, 1).await;
        // The reply to the request came first: it had an id.
        assert_eq!(ann.expect_json(&reply).await["code"], json!(202));
        let refusal = ann.expect_json(&reply).await;
        assert_eq!(refusal["code"], json!(403), "a wrong name is refused");
        ann.down().await;
        bob.down().await;
    }
}
