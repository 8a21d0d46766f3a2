//! The zoo from the command line, against a server on this machine.

#[path = "../../kinglet/tests/support/server.rs"]
mod server;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use server::{Answer, Server};
use support::{assert_fields, data, error_line, json, kinglet, small_model, stdout};

const SMALL: &str = "mobilenet_v1_0.25_128";

fn pull(server: &Server, home: &tempfile::TempDir) -> Command {
    let mut command = kinglet(home.path());
    command.env("KINGLET_ZOO_URL", server.address()).args(["pull", SMALL]);
    command
}

#[test]
fn models_are_listed() {
    let home = tempfile::tempdir().unwrap();
    let list = &json(kinglet(home.path()).arg("models"))[0];
    let first = &list.as_array().unwrap()[0];
    assert_fields(first, &["name", "description", "size", "licence", "address", "sha256", "path", "fetched"]);
    assert_eq!((&first["name"], &first["fetched"]), (&"mobilenet_v2".into(), &false.into()));
    assert!(stdout(kinglet(home.path()).arg("models")).contains(SMALL));
}

#[test]
fn a_model_is_pulled_once_and_used_without_a_network() {
    let Some(data) = data() else { return };
    let file = fs::read(small_model(&data)).unwrap();
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(file.clone(), &[Answer::CutAfter(100_000), Answer::File]);
    let path = stdout(&mut pull(&server, &home));
    assert!(fs::read(path.trim()).unwrap() == file);
    let listing = &json(&mut pull(&server, &home))[0];
    assert_eq!((&listing["fetched"], &listing["path"]), (&true.into(), &path.trim().into()));
    let asked: Vec<_> = server.requests().iter().map(|request| request.from).collect();
    assert_eq!(asked, [None, Some(100_000)]);
    // No server answers here.
    let report = &json(kinglet(home.path()).args(["bench", SMALL, "--seconds", "0.01"]))[0];
    assert_eq!(report["model"], SMALL);
}

#[test]
fn processes_that_pull_at_once_share_one_download() {
    let Some(data) = data() else { return };
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(fs::read(small_model(&data)).unwrap(), &[Answer::Slowly]);
    let start = || pull(&server, &home).stdout(Stdio::null()).spawn().unwrap();
    let all: Vec<_> = (0..3).map(|_| start()).collect();
    assert!(all.into_iter().all(|mut one| one.wait().unwrap().success()));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_cannot_be_pulled_is_explained_in_one_line() {
    for (answer, problem) in [
        (Answer::Status(404), "the server answered 404"),
        (Answer::Page, "web page"),
        (Answer::File, "bytes where the model has 525598"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let server = Server::start(vec![7; 1000], &[answer]);
        let line = error_line(&mut pull(&server, &home));
        assert!(line.contains(problem) && line.contains(server.address()), "{line}");
        assert!(line.contains("put the file at") && line.contains("mobilenet_v1_0.25_128_quant.tflite"), "{line}");
    }
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(vec![7; 525_598], &[Answer::File]);
    let line = error_line(&mut pull(&server, &home));
    assert!(line.contains("SHA-256") && line.contains("deleted"), "{line}");
    let kept = fs::read_dir(home.path().join("models")).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> = kept.filter(|path| path.metadata().unwrap().len() > 0).collect();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn without_a_network_the_default_command_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["classify", "mobilenet_v2", "a.jpg"]] {
        let line = error_line(kinglet(home.path()).args(arguments));
        assert!(line.contains("connection refused") && line.contains("put the file at"), "{line}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(Vec::new(), &[Answer::File]);
    fs::write(home.path().join("models"), "a file").unwrap();
    let line = error_line(&mut pull(&server, &home));
    assert!(line.contains("KINGLET_HOME"), "{line}");

    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser may write anywhere.
    if fs::create_dir(home.path().join("probe")).is_err() {
        let line = error_line(&mut pull(&server, &home));
        assert!(line.contains("permission denied") && line.contains("KINGLET_HOME"), "{line}");
    }
    assert!(server.requests().is_empty(), "nothing is asked for that cannot be kept");
}
