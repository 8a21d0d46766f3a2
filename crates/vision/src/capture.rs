//! The capture thread: takes frames from a source as they come and leaves the newest in a mailbox.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Result, VisionError};
use crate::frame::Frame;
use crate::mailbox::{Mailbox, Taken};
use crate::sources::{Description, Health, Next, Source};

/// How long a source is waited for before the thread looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(200);

/// A running capture thread. Dropping it ends the thread.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    mailbox: Mailbox<Frame>,
    stop: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    description: Description,
    health: Health,
    skipped: Option<VisionError>,
    failure: Option<VisionError>,
}

impl Capture {
    /// Starts to capture.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(source: Box<dyn Source>) -> Result<Capture> {
        let state = State { description: source.describe(), health: source.health(), skipped: None, failure: None };
        let shared =
            Arc::new(Shared { mailbox: Mailbox::new(), stop: AtomicBool::new(false), state: Mutex::new(state) });
        let in_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("capture".into()).spawn(move || in_thread.capture(source));
        Ok(Capture { shared, thread: Some(thread.map_err(VisionError::Thread)?) })
    }

    /// The newest frame that nobody has taken; waits until `timeout` for one.
    pub fn newest(&self, timeout: Duration) -> Taken<Frame> {
        self.shared.mailbox.take(timeout)
    }

    /// What the source is, as it was negotiated the last time it was opened.
    pub fn description(&self) -> Description {
        self.shared.state().description.clone()
    }

    /// Whether frames are coming.
    pub fn health(&self) -> Health {
        self.shared.state().health.clone()
    }

    /// What the source could not use since this was asked last; the newest, if there were several.
    pub fn take_skipped(&self) -> Option<VisionError> {
        self.shared.state().skipped.take()
    }

    /// Stops capturing.
    ///
    /// # Errors
    /// With what ended the source, if it was an error.
    pub fn stop(&mut self) -> Result<()> {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was printed when it happened; the mailbox is closed either way.
            let _ = thread.join();
        }
        self.shared.state().failure.take().map_or(Ok(()), Err)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Whoever wanted to know why the source ended has called `stop`.
        let _ = self.stop();
    }
}

impl Shared {
    fn capture(&self, mut source: Box<dyn Source>) {
        let _close = CloseOnDrop(&self.mailbox);
        while !self.stop.load(Ordering::Acquire) {
            let next = source.next(PATIENCE);
            self.note_state(&*source);
            match next {
                Ok(Next::Frame(frame)) => self.mailbox.put(frame),
                Ok(Next::Idle) => (),
                Ok(Next::Skipped(error)) => self.state().skipped = Some(error),
                Ok(Next::End) => return,
                Err(error) => {
                    self.state().failure = Some(error);
                    return;
                }
            }
        }
    }

    fn note_state(&self, source: &dyn Source) {
        let health = source.health();
        let mut state = self.state();
        if state.health != health {
            // A source that was opened again may have negotiated something else.
            state.description = source.describe();
            state.health = health;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the mailbox when the thread ends, also by a panic: nobody waits for a thread that is gone.
struct CloseOnDrop<'a>(&'a Mailbox<Frame>);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
