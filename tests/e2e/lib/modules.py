# SPDX-License-Identifier: MIT
"""Modules of Debian's generic kernel, for busybox guests that want a device which the kernel for clouds has no driver of."""
import pathlib
import struct
import subprocess

from guest import GUESTS, which

KERNEL = GUESTS / "debian-vmlinuz"
IMAGE = GUESTS / "debian.img"


def release(kernel):
    """The version that a bzImage names (Linux' boot protocol: kernel_version)."""
    image = kernel.read_bytes()
    at = struct.unpack_from("<H", image, 0x20e)[0] + 0x200
    return image[at:image.index(b" ", at)].decode()


def dump(path, target):
    subprocess.run([which("debugfs"), "-R", f"dump {path} {target}", IMAGE], check=True, stderr=subprocess.DEVNULL)
    return target


def modules(tmp, names):
    """Their files and those they need, in the order in which they are to be loaded."""
    base = f"/lib/modules/{release(KERNEL)}"
    lines = dump(f"{base}/modules.dep", pathlib.Path(tmp) / "modules.dep").read_text().splitlines()
    depends = {line.partition(":")[0]: line.partition(":")[2].split() for line in lines}
    found = []
    for name in names:
        path = next(p for p in depends if pathlib.Path(p).stem == name)
        found += [p for p in (*reversed(depends[path]), path) if p not in found]
    return [dump(f"{base}/{path}", pathlib.Path(tmp) / pathlib.Path(path).name) for path in found]
