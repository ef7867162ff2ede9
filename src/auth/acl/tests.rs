//! The grammar and the answers of mosquitto's ACL files. `tests/it/auth` asks a real mosquitto the
//! same questions.

use super::*;

fn acl(text: &str) -> Acl {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Acl::load(file.path()).unwrap()
}

fn faults(text: &str) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = format!("{}:", file.path().display());
    let told = Acl::load(file.path()).unwrap_err();
    told.iter()
        .map(|problem| problem.to_string().replace(&path, ""))
        .collect()
}

const ANN: Asker<'static> = Asker {
    user: "ann",
    anonymous: false,
    client_id: "ann-1",
};
const NOBODY: Asker<'static> = Asker {
    user: "guest",
    anonymous: true,
    client_id: "x",
};

/// `r` and `w` for what is allowed.
fn may(acl: &Acl, asker: Asker<'_>, topic: &str) -> String {
    let allowed = |access, letter| {
        let opinion = acl.of_topic(asker, access, topic);
        matches!(opinion, Opinion::Allows(_)).then_some(letter)
    };
    [
        allowed(Operation::Receive, 'r'),
        allowed(Operation::Publish, 'w'),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn subscribes(acl: &Acl, asker: Asker<'_>, filter: &str) -> bool {
    matches!(acl.of_filter(asker, filter), Opinion::Allows(_))
}

#[test]
fn users_have_their_own_lines_and_strangers_the_first_ones() {
    let acl = acl(
        "topic read open/#\n\nuser ann\ntopic a/+\ntopic write only/written\n# x\nuser bob b\ntopic b\n",
    );
    assert_eq!(may(&acl, NOBODY, "open/x"), "r");
    assert_eq!(may(&acl, ANN, "open/x"), "", "not for those with a name");
    assert_eq!(may(&acl, ANN, "a/1"), "rw");
    assert_eq!(may(&acl, ANN, "only/written"), "w");
    assert_eq!(may(&acl, ANN, "b"), "");
    let bob = Asker {
        user: "bob b",
        anonymous: false,
        client_id: "x",
    };
    assert_eq!(may(&acl, bob, "b"), "rw", "a name may have spaces");
}

#[test]
fn anonymous_clients_have_the_lines_of_the_user_as_whom_they_act_too() {
    let acl = acl(
        "topic read open/#\ntopic deny both/1\ntopic x\n\nuser guest\ntopic write box/#\n\
                   topic both/#\ntopic deny x\npattern u/%u\npattern all\n",
    );
    assert_eq!(may(&acl, NOBODY, "open/x"), "r");
    assert_eq!(may(&acl, NOBODY, "box/1"), "w");
    assert_eq!(may(&acl, NOBODY, "both/2"), "rw");
    for denied in ["both/1", "x"] {
        assert_eq!(may(&acl, NOBODY, denied), "", "{denied}: denied in either");
    }
    assert_eq!(may(&acl, NOBODY, "u/guest"), "", "it proved no name");
    assert_eq!(may(&acl, NOBODY, "all"), "rw");
    let guest = Asker {
        anonymous: false,
        ..NOBODY
    };
    assert_eq!(may(&acl, guest, "open/x"), "", "somebody who is guest");
    assert_eq!(may(&acl, guest, "u/guest"), "rw");
}

#[test]
fn deny_beats_what_stands_around_it_in_its_group() {
    let acl = acl(
        "user ann\ntopic a/#\ntopic deny a/secret/#\ntopic a/secret/mine\n\
                   pattern deny own/%u/x\npattern own/%u/#\npattern deny a/b\n",
    );
    assert_eq!(
        may(&acl, ANN, "a/b"),
        "rw",
        "her own line is asked before the patterns"
    );
    assert_eq!(may(&acl, ANN, "a/secret/mine"), "");
    assert_eq!(may(&acl, ANN, "own/ann/y"), "rw");
    assert_eq!(may(&acl, ANN, "own/ann/x"), "");
    assert!(matches!(
        acl.of_topic(ANN, Operation::Publish, "a/secret/1"),
        Opinion::Denies(_)
    ));
    assert_eq!(acl.of_topic(ANN, Operation::Publish, "z"), Opinion::Nothing);
}

#[test]
fn patterns_put_names_in_place_of_whole_levels_only() {
    let acl = acl("pattern read u/%u/#\npattern write c/%c\npattern x-%u/y\n");
    assert_eq!(may(&acl, ANN, "u/ann/1"), "r");
    assert_eq!(may(&acl, ANN, "u/bob/1"), "");
    assert_eq!(may(&acl, ANN, "c/ann-1"), "w");
    assert_eq!(may(&acl, ANN, "x-ann/y"), "", "%u must fill its level");
    assert_eq!(may(&acl, NOBODY, "u//1"), "", "nobody has no name");
    assert_eq!(may(&acl, NOBODY, "c/x"), "w");
    let slash = Asker {
        user: "a/b",
        anonymous: false,
        client_id: "c",
    };
    assert_eq!(may(&acl, slash, "u/a/b"), "");
}

#[test]
fn names_with_wildcards_get_nothing_from_patterns() {
    let acl = acl("topic read open\nuser #\ntopic mine\npattern read u/%u/#\n");
    let sly = Asker {
        user: "#",
        anonymous: false,
        client_id: "x",
    };
    assert_eq!(may(&acl, sly, "mine"), "rw");
    assert_eq!(
        acl.of_topic(sly, Operation::Receive, "u/bob/1"),
        Opinion::DangerousName
    );
    let sly = Asker {
        user: "ann",
        anonymous: false,
        client_id: "+",
    };
    assert_eq!(
        acl.of_topic(sly, Operation::Receive, "u/ann/1"),
        Opinion::DangerousName
    );
}

#[test]
fn wildcards_do_not_reach_dollar_topics() {
    let acl = acl("user ann\ntopic read #\nuser op\ntopic read $SYS/#\npattern read %u/#\n");
    assert_eq!(may(&acl, ANN, "$SYS/broker/uptime"), "");
    let op = Asker {
        user: "op",
        anonymous: false,
        client_id: "op",
    };
    assert_eq!(may(&acl, op, "$SYS/broker/uptime"), "r");
    let sly = Asker {
        user: "$SYS",
        anonymous: false,
        client_id: "x",
    };
    assert_eq!(may(&acl, sly, "$SYS/broker/uptime"), "", "nor does a name");
}

#[test]
fn a_subscription_stands_if_it_can_match_something_readable() {
    let acl = acl(
        "user ann\ntopic read a/+/x\ntopic write w/#\ntopic deny d/#\ntopic read d/y\npattern read p/%u/#\n",
    );
    for filter in ["a/+/x", "a/#", "#", "+/b/x", "a/b/x", "p/ann/+", "p/+/z"] {
        assert!(subscribes(&acl, ANN, filter), "{filter}");
    }
    for filter in [
        "w/#", "b/#", "a/+/y", "d/#", "d/y", "p/bob/#", "$SYS/#", "a/b",
    ] {
        assert!(!subscribes(&acl, ANN, filter), "{filter}");
    }
}

#[test]
fn one_word_is_a_filter_and_spaces_do_not_matter() {
    let acl = acl("  topic   read\nuser   ann  \ntopic  read   with space/x  \n  # not a comment to mosquitto\n".replace("  # not a comment to mosquitto\n", "").as_str());
    assert_eq!(may(&acl, NOBODY, "read"), "rw");
    assert_eq!(may(&acl, ANN, "with space/x"), "r");
}

#[test]
fn faults_are_told_with_their_lines() {
    let told = faults("topic\nuser\nuser ann\ntopic reed a/b\ntopic a/#/b\ngrant x\n # indented\n");
    let begin = |at: usize, words: &str| {
        assert!(told[at].starts_with(words), "{:?}", told[at]);
    };
    assert_eq!(told.len(), 6, "{told:?}");
    begin(0, "1: expected topic [read|write|readwrite|deny] FILTER");
    begin(1, "2: expected user NAME");
    begin(
        2,
        "4: expected read, write, readwrite or deny before the filter, but found \"reed\"",
    );
    begin(3, "5: expected a topic filter");
    begin(4, "6: expected user, topic, pattern or a comment");
    begin(5, "7: expected user");
}

#[test]
fn the_deciding_line_is_shown() {
    let acl = acl("\nuser ann\ntopic deny a/#\n");
    let Opinion::Denies(line) = acl.of_topic(ANN, Operation::Publish, "a/b") else {
        panic!("denied");
    };
    assert!(line.to_string().ends_with(":3: topic deny a/#"), "{line}");
}
