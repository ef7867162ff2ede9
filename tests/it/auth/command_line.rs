//! `hallward passwd`, `hallward acl test`, and `hallward check` of the files of users and rights.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::*;
use crate::tools::Tools;

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hallward"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that refuses early reads nothing.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// Gives a user a password as an operator's script would.
pub(super) fn passwd(file: &Path, user: &str, password: &str) {
    let output = run(
        &["passwd", "--stdin", text(file), user],
        &format!("{password}\n"),
    );
    assert!(output.status.success(), "{output:?}");
}

fn shown(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().expect("an exit code"),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn passwords_are_set_changed_and_removed() {
    let site = Site::bare();
    let file = site.path("passwords");
    passwd(&file, "ann", "one");
    passwd(&file, "bob", "two words: and ä colon");
    passwd(&file, "ann", "three");
    let site = site
        .with("auth.password_file", text(&file))
        .with("auth.client_ids", r#"["*"]"#);
    let gateway = site.start();
    let by = |user: &str, password: &str| Connect::v5("x").by(user, password);
    connect(&gateway, by("ann", "three")).disconnect();
    connect(&gateway, by("bob", "two words: and ä colon")).disconnect();
    assert_eq!(refused(&gateway, by("ann", "one")), BAD_CREDENTIALS);
    let (code, ..) = shown(&run(&["passwd", "-D", text(&file), "ann"], ""));
    assert_eq!(code, 0);
    assert!(reload(&gateway));
    assert_eq!(refused(&gateway, by("ann", "three")), BAD_CREDENTIALS);
    let (code, _, error) = shown(&run(&["passwd", "-D", text(&file), "ann"], ""));
    assert_eq!(code, 1);
    assert!(error.ends_with("no user \"ann\"\n"), "{error}");
}

#[test]
fn slips_of_passwd_are_one_line_and_change_nothing() {
    let site = Site::bare();
    let file = site.path("passwords");
    for (words, input) in [
        (&["--stdin", "a:b"][..], "x\n"),
        (&["--stdin", "ann"], "\n"),
        (&["--stdin", "-D", "ann"], ""),
        (&["ann"], ""),
    ] {
        let words = [&["passwd", text(&file)], words].concat();
        let (code, _, error) = shown(&run(&words, input));
        assert_eq!(code, 64, "{words:?}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    assert!(!file.exists());
}

#[test]
fn passwd_asks_twice_and_shows_nothing() {
    // A terminal of its own, and answers as somebody types them: each after its question.
    const TYPIST: &str = r#"
import os, pty, sys, termios
answers = sys.argv[1].split(",")
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
screen = b""
for answer in answers:
    while not screen.endswith(b": "):
        screen += os.read(terminal, 1024)
    # Nobody types before the question is there to be read.
    while termios.tcgetattr(terminal)[3] & termios.ECHO:
        os.sched_yield()
    screen += b"|"
    os.write(terminal, answer.encode() + b"\n")
try:
    while True:
        more = os.read(terminal, 1024)
        if not more: break
        screen += more
except OSError:
    pass
print(screen.decode().replace("\r", ""))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;
    let site = Site::bare();
    let file = site.path("passwords");
    let type_in = |answers: &str| {
        let binary = env!("CARGO_BIN_EXE_hallward");
        let output = Tools::get()
            .python()
            .args(["-c", TYPIST, answers, binary, "passwd", text(&file), "ann"])
            .output()
            .expect("python runs");
        shown(&output)
    };
    let (code, screen, error) = type_in("typed,typed");
    assert_eq!(code, 0, "{screen} {error}");
    assert!(
        screen.contains("Password: ") && screen.contains("Again: "),
        "{screen}"
    );
    assert!(!screen.contains("typed"), "{screen}");
    let first = std::fs::read_to_string(&file).expect("written");
    assert!(first.starts_with("ann:$argon2id$"), "{first}");
    let (code, screen, _) = type_in("typed,mistyped");
    assert_eq!(code, 64, "{screen}");
    assert!(screen.contains("not the same"), "{screen}");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), first);
}

/// A configuration file that names the site's files.
fn configuration(site: &Site, acl: &str) -> PathBuf {
    site.write("acl", acl);
    let toml = format!(
        "[auth]\nenabled = true\npassword_file = {:?}\nusers_file = {:?}\nacl_file = {:?}\n",
        site.path("passwords"),
        site.path("users.toml"),
        site.path("acl")
    );
    site.write("hallward.toml", &toml);
    site.path("hallward.toml")
}

#[test]
fn acl_test_says_what_is_allowed_and_why() {
    let site = Site::new();
    let file = configuration(
        &site,
        "user ann\ntopic read news/#\ntopic deny rooms/lab/blackboard/#\n",
    );
    let ask = |user: &str, client: &str, topic: &str| {
        shown(&run(
            &["acl", "test", "--config", text(&file), user, client, topic],
            "",
        ))
    };
    let acl = site.path("acl").display().to_string();
    let nothing = "no role and no line of the ACL file allows it";
    let (code, said, _) = ask("ann", "ann-1", "news/today");
    assert_eq!(
        (code, said),
        (
            0,
            format!(
                "subscribe  allow  {acl}:2: topic read news/#\nreceive    allow  {acl}:2: topic read news/#\n\
                 publish    deny   {nothing}\n"
            )
        )
    );
    let (code, said, _) = ask("ann", "ann-1", "rooms/lab/handoff/dispatch/ann-1");
    assert_eq!(code, 0);
    assert!(
        said.ends_with("publish    allow  role agent: handoff/dispatch/{me}\n"),
        "{said}"
    );
    for (me, code, why) in [
        ("ann-1", 0, "allow  role agent: tools/get/{me}"),
        ("ann-2", 1, "deny   "),
    ] {
        let (exit, said, _) = ask("ann", "ann-1", &format!("rooms/lab/tools/get/{me}"));
        assert_eq!(exit, code, "{said}");
        assert!(said.contains(&format!("publish    {why}")), "{said}");
    }
    let (code, said, _) = ask("ann", "ann-1", "rooms/lab/blackboard/#");
    assert_eq!(code, 1);
    assert_eq!(
        said,
        format!("subscribe  deny   {acl}:3: topic deny rooms/lab/blackboard/#\n")
    );
    let (code, said, _) = ask("root", "root", "rooms/lab/reply/ann");
    assert_eq!(code, 0);
    assert!(
        said.ends_with("publish    deny   only the gateway writes to rooms/lab/reply/ann\n"),
        "{said}"
    );
    let (code, _, error) = ask("zoe", "zoe", "x");
    assert_eq!(code, 1);
    assert!(error.contains("\"zoe\" may do nothing with x"), "{error}");
    let (code, _, error) = ask("ann", "bob", "x");
    assert_eq!(code, 1);
    assert!(error.contains("auth.client_ids"), "{error}");
    let (code, _, error) = ask("ann", "ann", "a/#/b");
    assert_eq!(code, 64, "{error}");
}

#[test]
fn acl_test_judges_members_and_rooms_that_are_not_configured() {
    let site = Site::new();
    let file = configuration(&site, "user ann\ntopic deny rooms/shut/inbox/#\n");
    site.write("users.toml", &USERS.replace("\"lab\"", "\"*\""));
    let toml = std::fs::read_to_string(&file).expect("written");
    let rooms = "[rooms]\ncreate = \"configured\"\n[rooms.room.lab]\nmembers = [\"bob\", \"w-*\"]\n[rooms.room.open]\n";
    site.write("hallward.toml", &format!("{toml}{rooms}"));
    let ask = |topic: &str| {
        let words = [
            "acl",
            "test",
            "--config",
            text(&file),
            "ann",
            "ann-1",
            topic,
        ];
        let (code, said, _) = shown(&run(&words, ""));
        (code, said)
    };
    let role = |what: &str| format!("allow  role agent: {what}\n");
    let member = "deny   ann-1 is no member of the room lab (rooms.room.lab.members)\n";
    let room = |name: &str| {
        format!(
            "deny   there is no room {name}, and none comes into being by its use (rooms.create)\n"
        )
    };
    let (code, said) = ask("rooms/lab/handoff/dispatch/ann-1");
    let publish = said.lines().last().expect("a line");
    assert_eq!(
        (code, format!("{publish}\n")),
        (1, format!("publish    {member}"))
    );
    let (code, said) = ask("rooms/lab/handoff/work/draft");
    let work = role("handoff/work/+");
    assert_eq!(code, 0);
    assert!(
        said.starts_with(&format!("subscribe  {member}receive    {work}")),
        "{said}"
    );
    assert_eq!(ask("rooms/lab/#"), (1, format!("subscribe  {member}")));
    assert_eq!(
        ask("$share/g/rooms/attic/handoff/work/x"),
        (1, format!("subscribe  {}", room("attic")))
    );
    let (_, said) = ask("rooms/attic/handoff/dispatch/ann-1");
    assert!(
        said.ends_with(&format!("publish    {}", room("attic"))),
        "{said}"
    );
    let (_, said) = ask("rooms/open/handoff/dispatch/ann-1");
    let dispatch = role("handoff/dispatch/{me}");
    assert!(said.ends_with(&format!("publish    {dispatch}")), "{said}");
    // What the engine does not answer it does not refuse.
    let (code, said) = ask("rooms/attic/observe/events/ann-1/news");
    assert_eq!(code, 0, "{said}");
    let (_, said) = ask("rooms/shut/inbox/bob/ann-1");
    assert!(
        said.contains("publish    deny   ") && said.contains("acl:2"),
        "rights go first: {said}"
    );
}

#[test]
fn check_reads_the_files_of_users_and_rights() {
    let site = Site::new();
    let file = configuration(&site, "user ann\ntopik x\n");
    let check = || shown(&run(&["check", "--config", text(&file)], ""));
    site.write("passwords", "ann\n");
    let (code, said, _) = check();
    assert_eq!(code, 64);
    let begins: Vec<String> = [("passwords", 1), ("acl", 2)]
        .map(|(name, line)| format!("{}:{line}: expected ", site.path(name).display()))
        .to_vec();
    assert_eq!(said.lines().count(), 2, "{said}");
    for (line, begin) in said.lines().zip(begins) {
        assert!(line.starts_with(&begin), "{line}");
    }
    site.write("acl", "topic read x\n");
    site.write("passwords", PASSWORDS);
    assert_eq!(check().0, 0);
    let missing = site.path("users.toml");
    std::fs::remove_file(&missing).expect("it was there");
    let (code, said, _) = check();
    assert_eq!(code, 64);
    assert!(
        said.starts_with(&format!("{}: cannot read", missing.display())),
        "{said}"
    );
}

/// The block "Five minutes" of `docs/security.md`, in a directory of its own.
#[test]
fn the_first_five_minutes_of_the_guide_work() {
    let guide = include_str!("../../../docs/security.md");
    let (_, section) = guide.split_once("## Five minutes").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("the next one");
    let blocks: Vec<&str> = section
        .split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.split_once('\n').map(|(_, text)| text))
        .collect();
    let [passwords, users, configuration, commands, shown_by_acl] = blocks[..] else {
        panic!("five blocks: {blocks:#?}");
    };
    let site = Site::bare();
    site.write("users.toml", users);
    site.write("hallward.toml", configuration);
    site.write("wes-password.txt", "secret\n");
    // The first line asks at a terminal, the last one serves; other tests do that.
    let mut script: Vec<&str> = passwords.lines().skip(1).collect();
    script.extend(commands.lines().take(2));
    let directory = Path::new(env!("CARGO_BIN_EXE_hallward"))
        .parent()
        .expect("a directory");
    let path = format!(
        "{}:{}",
        directory.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new("sh")
        .args(["-e", "-c", &script.join("\n")])
        .current_dir(site.directory.path())
        .env("PATH", path)
        .output()
        .expect("sh runs");
    let (code, said, error) = shown(&output);
    assert_eq!(code, 0, "{said} {error}");
    assert!(said.starts_with("configuration ok"), "{said}");
    assert!(said.ends_with(shown_by_acl), "{said}");
}
