//! The CPU's temperature, where Linux tells it, so that a board that slows down for heat is seen to.
//! Reads the files of the kernel's thermal interface (`Documentation/driver-api/thermal/sysfs-api.rst`).

use std::fs;
use std::path::{Path, PathBuf};

/// Zone types that measure the CPU, best first; a board without any of them is read at its first zone.
const CPU_ZONES: [&str; 6] = ["cpu-thermal", "cpu_thermal", "x86_pkg_temp", "cpu", "soc", "coretemp"];

/// A thermal zone that measures the CPU.
#[derive(Clone, Debug)]
pub struct Thermometer {
    zone: PathBuf,
}

impl Thermometer {
    /// The zone of the CPU among those of a folder like `/sys/class/thermal`; `None` where the machine tells no temperature,
    /// as most virtual ones.
    pub(super) fn find_in(folder: &Path) -> Option<Self> {
        let mut zones: Vec<(usize, u32, Self)> = fs::read_dir(folder)
            .ok()?
            .filter_map(|entry| {
                let zone = entry.ok()?.path();
                let number = zone.file_name()?.to_str()?.strip_prefix("thermal_zone")?.parse().ok()?;
                let rank = rank(&fs::read_to_string(zone.join("type")).unwrap_or_default());
                let thermometer = Self { zone };
                thermometer.celsius()?;
                Some((rank, number, thermometer))
            })
            .collect();
        zones.sort_by_key(|(rank, number, _)| (*rank, *number));
        zones.into_iter().next().map(|(_, _, thermometer)| thermometer)
    }

    /// Degrees Celsius now; `None` where the zone cannot be read or tells what no running CPU has.
    pub fn celsius(&self) -> Option<f32> {
        self.read("temp")
    }

    /// The temperature from which the kernel does something about it: the lowest of the zone's trip points.
    pub fn trip(&self) -> Option<f32> {
        let points = (0..).map_while(|number| {
            let kind = fs::read_to_string(self.zone.join(format!("trip_point_{number}_type"))).ok()?;
            Some((number, kind))
        });
        // An `active` one turns a fan on, which slows nothing down.
        let points = points.filter(|(_, kind)| matches!(kind.trim(), "passive" | "hot" | "critical"));
        points.filter_map(|(number, _)| self.read(&format!("trip_point_{number}_temp"))).reduce(f32::min)
    }

    /// Degrees from a file of millidegrees.
    fn read(&self, file: &str) -> Option<f32> {
        let millidegrees: i32 = fs::read_to_string(self.zone.join(file)).ok()?.trim().parse().ok()?;
        let celsius = millidegrees as f32 / 1000.0;
        (-60.0..=150.0).contains(&celsius).then_some(celsius)
    }
}

/// Where a zone's type stands in [`CPU_ZONES`]; vendors append numbers and words (`cpu0-thermal`, `soc_thermal`).
fn rank(kind: &str) -> usize {
    let kind = kind.trim();
    let exact = CPU_ZONES.iter().position(|&name| name == kind);
    exact.or_else(|| CPU_ZONES.iter().position(|&name| kind.starts_with(name))).unwrap_or(CPU_ZONES.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as the kernel lays it out, removed at the end of the test.
    struct Zones(PathBuf);

    impl Zones {
        fn new(name: &str, zones: &[(&str, &str)]) -> Self {
            let folder = std::env::temp_dir().join(format!("kinglet-thermal-{}-{name}", std::process::id()));
            for (number, (kind, temp)) in zones.iter().enumerate() {
                let zone = folder.join(format!("thermal_zone{number}"));
                fs::create_dir_all(&zone).unwrap();
                fs::write(zone.join("type"), format!("{kind}\n")).unwrap();
                fs::write(zone.join("temp"), format!("{temp}\n")).unwrap();
            }
            fs::create_dir_all(folder.join("cooling_device0")).unwrap();
            Self(folder)
        }

        fn celsius(&self) -> Option<f32> {
            Thermometer::find_in(&self.0)?.celsius()
        }
    }

    impl Drop for Zones {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_cpus_zone_is_chosen_by_type() {
        let pi = Zones::new("pi", &[("cpu-thermal", "61234")]);
        assert_eq!(pi.celsius(), Some(61.234));
        let laptop = Zones::new("laptop", &[("acpitz", "27800"), ("iwlwifi_1", "40000"), ("x86_pkg_temp", "55000")]);
        assert_eq!(laptop.celsius(), Some(55.0));
        let board = Zones::new("board", &[("gpu-thermal", "40000"), ("cpu0-thermal", "48500")]);
        assert_eq!(board.celsius(), Some(48.5));
    }

    #[test]
    fn the_lowest_trip_point_that_slows_the_board_counts() {
        let zones = Zones::new("trips", &[("cpu-thermal", "61000")]);
        let thermometer = Thermometer::find_in(&zones.0).unwrap();
        assert_eq!(thermometer.trip(), None);
        for (number, (kind, temp)) in
            [("critical", "110000"), ("active", "50000"), ("passive", "85000")].iter().enumerate()
        {
            let point = |what: &str| zones.0.join(format!("thermal_zone0/trip_point_{number}_{what}"));
            fs::write(point("type"), kind).unwrap();
            fs::write(point("temp"), temp).unwrap();
        }
        assert_eq!(thermometer.trip(), Some(85.0));
    }

    #[test]
    fn the_first_zone_serves_where_no_type_is_known() {
        let unknown = Zones::new("unknown", &[("acpitz", "27800"), ("wifi", "40000")]);
        assert_eq!(unknown.celsius(), Some(27.8));
    }

    #[test]
    fn zones_that_tell_nonsense_are_passed_over() {
        let broken = Zones::new("broken", &[("cpu-thermal", "-274000"), ("cpu-thermal", "n/a"), ("acpitz", "30000")]);
        assert_eq!(broken.celsius(), Some(30.0));
        assert_eq!(Zones::new("empty", &[]).celsius(), None);
        assert!(Thermometer::find_in(Path::new("/nonexistent")).is_none());
    }
}
