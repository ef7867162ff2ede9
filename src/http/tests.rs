//! The server as its clients meet it, friendly and hostile.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::setting::{ms, seconds};

use super::bounded_listener::MAX_REQUEST_BYTES;
use super::*;

struct Server {
    address: SocketAddr,
    ready: Arc<AtomicBool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

async fn start(limits: HttpConfig) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    let ready = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&ready);
    let health = move || match asked.load(Ordering::Relaxed) {
        true => Ok(vec!["a limit is 91 % full".to_owned()]),
        false => Err("the disk is full".to_owned()),
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve(
        listener,
        limits,
        Arc::new(health),
        Arc::new(MetricsRegistry::new()),
        async {
            let _ = stopped.await;
        },
    ));
    Server {
        address,
        ready,
        stop,
        task,
    }
}

fn patient() -> HttpConfig {
    HttpConfig {
        max_connections: 8,
        timeout: seconds(60),
        ..HttpConfig::default()
    }
}

fn hasty() -> HttpConfig {
    HttpConfig {
        max_connections: 1,
        timeout: ms(500),
        ..HttpConfig::default()
    }
}

/// Sends `bytes` and reads until the server closes.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(bytes).await.expect("sent");
    rest(stream).await
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is cut off may end in a reset; what came before it counts.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n");
    exchange(address, request.as_bytes()).await
}

#[tokio::test]
async fn live_ready_and_metrics_are_answered() {
    let server = start(patient()).await;
    assert!(
        get(server.address, "/livez")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    let ready = get(server.address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    let body = "\r\n\r\nready\nwarning: a limit is 91 % full\n";
    assert!(ready.ends_with(body), "{ready}");
    let metrics = get(server.address, "/metrics").await;
    assert!(metrics.contains("hallward_build{version="), "{metrics}");
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let server = start(patient()).await;
    let ask = |accept: &str| {
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: it\r\n{accept}Connection: close\r\n\r\n");
        let address = server.address;
        async move { exchange(address, request.as_bytes()).await }
    };
    let plain = ask("Accept: */*\r\n").await;
    assert!(
        plain.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{plain}"
    );
    assert!(plain.contains("\r\nvary: accept\r\n"), "{plain}");
    assert!(!plain.contains("# EOF"), "{plain}");
    assert_eq!(
        ask("").await.lines().count(),
        plain.lines().count(),
        "no preference is the same"
    );
    let open = ask("Accept: application/openmetrics-text\r\n").await;
    assert!(
        open.contains(
            "\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
        ),
        "{open}"
    );
    assert!(open.ends_with("# EOF\n"), "{open}");
}

#[tokio::test]
async fn unready_says_why_and_stays_alive() {
    let server = start(patient()).await;
    server.ready.store(false, Ordering::Relaxed);
    let ready = get(server.address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(ready.ends_with("not ready: the disk is full\n"), "{ready}");
    assert!(
        get(server.address, "/livez")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn other_addresses_and_methods_are_refused_in_words() {
    let server = start(patient()).await;
    let missing = get(server.address, "/health").await;
    assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
    assert!(
        missing.contains("there is /livez, /readyz and /metrics"),
        "{missing}"
    );
    let request =
        b"POST /livez HTTP/1.1\r\nHost: it\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let refused = exchange(server.address, request).await;
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
    assert!(refused.contains("only GET is"), "{refused}");
}

#[tokio::test]
async fn request_that_never_ends_is_cut_off_and_frees_its_place() {
    let server = start(hasty()).await;
    let answer = exchange(server.address, b"GET /livez HTTP/1.1\r\nHost:").await;
    assert_eq!(answer, "");
    // The only place is free again.
    assert!(
        get(server.address, "/livez")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn request_that_grows_without_end_is_cut_off() {
    let server = start(patient()).await;
    let mut request = b"GET /livez HTTP/1.1\r\nX-Long: ".to_vec();
    request.resize(MAX_REQUEST_BYTES + 1, b'x');
    let answer = exchange(server.address, &request).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn stop_closes_idle_connections_and_ends() {
    let server = start(patient()).await;
    let mut idle = TcpStream::connect(server.address).await.expect("connects");
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: it\r\n\r\n")
        .await
        .expect("sent");
    let mut byte = [0];
    idle.read_exact(&mut byte).await.expect("answered");
    server.stop.send(()).expect("running");
    server.task.await.expect("no panic").expect("ends well");
    assert!(rest(idle).await.ends_with("alive\n"));
    assert!(TcpStream::connect(server.address).await.is_err());
}
