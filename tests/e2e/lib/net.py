# SPDX-License-Identifier: MIT
"""A guest on the user network: an address by DHCP, 16 MiB from a server on the
host, and back to the host through a forwarded port; then the driver taken out
and put back, and a reboot. The same for every card: CARDS says what a mode's
card is, and what Linux needs for it."""
import contextlib
import hashlib
import http.server
import os
import pathlib
import socket
import threading
import time
import urllib.request

from guest import (PC_MODES, POWEROFF, PROGRAMS, TROUBLE, Console, check, console_of, domain_file, mode_of, ramdisk_with,
                   tap)

SIZE = 16 << 20 # modes has 64
PROMPT = r"gamut# "
# By mode: the module that drives the card.
CARDS = dict.fromkeys(("pvh", "pv", "hvm-pv-drivers", "pvhvm"), "xen-netfront")


class Files:
    """Files of a folder, served on the host's loopback, or another of its addresses, while a test runs."""

    def __init__(self, folder, family=socket.AF_INET, address=None):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(folder))

            def log_message(self, *_): # pylint: disable=arguments-differ
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = family

            def handle_error(self, *_): # pylint: disable=arguments-differ
                pass # a guest that goes in the middle

        self.server = Server((address or ("::1" if family == socket.AF_INET6 else "127.0.0.1"), 0), Handler)
        self.port = self.server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fetch(url, wait=20):
    """What is at url; the server in the guest may need a moment."""
    end = time.monotonic() + wait
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.read()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def online(c, name="an address by DHCP"):
    said = c.command("ip link set eth0 up; udhcpc -i eth0 -n -q -s /test/udhcpc.sh; ip -4 addr show dev eth0")
    return check("inet 10.0.2.15/24" in said, name, said)


def download(c, port, digest, host="10.0.2.2", name="16 MiB from the host"):
    said = c.command(f"wget -q -O /tmp/file http://{host}:{port}/file; sha256sum /tmp/file", timeout=180)
    check(digest in said, name, said)


def serve_back(c, forward, digest):
    c.command("httpd -p 80 -h /tmp")
    data = fetch(f"http://127.0.0.1:{forward}/file")
    check(hashlib.sha256(data).hexdigest() == digest, "16 MiB to the host, through a forwarded port", len(data))


def ipv6(c, tmp, digest):
    try:
        files = Files(tmp, socket.AF_INET6)
    except OSError as e:
        tap.skip("IPv6", f"no ::1 on this host: {e}")
        return
    with files:
        c.command("for i in 1 2 3 4 5 6 7 8 9 10; do ip -6 route | grep -q default && break; sleep 1; done")
        download(c, files.port, digest, "[fec0::2]", "the same over IPv6")


def reload_driver(c, module):
    said = c.command(f"modprobe -r {module} && ! test -e /sys/class/net/eth0 && modprobe {module}; "
                     "until test -e /sys/class/net/eth0; do usleep 100000; done; echo card-is-ba''ck", timeout=30)
    check("card-is-back" in said, "the driver goes and comes back", said)
    online(c, "and has its address again")


def unplugged(c, mode):
    """A PC's card has an emulated twin for the firmware, which the guest's Xen drivers take out."""
    if mode in PC_MODES and CARDS[mode] == "xen-netfront":
        said = c.command("grep -l 0x0200 /sys/bus/pci/devices/*/class | wc -l")
        check("\n0\r" in said, "the emulated card is unplugged", said)


def fresh_boot(c):
    c.expect("gamut-init: ready")
    c.expect(PROMPT)


def network(way, tmp):
    data = os.urandom(SIZE)
    digest = hashlib.sha256(data).hexdigest()
    (pathlib.Path(tmp) / "file").write_bytes(data)
    forward = free_port()
    nics = f'nics = ( {{ mac = "00:16:3e:01:02:03"; backend = "user"; forward = ( "tcp:127.0.0.1:{forward}-:80" ); }} );'
    path = domain_file(f"{tmp}/net.cfg", ramdisk=ramdisk_with(tmp, [PROGRAMS / "udhcpc.sh"]), way=way,
                       cmdline=f"console={console_of(way)}", extra=nics)
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(Files(tmp))
        c = stack.enter_context(Console(path))
        fresh_boot(c)
        check("00:16:3e:01:02:03" in c.command("cat /sys/class/net/eth0/address"), "the card has its address")
        unplugged(c, mode_of(way))
        if not online(c):
            return
        download(c, files.port, digest)
        serve_back(c, forward, digest)
        ipv6(c, tmp, digest)
        reload_driver(c, CARDS[mode_of(way)])
        download(c, files.port, digest, name="16 MiB after that")
        log = c.command("dmesg").replace("\r", "")
        check(not TROUBLE.search(log), "no warning, oops or trace in dmesg", "\n".join(TROUBLE.findall(log)))
        c.send("reboot -f\n")
        fresh_boot(c)
        online(c, "after a reboot too")
        c.send("poweroff\n")
        check(c.wait() == POWEROFF, "poweroff: status 0", c.stderr())


def queues(way, tmp):
    """Two vCPUs, two cards, several connections at a time."""
    if way == "pv/kvm":
        tap.skip("queues", "engine kvm has one vCPU for a PV guest")
        return
    data = os.urandom(SIZE // 8)
    digest = hashlib.sha256(data).hexdigest()
    (pathlib.Path(tmp) / "file").write_bytes(data)
    path = domain_file(f"{tmp}/queues.cfg", ramdisk=ramdisk_with(tmp, [PROGRAMS / "udhcpc.sh"]), way=way,
                       cmdline=f"console={console_of(way)}",
                       extra='vcpus = 2; nics = ( { backend = "user"; }, { backend = "user"; network = "10.0.3.0/24"; } );')
    with Files(tmp) as files, Console(path) as c:
        fresh_boot(c)
        online(c)
        said = c.command("ls -d /sys/class/net/eth*/queues/tx-* | wc -l")
        check("\n4\r" in said, "two cards with two queues each", said)
        said = c.command(f"for i in 1 2 3 4 5 6; do wget -q -O - http://10.0.2.2:{files.port}/file | sha256sum & done; wait",
                         timeout=120)
        check(said.count(digest) == 6, "six connections at a time", said)
        c.send("poweroff\n")
        check(c.wait() == POWEROFF, "poweroff: status 0", c.stderr())
