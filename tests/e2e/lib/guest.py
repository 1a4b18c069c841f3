# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: the ways to run a guest, domain files, a
running `gamut` with its console on a pty or in pipes, and TAP output.

A test that concerns more than one mode runs once for each WAY, a mode on an
engine, and takes the ways to run as arguments: `tests/e2e/pv-busybox pv/bt`."""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
import traceback

TOP = pathlib.Path(__file__).resolve().parents[3]
BUILD = TOP / "build"
GUESTS = BUILD / "guests"
GAMUT = BUILD / "gamut"
FOREIGN = GUESTS / "foreign"
LOGS = BUILD / "test-logs"

# No two running domains of a user have the same name; tests that run side by side must not meet.
RUNTIME = tempfile.TemporaryDirectory(prefix="gamut-test-") # pylint: disable=consider-using-with
os.environ["XDG_RUNTIME_DIR"] = RUNTIME.name

# The ways that are there: mode on engine.
WAYS = ("pvh/bt", "pvh/kvm", "pv/bt", "pv/kvm", "hvm/bt", "hvm/kvm", "hvm-pv-drivers/bt", "hvm-pv-drivers/kvm",
        "pvhvm/bt", "pvhvm/kvm", "kvm/bt", "kvm/kvm")
# Those that a test runs in unless it names others.
MODES = ("pvh", "pv", "hvm")
# On a PC, and on a PC with Xen's parts.
PC_MODES = ("hvm", "hvm-pv-drivers", "pvhvm", "kvm")
XEN_PC_MODES = ("hvm-pv-drivers", "pvhvm")


def mode_of(way):
    return way.split("/")[0]


def console_of(way):
    """The terminal that Linux has for the domain's console in this mode."""
    return "ttyS0" if mode_of(way) in PC_MODES else "hvc0"


def disk_of(way, unit=0):
    """A disk's name in the domain file, and in Linux."""
    letter = "abcd"[unit]
    names = {"hvm": ("hd", "sd"), "kvm": ("vd", "vd")}.get(mode_of(way), ("xvd", "xvd"))
    return names[0] + letter, names[1] + letter

# What no kernel says that is well: dmesg is searched for it.
TROUBLE = re.compile(r"^.*(?:WARNING:|BUG:|Oops|Call Trace|general protection|segfault|traps: |unchecked MSR|"
                     r"bad page|Bad page|corruption|detected stall|soft lockup|nobody cared|invalid opcode).*$", re.M)

# Exit codes of `gamut run`.
POWEROFF, PROBLEM, USAGE, REBOOT, CRASH = 0, 1, 2, 3, 4


class Tap:
    """Counts checks; `finish` ends the process."""

    def __init__(self):
        self.count = self.failed = 0
        self.prefix = ""

    def check(self, ok, name, detail=""):
        self.count += 1
        self.failed += not ok
        print("ok" if ok else "not ok", self.count, "-", self.prefix + name, flush=True)
        if not ok and detail:
            print("\n".join("# " + line for line in str(detail).splitlines()[-40:]), flush=True)
        return bool(ok)

    def skip(self, name, why):
        self.count += 1
        print(f"ok {self.count} - {self.prefix}{name} # SKIP {why}", flush=True)

    def guard(self, name, function):
        """Runs one test function; an exception is a failure of that name."""
        try:
            function()
        except Exception:  # pylint: disable=broad-except
            self.check(False, name, traceback.format_exc())

    def finish(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)


tap = Tap()
check = tap.check


def workdir():
    """A folder that is gone at the end; beside the images, so that copies can share blocks."""
    BUILD.mkdir(exist_ok=True)
    LOGS.mkdir(exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="e2e-", dir=BUILD)


def copy_image(source, target):
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)


def quote(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def domain_file(path, *, kernel=GUESTS / "vmlinuz", ramdisk=None, cmdline="", disks=(), extra="", name=None, memory=512,
                way="pvh/bt"):
    """Writes a domain file. disks are the inside of their groups, as text; without a kernel the firmware boots."""
    path = pathlib.Path(path)
    mode, engine = way.split("/")
    lines = [
        f"name = {quote(name or path.stem)};",
        f'mode = "{mode}";',
        f'engine = "{engine}";',
        f"memory = {memory};",
    ]
    if kernel:
        boot = f"kernel = {quote(kernel)};" + (f" ramdisk = {quote(ramdisk)};" if ramdisk else "")
        lines.append(f"boot = {{ {boot} cmdline = {quote(cmdline)}; }};")
    if disks:
        lines.append("disks = ( " + ", ".join("{ " + d + " }" for d in disks) + " );")
    path.write_text("\n".join(lines + [extra]) + "\n")
    return path


def run(args, *, input_text="", timeout=60, env=None):
    """`gamut ARGS...` to its end, in pipes; (status, stdout, stderr). Status < 0 is death by a signal."""
    proc = subprocess.Popen([GAMUT, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={**os.environ, **(env or {})})
    try:
        out, err = proc.communicate(input_text.encode(), timeout=timeout)
    except subprocess.TimeoutExpired:
        proc.kill()
        out, err = proc.communicate()
        err += b"\n(test: killed after its time limit)"
    out, err = out.decode(errors="replace"), err.decode(errors="replace")
    log(f"$ gamut {' '.join(map(str, args))}\n{out}\n--- stderr\n{err}\n--- status {proc.returncode}\n")
    return proc.returncode, out, err


def host_kvm():
    """What `gamut advise` says of this host's /dev/kvm."""
    status, out, err = run(["advise", "--json"])
    if status:
        raise RuntimeError(f"gamut advise: {status}\n{err}")
    return json.loads(out)["host"]["kvm"]


def kvm_lacks(way, small=False):
    """Why this host's /dev/kvm cannot run a stock kernel this way, or None. A small guest is one that a KVM in software
    can run on a PC, though each of its kernel's instructions takes most of a microsecond."""
    mode, engine = way.split("/")
    if engine != "kvm":
        return None
    kvm = host_kvm()
    enough = ("pv", "hvm", "kvm") if small else ("pv",)
    if kvm["kind"] == "none" or (kvm["kind"] == "software" and mode not in enough):
        return kvm["reason"]
    return None


def ways(modes=MODES, small=False):
    """Those of WAYS that the command line names, or all, cut to some modes. What this host's /dev/kvm cannot do is a
    skip; Gamut's own translator runs everywhere."""
    for way in WAYS:
        if way.split("/")[0] not in modes or (len(sys.argv) > 1 and way not in sys.argv[1:]):
            continue
        why = kvm_lacks(way, small)
        if why:
            tap.skip(way, why)
        else:
            yield way


def each_way(function, modes=MODES, small=False):
    """function(way, tmp) for each way, its checks named for it, in a folder of its own."""
    for way in ways(modes, small):
        tap.prefix = way + ": "
        with workdir() as tmp:
            tap.guard(function.__name__, lambda: function(way, tmp)) # pylint: disable=cell-var-from-loop
        tap.prefix = ""


def unpacked_kernel(tmp):
    """The stock kernel as the ELF file that is packed in it: what Gamut keeps in its cache after a run."""
    path = domain_file(f"{tmp}/unpack.cfg", ramdisk=GUESTS / "initramfs.img", cmdline="quiet console=hvc0 gamut_exec=true")
    status, out, err = run(["run", path], env={"XDG_CACHE_HOME": f"{tmp}/cache"})
    kernels = list(pathlib.Path(f"{tmp}/cache").rglob("*.elf"))
    if status != POWEROFF or len(kernels) != 1:
        raise RuntimeError(f"no unpacked kernel: status {status}, {kernels}\n{err}\n{out[-800:]}")
    return kernels[0]


PROGRAMS = TOP / "tests/e2e/programs"


def build_program(tmp, source, *flags):
    """A C file as a static program, which needs nothing of the guest; its path."""
    target = pathlib.Path(tmp) / source.stem
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", *flags, source, "-o", target], check=True)
    return target


def ramdisk_with(tmp, files):
    """The busybox guest's ramdisk with files in /test: the kernel takes archives one behind the other."""
    tree, target = pathlib.Path(tmp) / "ramdisk", pathlib.Path(tmp) / "ramdisk.img"
    (tree / "test").mkdir(parents=True)
    for file in files:
        shutil.copy(file, tree / "test")
    names = "\n".join(["test", *(f"test/{pathlib.Path(file).name}" for file in files)])
    more = subprocess.run(["cpio", "--create", "--format=newc", "--quiet", "--owner=0:0"], cwd=tree, check=True,
                          input=names.encode(), stdout=subprocess.PIPE).stdout
    first = (GUESTS / "initramfs.img").read_bytes()
    target.write_bytes(first + bytes(-len(first) % 4) + more)
    shutil.rmtree(tree)
    return target


def boot_disk(tmp, files, size):
    """An ext4 image without a partition table, made without root. files: path in the image to a Path or to text."""
    tree, image = pathlib.Path(tmp) / "tree", f"{tmp}/boot.img"
    for name, content in files.items():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            target.write_text(content)
        else:
            shutil.copyfile(content, target)
    subprocess.run([which("mke2fs"), "-q", "-t", "ext4", "-d", tree, image, size], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return image


class Grub:
    """GRUB on a Console: its menu, its command line."""
    PROMPT = r"grub> "

    def __init__(self, console):
        self.console = console

    def menu(self, entry, timeout=60):
        self.console.expect("GNU GRUB +version", timeout)
        self.console.expect(re.escape(entry))

    def prompt(self):
        self.console.send("c")
        self.console.expect(self.PROMPT)

    def command(self, command):
        """What a command prints; the echo goes before the first line end."""
        c = self.console
        start = c.at
        c.send(command + "\n")
        c.expect(self.PROMPT)
        # Away with the progress of files, drawn between two positions of the cursor, and with other sequences.
        text = re.sub(r"\x1b\[\d+;\d+H +\[ \S+ +\S+ +\d+% +\S+ \]\x1b\[\d+;\d+H", "", c.text[start:c.at])
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").partition("\n")[2]


def log(text):
    LOGS.mkdir(parents=True, exist_ok=True)
    with open(LOGS / (pathlib.Path(sys.argv[0]).name + ".log"), "a", encoding="utf-8") as f:
        f.write(text)


class Console:
    """`gamut run FILE` with its console on a pty."""

    @classmethod
    def of(cls, *args):
        """Another command than `gamut run`."""
        return cls(*args[1:], command=args[0])

    def __init__(self, *args, command="run"):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.errors = tempfile.TemporaryFile()
        self.proc = subprocess.Popen([GAMUT, command, *map(str, args)], stdin=self.slave, stdout=self.slave,
                                     stderr=self.errors, start_new_session=True)
        self.text = ""
        self.at = 0

    def _read(self, timeout):
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern, timeout=60):
        """Waits for pattern after what was matched before; its match object, or raises."""
        end = time.monotonic() + timeout
        while True:
            found = re.compile(pattern, re.M).search(self.text, self.at)
            if found:
                self.at = found.end()
                return found
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no {pattern!r} in {timeout} s; the last of it:\n{self.text[-2000:]}")
            if not self._read(min(left, 1)) and self.proc.poll() is not None and not self._read(0):
                if re.compile(pattern, re.M).search(self.text, self.at):
                    continue
                raise EOFError(f"ended with {self.proc.returncode} before {pattern!r}:\n{self.text[-2000:]}"
                               f"\n--- stderr\n{self.stderr()}")

    def send(self, text):
        os.write(self.master, text.encode())

    def command(self, line, timeout=60):
        """A shell command in the guest; its output. The marker is split so that its echo does not match."""
        self.send(f"{line}; echo 'END''-MARK' $?\n")
        start = self.at
        found = self.expect(r"END-MARK (\d+)", timeout)
        return self.text[start:found.start()]

    def wait(self, timeout=60):
        """Its exit status; output is read meanwhile."""
        end = time.monotonic() + timeout
        while self.proc.poll() is None and time.monotonic() < end:
            self._read(0.2)
        while self._read(0):
            pass
        if self.proc.poll() is None:
            raise TimeoutError(f"still running after {timeout} s:\n{self.text[-2000:]}")
        return self.proc.returncode

    def terminal_restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGKILL)
            self.proc.wait()
        log(f"{self.text}\n--- stderr\n{self.stderr()}\n--- status {self.proc.returncode}\n")
        os.close(self.master)
        os.close(self.slave)
        self.errors.close()


class Screen:
    """`gamut run FILE` of a domain with console = "vga", in pipes: each screen that stood still for a moment comes as
    text, one after the other with a form feed between them; what is written are keys."""

    def __init__(self, *args):
        self.proc = subprocess.Popen([GAMUT, "run", *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, start_new_session=True, bufsize=0)
        self.data = b""

    @property
    def text(self):
        return self.data.decode(errors="replace")

    def last(self):
        """The last screen that came whole."""
        screens = self.text.split("\f")
        return screens[-1] if screens[-1].strip() else screens[-2] if len(screens) > 1 else ""

    def _read(self, timeout):
        if not select.select([self.proc.stdout], [], [], timeout)[0]:
            return False
        data = os.read(self.proc.stdout.fileno(), 65536)
        self.data += data
        return bool(data)

    def expect(self, pattern, timeout=60):
        """Waits until any screen so far has had the pattern; its match object, or raises."""
        end = time.monotonic() + timeout
        while True:
            found = re.compile(pattern, re.M).search(self.text)
            if found:
                return found
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no {pattern!r} in {timeout} s; the last screen:\n{self.last()}")
            if not self._read(min(left, 1)) and self.proc.poll() is not None and not self._read(0):
                raise EOFError(f"ended with {self.proc.returncode} before {pattern!r}; the last screen:\n{self.last()}\n"
                               f"--- stderr\n{self.proc.stderr.read().decode(errors='replace')}")

    def send(self, text):
        self.proc.stdin.write(text.encode())

    def wait(self, timeout=60):
        """Its exit status; output is read meanwhile."""
        end = time.monotonic() + timeout
        while self.proc.poll() is None:
            if time.monotonic() > end:
                raise TimeoutError(f"still running after {timeout} s; the last screen:\n{self.last()}")
            self._read(0.2)
        return self.proc.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGKILL)
        _, err = self.proc.communicate()
        log(f"{self.text}\n--- stderr\n{err.decode(errors='replace')}\n--- status {self.proc.returncode}\n")


def have(path):
    return pathlib.Path(path).exists()


def which(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
