//! What is wrong with this machine, and how to mend it: processor, clock, heat, power, memory, cameras, disk, network.
//!
//! A check is a function from a [`Machine`] to a [`Finding`]; [`examine`] runs them all. All that they read are files below
//! the machine's root, so that a test can make up a machine.

mod cameras;
mod processor;
mod system;

use std::path::{Path, PathBuf};

use kinglet_vision::board::Board;
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All is well, or it does not matter.
    Green,
    /// It costs speed, or something will not work.
    Yellow,
    /// It is broken, or about to be.
    Red,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `power`, `memory`, …
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found, in a line.
    pub found: String,
    /// What to do about it, where there is something to do.
    pub advice: Option<String>,
}

impl Finding {
    fn new(check: &'static str, level: Level, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { check, level, found: found.into(), advice: Some(advice.into()) }
    }

    fn green(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, level: Level::Green, found: found.into(), advice: None }
    }

    fn yellow(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding::new(check, Level::Yellow, found, advice)
    }

    fn red(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding::new(check, Level::Red, found, advice)
    }
}

/// The machine that is looked at.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
    board: Board,
    /// Where programs are looked for.
    path: Vec<PathBuf>,
    /// Where models are kept; `None` where there is no home.
    models: Option<PathBuf>,
}

impl Machine {
    /// The one that this program runs on.
    pub fn this() -> Machine {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Machine {
            path: std::env::split_paths(&path).collect(),
            models: crate::zoo::Zoo::from_env().ok().map(|zoo| zoo.directory().to_owned()),
            ..Machine::at("/")
        }
    }

    /// One whose files lie below this folder, its programs in `usr/bin`.
    pub fn at(root: impl Into<PathBuf>) -> Machine {
        let root = root.into();
        Machine { board: Board::at(&root), path: vec![root.join("usr/bin")], models: Some(root.join("models")), root }
    }

    fn file(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// The content of a file, trimmed; `None` where there is none or nothing is in it.
    fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let text = std::fs::read_to_string(self.file(path)).ok()?;
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The program of this name on the path.
    fn program(&self, name: &str) -> Option<PathBuf> {
        self.path.iter().map(|folder| folder.join(name)).find(|program| program.is_file())
    }

    /// What the board calls itself: `Raspberry Pi 4 Model B Rev 1.4`.
    fn model(&self) -> Option<String> {
        self.text("proc/device-tree/model")
    }

    fn is_raspberry_pi(&self) -> bool {
        self.model().is_some_and(|model| model.contains("Raspberry Pi"))
    }
}

/// All checks, in the order in which they are best read.
pub fn examine(machine: &Machine) -> Vec<Finding> {
    let mut findings = vec![
        processor::cpu(machine),
        processor::kernels(),
        processor::clock(machine),
        processor::temperature(machine),
        processor::power(machine),
        system::memory(machine),
        system::swap(machine),
    ];
    findings.extend(cameras::cameras(machine));
    findings.extend([cameras::rpicam(machine), system::page_size(), system::disk(machine), system::network(machine)]);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A Raspberry Pi 4 that is well.
    const WELL: [(&str, &str); 16] = [
        ("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0"),
        ("proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"),
        ("proc/meminfo", "MemTotal: 3884000 kB\nMemAvailable: 3100000 kB\nSwapTotal: 524288 kB\nSwapFree: 524288 kB\n"),
        ("proc/net/route", "Iface\tDestination\tGateway\tFlags\nwlan0\t00000000\t0101A8C0\t0003\n"),
        ("etc/resolv.conf", "# made by NetworkManager\nnameserver 192.168.1.1\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", "cpufreq-dt\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1500000\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "1800000\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "1800000\n"),
        ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
        ("sys/class/thermal/thermal_zone0/temp", "48200\n"),
        ("sys/class/thermal/thermal_zone0/trip_point_0_type", "critical\n"),
        ("sys/class/thermal/thermal_zone0/trip_point_0_temp", "110000\n"),
        ("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n"),
        ("usr/bin/rpicam-vid", "#!/bin/sh\n"),
    ];

    /// The machine with some files changed; an empty one is removed.
    fn machine(changes: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in WELL.iter().chain(changes) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            if text.is_empty() {
                fs::remove_file(path).unwrap();
            }
        }
        let machine = Machine::at(root.path());
        (root, machine)
    }

    #[track_caller]
    fn check(changes: &[(&str, &str)], check: &str, level: Level, words: &[&str]) {
        let (_root, machine) = machine(changes);
        let findings = examine(&machine);
        let finding = findings.iter().find(|finding| finding.check == check).unwrap();
        let text = format!("{} -> {}", finding.found, finding.advice.as_deref().unwrap_or_default());
        assert_eq!(finding.level, level, "{text}");
        assert_eq!(finding.advice.is_some(), level > Level::Green, "what is wrong has an advice: {text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
    }

    #[test]
    fn a_machine_that_is_well_is_green() {
        let (_root, machine) = machine(&[]);
        for finding in examine(&machine) {
            // There is no camera, and what is below depends on the machine that tests.
            if !["camera", "kernels", "page size", "disk"].contains(&finding.check) {
                assert_eq!(finding.level, Level::Green, "{finding:?}");
            }
        }
    }

    #[test]
    fn the_processor_is_named() {
        check(&[], "cpu", Level::Green, &["Raspberry Pi 4 Model B Rev 1.4", "asimd", "crc32"]);
    }

    #[test]
    fn a_clock_that_is_kept_low_is_seen() {
        const POLICY: &str = "sys/devices/system/cpu/cpu0/cpufreq";
        check(&[], "clock", Level::Green, &["ondemand", "1500 of 1800 MHz"]);
        let governor = format!("{POLICY}/scaling_governor");
        check(&[(&governor, "powersave")], "clock", Level::Yellow, &["powersave", "scaling_governor"]);
        let driver = format!("{POLICY}/scaling_driver");
        check(&[(&governor, "powersave"), (&driver, "intel_pstate")], "clock", Level::Green, &["powersave"]);
        let limit = format!("{POLICY}/scaling_max_freq");
        check(&[(&limit, "600000")], "clock", Level::Yellow, &["limited to 600"]);
    }

    #[test]
    fn heat_is_seen_before_it_slows_the_board() {
        const ZONE: &str = "sys/class/thermal/thermal_zone0";
        let (temp, kind, trip) =
            (format!("{ZONE}/temp"), format!("{ZONE}/trip_point_1_type"), format!("{ZONE}/trip_point_1_temp"));
        check(&[], "temperature", Level::Green, &["48 °C", "slows down from 80 °C"]);
        check(&[(&temp, "72000")], "temperature", Level::Yellow, &["72 °C", "fan"]);
        check(&[(&temp, "83000")], "temperature", Level::Red, &["83 °C", "fan"]);
        check(&[(&temp, "72000"), (&kind, "passive"), (&trip, "70000")], "temperature", Level::Red, &["from 70 °C"]);
        check(&[(&temp, "")], "temperature", Level::Green, &["not told"]);
    }

    #[test]
    fn weak_power_is_told_now_and_since_boot() {
        const FILE: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";
        check(&[], "power", Level::Green, &["no under-voltage"]);
        check(&[(FILE, "50005")], "power", Level::Red, &["now: under-voltage, throttled", "power supply"]);
        check(&[(FILE, "50000")], "power", Level::Yellow, &["since boot: under-voltage, throttled", "power supply"]);
        check(&[(FILE, "e0008")], "power", Level::Red, &["now: soft temperature limit", "cool"]);
        check(&[(FILE, "")], "power", Level::Yellow, &["not told", "raspi-utils"]);
        check(&[(FILE, ""), ("proc/device-tree/model", "")], "power", Level::Green, &["not told"]);
    }

    #[test]
    fn little_memory_is_seen() {
        let meminfo = |total: u32, available: u32, swap: u32, free: u32| {
            format!("MemTotal: {total} kB\nMemAvailable: {available} kB\nSwapTotal: {swap} kB\nSwapFree: {free} kB\n")
        };
        let with = |text: &str, name: &str, level, words: &[&str]| check(&[("proc/meminfo", text)], name, level, words);
        with(&meminfo(3_884_000, 150_000, 0, 0), "memory", Level::Yellow, &["153 of 3977 MB", "smaller model"]);
        with(&meminfo(3_884_000, 40_000, 0, 0), "memory", Level::Red, &["40 of 3977 MB"]);
        with(&meminfo(900_000, 500_000, 0, 0), "swap", Level::Yellow, &["none", "zram"]);
        with(&meminfo(900_000, 500_000, 500_000, 100_000), "swap", Level::Yellow, &["409 of 512 MB"]);
        check(
            &[
                ("proc/self/cgroup", "0::/\n"),
                ("sys/fs/cgroup/memory.max", "50000000"),
                ("sys/fs/cgroup/memory.current", "0"),
            ],
            "memory",
            Level::Red,
            &["control group", "50 of 3977 MB"],
        );
    }

    #[test]
    fn who_holds_a_camera_is_named() {
        let (root, machine) = machine(&[("dev/video0", "no camera"), ("proc/4711/comm", "motion\n")]);
        fs::create_dir_all(root.path().join("proc/4711/fd")).unwrap();
        symlink("/dev/video0", root.path().join("proc/4711/fd/7")).unwrap();
        let findings = examine(&machine);
        let camera = findings.iter().find(|finding| finding.check == "camera").unwrap();
        assert!(camera.found.contains("/dev/video0") && camera.found.contains("motion (4711)"), "{camera:?}");
    }

    #[test]
    fn a_raspberry_pi_without_the_cameras_program_is_told_what_to_install() {
        const PROGRAM: &str = "usr/bin/rpicam-vid";
        check(&[], "rpicam-vid", Level::Green, &[PROGRAM]);
        check(&[(PROGRAM, "")], "rpicam-vid", Level::Yellow, &["not installed", "rpicam-apps-lite"]);
        check(&[(PROGRAM, ""), ("proc/device-tree/model", "")], "rpicam-vid", Level::Green, &["no Raspberry Pi"]);
    }

    #[test]
    fn a_machine_without_a_network_is_told() {
        check(&[], "network", Level::Green, &["wlan0", "192.168.1.1"]);
        check(&[("proc/net/route", "")], "network", Level::Yellow, &["no default route"]);
        check(&[("etc/resolv.conf", "")], "network", Level::Yellow, &["no name server"]);
    }

    #[test]
    fn this_machine_is_examined_without_a_panic() {
        assert!(examine(&Machine::this()).len() >= 10);
        assert!(examine(&Machine::at("/nonexistent")).iter().all(|finding| !finding.found.contains('\n')));
    }
}
