# SPDX-License-Identifier: MIT
"""A network namespace of a test's own, which needs no privilege: taps, and a bridge with a DHCP server of the host's."""
import contextlib
import os
import pathlib
import subprocess
import sys

from guest import GUESTS

HOST, GUEST = "192.168.77.1", "192.168.77.10"
INSIDE = "GAMUT_TEST_NAMESPACE"


def ip(*args):
    return subprocess.run(["ip", *args], check=True, stdout=subprocess.PIPE, text=True).stdout


def enter():
    """Starts the test again in a namespace, with its loopback up. False: there is none to be had here."""
    if INSIDE not in os.environ:
        probe = ["unshare", "-Urn", "sh", "-c", "ip link set lo up && ip tuntap add dev t0 mode tap && ip link add b0 type bridge"]
        if subprocess.run(probe, check=False, stderr=subprocess.DEVNULL).returncode:
            return False
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-Urn", sys.executable, *sys.argv])
    ip("link", "set", "lo", "up")
    return True


@contextlib.contextmanager
def bridge(tmp):
    """br0 with the host's address, and a DHCP server on it."""
    ip("link", "add", "br0", "type", "bridge")
    ip("addr", "add", f"{HOST}/24", "dev", "br0")
    ip("link", "set", "br0", "up")
    conf, leases = pathlib.Path(tmp) / "udhcpd.conf", pathlib.Path(tmp) / "leases"
    leases.touch()
    conf.write_text(f"start {GUEST}\nend {GUEST}\ninterface br0\nlease_file {leases}\npidfile {tmp}/udhcpd.pid\n"
                    f"opt subnet 255.255.255.0\nopt router {HOST}\n")
    server = subprocess.Popen([GUESTS / "busybox", "udhcpd", "-f", conf], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.kill()
        server.wait()
        ip("link", "del", "br0")
