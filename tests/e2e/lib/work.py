# SPDX-License-Identifier: MIT
"""A stock kernel at work on all its processors, for tests of the engine."""
import re

from guest import GUESTS, POWEROFF, check, console_of, domain_file, run

RAMDISK = GUESTS / "initramfs.img"
# Pipes of processes, each with one right answer; then what the kernel thinks of it.
WORK = r"""
seq 1 2000 > /tmp/seq
want=$(sha256sum < /tmp/seq)
one() { got=$(cat /tmp/seq | sha256sum | cat); [ "$got" = "$want" ] || echo BAD; }
job() { i=0; while [ $i -lt %d ]; do i=$((i+1)); one; done; echo job-$1-do''ne; }
for j in 1 2 3 4 5 6; do job $j & done; wait
echo cpus-$(nproc)-e''nd
dmesg | grep -E "WARNING|BUG|Call Trace|rcu.*stall|soft lockup|TSC warp" | sed 's/^/KERNEL /'
echo all-e''nd
poweroff
"""


def shell(tmp, name, script, vcpus, extra="", way="pvh/bt", word=""):
    """The script through pipes; (status, output, errors). word: as in busybox.guest_exec."""
    path = domain_file(f"{tmp}/{name}.cfg", ramdisk=RAMDISK, cmdline=f"{word}console={console_of(way)}",
                       extra=f"vcpus = {vcpus};\n{extra}", way=way)
    return run(["run", path], input_text=script.lstrip())


def works(tmp, name, vcpus, turns, **keys):
    status, out, err = shell(tmp, name, WORK % turns, vcpus, **keys)
    detail = f"{status}\n{err}\n{out[-1500:]}"
    check(status == POWEROFF and "all-end" in out, f"{name}: works and powers off", detail)
    check(f"cpus-{vcpus}-end" in out, f"{name}: {vcpus} processors", detail)
    done = len(re.findall(r"^job-\d-done", out, re.M))
    check(done == 6 and "\nBAD" not in out, f"{name}: every answer is right", detail)
    said = re.findall("^KERNEL.*", out, re.M)
    check("all-end" in out and not said, f"{name}: nothing in dmesg", "\n".join(said))
