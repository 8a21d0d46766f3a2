//! The live page: what the loop sees and says, in any browser, served from inside the binary.
//! The loop publishes into a [`Hub`]; a [`Server`] on a thread of its own hands the newest of everything to viewers.
//!
//! ```text
//! live loop ─ publish_frame(jpeg), publish_report(numbers), set_health ─→ Hub ─ newest wins ─→ Server ─→ viewers
//! ```
//!
//! | path | is |
//! |---|---|
//! | `/` | the page: one file, `index.html`, without any external resource |
//! | `/stream.mjpeg` | the picture, `multipart/x-mixed-replace`; each JPEG as it was published |
//! | `/snapshot.jpg` | the newest picture; 503 where there is none |
//! | `/events` | the numbers, five times a second, as server-sent events; each one [`LiveReport`] and more, as JSON; and events `overlay`, an [`Overlay`] for each picture that has one |
//! | `/metrics` | the numbers for Prometheus |
//! | `/healthz` | 200 `{"status":"ok"}` while frames are answered; else 503, and why |
//!
//! What holds:
//! - Publishing never waits for a viewer. A viewer that reads slowly gets fewer pictures, each the newest when it is
//!   ready for one; one that reads nothing holds a picture or two and is dropped after half a minute.
//! - Pictures are made only for somebody: the loop asks [`Hub::viewers`] before it encodes.
//! - Viewers can change nothing: every route answers GET and HEAD only.
//! - A page that other machines can reach has a password: without one, the server does not start.
//!
//! [`LiveReport`]: crate::stats::LiveReport
//! [`Overlay`]: crate::recognizer::Overlay

mod access;
mod connection;
mod hub;
mod metrics;
mod routes;
mod server;
#[cfg(test)]
mod tests;

pub use access::Access;
pub use hub::{About, Hub};
pub use server::{PageError, Server};
