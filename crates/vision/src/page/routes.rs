//! The page's paths and what each answers; see the table in [`super`].
//! Every answer forbids caches and sniffing, and a page on this machine is refused under a foreign name.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, RETRY_AFTER};
use axum::http::header::{REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use super::access::Access;
use super::hub::{BOUNDARY, Hub, Status, Viewer};
use super::metrics;

const PAGE: &str = include_str!("index.html");
/// Time between two events.
const EVENT_EVERY: Duration = Duration::from_millis(200);
/// Time after which the last picture is sent again where no newer came, by which a viewer that vanished is found out.
const PICTURE_AGAIN: Duration = Duration::from_secs(5);
/// How long a wrong password waits for its answer, so that guessing takes its time.
const WRONG_PASSWORD: Duration = Duration::from_millis(500);
/// How long a snapshot waits for a picture: the loop makes none while nobody looks.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Page {
    hub: Hub,
    address: SocketAddr,
    access: Access,
    viewers: usize,
    listeners: Arc<Semaphore>,
    nonces: RandomState,
    stopped: watch::Receiver<bool>,
}

/// Every path of the page, for at most `viewers` streams of pictures and as many of numbers; they end once `stopped`.
pub(super) fn router(
    hub: Hub,
    address: SocketAddr,
    access: Access,
    viewers: usize,
    stopped: watch::Receiver<bool>,
) -> Router {
    let page = Page {
        hub,
        address,
        access,
        viewers,
        listeners: Arc::new(Semaphore::new(viewers)),
        nonces: RandomState::new(),
        stopped,
    };
    Router::new()
        .route("/", get(index))
        .route("/stream.mjpeg", get(pictures))
        .route("/snapshot.jpg", get(snapshot))
        .route("/events", get(events))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found; the page is at /\n") })
        .layer(from_fn_with_state(page.clone(), guard))
        .with_state(page)
}

/// Refuses foreign names for a page that listens on this machine alone, and whoever lacks the password; sets the headers that
/// all answers share.
///
/// A web site can point a name of its own at 127.0.0.1 (DNS rebinding) and would then read the page as its own; the
/// browser still sends that name as `Host`. The port is of no matter: it may be forwarded.
async fn guard(State(page): State<Page>, request: Request, next: Next) -> Response {
    let mut response = match request.headers().get(HOST) {
        Some(host) if page.address.ip().is_loopback() && !is_local(host, page.address.ip()) => {
            let why = "this page is served to this machine only: open it as http://localhost, or --listen elsewhere\n";
            (StatusCode::MISDIRECTED_REQUEST, why).into_response()
        }
        _ if !page.access.allows(request.headers()) => unauthorized(request.headers()).await,
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Asks for the password.
async fn unauthorized(headers: &HeaderMap) -> Response {
    if headers.contains_key(AUTHORIZATION) {
        tracing::warn!("page: a wrong password was refused");
        sleep(WRONG_PASSWORD).await;
    }
    let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"Kinglet\", charset=\"UTF-8\"")];
    (StatusCode::UNAUTHORIZED, challenge, "this page wants the password that Kinglet was started with\n")
        .into_response()
}

/// Whether `host` names this machine from itself.
fn is_local(host: &HeaderValue, listening: IpAddr) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    match name.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip == listening,
        Err(_) => {
            let name = name.to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// The page, with the numbers of this moment in it, so that it is drawn whole at once.
async fn index(State(page): State<Page>) -> Response {
    let nonce = page.nonce();
    // In a script element only `<` could end the element early.
    let first = page.event().replace('<', "\\u003c");
    let html = PAGE.replace("{{nonce}}", &nonce).replace("{{first}}", &first);
    let policy = format!(
        "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'nonce-{nonce}'; \
         script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'"
    );
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8".to_owned()), (CONTENT_SECURITY_POLICY, policy)];
    (headers, html).into_response()
}

/// The pictures as they come, newest wins.
async fn pictures(State(page): State<Page>) -> Response {
    let Some(viewer) = page.hub.join(page.viewers) else { return page.full() };
    let opening = stream::once(async { Ok::<_, Infallible>(Bytes::from(format!("--{BOUNDARY}\r\n"))) });
    let parts = stream::unfold((viewer, page.stopped), |(mut viewer, mut stopped)| async move {
        let part = tokio::select! {
            _ = stopped.wait_for(|&stop| stop) => return None,
            part = next_part(&mut viewer) => part,
        };
        Some((Ok(part), (viewer, stopped)))
    });
    let kind = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
    ([(CONTENT_TYPE, kind)], Body::from_stream(stream::StreamExt::chain(opening, parts))).into_response()
}

/// The next picture, or the last again where none comes for [`PICTURE_AGAIN`].
async fn next_part(viewer: &mut Viewer) -> Bytes {
    loop {
        match timeout(PICTURE_AGAIN, viewer.next()).await {
            Ok(picture) => return picture.part(),
            Err(_) => {
                if let Some(picture) = viewer.newest() {
                    return picture.part();
                }
            }
        }
    }
}

/// One picture: the next that is made for this viewer, or else the last there was.
async fn snapshot(State(page): State<Page>) -> Response {
    let Some(mut viewer) = page.hub.join(page.viewers) else { return page.full() };
    let picture = match timeout(SNAPSHOT_WAIT, viewer.next()).await {
        Ok(picture) => Some(picture),
        Err(_) => viewer.newest(),
    };
    match picture {
        Some(picture) => ([(CONTENT_TYPE, "image/jpeg")], picture.jpeg()).into_response(),
        None => unavailable("no picture has come yet\n"),
    }
}

/// The numbers, several times a second; also the sign of life by which the page knows that the connection holds.
async fn events(State(page): State<Page>) -> Response {
    let Ok(place) = Arc::clone(&page.listeners).try_acquire_owned() else { return page.full() };
    let mut ticks = interval(EVENT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let overlays = page.hub.overlays();
    let events = stream::unfold(Listener { page, ticks, overlays, _place: place }, next_event);
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

/// Somebody who gets events.
struct Listener {
    page: Page,
    ticks: Interval,
    overlays: watch::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

/// The numbers when it is time for them, or else what is drawn over the newest picture.
async fn next_event(mut listener: Listener) -> Option<(Result<Bytes, Infallible>, Listener)> {
    let Listener { page, ticks, overlays, .. } = &mut listener;
    let overlay = tokio::select! {
        biased;
        _ = page.stopped.wait_for(|&stop| stop) => return None,
        _ = ticks.tick() => None,
        // The hub that `page` holds keeps the sender alive, so that this cannot fail.
        Ok(()) = overlays.changed() => Some(overlays.borrow_and_update().clone()),
    };
    let numbers = || Bytes::from(format!("retry: 1000\ndata: {}\n\n", page.event()));
    let event = overlay.unwrap_or_else(numbers);
    Some((Ok(event), listener))
}

/// For monitors: whether the loop answers frames of the present.
async fn health(State(page): State<Page>) -> Response {
    let status = page.hub.status(Instant::now());
    let code = if status == Status::Ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let json = serde_json::to_string(&status).expect("numbers and strings have a JSON form");
    (code, [(CONTENT_TYPE, "application/json")], json).into_response()
}

/// For Prometheus.
async fn metrics(State(page): State<Page>) -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], page.hub.metrics(Instant::now())).into_response()
}

impl Page {
    fn event(&self) -> String {
        self.hub.event(Instant::now())
    }

    fn full(&self) -> Response {
        unavailable(&format!("{} viewers watch already; try again later\n", self.viewers))
    }

    /// A name for this answer's script and style that no injected one can know: keyed by the system's randomness, and
    /// never the same twice.
    fn nonce(&self) -> String {
        let now = Instant::now();
        format!("{:016x}{:016x}", self.nonces.hash_one((now, 0)), self.nonces.hash_one((now, 1)))
    }
}

fn unavailable(why: &str) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    (StatusCode::SERVICE_UNAVAILABLE, headers, why.to_owned()).into_response()
}
