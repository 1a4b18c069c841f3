# SPDX-License-Identifier: MIT
"""A stock Debian kernel's own words on where it is, by mode: what Linux 6.1 prints there on real Xen, KVM or a PC."""
import re

# Of dmesg, regular expressions: what is there, and what is not.
HYPERVISOR = r"Hypervisor detected|\b[Xx]en\b|\bKVM\b|kvm-clock"
UNPLUGGED = (r"unplug emulated NICs", r"unplug emulated disks")
SAYS = {
    "hvm": ((r"Booting (paravirtualized )?kernel on bare hardware", r"\bsda: sda1", r"e1000 .*Intel\(R\) PRO/1000"),
            (HYPERVISOR, r"\b(xvda|vda)\b")),
    "hvm-pv-drivers": ((r"Hypervisor detected: Xen HVM", r"Booting (paravirtualized )?kernel on Xen HVM", r"\bxvda: xvda1",
                        *UNPLUGGED),
                       (r"callback vector for event delivery", r"installing Xen timer", r"clocksource: xen:",
                        r"\b(sda|vda)\b")),
    "pvhvm": ((r"Hypervisor detected: Xen HVM", r"Booting (paravirtualized )?kernel on Xen HVM",
               r"Xen HVM callback vector for event delivery is enabled", r"installing Xen timer for CPU 0",
               r"Switched to clocksource xen", r"\bxvda: xvda1", *UNPLUGGED), (r"\b(sda|vda)\b",)),
    "pvh": ((r"Hypervisor detected: Xen", r"Booting (paravirtualized )?kernel on Xen PVH",
             r"callback vector for event delivery is enabled", r"installing Xen timer for CPU 0",
             r"Switched to clocksource xen", r"\bxvda: xvda1"), (r"\b(sda|vda)\b", r"unplug emulated")),
    # Linux 5.16 dropped a word of the banner, and has a name for its PV guests that says only Xen.
    "pv": ((r"Hypervisor detected: Xen PV", r"Booting (paravirtualized )?kernel on Xen( PV)?$",
            r"installing Xen timer for CPU 0", r"Switched to clocksource xen", r"\bxvda: xvda1"),
           (r"callback vector for event delivery", r"\b(sda|vda)\b", r"unplug emulated")),
    "kvm": ((r"Hypervisor detected: KVM", r"Booting (paravirtualized )?kernel on KVM",
             r"kvm-clock: Using msrs 4b564d01 and 4b564d00", r"Switched to clocksource kvm-clock", r"\bvda: vda1",
             r"virtio_blk virtio\d+: "), (r"\bXen\b", r"\b(sda|xvda)\b")),
}
# /sys/hypervisor/guest_type, "xen-detect" and "systemd-detect-virt"; None: the file is not there.
GUEST_TYPE = {"hvm": None, "kvm": None, "hvm-pv-drivers": "HVM", "pvhvm": "HVM", "pvh": "PVH", "pv": "PV"}
XEN_DETECT = {"hvm": r"Not running on Xen", "kvm": r"Not running on Xen",
              **{mode: rf"Running in {kind} context on Xen V4\.\d+" for mode, kind in
                 (("hvm-pv-drivers", "HVM"), ("pvhvm", "HVM"), ("pvh", "PVH"), ("pv", "PV"))}}
DETECT_VIRT = {"hvm": r"vm-other", "kvm": r"kvm", **dict.fromkeys(("hvm-pv-drivers", "pvhvm", "pvh", "pv"), r"xen")}
# Who has its events, of /proc/interrupts: lines that count some, and lines that are not there or count none.
INTERRUPTS = {"hvm": (("ata_piix", "Local timer"), ("Hypervisor callback", "xen")),
              "hvm-pv-drivers": (("xen-platform-pci", "Local timer"), ("Hypervisor callback", "timer0")),
              "pvhvm": (("Hypervisor callback", "timer0", "blkif"), ("xen-platform-pci",)),
              "pvh": (("Hypervisor callback", "timer0", "blkif"), ("IO-APIC",)),
              "pv": (("timer0", "blkif"), ("Hypervisor callback", "IO-APIC")), # the line is of those who have a vector
              "kvm": (("virtio0-req", "Local timer"), ("xen",))}
DRIVER = {"hvm": "e1000", "kvm": "virtio_net"}


def counted(interrupts, name):
    """Interrupts of all lines of that name."""
    return sum(int(n) for line in re.findall(rf"^ *\S+: +((?:\d+ +)+).*{re.escape(name)}", interrupts, re.M)
               for n in line.split())


def driver(mode):
    """What drives the mode's own card."""
    return DRIVER.get(mode, "vif")
