//! What a detector and a segmenter find, drawn over the live page's picture in a real browser: the whole way from a
//! folder of pictures through a model that always answers the same. `KINGLET_SCREENSHOTS=FOLDER` keeps pictures of it.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod browser;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use browser::{Browser, Tab};
use kinglet_runtime::SessionOptions;
use kinglet_runtime::graph::{DType, Graph, Tensor, TensorType};
use kinglet_vision::board::Board;
use kinglet_vision::classifier::{PreprocessOptions, Recipe};
use kinglet_vision::detector::DetectOptions;
use kinglet_vision::draw::{class_color, object_color};
use kinglet_vision::live::{self, LiveOptions};
use kinglet_vision::page::{About, Access, Hub, Server};
use kinglet_vision::recognizer::Recognizer;
use kinglet_vision::sources::{self, SourceOptions};
use serde_json::json;

/// The live loop on gray pictures of 320 × 240, with a page.
struct Show {
    server: Server,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Show {
    fn of(graph: Graph, labels: &[&str]) -> Show {
        let folder = tempfile::tempdir().unwrap();
        let mut jpeg = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
        encoder.encode(&[128; 320 * 240 * 3], 320, 240, jpeg_encoder::ColorType::Rgb).unwrap();
        std::fs::write(folder.path().join("gray.jpg"), jpeg).unwrap();

        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let recipe = Recipe { graph: &graph, labels, preprocess: PreprocessOptions::default(), form: None };
        let (options, session) = (DetectOptions::default(), SessionOptions::default());
        let mut recognizer = Recognizer::new(recipe, options, &session).unwrap();
        let options = SourceOptions { fps: Some(20.0), ..SourceOptions::default() };
        let source = sources::open(folder.path().to_str().unwrap(), &options).unwrap();
        let mut hub = Hub::new(About { model: "a model".into(), ..About::default() });
        let server = Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), Access::Open, hub.clone()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let options = LiveOptions { top: 10, frames: None, board: Board::default() };
            live::run(source, &mut recognizer, &options, &mut [&mut hub], &stopped).unwrap();
        });
        Show { server, stop, thread: Some(thread), _folder: folder }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("runs until dropped").join().expect("the loop does not panic");
    }
}

fn graph(outputs: &[(&str, Tensor)]) -> Graph {
    let mut graph = Graph::default();
    graph.inputs = vec![graph.add_value("picture", TensorType::new(DType::F32, [1, 3, 64, 64]))];
    graph.outputs = outputs.iter().map(|(name, tensor)| graph.add_constant(*name, tensor.clone())).collect();
    graph
}

/// Whether some pixel of the canvas at a place of the picture, or beside it, has this color and transparency. The stage
/// shows all of the picture, as large as it can.
fn is_color(x: f32, y: f32, [red, green, blue]: [u8; 3], alpha: u8) -> String {
    // The browser stores colors multiplied by their transparency: a step or two is lost.
    format!(
        "(() => {{
            const canvas = document.getElementById('overlay');
            const scale = Math.min(canvas.width / 320, canvas.height / 240);
            const at = [(canvas.width - 320 * scale) / 2 + {x} * scale, (canvas.height - 240 * scale) / 2 + {y} * scale];
            const around = at.map(place => Math.round(place) - 1);
            const pixels = canvas.getContext('2d').getImageData(...around, 3, 3).data, wanted = [{red}, {green}, {blue}, {alpha}];
            return [0, 1, 2, 3, 4, 5, 6, 7, 8].some(pixel =>
                wanted.every((channel, index) => Math.abs(channel - pixels[4 * pixel + index]) <= 3));
        }})()"
    )
}

fn screenshot(browser: &mut Browser, tab: &Tab, name: &str) {
    if let Some(folder) = std::env::var_os("KINGLET_SCREENSHOTS").map(PathBuf::from) {
        std::fs::create_dir_all(&folder).expect("a folder for the pictures");
        browser.screenshot(tab, &folder.join(format!("{name}.png")));
    }
}

const LISTED: &str = "[...document.querySelectorAll('.row:not(.gone)')]
    .sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)
    .map(row => [row.querySelector('.name').textContent, row.querySelector('.score').textContent])";

#[test]
fn boxes_and_skeletons_are_drawn_over_the_picture() {
    let Some(mut browser) = Browser::start() else { return };
    // Two people of YOLO's for keypoints; the input is a fifth of the picture, which begins 8 pixels down in it.
    const CELLS: usize = 84;
    let mut values = vec![0.0; 56 * CELLS];
    (0..CELLS).for_each(|row| values[row] = 60.0);
    for (row, left, score) in [(3, 8.0, 0.9), (40, 36.0, 0.75)] {
        for (column, number) in [left + 10.0, 32.0, 20.0, 40.0, score].into_iter().enumerate() {
            values[column * CELLS + row] = number;
        }
        // Ears, shoulders, elbows and the rest, as somebody stands: x from the middle, y from the top of the box.
        let body = [
            (0, 6),
            (1, 5),
            (-1, 5),
            (2, 6),
            (-2, 6),
            (5, 11),
            (-5, 11),
            (7, 17),
            (-7, 17),
            (8, 23),
            (-8, 23),
            (3, 23),
            (-3, 23),
            (4, 31),
            (-4, 31),
            (4, 38),
            (-4, 38),
        ];
        for (point, (x, y)) in body.into_iter().enumerate() {
            for (number, value) in [left + 10.0 + x as f32, 12.0 + y as f32, 0.9].into_iter().enumerate() {
                values[(5 + 3 * point + number) * CELLS + row] = value;
            }
        }
    }
    let show = Show::of(graph(&[("output0", Tensor::new([1, 56, CELLS], values).unwrap())]), &["person"]);
    let tab = browser.open(&show.server.url());
    browser.look_as(&tab, [1280, 800], 1.0, "light");
    browser.wait(&tab, "document.body.dataset.picture === 'shown' && document.body.dataset.state === 'ok'");
    // Left side, in the middle of the height; and a point of the skeleton.
    browser.wait(&tab, &is_color(40.0, 140.0, object_color(0), 255));
    browser.wait(&tab, &is_color(180.0, 200.0, object_color(0), 255));
    browser.wait(&tab, &is_color(5.0 * 13.0, 5.0 * 15.0, [255; 3], 255));
    browser.wait(&tab, &is_color(165.0, 120.0, [0; 3], 0));
    browser.wait(&tab, &format!("JSON.stringify({LISTED}) === '[[\"person\",\"90.0 %\"],[\"person\",\"75.0 %\"]]'"));
    browser.wait(&tab, "document.title === 'person 90 % · Kinglet'");
    assert_eq!(browser.eval(&tab, "overlay.objects.length"), json!(2));
    screenshot(&mut browser, &tab, "detector");
    browser.look_as(&tab, [360, 780], 3.0, "dark");
    browser.wait(&tab, &is_color(40.0, 140.0, object_color(0), 255));
    screenshot(&mut browser, &tab, "detector-phone");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn a_mask_is_drawn_over_the_picture() {
    let Some(mut browser) = Browser::start() else { return };
    // A third of the picture is class 2, in a column in the middle; the background is left clear.
    let classes: Vec<i64> = (0..24 * 24).map(|cell| if (8..16).contains(&(cell % 24)) { 2 } else { 0 }).collect();
    let graph = graph(&[("classes", Tensor::new([1, 24, 24], classes).unwrap())]);
    let show = Show::of(graph, &["background", "cat", "bicycle"]);
    let tab = browser.open(&show.server.url());
    browser.look_as(&tab, [1280, 800], 1.0, "light");
    browser.wait(&tab, "document.body.dataset.picture === 'shown' && document.body.dataset.state === 'ok'");
    browser.wait(&tab, &is_color(160.0, 120.0, class_color(2), 140));
    browser.wait(&tab, &is_color(50.0, 120.0, [0; 3], 0));
    browser.wait(&tab, &format!("JSON.stringify({LISTED}).startsWith('[[\"background\",\"66.')"));
    screenshot(&mut browser, &tab, "segmenter");
    assert_eq!(browser.complaints, Vec::<String>::new());
}
