//! Motion JPEG over HTTP, as network cameras send it.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::jpeg_pipe::JpegPipe;
use super::reopening::Reopening;
use super::{Description, Next, Source, SourceOptions};
use crate::error::{Result, VisionError};

/// A server that says nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(5);
/// After so long without a picture the stream counts as stalled.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a stream that is opened again when it breaks.
pub(super) fn open(url: &str, options: &SourceOptions) -> Result<Box<dyn Source>> {
    let url = url.to_owned();
    let open = Box::new(move || Ok(Box::new(HttpMjpeg::connect(&url)?) as Box<dyn Source>));
    Ok(Box::new(Reopening::open(open, PATIENCE, options.clock.clone())?))
}

/// One connection.
struct HttpMjpeg {
    /// The address without name and password, for messages.
    shown: String,
    pictures: JpegPipe,
    closing: Arc<AtomicBool>,
}

impl HttpMjpeg {
    fn connect(url: &str) -> Result<HttpMjpeg> {
        let shown = without_credentials(url);
        let problem = |problem: String| VisionError::Stream { url: shown.clone(), problem };
        let agent: ureq::Agent = ureq::Agent::config_builder()
            // A camera stands in one's own network: a proxy for the outside does not know it.
            .proxy(None)
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .user_agent(concat!("kinglet/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let response = agent.get(url).call().map_err(|error| problem(explain(&error)))?;
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        check_content_type(content_type.unwrap_or_default()).map_err(problem)?;
        let closing = Arc::new(AtomicBool::new(false));
        let reader = UntilClosing { reader: response.into_body().into_reader(), closing: closing.clone() };
        let pictures = JpegPipe::drain("http-mjpeg", reader, why_ended).map_err(|error| problem(error.to_string()))?;
        Ok(HttpMjpeg { shown, pictures, closing })
    }
}

fn why_ended(ended: io::Result<()>) -> String {
    match ended {
        Ok(()) => "the server ended the stream".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            format!("the server sent nothing for {} s", SILENCE.as_secs())
        }
        Err(error) => error.to_string(),
    }
}

/// A stream that ends when it is closed on this side, [`SILENCE`] after that at the latest: also one whose server sends
/// bytes without end and never a picture.
struct UntilClosing<R> {
    reader: R,
    closing: Arc<AtomicBool>,
}

impl<R: Read> Read for UntilClosing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.closing.load(Ordering::Relaxed) { Ok(0) } else { self.reader.read(out) }
    }
}

/// One JPEG, or a page of text, is no stream.
fn check_content_type(content_type: &str) -> Result<(), String> {
    let lower = content_type.trim().to_ascii_lowercase();
    match lower.split('/').next().unwrap_or_default() {
        "multipart" | "video" => Ok(()),
        _ if lower.starts_with("application/octet-stream") => Ok(()),
        "" => Err("the server does not say what it sends; an MJPEG stream is multipart/x-mixed-replace".to_owned()),
        "image" => {
            Err(format!("this is one picture ({content_type}), not a stream; ask for the MJPEG stream's address"))
        }
        _ => Err(format!("the server sends {content_type}; an MJPEG stream is multipart/x-mixed-replace")),
    }
}

fn explain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(401) => {
            "the server wants a name and a password; write http://NAME:PASSWORD@…".to_owned()
        }
        ureq::Error::StatusCode(status) => format!("the server answers with HTTP status {status}"),
        ureq::Error::Io(error) => format!("cannot connect: {error}"),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            "this is no web address; write http://HOST:PORT/PATH".to_owned()
        }
        other => other.to_string(),
    }
}

/// What is shown and logged must not give a password away.
fn without_credentials(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

impl Source for HttpMjpeg {
    fn describe(&self) -> Description {
        Description { name: self.shown.clone(), format: "MJPEG over HTTP".to_owned(), size: None, fps: None }
    }

    fn next(&mut self, timeout: Duration) -> Result<Next> {
        self.pictures.next(timeout).map_err(|problem| VisionError::Stream { url: self.shown.clone(), problem })
    }
}

impl Drop for HttpMjpeg {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_thread_whose_server_never_sends_a_picture_ends_all_the_same() {
        let closing = Arc::new(AtomicBool::new(false));
        let (ended, end) = mpsc::channel();
        let reader = UntilClosing { reader: io::repeat(b'x'), closing: closing.clone() };
        let _pipe = JpegPipe::drain("test", reader, move |_| {
            ended.send(()).unwrap();
            String::new()
        });
        assert_eq!(end.recv_timeout(Duration::from_millis(50)), Err(mpsc::RecvTimeoutError::Timeout));
        closing.store(true, Ordering::Relaxed);
        assert_eq!(end.recv_timeout(Duration::from_secs(20)), Ok(()));
    }

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(without_credentials("http://me:s@cret@cam:8081/video?x=a@b"), "http://cam:8081/video?x=a@b");
        assert_eq!(without_credentials("http://cam/stream"), "http://cam/stream");
    }

    #[test]
    fn only_streams_are_taken() {
        assert!(check_content_type("Multipart/X-Mixed-Replace; boundary=\"--x\"").is_ok());
        assert!(check_content_type("image/jpeg").unwrap_err().contains("one picture"));
        assert!(check_content_type("text/html; charset=utf-8").unwrap_err().contains("text/html"));
    }
}
