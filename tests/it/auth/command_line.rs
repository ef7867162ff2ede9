//! `hallward passwd`, `hallward acl test`, and `hallward check` of the files of users and rights.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::*;

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
