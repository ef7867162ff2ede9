//! CONNECT: passwords of every kind, nobody, client ids.

use super::*;
use crate::harness::{Agent, Publish, Value, Version};

#[test]
fn mosquittos_password_files_let_their_users_in() {
    for file in [PASSWORDS, OLD_PASSWORDS] {
        let gateway = Site::with_passwords(file).start();
        for version in [v5, v311] {
            connect(&gateway, version("ann", "ann")).disconnect();
            connect(&gateway, version("bob", "bob-laptop")).disconnect();
        }
        assert_eq!(
            refused(&gateway, v5("ann", "ann").by("ann", "bob-secret")),
            BAD_CREDENTIALS
        );
        assert_eq!(
            refused(&gateway, v311("ann", "ann").by("ann", "")),
            V311_BAD_CREDENTIALS
        );
    }
}

#[test]
fn unknown_users_are_refused_like_known_ones() {
    let gateway = Site::new().start();
    assert_eq!(refused(&gateway, v5("zoe", "zoe")), BAD_CREDENTIALS);
    assert_eq!(refused(&gateway, v311("zoe", "zoe")), V311_BAD_CREDENTIALS);
    assert_eq!(refused(&gateway, v5("", "x")), BAD_CREDENTIALS);
    let mut nameless = Connect::v5("ann");
    nameless.password = Some(b"ann-secret".to_vec());
    assert_eq!(refused(&gateway, nameless), BAD_CREDENTIALS);
    let mut silent = Connect::v5("ann");
    silent.username = Some("ann".to_owned());
    assert_eq!(refused(&gateway, silent), BAD_CREDENTIALS);
    assert_eq!(refusals(&gateway, "credentials"), 5);
}

#[test]
fn who_brings_nothing_is_refused_unless_a_user_is_named_for_it() {
    let gateway = Site::new().start();
    assert_eq!(refused(&gateway, Connect::v5("ann")), NOT_AUTHORIZED);
    assert_eq!(refused(&gateway, Connect::v311("ann")), V311_NOT_AUTHORIZED);
    assert_eq!(refusals(&gateway, "anonymous"), 2);

    let gateway = Site::new()
        .with("auth.anonymous", "guest")
        .acl("topic read public/#\nuser guest\ntopic box\nuser bob\ntopic write public/#\ntopic secret\n")
        .start();
    let mut guest = connect(&gateway, Connect::v5("guest-1"));
    assert_eq!(
        guest.subscribe(&[("public/#", 1), ("box", 1), ("secret", 1)]),
        [1, 1, NOT_AUTHORIZED],
        "what nobody may and what guest may"
    );
    let mut bob = connect(&gateway, v5("bob", "bob"));
    assert_eq!(bob.publish(Publish::new("public/x", "hello", 1)), 0);
    assert_eq!(guest.message().text(), "hello");
    assert_eq!(
        guest.publish(Publish::new("public/x", "no", 1)),
        NOT_AUTHORIZED
    );
    assert_eq!(refused(&gateway, Connect::v5("ann")), NOT_AUTHORIZED);
}

#[test]
fn a_client_id_must_be_its_users() {
    let gateway = Site::new().start();
    for id in ["ann", "ann-1", "ann.phone", "ann:x/y"] {
        connect(&gateway, v5("ann", id)).disconnect();
    }
    for id in ["bob", "bob-ann", "anna", "an"] {
        assert_eq!(refused(&gateway, v5("ann", id)), NOT_AUTHORIZED, "{id}");
        assert_eq!(
            refused(&gateway, v311("ann", id)),
            V311_NOT_AUTHORIZED,
            "{id}"
        );
    }
    assert_eq!(refusals(&gateway, "client_id"), 8);
    let open = Site::new().with("auth.client_ids", r#"["*"]"#).start();
    connect(&open, v5("ann", "whatever")).disconnect();
}

#[test]
fn an_assigned_client_id_is_its_users_too() {
    let gateway = Site::new().start();
    let client = connect(&gateway, v5("ann", ""));
    let id = match client.granted.find(0x12) {
        Some(Value::Text(id)) => id.clone(),
        other => panic!("an assigned id expected: {other:?}"),
    };
    assert!(id.starts_with("ann-"), "{id}");
    let mut other = connect(&gateway, v5("bob", "bob"));
    other.subscribe(&[(&format!("rooms/lab/inbox/bob/{id}"), 0)]);
    let mut client = client;
    let topic = format!("rooms/lab/handoff/dispatch/{id}");
    assert_eq!(
        client.publish(Publish::new(&topic, r#"{"type":"x"}"#, 1)),
        0
    );
    let only_exact = Site::new().with("auth.client_ids", r#"["%u"]"#).start();
    assert_eq!(refused(&only_exact, v5("ann", "")), NOT_AUTHORIZED);
}

#[test]
fn a_flood_of_wrong_passwords_waits_in_its_own_line() {
    // Argon2 this time: checks that take a while, one at a time.
    let site = Site::bare().with("auth.max_password_checks", "1");
    let passwords = site.path("passwords");
    command_line::passwd(&passwords, "ann", "ann-secret");
    let site =
        site.with("auth.password_file", text(&passwords))
            .file("users_file", "users.toml", USERS);
    let mut gateway = site.start();
    let mut ann = Agent::join_as(&gateway, "lab", v5("ann", "ann"));
    let mut flood: Vec<Client> = (0..50)
        .map(|n| {
            let mut client = Client::open(gateway.mqtt, Version::V5).expect("it accepts");
            client.send(&Packet::Connect(v5("ann", "ann").by("ann", &n.to_string())));
            client
        })
        .collect();
    // Whoever is in already is served while they wait.
    assert_eq!(ann.set("plan", serde_json::json!(1)), 1);
    for client in &mut flood {
        let code = client.expect("CONNACK", |packet| match packet {
            Packet::ConnAck { code, .. } => Some(*code),
            _ => None,
        });
        assert_eq!(code, BAD_CREDENTIALS);
    }
    assert_eq!(refusals(&gateway, "credentials"), 50);
    assert_eq!(
        metric(&gateway, "hallward_auth_password_checks_waiting"),
        0.0
    );
    assert!(gateway.stop().success());
    let lines = gateway.stderr();
    let told = lines
        .lines()
        .filter(|line| line.contains("refused: CONNECT"))
        .count();
    assert_eq!(told, 1, "one line a minute for a client: {lines}");
    assert!(!lines.contains("secret"), "no password in the log");
}

#[test]
fn a_gateway_with_authentication_may_listen_to_the_world() {
    let site = Site::new();
    let output = Gateway::run(
        &[
            "serve",
            "--data",
            text(&site.path("d")),
            "--mqtt",
            "0.0.0.0:0",
            "--http",
            "127.0.0.1:0",
        ],
        &[
            ("HALLWARD__AUTH__ENABLED", "true"),
            (
                "HALLWARD__AUTH__PASSWORD_FILE",
                text(&site.path("passwords")),
            ),
        ],
    );
    assert!(
        output.stdout.starts_with("Hallward"),
        "it was up: {output:?}"
    );
}

#[test]
fn strangers_do_not_hide_what_a_user_was_refused() {
    let mut gateway = Site::new().with("log.max_lines", "5").start();
    for n in 0..20 {
        let mut stranger = Client::open(gateway.mqtt, Version::V5).expect("it accepts");
        let id = format!("stranger-{n}");
        stranger.send(&Packet::Connect(v5("ann", &id).by("ann", "a guess")));
        stranger.expect_closed();
    }
    let mut eye = Client::connect(gateway.mqtt, v5("eye", "eye"));
    assert_eq!(
        eye.publish(Publish::new("rooms/lab/inbox/ann/eye", "x", 1)),
        NOT_AUTHORIZED
    );
    assert!(gateway.stop().success());
    let log = gateway.stderr();
    let lines = |words: &[&str]| {
        let all = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().filter(all).count()
    };
    assert_eq!(lines(&["refused: CONNECT"]), 5, "{log}");
    assert_eq!(lines(&["refused: PUBLISH", "client=\"eye\""]), 1, "{log}");
    assert_eq!(
        lines(&["kind=\"credentials\"", "about=\"strangers\"", "lines=15"]),
        1,
        "{log}"
    );
}
