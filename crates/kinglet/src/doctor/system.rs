//! The rest of the machine: memory, disk, network.

use std::fs;

use super::{Finding, Level, Machine};
use crate::Memory;

const MB: u64 = 1_000_000;
/// Less free memory than this is little, and too little, for most models.
const LITTLE_MEMORY: [u64; 2] = [200 * MB, 64 * MB];
/// Machines with less memory than this want some swap space.
const SMALL_MACHINE: u64 = 1900 * MB;
/// The same for the disk, on which models are kept.
const LITTLE_DISK: [u64; 2] = [200 * MB, 20 * MB];

/// Green, yellow or red, the less there is.
fn level(there: u64, [little, too_little]: [u64; 2]) -> Level {
    match there {
        _ if there < too_little => Level::Red,
        _ if there < little => Level::Yellow,
        _ => Level::Green,
    }
}

/// The memory that this process can have.
pub(super) fn memory(machine: &Machine) -> Finding {
    let Some(memory) = Memory::read_in(&machine.root) else {
        return Finding::yellow("memory", "not told: /proc/meminfo cannot be read", "mount /proc");
    };
    let available = memory.available.min(memory.group_left.unwrap_or(u64::MAX));
    let by = if available < memory.available { " (the control group's limit)" } else { "" };
    let found = format!("{} of {} MB available{by}", available / MB, memory.total / MB);
    match level(available, LITTLE_MEMORY) {
        Level::Green => Finding::green("memory", found),
        level => Finding::new("memory", level, found, "close other programs, or take a smaller model"),
    }
}

/// The swap space, which a small machine should have.
pub(super) fn swap(machine: &Machine) -> Finding {
    let Some(memory) = Memory::read_in(&machine.root) else {
        return Finding::green("swap", "not told");
    };
    let used = memory.swap_total.saturating_sub(memory.swap_free);
    let found = match memory.swap_total {
        0 => "none".to_owned(),
        total => format!("{} of {} MB used", used / MB, total / MB),
    };
    if memory.swap_total == 0 && memory.total < SMALL_MACHINE {
        return Finding::yellow("swap", found, "give this small machine some: sudo apt install zram-tools");
    }
    match used * 2 > memory.swap_total {
        true => Finding::yellow("swap", found, "memory is short, and swapping is slow: close other programs"),
        false => Finding::green("swap", found),
    }
}

/// The size of memory pages: 4 KB, 16 KB on a Raspberry Pi 5, 64 KB at most, and Kinglet runs on all.
pub(super) fn page_size() -> Finding {
    Finding::green("page size", format!("{} KB", rustix::param::page_size() / 1024))
}

/// The room where models are kept.
pub(super) fn disk(machine: &Machine) -> Finding {
    const HOME: &str = "set KINGLET_HOME to a directory that you may write";
    let Some(models) = &machine.models else {
        return Finding::yellow("disk", "there is no home directory to keep models in", HOME);
    };
    // The folder is made when the first model is fetched.
    let Some(statistics) = models.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok()) else {
        return Finding::yellow("disk", format!("{} cannot be looked at", models.display()), HOME);
    };
    let free = statistics.f_bavail.saturating_mul(statistics.f_frsize);
    let found = format!("{} MB free for models in {}", free / MB, models.display());
    match level(free, LITTLE_DISK) {
        Level::Green => Finding::green("disk", found),
        level => Finding::new("disk", level, found, "delete what is not needed, or set KINGLET_HOME to another disk"),
    }
}

/// Whether models could be fetched: a route to elsewhere, and a name server. Nobody is called.
pub(super) fn network(machine: &Machine) -> Finding {
    const ADVICE: &str =
        "connect the machine to fetch models, or put their files on it by hand; the rest works without";
    let Some(interface) = default_route(machine) else {
        return Finding::yellow("network", "no default route", ADVICE);
    };
    let servers = fs::read_to_string(machine.file("etc/resolv.conf")).unwrap_or_default();
    let server = servers.lines().find_map(|line| line.trim().strip_prefix("nameserver").map(str::trim));
    match server {
        Some(server) => Finding::green("network", format!("through {interface}, names from {server}")),
        None => Finding::yellow("network", format!("through {interface}, but no name server"), ADVICE),
    }
}

/// The interface of the route that is taken where no other fits.
fn default_route(machine: &Machine) -> Option<String> {
    let table = |name: &str| fs::read_to_string(machine.file(format!("proc/net/{name}"))).unwrap_or_default();
    let (v4, v6) = (table("route"), table("ipv6_route"));
    let v4 = v4.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let interface = words.next()?;
        (words.next()? == "00000000").then_some(interface)
    });
    let v6 = || {
        v6.lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [destination, "00", .., interface] = words[..] else { return None };
            (destination.bytes().all(|digit| digit == b'0') && interface != "lo").then_some(interface)
        })
    };
    v4.or_else(v6).map(str::to_owned)
}
