//! Where the live loop leaves its newest picture and numbers, and viewers fetch them: a bulletin board, not a queue.
//! Publishing overwrites, so that neither a slow viewer nor a thousand of them can hold the loop up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;

use super::metrics;
use crate::live::Audience;
use crate::recognizer::Overlay;
use crate::sources::{Description, Health};
use crate::stats::LiveReport;

/// The boundary between the pictures of the stream.
pub(super) const BOUNDARY: &str = "kinglet";
/// A picture older than this is not shown to a new viewer while newer ones are on their way.
const FRESH: Duration = Duration::from_secs(1);
/// A loop that has published no numbers for this long hangs, whatever health it last claimed.
const SILENT: Duration = Duration::from_secs(10);

/// What the page says of the running loop that is not a measurement.
#[derive(Clone, Debug, Default, Serialize)]
pub struct About {
    /// The model's name.
    pub model: String,
    /// The type it computes in: `int8`, `float32`.
    #[serde(rename = "type")]
    pub dtype: String,
    /// The source, as a person would call it: `/dev/video0 (MJPEG, 224x224, 36 fps)`.
    pub source: String,
    /// Threads that the model runs on.
    pub threads: usize,
    /// Width of the source's pictures; `None` where they differ.
    pub width: Option<u32>,
    /// Height of the source's pictures; `None` where they differ.
    pub height: Option<u32>,
}

/// The hand-over from the live loop to its viewers. Clones are the same hub.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    picture: watch::Sender<Option<Picture>>,
    overlay: watch::Sender<Bytes>,
    viewers: AtomicUsize,
    board: Mutex<Board>,
}

#[derive(Debug)]
struct Board {
    about: About,
    health: Health,
    report: Arc<LiveReport>,
    reported_at: Option<Instant>,
}

impl Hub {
    /// A hub for a loop that has not answered any frame yet.
    pub fn new(about: About) -> Self {
        let board = Board { about, health: Health::Live, report: Arc::default(), reported_at: None };
        Self {
            shared: Arc::new(Shared {
                picture: watch::Sender::new(None),
                overlay: watch::Sender::new(Bytes::new()),
                viewers: AtomicUsize::new(0),
                board: Mutex::new(board),
            }),
        }
    }

    /// Shows `jpeg`, one complete JPEG file, to every viewer that is ready for a picture. Never waits.
    pub fn publish_frame(&self, jpeg: &[u8]) {
        self.shared.picture.send_replace(Some(Picture::new(jpeg)));
    }

    /// Draws this over the picture that was just published. Never waits.
    pub fn publish_overlay(&self, overlay: &Overlay<'_>) {
        let json = serde_json::to_string(overlay).expect("numbers and strings have a JSON form");
        self.shared.overlay.send_replace(Bytes::from(format!("event: overlay\ndata: {json}\n\n")));
    }

    /// What is drawn over pictures, framed as an event once for all viewers: the newest, and each that comes.
    pub(super) fn overlays(&self) -> watch::Receiver<Bytes> {
        let mut overlays = self.shared.overlay.subscribe();
        if !overlays.borrow().is_empty() {
            overlays.mark_changed();
        }
        overlays
    }

    /// Shows the loop's numbers. A loop that lives publishes several times a second, whether frames come or not.
    pub fn publish_report(&self, report: &LiveReport) {
        let report = Arc::new(report.clone());
        let mut board = self.board();
        board.report = report;
        board.reported_at = Some(Instant::now());
    }

    /// Says whether what is shown is the present.
    pub fn set_health(&self, health: Health) {
        self.board().health = health;
    }

    /// Says what the source is: a camera may have been opened again in another format.
    pub fn set_source(&self, source: &Description) {
        let mut board = self.board();
        board.about.source = source.to_string();
        (board.about.width, board.about.height) = source.size.unzip();
    }

    /// How many viewers want pictures now: while it is 0, the loop need not encode any.
    pub fn viewers(&self) -> usize {
        self.shared.viewers.load(Ordering::Relaxed)
    }

    /// A new viewer of the pictures; `None` where `limit` of them watch already.
    pub(super) fn join(&self, limit: usize) -> Option<Viewer> {
        let count = |viewers: usize| (viewers < limit).then_some(viewers + 1);
        self.shared.viewers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).ok()?;
        let mut viewer = Viewer { hub: self.clone(), picture: self.shared.picture.subscribe() };
        if self.has_current_picture() {
            viewer.picture.mark_changed();
        }
        Some(viewer)
    }

    /// Whether the picture on the board is the newest there will be for a while: just published, or the last before
    /// the source fell silent.
    fn has_current_picture(&self) -> bool {
        let age = self.shared.picture.borrow().as_ref().map(|picture| picture.at.elapsed());
        age.is_some_and(|age| age < FRESH || !matches!(self.status(Instant::now()), Status::Ok))
    }

    /// How the loop does at `now`.
    pub(super) fn status(&self, now: Instant) -> Status {
        self.board().status(now)
    }

    /// The JSON that the page is drawn from.
    pub(super) fn event(&self, now: Instant) -> String {
        let (about, report, status) = {
            let board = self.board();
            (board.about.clone(), Arc::clone(&board.report), board.status(now))
        };
        let event = Event { report: &report, about, viewers: self.viewers(), status };
        serde_json::to_string(&event).expect("numbers and strings have a JSON form")
    }

    /// The same for Prometheus.
    pub(super) fn metrics(&self, now: Instant) -> String {
        let (about, report, status) = {
            let board = self.board();
            (board.about.clone(), Arc::clone(&board.report), board.status(now))
        };
        metrics::text(&report, &about, self.viewers(), status == Status::Ok)
    }

    /// The lock is held for copies only, never while waiting, and nothing in there can be left half-changed.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.shared.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Audience for Hub {
    fn wants_pictures(&self) -> bool {
        self.viewers() > 0
    }

    fn picture(&mut self, jpeg: &[u8]) {
        self.publish_frame(jpeg);
    }

    fn overlay(&mut self, overlay: &Overlay<'_>) {
        self.publish_overlay(overlay);
    }

    fn report(&mut self, report: &LiveReport) {
        self.publish_report(report);
    }

    fn health(&mut self, health: &Health) {
        self.set_health(health.clone());
    }

    fn source(&mut self, description: &Description) {
        self.set_source(description);
    }
}

impl Board {
    fn status(&self, now: Instant) -> Status {
        match &self.health {
            Health::Live => self.liveliness(now),
            Health::Stale { since } => Status::stale(*since, now, "no frame comes; waiting for the next".to_owned()),
            Health::Lost { since, why } => Status::stale(*since, now, format!("{why}; trying again")),
        }
    }

    /// Whether the loop that says it lives shows it.
    fn liveliness(&self, now: Instant) -> Status {
        match self.reported_at {
            None => Status::Starting,
            Some(at) if now.saturating_duration_since(at) > SILENT => {
                Status::stale(at, now, "the live loop hangs: it has published no numbers since".to_owned())
            }
            Some(_) => Status::Ok,
        }
    }
}

/// What `/healthz` answers, and part of each event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    Starting,
    Stale { stale_s: f64, why: String },
}

impl Status {
    fn stale(since: Instant, now: Instant, why: String) -> Self {
        Self::Stale { stale_s: now.saturating_duration_since(since).as_millis() as f64 / 1000.0, why }
    }
}

#[derive(Serialize)]
struct Event<'a> {
    #[serde(flatten)]
    report: &'a LiveReport,
    #[serde(flatten)]
    about: About,
    viewers: usize,
    #[serde(flatten)]
    status: Status,
}

/// One JPEG, framed as a part of the multipart stream once for all viewers.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    part: Bytes,
    jpeg: Bytes,
    at: Instant,
}

impl Picture {
    fn new(jpeg: &[u8]) -> Self {
        let head = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
        let tail = format!("\r\n--{BOUNDARY}\r\n");
        let part = Bytes::from([head.as_bytes(), jpeg, tail.as_bytes()].concat());
        Self { jpeg: part.slice(head.len()..head.len() + jpeg.len()), part, at: Instant::now() }
    }

    /// Headers, JPEG and the boundary after it, by which a browser knows at once that the picture is whole.
    pub(super) fn part(&self) -> Bytes {
        self.part.clone()
    }

    /// The JPEG alone.
    pub(super) fn jpeg(&self) -> Bytes {
        self.jpeg.clone()
    }
}

/// Somebody who watches the pictures; counted as such until dropped.
#[derive(Debug)]
pub(super) struct Viewer {
    hub: Hub,
    picture: watch::Receiver<Option<Picture>>,
}

impl Viewer {
    /// The newest picture that this viewer has not had; waits for one where it had the newest.
    pub(super) async fn next(&mut self) -> Picture {
        loop {
            // The hub that `self` holds keeps the sender alive, so that this cannot fail.
            self.picture.changed().await.expect("the hub outlives its viewers");
            if let Some(picture) = self.picture.borrow_and_update().clone() {
                return picture;
            }
        }
    }

    /// The newest picture there is, had or not.
    pub(super) fn newest(&self) -> Option<Picture> {
        self.picture.borrow().clone()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.hub.shared.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::BoardState;
    use crate::classifier::Prediction;
    use serde_json::{Value, json};
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn hub() -> Hub {
        Hub::new(About { model: "mobilenet_v2".into(), dtype: "int8".into(), ..About::default() })
    }

    /// The picture that `viewer` would be handed without waiting.
    fn ready(viewer: &mut Viewer) -> Option<Bytes> {
        match pin!(viewer.next()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(picture) => Some(picture.jpeg()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_slow_viewer_gets_the_newest_picture_and_the_ones_between_are_freed() {
        let hub = hub();
        let (mut slow, mut quick) = (hub.join(8).unwrap(), hub.join(8).unwrap());
        let mut parts = Vec::new();
        for i in 0..100u8 {
            hub.publish_frame(&[i; 64]);
            parts.push(hub.shared.picture.borrow().as_ref().unwrap().part());
            assert_eq!(ready(&mut quick).unwrap(), [i; 64].as_slice());
        }
        assert_eq!(ready(&mut slow).unwrap(), [99; 64].as_slice());
        assert_eq!(ready(&mut slow), None);
        let newest = parts.pop().unwrap();
        assert!(!newest.is_unique(), "the hub keeps the newest");
        assert!(parts.iter().all(Bytes::is_unique), "nobody holds an older one");
    }

    #[test]
    fn viewers_are_counted_and_limited() {
        let hub = hub();
        let (first, second) = (hub.join(2), hub.join(2));
        assert!(first.is_some() && second.is_some() && hub.join(2).is_none());
        assert_eq!(hub.viewers(), 2);
        drop(first);
        assert_eq!(hub.viewers(), 1);
        assert!(hub.join(2).is_some());
    }

    #[test]
    fn a_new_viewer_of_a_live_loop_is_not_shown_the_past() {
        let hub = hub();
        hub.publish_report(&LiveReport::default());
        hub.publish_frame(b"now");
        assert_eq!(ready(&mut hub.join(8).unwrap()).unwrap(), "now");
        let past = Instant::now().checked_sub(2 * FRESH).unwrap();
        hub.shared.picture.send_modify(|picture| picture.as_mut().unwrap().at = past);
        assert_eq!(ready(&mut hub.join(8).unwrap()), None);
        hub.set_health(Health::Stale { since: past });
        assert_eq!(ready(&mut hub.join(8).unwrap()).unwrap(), "now", "the last picture of a stale stream is shown");
    }

    #[test]
    fn status_goes_from_starting_to_ok_to_stale_and_back() {
        let (hub, start) = (hub(), Instant::now());
        assert_eq!(hub.status(start), Status::Starting);
        hub.publish_report(&LiveReport::default());
        assert_eq!(hub.status(start), Status::Ok);
        hub.set_health(Health::Lost { since: start, why: "unplugged".into() });
        let later = start + Duration::from_millis(2_500);
        assert_eq!(hub.status(later), Status::Stale { stale_s: 2.5, why: "unplugged; trying again".into() });
        hub.set_health(Health::Live);
        assert_eq!(hub.status(later), Status::Ok);
    }

    #[test]
    fn a_loop_that_falls_silent_is_stale_whatever_it_said() {
        let hub = hub();
        hub.publish_report(&LiveReport::default());
        let later = Instant::now() + SILENT + Duration::from_millis(1);
        assert!(matches!(hub.status(later), Status::Stale { stale_s, .. } if stale_s >= 10.0));
    }

    #[test]
    fn an_event_is_the_report_and_what_the_page_needs_besides() {
        let hub = hub();
        let top = vec![Prediction { index: 1, label: "goldfish".into(), score: 0.5 }];
        hub.publish_report(&LiveReport {
            fps: 36.0,
            captured: 3,
            inferred: 2,
            dropped: 1,
            board: BoardState { temperature_c: Some(51.5), throttled: Some(false), ..BoardState::default() },
            answer: top.into(),
            ..Default::default()
        });
        let event: Value = serde_json::from_str(&hub.event(Instant::now())).unwrap();
        let expected = json!({
            "fps": 36.0, "inference_ms": {"p50": 0.0, "p99": 0.0}, "latency_ms": {"p50": 0.0, "p99": 0.0},
            "captured": 3, "inferred": 2, "dropped": 1, "top": [{"index": 1, "label": "goldfish", "score": 0.5}],
            "model": "mobilenet_v2", "type": "int8", "source": "", "threads": 0, "width": null, "height": null,
            "temperature_c": 51.5, "governor": null, "under_voltage": null, "throttled": false, "viewers": 0, "status": "ok",
        });
        assert_eq!(event, expected);
    }
}
