# SPDX-License-Identifier: MIT
"""A machine with hardware virtualization where there is none: QEMU's TCG emulates a processor with SVM and nested
paging, Debian's kernel with its kvm-amd module runs on that, and Gamut's engine kvm in there. Slow, and true."""
import os
import pathlib
import re
import shutil
import subprocess
import time

from guest import BUILD, GUESTS, TOP, log

# Another kernel for the machine than Debian 12's: a folder with its vmlinuz, kernel-release and modules/, uncompressed.
KERNEL = pathlib.Path(os.environ.get("NESTED_KERNEL", GUESTS))
MODULES = ("virt/lib/irqbypass", "arch/x86/kvm/kvm", "arch/x86/kvm/kvm-amd")
FIRMWARE = ("/usr/share/seabios/bios-256k.bin", "/usr/share/seabios/vgabios-isavga.bin")

INIT = """#!/bin/sh
export PATH=/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
for module in irqbypass kvm kvm-amd; do insmod /lib/$module.ko; done
cd /root
. /root/steps
poweroff -f
"""


def libraries(programs):
    """The shared libraries of the programs, and the loader."""
    text = subprocess.run(["ldd", *programs], check=True, text=True, stdout=subprocess.PIPE).stdout
    return {path for path in re.findall(r"(/[^ :()]+)", text) if path not in set(map(str, programs))}


def add(root, source, target):
    target = pathlib.Path(root) / str(target).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    return target


def add_program(root, source, target):
    subprocess.run(["strip", "-g", "-o", add(root, source, target), source], check=True)


def add_system(root):
    for folder in ("bin", "sbin", "proc", "sys", "dev", "tmp", "root"):
        (root / folder).mkdir()
    add(root, GUESTS / "busybox", "bin/busybox")
    applets = subprocess.run([GUESTS / "busybox", "--list"], check=True, text=True, stdout=subprocess.PIPE).stdout
    for applet in applets.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    release = (KERNEL / "kernel-release").read_text().strip()
    for module in MODULES:
        add(root, KERNEL / f"modules/lib/modules/{release}/kernel/{module}.ko", f"lib/{pathlib.Path(module).name}.ko")


def add_gamut(root, tests):
    plugins = sorted((BUILD / "plugins").glob("*.so"))
    programs = [BUILD / "gamut", *(BUILD / "tests" / name for name in tests)]
    for program in programs:
        add_program(root, program, f"bin/{program.name}")
    for plugin in plugins:
        add_program(root, plugin, f"bin/plugins/{plugin.name}")
    for file in [*libraries([*programs, *plugins]), *FIRMWARE]:
        add(root, file, file)


def make_initramfs(folder, files, steps, tests):
    """files: what to put into /root, by name; steps: pairs of a name and a shell command; tests: unit tests."""
    root = pathlib.Path(folder) / "root"
    root.mkdir()
    add_system(root)
    add_gamut(root, tests)
    for name, source in files.items():
        add(root, source, f"root/{name}")
    # The markers are on lines of their own, whatever a guest leaves behind.
    lines = [f"echo; cat /proc/uptime; echo '@begin {name}'; {command}; status=$?; echo; echo \"@end {name} $status\""
             for name, command in steps]
    (root / "root/steps").write_text("\n".join(lines) + "\n")
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    names = "\n".join(sorted(str(p.relative_to(root)) for p in root.rglob("*")))
    target = pathlib.Path(folder) / "nested.cpio"
    with open(target, "wb") as out:
        subprocess.run(["cpio", "--create", "--format=newc", "--owner=0:0", "--quiet"], cwd=root, input=names.encode(),
                       stdout=out, check=True)
    return target


def to_end(proc, console, timeout, quiet):
    """What to say of a machine that does not come to its end, after its time or as long without a word; or nothing."""
    end, size, since = time.monotonic() + timeout, 0, time.monotonic()
    while proc.poll() is None:
        now, grown = time.monotonic(), console.stat().st_size
        if grown > size:
            size, since = grown, now
        if now > end or now - since > quiet:
            proc.kill()
            proc.wait()
            return b"\n(test: killed after its time limit)"
        time.sleep(0.2)
    return b""


def run_nested(initramfs, timeout, memory=1200, processors=1, quiet=None):
    """{step: (status, output)} of the steps that came to their end, and all that was on the console."""
    command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max,+svm", "-m", str(memory), "-smp", str(processors),
               "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", KERNEL / "vmlinuz", "-initrd", initramfs,
               "-append", "console=ttyS0 quiet panic=-1 no_timer_check"]
    console = pathlib.Path(initramfs).with_suffix(".console") # to be looked at while it runs
    with open(console, "wb") as out, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                                      stderr=subprocess.STDOUT) as proc:
        out.write(to_end(proc, console, timeout, quiet or timeout))
    text = console.read_bytes().decode(errors="replace").replace("\r", "")
    log(f"$ {' '.join(map(str, command))}\n{text}\n")
    found = re.findall(r"^@begin (\S+)$(.*?)^@end \1 (\d+)$", text, re.M | re.S)
    return {name: (int(status), output) for name, output, status in found}, text


def missing():
    """What this needs and the host lacks, or None."""
    for program in ("qemu-system-x86_64", "cpio", "strip", "ldd"):
        if not shutil.which(program):
            return f"no {program} here"
    for file in FIRMWARE:
        if not os.path.exists(file):
            return f"no {file} here"
    release = KERNEL / "kernel-release"
    if not release.exists():
        return f"no kernel in {KERNEL}"
    folder = KERNEL / f"modules/lib/modules/{release.read_text().strip()}/kernel/arch/x86/kvm"
    return None if folder.exists() else "the kernel there has no KVM modules"


def unit_tests():
    found = [p for name in ("core-engine-kvm-test_*", "dm-pc-test_intr") for p in (BUILD / "tests").glob(name)]
    return sorted(p.name for p in found if os.access(p, os.X_OK))
