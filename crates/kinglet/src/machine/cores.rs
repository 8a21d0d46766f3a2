//! How many threads are worth having on this machine.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

/// The physical cores that this process may use: threads that share one count once, and neither an affinity mask nor a
/// control group's quota is exceeded. At least 1.
pub fn physical_cores() -> usize {
    let allowed = available_parallelism().map_or(1, |count| count.get());
    let cores = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| parse_cpu_list(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?))
        .map_or(allowed, |cpus| distinct_cores(Path::new("/sys/devices/system/cpu"), &cpus));
    cores.clamp(1, allowed)
}

/// How many cores these CPUs are. One whose siblings are not known is a core of its own.
fn distinct_cores(cpus_folder: &Path, cpus: &[usize]) -> usize {
    let core = |cpu: &usize| {
        let siblings = cpus_folder.join(format!("cpu{cpu}/topology/thread_siblings_list"));
        fs::read_to_string(siblings).unwrap_or_else(|_| cpu.to_string())
    };
    cpus.iter().map(core).collect::<HashSet<_>>().len()
}

/// Reads the kernel's way to write sets of CPUs: `0-3,8`.
fn parse_cpu_list(list: &str) -> Option<Vec<usize>> {
    /// More CPUs than Linux supports: a bound for numbers that make no sense.
    const MOST: usize = 1 << 14;
    let mut cpus = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MOST {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read() {
        for (list, cpus) in [
            ("\t0-3,8\n", Some(vec![0, 1, 2, 3, 8])),
            ("0", Some(vec![0])),
            ("0-99999999", None),
            ("", None),
            ("a-b", None),
        ] {
            assert_eq!(parse_cpu_list(list), cpus, "{list:?}");
        }
    }

    #[test]
    fn threads_of_a_core_count_once() {
        let folder = tempfile::tempdir().unwrap();
        for (cpu, siblings) in [(0, "0,2\n"), (1, "1,3\n"), (2, "0,2\n"), (3, "1,3\n")] {
            let topology = folder.path().join(format!("cpu{cpu}/topology"));
            fs::create_dir_all(&topology).unwrap();
            fs::write(topology.join("thread_siblings_list"), siblings).unwrap();
        }
        assert_eq!(distinct_cores(folder.path(), &[0, 1, 2, 3]), 2);
        assert_eq!(distinct_cores(folder.path(), &[0, 2]), 1);
        assert_eq!(distinct_cores(folder.path(), &[0, 7, 8]), 3, "nothing is known of 7 and 8");
    }

    #[test]
    fn this_machine_has_a_core() {
        let cores = physical_cores();
        assert!(cores >= 1 && cores <= available_parallelism().map_or(1, |count| count.get()));
    }
}
