//! A small driver for headless Chromium over its DevTools protocol: one WebSocket, commands answered in turn.
//! Protocol: <https://chromedevtools.github.io/devtools-protocol/>.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

/// How long anything that a test waits for may take, on a busy machine, too.
const PATIENCE: Duration = Duration::from_secs(30);
/// Tests take turns: several browsers at once would compete for the CPU that the page's timing needs.
static TURN: Mutex<()> = Mutex::new(());

/// A running Chromium with a profile of its own; both are gone when this is dropped.
pub struct Browser {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    last_id: u64,
    /// What pages complained of: uncaught exceptions, and errors in their logs.
    pub complaints: Vec<String>,
    process: Child,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A page in the browser, named by its DevTools session.
pub struct Tab(String);

impl Browser {
    /// Starts the Chromium of this machine. `None`, said on stderr, where there is none and nobody requires one.
    pub fn start() -> Option<Self> {
        let Some(program) = chromium() else {
            assert!(std::env::var_os("KINGLET_REQUIRE_CHROMIUM").is_none(), "no chromium on PATH, but it is required");
            eprintln!("skipped: no chromium");
            return None;
        };
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = tempfile::tempdir().expect("a folder for the browser's profile");
        let process = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows"])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium starts");
        let address = endpoint(profile.path());
        let (socket, _) = tungstenite::connect(&address).unwrap_or_else(|error| panic!("{address}: {error}"));
        Some(Self { socket, last_id: 0, complaints: Vec::new(), process, _profile: profile, _turn: turn })
    }

    /// Opens `url` in a window of its own.
    pub fn open(&mut self, url: &str) -> Tab {
        let target = self.command(None, "Target.createTarget", json!({ "url": "about:blank", "newWindow": true }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.command(None, "Target.attachToTarget", attach);
        let tab = Tab(session["sessionId"].as_str().expect("a session").to_owned());
        self.command(Some(&tab), "Runtime.enable", json!({}));
        self.command(Some(&tab), "Log.enable", json!({}));
        self.go(&tab, url);
        tab
    }

    /// Opens another page in the same window.
    pub fn go(&mut self, tab: &Tab, url: &str) {
        self.command(Some(tab), "Page.navigate", json!({ "url": url }));
        // Name and password, if any, do not show in a page's address.
        let shown = url.rsplit('@').next().unwrap_or(url);
        self.wait(tab, &format!("document.readyState !== 'loading' && location.href.includes('{shown}')"));
    }

    /// Makes the window as large as that of a device, and the system's colors light or dark.
    pub fn look_as(&mut self, tab: &Tab, [width, height]: [u32; 2], pixel_ratio: f64, scheme: &str) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": pixel_ratio, "mobile": width < 600 });
        self.command(Some(tab), "Emulation.setDeviceMetricsOverride", metrics);
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command(Some(tab), "Emulation.setEmulatedMedia", media);
    }

    /// What a JavaScript expression is in the page.
    pub fn eval(&mut self, tab: &Tab, expression: &str) -> Value {
        let evaluate = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.command(Some(tab), "Runtime.evaluate", evaluate);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until a JavaScript expression is true in the page.
    pub fn wait(&mut self, tab: &Tab, condition: &str) {
        let start = Instant::now();
        while self.eval(tab, condition) != json!(true) {
            assert!(start.elapsed() < PATIENCE, "waited in vain for {condition}; complaints: {:?}", self.complaints);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes what the window shows, as a PNG file.
    pub fn screenshot(&mut self, tab: &Tab, file: &Path) {
        let png = self.command(Some(tab), "Page.captureScreenshot", json!({ "format": "png" }));
        let png = BASE64.decode(png["data"].as_str().expect("a picture").as_bytes()).expect("base64");
        fs::write(file, png).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    fn command(&mut self, tab: Option<&Tab>, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(Tab(session)) = tab {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).expect("the browser listens");
        loop {
            let Message::Text(text) = self.socket.read().expect("the browser answers") else { continue };
            let mut answer: Value = serde_json::from_str(&text).expect("JSON");
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
            self.notice(&answer);
        }
    }

    fn notice(&mut self, event: &Value) {
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(event["params"]["exceptionDetails"].to_string()),
            Some("Log.entryAdded") if event["params"]["entry"]["level"] == "error" => {
                self.complaints.push(event["params"]["entry"].to_string());
            }
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked to close, it ends its helper processes, too; killed, it might leave them.
        let _ = self.socket.send(Message::text(json!({ "id": 0, "method": "Browser.close" }).to_string()));
        let start = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The first program on PATH that is a Chromium.
fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|program| program.is_file()))
}

/// The address of the browser's WebSocket, from the file that it writes once it listens: a port and a path.
fn endpoint(profile: &Path) -> String {
    let (file, start) = (profile.join("DevToolsActivePort"), Instant::now());
    loop {
        if let Some((port, path)) = fs::read_to_string(&file).ok().as_deref().and_then(|text| text.split_once('\n')) {
            return format!("ws://127.0.0.1:{port}{}", path.trim());
        }
        assert!(start.elapsed() < PATIENCE, "chromium did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}
