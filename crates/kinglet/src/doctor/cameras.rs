//! Cameras: what each can do, and who holds it.

use std::fs;
use std::path::Path;

use super::{Finding, Level, Machine};

const NO_CAMERA: &str = "connect a USB camera, or take another source: rpicam, a folder of images, a video file";

/// A finding for each video device that is a camera, or the one that there is none.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(super) fn cameras(machine: &Machine) -> Vec<Finding> {
    use kinglet_vision::sources::v4l2;

    let found = v4l2::cameras_in(&machine.file("dev"));
    let usable = found.iter().any(|camera| camera.unusable.is_none());
    let finding = |camera: &v4l2::CameraInfo| {
        let name = camera.path.file_name().unwrap_or_default();
        let device = Path::new("/dev").join(name);
        let mut found = device.display().to_string();
        if !camera.card.is_empty() {
            found += &format!(" {} ({})", camera.card, camera.driver);
        }
        let holders = holders(machine, &device);
        if !holders.is_empty() {
            found += &format!(", held by {}", holders.join(", "));
        }
        match &camera.unusable {
            // Nobody needs it while there is a camera.
            Some(why) => {
                let level = if usable { Level::Green } else { Level::Yellow };
                Finding { check: "camera", level, found: format!("{found}: {why}"), advice: None }
            }
            None if !holders.is_empty() => {
                let advice = "a camera serves one program at a time: close the one that holds it";
                Finding::yellow("camera", found, advice)
            }
            None => Finding::green("camera", format!("{found}: {}", camera.modes.join("; "))),
        }
    };
    let mut findings: Vec<_> = found.iter().map(finding).collect();
    if !usable {
        let without =
            if findings.is_empty() { "there is no video device" } else { "none of these devices is a camera" };
        findings.push(Finding::yellow("camera", without, NO_CAMERA));
    }
    findings
}

/// Cameras are read through V4L2 on 64-bit Linux alone.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub(super) fn cameras(_machine: &Machine) -> Vec<Finding> {
    vec![Finding::yellow("camera", "cameras are read on 64-bit Linux alone", NO_CAMERA)]
}

/// The processes that have the device open, as far as this one may see: `motion (4711)`.
fn holders(machine: &Machine, device: &Path) -> Vec<String> {
    let processes = fs::read_dir(machine.file("proc")).into_iter().flatten().flatten();
    let holds = |process: &Path| {
        let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == device))
    };
    let named = |process: &Path| {
        let id: u32 = process.file_name()?.to_str()?.parse().ok()?;
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        holds(process).then(|| format!("{} ({id})", name.trim()))
    };
    processes.filter_map(|process| named(&process.path())).collect()
}

/// The program that reads a CSI camera.
pub(super) fn rpicam(machine: &Machine) -> Finding {
    const CHECK: &str = "rpicam-vid";
    match ["rpicam-vid", "libcamera-vid"].iter().find_map(|name| machine.program(name)) {
        Some(program) => Finding::green(CHECK, program.display().to_string()),
        None if machine.is_raspberry_pi() => {
            let advice = "for a CSI camera: sudo apt install rpicam-apps-lite";
            Finding::yellow(CHECK, "not installed", advice)
        }
        None => Finding::green(CHECK, "not installed, and not needed: this is no Raspberry Pi"),
    }
}
