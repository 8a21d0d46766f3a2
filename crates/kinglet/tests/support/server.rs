//! A small HTTP server for tests: serves one file under any path, and fails in the ways that servers and networks do.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The file, or the range of it that was asked for.
    File,
    /// The same, slowly.
    Slowly,
    /// The same, but the connection ends after this many bytes of the body.
    CutAfter(usize),
    /// The whole file, whatever range was asked for.
    WithoutRanges,
    /// The whole file but for its end: the connection ends after this many bytes.
    WithoutRangesCutAfter(usize),
    /// Another range than was asked for.
    WrongRange,
    /// A file of the same size with another byte in its middle.
    Spoiled,
    /// More bytes than the file has, without saying how many.
    TooLong,
    /// No file but this status, with an empty body.
    Status(u16),
    /// A page, as a network answers that wants a sign-in.
    Page,
}

/// A server, until the test's process ends.
pub struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path that was asked for.
    pub path: String,
    /// The first byte that was asked for.
    pub from: Option<usize>,
    /// The version of the file that the range was meant for.
    pub if_range: Option<String>,
}

impl Server {
    /// Serves `file`: the n-th connection gets the n-th answer, all further ones the last.
    pub fn start(file: Vec<u8>, answers: &[Answer]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, answers, file) = (Arc::clone(&requests), answers.to_vec(), Arc::new(file));
        thread::spawn(move || {
            for (index, stream) in listener.incoming().flatten().enumerate() {
                let answer = answers[index.min(answers.len() - 1)];
                let (file, log) = (Arc::clone(&file), Arc::clone(&log));
                // A client that goes away in the middle is its own affair.
                thread::spawn(move || _ = serve(stream, &file, answer, &log));
            }
        });
        Server { address, requests }
    }

    /// `http://127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What was asked for so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, file: &[u8], answer: Answer, log: &Mutex<Vec<Request>>) -> std::io::Result<()> {
    let request = read_request(&stream)?;
    log.lock().unwrap().push(request.clone());
    let from = request.from.unwrap_or(0);
    match answer {
        Answer::File => send_range(stream, file, from, file.len()),
        Answer::Slowly => {
            let mut stream = send_head(stream, file, from)?;
            for chunk in file[from..].chunks(file.len() / 20 + 1) {
                thread::sleep(Duration::from_millis(20));
                stream.write_all(chunk)?;
            }
            Ok(())
        }
        Answer::CutAfter(bytes) => send_range(stream, file, from, (from + bytes).min(file.len())),
        Answer::WithoutRanges => send_range(stream, file, 0, file.len()),
        Answer::WithoutRangesCutAfter(bytes) => send_range(stream, file, 0, bytes),
        Answer::WrongRange => send_range(stream, file, from.min(1), file.len()),
        Answer::Spoiled => {
            let mut file = file.to_vec();
            let middle = file.len() / 2;
            file[middle] ^= 1;
            send_range(stream, &file, from, file.len())
        }
        Answer::TooLong => {
            (&stream).write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            (&stream).write_all(file)?;
            (&stream).write_all(file)
        }
        Answer::Status(status) => {
            write!(&stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Answer::Page => {
            let page = "<html>Welcome to our hotel</html>";
            let length = page.len();
            write!(
                &stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
            )
        }
    }
}

fn read_request(stream: &TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { path, from: None, if_range: None };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                request.from = value.trim().strip_prefix("bytes=").and_then(|v| v.split('-').next()?.parse().ok())
            }
            "if-range" => request.if_range = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    Ok(request)
}

fn send_range(stream: TcpStream, file: &[u8], from: usize, to: usize) -> std::io::Result<()> {
    send_head(stream, file, from)?.write_all(&file[from..to])
}

fn send_head(mut stream: TcpStream, file: &[u8], from: usize) -> std::io::Result<TcpStream> {
    let length = file.len() - from;
    if from == 0 {
        write!(stream, "HTTP/1.1 200 OK\r\n")?;
    } else {
        let (last, total) = (file.len() - 1, file.len());
        write!(stream, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{last}/{total}\r\n")?;
    }
    write!(stream, "ETag: \"one\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    Ok(stream)
}
