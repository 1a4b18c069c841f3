# SPDX-License-Identifier: MIT
"""What the benchmarks share: the set-up, one timed run of a guest under Gamut or
QEMU, and numbers of several runs."""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

# No two running domains of a user have the same name; what runs beside a benchmark must not meet it.
RUNTIME = tempfile.TemporaryDirectory(prefix="gamut-bench-") # pylint: disable=consider-using-with
os.environ["XDG_RUNTIME_DIR"] = RUNTIME.name

TOP = pathlib.Path(__file__).resolve().parents[3]
BUILD = TOP / "build"
GUESTS = BUILD / "guests"
RAMDISK = GUESTS / "initramfs.img"
TIMEOUT = 40
MAX_HANGS = 5


def set_up(qemu):
    """The shared set-up, in its own shell; its words go to standard error."""
    groups = "build guests" + (" bench" if qemu else "")
    script = f'set -eu -o pipefail; source "{TOP}/conf/setup"; setup_packages {groups}; setup_build "$BUILD"; setup_guests'
    subprocess.run(["bash", "-c", script], check=True, stdout=sys.stderr)


def quote(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def gamut_file(path, command, memory, mode, engine, ramdisk=RAMDISK, extra="", vcpus=1):
    """A domain file for the busybox guest, which runs the command and powers off."""
    console = "hvc0" if mode in ("pvh", "pv") else "ttyS0"
    cmdline = f'console={console} panic=-1 gamut_exec="{command}"'
    path = pathlib.Path(path)
    path.write_text(f'name = "bench";\nmode = "{mode}";\nengine = "{engine}";\nmemory = {memory};\nvcpus = {vcpus};\n'
                    f'boot = {{ kernel = "{GUESTS}/vmlinuz"; ramdisk = "{ramdisk}"; cmdline = {quote(cmdline)}; }};\n{extra}\n')
    return path


def qemu_command(command, memory, ramdisk=RAMDISK):
    """The same under QEMU's TCG, whose guest has to be told how to end."""
    return ["qemu-system-x86_64", "-accel", "tcg", "-M", "microvm", "-cpu", "max", "-m", str(memory), "-smp", "1",
            "-nodefaults", "-no-user-config", "-nographic", "-serial", "stdio", "-no-reboot",
            "-kernel", str(GUESTS / "vmlinuz"), "-initrd", str(ramdisk),
            "-append", f'console=ttyS0 reboot=t panic=-1 gamut_exec="{command}"']


def qemu_pc_command(command, memory, ramdisk=RAMDISK, disk=None):
    """The same under QEMU's TCG as a whole PC: its BIOS, its IDE disk."""
    drive = ["-drive", f"file={disk},format=raw,if=ide"] if disk else []
    return ["qemu-system-x86_64", "-accel", "tcg", "-M", "pc", "-cpu", "max", "-m", str(memory), "-smp", "1",
            "-no-user-config", "-nodefaults", "-vga", "std", "-nographic", "-serial", "stdio", "-no-reboot", *drive,
            "-kernel", str(GUESTS / "vmlinuz"), "-initrd", str(ramdisk),
            "-append", f'console=ttyS0 panic=-1 gamut_exec="{command}"']


def qemu_virtio_command(command, memory, ramdisk, disk, row):
    """The same under QEMU's TCG with a virtio disk: mmio (-M microvm), pci (-M pc) or pci-iothread."""
    words = qemu_command(command, memory, ramdisk) if row == "mmio" else qemu_pc_command(command, memory, ramdisk)
    device = "virtio-blk-device" if row == "mmio" else "virtio-blk-pci"
    thread = ["-object", "iothread,id=io"] if row == "pci-iothread" else []
    return [*words, *thread, "-drive", f"file={disk},format=raw,if=none,id=disk,cache=writeback,aio=threads",
            "-device", f"{device},drive=disk" + (",iothread=io" if thread else "")]


def start_to_end(command, timeout=TIMEOUT):
    """(wall seconds, status, output, errors); status is None when it had to be stopped."""
    start = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as proc:
        try:
            out, err = proc.communicate(timeout=timeout)
            status = proc.returncode
        except subprocess.TimeoutExpired:
            proc.kill()
            out, err = proc.communicate()
            status = None
    return time.monotonic() - start, status, out.decode(errors="replace"), err.decode(errors="replace")


def refusal(path):
    """Why this host cannot run a domain file, or None."""
    _, status, out, err = start_to_end([str(BUILD / "gamut"), "check", str(path)])
    return None if status == 0 else " ".join((err + out).replace(str(path), "").split()).lstrip(":0123456789 ")


def run_guest(name, command, *, hangs=None, timeout=TIMEOUT):
    """(wall seconds, what the guest printed). A run that does not end in order is an error, not a number; but one that
    may hang (hangs is a list) is made again, and noted there."""
    wall, status, out, err = start_to_end(command, timeout)
    while hangs is not None and status is None and len(hangs) < MAX_HANGS:
        hangs.append(name)
        wall, status, out, err = start_to_end(command, timeout)
    if status != 0 or "gamut-init: status 0" not in out:
        raise SystemExit(f"{name}: status {status}, no orderly end\n{out[-2000:]}\n{err[-2000:]}")
    return wall, out


def summary(values):
    return {"median": round(statistics.median(values), 4), "min": round(min(values), 4),
            "max": round(max(values), 4), "runs": [round(v, 4) for v in values]}


def ratio(a, b):
    """Of the medians of two summaries."""
    return round(a["median"] / b["median"], 4) if b["median"] else None
