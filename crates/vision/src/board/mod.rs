//! What slows a board down without a word: heat, a weak power supply, a governor that keeps the clock low. People blame
//! the model; so these facts stand beside the frame rate.

mod thermometer;
mod throttling;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

pub use thermometer::Thermometer;
pub use throttling::Throttling;

use crate::error::{Result, VisionError};

/// How often a running loop's board is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A board, as the files of its kernel describe it.
#[derive(Clone, Debug)]
pub struct Board {
    root: PathBuf,
}

/// How the board does at one moment; `None` is what it does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BoardState {
    /// The CPU's temperature in degrees Celsius.
    pub temperature_c: Option<f32>,
    /// What decides on the CPU's clock: `ondemand`, `performance`, `powersave`, …
    pub governor: Option<String>,
    /// Whether the supply's voltage is too low.
    pub under_voltage: Option<bool>,
    /// Whether the firmware keeps the clock down, for heat or for want of power.
    pub throttled: Option<bool>,
}

impl Default for Board {
    /// The board that this program runs on.
    fn default() -> Board {
        Board::at("/")
    }
}

impl Board {
    /// The board whose files lie below this folder.
    pub fn at(root: impl Into<PathBuf>) -> Board {
        Board { root: root.into() }
    }

    /// How it does now.
    pub fn state(&self) -> BoardState {
        let throttling = Throttling::read(&self.root);
        BoardState {
            temperature_c: self.thermometer().and_then(|thermometer| thermometer.celsius()),
            governor: self.governor(),
            under_voltage: throttling.map(Throttling::under_voltage),
            throttled: throttling.map(Throttling::throttled),
        }
    }

    /// What measures its CPU's temperature; `None` where nothing does, as on most virtual machines.
    pub fn thermometer(&self) -> Option<Thermometer> {
        Thermometer::find_in(&self.root.join("sys/class/thermal"))
    }

    /// What its firmware says of power and heat; `None` where it is no Raspberry Pi, or the kernel does not pass it on.
    pub fn throttling(&self) -> Option<Throttling> {
        Throttling::read(&self.root)
    }

    /// The governor of its first CPU.
    pub fn governor(&self) -> Option<String> {
        text(&self.root.join("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
    }
}

/// A file of one line.
fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// A thread that looks at a board now and then: asking the firmware can take milliseconds, which no frame should wait for.
/// It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct BoardWatch {
    state: Arc<Mutex<BoardState>>,
    _ends_the_thread: Sender<()>,
}

impl BoardWatch {
    /// Looks at the board once, and starts the thread.
    pub(crate) fn start(board: Board) -> Result<BoardWatch> {
        let state = Arc::new(Mutex::new(board.state()));
        let (ends_the_thread, end) = mpsc::channel();
        let watched = state.clone();
        let watch = move || {
            while end.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                let now = board.state();
                *watched.lock().unwrap_or_else(PoisonError::into_inner) = now;
            }
        };
        std::thread::Builder::new().name("board".into()).spawn(watch).map_err(VisionError::Thread)?;
        Ok(BoardWatch { state, _ends_the_thread: ends_the_thread })
    }

    /// How it did when it was looked at last.
    pub(crate) fn state(&self) -> BoardState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_tells_what_slows_it_down() {
        let root = tempfile::tempdir().unwrap();
        let board = Board::at(root.path());
        assert_eq!(board.state(), BoardState::default(), "nothing is told");
        for (path, text) in [
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "81500\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n"),
            ("sys/devices/platform/soc/soc:firmware/get_throttled", "50008\n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let expected = BoardState {
            temperature_c: Some(81.5),
            governor: Some("ondemand".to_owned()),
            under_voltage: Some(false),
            throttled: Some(true),
        };
        assert_eq!(board.state(), expected);
        assert_eq!(BoardWatch::start(board).unwrap().state(), expected);
    }
}
