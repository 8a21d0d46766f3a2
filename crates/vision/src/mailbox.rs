//! A place for one thing: who puts a newer one there throws an older one out. It is what stands between camera, model
//! and viewers, so that none of them waits for another, and no frame grows old in a queue.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One slot that keeps the newest.
#[derive(Debug)]
pub struct Mailbox<T> {
    slot: Mutex<Slot<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Slot<T> {
    newest: Option<T>,
    closed: bool,
}

/// What [`Mailbox::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// The newest thing that was put in.
    Newest(T),
    /// Nothing came in time.
    TimedOut,
    /// Nothing is there, and nothing will come.
    Closed,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Mailbox::new()
    }
}

impl<T> Mailbox<T> {
    /// An empty one.
    pub fn new() -> Mailbox<T> {
        Mailbox { slot: Mutex::new(Slot { newest: None, closed: false }), changed: Condvar::new() }
    }

    /// Puts a thing in; what nobody took before is dropped. Never waits for a taker.
    pub fn put(&self, thing: T) {
        let mut slot = self.lock();
        if slot.closed {
            return;
        }
        let old = slot.newest.replace(thing);
        drop(slot);
        self.changed.notify_one();
        // `old` is freed here, outside the lock.
        drop(old);
    }

    /// Takes the newest out, and waits for one until `timeout` has passed.
    pub fn take(&self, timeout: Duration) -> Taken<T> {
        let deadline = Instant::now() + timeout;
        let mut slot = self.lock();
        loop {
            if let Some(newest) = slot.newest.take() {
                return Taken::Newest(newest);
            }
            if slot.closed {
                return Taken::Closed;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::TimedOut;
            }
            slot = self.changed.wait_timeout(slot, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets nothing in any more, and wakes all who wait. What is there can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// No code panics while it holds the lock, but a poisoned slot would be whole even so.
    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn keeps_the_newest() {
        let mailbox = Mailbox::new();
        assert_eq!(mailbox.take(Duration::ZERO), Taken::TimedOut);
        for i in 0..5 {
            mailbox.put(i);
        }
        assert_eq!(mailbox.take(LONG), Taken::Newest(4));
        assert_eq!(mailbox.take(Duration::ZERO), Taken::TimedOut);
    }

    #[test]
    fn a_closed_one_gives_what_it_has_and_then_says_so() {
        let mailbox = Mailbox::new();
        mailbox.put("last");
        mailbox.close();
        mailbox.put("too late");
        assert_eq!(mailbox.take(LONG), Taken::Newest("last"));
        assert_eq!(mailbox.take(LONG), Taken::Closed);
    }

    #[test]
    fn closing_wakes_who_waits() {
        let mailbox = Arc::new(Mailbox::<u32>::new());
        let waiting = thread::spawn({
            let mailbox = mailbox.clone();
            move || mailbox.take(LONG)
        });
        thread::sleep(Duration::from_millis(20));
        mailbox.close();
        assert_eq!(waiting.join().unwrap(), Taken::Closed);
    }

    #[test]
    fn under_threads_order_holds_and_the_newest_is_never_lost() {
        const PUT: u64 = 50_000;
        let mailbox = Arc::new(Mailbox::new());
        let producer = thread::spawn({
            let mailbox = mailbox.clone();
            move || {
                for i in 0..PUT {
                    mailbox.put(i);
                    if i % 64 == 0 {
                        thread::yield_now();
                    }
                }
                mailbox.close();
            }
        });
        let mut last = None;
        loop {
            match mailbox.take(LONG) {
                Taken::Newest(i) => {
                    assert!(last < Some(i), "{i} came after {last:?}");
                    last = Some(i);
                }
                Taken::Closed => break,
                Taken::TimedOut => panic!("the producer hangs"),
            }
        }
        producer.join().unwrap();
        assert_eq!(last, Some(PUT - 1), "the newest is never the one that is dropped");
    }
}
