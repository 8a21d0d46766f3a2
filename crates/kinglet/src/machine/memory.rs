//! How much memory there is, and how much of it this process may still have: as the kernel says (`/proc/meminfo`), and as
//! the control groups that hold the process say (`Documentation/admin-guide/cgroup-v2.rst`, and `cgroup-v1/memory.rst`).

use std::fs;
use std::path::Path;

/// Memory of a machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All there is, without what the firmware and the GPU keep.
    pub total: u64,
    /// What programs can have without swapping.
    pub available: u64,
    /// The swap space that there is.
    pub swap_total: u64,
    /// The swap space that is free.
    pub swap_free: u64,
    /// What the control groups of this process leave it; `None` where they set no limit.
    pub group_left: Option<u64>,
}

/// Where a version of control groups keeps its files, what they are called, and what the kernel can take back of what is
/// counted as used.
struct Files {
    /// What `/proc/self/cgroup` has before the group's path.
    prefix: &'static str,
    mount: &'static str,
    limit: &'static str,
    used: &'static str,
    reclaimable: &'static str,
}

const VERSIONS: [Files; 2] = [
    Files {
        prefix: "0::",
        mount: "sys/fs/cgroup",
        limit: "memory.max",
        used: "memory.current",
        reclaimable: "inactive_file",
    },
    Files {
        prefix: ":memory:",
        mount: "sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        reclaimable: "total_inactive_file",
    },
];

impl Memory {
    /// That of this machine; `None` where the kernel does not tell.
    pub fn read() -> Option<Memory> {
        Memory::read_in(Path::new("/"))
    }

    /// The same from the files below another folder than `/`.
    pub fn read_in(root: &Path) -> Option<Memory> {
        let meminfo = fs::read_to_string(root.join("proc/meminfo")).ok()?;
        let bytes = |name: &str| Some(field(&meminfo, name)? * 1024);
        Some(Memory {
            total: bytes("MemTotal:")?,
            available: bytes("MemAvailable:")?,
            swap_total: bytes("SwapTotal:").unwrap_or(0),
            swap_free: bytes("SwapFree:").unwrap_or(0),
            group_left: group_left(root),
        })
    }

    /// What this process can still have, swap included.
    pub fn free(&self) -> u64 {
        (self.available + self.swap_free).min(self.group_left.unwrap_or(u64::MAX))
    }
}

/// The number after a name, in a file of names and numbers.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut words = text.lines().map(str::split_whitespace);
    words.find_map(|mut line| (line.next()? == name).then(|| line.next()?.parse().ok())?)
}

/// The least that a group of this process or one around it leaves.
fn group_left(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let left = VERSIONS.iter().filter_map(|files| {
        let path = groups.lines().find_map(|line| Some(line.split_once(files.prefix)?.1))?;
        let mount = root.join(files.mount);
        let group = mount.join(path.trim_start_matches('/'));
        group.ancestors().take_while(|group| group.starts_with(&mount)).filter_map(|group| left_in(group, files)).min()
    });
    left.min()
}

fn left_in(group: &Path, files: &Files) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    // Without a limit it says `max`, or a number beyond all memory.
    let limit: u64 = read(files.limit)?.trim().parse().ok()?;
    let used: u64 = read(files.used)?.trim().parse().ok()?;
    let reclaimable = read("memory.stat").and_then(|stat| field(&stat, files.reclaimable)).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(reclaimable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     600 kB\n\
                           SwapTotal:        300 kB\nSwapFree:         200 kB\n";

    /// A machine with these files.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files.iter().chain(&[("proc/meminfo", MEMINFO)]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn memory_is_read() {
        let memory = Memory::read_in(machine(&[]).path()).unwrap();
        let kib = |count: u64| count << 10;
        assert_eq!(
            [memory.total, memory.available, memory.swap_total, memory.swap_free],
            [1000, 600, 300, 200].map(kib)
        );
        assert_eq!((memory.group_left, memory.free()), (None, kib(800)));
        assert_eq!(Memory::read_in(Path::new("/nonexistent")), None);
    }

    #[test]
    fn the_narrowest_group_counts() {
        let files = [
            ("proc/self/cgroup", "0::/system.slice/kinglet.service\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "500000\n"),
            ("sys/fs/cgroup/system.slice/memory.current", "450000\n"),
            ("sys/fs/cgroup/system.slice/memory.stat", "anon 400000\ninactive_file 20000\n"),
            ("sys/fs/cgroup/system.slice/kinglet.service/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/kinglet.service/memory.current", "1000\n"),
        ];
        let memory = Memory::read_in(machine(&files).path()).unwrap();
        assert_eq!((memory.group_left, memory.free()), (Some(70_000), 70_000));
    }

    #[test]
    fn the_older_groups_are_known() {
        let files = [
            ("proc/self/cgroup", "4:cpu,cpuacct:/\n3:memory:/docker/ab\n"),
            ("sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes", "100000\n"),
            ("sys/fs/cgroup/memory/docker/ab/memory.usage_in_bytes", "130000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "130000\n"),
        ];
        assert_eq!(Memory::read_in(machine(&files).path()).unwrap().free(), 0);
    }
}
