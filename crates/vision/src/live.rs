//! The live loop: the newest frame, what is in it, and everybody who wants to know.
//!
//! One thread captures; this one decodes, runs the model and tells its audience. A frame that comes while the model is
//! busy replaces the one that waits; it is counted, never queued.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::board::{Board, BoardWatch};
use crate::capture::Capture;
use crate::decode;
use crate::encode;
use crate::error::{Result, VisionError};
use crate::frame::{Frame, Picture, Rgb};
use crate::mailbox::Taken;
use crate::recognizer::{Answer, Overlay, Recognizer};
use crate::sources::{Description, Health, Source};
use crate::stats::{LiveReport, LiveStats};

/// How often the audience is told the numbers.
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// Without a frame for this long, or for two frames' time of a slow source, what is shown is called stale, whatever the
/// source says of itself.
const STALE_AFTER: Duration = Duration::from_secs(2);
/// Quality of pictures that are encoded for the audience, of 100.
const JPEG_QUALITY: u8 = 80;

/// How the loop runs.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// How many of the likeliest classes are told.
    pub top: usize,
    /// Ends after so many answers; `None`: when the source ends or the loop is told to stop.
    pub frames: Option<u64>,
    /// The board that the loop runs on, whose temperature and power are told with the numbers.
    pub board: Board,
}

/// Somebody who watches the loop: the terminal, the web page. An open set, hence a trait. The loop waits for what these
/// do, so they must be quick.
pub trait Audience {
    /// Whether pictures are wanted now: while nobody wants any, none are encoded.
    fn wants_pictures(&self) -> bool {
        false
    }

    /// The picture that was just answered, as a JPEG file.
    fn picture(&mut self, jpeg: &[u8]) {
        let _ = jpeg;
    }

    /// What is to be drawn over that picture. Only for somebody who wants pictures.
    fn overlay(&mut self, overlay: &Overlay<'_>) {
        let _ = overlay;
    }

    /// The numbers, several times a second, whether frames come or not.
    fn report(&mut self, report: &LiveReport) {
        let _ = report;
    }

    /// Frames stopped coming, and why; or they come again.
    fn health(&mut self, health: &Health) {
        let _ = health;
    }

    /// The source was opened, or opened again: what it is now.
    fn source(&mut self, description: &Description) {
        let _ = description;
    }

    /// A frame that could not be used.
    fn skipped(&mut self, error: &VisionError) {
        let _ = error;
    }
}

/// Runs the loop until the source ends, the frames asked for are answered, or `stop` is set. Gives the last numbers, in
/// which captured = inferred + dropped.
///
/// # Errors
/// When the source fails for good, gives no frame that can be used, or the model fails.
pub fn run(
    source: Box<dyn Source>,
    recognizer: &mut Recognizer,
    options: &LiveOptions,
    audience: &mut [&mut dyn Audience],
    stop: &AtomicBool,
) -> Result<LiveReport> {
    let board = BoardWatch::start(options.board.clone())?;
    let mut capture = Capture::start(source)?;
    let mut live = Live {
        recognizer,
        options,
        audience,
        stats: LiveStats::new(),
        board,
        answers: 0,
        image: Rgb::new(),
        jpeg: Vec::new(),
        health: Health::Live,
        newest: Instant::now(),
        patience: STALE_AFTER,
        undecodable: None,
    };
    live.tell_source(&capture);
    let answered = live.watch(&capture, stop);
    let ended = capture.stop();
    let report = live.report();
    live.tell(|listener| listener.report(&report));
    answered?;
    // A source that fails after the answers that were asked for has done its work.
    if !live.done() {
        ended?;
    }
    match live.undecodable.take() {
        Some(error) if report.inferred == 0 => Err(error),
        _ => Ok(report),
    }
}

/// What the loop keeps from frame to frame.
struct Live<'a, 'v> {
    recognizer: &'a mut Recognizer,
    options: &'a LiveOptions,
    audience: &'a mut [&'v mut dyn Audience],
    stats: LiveStats,
    board: BoardWatch,
    answers: u64,
    image: Rgb,
    jpeg: Vec<u8>,
    health: Health,
    /// When the newest frame was answered; at first, when the loop began.
    newest: Instant,
    /// How much later no newer one means that what is shown is stale.
    patience: Duration,
    /// Why the last frame that could not be decoded could not.
    undecodable: Option<VisionError>,
}

impl Live<'_, '_> {
    fn watch(&mut self, capture: &Capture, stop: &AtomicBool) -> Result<()> {
        let mut due = Instant::now() + REPORT_EVERY;
        while !stop.load(Ordering::Acquire) && !self.done() {
            let left = due.saturating_duration_since(Instant::now());
            match capture.newest(left) {
                Taken::Newest(frame) => self.answer(&frame)?,
                Taken::TimedOut => (),
                Taken::Closed => return Ok(()),
            }
            self.check_health(capture);
            if Instant::now() >= due {
                due = Instant::now() + REPORT_EVERY;
                let report = self.report();
                self.tell(|listener| listener.report(&report));
            }
        }
        Ok(())
    }

    /// Whether the answers that were asked for are given.
    fn done(&self) -> bool {
        self.options.frames.is_some_and(|frames| self.answers >= frames)
    }

    fn answer(&mut self, frame: &Frame) -> Result<()> {
        self.stats.taken(frame.sequence);
        if let Err(mut error) = decode::picture(&frame.picture, &mut self.image) {
            if let Some(name) = &frame.name {
                error = error.in_file(&**name);
            }
            self.stats.failed();
            self.tell(|listener| listener.skipped(&error));
            self.undecodable = Some(error);
            return Ok(());
        }
        self.recognizer.recognize(&self.image)?;
        self.newest = Instant::now();
        self.stats.inferred(frame.captured, self.recognizer.times().inference, self.newest);
        self.answers += 1;
        self.show(frame);
        Ok(())
    }

    /// Hands the picture to those who want it: a camera's own JPEG as it is, anything else encoded once for all.
    fn show(&mut self, frame: &Frame) {
        if !self.audience.iter().any(|listener| listener.wants_pictures()) {
            return;
        }
        let jpeg: &[u8] = match &frame.picture {
            Picture::Jpeg(jpeg) => jpeg,
            Picture::Pixels(_) => {
                self.jpeg.clear();
                if let Err(error) = encode::jpeg(&self.image, JPEG_QUALITY, &mut self.jpeg) {
                    return self.audience.iter_mut().for_each(|listener| listener.skipped(&error));
                }
                &self.jpeg
            }
        };
        self.audience.iter_mut().for_each(|listener| listener.picture(jpeg));
        if let Some(overlay) = self.recognizer.overlay((self.image.width(), self.image.height())) {
            self.audience.iter_mut().for_each(|listener| listener.overlay(&overlay));
        }
    }

    fn check_health(&mut self, capture: &Capture) {
        if let Some(error) = capture.take_skipped() {
            self.tell(|listener| listener.skipped(&error));
        }
        let health = match capture.health() {
            Health::Live if self.newest.elapsed() > self.patience => Health::Stale { since: self.newest },
            other => other,
        };
        if std::mem::discriminant(&health) != std::mem::discriminant(&self.health) {
            self.tell_source(capture);
            self.tell(|listener| listener.health(&health));
        }
        self.health = health;
    }

    fn tell_source(&mut self, capture: &Capture) {
        let description = capture.description();
        let two_frames = description.fps.and_then(|fps| Duration::try_from_secs_f64(2.0 / fps).ok());
        self.patience = two_frames.unwrap_or_default().max(STALE_AFTER);
        self.tell(|listener| listener.source(&description));
    }

    fn report(&mut self) -> LiveReport {
        let answer = if self.answers > 0 { self.recognizer.answer(self.options.top) } else { Answer::default() };
        LiveReport { board: self.board.state(), ..self.stats.report(answer, Instant::now()) }
    }

    fn tell(&mut self, mut what: impl FnMut(&mut dyn Audience)) {
        self.audience.iter_mut().for_each(|listener| what(*listener));
    }
}
