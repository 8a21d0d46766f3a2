//! The page's server: one thread with a small runtime of its own, so that the live loop shares nothing with viewers
//! but the [`Hub`]. Accepts connections within limits, and ends with its owner.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::access::Access;
use super::connection::Connection;
use super::hub::Hub;
use super::routes;

/// A request's head must be there within this; it also ends connections that are kept open without a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a response that may wait in the server: a picture is taken from the hub only while less than that waits,
/// which keeps a slow viewer's picture the newest. It also bounds a request's head, where a browser may send the
/// cookies of every other program that was ever served from this machine, so less would refuse some.
const UNSENT: usize = 16 * 1024;
/// How long open responses may take to end once the server stops.
const FAREWELL: Duration = Duration::from_millis(500);

/// What viewers may take of the machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Streams of pictures, and as many of numbers; a further one is answered 503.
    pub(super) viewers: usize,
    /// Open connections; a further one waits until another ends.
    pub(super) connections: u32,
    /// How long a viewer may read nothing before it is dropped.
    pub(super) patience: Duration,
}

const LIMITS: Limits = Limits { viewers: 64, connections: 192, patience: Duration::from_secs(30) };

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Another program, or another Kinglet, listens there.
    #[error(
        "cannot serve the page on {address}: the port is in use by another program; \
         choose another (--listen {ip}:{next}) or go without the page (--no-web)",
        ip = bracketed(address.ip()),
        next = other_port(*address)
    )]
    InUse {
        /// Where the page was to be served.
        address: SocketAddr,
    },
    /// The system refuses to listen there.
    #[error(
        "cannot serve the page on {address}: {error}; \
         choose another address (--listen 127.0.0.1:8080) or go without the page (--no-web)"
    )]
    Listen {
        /// Where the page was to be served.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Other machines could see the page, and nothing keeps them from it.
    #[error(
        "the page on {address} would be open to everybody on the network: set a password (--password, or KINGLET_PASSWORD in \
         the environment), or listen on this machine alone (--listen 127.0.0.1:{port})",
        port = address.port()
    )]
    Unprotected {
        /// Where the page was to be served.
        address: SocketAddr,
    },
    /// The system gives no thread or no event queue to serve from.
    #[error("cannot serve the page: no thread to serve it from: {0}")]
    Thread(io::Error),
}

/// An IP address as it stands before a port.
fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// A port to try where the one of `address` is taken.
fn other_port(address: SocketAddr) -> u16 {
    address.port().checked_add(1).unwrap_or(8080)
}

/// The page, served until this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves what `hub` is given at `listen`, to those who have `access`; port 0 takes any free one. Only an address of this
    /// machine's own (loopback) may be open to everybody.
    ///
    /// # Errors
    /// [`PageError`] where the address is taken or not to be had, before anything is served.
    pub fn start(listen: SocketAddr, access: Access, hub: Hub) -> Result<Self, PageError> {
        Self::start_within(LIMITS, listen, access, hub)
    }

    pub(super) fn start_within(
        limits: Limits,
        listen: SocketAddr,
        access: Access,
        hub: Hub,
    ) -> Result<Self, PageError> {
        if !listen.ip().is_loopback() && !access.is_protected() {
            return Err(PageError::Unprotected { address: listen });
        }
        let (listener, address) = bind(listen).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => PageError::InUse { address: listen },
            _ => PageError::Listen { address: listen, error },
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PageError::Thread)?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener).map_err(PageError::Thread)?
        };
        let (stop, stopped) = watch::channel(false);
        let router = routes::router(hub, address, access, limits.viewers, stopped.clone());
        let serve = move || runtime.block_on(accept(listener, router, limits, stopped));
        let thread = std::thread::Builder::new().name("kinglet-page".into()).spawn(serve).map_err(PageError::Thread)?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The page's address for a browser on this machine.
    pub fn url(&self) -> String {
        let ip = if self.address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { self.address.ip() };
        format!("http://{}", SocketAddr::new(ip, self.address.port()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed already; the loop goes on without a page.
            let _ = thread.join();
        }
    }
}

fn bind(listen: SocketAddr) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Accepts until `stopped`, then waits a moment for open responses to end.
async fn accept(listener: TcpListener, router: Router, limits: Limits, stopped: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(limits.connections as usize));
    let mut stop = stopped.clone();
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            _ = stop.wait_for(|&stop| stop) => break,
            next = next => next,
        };
        match (permit, accepted) {
            (Ok(permit), Ok((stream, _))) => {
                tokio::spawn(serve(stream, router.clone(), limits.patience, stopped.clone(), permit));
            }
            // Out of file descriptors, mostly: others may end soon.
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
    drop(listener);
    let _ = timeout(FAREWELL, permits.acquire_many(limits.connections)).await;
}

/// Serves one connection until it ends, for whatever reason: a viewer's trouble is nobody else's.
async fn serve(
    stream: TcpStream,
    router: Router,
    patience: Duration,
    mut stopped: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    let io = TokioIo::new(Connection::new(stream, patience));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(UNSENT);
    let mut connection = std::pin::pin!(http.serve_connection(io, TowerToHyperService::new(router)));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|&stop| stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
