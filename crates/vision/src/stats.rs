//! The numbers of the live loop: what was captured, answered and dropped, how fast, and how late.
//! The loop owns one [`LiveStats`] and asks it for a [`LiveReport`], which the page and `live --json` both print.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::board::BoardState;
use crate::recognizer::Answer;

/// How many of the newest frames the percentiles look at: 28 s at 36 frames a second.
const WINDOW: usize = 1024;
/// How far back the frame rate looks.
const RATE_SPAN: Duration = Duration::from_secs(1);
/// The most answers the frame rate remembers; above 255 a second it looks back less far than [`RATE_SPAN`].
const RATE_FRAMES: usize = 256;

/// Counters, rate and percentiles of a running live loop, in bounded memory: nothing is allocated per frame.
///
/// The clock is the caller's: every method that needs the time is told it. A frame is [`taken`](Self::taken) and ends
/// as [`inferred`](Self::inferred) or [`failed`](Self::failed); at any time captured = inferred + dropped +
/// [`in_flight`](Self::in_flight).
#[derive(Debug)]
pub struct LiveStats {
    captured: u64,
    inferred: u64,
    dropped: u64,
    /// Whether a frame was taken that has not ended yet.
    in_flight: bool,
    /// The number that the source's next frame will have.
    next_sequence: u64,
    rate: Rate,
    inference: Window,
    latency: Window,
}

impl LiveStats {
    /// Statistics of a loop that has seen nothing yet.
    pub fn new() -> Self {
        Self {
            captured: 0,
            inferred: 0,
            dropped: 0,
            in_flight: false,
            next_sequence: 0,
            rate: Rate::new(),
            inference: Window::new(WINDOW),
            latency: Window::new(WINDOW),
        }
    }

    /// Takes up the source's frame number `sequence`. The frames whose numbers were skipped were overwritten by newer
    /// ones: dropped. A number below the last is that of a source that was opened anew and counts from there.
    pub fn taken(&mut self, sequence: u64) {
        self.failed();
        let skipped = sequence.saturating_sub(self.next_sequence);
        self.captured += skipped + 1;
        self.dropped += skipped;
        self.next_sequence = sequence + 1;
        self.in_flight = true;
    }

    /// The frame in flight, captured at `captured_at`, was answered at `now`; the model took `inference` of that time.
    pub fn inferred(&mut self, captured_at: Instant, inference: Duration, now: Instant) {
        debug_assert!(self.in_flight, "an answer to a frame that was not taken");
        if !std::mem::take(&mut self.in_flight) {
            return;
        }
        self.inferred += 1;
        self.rate.push(now);
        self.inference.push(inference);
        self.latency.push(now.saturating_duration_since(captured_at));
    }

    /// The frame in flight, if any, gets no answer: it could not be decoded, say. It counts as dropped.
    pub fn failed(&mut self) {
        self.dropped += u64::from(std::mem::take(&mut self.in_flight));
    }

    /// Frames taken that have not ended yet: 0 or 1.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.into()
    }

    /// The numbers as they stand at `now`, with the newest answer. Nothing is known of the board here.
    pub fn report(&mut self, answer: impl Into<Answer>, now: Instant) -> LiveReport {
        LiveReport {
            fps: self.rate.per_second(now),
            inference_ms: self.inference.percentiles(),
            latency_ms: self.latency.percentiles(),
            captured: self.captured,
            inferred: self.inferred,
            dropped: self.dropped,
            board: BoardState::default(),
            answer: answer.into(),
        }
    }
}

impl Default for LiveStats {
    fn default() -> Self {
        Self::new()
    }
}

/// One moment of the live loop: a line of `live --json`, and the heart of each event of the page.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LiveReport {
    /// Frames answered a second, over the last second.
    pub fps: f64,
    /// Time the model took.
    pub inference_ms: Percentiles,
    /// Time from a frame's capture to its answer.
    pub latency_ms: Percentiles,
    /// Frames that the source delivered since the start.
    pub captured: u64,
    /// Frames answered since the start.
    pub inferred: u64,
    /// Frames that were overwritten by newer ones, or could not be decoded.
    pub dropped: u64,
    /// What may slow the board down: in JSON the fields `temperature_c`, `governor`, `under_voltage` and `throttled`.
    #[serde(flatten)]
    pub board: BoardState,
    /// The newest answer: in JSON the field `top`, `detections` or `classes`.
    #[serde(flatten)]
    pub answer: Answer,
}

/// Median and 99th percentile, in milliseconds; 0 while nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of the samples are at most this.
    pub p50: f64,
    /// 99 % of the samples are at most this.
    pub p99: f64,
}

/// Frame rate from the times of the newest answers.
#[derive(Debug)]
struct Rate {
    times: VecDeque<Instant>,
}

impl Rate {
    fn new() -> Self {
        Self { times: VecDeque::with_capacity(RATE_FRAMES) }
    }

    fn push(&mut self, now: Instant) {
        if self.times.len() == RATE_FRAMES {
            self.times.pop_front();
        }
        self.times.push_back(now);
    }

    /// Answers divided by the time they took, from the newest answer that is at least [`RATE_SPAN`] old: spans between
    /// answers, not a count in a fixed second, which would flicker by one.
    ///
    /// A loop slower than a frame a second is measured over its last two answers. Where the next answer is overdue, the
    /// time waited for it counts, too, so that the rate of a stalled loop falls toward 0.
    fn per_second(&self, now: Instant) -> f64 {
        let Some(last) = self.times.back().copied() else { return 0.0 };
        let start = self.times.partition_point(|&t| now.saturating_duration_since(t) >= RATE_SPAN).saturating_sub(1);
        let start = start.min(self.times.len().saturating_sub(2));
        let frames = self.times.len() - 1 - start;
        if frames == 0 {
            return 0.0;
        }
        let first = self.times[start];
        let span = last.saturating_duration_since(first).as_secs_f64();
        let overdue = now.saturating_duration_since(first).as_secs_f64() - span / frames as f64;
        let span = span.max(overdue);
        if span > 0.0 { frames as f64 / span } else { 0.0 }
    }
}

/// The newest durations, in microseconds, and their exact percentiles.
#[derive(Debug)]
struct Window {
    samples: Vec<u32>,
    capacity: usize,
    next: usize,
    sorted: Vec<u32>,
}

impl Window {
    fn new(capacity: usize) -> Self {
        Self { samples: Vec::with_capacity(capacity), capacity, next: 0, sorted: Vec::with_capacity(capacity) }
    }

    fn push(&mut self, duration: Duration) {
        let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        if self.samples.len() < self.capacity {
            self.samples.push(micros);
        } else {
            self.samples[self.next] = micros;
        }
        self.next = (self.next + 1) % self.capacity;
    }

    fn percentiles(&mut self) -> Percentiles {
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.samples);
        self.sorted.sort_unstable();
        Percentiles { p50: nearest_rank_ms(&self.sorted, 50), p99: nearest_rank_ms(&self.sorted, 99) }
    }
}

/// The smallest sample that at least `percent` of all samples do not exceed (the nearest-rank definition).
fn nearest_rank_ms(sorted_micros: &[u32], percent: usize) -> f64 {
    let rank = (sorted_micros.len() * percent).div_ceil(100);
    match rank.checked_sub(1) {
        Some(index) => f64::from(sorted_micros[index]) / 1000.0,
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::Prediction;

    const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 36);

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    /// Runs `frames` frames, `apart` from each other, and returns the time of the last answer.
    fn steady(stats: &mut LiveStats, start: Instant, frames: u32, apart: Duration) -> Instant {
        for i in 1..=frames {
            let captured_at = start + apart * i;
            stats.taken(stats.next_sequence);
            stats.inferred(captured_at, ms(8), captured_at + ms(12));
        }
        start + apart * frames + ms(12)
    }

    #[test]
    fn nothing_seen_is_all_zero() {
        let report = LiveStats::new().report(Answer::default(), Instant::now());
        assert_eq!(report, LiveReport::default());
    }

    /// Asserts the counters, and that every captured frame is in exactly one of them.
    #[track_caller]
    fn assert_counts(stats: &mut LiveStats, [inferred, dropped, in_flight]: [u64; 3]) {
        let report = stats.report(Answer::default(), Instant::now());
        assert_eq!([report.inferred, report.dropped, stats.in_flight()], [inferred, dropped, in_flight]);
        assert_eq!(report.captured, inferred + dropped + in_flight);
    }

    #[test]
    fn every_captured_frame_is_answered_dropped_or_in_flight() {
        let (mut stats, now) = (LiveStats::new(), Instant::now());
        assert_counts(&mut stats, [0, 0, 0]);
        stats.taken(0);
        assert_counts(&mut stats, [0, 0, 1]);
        stats.inferred(now, ms(1), now);
        assert_counts(&mut stats, [1, 0, 0]);
        stats.taken(4); // 1, 2 and 3 were overwritten
        assert_counts(&mut stats, [1, 3, 1]);
        stats.failed();
        assert_counts(&mut stats, [1, 4, 0]);
        stats.failed(); // nothing in flight
        assert_counts(&mut stats, [1, 4, 0]);
        stats.taken(5);
        stats.taken(6); // 5 was given up
        assert_counts(&mut stats, [1, 5, 1]);
    }

    #[test]
    fn a_source_that_counts_anew_loses_no_frames_by_that() {
        let (mut stats, now) = (LiveStats::new(), Instant::now());
        for sequence in [0, 1, 2, 0, 1, 3] {
            stats.taken(sequence);
            stats.inferred(now, ms(1), now);
        }
        assert_counts(&mut stats, [6, 1, 0]);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "not taken")]
    fn an_answer_to_a_frame_that_was_not_taken_is_a_bug() {
        LiveStats::new().inferred(Instant::now(), ms(1), Instant::now());
    }

    #[test]
    fn a_steady_loop_has_a_steady_rate_whenever_it_is_asked() {
        let (mut stats, start) = (LiveStats::new(), Instant::now());
        let last = steady(&mut stats, start, 200, FRAME);
        for late in 0..27 {
            let fps = stats.report(Answer::default(), last + ms(late)).fps;
            assert!((fps - 36.0).abs() < 1e-3, "{fps} at {late} ms after the last answer");
        }
    }

    #[test]
    fn the_rate_follows_within_a_second() {
        let (mut stats, start) = (LiveStats::new(), Instant::now());
        let last = steady(&mut stats, start, 100, FRAME);
        let last = steady(&mut stats, last, 11, ms(100));
        let fps = stats.report(Answer::default(), last).fps;
        assert!((fps - 10.0).abs() < 0.3, "{fps}");
    }

    #[test]
    fn the_rate_of_a_stalled_loop_falls_to_nothing() {
        let (mut stats, start) = (LiveStats::new(), Instant::now());
        let last = steady(&mut stats, start, 100, FRAME);
        let after = |stats: &mut LiveStats, wait: u64| stats.report(Answer::default(), last + ms(wait)).fps;
        let (half, two, ten) = (after(&mut stats, 500), after(&mut stats, 2_000), after(&mut stats, 10_000));
        assert!(half < 36.0 && half > two && two > ten, "{half} {two} {ten}");
        assert!(two < 0.6 && ten < 0.11, "{two} {ten}");
    }

    #[test]
    fn a_loop_slower_than_a_frame_a_second_has_a_rate() {
        let (mut stats, start) = (LiveStats::new(), Instant::now());
        let last = steady(&mut stats, start, 5, ms(4_000));
        for late in [0, 500, 1_500, 3_900] {
            let fps = stats.report(Answer::default(), last + ms(late)).fps;
            assert!((fps - 0.25).abs() < 1e-6, "{fps} at {late} ms");
        }
    }

    #[test]
    fn answers_at_one_instant_have_no_infinite_rate() {
        let (mut stats, now) = (LiveStats::new(), Instant::now());
        for sequence in 0..2 {
            stats.taken(sequence);
            stats.inferred(now, ms(0), now);
            assert_eq!(stats.report(Answer::default(), now).fps, 0.0);
        }
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let mut window = Window::new(200);
        for micros in (1..=100u64).rev() {
            window.push(Duration::from_micros(micros * 1000));
        }
        assert_eq!(window.percentiles(), Percentiles { p50: 50.0, p99: 99.0 });
        let mut one = Window::new(4);
        one.push(ms(7));
        assert_eq!(one.percentiles(), Percentiles { p50: 7.0, p99: 7.0 });
    }

    #[test]
    fn percentiles_forget_what_left_the_window_and_never_grow() {
        let mut window = Window::new(8);
        let room = (window.samples.capacity(), window.sorted.capacity());
        for _ in 0..8 {
            window.push(ms(500));
        }
        for i in 0..1_000 {
            window.push(ms(10 + i % 2));
            window.percentiles();
        }
        assert_eq!(window.percentiles(), Percentiles { p50: 10.0, p99: 11.0 });
        assert_eq!((window.samples.capacity(), window.sorted.capacity()), room);
    }

    #[test]
    fn durations_beyond_the_counter_are_held_at_its_end() {
        let mut window = Window::new(2);
        window.push(Duration::MAX);
        assert_eq!(window.percentiles().p50, f64::from(u32::MAX) / 1000.0);
    }

    #[test]
    fn latency_runs_from_capture_to_answer() {
        let (mut stats, start) = (LiveStats::new(), Instant::now());
        let last = steady(&mut stats, start, 50, FRAME);
        let report = stats.report(Answer::default(), last);
        assert_eq!(report.inference_ms, Percentiles { p50: 8.0, p99: 8.0 });
        assert_eq!(report.latency_ms, Percentiles { p50: 12.0, p99: 12.0 });
    }

    #[test]
    fn the_json_has_the_documented_fields_in_order() {
        let top = vec![Prediction { index: 281, label: "tabby, tabby cat".into(), score: 0.5 }];
        let report = LiveStats::new().report(top, Instant::now());
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"fps":0.0,"inference_ms":{"p50":0.0,"p99":0.0},"latency_ms":{"p50":0.0,"p99":0.0},"captured":0,"inferred":0,"dropped":0,"temperature_c":null,"governor":null,"under_voltage":null,"throttled":null,"top":[{"index":281,"label":"tabby, tabby cat","score":0.5}]}"#
        );
    }
}
