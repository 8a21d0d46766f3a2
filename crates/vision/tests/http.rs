//! An MJPEG stream over HTTP against small servers of the test's own: delimiters of every kind, lengths or none,
//! chunks, servers that die, and that answer with something else.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kinglet_vision::frame::{Frame, Picture};
use kinglet_vision::sources::{self, Health, Next, Source, SourceOptions};

/// A JPEG whose size tells which one it is.
fn jpeg(width: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let pixels = vec![90; usize::from(width) * 8];
    jpeg_encoder::Encoder::new(&mut bytes, 80).encode(&pixels, width, 8, jpeg_encoder::ColorType::Luma).unwrap();
    bytes
}

/// Serves each connection, in turn, with what `serve` writes; gives the address.
fn server(mut serve: impl FnMut(usize, &mut TcpStream, &str) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (i, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let mut request = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut request).is_ok_and(|n| n > 2) {}
            serve(i, &mut stream, &request);
        }
    });
    format!("http://{address}/stream")
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=";

fn open(url: &str) -> Box<dyn Source> {
    sources::open(url, &SourceOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn open_error(url: &str) -> String {
    let error = sources::open(url, &SourceOptions::default()).map(|_| ()).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

/// The next frame; what healths were seen while it was waited for.
fn frame(source: &mut dyn Source) -> (Frame, Vec<Health>) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut healths = Vec::new();
    while Instant::now() < deadline {
        if let Next::Frame(frame) = source.next(Duration::from_millis(50)).unwrap() {
            return (frame, healths);
        }
        healths.push(source.health());
    }
    panic!("no frame came; {:?}", source.health());
}

fn bytes(frame: &Frame) -> &[u8] {
    match &frame.picture {
        Picture::Jpeg(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// Waits until the reader has taken what was sent: the newest wins, so a test that wants all sends them one by one.
fn hand_over(listener: &mpsc::Receiver<()>) {
    let _ = listener.recv_timeout(Duration::from_secs(20));
}

/// Sends three pictures, framed by `part`, and gets each.
fn three_pictures(head: &'static str, part: fn(&[u8]) -> Vec<u8>) {
    let (taken, wait) = mpsc::channel();
    let url = server(move |_, stream, _| {
        stream.write_all(head.as_bytes()).unwrap();
        for width in [8, 16, 24] {
            stream.write_all(&part(&jpeg(width))).unwrap();
            hand_over(&wait);
        }
        // Open and silent, as a camera between two pictures.
        thread::sleep(Duration::from_millis(300));
    });
    let mut source = open(&url);
    for (i, width) in [8, 16, 24].into_iter().enumerate() {
        let (frame, _) = frame(&mut *source);
        assert_eq!(bytes(&frame), jpeg(width), "{head}");
        assert_eq!(frame.sequence, i as u64);
        taken.send(()).unwrap();
    }
}

fn with_length(delimiter: &str, jpeg: &[u8]) -> Vec<u8> {
    let head = format!("{delimiter}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
    [head.as_bytes(), jpeg, b"\r\n"].concat()
}

#[test]
fn parts_with_a_length() {
    three_pictures("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n", |jpeg| {
        with_length("--frame", jpeg)
    });
}

#[test]
fn parts_without_a_length_and_bare_newlines() {
    three_pictures(
        "HTTP/1.0 200 OK\r\ncontent-type: multipart/x-mixed-replace;boundary=\"--my frame\"\r\n\r\n",
        |jpeg| [b"--my frame\nContent-type: image/jpeg\n\n", jpeg, b"\n"].concat(),
    );
}

#[test]
fn a_delimiter_that_is_not_what_the_header_says() {
    three_pictures("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=--a\r\n\r\n", |jpeg| {
        with_length("--b", jpeg)
    });
}

#[test]
fn a_length_that_is_wrong() {
    three_pictures("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n", |jpeg| {
        [b"--x\r\nContent-Length: 3\r\n\r\n", jpeg, b"\r\n"].concat()
    });
}

#[test]
fn chunks_that_end_in_the_middle_of_pictures() {
    three_pictures(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n",
        |jpeg| {
            let part = with_length("--x", jpeg);
            part.chunks(97).flat_map(|c| [format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat()).collect()
        },
    );
}

#[test]
fn only_the_newest_of_many_is_given() {
    let (sent, all_sent) = mpsc::channel();
    let url = server(move |_, stream, _| {
        stream.write_all(format!("{OK}x\r\n\r\n").as_bytes()).unwrap();
        for i in 1..=50u16 {
            stream.write_all(&with_length("--x", &jpeg(i * 8))).unwrap();
        }
        sent.send(()).unwrap();
        thread::sleep(Duration::from_secs(2));
    });
    let mut source = open(&url);
    all_sent.recv_timeout(Duration::from_secs(20)).unwrap();
    thread::sleep(Duration::from_millis(500));
    let (last, _) = frame(&mut *source);
    assert_eq!((bytes(&last), last.sequence), (&jpeg(400)[..], 49));
}

#[test]
fn a_stream_that_dies_is_opened_again() {
    let url = server(|connection, stream, _| {
        let _ = stream.write_all(format!("{OK}x\r\n\r\n").as_bytes());
        let _ = stream.write_all(&with_length("--x", &jpeg(8 * (connection as u16 + 1))));
        thread::sleep(Duration::from_millis(200));
    });
    let mut source = open(&url);
    assert_eq!(bytes(&frame(&mut *source).0), jpeg(8));
    let (second, healths) = frame(&mut *source);
    assert_eq!((bytes(&second), second.sequence), (&jpeg(16)[..], 1));
    assert!(healths.iter().any(|health| matches!(health, Health::Lost { why, .. } if why.contains("ended"))));
    assert_eq!(source.health(), Health::Live);
}

#[test]
fn a_stream_that_falls_silent_is_opened_again() {
    let url = server(|connection, stream, _| {
        let _ = stream.write_all(format!("{OK}x\r\n\r\n").as_bytes());
        let _ = stream.write_all(&with_length("--x", &jpeg(8 * (connection as u16 + 1))));
        if connection == 0 {
            // Half a picture, and silence on a connection that stays open, served by a thread so that others can come.
            let mut stalled = stream.try_clone().unwrap();
            thread::spawn(move || {
                let _ = stalled.write_all(&with_length("--x", &jpeg(800))[..200]);
                thread::sleep(Duration::from_secs(25));
            });
        } else {
            thread::sleep(Duration::from_secs(1));
        }
    });
    let mut source = open(&url);
    assert_eq!(bytes(&frame(&mut *source).0), jpeg(8));
    let silent = Instant::now();
    let (second, healths) = frame(&mut *source);
    assert_eq!(bytes(&second), jpeg(16));
    assert!(silent.elapsed() > Duration::from_secs(3) && silent.elapsed() < Duration::from_secs(15));
    assert!(healths.iter().any(|health| *health != Health::Live), "{healths:?}");
}

#[test]
fn name_and_password_are_sent_and_never_shown() {
    let url = server(|_, stream, request| {
        let allowed = request.to_ascii_lowercase().contains("authorization: basic");
        let head =
            if allowed { format!("{OK}x\r\n\r\n") } else { "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".into() };
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&with_length("--x", &jpeg(8)));
        thread::sleep(Duration::from_millis(300));
    });
    assert!(open_error(&url).contains("NAME:PASSWORD"));
    let mut source = open(&url.replace("http://", "http://me:secret@"));
    assert_eq!(bytes(&frame(&mut *source).0), jpeg(8));
    assert!(!source.describe().to_string().contains("secret"));
}

#[test]
fn what_is_no_stream_is_said_in_one_line() {
    let answer = |answer: &'static str| server(move |_, stream, _| drop(stream.write_all(answer.as_bytes())));
    let page = open_error(&answer("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"));
    assert!(page.contains("text/html") && page.contains("multipart"), "{page}");
    let missing = open_error(&answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
    assert!(missing.contains("404"), "{missing}");
    let noise = open_error(&answer("\0\u{1}\u{2} this is not HTTP\r\n\r\n"));
    assert!(noise.contains("127.0.0.1"), "{noise}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = open_error(&format!("http://me:secret@{closed}/"));
    assert!(refused.contains("refused") && !refused.contains("secret"), "{refused}");
}
