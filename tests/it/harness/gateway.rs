//! The gateway as a process: the real binary on loopback ports and a data directory of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tempfile::TempDir;

use super::DEADLINE;

/// How often a start is tried again on other ports if somebody else was quicker.
const PORT_TRIES: usize = 8;

/// How a gateway is to be started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setup {
    environment: Vec<(String, String)>,
    data: Option<PathBuf>,
    config: Option<PathBuf>,
    /// Words before the program: a wrapper that sets limits.
    wrapper: Vec<OsString>,
}

impl Setup {
    pub(crate) fn new() -> Setup {
        Setup::default()
    }

    /// Sets `section.key`, as its environment variable.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Setup {
        let name = format!("HALLWARD__{}", key.to_uppercase().replace('.', "__"));
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Keeps the data in this directory, which outlives the gateway.
    pub(crate) fn on(mut self, data: &Path) -> Setup {
        self.data = Some(data.to_owned());
        self
    }

    /// Reads this configuration file.
    pub(crate) fn configured_by(mut self, file: &Path) -> Setup {
        self.config = Some(file.to_owned());
        self
    }

    /// Runs it through a wrapper: these words come before the program.
    pub(crate) fn through(mut self, words: &[&str]) -> Setup {
        self.wrapper = words.iter().map(OsString::from).collect();
        self
    }

    pub(crate) fn start(self) -> Gateway {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let data = self
            .data
            .clone()
            .unwrap_or_else(|| temporary.path().join("data"));
        let mut failures = Vec::new();
        for _ in 0..PORT_TRIES {
            let (mqtt, http) = (free_address(), free_address());
            let mut gateway = Gateway {
                mqtt,
                http,
                data: data.clone(),
                setup: self.clone(),
                running: None,
                stderr: Arc::default(),
                _temporary: None,
            };
            match gateway.launch() {
                Ok(()) => {
                    gateway._temporary = Some(temporary);
                    return gateway;
                }
                Err(failure) => failures.push(failure),
            }
        }
        panic!("the gateway does not start: {failures:#?}");
    }
}

/// An address that nobody listens on now, outside the range that the system gives to outgoing
/// connections.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 600).expect("below 600") * 20;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (offset + step % 12_000) % 12_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

#[derive(Debug)]
struct Running {
    child: Child,
    stderr: JoinHandle<()>,
}

/// A gateway that runs, or one that was ended and can be started again on the same ports and data.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) mqtt: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) data: PathBuf,
    setup: Setup,
    running: Option<Running>,
    stderr: Arc<Mutex<String>>,
    _temporary: Option<TempDir>,
}

/// What a gateway that ended by itself left behind.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Gateway {
    /// Starts one with the defaults.
    pub(crate) fn start() -> Gateway {
        Setup::new().start()
    }

    /// Runs `hallward` with these arguments and environment until it ends by itself.
    pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hallward"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let out = child.stdout.take().expect("piped");
        let err = child.stderr.take().expect("piped");
        let lines = read_in_thread(err);
        let first = first_line_within_deadline(out);
        if let Some(line) = first {
            // It is up although it should not be: end it, the test reads the banner and fails.
            stdout.push_str(&line);
            child.kill().expect("it runs");
        }
        let status = child.wait().expect("it ends");
        stderr.push_str(&lines.join().expect("the reader ends"));
        Output {
            code: status.code(),
            stdout,
            stderr,
        }
    }

    /// Runs `hallward check` with this environment.
    pub(crate) fn check(environment: &[(&str, &str)]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_hallward"))
            .arg("check")
            .envs(environment.iter().copied())
            .output()
            .expect("the binary starts");
        Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts it again on the same ports and data.
    pub(crate) fn restart(&mut self) {
        assert!(self.running.is_none(), "it runs");
        if let Err(failure) = self.launch() {
            panic!("the gateway does not start again: {failure}");
        }
    }

    fn launch(&mut self) -> Result<(), String> {
        let mut words = self.setup.wrapper.clone();
        words.push(env!("CARGO_BIN_EXE_hallward").into());
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .arg("serve")
            .arg("--data")
            .arg(&self.data)
            .args([
                "--mqtt",
                &self.mqtt.to_string(),
                "--http",
                &self.http.to_string(),
            ])
            .args(
                self.setup
                    .config
                    .iter()
                    .flat_map(|file| [OsString::from("--config"), file.into()]),
            )
            .envs(
                self.setup
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let stdout = child.stdout.take().expect("piped");
        let stderr = keep(child.stderr.take().expect("piped"), self.stderr.clone());
        self.running = Some(Running { child, stderr });
        match banner(stdout).recv_timeout(DEADLINE) {
            Ok(()) => Ok(()),
            Err(why) => {
                self.kill();
                let log = self.stderr();
                Err(match why {
                    RecvTimeoutError::Timeout => format!("no banner in time; it says: {log}"),
                    RecvTimeoutError::Disconnected => format!("it ended: {log}"),
                })
            }
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").child.id()
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("the kernel counts it")
            * 1024
    }

    /// `kill -9`: no warning, no goodbye.
    pub(crate) fn kill(&mut self) {
        if let Some(Running { mut child, stderr }) = self.running.take() {
            // It may have ended by itself; either way it is gone after `wait`.
            let _ = child.kill();
            let _ = child.wait();
            let _ = stderr.join();
        }
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .status()
            .expect("sh runs");
        assert!(status.success(), "kill -{name}: {status}");
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let Running { mut child, stderr } = self.running.take().expect("it runs");
        let (tell, told) = channel();
        let pid = child.id();
        let waiter = std::thread::spawn(move || tell.send(child.wait().expect("our child")));
        match told.recv_timeout(DEADLINE) {
            Ok(status) => {
                let _ = waiter.join();
                let _ = stderr.join();
                status
            }
            Err(_) => {
                let _ = Command::new("sh")
                    .args(["-c", &format!("kill -9 {pid}")])
                    .status();
                panic!("the gateway does not end; it says: {}", self.stderr());
            }
        }
    }

    /// SIGTERM, and the drain that follows.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }

    /// What it has said on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The value of a metric, its labels included in the name.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let (_, metrics) = self.get("/metrics");
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
        value.parse::<f64>().expect("a number") as u64
    }

    /// Asks over HTTP; returns the status and the body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).expect("HTTP listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        let body = answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned());
        (status.expect("a status line"), body.unwrap_or_default())
    }
}

impl Drop for Gateway {
    #[expect(
        clippy::print_stderr,
        reason = "a test that fails shows what the gateway said"
    )]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.stderr();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("the gateway said last:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// Says once that the banner is complete; drains standard output after that, so that the gateway
/// never blocks on it.
fn banner(stdout: impl Read + Send + 'static) -> Receiver<()> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if line.starts_with("Stop it with") {
                // Nobody may wait any more; the lines are read all the same.
                let _ = tell.send(());
            }
        }
    });
    told
}

fn keep(stderr: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    })
}

fn read_in_thread(mut source: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = source.read_to_string(&mut text);
        text
    })
}

/// The first line, or `None` if the output ended without one.
fn first_line_within_deadline(source: impl Read + Send + 'static) -> Option<String> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        tell.send(BufReader::new(source).lines().map_while(Result::ok).next())
    });
    told.recv_timeout(DEADLINE)
        .unwrap_or_else(|_| Some("nothing at all in time".to_owned()))
}
