//! What the tests of the command share: running it, its output, a model that is small and real, test data.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// What every line of `live --json` has besides the answer.
pub const LIVE_FIELDS: [&str; 10] = [
    "fps",
    "inference_ms",
    "latency_ms",
    "captured",
    "inferred",
    "dropped",
    "temperature_c",
    "governor",
    "under_voltage",
    "throttled",
];

/// The command, cut off from the user's cache, network settings and terminal.
pub fn kinglet(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinglet"));
    command.env("KINGLET_HOME", home).env("KINGLET_ZOO_URL", "http://127.0.0.1:9").env_remove("NO_COLOR");
    command.env("XDG_CONFIG_HOME", home).env_remove("KINGLET_CONFIG").env_remove("KINGLET_LOG");
    command
}

/// Standard output of a command that must end well.
pub fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard output as JSON values, one a line.
pub fn json(command: &mut Command) -> Vec<Value> {
    stdout(command.arg("--json")).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Checks that an object has these fields and no others.
#[track_caller]
pub fn assert_fields(value: &Value, expected: &[&str]) {
    let names: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, expected.iter().copied().collect());
}

/// The one line of a command that must fail with status 1, printing nothing else.
pub fn error_line(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let line = one_line(&output);
    assert_eq!(output.status.code(), Some(1), "{command:?}: {line}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{command:?}");
    line
}

fn one_line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    let line = text.strip_prefix("error: ").unwrap_or_else(|| panic!("no error: {text}"));
    line.trim_end().to_owned()
}

/// The folder of real models and photographs; where there is none, says that the test is skipped.
pub fn data() -> Option<PathBuf> {
    match std::env::var_os("KINGLET_DATA") {
        Some(data) => Some(std::path::absolute(data).unwrap()),
        None => {
            eprintln!("skipped: KINGLET_DATA is not set");
            None
        }
    }
}

/// The small model among the test data.
pub fn small_model(data: &Path) -> PathBuf {
    data.join("models/mobilenet_v1_0.25_128_quant.tflite")
}
