//! What a Raspberry Pi's firmware says of power and heat, by `get_throttled`: a word of bits, which the kernel of Raspberry
//! Pi OS has as a file, and `vcgencmd` prints elsewhere.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The file's place on Raspberry Pis up to the 4.
const FILE: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";
/// The devices of the firmware's driver, one of which has the file wherever the board's bus is called something else.
const DEVICES: &str = "sys/bus/platform/drivers/raspberrypi-firmware";
/// The program that asks the firmware, where it is installed.
const PROGRAM: &str = "usr/bin/vcgencmd";

const UNDER_VOLTAGE: u32 = 1 << 0;
const FREQUENCY_CAPPED: u32 = 1 << 1;
const THROTTLED: u32 = 1 << 2;
const SOFT_TEMPERATURE_LIMIT: u32 = 1 << 3;
/// The same bits, so much higher, say that it happened since the board was started.
const SINCE_BOOT: u32 = 16;

/// Each bit and what it means.
const MEANINGS: [(u32, &str); 4] = [
    (UNDER_VOLTAGE, "under-voltage"),
    (FREQUENCY_CAPPED, "clock capped"),
    (THROTTLED, "throttled"),
    (SOFT_TEMPERATURE_LIMIT, "soft temperature limit"),
];

/// The firmware's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttling(u32);

impl Throttling {
    pub(super) fn read(root: &Path) -> Option<Throttling> {
        let text = fs::read_to_string(root.join(FILE)).ok();
        let text = text.or_else(|| {
            let devices = fs::read_dir(root.join(DEVICES)).ok()?;
            devices.flatten().find_map(|device| fs::read_to_string(device.path().join("get_throttled")).ok())
        });
        Throttling::parse(&text.or_else(|| ask(&root.join(PROGRAM)))?)
    }

    /// `50005`, as the file has it, or `throttled=0x50005`, as the program prints it.
    fn parse(text: &str) -> Option<Throttling> {
        let digits = text.trim().trim_start_matches("throttled=").trim_start_matches("0x");
        u32::from_str_radix(digits, 16).ok().map(Throttling)
    }

    /// The supply's voltage is too low now.
    pub fn under_voltage(self) -> bool {
        self.0 & UNDER_VOLTAGE != 0
    }

    /// The clock is kept down now, for whatever reason.
    pub fn throttled(self) -> bool {
        self.0 & (FREQUENCY_CAPPED | THROTTLED | SOFT_TEMPERATURE_LIMIT) != 0
    }

    /// The supply's voltage was too low at some time since the board was started.
    pub fn was_under_voltage(self) -> bool {
        self.0 & UNDER_VOLTAGE << SINCE_BOOT != 0
    }

    /// What holds now, in words.
    pub fn now(self) -> Vec<&'static str> {
        words(self.0)
    }

    /// What held at some time since the board was started.
    pub fn since_boot(self) -> Vec<&'static str> {
        words(self.0 >> SINCE_BOOT)
    }
}

fn words(bits: u32) -> Vec<&'static str> {
    MEANINGS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, meaning)| *meaning).collect()
}

fn ask(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("get_throttled").stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn each_bit_has_its_word_now_and_since_boot() {
        let all = ["under-voltage", "clock capped", "throttled", "soft temperature limit"];
        for (bit, word) in all.into_iter().enumerate() {
            let now = Throttling(1 << bit);
            assert_eq!((now.now(), now.since_boot()), (vec![word], vec![]));
            let once = Throttling(1 << (16 + bit));
            assert_eq!((once.now(), once.since_boot()), (vec![], vec![word]));
            assert!(!once.throttled() && !once.under_voltage());
            assert_eq!((now.under_voltage(), now.throttled()), (bit == 0, bit != 0));
            assert_eq!(once.was_under_voltage(), bit == 0);
        }
        assert_eq!((Throttling(0xF_000F).now(), Throttling(0xF_000F).since_boot()), (all.to_vec(), all.to_vec()));
    }

    #[test]
    fn the_file_and_the_programs_answer_are_read() {
        for (text, word) in
            [("50005\n", Some(0x50005)), ("throttled=0x50005\n", Some(0x50005)), ("0", Some(0)), ("?", None)]
        {
            assert_eq!(Throttling::parse(text), word.map(Throttling), "{text}");
        }
    }

    #[test]
    fn where_there_is_no_file_the_program_is_asked() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Throttling::read(root.path()), None);
        let program = root.path().join(PROGRAM);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, "#!/bin/sh\n[ \"$*\" = get_throttled ] && echo throttled=0x20002\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(Throttling::read(root.path()), Some(Throttling(0x20002)));
        let file = root.path().join(DEVICES).join("soc@107c000000:firmware/get_throttled");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "0\n").unwrap();
        assert_eq!(Throttling::read(root.path()), Some(Throttling(0)), "the file needs no process");
    }
}
