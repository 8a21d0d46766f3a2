#!/usr/bin/env python3
"""Draws figures.csv and profiles/*.json as SVG files in plots/, and names them in README.md between its two marks.

    plot.py [--csv FILE] [--profiles FOLDER] [--to FOLDER]

The newest figure of each machine, model, engine and number of threads is drawn.
"""

import argparse
import csv
import json
import math
import pathlib
from collections import defaultdict
from html import escape

HERE = pathlib.Path(__file__).resolve().parent
BEGIN, END = "<!-- plots: written by plot.py -->", "<!-- end of plots -->"

ENGINES = ["kinglet", "onnxruntime", "openvino-f32", "openvino", "litert"]
TITLES = {
    "kinglet": "Kinglet",
    "onnxruntime": "ONNX Runtime",
    "openvino-f32": "OpenVINO, f32",
    "openvino": "OpenVINO",
    "litert": "LiteRT",
}
QUANTIZED = {
    "mobilenet_v2 int8": "MobileNetV2 1.0, int8",
    "mobilenet_v2 uint8": "MobileNetV2 1.0, uint8",
    "mobilenet_v1_0.25_128 uint8": "MobileNetV1 0.25, uint8",
}
RESNETS = {"resnet18 int8": "ResNet-18, int8", "resnet50 int8": "ResNet-50, int8"}
FLOAT = {
    "mobilenet_v2 float": "MobileNetV2 1.0, float",
    "resnet18 float": "ResNet-18, float",
    "resnet50 float": "ResNet-50, float",
}
# What a plot shows, and how its file's name goes on.
FAMILIES = {"": QUANTIZED, "-resnets": RESNETS, "-float": FLOAT}
MODELS = QUANTIZED | RESNETS | FLOAT
KINDS_OF_X86 = ["AVX-512 VNNI", "AVX2"]
# Multiply-adds an instruction of the boards' kernels at most, and what does them.
INSTRUCTION_ROOFS = {
    "emulated Cortex-A72": (32 / 5, "32 multiply-adds in 5: smull, three smlal, sadalp"),
    "emulated Cortex-A76": (16, "16 multiply-adds in 1: sdot"),
}
FLOAT_ROOF = (4, "4 multiply-adds in 1: fmla")

# Colours that people who see few of them tell apart (after Okabe and Ito), a shade lighter on dark ground.
STYLE = """
svg { --ground: #ffffff; --ink: #1f2328; --faint: #59636e; --line: #d1d9e0; --kinglet: #d55e00; --onnxruntime: #0072b2;
  --openvino: #8a6fb3; --openvino-f32: #b39bd6; --litert: #8c959f; --conv: #d55e00; --depthwise: #0072b2; --other: #8c959f; }
@media (prefers-color-scheme: dark) { svg { --ground: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --line: #3d444d;
  --kinglet: #f58a3c; --onnxruntime: #56a8e0; --openvino: #b79ae0; --openvino-f32: #8f76b8; --litert: #7d8590; --conv: #f58a3c;
  --depthwise: #56a8e0; --other: #7d8590; } }
text { font: 12px system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: var(--ink); }
.title { font-size: 16px; font-weight: 600; } .head { font-size: 13px; font-weight: 600; }
.faint { fill: var(--faint); font-size: 11px; } .middle { text-anchor: middle; } .end { text-anchor: end; }
.ground { fill: var(--ground); } .grid { stroke: var(--line); stroke-width: 1; } .axis { stroke: var(--faint); }
.roof { stroke: var(--ink); stroke-width: 2; fill: none; } .point { stroke: var(--ground); fill-opacity: 0.75; }
.own { font-weight: 600; }
"""


class Svg:
    """A drawing under way."""

    def __init__(self, width, height, title, description):
        self.size = (width, height)
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
            f' role="img" aria-label="{escape(title)}">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="ground" width="{width}" height="{height}" rx="6"/>',
        ]
        self.text(24, 32, title, "title")
        self.text(24, 50, description, "faint")

    def text(self, x, y, text, classes="", more=""):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}" {more}>{escape(text)}</text>')

    def line(self, x1, y1, x2, y2, classes):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{classes}"/>')

    def bar(self, x, y, width, height, colour, hint):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="var(--{colour})">'
            f"<title>{escape(hint)}</title></rect>"
        )

    def circle(self, x, y, radius, colour, hint=""):
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" class="point" fill="var(--{colour})">'
            f"<title>{escape(hint)}</title></circle>"
        )

    def write(self, path):
        lines = [line.rstrip() for line in "\n".join([*self.parts, "</svg>"]).splitlines()]
        path.write_text("\n".join(filter(None, lines)) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=pathlib.Path, default=HERE / "figures.csv")
    parser.add_argument("--profiles", type=pathlib.Path, default=HERE / "profiles")
    parser.add_argument("--to", type=pathlib.Path, default=HERE / "plots")
    arguments = parser.parse_args()
    arguments.to.mkdir(exist_ok=True)
    for old in arguments.to.glob("*.svg"):
        old.unlink()
    with open(arguments.csv, newline="") as file:
        rows = list(csv.DictReader(file))
    profiles = sorted(arguments.profiles.glob("*.json"))
    plots = [*times(rows), *instructions(rows), *map(roofline, profiles)]
    for name, _, svg in plots:
        svg.write(arguments.to / name)
        print(arguments.to / name)
    if arguments.to == HERE / "plots":
        name_in_readme([(name, alternative) for name, alternative, _ in plots])


def name_in_readme(plots):
    path = HERE / "README.md"
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    images = "\n\n".join(f"![{alternative}](plots/{name})" for name, alternative in plots)
    path.write_text(f"{before}{BEGIN}\n\n{images}\n\n{END}{after}")


# Bars: engines beside each other.


def newest(rows, figure):
    """The last row of each machine, model, number of threads and engine, without its version; in the file's order."""
    found = {}
    for row in rows:
        if row["figure"] == figure and row["engine"].split()[0] in ENGINES:
            key = row["machine"], row["model"], int(row["threads"]), row["engine"].split()[0]
            found.pop(key, None)
            found[key] = row
    return found


def times(rows):
    """For each kind of x86 machine plots of the one that was measured last."""
    found = newest(rows, "median")
    for kind in KINDS_OF_X86:
        machine = next((key[0] for key in reversed(found) if key[0].startswith("x86") and key[0].endswith(kind)), None)
        for ending, family in FAMILIES.items():
            panels = [(title, groups_of(found, machine, model)) for model, title in family.items()]
            if not any(groups for _, groups in panels):
                continue
            description = f"{machine.removeprefix('x86 ')}. Milliseconds an inference, median. Shorter is better."
            if family is FLOAT:
                description += " OpenVINO computes in bfloat16 unless told otherwise; the others in float32."
            svg = bars_in_panels("Kinglet beside other engines", description, "ms an inference", panels)
            alternative = f"Milliseconds an inference of each engine on {machine}: {', '.join(family.values())}"
            yield f"times-{slug(kind)}{ending}.svg", alternative, svg


def groups_of(found, machine, model):
    """A model's bars for each number of threads."""
    groups = []
    for threads in sorted({key[2] for key in found if key[:2] == (machine, model)}):
        bars = [(engine, found.get((machine, model, threads, engine))) for engine in ENGINES]
        label = f"{threads} thread{'s' if threads > 1 else ''}"
        groups.append((label, [(engine, row) for engine, row in bars if row]))
    return groups


def instructions(rows):
    found = newest(rows, "instructions")
    panels = []
    for model, title in MODELS.items():
        groups = []
        for machine in sorted({machine for machine, of, *_ in found if of == model}):
            bars = [(engine, found.get((machine, model, 1, engine))) for engine in ENGINES]
            groups.append((machine.removeprefix("emulated "), [(engine, row) for engine, row in bars if row]))
        panels.append((title, groups))
    description = "Millions of instructions an inference, one core, counted on emulated boards: "
    description += "Cortex-A72 is the Pi 4's, Cortex-A76 the Pi 5's. Fewer is better."
    if found:
        unit = "million instructions an inference"
        svg = bars_in_panels("Instructions on the Raspberry Pi", description, unit, panels)
        yield "instructions-boards.svg", "Instructions an inference of each engine on both boards", svg


def bars_in_panels(title, description, unit, panels):
    # What has no bar of Kinglet's says nothing about it.
    panels = [(title, [group for group in groups if "kinglet" in dict(group[1])]) for title, groups in panels]
    panels = [(title, groups) for title, groups in panels if groups]
    height, left, top, bottom, gap = 360, 24, 118, 66, 28
    # A panel is as wide as its bars need, and has its own scale: models differ by a factor of twenty.
    units = [sum(room(bars) for _, bars in groups) for _, groups in panels]
    around = 2 * left + gap * (len(panels) - 1) + 40 * len(panels)
    width = max(900, around + 30 * sum(units))
    unit_width = (width - around) / sum(units)
    svg = Svg(width, height, title, description)
    rows = [row for _, groups in panels for _, bars in groups for _, row in bars]
    legend(svg, rows)
    x = left
    for (panel, groups), count in zip(panels, units):
        x += 40
        draw_panel(svg, panel, groups, (x, top, count * unit_width, height - top - bottom), unit, min(unit_width, 46))
        x += count * unit_width + gap
    svg.text(24, height - 14, f"Measured {dates(rows)}. {versions(rows)}.", "faint")
    return svg


def room(bars):
    """Widths of a bar that a group takes: its bars and a gap, or its label."""
    return max(len(bars) + 1, 3)


def legend(svg, rows):
    present = {row["engine"].split()[0] for row in rows}
    x = 24
    for engine in (engine for engine in ENGINES if engine in present):
        svg.bar(x, 66, 12, 12, engine, TITLES[engine])
        svg.text(x + 18, 76.5, TITLES[engine])
        x += 36 + 7 * len(TITLES[engine])


def draw_panel(svg, title, groups, place, unit, bar_width):
    x, y, width, height = place
    highest = max(float(row["value"]) for _, bars in groups for _, row in bars)
    step = nice_step(1.08 * highest / 4)
    top = step * math.ceil(1.08 * highest / step)
    svg.text(x - 40, y - 18, title, "head")
    for i in range(round(top / step) + 1):
        level = y + height * (1 - i * step / top)
        svg.line(x, level, x + width, level, "axis" if i == 0 else "grid")
        svg.text(x - 6, level + 4, f"{i * step:g}", "faint end")
    middle = y + height / 2
    svg.text(x - 32, middle, unit, "faint middle", f'transform="rotate(-90 {x - 32:.1f} {middle:.1f})"')
    share = width / sum(room(bars) for _, bars in groups)
    left = x
    for label, bars in groups:
        own = share * room(bars)
        start = left + (own - bar_width * len(bars)) / 2
        for i, (engine, row) in enumerate(bars):
            value = float(row["value"])
            bar = height * value / top
            at = start + i * bar_width
            hint = f"{row['engine']}: {value:g} {row['unit']}"
            svg.bar(at + 2, y + height - bar, bar_width - 4, bar, engine, hint)
            text = f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
            svg.text(at + bar_width / 2, y + height - bar - 5, text, "middle own" if engine == "kinglet" else "middle")
        svg.text(left + own / 2, y + height + 18, label, "middle")
        left += own


def nice_step(least):
    """The smallest of 1, 2, 5, 10, … (and their tenths) that is not less."""
    power = 10 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * 0.999)


def dates(rows):
    found = sorted({row["date"] for row in rows})
    return found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"


def versions(rows):
    engines = dict.fromkeys(row["engine"] for row in rows)
    engines = sorted(engines, key=lambda engine: ENGINES.index(engine.split()[0]))
    return ", ".join(f"{TITLES[engine.split()[0]]} {' '.join(engine.split()[1:])}" for engine in engines)


# Rooflines: operators under what the machine can do.

KINDS = {"Conv2d": ("conv", "convolution"), "DepthwiseConv2d": ("depthwise", "depthwise convolution")}


def roofline(path):
    profile = json.loads(path.read_text())
    machine = profile["machine"]
    emulated = INSTRUCTION_ROOFS.get(machine)
    if emulated and profile["network"] in FLOAT:
        emulated = FLOAT_ROOF
    peak, peak_label = emulated or (profile["peak_gmacs"], f"measured peak {profile['peak_gmacs']:.0f} GMAC/s")
    slope = None if emulated else profile["memory_gb_s"]
    unit = "multiply-adds an instruction" if emulated else "GMAC/s"
    threads = f"{profile['threads']} thread{'s' if profile['threads'] > 1 else ''}"
    width, height = 900, 480
    title = f"How far from the roof: {MODELS.get(profile['network'], profile['network'])}"
    svg = Svg(width, height, title, f"{machine}, {threads}. A point is an operator, its area the share of the time.")
    points = [row for row in profile["profile"] if row["multiply_adds"]]
    x = Logarithmic(intensities(points), (70, width - 30))
    y = Logarithmic([row["gmacs"] for row in points] + [1.15 * peak], (height - 76, 104))
    axes(svg, x, y, "multiply-adds a byte of input, weights and output", unit)
    draw_roof(svg, x, y, peak, slope, peak_label)
    for row in sorted(points, key=lambda row: -row["share"]):
        colour, _ = KINDS.get(row["op"].split("+")[0], ("other", ""))
        hint = f"{row['node']}: {row['gmacs']:.3g} {unit}, {row['share']:.1f} % of the time"
        at = x(row["multiply_adds"] / row["bytes"]), y(row["gmacs"])
        svg.circle(*at, 3 + 3.4 * math.sqrt(row["share"]), colour, hint)
    kinds_legend(svg, points)
    speed = sum(row["multiply_adds"] for row in points) / sum(row["ms"] for row in profile["profile"]) / 1e6
    whole = f"The whole inference: {speed:.3g} {unit}, {100 * speed / peak:.0f} % of the roof."
    svg.text(24, height - 14, f"Measured {profile['date']}, kernels up to {profile['kernels']}. {whole}", "faint")
    return f"roofline-{path.stem}.svg", f"Operators of {profile['network']} under the roof of {machine}", svg


def intensities(points):
    return [row["multiply_adds"] / row["bytes"] for row in points]


def kinds_legend(svg, points):
    x = 24
    for colour, label in KINDS.values():
        svg.circle(x + 6, 72, 6, colour)
        svg.text(x + 18, 76.5, label)
        x += 40 + 6.5 * len(label)


class Logarithmic:
    """From numbers to places, with ticks at 1, 2 and 5 times the powers of ten."""

    def __init__(self, numbers, places):
        self.low, self.high = math.log10(min(numbers) / 1.25), math.log10(max(numbers) * 1.25)
        self.places = places

    def __call__(self, number):
        part = (math.log10(number) - self.low) / (self.high - self.low)
        return self.places[0] + part * (self.places[1] - self.places[0])

    def ticks(self):
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
        return [tick for tick in ticks if self.low <= math.log10(tick) <= self.high]


def axes(svg, x, y, x_label, y_label):
    (left, right), (bottom, top) = x.places, y.places
    for tick in x.ticks():
        svg.line(x(tick), bottom, x(tick), top, "grid")
        svg.text(x(tick), bottom + 16, f"{tick:g}", "faint middle")
    for tick in y.ticks():
        svg.line(left, y(tick), right, y(tick), "grid")
        svg.text(left - 8, y(tick) + 4, f"{tick:g}", "faint end")
    svg.line(left, bottom, right, bottom, "axis")
    svg.line(left, bottom, left, top, "axis")
    svg.text((left + right) / 2, bottom + 34, x_label, "faint middle")
    middle = (bottom + top) / 2
    svg.text(26, middle, y_label, "faint middle", f'transform="rotate(-90 26 {middle:.1f})"')


def draw_roof(svg, x, y, peak, slope, label):
    left, right = 10**x.low, 10**x.high
    svg.text(x.places[1], y(peak) - 7, label, "end own")
    if not slope:
        svg.line(x.places[0], y(peak), x.places[1], y(peak), "roof")
        return
    # Where memory and arithmetic are a match, and where memory's line enters the plot.
    corner = max(peak / slope, left)
    start = max(left, 10**y.low / slope)
    if start < corner:
        svg.line(x(start), y(slope * start), x(corner), y(peak), "roof")
        middle = math.sqrt(start * corner)
        run, rise = x(corner) - x(start), y(slope * start) - y(peak)
        turn = -math.degrees(math.atan2(rise, run))
        at = x(middle), y(slope * middle) - 8
        label = f"memory {slope:.0f} GB/s"
        svg.text(*at, label, "middle own", f'transform="rotate({turn:.1f} {at[0]:.1f} {at[1]:.1f})"')
    svg.line(x(corner), y(peak), x.places[1], y(peak), "roof")


def slug(name):
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())


if __name__ == "__main__":
    main()
