//! What a service manager is told (`sd_notify(3)`): that the loop runs, how it does, and that it still lives. The watchdog
//! is fed by the loop's own reports, so that one that hangs is ended and started again.

use std::time::{Duration, Instant};

use kinglet::vision::live::Audience;
use kinglet::vision::sources::Health;
use kinglet::vision::stats::LiveReport;
use sd_notify::NotifyState;

use super::terminal;

/// How often the status is told.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// A viewer that tells the service manager; nobody where `NOTIFY_SOCKET` is not set.
pub struct Service {
    ready: bool,
    /// How often the watchdog is fed: twice in the time that it waits.
    feed_every: Option<Duration>,
    feed_at: Instant,
    status_at: Instant,
    health: Health,
}

impl Service {
    pub fn new() -> Service {
        let feed_every = sd_notify::watchdog_enabled().map(|patience| patience / 2);
        let now = Instant::now();
        Service { ready: false, feed_every, feed_at: now, status_at: now, health: Health::Live }
    }
}

impl Audience for Service {
    fn report(&mut self, report: &LiveReport) {
        let now = Instant::now();
        let mut states = Vec::new();
        if !std::mem::replace(&mut self.ready, true) {
            states.push(NotifyState::Ready);
        }
        if let Some(every) = self.feed_every
            && now >= self.feed_at
        {
            self.feed_at = now + every;
            states.push(NotifyState::Watchdog);
        }
        let status = match &self.health {
            Health::Live => terminal::status(report),
            stale => terminal::why_stale(stale),
        };
        if now >= self.status_at {
            self.status_at = now + STATUS_EVERY;
            states.push(NotifyState::Status(&status));
        }
        tell(&states);
    }

    fn health(&mut self, health: &Health) {
        self.health = health.clone();
        self.status_at = Instant::now();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if !states.is_empty()
        && let Err(error) = sd_notify::notify(states)
    {
        // The manager's watchdog notices, where there is one.
        tracing::debug!("the service manager cannot be told: {error}");
    }
}
