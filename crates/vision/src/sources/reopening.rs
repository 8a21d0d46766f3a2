//! Keeps a camera or a stream going: one that falls silent or breaks is closed and opened again, with pauses that grow,
//! and its health says so meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Clock, Description, Health, Next, Source};
use crate::error::{Result, VisionError};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Opens the source anew.
pub(super) type Open = Box<dyn FnMut() -> Result<Box<dyn Source>> + Send>;

/// The source around a source.
pub(super) struct Reopening {
    open: Open,
    source: Option<Box<dyn Source>>,
    description: Description,
    clock: Arc<dyn Clock>,
    /// Silence that is longer than this is a stall.
    patience: Duration,
    health: Health,
    last_frame: Instant,
    /// When the source was last opened; silence counts from here at the earliest.
    opened: Instant,
    retry_at: Instant,
    pause: Duration,
    /// The number that frame 0 of the present source gets.
    base: u64,
    next_sequence: u64,
}

impl Reopening {
    /// Opens the source for the first time; where that fails, nothing is tried again.
    pub(super) fn open(mut open: Open, patience: Duration, clock: Arc<dyn Clock>) -> Result<Reopening> {
        let source = open()?;
        let now = clock.now();
        Ok(Reopening {
            open,
            description: source.describe(),
            source: Some(source),
            clock,
            patience,
            health: Health::Live,
            last_frame: now,
            opened: now,
            retry_at: now,
            pause: FIRST_PAUSE,
            base: 0,
            next_sequence: 0,
        })
    }

    /// Closes what stalled or broke. It is opened again at once if it ever gave a frame since it was opened, else after
    /// a pause.
    fn close(&mut self, health: Health) {
        self.source = None;
        self.health = health;
        self.base = self.next_sequence;
        if self.last_frame >= self.opened {
            self.retry_at = self.clock.now();
        } else {
            self.retry_later();
        }
    }

    fn retry_later(&mut self) {
        self.retry_at = self.clock.now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn lost(&self, error: &VisionError) -> Health {
        Health::Lost { since: self.last_frame, why: error.to_string() }
    }

    /// Waits until it is time, and tries once.
    fn reopen(&mut self, timeout: Duration) {
        let wait = self.retry_at.saturating_duration_since(self.clock.now());
        self.clock.sleep(wait.min(timeout));
        if wait > timeout {
            return;
        }
        match (self.open)() {
            Ok(source) => {
                tracing::debug!("{} was opened again", self.description.name);
                self.description = source.describe();
                self.source = Some(source);
                self.opened = self.clock.now();
            }
            Err(error) => {
                self.health = self.lost(&error);
                self.retry_later();
                tracing::debug!("not opened again: {error}; trying again in {:?}", self.retry_at - self.clock.now());
            }
        }
    }
}

impl Source for Reopening {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn next(&mut self, timeout: Duration) -> Result<Next> {
        let Some(source) = &mut self.source else {
            self.reopen(timeout);
            return Ok(Next::Idle);
        };
        match source.next(timeout.min(self.patience)) {
            Ok(Next::Frame(mut frame)) => {
                frame.sequence += self.base;
                self.next_sequence = frame.sequence + 1;
                self.last_frame = self.clock.now();
                self.health = Health::Live;
                self.pause = FIRST_PAUSE;
                Ok(Next::Frame(frame))
            }
            Ok(Next::Skipped(why)) => Ok(Next::Skipped(why)),
            Ok(Next::Idle) => {
                if self.clock.now() >= self.last_frame.max(self.opened) + self.patience {
                    self.close(Health::Stale { since: self.last_frame });
                }
                Ok(Next::Idle)
            }
            Ok(Next::End) => {
                let why = "the stream ended".to_owned();
                self.close(Health::Lost { since: self.last_frame, why });
                Ok(Next::Idle)
            }
            Err(error) => {
                self.close(self.lost(&error));
                Ok(Next::Idle)
            }
        }
    }

    fn health(&self) -> Health {
        self.health.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::pacing::tests::FakeClock;
    use super::*;
    use crate::frame::{Frame, Picture};
    use std::collections::VecDeque;
    use std::sync::Mutex;

    /// What the camera does next.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Act {
        Frame,
        Silence,
        Break,
        RefuseToOpen,
    }

    type Script = Arc<Mutex<VecDeque<Act>>>;

    struct Camera {
        script: Script,
        clock: FakeClock,
        sequence: u64,
    }

    impl Source for Camera {
        fn describe(&self) -> Description {
            Description { name: "camera".to_owned(), format: "test".to_owned(), size: None, fps: None }
        }

        fn next(&mut self, timeout: Duration) -> Result<Next> {
            match self.script.lock().unwrap().pop_front() {
                Some(Act::Frame) => {
                    self.clock.pass(Duration::from_millis(30));
                    let sequence = self.sequence;
                    self.sequence += 1;
                    let picture = Picture::Jpeg(Arc::new([]));
                    Ok(Next::Frame(Frame { sequence, captured: self.clock.now(), picture, name: None }))
                }
                Some(Act::Break) => Err(VisionError::NoCamera("unplugged".to_owned())),
                Some(Act::Silence) | None => {
                    self.clock.pass(timeout);
                    Ok(Next::Idle)
                }
                Some(Act::RefuseToOpen) => panic!("it is open"),
            }
        }
    }

    fn reopening(script: &[Act]) -> (Reopening, FakeClock) {
        let script: Script = Arc::new(Mutex::new(script.iter().copied().collect()));
        let clock = FakeClock::new();
        let open = {
            let clock = clock.clone();
            Box::new(move || {
                if script.lock().unwrap().front() == Some(&Act::RefuseToOpen) {
                    script.lock().unwrap().pop_front();
                    return Err(VisionError::NoCamera("still gone".to_owned()));
                }
                Ok(Box::new(Camera { script: script.clone(), clock: clock.clone(), sequence: 0 }) as Box<dyn Source>)
            })
        };
        let source = Reopening::open(open, Duration::from_secs(2), Arc::new(clock.clone())).unwrap();
        (source, clock)
    }

    const STEP: Duration = Duration::from_millis(250);

    /// Runs until a frame comes, and tells its number, how long that took, and the healths on the way.
    fn until_frame(source: &mut Reopening, clock: &FakeClock) -> (u64, Duration, Vec<Health>) {
        let start = clock.now();
        let mut healths = Vec::new();
        for _ in 0..1000 {
            if let Next::Frame(frame) = source.next(STEP).unwrap() {
                assert_eq!(source.health(), Health::Live);
                return (frame.sequence, clock.now() - start, healths);
            }
            if healths.last() != Some(&source.health()) {
                healths.push(source.health());
            }
        }
        panic!("no frame came");
    }

    #[test]
    fn a_stall_is_noticed_after_two_seconds_and_opened_again() {
        let mut script = vec![Act::Frame];
        script.extend([Act::Silence; 8]);
        script.push(Act::Frame);
        let (mut source, clock) = reopening(&script);
        until_frame(&mut source, &clock);
        let since = clock.now();
        let (sequence, took, healths) = until_frame(&mut source, &clock);
        assert_eq!(healths, [Health::Live, Health::Stale { since }]);
        assert_eq!(sequence, 1, "numbers go on across openings");
        assert!(took < Duration::from_millis(2300), "{took:?}");
    }

    #[test]
    fn a_camera_that_vanishes_is_tried_with_growing_pauses() {
        let mut script = vec![Act::Frame, Act::Break];
        script.extend([Act::RefuseToOpen; 7]);
        script.push(Act::Frame);
        let (mut source, clock) = reopening(&script);
        until_frame(&mut source, &clock);
        let (_, took, healths) = until_frame(&mut source, &clock);
        let why: Vec<_> = healths.iter().map(|health| matches!(health, Health::Lost { .. })).collect();
        assert!(why.iter().all(|&lost| lost) && healths.len() == 2, "{healths:?}");
        let Health::Lost { why, .. } = &healths[1] else { unreachable!() };
        assert!(why.contains("still gone"));
        // At once, then after 0.5, 1, 2, 4, 8, 10 and 10 seconds.
        assert!((took.as_secs_f64() - 35.53).abs() < 0.01, "{took:?}");
    }

    #[test]
    fn one_that_opens_but_never_gives_a_frame_is_not_hammered() {
        let (mut source, clock) = reopening(&[]);
        let start = clock.now();
        let mut openings = 0;
        while clock.now() - start < Duration::from_secs(60) {
            let was_closed = source.source.is_none();
            source.next(STEP).unwrap();
            openings += u32::from(was_closed && source.source.is_some());
        }
        assert!((4..10).contains(&openings), "{openings} openings in a minute");
    }
}
