//! Presence: who is in the room, and how they come and go.

use hallward::wire::presence::{ConnectionState, Roll, Status};
use serde_json::json;

use crate::harness::{Agent, Client, Connect, Gateway, Setup};

fn watcher(gateway: &Gateway) -> Agent {
    let mut watcher = Agent::join(gateway, "lab", "watcher");
    watcher.listen("presence/agent/+");
    watcher
}

#[test]
fn subscribing_to_a_room_makes_an_agent_present() {
    let gateway = Gateway::start();
    let mut watcher = watcher(&gateway);
    let _ann = Agent::join(&gateway, "lab", "ann");
    let presence = watcher.presence_where("ann", |_| true);
    assert_eq!(presence.connection, ConnectionState::Online);
    assert_eq!((presence.capacity, presence.in_flight), (1, 0));
    assert!(presence.since > 0 && presence.last_seen >= presence.since);
}

#[test]
fn offering_a_capability_shows() {
    let gateway = Gateway::start();
    let mut watcher = watcher(&gateway);
    let mut ann = Agent::worker(&gateway, "lab", "ann", "draft");
    ann.listen("handoff/work/review");
    let presence = watcher.presence_where("ann", |presence| presence.capabilities.len() == 2);
    let names: Vec<&str> = presence.capabilities.iter().map(|c| c.as_str()).collect();
    assert_eq!(names, ["draft", "review"]);
    ann.unsubscribe(&["rooms/lab/handoff/work/draft"]);
    watcher.presence_where("ann", |presence| {
        presence
            .capabilities
            .iter()
            .map(|c| c.as_str())
            .eq(["review"])
    });
}

#[test]
fn what_an_agent_announces_is_shown_as_it_said_it() {
    let gateway = Gateway::start();
    let mut watcher = watcher(&gateway);
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.announce(json!({
        "name": "Ann", "role": "editor", "capabilities": ["draft"], "capacity": 3, "load": 0.25,
        "metadata": {"model": "x", "none": null, "n": 1.10}
    }));
    let presence = watcher.presence_where("ann", |presence| presence.role.is_some());
    assert_eq!(presence.name.as_deref(), Some("Ann"));
    assert_eq!(presence.role.as_deref(), Some("editor"));
    assert_eq!((presence.capacity, presence.load), (3, Some(0.25)));
    assert_eq!(presence.status, Status::Idle);
    let metadata: serde_json::Value =
        serde_json::from_str(presence.metadata.expect("announced").text()).expect("JSON");
    assert_eq!(metadata, json!({"model": "x", "none": null, "n": 1.10}));
    ann.announce(json!({"status": "draining"}));
    watcher.presence_where("ann", |presence| presence.status == Status::Draining);
}

#[test]
fn an_agent_at_its_capacity_is_busy_until_it_is_done() {
    let gateway = Gateway::start();
    let mut watcher = watcher(&gateway);
    let mut ann = Agent::worker(&gateway, "lab", "ann", "draft");
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.dispatch(json!({"type": "draft"}));
    let assignment = ann.assignment("draft");
    let busy = watcher.presence_where("ann", |presence| presence.status == Status::Busy);
    assert_eq!(busy.in_flight, 1);
    ann.succeed(&assignment, json!("done"));
    let idle = watcher.presence_where("ann", |presence| presence.status == Status::Idle);
    assert_eq!(idle.in_flight, 0);
}

#[test]
fn an_agent_that_loses_its_connection_is_away_and_comes_back() {
    let gateway = Gateway::start();
    let mut watcher = watcher(&gateway);
    let ann = Agent::join_as(&gateway, "lab", Connect::v5("ann").persistent());
    watcher.presence_where("ann", |presence| {
        presence.connection == ConnectionState::Online
    });
    ann.vanish();
    watcher.presence_where("ann", |presence| {
        presence.connection == ConnectionState::Away
    });
    let _ann = Agent::join_as(&gateway, "lab", Connect::v5("ann").persistent());
    watcher.presence_where("ann", |presence| {
        presence.connection == ConnectionState::Online
    });
}

#[test]
fn an_agent_with_a_session_that_stays_away_is_offline() {
    let gateway = Setup::new().with("rooms.reconnect_grace", "200ms").start();
    let mut watcher = watcher(&gateway);
    Agent::join_as(&gateway, "lab", Connect::v5("ann").persistent()).vanish();
    watcher.presence_where("ann", |presence| {
        presence.connection == ConnectionState::Offline
    });
}

#[test]
fn an_agent_whose_session_ends_is_gone_after_the_grace() {
    let gateway = Setup::new().with("rooms.reconnect_grace", "200ms").start();
    let mut watcher = watcher(&gateway);
    Agent::join(&gateway, "lab", "ann").vanish();
    watcher.presence_where("ann", |presence| {
        presence.connection == ConnectionState::Away
    });
    let gone = watcher.message_on("rooms/lab/presence/agent/ann");
    assert!(gone.payload.is_empty(), "{gone:?}");
}

#[test]
fn leaving_with_an_empty_announcement_clears_the_presence() {
    let gateway = Gateway::start();
    let mut watcher = watcher(&gateway);
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.announce(json!({"role": "editor"}));
    watcher.presence_where("ann", |presence| presence.role.is_some());
    ann.tell_raw("presence/announce/ann", "");
    let gone = watcher.message_on("rooms/lab/presence/agent/ann");
    assert!(gone.payload.is_empty(), "{gone:?}");
    let mut late = Agent::join(&gateway, "lab", "late");
    late.listen("presence/agent/ann");
    ann.announce(json!({"role": "editor again"}));
    let back = late.presence_where("ann", |_| true);
    assert_eq!(
        back.role.as_deref(),
        Some("editor again"),
        "nothing was retained in between"
    );
}

#[test]
fn who_comes_late_sees_who_is_there() {
    let gateway = Gateway::start();
    let mut first = watcher(&gateway);
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.announce(json!({"role": "editor"}));
    first.presence_where("ann", |presence| presence.role.is_some());
    let mut late = Agent::join_v311(&gateway, "lab", "late");
    late.listen("presence/agent/ann");
    let shown = late.message_on("rooms/lab/presence/agent/ann");
    assert!(shown.retain, "{shown:?}");
    assert!(shown.text().contains("editor"));
}

#[test]
fn rooms_do_not_see_each_other() {
    let gateway = Gateway::start();
    let mut watcher = Agent::join(&gateway, "lab", "watcher");
    let mut far = Agent::join(&gateway, "elsewhere", "far");
    watcher.listen("presence/agent/far");
    far.announce(json!({"role": "stranger"}));
    let mut near = Agent::join_as(&gateway, "elsewhere", Connect::v5("near"));
    near.listen("presence/agent/far");
    near.presence_where("far", |presence| presence.role.is_some());
    watcher.publish(crate::harness::Publish::new(
        "rooms/lab/observe/events/watcher/mark",
        "{}",
        0,
    ));
    watcher.listen("observe/events/watcher/mark");
    watcher.publish(crate::harness::Publish::new(
        "rooms/lab/observe/events/watcher/mark",
        "{}",
        0,
    ));
    watcher.expect_silence_until(|publish| publish.topic.ends_with("/mark"));
}

#[test]
fn one_question_tells_who_is_here_and_who_was() {
    let gateway = Gateway::start();
    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    ann.announce(json!({ "role": "editor" }));
    let mut bob = Agent::worker(&gateway, "lab", "bob", "draft");
    let mut eve = Agent::join(&gateway, "lab", "eve");
    eve.accepted("presence/announce/eve", json!({ "name": "Eve" }));
    eve.tell_raw("presence/announce/eve", "");
    let mut list = |asked: serde_json::Value| -> Roll {
        let reply = bob.accepted("presence/list/bob", asked);
        serde_json::from_str(reply.data.expect("a page").text()).expect("a page")
    };
    let here = list(json!({}));
    let names: Vec<&str> = here.agents.iter().map(|one| one.agent.as_str()).collect();
    assert_eq!((names, here.present), (vec!["ann", "bob"], 2));
    let gone = list(json!({ "departed": true }));
    assert_eq!(gone.departed[0].agent.as_str(), "eve");
    assert_eq!(gone.departed[0].name.as_deref(), Some("Eve"));
    let drafters = list(json!({ "capability": "draft", "limit": 1 }));
    assert_eq!(drafters.agents[0].agent.as_str(), "bob");
    bob.rejected(422, "presence/list/bob", json!({ "limit": 1_001 }));
}

#[test]
fn a_will_that_announces_an_agent_does_not_leave_it_online_for_ever() {
    let gateway = Setup::new().with("rooms.reconnect_grace", "100ms").start();
    let mut watcher = watcher(&gateway);
    let topic = "rooms/lab/presence/announce/ghost";
    let connect = Connect::v311("ghost").with_will(topic, r#"{"name":"Boo"}"#, 1, false);
    // It has never been in the room itself.
    Client::connect(gateway.mqtt, connect).vanish();
    let seen = watcher.presence_where("ghost", |_| true);
    assert_eq!(seen.connection, ConnectionState::Away);
    let gone = watcher.message_on("rooms/lab/presence/agent/ghost");
    assert!(gone.payload.is_empty(), "{}", gone.text());
}
