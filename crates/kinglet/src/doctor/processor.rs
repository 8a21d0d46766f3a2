//! The processor: what it can do, how fast it is clocked, and what keeps it from that.

use kinglet_kernels::table::{Choice, Table};
use kinglet_kernels::{cpu::Isa, gemm, qdwconv, qgemm};

use super::{Finding, Level, Machine};

/// Where a Raspberry Pi's firmware begins to slow its cores down, and where most boards do.
const SLOWED_FROM: f32 = 80.0;
/// So near to that it is told.
const NEAR: f32 = 10.0;

const COOL: &str = "cool the board: a heat sink with a fan, and air around it";
const POWER: &str = "use a stronger power supply (5.1 V; 3 A for a Raspberry Pi 4, 5 A for a 5) with a short, thick cable, \
                     and take USB devices off";

/// The board, its cores, and what the kernel of the operating system says they can do.
pub(super) fn cpu(machine: &Machine) -> Finding {
    let info = machine.text("proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name));
        value.map(|(_, value)| value.trim().to_owned())
    };
    let name = machine.model().or_else(|| field("model name")).unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = crate::physical_cores();
    let features = field("Features").or_else(|| field("flags")).unwrap_or_default();
    // Of x86's hundred flags, those that matter here.
    let features: Vec<_> =
        features.split_whitespace().filter(|flag| !info.contains("flags") || matters(flag)).collect();
    let plural = if cores == 1 { "" } else { "s" };
    Finding::green("cpu", format!("{name}, {cores} physical core{plural} to use; {}", features.join(" ")))
}

fn matters(flag: &str) -> bool {
    ["avx", "fma", "f16c", "sse4"].iter().any(|start| flag.starts_with(start))
}

/// The kernels that run most of a model.
pub(super) fn kernels() -> Finding {
    fn picked<K>(table: &'static Table<K>) -> (&'static str, Isa) {
        let row = table.pick(Choice::Best);
        (row.name, row.isa)
    }
    let picked = [picked(&qgemm::TABLE), picked(&qdwconv::TABLE), picked(&gemm::TABLE)];
    let found = picked.map(|(name, _)| name).join(", ");
    if picked.iter().any(|(_, isa)| *isa == Isa::Scalar) {
        let advice = "this CPU has none of the instructions that kernels are written for; models run many times slower";
        return Finding::yellow("kernels", found, advice);
    }
    Finding::green("kernels", found)
}

/// The governor, and the frequency now against what could be.
pub(super) fn clock(machine: &Machine) -> Finding {
    let file = |name: &str| machine.text(format!("sys/devices/system/cpu/cpu0/cpufreq/{name}"));
    let mhz = |name: &str| Some(file(name)?.parse::<u64>().ok()? / 1000);
    let Some(governor) = machine.board.governor() else {
        return Finding::green("clock", "not told, as on most virtual machines");
    };
    let driver = file("scaling_driver").unwrap_or_default();
    let most = mhz("cpuinfo_max_freq");
    let now = mhz("scaling_cur_freq").zip(most).map(|(now, most)| format!(", {now} of {most} MHz")).unwrap_or_default();
    let found = format!("governor {governor}{now}");
    // With these drivers `powersave` is what others call `ondemand`.
    let scales_itself = driver == "intel_pstate" || driver.starts_with("amd-pstate");
    if ["powersave", "conservative"].contains(&governor.as_str()) && !scales_itself {
        let advice =
            "let the clock rise: echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor";
        return Finding::yellow("clock", found, advice);
    }
    match (mhz("scaling_max_freq"), most) {
        (Some(limit), Some(most)) if limit < most => {
            let found = format!("{found}, limited to {limit} MHz");
            let advice = format!("raise scaling_max_freq to {most}000 in /sys/devices/system/cpu/cpu*/cpufreq");
            Finding::yellow("clock", found, advice)
        }
        _ => Finding::green("clock", found),
    }
}

/// The temperature against what slows the processor down.
pub(super) fn temperature(machine: &Machine) -> Finding {
    const CHECK: &str = "temperature";
    let thermometer = machine.board.thermometer();
    let Some((celsius, trip)) = thermometer.and_then(|found| Some((found.celsius()?, found.trip()))) else {
        return Finding::green(CHECK, "not told, as on most virtual machines");
    };
    let limit = match trip {
        Some(trip) if !machine.is_raspberry_pi() => trip,
        trip => trip.unwrap_or(SLOWED_FROM).min(SLOWED_FROM),
    };
    let found = format!("{celsius:.0} °C; slows down from {limit:.0} °C");
    match celsius {
        _ if celsius >= limit => Finding::red(CHECK, found, COOL),
        _ if celsius >= limit - NEAR => Finding::yellow(CHECK, found, COOL),
        _ => Finding::green(CHECK, found),
    }
}

/// What a Raspberry Pi's firmware says of the power supply, and why it keeps the clock down.
pub(super) fn power(machine: &Machine) -> Finding {
    const CHECK: &str = "power";
    let Some(throttling) = machine.board.throttling() else {
        return match machine.is_raspberry_pi() {
            true => Finding::yellow(CHECK, "not told", "install vcgencmd: sudo apt install raspi-utils"),
            false => Finding::green(CHECK, "not told: only a Raspberry Pi's firmware does"),
        };
    };
    let (now, before) = (throttling.now(), throttling.since_boot());
    let told = |when: &str, words: &[&str]| format!("{when}: {}", words.join(", "));
    let (level, found) = match (&now[..], &before[..]) {
        ([], []) => return Finding::green(CHECK, "no under-voltage and no throttling, now or since boot"),
        ([], before) => (Level::Yellow, told("since boot", before)),
        (now, []) => (Level::Red, told("now", now)),
        (now, before) => (Level::Red, format!("{}; {}", told("now", now), told("since boot", before))),
    };
    let weak = throttling.under_voltage() || now.is_empty() && throttling.was_under_voltage();
    Finding::new(CHECK, level, found, if weak { POWER } else { COOL })
}
