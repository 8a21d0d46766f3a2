//! Time for sources that are not cameras: frames become due on an absolute grid, so that no delay adds up, and the
//! clock can be another one in tests.

use std::fmt::Debug;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// What time it is.
pub trait Clock: Send + Sync + Debug {
    /// The present.
    fn now(&self) -> Instant;
    /// Lets time pass.
    fn sleep(&self, duration: Duration);
}

/// The system's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }
}

/// Tells when the next frame is due.
#[derive(Debug)]
pub(super) struct Pacer {
    clock: Arc<dyn Clock>,
    fps: f64,
    /// When frame 0 was due; the grid begins with the first wait.
    start: Option<Instant>,
    tick: u64,
}

impl Pacer {
    pub(super) fn new(clock: Arc<dyn Clock>, fps: f64) -> Pacer {
        Pacer { clock, fps, start: None, tick: 0 }
    }

    pub(super) fn fps(&self) -> f64 {
        self.fps
    }

    /// Waits until the next frame is due, and tells that instant; nothing when `timeout` passes before. A frame that is
    /// late by whole periods moves on to the grid's latest point: what was missed is not made up for in a burst.
    pub(super) fn wait(&mut self, timeout: Duration) -> Option<Instant> {
        let now = self.clock.now();
        let start = *self.start.get_or_insert(now);
        let due = start + self.offset(self.tick);
        if due > now + timeout {
            self.clock.sleep(timeout);
            return None;
        }
        if due > now {
            self.clock.sleep(due - now);
        }
        let now = self.clock.now();
        let reached = ((now.saturating_duration_since(start)).as_secs_f64() * self.fps) as u64;
        let tick = self.tick.max(reached);
        self.tick = tick + 1;
        Some(start + self.offset(tick))
    }

    fn offset(&self, tick: u64) -> Duration {
        Duration::from_secs_f64(tick as f64 / self.fps)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A clock that only moves when somebody sleeps, or the test moves it.
    #[derive(Debug, Clone)]
    pub(crate) struct FakeClock(Arc<Mutex<Instant>>);

    impl FakeClock {
        pub(crate) fn new() -> FakeClock {
            FakeClock(Arc::new(Mutex::new(Instant::now())))
        }

        pub(crate) fn pass(&self, duration: Duration) {
            *self.0.lock().unwrap() += duration;
        }
    }

    impl Clock for FakeClock {
        fn now(&self) -> Instant {
            *self.0.lock().unwrap()
        }

        fn sleep(&self, duration: Duration) {
            self.pass(duration);
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_grid_does_not_drift() {
        let clock = FakeClock::new();
        let start = clock.now();
        let mut pacer = Pacer::new(Arc::new(clock.clone()), 36.0);
        for tick in 0..100_000u64 {
            let due = pacer.wait(LONG).unwrap();
            // Work that takes a part of the period must not move the next deadline.
            clock.pass(Duration::from_millis(11));
            let exact = tick as f64 / 36.0;
            assert!(((due - start).as_secs_f64() - exact).abs() < 1e-6, "{tick}");
        }
    }

    #[test]
    fn a_wait_that_is_too_short_is_idle_and_loses_nothing() {
        let clock = FakeClock::new();
        let start = clock.now();
        let mut pacer = Pacer::new(Arc::new(clock.clone()), 1.0);
        assert_eq!(pacer.wait(Duration::ZERO), Some(start));
        assert_eq!(pacer.wait(Duration::from_millis(400)), None);
        assert_eq!(pacer.wait(Duration::from_millis(400)), None);
        assert_eq!(pacer.wait(Duration::from_millis(400)), Some(start + Duration::from_secs(1)));
    }

    #[test]
    fn lateness_is_not_made_up_for_in_a_burst() {
        let clock = FakeClock::new();
        let start = clock.now();
        let mut pacer = Pacer::new(Arc::new(clock.clone()), 10.0);
        pacer.wait(LONG).unwrap();
        clock.pass(Duration::from_millis(1234));
        assert_eq!(pacer.wait(LONG), Some(start + Duration::from_millis(1200)));
        assert_eq!(pacer.wait(LONG), Some(start + Duration::from_millis(1300)));
    }
}
