#!/usr/bin/env python3
"""Measures Kinglet, and the engines beside it, and appends what it finds to figures.csv.

    measure.py rivals     times Kinglet beside ONNX Runtime, OpenVINO and LiteRT, in one run
    measure.py profile    an inference's operators on this machine, into profiles/
    measure.py resources  memory, and the time from a process's start to its answer
    measure.py boards     instructions of an inference on the emulated Pi 4 and Pi 5, and of its operators
    measure.py all        all of these, the estimate of `mca`, and the plots

Models: --data DIR is a folder that holds models/ and imagenet/; --model NAME=FILE[,ONNX] adds one, or names each, with
--image FILE. Kinglet runs FILE, which LiteRT runs too if it is a TFLite file; ONNX Runtime and OpenVINO run the ONNX
file. A model is a float one if its name ends in "float". `networks.py` makes the ResNets. KINGLET_PI names the folder
of the emulated boards' script, `boot`. Needs Python 3 and nothing else; the engines are installed with pip into a
virtual environment of their own, at the first run.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
CSV = HERE / "figures.csv"
PROFILES = HERE / "profiles"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")

VERSIONS = {"onnxruntime": "1.32.0", "openvino": "2026.4.1", "openvino-f32": "2026.4.1", "litert": "2.3.0"}
PACKAGES = ["numpy", "onnxruntime==1.32.0", "openvino==2026.4.1", "ai-edge-litert==2.3.0"]

# What each model is called in the CSV, the file that Kinglet runs, and the same network for engines that read ONNX.
MODELS = [
    ("mobilenet_v2 int8", "tf2_mobilenet_v2_1.0_224_ptq.tflite", "mobilenet_v2_imagenet.int8.qdq.onnx"),
    ("mobilenet_v2 uint8", "mobilenet_v2_1.0_224_quant.tflite", None),
    ("mobilenet_v1_0.25_128 uint8", "mobilenet_v1_0.25_128_quant.tflite", None),
    ("mobilenet_v2 float", "mobilenet_v2_imagenet.onnx", "mobilenet_v2_imagenet.onnx"),
]
# Those whose operators are kept, and what the profile's name ends in.
PROFILED = {"mobilenet_v2 int8": "", "mobilenet_v2 float": "-float"}
BOARDS = {"4": "Cortex-A72", "5": "Cortex-A76"}
INSTRUCTION_SETS = {
    "scalar": "scalar",
    "avx2": "AVX2",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "neon": "NEON",
    "neon_dot": "NEON dot",
}
TARGET = "aarch64-unknown-linux-gnu"


def main():
    arguments = parse()
    {"rivals": rivals, "profile": profile, "resources": resources, "boards": boards, "all": everything}[
        arguments.command
    ](arguments)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["rivals", "profile", "resources", "boards", "all"])
    parser.add_argument("--data", type=pathlib.Path, help="a folder with models/ and imagenet/")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FILE[,ONNX]")
    parser.add_argument("--image", type=pathlib.Path, help="a photograph to classify")
    parser.add_argument("--bin", type=pathlib.Path, help="kinglet for this machine [default: built]")
    parser.add_argument("--board-bin", type=pathlib.Path, help="a static aarch64 kinglet [default: built]")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long an engine is timed in a round")
    parser.add_argument("--port", type=int, default=18091, help="a free port of this machine, for the emulated boards")
    parser.add_argument("--venv", type=pathlib.Path, default=CACHE / "kinglet-engines", help="where the engines are")
    parser.add_argument("--csv", type=pathlib.Path, default=CSV, help="where rows are appended")
    parser.add_argument("--profiles", type=pathlib.Path, default=PROFILES, help="where profiles are written")
    arguments = parser.parse_args()
    arguments.models = models(parser, arguments)
    if arguments.command in ("resources", "all") and not arguments.image:
        photographs = sorted((arguments.data / "imagenet").glob("*.jpg")) if arguments.data else []
        if not photographs:
            parser.error("give a photograph with --image, or --data")
        arguments.image = photographs[0]
    return arguments


def models(parser, arguments):
    """(name, Kinglet's file, ONNX file or None) of each model."""
    found = []
    if arguments.data:
        folder = arguments.data / "models"
        found = [(name, folder / file, onnx and folder / onnx) for name, file, onnx in MODELS]
    for text in arguments.model:
        name, equals, files = text.partition("=")
        file, _, onnx = files.partition(",")
        if not (equals and file):
            parser.error(f"--model {text}: give NAME=FILE[,ONNX]")
        onnx = onnx or (file if file.endswith(".onnx") else None)
        found.append((name, pathlib.Path(file), onnx and pathlib.Path(onnx)))
    for file in [file for _, *files in found for file in files if file and not file.exists()]:
        parser.error(f"{file}: no such file")
    return found or parser.error("which models? --data DIR or --model NAME=FILE[,ONNX]")


def everything(arguments):
    rivals(arguments)
    profile(arguments)
    resources(arguments)
    boards(arguments)
    # An estimate that cannot be made here, for want of llvm-mca, does not keep the plots from being drawn.
    subprocess.run([sys.executable, HERE / "mca", "--profiles", arguments.profiles])
    if (arguments.csv, arguments.profiles) == (CSV, PROFILES):
        subprocess.run([sys.executable, HERE / "plot.py"], check=True)


# Engines beside each other.


def rivals(arguments):
    binary = kinglet(arguments)
    python = engines_python(arguments.venv)
    for name, file, onnx in arguments.models:
        files = {"onnxruntime": onnx, "openvino": onnx} if onnx else {}
        if name.endswith("float"):
            files["openvino-f32"] = onnx
        if file.suffix == ".tflite":
            files["litert"] = file
        for threads in arguments.threads:
            times = side_by_side(arguments, binary, python, file, files, threads)
            command = f"benchmarks/measure.py rivals --threads {threads}"
            rows = []
            for engine, medians in times.items():
                title = f"{engine} {version() if engine == 'kinglet' else VERSIONS[engine]}"
                rows.append((title, "median", f"{statistics.median(medians):.3f}", "ms"))
                if engine != "kinglet":
                    ratio = statistics.median(own / other for own, other in zip(times["kinglet"], medians))
                    rows.append((title, "kinglet / engine", f"{ratio:.3f}", "ratio of times"))
            append(arguments, machine(binary), name, threads, rows, command)


def side_by_side(arguments, binary, python, model, files, threads):
    """Each round's median of each engine. Rounds begin with another engine each, so that a machine that drifts treats
    all alike."""
    processes = {engine: start_engine(arguments, python, engine, file, threads) for engine, file in files.items()}
    names = ["kinglet", *processes]
    times = {name: [] for name in names}
    for number in range(arguments.rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            if name == "kinglet":
                median = bench(binary, model, threads, arguments.seconds)["median_ms"]
            else:
                median = ask(processes[name], name)
            times[name].append(median)
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return times


def start_engine(arguments, python, engine, file, threads):
    command = [python, "-W", "ignore", HERE / "engines.py", engine, file, str(threads), str(arguments.seconds)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, text=True, **pipes)
    ask(process, engine)  # It has loaded the model, and is warm.
    return process


def ask(process, engine):
    process.stdin.write("\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("median "):
            return float(line.split()[1])
    sys.exit(f"{engine} ended: {' '.join(map(str, process.args))}")


def engines_python(venv):
    python = venv / "bin" / "python"
    probe = "import numpy, onnxruntime, openvino, ai_edge_litert"
    if not python.exists() or subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL).returncode:
        print(f"installing {', '.join(PACKAGES)} into {venv}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(pip + PACKAGES, check=True)
    return python


# This machine.


def profile(arguments):
    binary = kinglet(arguments)
    kind = os.uname().machine.replace("x86_64", "x86")
    for name, model, _ in arguments.models:
        if name in PROFILED:
            report = bench(binary, model, 1, 2, "--profile")
            write_profile(arguments, f"{kind}-{report['kernels']}", machine(binary), name, report)


def resources(arguments):
    binary = kinglet(arguments)
    for name, model, _ in arguments.models:
        bench_command = [binary, "bench", model, "--threads", "1", "--seconds", "0.5", "--json"]
        classify = [binary, "classify", model, arguments.image]
        megabytes = f"{peak_resident_bytes(bench_command) / 1e6:.1f}"
        rows = [("peak resident of bench", megabytes, "MB", "kinglet bench MODEL --threads 1 --seconds 0.5")]
        milliseconds = f"{1e3 * statistics.median(wall_seconds(classify) for _ in range(20)):.1f}"
        rows.append(("process start to answer", milliseconds, "ms", "kinglet classify MODEL IMAGE, median of 20"))
        for (figure, value, unit, command), threads in zip(rows, (1, os.cpu_count())):
            rows = [(f"kinglet {version()}", figure, value, unit)]
            append(arguments, machine(binary), name, threads, rows, command)


def peak_resident_bytes(command):
    """The high-water mark that the kernel keeps for the process's own memory. wait4's is of no use here: it counts what
    the process was before it became the command, a copy of this interpreter, which may be larger."""
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        # As long as it is the copy, or where it has ended, there is nothing to read.
        while process.poll() is None:
            try:
                image = os.readlink(f"/proc/{process.pid}/exe")
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                break
            found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
            if found and image == str(pathlib.Path(command[0]).resolve()):
                peak = max(peak, 1024 * int(found[1]))
            time.sleep(0.002)
    if process.returncode or not peak:
        sys.exit(f"{command[0]} failed or ended at once")
    return peak


def wall_seconds(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


# The emulated boards.


def boards(arguments):
    folder = os.environ.get("KINGLET_PI") or sys.exit("KINGLET_PI must name the folder with the script `boot`")
    binary = arguments.board_bin or build(TARGET)
    for pi, core in BOARDS.items():
        for name, model, _ in arguments.models:
            files = ["--file", f"{binary}:/kinglet", "--file", str(model)]
            inside = ["/kinglet", "bench", f"/{model.name}", "--threads", "1", "--seconds", "0.5"]
            boot = [pathlib.Path(folder) / "boot", "--pi", pi, "--count", "--timeout", "900"]
            boot += ["--port", f"{arguments.port}:80", *files, "--", *inside, "--profile", "--json"]
            report = json_of(boot)
            rows = [(f"kinglet {version()}", "instructions", f"{report['median_ms']:.2f}", "million")]
            command = "boot --count -- kinglet bench MODEL --threads 1 --seconds 0.5 --profile --json"
            append(arguments, f"emulated {core}", name, 1, rows, command)
            if name in PROFILED:
                write_profile(arguments, core.lower(), f"emulated {core}", name, report)


# What all of them use.


def kinglet(arguments):
    return (arguments.bin or build(None)).resolve()


def build(target):
    """The binary for this machine, or a static one for the target."""
    command, environment = ["cargo", "build", "--release", "-p", "kinglet-cli"], dict(os.environ)
    if target:
        command += ["--target", target]
        environment["RUSTFLAGS"] = "-Ctarget-feature=+crt-static"
        linker = f"CARGO_TARGET_{target.upper().replace('-', '_')}_LINKER"
        if shutil.which("aarch64-linux-gnu-gcc"):
            environment.setdefault(linker, "aarch64-linux-gnu-gcc")
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    folder = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return folder / (target or "") / "release" / "kinglet"


def bench(binary, model, threads, seconds, *more):
    return json_of([binary, "bench", model, "--threads", str(threads), "--seconds", str(seconds), "--json", *more])


def json_of(command):
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
    found = next((line for line in output.splitlines() if line.startswith("{")), None)
    return json.loads(found) if found else sys.exit(f"{' '.join(map(str, command))} printed no JSON:\n{output}")


def version():
    return re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


def machine(binary):
    """Such as `x86 2-core AMD EPYC AVX-512 VNNI`: the last words are the best kernels."""
    kernels = json_of([binary, "kernels", "--json"])
    best = [isa["name"] for isa in kernels["instruction_sets"] if isa["available"]][-1]
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    # x86 names the processor, a Raspberry Pi the board.
    found = re.search(r"^(?:model name|Model)\s*: (.*)$", cpuinfo, re.MULTILINE)
    name = re.sub(r"\((R|TM)\)|CPU|@.*|Processor|\d+-Core", "", found[1] if found else "")
    architecture = kernels["architecture"].replace("x86_64", "x86")
    return " ".join(f"{architecture} {os.cpu_count()}-core {name} {INSTRUCTION_SETS[best]}".split())


def append(arguments, machine, model, threads, rows, command):
    with open(arguments.csv, "a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for engine, figure, value, unit in rows:
            row = [datetime.date.today(), machine, model, threads, engine, figure, value, unit, command]
            writer.writerow(row)
            print(*row[1:-1], sep="  ")


def write_profile(arguments, file, machine, model, report):
    """One operator a line, so that a difference can be read."""
    head = {"date": str(datetime.date.today()), "machine": machine, "network": model}
    rows = report.pop("profile")
    lines = [f'  {json.dumps(key)}: {json.dumps(value)}' for key, value in {**head, **report}.items()]
    operators = ",\n".join(f"    {json.dumps(row)}" for row in rows)
    lines.append(f'  "profile": [\n{operators}\n  ]')
    arguments.profiles.mkdir(exist_ok=True)
    path = arguments.profiles / f"{file}{PROFILED[model]}.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(path)


if __name__ == "__main__":
    main()
