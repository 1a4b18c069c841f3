/* SPDX-License-Identifier: MIT */
/* The PCI bus: PCI Local Bus Specification 3.0, configuration mechanism #1. */
#include "pc.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc

uint32_t pci_read(uint32_t devfn, uint32_t reg)
{
	outl(CONFIG_ADDRESS, 1u << 31 | devfn << 8 | (reg & 0xfc));
	return inl(CONFIG_DATA);
}

void pci_write(uint32_t devfn, uint32_t reg, uint32_t value)
{
	outl(CONFIG_ADDRESS, 1u << 31 | devfn << 8 | (reg & 0xfc));
	outl(CONFIG_DATA, value);
}

int pci_find_class(uint32_t class_subclass)
{
	for (uint32_t devfn = 0; devfn < 256; devfn++)
		if (pci_read(devfn, 0) != ~0u && pci_read(devfn, 8) >> 16 == class_subclass)
			return (int)devfn;
	return -1;
}

int pci_find_id(uint32_t device_vendor)
{
	for (uint32_t devfn = 0; devfn < 256; devfn++)
		if (pci_read(devfn, 0) == device_vendor)
			return (int)devfn;
	return -1;
}

uint64_t pci_bar(uint32_t devfn, uint32_t bar, uint32_t otherwise)
{
	uint32_t reg = 0x10 + 4 * bar, low = pci_read(devfn, reg);
	bool wide = (low & 6) == 4;

	if (!(low & ~15u) || (wide && pci_read(devfn, reg + 4))) {
		pci_write(devfn, reg, otherwise);
		if (wide)
			pci_write(devfn, reg + 4, 0);
	}
	return pci_read(devfn, reg) & ~15u;
}

static void check_widths(void)
{
	uint32_t whole = pci_read(0, 0);

	outl(CONFIG_ADDRESS, 1u << 31);
	check(inw(CONFIG_DATA) == (whole & 0xffff) && inw(CONFIG_DATA + 2) == whole >> 16 &&
	              inb(CONFIG_DATA + 3) == whole >> 24,
	      "PCI: bytes and words of a register");
	outl(CONFIG_ADDRESS, 0);
	check(inl(CONFIG_DATA) == ~0u, "PCI: no cycle without the enable bit");
}

/* Every BAR of every function: a size that is a power of two, and as it was afterwards. */
static void check_bars(void)
{
	unsigned functions = 0, bars = 0;
	bool good = true;

	for (uint32_t devfn = 0; devfn < 256; devfn++) {
		uint32_t command;

		if (pci_read(devfn, 0) == ~0u)
			continue;
		functions++;
		if ((pci_read(devfn, 12) >> 16 & 0x7f) != 0)
			continue;
		command = pci_read(devfn, 4);
		pci_write(devfn, 4, command & ~7u);
		for (uint32_t reg = 0x10; reg < 0x28; reg += 4) {
			uint32_t old = pci_read(devfn, reg), mask, size;

			pci_write(devfn, reg, ~0u);
			mask = pci_read(devfn, reg);
			pci_write(devfn, reg, old);
			mask &= mask & 1 ? ~3u : ~15u;
			size = ~mask + 1;
			bars += mask != 0;
			good &= (size & (size - 1)) == 0 && pci_read(devfn, reg) == old;
		}
		pci_write(devfn, 4, command);
	}
	check(good, "PCI: BARs have a power of two as their size");
	print("# %u PCI functions, %u BARs\n", functions, bars);
}

void check_pc_pci(void)
{
	check(pci_find_class(0x0600) == 0, "PCI: a host bridge at 00:00.0");
	check(pci_find_class(0x0601) >= 0, "PCI: an ISA bridge");
	check(pci_read(31 << 3 | 7, 0) == ~0u, "PCI: ones where nothing is");
	check_widths();
	check_bars();
}
