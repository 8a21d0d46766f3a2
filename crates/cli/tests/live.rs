//! `kinglet live` from end to end, on files.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{LIVE_FIELDS, assert_fields, data, error_line, json, kinglet, small_model, stdout};

fn live(data: &Path, source: &Path) -> Command {
    let mut command = kinglet(Path::new("/nonexistent"));
    command.arg("live").arg(small_model(data)).arg("--source").arg(source);
    command
}

#[test]
fn frames_are_answered_and_counted() {
    let Some(data) = data() else { return };
    let reports =
        json(live(&data, &data.join("imagenet")).args(["--no-web", "--fps", "30", "--frames", "45", "--top", "3"]));
    assert!(reports.len() >= 2, "a line a second, and one at the end: {reports:?}");
    let last = reports.last().unwrap();
    assert_fields(last, &[&LIVE_FIELDS[..], &["top"]].concat());
    assert_fields(&last["inference_ms"], &["p50", "p99"]);
    assert_fields(&last["latency_ms"], &["p50", "p99"]);
    assert_fields(&last["top"][0], &["index", "label", "score"]);
    assert_eq!(last["top"].as_array().unwrap().len(), 3);
    let count = |field: &str| last[field].as_u64().unwrap();
    assert_eq!(count("inferred"), 45);
    assert_eq!(count("captured"), count("inferred") + count("dropped"));
}

#[test]
fn a_pipe_gets_lines_of_text() {
    let Some(data) = data() else { return };
    let text = stdout(live(&data, &data.join("imagenet")).args(["--no-web", "--fps", "100", "--frames", "20"]));
    assert!(text.lines().all(|line| line.contains(" fps  model ") && line.contains("latency")), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

/// A running command that serves its page at a free port.
struct Running {
    child: Child,
    page: String,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = command.arg("--listen").arg(free.to_string());
        let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { child, page: free.to_string() }
    }

    /// The body of the page's answer; waits until it serves.
    fn get(&mut self, path: &str) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match TcpStream::connect(&self.page) {
                Ok(mut stream) => {
                    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.page).unwrap();
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).unwrap();
                    return answer;
                }
                Err(error) => {
                    assert!(Instant::now() < deadline, "no page: {error}");
                    assert!(self.child.try_wait().unwrap().is_none(), "ended before the page was served");
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
fn the_page_is_served_until_a_signal_ends_the_loop() {
    let Some(data) = data() else { return };
    for signal in ["INT", "TERM", "HUP"] {
        let mut running = Running::start(live(&data, &data.join("imagenet")).arg("--json"));
        let page = running.get("/");
        assert!(String::from_utf8_lossy(&page).starts_with("HTTP/1.1 200"));
        let mut first = String::new();
        let mut lines = BufReader::new(running.child.stdout.take().unwrap());
        lines.read_line(&mut first).unwrap();
        running.signal(signal);
        let mut last = String::new();
        lines.read_to_string(&mut last).unwrap();
        let status = running.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{signal}");
        // Where no frame came after the first line, that one is the last.
        let last: Value = serde_json::from_str(last.lines().last().unwrap_or(&first)).unwrap();
        assert!(last["inferred"].as_u64() > Some(0));
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_loop_quietly() {
    let Some(data) = data() else { return };
    let mut command = live(&data, &data.join("imagenet"));
    let mut child = command.args(["--no-web", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(!errors.contains("error") && !errors.contains("panic"), "{errors}");
}

#[test]
fn what_cannot_be_watched_is_explained_in_one_line() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::write(folder.path().join("video.y4m"), "hello").unwrap();
    for (source, problem) in [
        (empty.as_path(), "no images"),
        (Path::new("/dev/video99"), "/dev/video99"),
        (Path::new("wobble"), "no source"),
        (&folder.path().join("absent.y4m"), "absent.y4m"),
        (&folder.path().join("video.y4m"), "video.y4m"),
        (Path::new("http://127.0.0.1:9/stream"), "127.0.0.1:9"),
    ] {
        let line = error_line(live(&data, source).arg("--no-web"));
        assert!(line.contains(problem), "{source:?}: {line}");
    }
}

#[test]
fn a_page_for_other_machines_wants_a_password() {
    let Some(data) = data() else { return };
    let mut open = live(&data, &data.join("imagenet"));
    let line = error_line(open.args(["--listen", "0.0.0.0:0"]).env_remove("KINGLET_PASSWORD"));
    assert!(line.contains("open to everybody") && line.contains("KINGLET_PASSWORD"), "{line}");
    let mut command = live(&data, &data.join("imagenet"));
    let mut running = Running::start(command.env("KINGLET_PASSWORD", "open sesame"));
    assert!(String::from_utf8_lossy(&running.get("/")).starts_with("HTTP/1.1 401"));
}

/// A service manager's socket: what it is told from the first frame to the end.
#[test]
fn a_service_manager_is_told() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = live(&data, &data.join("imagenet"));
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000").env("JOURNAL_STREAM", "8:1");
    let running = Running::start(&mut command);
    let next = || {
        let mut message = [0; 4096];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let first = next();
    assert!(first.starts_with("READY=1\n") && first.contains("WATCHDOG=1\n") && first.contains("STATUS="), "{first}");
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(next(), "WATCHDOG=1\n");
    }
    assert!((1.0..20.0).contains(&start.elapsed().as_secs_f64()), "twice a second: {:?}", start.elapsed());
    running.signal("TERM");
    while next() != "STOPPING=1\n" {}
    let mut running = running;
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    let mut told = String::new();
    running.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.lines().all(|line| line.starts_with("<6>")), "the journal takes priorities: {told}");
}

#[test]
fn what_is_told_has_a_level() {
    let Some(data) = data() else { return };
    let told = |level: &str| {
        let mut command = live(&data, &data.join("imagenet"));
        let output = command.args(["--no-web", "--frames", "1", "--log", level]).env_remove("JOURNAL_STREAM").output();
        String::from_utf8(output.unwrap().stderr).unwrap()
    };
    assert!(told("info").starts_with("source: "), "{}", told("info"));
    assert_eq!(told("warn"), "");
}

#[test]
fn a_port_in_use_is_named() {
    let Some(data) = data() else { return };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = error_line(live(&data, &data.join("imagenet")).args(["--listen", &address]));
    assert!(line.contains(&address) && line.contains("in use") && line.contains("--no-web"), "{line}");
}
