//! The same files and the same questions to a real mosquitto and to the gateway: where the ACL file
//! alone decides, both must give the same answers. (One thing is left out: mosquitto 2.0 also puts
//! names into parts of levels, which its manual excludes and 2.1 does not do any more.)

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::harness::{Publish, free_address};
use crate::tools::Tools;

const ACL: &str = "\
# anonymous
topic read open/+
topic deny open/closed

user ann
topic  a/#
topic deny a/secret/+
topic readwrite a/secret/mine
topic read r/+/x
topic write w/#
topic lonely
topic read

user bob b
topic read   spaced out/#
user ann
topic second/section
topic mark
pattern read u/%u/#
pattern write c/%c/in
pattern deny u/%u/hidden
pattern a/overruled
pattern deny a/b
pattern w/%u
";

const TOPICS: &[&str] = &[
    "open/x",
    "open/closed",
    "a",
    "a/b",
    "a/b/c",
    "a/secret/mine",
    "a/secret/x",
    "a/secret/x/y",
    "r/1/x",
    "r/1/y",
    "w/1",
    "w",
    "lonely",
    "read",
    "second/section",
    "spaced out/x",
    "u/ann/1",
    "u/ann/hidden",
    "u/bob b/1",
    "u/ann",
    "u/+",
    "c/ann/in",
    "c/other/in",
    "a/overruled",
    "w/ann",
    "nothing",
    "/a/b",
];

struct Mosquitto {
    child: Child,
    address: SocketAddr,
}

impl Mosquitto {
    fn start(site: &Site) -> Mosquitto {
        let address = free_address();
        let configuration = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npassword_file {}\nacl_file {}\nuser root\n",
            address.port(),
            site.path("passwords").display(),
            site.path("acl").display()
        );
        site.write("mosquitto.conf", &configuration);
        let child = Command::new("mosquitto")
            .args(["-c", text(&site.path("mosquitto.conf"))])
            .env(
                "PATH",
                "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin:/opt/homebrew/sbin",
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is installed");
        let deadline = Instant::now() + DEADLINE;
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "mosquitto does not listen");
            std::thread::yield_now();
        }
        Mosquitto { child, address }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which topics a client may write and read, as (topic, "w" or "r"), found out by trying.
fn found(address: SocketAddr, who: &Connect, writer: &Connect) -> BTreeSet<(String, char)> {
    let mut found = BTreeSet::new();
    let mut client = Client::connect(address, who.clone());
    let mut root = Client::connect(address, writer.clone());
    root.subscribe(&[("#", 1)]);
    for topic in TOPICS.iter().filter(|topic| !topic.contains('+')) {
        client.publish(Publish::new(topic, "from client", 1));
        client.subscribe(&[(topic, 1)]);
        root.publish(Publish::new(topic, "from root", 1));
    }
    root.publish(Publish::new("the/end", "end", 1));
    loop {
        let message = root.message();
        match message.text() {
            "end" => break,
            "from client" => drop(found.insert((message.topic, 'w'))),
            _ => {}
        }
    }
    // A topic that everybody may write and read ends what the client is sent.
    client.subscribe(&[("mark", 1)]);
    client.publish(Publish::new("mark", "mark", 1));
    loop {
        let message = client.message();
        match message.text() {
            "mark" => break,
            "from root" => drop(found.insert((message.topic, 'r'))),
            // What the client may write itself and had subscribed to by then.
            _ => {}
        }
    }
    found
}

#[test]
fn acl_files_mean_what_they_mean_to_mosquitto() {
    let everybody = "pattern mark\nuser root\ntopic #\n";
    let acl = format!(
        "topic mark\n{}",
        ACL.replacen("user ann", &format!("{everybody}user ann"), 1)
    );
    let site = Site::bare()
        .file("password_file", "passwords", PASSWORDS)
        .acl(&acl)
        .with("auth.anonymous", "guest")
        .with("auth.client_ids", r#"["*"]"#);
    // Sees that mosquitto is installed.
    Tools::get();
    passwd_of(&site, "bob b");
    let mosquitto = Mosquitto::start(&site);
    let gateway = site.start();
    let clients = [
        ("nobody", Connect::v5("guest-client")),
        ("ann", v5("ann", "ann")),
        ("ann elsewhere", v5("ann", "other")),
        ("bob b", Connect::v5("bob").by("bob b", "x")),
        ("eve, without a section", v5("eve", "eve")),
        ("ann with a dangerous id", v5("ann", "a+b")),
    ];
    for (name, who) in clients {
        let writer = v5("root", "root");
        let theirs = found(mosquitto.address, &who, &writer);
        let ours = found(gateway.mqtt, &who, &writer);
        assert_eq!(ours, theirs, "{name}");
    }
}

/// mosquitto's own program writes the line of a user whose name has a space.
fn passwd_of(site: &Site, user: &str) {
    let output = Command::new("mosquitto_passwd")
        .args(["-b", text(&site.path("passwords")), user, "x"])
        .output()
        .expect("mosquitto_passwd is installed");
    assert!(output.status.success(), "{output:?}");
}

/// The programs that people try first, with both versions of MQTT.
#[test]
fn mosquitto_pub_and_sub_log_in_and_are_told_what_they_may_not() {
    let site = Site::new().acl("user ann\ntopic news\nuser bob\ntopic read news\n");
    let gateway = site.start();
    let run = |mut program: Command, version: &str, words: &[&str]| {
        let port = gateway.mqtt.port().to_string();
        let output = program
            .args(["-h", "127.0.0.1", "-p", &port, "-V", version, "-q", "1"])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.success(), said.concat())
    };
    let tools = Tools::get();
    for version in ["mqttv311", "mqttv5"] {
        let ann = ["-i", "ann-1", "-u", "ann", "-P", "ann-secret"];
        let keep = [&ann[..], &["-t", "news", "-r", "-m", version]].concat();
        let (kept, said) = run(tools.mosquitto_pub(), version, &keep);
        assert!(kept, "{said}");
        let bob = [
            "-i",
            "bob",
            "-u",
            "bob",
            "-P",
            "bob-secret",
            "-W",
            "30",
            "-C",
            "1",
        ];
        let (read, said) = run(
            tools.mosquitto_sub(),
            version,
            &[&bob[..], &["-t", "news"]].concat(),
        );
        assert_eq!((read, said.trim()), (true, version));
        let (_, said) = run(
            tools.mosquitto_sub(),
            version,
            &[&bob[..], &["-t", "other"]].concat(),
        );
        assert!(said.contains("denied"), "{said}");
        let wrong = [
            "-i", "ann-1", "-u", "ann", "-P", "wrong", "-t", "news", "-m", "x",
        ];
        let (entered, said) = run(tools.mosquitto_pub(), version, &wrong);
        assert!(!entered, "{said}");
        let said = said.to_lowercase();
        assert!(
            said.contains("bad user") || said.contains("not authori"),
            "{said}"
        );
        let stranger = [
            "-i",
            "bob-1",
            "-u",
            "ann",
            "-P",
            "ann-secret",
            "-t",
            "news",
            "-m",
            "x",
        ];
        let (entered, said) = run(tools.mosquitto_pub(), version, &stranger);
        assert!(
            !entered && said.to_lowercase().contains("not authori"),
            "{said}"
        );
    }
}
