//! Layers and problems as people write them.

use std::io::Write as _;

use super::super::leaves;
use super::*;
use crate::engine::{Create, RoomConfig};

const SHIPPED: &str = include_str!("../../../config/hallward.toml");

fn file(toml: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(toml.as_bytes()).expect("written");
    file
}

fn from_file(toml: &str) -> Result<Config, Problems> {
    let file = file(toml);
    Config::load(&Layers {
        file: Some(file.path().to_owned()),
        ..Layers::default()
    })
}

fn environment(pairs: &[(&str, &str)]) -> Layers {
    Layers {
        environment: pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Layers::default()
    }
}

fn only_problem(result: Result<Config, Problems>) -> Problem {
    let Problems(mut problems) = result.expect_err("refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn no_layers_give_the_defaults() {
    assert_eq!(Config::load(&Layers::default()), Ok(Config::default()));
}

#[test]
fn shipped_file_equals_the_defaults() {
    assert_eq!(from_file(SHIPPED), Ok(Config::default()));
}

#[test]
fn types_and_capabilities_have_tables_of_their_own() {
    let config = from_file(
        "[handoff.types.draft]\nlease = \"5m\"\npriority = \"high\"\n[handoff.capabilities.paint]\ndispatch_rate = 5\n",
    )
    .expect("good");
    let draft = config.handoff.types.values().next().expect("one");
    assert_eq!(draft.lease, Some(crate::setting::seconds(300)));
    let paint = config.handoff.capabilities.values().next().expect("one");
    assert_eq!((paint.dispatch_rate, paint.max_queued), (Some(5), None));
}

#[test]
fn what_is_wrong_with_an_approval_of_a_type_is_told_with_line_and_key() {
    for (toml, told) in [
        (
            "[handoff.types.draft.approval]\napprovers = [\"a b\"]\n",
            ":2: handoff.types.draft.approval.approvers: \"a b\" is neither an agent, a user nor role:NAME",
        ),
        (
            "[handoff.types.draft.approval]\ntimeuot = \"1m\"\n",
            ":2: handoff.types.draft.approval.timeuot: unknown key; did you mean timeout?",
        ),
    ] {
        let problem = only_problem(from_file(toml)).to_string();
        assert!(problem.ends_with(told), "{toml}: {problem}");
    }
}

/// Each with its place: in tables, in tables on one line, in lists of tables.
#[test]
fn what_is_wrong_in_a_nested_table_is_told_with_line_and_key() {
    for (toml, told) in [
        (
            "[handoff.types.draft]\npriority = \"high\"\nlaese = \"5m\"\n",
            ":3: handoff.types.draft.laese: unknown key; did you mean lease?",
        ),
        (
            "[handoff.types.\"a b\"]\nlease = \"5m\"\n",
            ":2: handoff.types.a b.lease: a task type must be 1 to 64 of A-Z a-z 0-9 _ . -, but is \"a b\"",
        ),
        (
            "[handoff.types.draft]\nlease = \"40d\"\n",
            ":2: handoff.types.draft.lease: must be \"10ms\" to \"30days\", but is \"40d\"",
        ),
        (
            "[handoff.types.draft]\nlease = \"2d\"\n",
            ":2: handoff.types.draft.lease: must be \"100ms\" to \"1day\"",
        ),
        (
            "[handoff.types.draft]\nmax_attempts = 101\n",
            ":2: handoff.types.draft.max_attempts: must not be more than handoff.max_attempts_limit",
        ),
        (
            "[handoff.types.draft]\nbackoff_initial = \"2m\"\n",
            ":2: handoff.types.draft.backoff_initial: must not be more than backoff_max",
        ),
        (
            "[handoff.types.draft]\nbackoff_max = \"10ms\"\n",
            ":2: handoff.types.draft.backoff_max: must not be less than handoff.backoff_initial",
        ),
        (
            "[handoff.types.draft]\n\npriority = \"urgent\"\n",
            ":3: handoff.types.draft.priority: unknown variant `urgent`, expected one of `low`, `medium`, `high`, `critical`",
        ),
        (
            "[handoff]\ntypes = { draft = { max_attempts = \"many\" } }\n",
            ":2: handoff.types.draft.max_attempts: invalid type: string \"many\", expected u32",
        ),
        (
            "[handoff.types.draft.more]\nlease = \"5m\"\n",
            ":2: handoff.types.draft.more.lease: unknown key",
        ),
        (
            "[handoff.types]\ndraft = 5\n",
            ":2: handoff.types.draft: invalid type: integer `5`, expected struct TaskTypeDefaults",
        ),
        (
            "[handoff.capabilities.paint]\nmax_queued = 0\n",
            ":2: handoff.capabilities.paint.max_queued: must be 1 to 100000000, but is 0",
        ),
        (
            "[handoff.capabilities.paint]\nmax_qued = 1\n",
            ":2: handoff.capabilities.paint.max_qued: unknown key; did you mean max_queued?",
        ),
        (
            "[rooms.room.lab]\nmax_attempts = 101\n",
            ":2: rooms.room.lab.max_attempts: must not be more than handoff.max_attempts_limit",
        ),
        (
            "[rooms.room.lab]\napproval_timeout = \"31d\"\n",
            ":2: rooms.room.lab.approval_timeout: must not be more than approve.max_timeout",
        ),
        (
            "[[tls.others]]\ncertificate = \"a\"\nkey = \"b\"\n[[tls.others]]\ncertificate = \"c\"\nkeys = \"d\"\n",
            ":6: tls.others[1].keys: unknown key; did you mean key?",
        ),
        (
            "[tls]\nothers = [{ certificate = \"a\",\n  key = 5 }]\n",
            ":3: tls.others[0].key: invalid type: integer `5`, expected path string",
        ),
        (
            "[[blackboard.schemas]]\nprefix = \"a\"\n",
            ":1: blackboard.schemas[0]: missing field `schema`",
        ),
    ] {
        let problem = only_problem(from_file(toml)).to_string();
        assert!(problem.ends_with(told), "{toml}: {problem}");
    }
}

#[test]
fn what_is_no_table_where_one_is_wanted_is_told_with_line_and_key() {
    for (toml, told) in [
        (
            "[handoff.capabilities]\npaint = 5\n",
            ":2: handoff.capabilities.paint: invalid type: integer `5`, expected struct CapabilityLimits",
        ),
        (
            "[rooms.room]\nlab = 5\n",
            ":2: rooms.room.lab: invalid type: integer `5`, expected struct Room",
        ),
    ] {
        let problem = only_problem(from_file(toml)).to_string();
        assert!(problem.ends_with(told), "{toml}: {problem}");
    }
}

#[test]
fn each_table_of_a_list_is_told_of() {
    let toml = "[[tls.others]]\nkey = 1\n[[tls.others]]\ncertificate = \"c\"\nkeys = \"k\"\n";
    let Problems(problems) = from_file(toml).expect_err("refused");
    let keys: Vec<&str> = problems.iter().map(|problem| &*problem.key).collect();
    assert_eq!(keys, ["tls.others[0].key", "tls.others[1].keys"]);
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let file = file("[mqtt]\nlisten = \"127.0.0.1:1\"\nmax_inflight = 1\nmax_packet = \"2KiB\"\n");
    let layers = Layers {
        file: Some(file.path().to_owned()),
        flags: vec![Flag {
            flag: "--mqtt",
            key: "mqtt.listen",
            value: "127.0.0.1:3".to_owned(),
        }],
        ..environment(&[
            ("HALLWARD__MQTT__LISTEN", "127.0.0.1:2"),
            ("HALLWARD__MQTT__MAX_INFLIGHT", "2"),
            ("HALLWARD_BLESS", "1"),
            ("PATH", "/bin"),
        ])
    };
    let config = Config::load(&layers).expect("good");
    assert_eq!(config.mqtt.listen.0.map(|address| address.port()), Some(3));
    assert_eq!(config.mqtt.max_inflight, 2);
    assert_eq!(config.mqtt.max_packet.0, 2048);
}

#[test]
fn environment_text_becomes_numbers_words_and_flags() {
    let config = Config::load(&environment(&[
        ("HALLWARD__HANDOFF__BACKOFF_FACTOR", "1.5"),
        ("HALLWARD__APPROVE__APPROVE_ON_TIMEOUT", "true"),
        ("HALLWARD__LOG__FORMAT", "json"),
        ("HALLWARD__ROOMS__ROOT", "7"),
    ]))
    .expect("good");
    assert_eq!(config.handoff.backoff_factor, 1.5);
    assert!(config.approve.approve_on_timeout);
    assert_eq!(config.log.format, crate::config::LogFormat::Json);
    assert_eq!(config.rooms.root, "7");
}

#[test]
fn unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    let problem = only_problem(from_file("[mqtt]\n# how many\nmax_inflght = 5\n"));
    assert!(
        matches!(problem.place, Place::File(_, Some(3))),
        "{problem}"
    );
    assert_eq!(problem.key, "mqtt.max_inflght");
    assert_eq!(problem.suggestion.as_deref(), Some("max_inflight"));
}

#[test]
fn unknown_section_is_named_with_the_nearest_known_one() {
    let problem = only_problem(from_file("[mqqt]\nlisten = \"127.0.0.1:1\"\n"));
    assert_eq!(problem.suggestion.as_deref(), Some("[mqtt]"));
    let problem = only_problem(from_file("idempotency = \"24h\"\n"));
    assert_eq!(problem.suggestion.as_deref(), Some("commands.idempotency"));
}

#[test]
fn key_in_the_wrong_section_is_pointed_to_the_right_one() {
    let problem = only_problem(from_file("[mqtt]\nidempotency = \"24h\"\n"));
    assert_eq!(problem.suggestion.as_deref(), Some("commands.idempotency"));
}

#[test]
fn every_problem_is_reported_at_once() {
    let toml = "[mqtt]\nlisten = \"localhost:1883\"\nmax_packet = 5\nmax_inflight = 0\n\n[handoff]\nlease = \"soon\"\n";
    let Problems(problems) = from_file(toml).expect_err("refused");
    let seen: Vec<_> = problems
        .iter()
        .map(|problem| match &problem.place {
            Place::File(_, Some(line)) => (problem.key.as_str(), *line),
            place => panic!("{place}"),
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("handoff.lease", 7),
            ("mqtt.listen", 2),
            ("mqtt.max_inflight", 4),
            ("mqtt.max_packet", 3),
        ]
    );
    assert_eq!(problems[2].message, "must be 1 to 65535, but is 0");
}

#[test]
fn bad_environment_values_are_named_by_their_variable() {
    let layers = environment(&[("HALLWARD__MQTT__MAX_CONNECTIONS", "many")]);
    let problem = only_problem(Config::load(&layers));
    assert_eq!(
        problem.to_string(),
        "HALLWARD__MQTT__MAX_CONNECTIONS: mqtt.max_connections: \
         invalid type: string \"many\", expected usize"
    );
}

#[test]
fn text_is_no_number_in_a_file() {
    let problem = only_problem(from_file("[mqtt]\nmax_connections = \"100\"\n"));
    assert_eq!(problem.key, "mqtt.max_connections");
}

#[test]
fn broken_toml_is_named_with_its_line() {
    let problem = only_problem(from_file("[mqtt]\nlisten = \n"));
    assert!(
        matches!(problem.place, Place::File(_, Some(2))),
        "{problem}"
    );
    assert!(problem.message.starts_with("not TOML: "), "{problem}");
    assert!(!problem.message.contains('\n'));
}

#[test]
fn missing_file_is_a_problem() {
    let layers = Layers {
        file: Some("/nonexistent/hallward.toml".into()),
        ..Layers::default()
    };
    let problem = only_problem(Config::load(&layers));
    assert!(problem.to_string().contains("cannot read"), "{problem}");
}

#[test]
fn listening_beyond_loopback_without_authentication_is_refused() {
    for (flag, key) in [("--mqtt", "mqtt.listen"), ("--http", "http.listen")] {
        let value = "0.0.0.0:1".to_owned();
        let layers = Layers {
            flags: vec![Flag { flag, key, value }],
            ..Layers::default()
        };
        let problem = only_problem(Config::load(&layers));
        assert_eq!(problem.place, Place::Flag(flag));
        assert!(problem.message.contains("authentication is off"));
    }
}

#[test]
fn authentication_that_would_let_nobody_in_is_refused() {
    let problem = only_problem(from_file("[auth]\nenabled = true\n"));
    assert_eq!(problem.key, "auth.enabled");
    assert!(problem.message.starts_with("nobody could log in"));
    let problem = only_problem(from_file(
        "[auth]\nenabled = true\nanonymous = \"guest\"\nclient_ids = [\"*-%u\"]\n",
    ));
    assert_eq!(problem.key, "auth.client_ids");
}

#[test]
fn authentication_lets_the_gateway_listen_beyond_loopback() {
    let config = from_file(
        "[mqtt]\nlisten = \"0.0.0.0:1883\"\n[auth]\nenabled = true\npassword_file = \"passwords\"\n",
    );
    assert_eq!(config.expect("good").auth.client_ids.len(), 4);
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let problem = only_problem(from_file("[handoff]\nlease = \"2d\"\n"));
    assert_eq!(problem.message, "must not be more than handoff.max_lease");
    let problem = only_problem(from_file("[rooms]\nroot = \"a/b\"\n"));
    assert_eq!(problem.key, "rooms.root");
}

#[test]
fn tables_within_sections_are_unknown_keys_with_their_line() {
    let problem = only_problem(from_file("[mqtt]\n[mqtt.tls]\nport = 1\n"));
    assert_eq!(problem.key, "mqtt.tls.port");
    assert!(
        matches!(problem.place, Place::File(_, Some(3))),
        "{problem}"
    );
    let problem = only_problem(Config::load(&environment(&[("HALLWARD__A__B__C", "1")])));
    assert_eq!(
        problem.place,
        Place::Environment("HALLWARD__A__B__C".to_owned())
    );
}

#[test]
fn empty_sections_are_fine_if_they_are_known() {
    assert_eq!(from_file("[mqtt]\n[http]\n"), Ok(Config::default()));
    let problem = only_problem(from_file("[mqtt]\n[htp]\n"));
    assert_eq!(problem.suggestion.as_deref(), Some("[http]"));
}

#[test]
fn somebody_must_be_able_to_connect() {
    let problem = only_problem(from_file("[mqtt]\nlisten = \"\"\n"));
    assert_eq!(problem.key, "mqtt.listen");
    assert!(problem.message.contains("nobody could connect"));
    let config = from_file("[mqtt]\nlisten = \"\"\n[websocket]\nlisten = \"127.0.0.1:8083\"\n");
    assert_eq!(config.expect("good").mqtt.listen.0, None);
}

#[test]
fn one_address_twice_is_refused_and_port_0_never_is() {
    let problem = only_problem(from_file(
        "[mqtt]\nlisten = \"127.0.0.1:1\"\n[http]\nlisten = \"127.0.0.1:1\"\n",
    ));
    assert!(
        problem.to_string().ends_with(
            ":4: http.listen: 127.0.0.1:1 cannot be listened on beside 127.0.0.1:1 of mqtt.listen: give it another port"
        ),
        "{problem}"
    );
    let problem = only_problem(from_file(
        "[mqtt]\nlisten = \"0.0.0.0:8083\"\n[websocket]\nlisten = \"127.0.0.1:8083\"\n\
         [auth]\nenabled = true\nanonymous = \"guest\"\n",
    ));
    assert_eq!(problem.key, "websocket.listen");
    let problem = only_problem(from_file("[mqtt]\nlisten = \"127.0.0.1:8080\"\n"));
    assert_eq!(
        (&*problem.key, problem.place),
        ("http.listen", Place::Default),
        "the other one is a default"
    );
    let any = "[mqtt]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n";
    assert!(from_file(any).is_ok());
}

#[test]
fn listeners_that_encrypt_need_both_files() {
    let Problems(problems) =
        from_file("[websocket]\ntls_listen = \"127.0.0.1:8084\"\n").expect_err("refused");
    let keys: Vec<_> = problems.iter().map(|problem| &*problem.key).collect();
    assert_eq!(keys, ["tls.certificate", "tls.key"]);
    assert!(problems[0].message.contains("websocket.tls_listen"));
}

#[test]
fn lists_are_lists_or_words_with_commas() {
    let wanted = ["https://a.example", "*"];
    let config = from_file("[websocket]\norigins = [\"https://a.example\", \"*\"]\n");
    assert_eq!(config.expect("good").websocket.origins.0, wanted);
    let layers = environment(&[("HALLWARD__WEBSOCKET__ORIGINS", "https://a.example, *")]);
    assert_eq!(
        Config::load(&layers).expect("good").websocket.origins.0,
        wanted
    );
    let problem = only_problem(from_file("[websocket]\norigins = [1]\n"));
    assert!(problem.message.contains("expected a list"), "{problem}");
    let problem = only_problem(from_file("[websocket]\norigins = [\"app.example\"]\n"));
    assert!(problem.message.contains("expected an origin"), "{problem}");
}

#[test]
fn websocket_paths_are_paths() {
    for path in ["mqtt", "/a b", "/mqtt?x=1", ""] {
        let problem = only_problem(from_file(&format!("[websocket]\npath = {path:?}\n")));
        assert_eq!(problem.key, "websocket.path");
    }
}

#[test]
fn words_that_must_be_one_of_a_few_say_which() {
    for (key, value) in [
        ("client_certificate", "maybe"),
        ("identity", "dn"),
        ("min_version", "1.1"),
    ] {
        let problem = only_problem(from_file(&format!("[tls]\n{key} = {value:?}\n")));
        assert_eq!(problem.key, format!("tls.{key}"));
        assert!(problem.message.contains("expected"), "{problem}");
    }
}

#[test]
fn a_room_may_have_a_section_of_its_own() {
    let config = from_file(
        "[rooms]\ncreate = \"configured\"\n[rooms.room.lab]\n[rooms.room.\"a.b\"]\nlease = \"5m\"\nmembers = [\"x-*\"]\n",
    );
    let rooms = config.expect("good").rooms;
    assert_eq!(rooms.create, Create::Configured);
    assert_eq!(rooms.room["lab"], RoomConfig::default());
    let own = &rooms.room["a.b"];
    assert_eq!(own.lease.map(|lease| lease.0.as_secs()), Some(300));
    assert_eq!(own.members, ["x-*"]);
    for (toml, key, words) in [
        (
            "[rooms.room.lab]\nlaese = \"5m\"\n",
            "rooms.room.lab.laese",
            "unknown key",
        ),
        (
            "[rooms.room.lab]\nmax_keys = 0\n",
            "rooms.room.lab.max_keys",
            "must be 1 to",
        ),
        (
            "[rooms.room.lab]\nlease = \"2d\"\n",
            "rooms.room.lab.lease",
            "must lie between",
        ),
        (
            "[rooms.room.lab]\nmembers = [\"a b\"]\n",
            "rooms.room.lab.members",
            "is neither",
        ),
        (
            "[rooms.room.\"a b\"]\nmax_keys = 1\n",
            "rooms.room.a b.max_keys",
            "no name of a room",
        ),
    ] {
        let problem = only_problem(from_file(toml));
        assert_eq!(problem.key, key);
        assert!(problem.message.contains(words), "{problem}");
        assert!(
            matches!(problem.place, Place::File(_, Some(_))),
            "{problem}"
        );
    }
}

#[test]
fn schemas_of_keys_are_tables_each_with_a_prefix_and_a_file() {
    let text = "[[blackboard.schemas]]\nprefix = \"plan\"\nschema = \"plan.json\"\n";
    let schemas = from_file(text).expect("good").blackboard.schemas;
    assert_eq!(schemas[0].prefix, "plan");
    for (bad, key, words) in [
        (
            text.replace("\"plan\"", "\"a b\""),
            "[0].prefix",
            "a key must be 1 to 8 names joined by /, each 1 to 64",
        ),
        (
            text.replace("plan.json", ""),
            "[0].schema",
            "must have a file",
        ),
        (text.repeat(2), "[1].prefix", "has two schemas"),
        (
            format!("{text}room = \"a b\"\n"),
            "[0].room",
            "no name of a room",
        ),
        (
            text.replace("schema =", "file ="),
            "[0].file",
            "unknown key",
        ),
    ] {
        let problem = only_problem(from_file(&bad));
        assert_eq!(problem.key, format!("blackboard.schemas{key}"));
        assert!(problem.message.contains(words), "{problem}");
        assert!(
            matches!(problem.place, Place::File(_, Some(_))),
            "{problem}"
        );
    }
}

#[test]
fn a_schema_may_be_for_one_room() {
    let entry = "[[blackboard.schemas]]\nprefix = \"plan\"\nschema = \"plan.json\"\n";
    let text = format!("{entry}{entry}room = \"lab\"\n");
    let schemas = from_file(&text).expect("good").blackboard.schemas;
    assert_eq!(schemas[1].room.as_deref(), Some("lab"));
}

#[test]
fn tables_with_names_of_ones_own_can_be_given_by_the_environment() {
    let config = Config::load(&environment(&[
        ("HALLWARD__HANDOFF__TYPES__DRAFT__LEASE", "5m"),
        ("HALLWARD__HANDOFF__TYPES__DRAFT__MAX_ATTEMPTS", "7"),
        ("HALLWARD__HANDOFF__TYPES__DRAFT__REQUIRE_ONLINE", "true"),
        ("HALLWARD__HANDOFF__CAPABILITIES__PUMP__MAX_QUEUED", "9"),
        ("HALLWARD__ROOMS__ROOM__LAB__MAX_KEYS", "5"),
        ("HALLWARD__ROOMS__ROOM__LAB__LEASE", "2m"),
        ("HALLWARD__ROOMS__ROOM__LAB__APPROVE_ON_TIMEOUT", "true"),
        ("HALLWARD__ROOMS__ROOM__LAB__MEMBERS", "[\"ann\", \"w-*\"]"),
    ]));
    let config = config.expect("good");
    let draft = &config.handoff.types["draft"];
    assert_eq!(draft.lease.map(|lease| lease.0.as_secs()), Some(300));
    assert_eq!((draft.max_attempts, draft.require_online), (Some(7), true));
    assert_eq!(config.handoff.capabilities["pump"].max_queued, Some(9));
    let lab = &config.rooms.room["lab"];
    assert_eq!(
        (lab.max_keys, lab.approve_on_timeout),
        (Some(5), Some(true))
    );
    assert_eq!(lab.lease.map(|lease| lease.0.as_secs()), Some(120));
    assert_eq!(lab.members, ["ann", "w-*"]);
}

#[test]
fn what_is_wrong_in_such_a_table_of_the_environment_is_named() {
    for (name, value, words) in [
        ("HANDOFF__TYPES__D__MAX_ATTEMPTS", "many", "invalid type"),
        (
            "HANDOFF__TYPES__DRAFT__LAESE",
            "5m",
            "unknown key; did you mean HALLWARD__HANDOFF__TYPES__DRAFT__LEASE (handoff.types.draft.lease)?",
        ),
        ("HANDOFF__CAPABILITIES__P__MAX_QUEUED", "0", "must be 1 to"),
        ("ROOMS__ROOM__LAB__MAX_KEYS", "0", "must be 1 to"),
        ("ROOMS__ROOM__LAB__MAX_KEYS", "few", "invalid type"),
        ("ROOMS__ROOM__LAB__LAESE", "5m", "unknown key"),
        ("ROOMS__ROOM__LAB", "{\"max_keys\": 0}", "must be 1 to"),
        ("ROOMS__ROOM__LAB", "here", "invalid type"),
    ] {
        let variable = format!("HALLWARD__{name}");
        let problem = only_problem(Config::load(&environment(&[(&variable, value)]))).to_string();
        assert!(problem.starts_with(&variable), "{variable}: {problem}");
        assert!(problem.contains(words), "{variable}: {problem}");
    }
    let rooms = environment(&[
        ("HALLWARD__ROOMS__ROOM__LAB", "{}"),
        ("HALLWARD__ROOMS__ROOM__SHED", "{\"max_keys\": 3}"),
    ]);
    let rooms = Config::load(&rooms).expect("good").rooms.room;
    assert_eq!(rooms["lab"], RoomConfig::default());
    assert_eq!(rooms["shed"].max_keys, Some(3));
}

#[test]
fn slips_in_the_environment_are_told_with_the_variable_that_was_meant() {
    for (name, told) in [
        (
            "HALLWARD__MQTT__LISTN",
            "HALLWARD__MQTT__LISTN: mqtt.listn: unknown key; did you mean HALLWARD__MQTT__LISTEN (mqtt.listen)?",
        ),
        (
            "hallward__mqqt__listen",
            "hallward__mqqt__listen: mqqt.listen: unknown section; did you mean HALLWARD__MQTT__LISTEN (mqtt.listen)?",
        ),
        (
            "HALLWARD_DATA_DIR",
            "HALLWARD_DATA_DIR: is no key: a key is written HALLWARD__SECTION__KEY; did you mean HALLWARD__DATA__DIR?",
        ),
    ] {
        let problem = only_problem(Config::load(&environment(&[(name, "x")])));
        assert_eq!(problem.to_string(), told);
    }
}

#[test]
fn a_room_may_keep_its_events_for_a_time_of_its_own() {
    let text = "[rooms.room.lab]\nevent_retention = \"1h\"\nmax_event_bytes = \"2MiB\"\n";
    let rooms = from_file(text).expect("good").rooms;
    let lab = &rooms.room["lab"];
    assert_eq!(
        lab.event_retention.map(|span| span.0.as_secs()),
        Some(3_600)
    );
    assert_eq!(
        lab.max_event_bytes.map(|bytes| bytes.0),
        Some(2 * 1024 * 1024)
    );
}

const APPROVERS: &str = "HALLWARD__HANDOFF__TYPES__DRAFT__APPROVAL__APPROVERS";

#[test]
fn what_it_would_run_with_reads_back_the_same_and_says_where_from() {
    let file = file(
        "[mqtt]\nmax_inflight = 7\n[rooms.room.\"a.b\"]\nlease = \"5m\"\nmembers = [\"x-*\", \"y\"]\n\
         [handoff.types.draft]\npriority = \"high\"\n[[blackboard.schemas]]\nprefix = \"p\"\nschema = \"q \\\"r\\\".json\"\n",
    );
    let layers = Layers {
        file: Some(file.path().to_owned()),
        flags: vec![Flag {
            flag: "--data",
            key: "data.dir",
            value: "kept".to_owned(),
        }],
        ..environment(&[
            ("HALLWARD__HANDOFF__MAX_PAGE", "9"),
            (APPROVERS, "[\"mia\"]"),
        ])
    };
    let loaded = Loaded::read(&layers).expect("good");
    let shown = loaded.effective();
    assert_eq!(from_file(&shown).as_ref(), Ok(&loaded.config), "{shown}");
    let path = file.path().display();
    let words: Vec<String> = shown
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        format!("max_inflight = 7 # {path}:2"),
        "receive_maximum = 1024 # default".to_owned(),
        "max_page = 9 # HALLWARD__HANDOFF__MAX_PAGE".to_owned(),
        format!("approval = {{ approvers = [\"mia\"] }} # {APPROVERS}"),
        "dir = \"kept\" # --data".to_owned(),
        "[rooms.room.\"a.b\"]".to_owned(),
        format!("members = [\"x-*\", \"y\"] # {path}:5"),
        "require_online = false # default".to_owned(),
        format!("schemas = [{{ prefix = \"p\", schema = \"q \\\"r\\\".json\" }}] # {path}:8"),
    ] {
        assert!(words.contains(&line), "{line} in {shown}");
    }
}

/// Whatever is shown by `hallward check` may end in a ticket: a key that holds a secret would have
/// to be hidden first.
#[test]
fn no_key_holds_a_secret() {
    let files = ["tls.key"];
    let defaults = serde_json::to_value(Config::default()).expect("serializes");
    for (key, value) in leaves(&defaults) {
        let sounds = ["secret", "password", "token", "key", "credential"]
            .iter()
            .any(|word| key.rsplit('.').next().is_some_and(|own| own.contains(word)));
        let is_path = key.ends_with("_file") || files.contains(&&*key);
        assert!(!sounds || !value.is_string() || is_path, "{key}");
    }
}
