//! The SDK against the same messages sent and read by hand with rumqttc, in one run: the round trip
//! of a task from dispatch to result, and how many are dispatched in a second with 64 on their way.
//!
//! ```sh
//! HALLWARD_BIN=target/release/hallward cargo bench --bench agent --no-default-features --features agent-test
//! ```
//!
//! `AGENT_BENCH_STRICT=1` fails where a round trip takes more than 1.15 times as long as by hand,
//! or a second has less than 0.7 times as many dispatches.

use std::time::{Duration, Instant};

use hallward::agent::test::TestGateway;
use hallward::agent::{Agent, Fault, Task, Work};
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Round trips of each kind; the first ones warm up.
const TRIPS: usize = 2_000;
const WARM: usize = 200;
/// Dispatches of each kind.
const DISPATCHES: usize = 20_000;
const ON_THEIR_WAY: usize = 64;
/// Kinds take turns in rounds, so that what else the machine does falls on both.
const ROUNDS: usize = 4;

/// A client by hand: what comes is put into a channel.
async fn by_hand(url: &str, name: &str, topics: &[&str]) -> (AsyncClient, mpsc::Receiver<Value>) {
    let place = url.trim_start_matches("mqtt://");
    let (host, port) = place.split_once(':').expect("host and port");
    let mut options = MqttOptions::new(name, host, port.parse().expect("a port"));
    options.set_keep_alive(Duration::from_secs(30));
    // Left out, Nagle's algorithm holds every second packet back for 40 ms.
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    let (client, events) = AsyncClient::new(options, 256);
    let (tell, told) = mpsc::channel(1_024);
    let (up, mut is_up) = mpsc::channel(topics.len().max(1));
    tokio::spawn(poll(events, tell, up));
    for topic in topics {
        let topic = format!("rooms/bench/{topic}");
        client
            .subscribe(topic, QoS::AtLeastOnce)
            .await
            .expect("asked for");
        is_up.recv().await.expect("granted");
    }
    (client, told)
}

async fn poll(mut events: EventLoop, tell: mpsc::Sender<Value>, up: mpsc::Sender<()>) {
    while let Ok(event) = events.poll().await {
        match event {
            Event::Incoming(Packet::Publish(publish)) => {
                let value = serde_json::from_slice(&publish.payload).expect("JSON");
                if tell.send(value).await.is_err() {
                    return;
                }
            }
            Event::Incoming(Packet::SubAck(_)) => up.send(()).await.expect("somebody waits"),
            _ => {}
        }
    }
}

async fn say(client: &AsyncClient, topic: &str, message: &Value) {
    let topic = format!("rooms/bench/{topic}");
    let sent = client.publish(topic, QoS::AtLeastOnce, false, message.to_string());
    sent.await.expect("taken");
}

/// A worker by hand, which returns what it gets.
async fn worker_by_hand(url: &str) {
    let (client, mut work) = by_hand(url, "hand-worker", &["handoff/work/by-hand"]).await;
    tokio::spawn(async move {
        while let Some(work) = work.recv().await {
            let update = json!({
                "task": work["task"],
                "attempt": work["attempt"],
                "status": "success",
                "result": work["payload"],
            });
            say(&client, "handoff/update/hand-worker", &update).await;
        }
    });
}

struct Hand {
    client: AsyncClient,
    results: mpsc::Receiver<Value>,
}

impl Hand {
    async fn trip(&mut self, number: usize, run: usize) -> Duration {
        let begun = Instant::now();
        let task = json!({"id": format!("h{run}-{number}"), "type": "by-hand", "payload": number});
        say(&self.client, "handoff/dispatch/hand", &task).await;
        let result = self.results.recv().await.expect("a result");
        assert_eq!(result["result"], json!(number));
        begun.elapsed()
    }
}

/// Dispatches by hand: each is done when its reply is there.
async fn dispatch_by_hand(url: &str, run: usize) -> f64 {
    let name = format!("hand-{run}");
    let (client, mut replies) = by_hand(url, &name, &[&format!("reply/{name}")]).await;
    let begun = Instant::now();
    let (mut sent, mut done) = (0, 0);
    while done < DISPATCHES / ROUNDS {
        while sent < DISPATCHES / ROUNDS && sent - done < ON_THEIR_WAY {
            let task = json!({"id": format!("d{run}-{sent}"), "type": "nobody", "payload": sent});
            say(&client, &format!("handoff/dispatch/{name}"), &task).await;
            sent += 1;
        }
        replies.recv().await.expect("a reply");
        done += 1;
    }
    (DISPATCHES / ROUNDS) as f64 / begun.elapsed().as_secs_f64()
}

async fn dispatch_by_sdk(url: &str, run: usize) -> f64 {
    let agent = Agent::connect(url, &format!("sdk-{run}"))
        .await
        .expect("connected");
    let handoff = agent.join("bench").await.expect("joined").handoff();
    let begun = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..DISPATCHES / ROUNDS {
        if running.len() >= ON_THEIR_WAY {
            running.join_next().await.expect("some").expect("ran");
        }
        let handoff = handoff.clone();
        running.spawn(async move {
            let task = Task::new("nobody").payload(&number);
            drop(handoff.dispatch(task).await.expect("taken"));
        });
    }
    running.join_all().await;
    (DISPATCHES / ROUNDS) as f64 / begun.elapsed().as_secs_f64()
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn compare() -> (f64, f64) {
    let gateway = TestGateway::start()
        .await
        .expect("HALLWARD_BIN names a gateway");
    let url = gateway.url();
    worker_by_hand(url).await;
    let agent = Agent::connect(url, "sdk-worker").await.expect("connected");
    let room = agent.join("bench").await.expect("joined");
    let echo = |work: Work<Value>| async move { Ok::<_, Fault>(work.into_payload()) };
    let _working = room
        .worker()
        .task("by-sdk", echo)
        .start()
        .await
        .expect("at work");
    let (client, results) = by_hand(url, "hand", &["handoff/result/hand"]).await;
    let mut hand = Hand { client, results };
    let agent = Agent::connect(url, "sdk").await.expect("connected");
    let handoff = agent.join("bench").await.expect("joined").handoff();
    let (mut by_hand, mut by_sdk) = (Vec::new(), Vec::new());
    for run in 0..ROUNDS {
        for number in 0..TRIPS / ROUNDS {
            let trip = hand.trip(number, run).await;
            let begun = Instant::now();
            let ran = handoff.run(Task::new("by-sdk").payload(&number)).await;
            assert_eq!(ran.expect("done").decode::<usize>().expect("it"), number);
            if run > 0 || number > WARM {
                by_hand.push(trip);
                by_sdk.push(begun.elapsed());
            }
        }
    }
    let (by_hand, by_sdk) = (middle(by_hand), middle(by_sdk));
    let trip = by_sdk.as_secs_f64() / by_hand.as_secs_f64();
    println!("round trip, p50: {by_sdk:?} with the SDK, {by_hand:?} by hand: {trip:.2}");
    let (mut by_hand, mut by_sdk) = (0.0, 0.0);
    for run in 0..ROUNDS {
        by_hand += dispatch_by_hand(url, run).await / ROUNDS as f64;
        by_sdk += dispatch_by_sdk(url, run).await / ROUNDS as f64;
    }
    let rate = by_sdk / by_hand;
    println!(
        "dispatches a second, {ON_THEIR_WAY} on their way: {by_sdk:.0} with the SDK, {by_hand:.0} by hand: {rate:.2}"
    );
    (trip, rate)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let (trip, rate) = runtime.block_on(compare());
    if std::env::var_os("AGENT_BENCH_STRICT").is_some() {
        assert!(
            trip <= 1.15,
            "a round trip takes {trip:.2} times as long as by hand"
        );
        assert!(rate >= 0.7, "{rate:.2} times as many dispatches as by hand");
    }
}
