# SPDX-License-Identifier: MIT
"""What pvh-busybox, pv-busybox, hvm-busybox and pvhvm-busybox do: a stock Debian kernel, without a word on
its command line that it would not get on a real system, to a busybox shell,
and every way to leave it."""
import hashlib
import pathlib
import re
import signal

from guest import (CRASH, GUESTS, PC_MODES, POWEROFF, REBOOT, TOP, TROUBLE, Console, check, console_of, copy_image,
                   disk_of, domain_file, mode_of, run, tap)

PROMPT = r"gamut# "
RAMDISK = GUESTS / "initramfs.img"
GUEST_TYPE = {"pvh": "PVH", "pv": "PV", "hvm-pv-drivers": "HVM", "pvhvm": "HVM"}
# Linux 5.16 dropped the word "paravirtualized" from its banner, and has a name for its PV guests that says only Xen.
BANNER = {"pvh": r"Booting (paravirtualized )?kernel on Xen PVH", "pv": r"Booting (paravirtualized )?kernel on Xen( PV)?$",
          "hvm": r"Booting (paravirtualized )?kernel on bare hardware",
          "kvm": r"Booting (paravirtualized )?kernel on KVM",
          **dict.fromkeys(("hvm-pv-drivers", "pvhvm"), r"Booting (paravirtualized )?kernel on Xen HVM")}
# And this is where all of them tell PV.
DETECTED = {"pvh": "Hypervisor detected: Xen", "pv": "Hypervisor detected: Xen PV",
            "hvm-pv-drivers": "Hypervisor detected: Xen HVM", "pvhvm": "Hypervisor detected: Xen HVM"}
EXAMPLE = {"pvh": "pvh", "pv": "pv", "hvm": "hvm-kernel", "hvm-pv-drivers": "hvm-pv-drivers", "pvhvm": "pvhvm",
           "kvm": "kvm"}


def example(way):
    """The command line that runs the mode's own file in conf/."""
    mode, engine = way.split("/")
    return ["--engine", engine, TOP / f"conf/{EXAMPLE[mode]}.cfg"]


def names_itself(c, mode, log):
    """The guest's own words on where it is."""
    if mode in GUEST_TYPE:
        said = c.command("cat /sys/hypervisor/guest_type")
        check(re.search(rf"^{GUEST_TYPE[mode]}\r?$", said, re.M), f"guest_type is {GUEST_TYPE[mode]}", said)
        check(DETECTED[mode] in log, "dmesg names the hypervisor", log[:3000])
    elif mode == "kvm":
        check("No such file" in c.command("cat /sys/hypervisor/type"), "knows nothing of Xen")
        for words in ("Hypervisor detected: KVM", "kvm-clock: Using msrs 4b564d01 and 4b564d00",
                      "Switched to clocksource kvm-clock"):
            check(words in log, f"dmesg: {words}", log[:3000])
    else:
        check("No such file" in c.command("cat /sys/hypervisor/type"), "knows of no hypervisor")
        found = re.findall(r"^.*(?:Hypervisor detected|\b[Xx]en\b|\bKVM\b|kvm-clock).*$", log, re.M)
        check(not found, "dmesg names no hypervisor", "\n".join(found))
    check(re.search(BANNER[mode], log, re.M), "dmesg has the mode's banner", log[:3000])


def shell(way):
    mode = way.split("/")[0]
    with Console(*example(way)) as c:
        c.expect("gamut-init: ready")
        c.expect(PROMPT)
        check(True, f"conf/{EXAMPLE[mode]}.cfg comes to a shell")
        log = c.command("dmesg").replace("\r", "")
        names_itself(c, mode, log)
        check(not TROUBLE.search(log), "no warning, oops or trace in dmesg", "\n".join(TROUBLE.findall(log)))
        check("/dev/" + console_of(way) in c.command("tty"), f"the shell is on {console_of(way)} with job control")
        c.send("(echo asl''eep; exec sleep 1000)\n")
        c.expect("^asleep") # before that the shell's line editor would take it
        c.send("\x03")
        check("fine" in c.command("echo fi''ne", timeout=20), "Ctrl-C reaches the guest")
        c.send("poweroff\n")
        check(c.wait() == POWEROFF, "poweroff: status 0", c.stderr())
        check(c.terminal_restored(), "poweroff: the terminal is as before")


def leave(way):
    with Console(*example(way)) as c:
        c.expect(PROMPT)
        check(not c.terminal_restored(), "the terminal is raw meanwhile")
        c.send("\x1d")
        check(c.wait(20) == 0, "Ctrl-] leaves: status 0", c.proc.returncode)
        check(c.terminal_restored(), "Ctrl-]: the terminal is as before")


def terminated(way):
    """A guest that listens shuts down by itself; a PC's, where nobody has started acpid, is ended as by a signal."""
    with Console(*example(way)) as c:
        c.expect(PROMPT)
        c.proc.terminate()
        wanted = -signal.SIGTERM if mode_of(way) in ("hvm", "kvm") else POWEROFF
        check(c.wait(20) == wanted, "SIGTERM shuts a guest down that listens, and ends another", c.proc.returncode)
        check(c.terminal_restored(), "SIGTERM: the terminal is as before")
    with Console(*example(way)) as c:
        c.expect(PROMPT)
        c.proc.send_signal(signal.SIGINT)
        check(c.wait(20) == -signal.SIGINT, "SIGINT ends it as it ends others", c.proc.returncode)
        check(c.terminal_restored(), "SIGINT: the terminal is as before")


def guest_exec(way, tmp, name, command, word="", **keys):
    """word: more for the kernel's command line, with a space behind it."""
    path = domain_file(f"{tmp}/{name}.cfg", ramdisk=RAMDISK, way=way,
                       cmdline=f'{word}console={console_of(way)} gamut_exec="{command}"', **keys)
    return run(["run", path], timeout=90)


def ends(way, tmp):
    status, out, err = guest_exec(way, tmp, "off", "uname -a")
    check(status == POWEROFF and "Linux" in out, "a command, then power-off: 0", f"{status}\n{err}\n{out[-800:]}")
    status, out, err = guest_exec(way, tmp, "reboot", "reboot -f", extra='on_reboot = "destroy";')
    check(status == REBOOT, "reboot that is not wanted: 3", f"{status}\n{err}\n{out[-800:]}")
    if mode_of(way) in PC_MODES: # a PC has no way to say so but to reset
        status, out, err = guest_exec(way, tmp, "panic", "echo 1 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger",
                                      extra='on_reboot = "destroy";')
        check(status == REBOOT and "sysrq triggered crash" in out, "panic: reboot", f"{status}\n{err}\n{out[-800:]}")
    else:
        status, out, err = guest_exec(way, tmp, "crash", "echo c > /proc/sysrq-trigger")
        check(status == CRASH, "crash: 4", f"{status}\n{err}\n{out[-800:]}")


def piped(way, tmp):
    path = domain_file(f"{tmp}/piped.cfg", ramdisk=RAMDISK, cmdline=f"console={console_of(way)}", way=way)
    status, out, err = run(["run", path], input_text="echo in-$((20+3))-pipe\npoweroff\n", timeout=90)
    check(status == POWEROFF and "in-23-pipe" in out, "a shell through pipes", f"{status}\n{err}\n{out[-800:]}")


def restart(way, tmp):
    image = f"{tmp}/flag.img"
    pathlib.Path(image).write_bytes(bytes(1 << 20))
    dev, name = disk_of(way)
    command = (f"if [ $(head -c1 /dev/{name}) = R ]; then echo second-$((1+1)); "
               f"else echo R > /dev/{name}; sync; reboot -f; fi")
    status, out, err = guest_exec(way, tmp, "restart", command, disks=[f'dev = "{dev}"; path = "{image}";'])
    check(status == POWEROFF and "second-2" in out and out.count("gamut-init: ready") == 2,
          "reboot starts the guest again, its disk kept", f"{status}\n{err}\n{out[-800:]}")


def disk(way, tmp):
    """The probe's disk read through Linux's own front end."""
    image = f"{tmp}/probe.img"
    copy_image(GUESTS / "probe.img", image)
    dev, name = disk_of(way)
    status, out, err = guest_exec(way, tmp, "disk", f"sha256sum /dev/{name}; blockdev --getro /dev/{name}",
                                  disks=[f'dev = "{dev}"; path = "{image}"; readonly = true;'])
    wanted = hashlib.sha256(pathlib.Path(image).read_bytes()).hexdigest()
    check(status == POWEROFF and wanted in out, "a disk is read as it is on the host", f"{status}\n{err}\n{out[-800:]}")
    if mode_of(way) != "hvm": # an IDE disk has no way to say so
        check("\n1\r" in out, "readonly = true: the guest knows", out[-400:])


def busybox(way, tmp):
    for name, function in (("shell", shell), ("leave", leave), ("terminated", terminated)):
        tap.guard(name, lambda: function(way)) # pylint: disable=cell-var-from-loop
    for name, function in (("ends", ends), ("piped", piped), ("restart", restart), ("disk", disk)):
        tap.guard(name, lambda: function(way, tmp)) # pylint: disable=cell-var-from-loop

