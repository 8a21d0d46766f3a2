//! The server over real sockets: what each path answers, and what viewers that behave badly can do (nothing).
//! Requests are HTTP/1.0, whose streams are not chunked, unless a test is about the protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::server::Limits;
use super::{About, Access, Hub, PageError, Server};
use crate::classifier::Prediction;
use crate::sources::Health;
use crate::stats::LiveReport;

const LIMITS: Limits = Limits { viewers: 4, connections: 16, patience: Duration::from_millis(500) };

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn start() -> (Hub, Server) {
    start_within(LIMITS)
}

fn start_within(limits: Limits) -> (Hub, Server) {
    let hub = Hub::new(About { model: "mobilenet_v2".into(), dtype: "int8".into(), ..About::default() });
    let server = Server::start_within(limits, loopback(0), Access::Open, hub.clone()).unwrap();
    (hub, server)
}

/// A response whose body is still to be read.
struct Response {
    status: u16,
    head: String,
    body: BufReader<TcpStream>,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line[name.len() + 1..].trim())
    }

    fn text(mut self) -> String {
        let mut text = String::new();
        self.body.read_to_string(&mut text).unwrap();
        text
    }

    fn bytes(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.body.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.body.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next picture of a stream whose first boundary has been read, up to and with the boundary after it.
    fn picture(&mut self) -> Vec<u8> {
        assert_eq!(self.line(), "Content-Type: image/jpeg");
        let length = self.line().strip_prefix("Content-Length: ").unwrap().parse().unwrap();
        assert_eq!(self.line(), "");
        let mut jpeg = vec![0; length];
        self.body.read_exact(&mut jpeg).unwrap();
        assert_eq!((self.line().as_str(), self.line().as_str()), ("", "--kinglet"));
        jpeg
    }
}

fn send(address: SocketAddr, text: &str) -> TcpStream {
    request(TcpStream::connect(address).unwrap(), text)
}

fn request(mut stream: TcpStream, text: &str) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

fn respond(stream: TcpStream) -> Response {
    let mut body = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(body.read_line(&mut head).unwrap(), 0, "the connection ended within the head: {head:?}");
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head, body }
}

fn get(address: SocketAddr, path: &str) -> Response {
    respond(send(address, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")))
}

fn stream(address: SocketAddr) -> Response {
    let mut response = get(address, "/stream.mjpeg");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("multipart/x-mixed-replace; boundary=kinglet"));
    assert_eq!(response.line(), "--kinglet");
    response
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn pictures_are_streamed_byte_for_byte_to_every_viewer() {
    let (hub, server) = start();
    let mut viewers = [stream(server.address()), stream(server.address())];
    wait_until("both are counted", || hub.viewers() == 2);
    for picture in [b"\xff\xd8 one \xff\xd9".to_vec(), vec![0xab; 300_000], b"\r\n--kinglet\r\n".to_vec()] {
        hub.publish_frame(&picture);
        for viewer in &mut viewers {
            assert_eq!(viewer.picture(), picture);
        }
    }
    drop(viewers);
    hub.publish_frame(b"by which the server finds out");
    wait_until("both are gone", || {
        hub.publish_frame(b"by which the server finds out");
        hub.viewers() == 0
    });
}

/// Bytes of memory that this process holds.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// 400 MB are shown to a viewer that reads nothing and one that reads everything: the first costs neither the
/// publisher, nor the second, nor memory, and is dropped in the end.
#[test]
#[cfg(target_os = "linux")]
fn a_stalled_viewer_costs_nothing_and_is_dropped() {
    let (hub, server) = start();
    let stalled = send(server.address(), "GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut viewer = stream(server.address());
    wait_until("both are counted", || hub.viewers() == 2);
    let (mut jpeg, before) = (vec![0u8; 200_000], resident());
    let (mut slowest, mut most) = (Duration::ZERO, before);
    for i in 0..2_000u32 {
        jpeg[..4].copy_from_slice(&i.to_le_bytes());
        let start = Instant::now();
        hub.publish_frame(&jpeg);
        slowest = slowest.max(start.elapsed());
        assert_eq!(viewer.picture()[..4], i.to_le_bytes(), "the other viewer has every picture");
        most = most.max(resident());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?} to publish a picture");
    assert!(most - before < 24 << 20, "{} bytes held for the stalled viewer", most - before);
    wait_until("the stalled viewer is dropped", || {
        hub.publish_frame(&jpeg);
        hub.viewers() == 1
    });
    drop(stalled);
}

/// What a viewer finds when it reads on after a while is what its own socket could hold, and little more: neither the
/// kernel nor the server keeps old pictures for it.
#[test]
#[cfg(target_os = "linux")]
fn a_slow_viewer_skips_to_the_newest_picture() {
    const PICTURE: usize = 20_000;
    const WINDOW: usize = 64 * 1024;
    let (hub, server) = start_within(Limits { patience: Duration::from_secs(30), ..LIMITS });
    let socket = TcpStream::connect(server.address()).unwrap();
    socket2::SockRef::from(&socket).set_recv_buffer_size(WINDOW / 2).unwrap(); // the kernel doubles it
    let mut viewer = respond(request(socket, "GET /stream.mjpeg HTTP/1.0\r\nHost: localhost\r\n\r\n"));
    assert_eq!(viewer.line(), "--kinglet");
    let mut jpeg = vec![0u8; PICTURE];
    for i in 0..300u32 {
        jpeg[..4].copy_from_slice(&i.to_le_bytes());
        hub.publish_frame(&jpeg);
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&299) {
        seen.push(u32::from_le_bytes(viewer.picture()[..4].try_into().unwrap()));
    }
    assert!(seen.is_sorted() && seen.len() <= WINDOW / PICTURE + 6, "{seen:?}");
}

#[test]
fn the_last_picture_is_sent_again_when_none_comes() {
    let (hub, server) = start();
    let mut viewer = stream(server.address());
    wait_until("it is counted", || hub.viewers() == 1);
    hub.publish_frame(b"last");
    assert_eq!((viewer.picture(), viewer.picture()), (b"last".to_vec(), b"last".to_vec()));
}

#[test]
fn a_snapshot_is_the_newest_picture() {
    let (hub, server) = start();
    let none = get(server.address(), "/snapshot.jpg");
    assert_eq!((none.status, none.header("retry-after")), (503, Some("5")));
    hub.publish_report(&LiveReport::default());
    hub.publish_frame(b"first");
    let fresh = get(server.address(), "/snapshot.jpg");
    assert_eq!((fresh.status, fresh.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(fresh.header("cache-control"), Some("no-store"));
    assert_eq!(fresh.bytes(), b"first");
}

/// The loop encodes pictures only while somebody looks, so that asking for a snapshot must make it encode one.
#[test]
fn a_snapshot_has_a_picture_made_for_it() {
    let (hub, server) = start();
    let made = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("somebody looks", || hub.viewers() == 1);
            made.store(true, Ordering::SeqCst);
            hub.publish_frame(b"made for it");
        });
        assert_eq!(get(server.address(), "/snapshot.jpg").bytes(), b"made for it");
    });
    assert!(made.load(Ordering::SeqCst));
    wait_until("nobody looks any more", || hub.viewers() == 0);
}

#[test]
fn events_tell_the_newest_numbers_several_times_a_second() {
    let (hub, server) = start();
    let mut events = get(server.address(), "/events");
    assert_eq!((events.status, events.header("content-type")), (200, Some("text/event-stream")));
    let mut next = || loop {
        if let Some(data) = events.line().strip_prefix("data: ") {
            return serde_json::from_str::<Value>(data).unwrap();
        }
    };
    assert_eq!(next()["status"], "starting");
    let start = Instant::now();
    for captured in 1..=5u64 {
        let top = vec![Prediction { index: 7, label: "cock".into(), score: 0.25 }];
        hub.publish_report(&LiveReport { captured, answer: top.into(), ..LiveReport::default() });
        let event = next();
        assert_eq!(
            (&event["captured"], &event["status"], &event["model"]),
            (&json!(captured), &json!("ok"), &json!("mobilenet_v2"))
        );
        assert_eq!(event["top"], json!([{"index": 7, "label": "cock", "score": 0.25}]));
    }
    assert!(start.elapsed() > Duration::from_millis(700), "paced: {:?}", start.elapsed());
    hub.set_health(Health::Lost { since: Instant::now(), why: "unplugged".into() });
    let event = next();
    assert_eq!((&event["status"], &event["why"]), (&json!("stale"), &json!("unplugged; trying again")));
}

#[test]
fn health_is_told_by_status_code() {
    let (hub, server) = start();
    let health = || {
        let response = get(server.address(), "/healthz");
        (response.status, serde_json::from_str::<Value>(&response.text()).unwrap())
    };
    assert_eq!(health(), (503, json!({"status": "starting"})));
    hub.publish_report(&LiveReport::default());
    assert_eq!(health(), (200, json!({"status": "ok"})));
    hub.set_health(Health::Lost { since: Instant::now(), why: "unplugged".into() });
    let (status, body) = health();
    assert_eq!((status, &body["status"], &body["why"]), (503, &json!("stale"), &json!("unplugged; trying again")));
    assert!(body["stale_s"].as_f64().unwrap() < 5.0);
}

#[test]
fn the_page_is_one_file_that_may_load_nothing_foreign() {
    let (hub, server) = start();
    let top = vec![Prediction { index: 0, label: "</script><script>alert(1)</script>".into(), score: 1.0 }];
    hub.publish_report(&LiveReport { answer: top.into(), ..LiveReport::default() });
    let page = get(server.address(), "/");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let nonce = policy.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let html = page.text();
    assert!(
        html.contains(&format!("<script nonce=\"{nonce}\">")) && html.contains(&format!("<style nonce=\"{nonce}\">"))
    );
    assert!(!html.contains("{{") && !html.contains("<script>alert"), "a label cannot become markup");
    assert!(!html.contains("src=\"http") && !html.contains("href=\"http"));
    let again = get(server.address(), "/").header("content-security-policy").unwrap().to_owned();
    assert_ne!(policy, again, "a nonce is used once");
}

#[test]
fn a_foreign_name_for_this_machine_is_refused() {
    let (_hub, server) = start();
    let status = |host: &str| {
        let request = format!("GET /events HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        respond(send(server.address(), &request)).status
    };
    for own in ["localhost", "LocalHost:9000", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "pi.localhost"] {
        assert_eq!(status(own), 200, "{own}");
    }
    for foreign in ["evil.example", "evil.example:8080", "localhost.evil.example", "192.168.1.7", "[", ""] {
        assert_eq!(status(foreign), 421, "{foreign}");
    }
}

#[test]
fn what_is_not_there_or_would_change_something_is_refused() {
    let (_hub, server) = start();
    assert_eq!(get(server.address(), "/etc/passwd").status, 404);
    assert_eq!(get(server.address(), "/../../etc/passwd").status, 404);
    let post = send(server.address(), "POST /events HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(respond(post).status, 405);
    let long = format!("GET /{} HTTP/1.0\r\nHost: localhost\r\n\r\n", "a".repeat(20_000));
    assert!(respond(send(server.address(), &long)).status >= 400);
}

#[test]
fn viewers_beyond_the_limit_are_told_to_come_later() {
    let (hub, server) = start();
    let viewers: Vec<Response> = (0..4).map(|_| stream(server.address())).collect();
    assert_eq!(get(server.address(), "/stream.mjpeg").status, 503);
    assert_eq!(get(server.address(), "/snapshot.jpg").status, 503);
    let listeners: Vec<Response> = (0..4).map(|_| get(server.address(), "/events")).collect();
    assert!(listeners.iter().all(|listener| listener.status == 200));
    assert_eq!(get(server.address(), "/events").status, 503);
    assert_eq!(get(server.address(), "/").status, 200, "the page itself still comes");
    drop((viewers, listeners));
    wait_until("they are gone", || hub.viewers() == 0);
    assert_eq!(get(server.address(), "/stream.mjpeg").status, 200);
}

#[test]
fn connections_beyond_the_limit_wait_for_others_to_end() {
    let (_hub, server) = start();
    let mut idle: Vec<TcpStream> = (0..16).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let waiting = send(server.address(), "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n");
    waiting.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(waiting.peek(&mut [0]).is_err(), "served beyond the limit");
    idle.pop();
    waiting.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(respond(waiting).status, 503);
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let taken = TcpListener::bind(loopback(0)).unwrap();
    let address = taken.local_addr().unwrap();
    let error = Server::start(address, Access::Open, Hub::new(About::default())).unwrap_err();
    assert!(matches!(error, PageError::InUse { .. }));
    let (port, next) = (address.port(), address.port().checked_add(1).unwrap_or(8080));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot serve the page on 127.0.0.1:{port}: the port is in use by another program; \
             choose another (--listen 127.0.0.1:{next}) or go without the page (--no-web)"
        )
    );
}

#[test]
fn an_address_of_another_machine_is_one_clear_line() {
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 8080));
    let error = Server::start(elsewhere, Access::Password("x".into()), Hub::new(About::default())).unwrap_err();
    assert!(std::error::Error::source(&error).is_none(), "what the system said would be printed twice");
    let error = error.to_string();
    assert!(error.starts_with("cannot serve the page on 192.0.2.1:8080: ") && !error.contains('\n'), "{error}");
}

#[test]
fn a_page_for_other_machines_has_a_password() {
    let anywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    for access in [Access::Open, Access::Password(String::new())] {
        let error = Server::start(anywhere, access, Hub::new(About::default())).unwrap_err().to_string();
        assert!(error.contains("--password") && error.contains("127.0.0.1") && !error.contains('\n'), "{error}");
    }
    let access = Access::Password("open sesame".into());
    let server = Server::start(anywhere, access, Hub::new(About::default())).unwrap();
    let address = loopback(server.address().port());
    for path in ["/", "/stream.mjpeg", "/snapshot.jpg", "/events", "/healthz", "/metrics", "/elsewhere"] {
        let refused = get(address, path);
        assert_eq!((refused.status, refused.header("cache-control")), (401, Some("no-store")), "{path}");
        assert!(refused.header("www-authenticate").unwrap().starts_with("Basic realm="));
    }
    let with = |header: &str| {
        respond(send(address, &format!("GET /metrics HTTP/1.0\r\nHost: pi\r\nAuthorization: {header}\r\n\r\n"))).status
    };
    assert_eq!(with("Basic bWU6b3BlbiBzZXNhbWU="), 200);
    assert_eq!(with("Bearer open sesame"), 200);
    let start = Instant::now();
    assert_eq!(with("Basic bWU6b3BlbiBzYWxhbWk="), 401);
    assert!(start.elapsed() >= Duration::from_millis(500), "guessing takes its time");
}

#[test]
fn the_numbers_can_be_scraped() {
    let (hub, server) = start();
    hub.publish_report(&LiveReport { captured: 7, inferred: 6, dropped: 1, ..LiveReport::default() });
    let metrics = get(server.address(), "/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = metrics.text();
    for line in
        ["kinglet_live 1", "kinglet_frames_captured_total 7", "kinglet_frames_dropped_total 1", "kinglet_viewers 0"]
    {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_dropped_server_ends_its_streams_and_frees_its_port() {
    let (hub, server) = start();
    let address = server.address();
    let (mut viewer, mut events) = (stream(address), get(address, "/events"));
    hub.publish_frame(b"last");
    assert_eq!(viewer.picture(), b"last");
    let stalled = send(address, "GET /stream.mjpeg HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let start = Instant::now();
    drop(server);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?} to stop", start.elapsed());
    assert_eq!(viewer.line(), "", "the stream ended");
    while !events.line().is_empty() || !events.line().is_empty() {}
    drop(stalled);
    let again = Server::start(address, Access::Open, hub).unwrap();
    assert_eq!(get(again.address(), "/").status, 200);
}
