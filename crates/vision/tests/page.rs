//! The live page in a real browser: headless Chromium, fed by a stand-in for the live loop.
//! `KINGLET_SCREENSHOTS=FOLDER` keeps pictures of it; `KINGLET_REQUIRE_CHROMIUM=1` fails where there is no Chromium.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod browser;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use browser::{Browser, Tab};
use jpeg_encoder::{ColorType, Encoder};
use kinglet_vision::board::BoardState;
use kinglet_vision::classifier::Prediction;
use kinglet_vision::page::{About, Access, Hub, Server};
use kinglet_vision::sources::Health;
use kinglet_vision::stats::{LiveReport, LiveStats};
use serde_json::json;

const SIDE: u16 = 224;
const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 36);
const LABELS: [&str; 14] = [
    "goldfinch, Carduelis carduelis",
    "brambling, Fringilla montifringilla",
    "house finch, linnet, Carpodacus mexicanus",
    "junco, snowbird",
    "indigo bunting, indigo finch, indigo bird, Passerina cyanea",
    "robin, American robin, Turdus migratorius",
    "bulbul",
    "jay",
    "magpie",
    "chickadee",
    "water ouzel, dipper",
    "German short-haired pointer with a label so long that it cannot be shown whole on any telephone",
    "coucal",
    "jacamar",
];

/// What stands for the live loop: 36 frames a second, each answered, with answers that change all the time.
struct Loop {
    hub: Hub,
    paused: Arc<AtomicBool>,
    frames: Arc<AtomicU64>,
    /// Nanoseconds that the slowest publishing of a frame took.
    slowest: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Loop {
    fn start() -> Self {
        let hub = Hub::new(About {
            model: "mobilenet_v2".into(),
            dtype: "int8".into(),
            source: "/dev/video0 (MJPEG, 224x224, 36 fps)".into(),
            threads: 4,
            width: Some(SIDE.into()),
            height: Some(SIDE.into()),
        });
        let (paused, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (frames, slowest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let thread = {
            let (hub, paused, stop) = (hub.clone(), Arc::clone(&paused), Arc::clone(&stop));
            let (frames, slowest) = (Arc::clone(&frames), Arc::clone(&slowest));
            std::thread::spawn(move || run(&hub, &paused, &stop, &frames, &slowest))
        };
        Self { hub, paused, frames, slowest, stop, thread: Some(thread) }
    }

    /// The source falls silent, as a camera does that was unplugged.
    fn unplug(&self) {
        self.paused.store(true, Ordering::Relaxed);
        let why = "/dev/video0: the camera was unplugged".to_owned();
        self.hub.set_health(Health::Lost { since: Instant::now(), why });
    }

    fn plug_in(&self) {
        self.paused.store(false, Ordering::Relaxed);
        self.hub.set_health(Health::Live);
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("runs until dropped").join().expect("the loop does not panic");
    }
}

fn run(hub: &Hub, paused: &AtomicBool, stop: &AtomicBool, frames: &AtomicU64, slowest: &AtomicU64) {
    let (mut stats, mut due, mut number) = (LiveStats::new(), Instant::now(), 0u64);
    let mut reported_at: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) {
        due = (due + FRAME).max(Instant::now());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        if !paused.load(Ordering::Relaxed) {
            number += 1 + u64::from(number % 97 == 96);
            stats.taken(number);
            stats.inferred(now, Duration::from_micros(6_800 + number * 7_919 % 900), now + Duration::from_millis(11));
            if hub.viewers() > 0 {
                let scenes = scenes();
                let start = Instant::now();
                hub.publish_frame(&scenes[number as usize % scenes.len()]);
                slowest.fetch_max(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
            }
            frames.store(number, Ordering::Relaxed);
        }
        if reported_at.is_none_or(|at| now - at >= Duration::from_millis(200)) {
            reported_at = Some(now);
            hub.publish_report(&stats.report(answer(number), now));
        }
    }
}

/// The ten best of scores that wander.
fn answer(number: u64) -> Vec<Prediction> {
    let time = number as f32 / 36.0;
    let weights: Vec<f32> = (0..LABELS.len())
        .map(|index| {
            let phase = index as f32;
            (2.2 * (time * (0.11 + 0.023 * phase) + 0.9 * phase).sin() + 2.4 * (-0.5 * phase).exp()).exp()
        })
        .collect();
    let sum: f32 = weights.iter().sum();
    let class = |(index, weight): (usize, &f32)| Prediction { index, label: LABELS[index].into(), score: weight / sum };
    let mut top: Vec<Prediction> = weights.iter().enumerate().map(class).collect();
    top.sort_by(|a, b| b.score.total_cmp(&a.score));
    top.truncate(10);
    top
}

/// A second of pictures, made once.
fn scenes() -> &'static [Vec<u8>] {
    static SCENES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SCENES.get_or_init(|| (0..36).map(scene).collect())
}

/// Hills under a sun that wanders, as a JPEG.
fn scene(number: u16) -> Vec<u8> {
    let time = f32::from(number) / 36.0;
    let turn = std::f32::consts::TAU * time;
    let (sun_x, sun_y) = (0.5 + 0.2 * turn.cos(), 0.3 + 0.06 * turn.sin());
    let hills: [([f32; 3], f32, f32, f32); 3] = [
        ([118.0, 150.0, 132.0], 0.56, 5.0, 0.10),
        ([84.0, 122.0, 84.0], 0.68, 8.0, 0.22),
        ([52.0, 84.0, 48.0], 0.82, 6.0, 0.45),
    ];
    let mut pixels = Vec::with_capacity(3 * usize::from(SIDE) * usize::from(SIDE));
    for row in 0..SIDE {
        for column in 0..SIDE {
            let (x, y) = (f32::from(column) / f32::from(SIDE), f32::from(row) / f32::from(SIDE));
            let far = (x - sun_x).hypot(y - sun_y);
            let glow = (1.0 - far * 2.2).clamp(0.0, 1.0).powi(2) + if far < 0.07 { 0.8 } else { 0.0 };
            let mut color = [150.0 + 90.0 * y + 90.0 * glow, 190.0 + 30.0 * y + 70.0 * glow, 222.0 - 20.0 * y];
            for (hill, level, waves, speed) in hills {
                if y > level + 0.05 * (waves * x + speed * time).sin() + 0.02 * (2.3 * waves * x).cos() {
                    color = hill;
                }
            }
            pixels.extend(color.map(|channel| channel.clamp(0.0, 255.0) as u8));
        }
    }
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, 85).encode(&pixels, SIDE, SIDE, ColorType::Rgb).expect("a small picture");
    jpeg
}

fn serve(hub: &Hub, port: u16) -> Server {
    Server::start(SocketAddr::from(([127, 0, 0, 1], port)), Access::Open, hub.clone()).expect("a free port")
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the page shows of the picture now, as numbers that tell one picture from another.
const PIXELS: &str = "(() => {
    const image = document.getElementById('picture'), small = document.createElement('canvas');
    if (!image.naturalWidth) return '';
    small.width = small.height = 32;
    const context = small.getContext('2d');
    context.drawImage(image, 0, 0, 32, 32);
    return Array.from(context.getImageData(0, 0, 32, 32).data).join();
})()";

/// The rows as they are seen, from top to bottom: name and score.
const ROWS: &str = "[...document.querySelectorAll('.row:not(.gone)')]
    .sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)
    .map(row => [row.querySelector('.name').textContent, parseFloat(row.querySelector('.score').textContent)])";

/// How many pixels of the plot are of the curve's own color.
const CURVE: &str = "(() => {
    const plot = document.getElementById('plot'), probe = document.createElement('canvas').getContext('2d');
    probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--leaf');
    probe.fillRect(0, 0, 1, 1);
    const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
    const data = plot.getContext('2d').getImageData(0, 0, plot.width, plot.height).data;
    let count = 0;
    for (let i = 0; i < data.length; i += 4)
        count += data[i + 3] > 250 && Math.abs(data[i] - red) + Math.abs(data[i + 1] - green) + Math.abs(data[i + 2] - blue) < 12;
    return count;
})()";

const SHOWN: &str = "document.body.dataset.picture === 'shown' && document.querySelectorAll('.row').length >= 10";

fn state_is(state: &str) -> String {
    format!("document.body.dataset.state === '{state}'")
}

/// Asserts that the picture shown changes from now on.
fn assert_moves(browser: &mut Browser, tab: &Tab) {
    browser.wait(tab, &format!("(window.before = {PIXELS}) !== ''"));
    browser.wait(tab, &format!("!['', before].includes({PIXELS})"));
}

#[test]
fn the_page_shows_picture_answers_plot_and_numbers() {
    let Some(mut browser) = Browser::start() else { return };
    let live = Loop::start();
    let server = serve(&live.hub, 0);
    let tab = browser.open(&server.url());
    browser.wait(&tab, SHOWN);
    browser.wait(&tab, &state_is("ok"));
    assert_eq!(browser.eval(&tab, "document.getElementById('picture').naturalWidth"), json!(SIDE));
    assert_moves(&mut browser, &tab);

    let first = browser.eval(&tab, ROWS);
    let rows = first.as_array().expect("rows");
    assert_eq!(rows.len(), 10);
    assert!(rows.is_sorted_by(|a, b| a[1].as_f64() >= b[1].as_f64()), "best first: {first}");
    browser.wait(&tab, &format!("JSON.stringify({ROWS}) !== JSON.stringify({first})"));
    browser.wait(&tab, "document.title.endsWith(' % · Kinglet')");

    browser.wait(&tab, "parseFloat(document.getElementById('fps').textContent) > 10");
    browser.wait(&tab, &format!("{CURVE} > 20"));
    let text =
        |browser: &mut Browser, id: &str| browser.eval(&tab, &format!("document.getElementById('{id}').textContent"));
    assert_eq!(text(&mut browser, "model"), json!("mobilenet_v2"));
    assert_eq!(text(&mut browser, "type"), json!("int8"));
    assert_eq!(text(&mut browser, "latency-p50"), json!("11.0"));
    assert_eq!(text(&mut browser, "source"), json!("/dev/video0 (MJPEG, 224x224, 36 fps)"));
    let captured = text(&mut browser, "captured");
    browser.wait(&tab, &format!("document.getElementById('captured').textContent !== {captured}"));
    assert_eq!(browser.complaints, Vec::<String>::new(), "no error, nothing refused by the page's own policy");
}

/// What slows the board down stands beside the numbers: people blame the model when the power supply is to blame.
#[test]
fn a_board_in_trouble_says_so() {
    let Some(mut browser) = Browser::start() else { return };
    let hub = Hub::new(About::default());
    let server = serve(&hub, 0);
    let tab = browser.open(&server.url());
    browser.wait(&tab, "document.getElementById('board').hidden");
    let well = BoardState { temperature_c: Some(61.6), under_voltage: Some(false), ..BoardState::default() };
    for (board, text) in [
        (well.clone(), ""),
        (BoardState { under_voltage: Some(true), throttled: Some(true), ..well.clone() }, "power too weak"),
        (BoardState { throttled: Some(true), ..well.clone() }, "slowed down"),
        (BoardState { governor: Some("powersave".into()), ..well }, "powersave"),
    ] {
        hub.publish_report(&LiveReport { board, ..LiveReport::default() });
        browser.wait(&tab, &format!("document.getElementById('trouble').textContent === '{text}'"));
        browser.wait(&tab, "document.getElementById('temperature').textContent === '62'");
        let warns = format!("document.getElementById('board').classList.contains('troubled') === {}", !text.is_empty());
        browser.wait(&tab, &warns);
    }
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// A browser that was given the password sends it for the picture and the numbers, too.
#[test]
fn a_page_with_a_password_works_as_any() {
    let Some(mut browser) = Browser::start() else { return };
    let live = Loop::start();
    let access = Access::Password("open sesame".into());
    let server = Server::start(SocketAddr::from(([0, 0, 0, 0], 0)), access, live.hub.clone()).expect("a free port");
    let url = server.url();
    let tab = browser.open(&url.replace("http://", "http://me:open%20sesame@"));
    browser.wait(&tab, &format!("{SHOWN} && {}", state_is("ok")));
    assert_moves(&mut browser, &tab);
}

#[test]
fn a_stalled_source_is_shown_as_stale_until_it_comes_back() {
    let Some(mut browser) = Browser::start() else { return };
    let live = Loop::start();
    let server = serve(&live.hub, 0);
    let tab = browser.open(&server.url());
    browser.wait(&tab, &format!("{SHOWN} && {}", state_is("ok")));
    let banner = "getComputedStyle(document.querySelector('.banner')).visibility";
    assert_eq!(browser.eval(&tab, banner), json!("hidden"));

    live.unplug();
    browser.wait(&tab, &state_is("stale"));
    browser.wait(&tab, &format!("{banner} === 'visible'"));
    browser.wait(&tab, "getComputedStyle(document.getElementById('picture')).filter.includes('brightness')");
    let said = browser.eval(&tab, "document.querySelector('.banner').innerText");
    assert!(said.as_str().is_some_and(|said| said.contains("unplugged") && said.contains("since")), "{said}");
    browser.wait(&tab, "document.title === 'Stale · Kinglet'");
    browser.wait(&tab, "document.getElementById('state').textContent === 'Stale'");

    live.plug_in();
    browser.wait(&tab, &state_is("ok"));
    browser.wait(&tab, &format!("{banner} === 'hidden'"));
    assert_moves(&mut browser, &tab);
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn two_viewers_and_one_that_reads_nothing_do_not_disturb_each_other() {
    let Some(mut browser) = Browser::start() else { return };
    let live = Loop::start();
    let server = serve(&live.hub, 0);
    let mut stalled = TcpStream::connect(server.address()).expect("the server listens");
    stalled.write_all(b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the server reads");
    let tabs = [browser.open(&server.url()), browser.open(&server.url())];
    for tab in &tabs {
        browser.wait(tab, SHOWN);
    }
    wait_until("all three are counted", || live.hub.viewers() == 3);
    let (frames, start) = (live.frames.load(Ordering::Relaxed), Instant::now());
    while start.elapsed() < Duration::from_secs(3) {
        for tab in &tabs {
            assert_moves(&mut browser, tab);
        }
    }
    let rate = (live.frames.load(Ordering::Relaxed) - frames) as f64 / start.elapsed().as_secs_f64();
    assert!(rate > 10.0, "the loop keeps its pace: {rate} frames a second");
    let slowest = Duration::from_nanos(live.slowest.load(Ordering::Relaxed));
    assert!(slowest < Duration::from_secs(1), "{slowest:?} to publish a frame");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn a_lost_connection_is_said_and_mends_itself() {
    let Some(mut browser) = Browser::start() else { return };
    let live = Loop::start();
    let server = serve(&live.hub, 0);
    let tab = browser.open(&server.url());
    browser.look_as(&tab, [1280, 800], 1.0, "light");
    browser.wait(&tab, &format!("{SHOWN} && {}", state_is("ok")));
    let port = server.address().port();
    drop(server);
    browser.wait(&tab, &state_is("offline"));
    let said = browser.eval(&tab, "document.querySelector('.banner').innerText");
    assert!(said.as_str().is_some_and(|said| said.contains("Connection to Kinglet lost")), "{said}");
    std::thread::sleep(Duration::from_millis(600));
    screenshot(&mut browser, &tab, "desktop-light-offline");
    let _server = serve(&live.hub, port);
    browser.wait(&tab, &format!("{SHOWN} && {}", state_is("ok")));
    assert_moves(&mut browser, &tab);
}

#[test]
fn a_hidden_page_asks_for_no_pictures() {
    let Some(mut browser) = Browser::start() else { return };
    let live = Loop::start();
    let server = serve(&live.hub, 0);
    let tab = browser.open(&server.url());
    browser.wait(&tab, SHOWN);
    let become_hidden = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.eval(&tab, &become_hidden(true));
    wait_until("nobody wants pictures", || live.hub.viewers() == 0);
    browser.eval(&tab, &become_hidden(false));
    browser.wait(&tab, SHOWN);
    assert_moves(&mut browser, &tab);
}

/// Whatever moves within it, the page's own layout stands still and fits the window.
#[test]
fn the_page_fits_phones_and_desktops_in_light_and_dark() {
    let Some(mut browser) = Browser::start() else { return };
    let live = Loop::start();
    let server = serve(&live.hub, 0);
    let tab = browser.open("about:blank");
    let devices = [
        ("phone", [360, 780], 3.0),
        ("tablet", [768, 1024], 2.0),
        ("desktop", [1280, 800], 1.0),
        ("wall", [1920, 1080], 1.0),
    ];
    for (device, size, pixel_ratio) in devices {
        for scheme in ["light", "dark"] {
            browser.look_as(&tab, size, pixel_ratio, scheme);
            browser.go(&tab, &server.url());
            browser.wait(&tab, &format!("{SHOWN} && {}", state_is("ok")));
            std::thread::sleep(seconds_to_watch());
            assert_eq!(browser.eval(&tab, OVERFLOW), json!([]), "nothing sticks out at {size:?}");
            assert_eq!(browser.eval(&tab, SHIFTS), json!([]), "nothing jumps at {size:?}");
            screenshot(&mut browser, &tab, &format!("{device}-{scheme}"));
            live.unplug();
            browser.wait(&tab, &state_is("stale"));
            std::thread::sleep(Duration::from_millis(600));
            screenshot(&mut browser, &tab, &format!("{device}-{scheme}-stale"));
            assert_eq!(browser.eval(&tab, SHIFTS), json!([]), "nothing jumps when the stream goes stale");
            live.plug_in();
        }
    }
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// Elements that reach beyond the window's sides, or text that reaches beyond its own box without being cut there.
const OVERFLOW: &str = "[...document.querySelectorAll('body *')].filter(element => {
    const box = element.getBoundingClientRect();
    if (box.width === 0 || element.closest('.hidden-text, .bar, .gone, .clip > *, script')) return false;
    return box.left < 0 || box.right > innerWidth + 0.5
        || (element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).overflow === 'visible'
            && getComputedStyle(element).display === 'block');
}).map(element => element.outerHTML.slice(0, 80))";

/// Elements that jumped since the page was opened, by Chromium's own measure of layout shifts. Text that changes within
/// its element is none, nor is a unit that follows a number.
const SHIFTS: &str = "new Promise(resolve => {
    const jumped = [];
    new PerformanceObserver(list => list.getEntries().forEach(({ value, sources }) => sources.forEach(({ node }) => {
        if (node instanceof Element && value > 0.001) jumped.push(`${node.nodeName} ${node.className} by ${value}`);
    }))).observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => resolve(jumped), 100);
})";

/// Pictures that are kept show a plot that has run for a while.
fn seconds_to_watch() -> Duration {
    Duration::from_secs(if std::env::var_os("KINGLET_SCREENSHOTS").is_some() { 8 } else { 1 })
}

fn screenshot(browser: &mut Browser, tab: &Tab, name: &str) {
    if let Some(folder) = std::env::var_os("KINGLET_SCREENSHOTS").map(PathBuf::from) {
        std::fs::create_dir_all(&folder).expect("a folder for the pictures");
        browser.screenshot(tab, &folder.join(format!("{name}.png")));
    }
}
