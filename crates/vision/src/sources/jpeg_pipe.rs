//! JPEGs that arrive on a pipe or a socket: a thread of its own drains it into a mailbox, so that what is taken is always
//! the newest picture, and never one that waited in a buffer.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Next;
use crate::frame::{Frame, Picture};
use crate::jpeg::JpegStream;
use crate::mailbox::{Mailbox, Taken};

/// The taker's end.
#[derive(Debug)]
pub(super) struct JpegPipe {
    pictures: Arc<Mailbox<Arrival>>,
}

/// What the thread found.
#[derive(Debug)]
enum Arrival {
    Jpeg { number: u64, captured: Instant, jpeg: Vec<u8> },
    Broken(String),
}

impl JpegPipe {
    /// Starts to drain `reader`, on a thread of this name that ends when the reader does. `why` says how it came to that:
    /// it was all, or an error.
    pub(super) fn drain(
        name: &str,
        reader: impl Read + Send + 'static,
        why: impl FnOnce(io::Result<()>) -> String + Send + 'static,
    ) -> io::Result<JpegPipe> {
        let pictures = Arc::new(Mailbox::new());
        let pipe = JpegPipe { pictures: pictures.clone() };
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let ended = drain(reader, &pictures);
            pictures.put(Arrival::Broken(why(ended)));
            pictures.close();
        })?;
        Ok(pipe)
    }

    /// The newest picture that was not taken; `Err` says why there will be none.
    pub(super) fn next(&self, timeout: Duration) -> Result<Next, String> {
        match self.pictures.take(timeout) {
            Taken::Newest(Arrival::Jpeg { number, captured, jpeg }) => {
                let picture = Picture::Jpeg(jpeg.into());
                Ok(Next::Frame(Frame { sequence: number, captured, picture, name: None }))
            }
            Taken::Newest(Arrival::Broken(why)) => Err(why),
            Taken::TimedOut => Ok(Next::Idle),
            Taken::Closed => Ok(Next::End),
        }
    }
}

fn drain(reader: impl Read, pictures: &Mailbox<Arrival>) -> io::Result<()> {
    let mut jpegs = JpegStream::new(reader);
    let mut number = 0;
    while let Some(jpeg) = jpegs.next_jpeg()? {
        pictures.put(Arrival::Jpeg { number, captured: Instant::now(), jpeg });
        number += 1;
    }
    Ok(())
}
