//! The zoo against a server that fails in all the ways that servers and networks do.

#[path = "support/server.rs"]
mod server;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use kinglet::Error;
use kinglet::vision::classifier::PreprocessOptions;
use kinglet::zoo::{Entry, LabelSet, Progress, Zoo};
use server::{Answer, Server};

const SIZE: usize = 300_000;
/// The SHA-256 of [`model`], computed with `sha256sum`.
const SHA256: &str = "136f334d647619879743ff33fde1ac6547f40e314692441f2a125e087cad47c9";

/// A file that has no two parts alike.
fn model() -> Vec<u8> {
    (0..SIZE as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn entry() -> Entry {
    Entry {
        name: "test",
        description: "A file for tests",
        address: "https://models.example/a/b/test.tflite",
        sha256: SHA256,
        size: SIZE as u64,
        hub: None,
        architecture: None,
        labels: LabelSet::ImageNet,
        preprocess: PreprocessOptions::default(),
        licence: "MIT",
    }
}

/// A zoo in a directory of its own, in front of a server that gives these answers.
struct Bench {
    server: Server,
    directory: tempfile::TempDir,
}

impl Bench {
    fn new(answers: &[Answer]) -> Bench {
        Bench { server: Server::start(model(), answers), directory: tempfile::tempdir().unwrap() }
    }

    fn zoo(&self) -> Zoo {
        let pause = Duration::from_millis(1);
        Zoo::in_directory(self.directory.path().join("models")).with_mirror(self.server.address()).with_pause(pause)
    }

    fn fetch(&self) -> Result<PathBuf, Error> {
        self.zoo().fetch(&entry(), &mut |_| ())
    }

    fn part(&self) -> PathBuf {
        self.zoo().path(&entry()).with_extension("tflite.part")
    }

    /// Fetches, checks the file, and gives where each request began.
    fn fetch_whole(&self) -> Vec<Option<usize>> {
        let path = self.fetch().unwrap();
        assert!(fs::read(&path).unwrap() == model(), "the file is not what the server has");
        assert!(!self.part().exists(), "the temporary file is left");
        self.server.requests().iter().map(|request| request.from).collect()
    }

    /// Fetches in vain and gives the message; no file may be taken for whole.
    fn fetch_in_vain(&self) -> String {
        let message = self.fetch().unwrap_err().to_string();
        assert!(!self.zoo().path(&entry()).exists());
        assert!(!message.contains('\n'));
        message
    }
}

#[test]
fn a_model_is_fetched_once() {
    let bench = Bench::new(&[Answer::File]);
    let mut seen = Vec::new();
    let path = bench
        .zoo()
        .fetch(&entry(), &mut |progress| match progress {
            Progress::Bytes { done, total } => seen.push((done, total)),
            other => panic!("{other:?}"),
        })
        .unwrap();
    assert_eq!(path, bench.directory.path().join("models/test.tflite"));
    assert_eq!((seen[0], seen[seen.len() - 1]), ((0, SIZE as u64), (SIZE as u64, SIZE as u64)));
    assert!(seen.is_sorted());
    assert_eq!(bench.fetch_whole(), [None], "the second call asks no server");
    assert_eq!(bench.server.requests()[0].path, "/a/b/test.tflite");
}

#[test]
fn a_cut_connection_is_resumed() {
    let bench = Bench::new(&[Answer::CutAfter(1000), Answer::CutAfter(200_000), Answer::File]);
    assert_eq!(bench.fetch_whole(), [None, Some(1000), Some(201_000)]);
    let requests = bench.server.requests();
    assert_eq!(requests[0].if_range, None);
    assert_eq!(requests[2].if_range.as_deref(), Some("\"one\""));
}

#[test]
fn a_killed_download_is_resumed_by_the_next() {
    let bench = Bench::new(&[Answer::File]);
    fs::create_dir_all(bench.part().parent().unwrap()).unwrap();
    fs::write(bench.part(), &model()[..123_456]).unwrap();
    assert_eq!(bench.fetch_whole(), [Some(123_456)]);
}

#[test]
fn what_another_file_left_is_thrown_away() {
    for (left, expected) in [
        (vec![7; 5], vec![Some(5), None]),
        (vec![7; SIZE], vec![None]),
        (vec![7; SIZE + 1], vec![None]),
        (Vec::new(), vec![None]),
    ] {
        let bench = Bench::new(&[Answer::File]);
        fs::create_dir_all(bench.part().parent().unwrap()).unwrap();
        fs::write(bench.part(), &left).unwrap();
        assert_eq!(bench.fetch_whole(), expected, "{} bytes left", left.len());
    }
}

#[test]
fn a_server_without_ranges_is_asked_for_all_again() {
    let bench = Bench::new(&[Answer::WithoutRangesCutAfter(1000), Answer::WithoutRanges]);
    assert_eq!(bench.fetch_whole(), [None, Some(1000)]);
}

#[test]
fn a_wrong_range_is_not_stored() {
    let bench = Bench::new(&[Answer::CutAfter(1000), Answer::WrongRange, Answer::File]);
    assert_eq!(bench.fetch_whole(), [None, Some(1000), None]);
    let bench = Bench::new(&[Answer::CutAfter(1000), Answer::Status(416), Answer::File]);
    assert_eq!(bench.fetch_whole(), [None, Some(1000), None]);
}

#[test]
fn a_busy_server_is_asked_again_but_not_for_ever() {
    let bench = Bench::new(&[Answer::Status(503), Answer::Status(429), Answer::File]);
    let mut problems = Vec::new();
    let mut note = |progress: Progress<'_>| {
        if let Progress::Retrying { problem, pause } = progress {
            problems.push((problem.to_owned(), pause));
        }
    };
    bench.zoo().fetch(&entry(), &mut note).unwrap();
    let pauses: Vec<_> = problems.iter().map(|(_, pause)| pause.as_millis()).collect();
    assert_eq!(pauses, [1, 2]);
    assert!(problems[0].0.contains("503"), "{problems:?}");

    let bench = Bench::new(&[Answer::Status(503)]);
    let message = bench.fetch_in_vain();
    assert!(message.contains("503") && message.contains("try again later"), "{message}");
    assert_eq!(bench.server.requests().len(), 5);
}

#[test]
fn a_connection_that_is_always_cut_at_once_is_given_up() {
    let bench = Bench::new(&[Answer::CutAfter(10), Answer::CutAfter(0)]);
    let message = bench.fetch_in_vain();
    assert!(message.contains("the connection was cut"), "{message}");
    assert_eq!(bench.server.requests().len(), 1 + 5 - 1);
    assert_eq!(fs::metadata(bench.part()).unwrap().len(), 10, "what came is kept for the next call");
}

#[test]
fn a_missing_file_is_said_at_once() {
    let bench = Bench::new(&[Answer::Status(404)]);
    let message = bench.fetch_in_vain();
    assert!(!bench.part().exists(), "nothing came, and nothing is left");
    assert!(message.contains("404") && message.contains("/a/b/test.tflite"), "{message}");
    assert!(message.contains("put the file at") && message.contains("models/test.tflite"), "{message}");
    assert_eq!(bench.server.requests().len(), 1);
}

#[test]
fn a_spoiled_file_is_deleted() {
    let bench = Bench::new(&[Answer::Spoiled]);
    let message = bench.fetch_in_vain();
    assert!(message.contains("SHA-256") && message.contains("deleted"), "{message}");
    assert!(!bench.part().exists());
    assert_eq!(bench.server.requests().len(), 1);
}

#[test]
fn a_page_is_not_taken_for_a_model() {
    let bench = Bench::new(&[Answer::Page]);
    let message = bench.fetch_in_vain();
    assert!(message.contains("web page") && message.contains("sign-in"), "{message}");
}

#[test]
fn an_answer_without_end_is_not_stored() {
    let bench = Bench::new(&[Answer::TooLong]);
    let message = bench.fetch_in_vain();
    assert!(message.contains("more than"), "{message}");
    assert!(fs::metadata(bench.part()).unwrap().len() <= SIZE as u64);
}

#[test]
fn a_damaged_file_in_the_cache_is_replaced() {
    let bench = Bench::new(&[Answer::File]);
    let path = bench.fetch().unwrap();
    for damaged in [&model()[..SIZE - 1], &vec![0; SIZE]] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(bench.zoo().find(&entry()).unwrap(), None);
        bench.fetch_whole();
    }
}

#[test]
fn many_at_once_download_once() {
    let bench = Bench::new(&[Answer::Slowly]);
    let waited = thread::scope(|scope| {
        let fetch = || {
            let mut waited = false;
            bench.zoo().fetch(&entry(), &mut |progress| waited |= progress == Progress::Waiting).unwrap();
            waited
        };
        let all: Vec<_> = (0..4).map(|_| scope.spawn(fetch)).collect();
        all.into_iter().map(|one| one.join().unwrap()).filter(|waited| *waited).count()
    });
    assert_eq!(waited, 3);
    assert_eq!(bench.fetch_whole(), [None]);
}

#[test]
fn no_server_is_said_at_once() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    for (mirror, problem) in [
        (format!("http://{closed}"), "connection refused"),
        ("http://no-such-host.invalid".to_owned(), "no connection"),
        ("no address".to_owned(), "KINGLET_ZOO_URL"),
    ] {
        let zoo = Zoo::in_directory(directory.path()).with_mirror(mirror);
        let message = zoo.fetch(&entry(), &mut |_| ()).unwrap_err().to_string();
        assert!(message.contains(problem) && message.contains("put the file at"), "{message}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let bench = Bench::new(&[Answer::File]);
    fs::write(bench.directory.path().join("models"), "a file where the directory should be").unwrap();
    let message = bench.fetch_in_vain();
    assert!(message.contains("models") && message.contains("KINGLET_HOME"), "{message}");
}

/// The same file, where its publisher gives only the first digits of the hash, and about its size.
fn vaguely_known() -> Entry {
    Entry { sha256: &SHA256[..8], size: SIZE as u64 + 5000, hub: Some("org"), ..entry() }
}

#[test]
fn a_file_of_which_little_is_known_is_checked_by_that() {
    let bench = Bench::new(&[Answer::CutAfter(1000), Answer::File]);
    let mut totals = Vec::new();
    let mut note = |progress: Progress<'_>| {
        if let Progress::Bytes { total, .. } = progress {
            totals.push(total);
        }
    };
    let path = bench.zoo().fetch(&vaguely_known(), &mut note).unwrap();
    assert!(fs::read(path).unwrap() == model() && totals.iter().all(|total| *total == SIZE as u64));
    let from: Vec<_> = bench.server.requests().iter().map(|request| request.from).collect();
    assert_eq!(from, [None, Some(1000)]);

    for (answer, entry, problem) in [
        (Answer::Spoiled, vaguely_known(), "SHA-256 is not 136f334d…: deleted"),
        (Answer::File, Entry { size: 2 * SIZE as u64, ..vaguely_known() }, "where the model has about 600000"),
        (Answer::TooLong, vaguely_known(), "does not say how long"),
    ] {
        let bench = Bench::new(&[answer]);
        let message = bench.zoo().fetch(&entry, &mut |_| ()).unwrap_err().to_string();
        assert!(message.contains(problem), "{message}");
    }
}

#[test]
fn the_caches_of_others_are_used_and_never_written() {
    let bench = Bench::new(&[Answer::Status(404)]);
    let (torch, hub) = (bench.directory.path().join("torch"), bench.directory.path().join("hub"));
    let zoo = bench.zoo().with_shared_caches(&torch, &hub);
    for entry in [entry(), vaguely_known()] {
        assert!(zoo.find(&entry).unwrap().is_none() && zoo.fetch(&entry, &mut |_| ()).is_err());
    }
    // As huggingface_hub keeps files: a link from a revision to a blob that is called by its hash.
    let model_folder = hub.join("models--org--test");
    let (blobs, snapshot) = (model_folder.join("blobs"), model_folder.join("snapshots/0123"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    let link = snapshot.join("model.safetensors");
    std::os::unix::fs::symlink(format!("../../blobs/{SHA256}"), &link).unwrap();
    fs::write(blobs.join(SHA256), &model()[1..]).unwrap();
    assert_eq!(zoo.find(&vaguely_known()).unwrap(), None, "a blob that is not what its name says");
    fs::write(blobs.join(SHA256), model()).unwrap();
    assert_eq!(zoo.fetch(&vaguely_known(), &mut |_| ()).unwrap(), link);
    assert_eq!(zoo.find(&entry()).unwrap(), None, "it has no name on the hub");

    fs::create_dir(&torch).unwrap();
    let path = torch.join("test.tflite");
    fs::write(&path, &model()[..SIZE - 1]).unwrap();
    assert_eq!(zoo.find(&entry()).unwrap(), None, "a file that is cut");
    fs::write(&path, model()).unwrap();
    for entry in [entry(), vaguely_known()] {
        assert_eq!(zoo.fetch(&entry, &mut |_| ()).unwrap(), path);
    }
    assert_eq!(fs::read_dir(&torch).unwrap().count(), 1);
    assert!(!zoo.path(&entry()).exists());
}
