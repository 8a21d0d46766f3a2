//! One file over HTTP, to a temporary file: resumed where it was cut, never longer than it should be.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::RangeInclusive;
use std::path::Path;
use std::thread;
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::{Progress, cache};
use crate::Error;

/// Failures in a row, without a new byte between them, after which a download is given up.
const ATTEMPTS: u32 = 5;
/// How long a connection, an answer or its next bytes may take.
const PATIENCE: Duration = Duration::from_secs(20);
const SIGN_IN: &str = "check whether this network wants a sign-in in a browser";

/// A download: from where, how much, to where.
pub(super) struct Download<'a> {
    pub(super) address: String,
    /// The sizes that the file may have; the server says which it has, if there are several.
    pub(super) sizes: RangeInclusive<u64>,
    /// The temporary file.
    pub(super) part: &'a Path,
    /// The final file, which errors name.
    pub(super) path: &'a Path,
    /// The pause after a first failure.
    pub(super) pause: Duration,
}

/// Why an attempt ended before the file was whole.
enum Stop {
    /// Another attempt may go on from here.
    Cut(Cut),
    /// No other attempt can help.
    Failed(Error),
}

/// A failure of the connection.
struct Cut {
    problem: String,
    advice: &'static str,
}

impl From<Cut> for Stop {
    fn from(cut: Cut) -> Stop {
        Stop::Cut(cut)
    }
}

/// The state that attempts share.
struct Transfer {
    file: File,
    /// Bytes in the file.
    done: u64,
    /// Bytes that it will have, as soon as they are known.
    total: Option<u64>,
    /// What the server calls this version of the file.
    etag: Option<String>,
    /// Whether the server answered at all.
    answered: bool,
}

impl Download<'_> {
    /// Fills the temporary file to its full size. Whether it was right is for a hash to say. Gives whether part of it
    /// was there before.
    pub(super) fn run(&self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<bool, Error> {
        let agent = agent()?;
        let mut transfer = self.open()?;
        let resumed = transfer.done > 0;
        let filled = self.fill(&agent, &mut transfer, progress);
        if filled.is_err() && transfer.done == 0 {
            // There is nothing to go on from. If the empty file stays after all, it does no harm.
            _ = cache::remove(self.part);
        }
        filled.map(|()| resumed)
    }

    /// Asks again and again until the file has its size, or no progress is made.
    fn fill(
        &self,
        agent: &Agent,
        transfer: &mut Transfer,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), Error> {
        let (mut furthest, mut failures) = (transfer.done, 0);
        while transfer.total != Some(transfer.done) {
            let cut = match self.attempt(agent, transfer, progress) {
                Ok(()) => continue,
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Cut(cut)) => cut,
            };
            if transfer.done > furthest {
                (furthest, failures) = (transfer.done, 0);
            }
            failures += 1;
            if failures == ATTEMPTS || !transfer.answered {
                return Err(self.failed(cut.problem, cut.advice));
            }
            let pause = self.pause * 2u32.pow(failures - 1);
            progress(Progress::Retrying { problem: &cut.problem, pause });
            thread::sleep(pause);
        }
        Ok(())
    }

    /// The error of this download.
    pub(super) fn failed(&self, problem: String, advice: &'static str) -> Error {
        Error::Download { address: self.address.clone(), problem, advice, path: self.path.to_owned() }
    }

    fn disk(&self, error: &io::Error) -> Error {
        Error::file(self.part, error, cache::ADVICE)
    }

    fn open(&self) -> Result<Transfer, Error> {
        let open = || -> io::Result<Transfer> {
            let file = File::options().create(true).read(true).write(true).truncate(false).open(self.part)?;
            let done = file.metadata()?.len();
            let total = Some(*self.sizes.start()).filter(|size| size == self.sizes.end());
            let mut transfer = Transfer { file, done, total, etag: None, answered: false };
            if done > *self.sizes.end() {
                transfer.restart()?;
            }
            Ok(transfer)
        };
        open().map_err(|error| self.disk(&error))
    }

    /// Asks once for what is missing and stores what comes.
    fn attempt(
        &self,
        agent: &Agent,
        transfer: &mut Transfer,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), Stop> {
        let response = self.ask(agent, transfer)?;
        transfer.answered = true;
        let status = response.status();
        match status {
            StatusCode::OK => transfer.restart().map_err(|error| Stop::Failed(self.disk(&error)))?,
            StatusCode::PARTIAL_CONTENT if transfer.done > 0 => {
                let range = content_range(response.headers());
                let fits = |size: u64| transfer.total.map_or(self.sizes.contains(&size), |total| total == size);
                if !range.is_some_and(|(first, size)| first == transfer.done && fits(size)) {
                    return transfer.restart().map_err(|error| Stop::Failed(self.disk(&error)));
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE if transfer.done > 0 => {
                return transfer.restart().map_err(|error| Stop::Failed(self.disk(&error)));
            }
            _ => return Err(self.refused(status)),
        }
        let total = self.check_length(&response, transfer)?;
        transfer.total = Some(total);
        transfer.etag = strong_etag(response.headers());
        self.store(response.into_body(), transfer, total, progress)
    }

    fn ask(&self, agent: &Agent, transfer: &Transfer) -> Result<Response<Body>, Stop> {
        let mut request = agent.get(&self.address);
        if transfer.done > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", transfer.done));
            if let Some(etag) = &transfer.etag {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        request.call().map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
                Stop::Failed(self.failed(format!("not a web address ({error})"), "check KINGLET_ZOO_URL"))
            }
            error => cut(&error).into(),
        })
    }

    /// What an answer without the file means.
    fn refused(&self, status: StatusCode) -> Stop {
        let problem = format!("the server answered {status}");
        let again = "try again later";
        match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Cut { problem, advice: again }.into(),
            status if status.is_server_error() => Cut { problem, advice: again }.into(),
            StatusCode::NOT_FOUND | StatusCode::GONE => Stop::Failed(
                self.failed(problem, "check KINGLET_ZOO_URL if it is set, see whether Kinglet has an update"),
            ),
            _ => Stop::Failed(self.failed(problem, SIGN_IN)),
        }
    }

    /// How long the file is. Refuses an answer of another length before it is stored: most likely it is a page and not
    /// the file.
    fn check_length(&self, response: &Response<Body>, transfer: &Transfer) -> Result<u64, Stop> {
        let body = response.body();
        let page = body.mime_type().is_some_and(|mime| mime.eq_ignore_ascii_case("text/html"));
        let size = body.content_length().and_then(|length| length.checked_add(transfer.done));
        let problem = match (size, transfer.total) {
            _ if page => "the answer is a web page, not the model".to_owned(),
            (None, Some(total)) => return Ok(total),
            (None, None) => "the answer does not say how long it is".to_owned(),
            (Some(size), total) if total.map_or(self.sizes.contains(&size), |total| total == size) => return Ok(size),
            (Some(size), total) => {
                let about = if total.is_some() { "" } else { "about " };
                let expected = total.unwrap_or(self.sizes.start().midpoint(*self.sizes.end())) - transfer.done;
                format!("the answer has {} bytes where the model has {about}{expected}", size - transfer.done)
            }
        };
        Err(Stop::Failed(self.failed(problem, SIGN_IN)))
    }

    fn store(
        &self,
        body: Body,
        transfer: &mut Transfer,
        total: u64,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), Stop> {
        let missing = total - transfer.done;
        let mut reader = body.into_with_config().limit(missing + 1).reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            progress(Progress::Bytes { done: transfer.done, total });
            let read = match reader.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(cut(&ureq::Error::from(error)).into()),
            };
            let room = total - transfer.done;
            if read == 0 && room > 0 {
                return Err(cut(&ureq::Error::Io(ErrorKind::UnexpectedEof.into())).into());
            }
            if read == 0 {
                return Ok(());
            }
            if read as u64 > room {
                let problem = format!("the answer has more than the model's {total} bytes");
                return Err(Stop::Failed(self.failed(problem, SIGN_IN)));
            }
            transfer.append(&buffer[..read]).map_err(|error| Stop::Failed(self.disk(&error)))?;
        }
    }
}

impl Transfer {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.done))?;
        self.file.write_all(bytes)?;
        self.done += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.done, self.etag) = (0, None);
        Ok(())
    }
}

/// The client: certificates of public authorities are built in, so that a bare system needs none; `SSL_CERT_FILE` names
/// others, for a network that puts its own in between. Proxies come from the usual variables (`HTTPS_PROXY`,
/// `NO_PROXY`).
fn agent() -> Result<Agent, Error> {
    let roots = match std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
        Some(path) => certificates(Path::new(&path))?,
        None => RootCerts::WebPki,
    };
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .http_status_as_error(false)
        .user_agent(concat!("kinglet/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .timeout_resolve(Some(PATIENCE))
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE));
    Ok(config.build().into())
}

fn certificates(path: &Path) -> Result<RootCerts, Error> {
    const ADVICE: &str = "let SSL_CERT_FILE name a PEM file of certificates, or unset it";
    let pem = std::fs::read(path).map_err(|error| Error::file(path, &error, ADVICE))?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    let found: Vec<_> = parse_pem(&pem).filter_map(certificate).collect();
    if found.is_empty() {
        return Err(Error::File { path: path.to_owned(), problem: "no certificate in it".to_owned(), advice: ADVICE });
    }
    Ok(RootCerts::new_with_certs(&found))
}

/// A failure of the connection, in words for people.
fn cut(error: &ureq::Error) -> Cut {
    const NETWORK: &str = "connect this machine to the internet";
    let certificate = |problem: String| Cut {
        problem: format!("no secure connection ({problem})"),
        advice: "check this machine's clock, and whether its network wants a sign-in",
    };
    let said = |problem: &str, advice| Cut { problem: problem.to_owned(), advice };
    match error {
        ureq::Error::HostNotFound => said("the host is not found: is there a network?", NETWORK),
        ureq::Error::ConnectionFailed => said("no connection: is there a network?", NETWORK),
        ureq::Error::Timeout(_) => said("no answer for 20 seconds", NETWORK),
        ureq::Error::Rustls(error) => certificate(error.to_string()),
        ureq::Error::Tls(problem) => certificate((*problem).to_owned()),
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => said("connection refused", NETWORK),
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown => {
                said("no connection: is there a network?", NETWORK)
            }
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
                said("the connection was cut", "try again")
            }
            ErrorKind::TimedOut | ErrorKind::WouldBlock => said("no answer for 20 seconds", NETWORK),
            ErrorKind::InvalidData => certificate(error.to_string()),
            _ => Cut { problem: format!("no connection ({error})"), advice: NETWORK },
        },
        error => Cut { problem: format!("the connection failed ({error})"), advice: "try again" },
    }
}

/// First byte and total of `Content-Range: bytes 5-9/10`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, total) = range.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()?))
}

/// The entity tag if it vouches for every byte (RFC 9110, 8.8.1: only such a one may stand in `If-Range`).
fn strong_etag(headers: &HeaderMap) -> Option<String> {
    let etag = headers.get(header::ETAG)?.to_str().ok()?;
    etag.starts_with('"').then(|| etag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_a_resumed_answer_are_understood() {
        let with = |name, value: &str| HeaderMap::from_iter([(name, value.parse().unwrap())]);
        for (value, expected) in [
            ("bytes 5-9/10", Some((5, 10))),
            ("bytes 0-0/1", Some((0, 1))),
            ("bytes 5-9/*", None),
            ("bytes */10", None),
            ("lines 5-9/10", None),
            ("bytes -1-9/10", None),
        ] {
            assert_eq!(content_range(&with(header::CONTENT_RANGE, value)), expected, "{value}");
        }
        assert_eq!(strong_etag(&with(header::ETAG, "\"abc\"")).as_deref(), Some("\"abc\""));
        assert_eq!(strong_etag(&with(header::ETAG, "W/\"abc\"")), None);
        assert_eq!(strong_etag(&HeaderMap::new()), None);
    }
}
