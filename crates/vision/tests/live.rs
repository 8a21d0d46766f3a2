//! The live loop on sources that play a script, with a model that says which of red, green and blue there is most of:
//! what is counted, what ends it, and when the audience is told that no frame comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kinglet_runtime::graph::ops::{Op, Reduce, ReduceKind};
use kinglet_runtime::graph::{DType, Graph, TensorType};
use kinglet_vision::board::Board;
use kinglet_vision::classifier::{Classifier, PreprocessOptions, Recipe};
use kinglet_vision::frame::{Frame, Picture};
use kinglet_vision::live::{self, Audience, LiveOptions};
use kinglet_vision::recognizer::{Answer, Recognizer};
use kinglet_vision::sources::{Description, Health, Next, Source};
use kinglet_vision::stats::LiveReport;
use kinglet_vision::{Result, VisionError};

/// What a source does next; at the end of its script it ends.
enum Act {
    /// A green picture.
    Frame,
    /// One that was captured so long ago, as if the model were slow.
    Late(Duration),
    /// A picture that cannot be decoded.
    Damaged,
    /// So many frames are thrown away by the source itself.
    Lose(u64),
    Silence(Duration),
    Break,
}

struct Script {
    acts: std::vec::IntoIter<Act>,
    fps: Option<f64>,
    sequence: u64,
    silent_until: Option<Instant>,
}

fn script(fps: Option<f64>, acts: impl IntoIterator<Item = Act>) -> Box<dyn Source> {
    let acts: Vec<Act> = acts.into_iter().collect();
    Box::new(Script { acts: acts.into_iter(), fps, sequence: 0, silent_until: None })
}

impl Script {
    fn frame(&mut self, jpeg: &[u8], captured: Instant) -> Next {
        let sequence = self.sequence;
        self.sequence += 1;
        let (picture, name) = (Picture::Jpeg(jpeg.into()), Some("the.jpg".into()));
        Next::Frame(Frame { sequence, captured, picture, name })
    }
}

impl Source for Script {
    fn describe(&self) -> Description {
        Description { name: "script".to_owned(), format: "JPEG".to_owned(), size: None, fps: self.fps }
    }

    fn next(&mut self, timeout: Duration) -> Result<Next> {
        if let Some(until) = self.silent_until {
            thread::sleep(timeout.min(until.saturating_duration_since(Instant::now())));
            self.silent_until = Some(until).filter(|&until| Instant::now() < until);
            return Ok(Next::Idle);
        }
        Ok(match self.acts.next() {
            None => Next::End,
            Some(Act::Frame) => self.frame(&green(), Instant::now()),
            Some(Act::Late(by)) => self.frame(&green(), Instant::now().checked_sub(by).unwrap()),
            Some(Act::Damaged) => self.frame(b"no JPEG", Instant::now()),
            Some(Act::Lose(frames)) => {
                self.sequence += frames;
                Next::Idle
            }
            Some(Act::Silence(duration)) => {
                self.silent_until = Some(Instant::now() + duration);
                Next::Idle
            }
            Some(Act::Break) => return Err(VisionError::NoCamera("unplugged".to_owned())),
        })
    }
}

fn green() -> Vec<u8> {
    let mut bytes = Vec::new();
    let pixels = [20, 200, 20].repeat(64);
    jpeg_encoder::Encoder::new(&mut bytes, 95).encode(&pixels, 8, 8, jpeg_encoder::ColorType::Rgb).unwrap();
    bytes
}

/// The mean of each color is its class's score.
fn classifier() -> Recognizer {
    let mut graph = Graph::default();
    let picture = graph.add_value("picture", TensorType::new(DType::F32, [1, 8, 8, 3]));
    let means = graph.add_value("means", TensorType::new(DType::F32, [1, 3]));
    graph.add_node(
        "mean",
        Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![1, 2], keep_dims: false }),
        vec![Some(picture)],
        vec![means],
    );
    (graph.inputs, graph.outputs) = (vec![picture], vec![means]);
    let labels = ["red", "green", "blue"].map(str::to_owned).into();
    Classifier::new(Recipe { graph: &graph, labels, preprocess: PreprocessOptions::default(), form: None })
        .unwrap()
        .into()
}

/// Writes down what it is told.
#[derive(Default)]
struct Witness {
    last: LiveReport,
    healths: Vec<Health>,
    skipped: Vec<String>,
    pictures: usize,
    /// Set at the first picture.
    stop: Option<Arc<AtomicBool>>,
}

impl Audience for Witness {
    fn wants_pictures(&self) -> bool {
        true
    }

    fn picture(&mut self, jpeg: &[u8]) {
        assert_eq!(jpeg, green(), "a JPEG is passed on as it is");
        self.pictures += 1;
        if let Some(stop) = &self.stop {
            stop.store(true, Ordering::Release);
        }
    }

    fn report(&mut self, report: &LiveReport) {
        assert_eq!(report.captured, report.inferred + report.dropped);
        self.last = report.clone();
    }

    fn health(&mut self, health: &Health) {
        self.healths.push(health.clone());
    }

    fn skipped(&mut self, error: &VisionError) {
        self.skipped.push(error.to_string());
    }
}

fn watch(source: Box<dyn Source>, frames: Option<u64>, witness: &mut Witness) -> Result<LiveReport> {
    let stop = witness.stop.clone().unwrap_or_default();
    live::run(
        source,
        &mut classifier(),
        &LiveOptions { top: 2, frames, board: Board::at("/nonexistent") },
        &mut [witness],
        &stop,
    )
}

/// Long enough for a frame to be answered on a busy machine.
const PAUSE: Duration = Duration::from_millis(300);

#[test]
fn every_frame_is_answered_or_dropped_and_the_source_may_end() {
    let mut witness = Witness::default();
    let acts = [Act::Frame, Act::Silence(PAUSE), Act::Lose(3), Act::Damaged, Act::Silence(PAUSE), Act::Frame];
    let report = watch(script(None, acts), None, &mut witness).unwrap();
    assert_eq!([report.captured, report.inferred, report.dropped], [6, 2, 4]);
    let Answer::Top(top) = &report.answer else { panic!("{:?}", report.answer) };
    assert_eq!(top.iter().map(|one| one.label.as_str()).next(), Some("green"));
    assert_eq!((top.len(), witness.pictures, &witness.last), (2, 2, &report));
    let [skipped] = &witness.skipped[..] else { panic!("{:?}", witness.skipped) };
    assert!(skipped.starts_with("the.jpg: "), "{skipped}");
}

#[test]
fn a_burst_is_answered_by_its_newest_frame() {
    let report = watch(script(None, (0..500).map(|_| Act::Frame)), None, &mut Witness::default()).unwrap();
    assert_eq!(report.captured, 500);
    assert!(report.inferred >= 1);
}

#[test]
fn the_frames_that_were_asked_for_end_it() {
    let acts = (0..200).flat_map(|_| [Act::Frame, Act::Silence(Duration::from_millis(20))]);
    let report = watch(script(None, acts), Some(3), &mut Witness::default()).unwrap();
    assert_eq!(report.inferred, 3);
}

#[test]
fn a_request_to_stop_ends_it() {
    let mut witness = Witness { stop: Some(Arc::default()), ..Witness::default() };
    let acts = [Act::Frame, Act::Silence(Duration::from_secs(60))];
    let start = Instant::now();
    assert_eq!(watch(script(None, acts), None, &mut witness).unwrap().inferred, 1);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_ends_a_source_for_good_is_an_error() {
    let acts = || [Act::Frame, Act::Silence(PAUSE), Act::Break];
    let mut witness = Witness::default();
    assert!(matches!(watch(script(None, acts()), None, &mut witness), Err(VisionError::NoCamera(_))));
    assert_eq!(witness.last.inferred, 1, "the last report is told all the same");
    watch(script(None, acts()), Some(1), &mut witness).expect("what was asked for was done before");
}

#[test]
fn a_source_of_which_nothing_can_be_decoded_is_an_error() {
    let error = watch(script(None, [Act::Damaged]), None, &mut Witness::default()).unwrap_err().to_string();
    assert!(error.starts_with("the.jpg: "), "{error}");
}

#[test]
fn silence_is_said_unless_it_is_the_sources_own_pace() {
    let acts = || [Act::Frame, Act::Silence(Duration::from_millis(2_700)), Act::Frame, Act::Silence(PAUSE)];
    let mut witness = Witness::default();
    watch(script(Some(36.0), acts()), None, &mut witness).unwrap();
    assert!(matches!(witness.healths[..], [Health::Stale { .. }, Health::Live]), "{:?}", witness.healths);
    let mut witness = Witness::default();
    watch(script(Some(0.4), acts()), None, &mut witness).unwrap();
    assert_eq!(witness.healths, []);
}

#[test]
fn frames_that_are_answered_late_are_not_stale() {
    let mut witness = Witness::default();
    let acts = [Act::Late(Duration::from_secs(5)), Act::Silence(PAUSE)];
    let report = watch(script(None, acts), None, &mut witness).unwrap();
    assert!(report.latency_ms.p50 >= 5_000.0 && witness.healths.is_empty(), "{:?}", witness.healths);
}
