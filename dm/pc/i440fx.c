/* SPDX-License-Identifier: MIT */
#include "dm/pc/i440fx.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "dm/pci/pci.h"

#define PAGE 4096ull
#define FIRST_ROM_PAGE (I440FX_PAGES - I440FX_ROM_PAGES)

#define CONFIG_AT 0x50u
#define PAM0 0x59u /* the high half: 0xf0000-0xfffff; then two segments of 16 KiB a byte */
#define PAM_BYTES 7u
#define SMRAM 0x72u
#define N_CONFIG 0x30u

#define READ 1u
#define WRITE 2u
#define D_OPEN 0x40u
#define D_LCK 0x10u

/*
 * Firmware of virtual machines (SeaBIOS, OVMF) looks at the host bridge's
 * subsystem to learn that there is a configuration port: it is QEMU's.
 */
#define SUBSYSTEM_VENDOR 0x1af4u
#define SUBSYSTEM 0x1100u

enum shown { SHOWN_NOTHING, SHOWN_ROM, SHOWN_DRAM, SHOWN_DRAM_READ_ONLY };

static const uint8_t config_value[N_CONFIG] = { [SMRAM - CONFIG_AT] = 0x02 };
static const uint8_t config_mask[N_CONFIG] = {
	[PAM0 - CONFIG_AT] = 0x30, [PAM0 + 1 - CONFIG_AT] = 0x33, [PAM0 + 2 - CONFIG_AT] = 0x33,
	[PAM0 + 3 - CONFIG_AT] = 0x33, [PAM0 + 4 - CONFIG_AT] = 0x33, [PAM0 + 5 - CONFIG_AT] = 0x33,
	[PAM0 + 6 - CONFIG_AT] = 0x33, [SMRAM - CONFIG_AT] = 0x78,
};

/* ---- pages ---- */

static struct gamut_page *pages_of(const struct i440fx *x, uint32_t shown, uint32_t page, uint32_t *index)
{
	if (shown == SHOWN_NOTHING)
		return NULL;
	*index = shown == SHOWN_ROM ? page - FIRST_ROM_PAGE : page;
	return shown == SHOWN_ROM ? x->rom_pages : x->dram_pages;
}

static int show(struct i440fx *x, uint32_t page, uint32_t shown)
{
	uint32_t index = 0, old_index = 0;
	struct gamut_page *old = pages_of(x, x->shown[page], page, &old_index);
	struct gamut_page *new = pages_of(x, shown, page, &index);
	int rc = 0;

	if (shown == x->shown[page])
		return 0;
	if (old && old != new)
		rc = x->host->page_unmap(x->inst, old, old_index);
	if (!rc && new)
		rc = x->host->page_map_as(x->inst, new, index, I440FX_LOW + page * PAGE,
		                          shown == SHOWN_DRAM ? GAMUT_PAGE_RAM : GAMUT_PAGE_ROM);
	x->shown[page] = (uint8_t)(rc ? SHOWN_NOTHING : shown);
	__atomic_fetch_add(x->changes, 1, __ATOMIC_RELAXED);
	return rc;
}

/* Without a BIOS, and below where it shows, a read that does not go to DRAM finds an empty bus. */
static uint32_t wanted(const struct i440fx *x, uint32_t page, uint32_t pam)
{
	if (pam & READ)
		return pam & WRITE ? SHOWN_DRAM : SHOWN_DRAM_READ_ONLY;
	return x->has_rom && page >= FIRST_ROM_PAGE ? SHOWN_ROM : SHOWN_NOTHING;
}

static uint32_t pam_of(const struct i440fx *x, uint32_t page)
{
	uint64_t offset = page * PAGE;
	uint32_t segment = (uint32_t)(offset / 0x4000);
	uint32_t reg = offset >= 0x30000 ? PAM0 : PAM0 + 1 + segment / 2;
	uint32_t shift = offset >= 0x30000 || segment & 1 ? 4 : 0;

	return x->bus->config_get(x->bus_self, x->function, reg, 1) >> shift & (READ | WRITE);
}

static int apply(struct i440fx *x)
{
	int rc = 0;

	for (uint32_t i = 0; i < I440FX_PAGES; i++) {
		uint32_t pam = pam_of(x, i);
		int err = show(x, i, wanted(x, i, pam));

		__atomic_store_n(&x->pam[i], (uint8_t)pam, __ATOMIC_RELAXED);
		rc = rc ? rc : err;
	}
	return rc;
}

/* ---- accesses that are not plain memory ---- */

static uint64_t segment_read(void *opaque, uint64_t offset, uint32_t width)
{
	(void)opaque;
	(void)offset;
	(void)width;
	return UINT64_MAX;
}

/* Written to DRAM while reads go elsewhere: how a BIOS copies itself. */
static void segment_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct i440fx *x = opaque;

	if (offset >= I440FX_END - I440FX_LOW || width > sizeof(value) || width > I440FX_END - I440FX_LOW - offset)
		return;
	if ((__atomic_load_n(&x->pam[offset / PAGE], __ATOMIC_RELAXED) & (READ | WRITE)) == WRITE)
		memcpy(x->dram + offset, &value, width);
}

const struct gamut_io_ops i440fx_segment_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = segment_read,
	.write = segment_write,
};

/* Once locked, SMRAM stays closed and its register as it is until reset. */
static void smram_written(struct i440fx *x)
{
	uint32_t now = x->bus->config_get(x->bus_self, x->function, SMRAM, 1);

	if (x->smram_locked)
		now = x->smram_locked;
	else if (now & D_LCK)
		now = x->smram_locked = (uint8_t)(now & ~D_OPEN);
	x->bus->config_set(x->bus_self, x->function, SMRAM, 1, now);
}

/* A page that cannot be mapped is a hole, which the guest will notice; there is nobody here to tell. */
static void config_written(void *opaque, uint32_t offset, uint32_t width)
{
	struct i440fx *x = opaque;

	if (offset + width > PAM0 && offset < PAM0 + PAM_BYTES)
		apply(x);
	if (offset + width > SMRAM && offset <= SMRAM)
		smram_written(x);
}

/* ---- life cycle ---- */

int i440fx_init(struct i440fx *x, const struct gamut_host *host, struct gamut_inst *inst)
{
	*x = (struct i440fx){ .host = host, .inst = inst };
	x->changes = host->counter(inst, "pam-pages-changed");
	x->dram_pages = host->page_alloc(inst, I440FX_PAGES, (void **)&x->dram);
	x->rom_pages = host->page_alloc(inst, I440FX_ROM_PAGES, (void **)&x->rom);
	if (x->dram_pages && x->rom_pages)
		return 0;
	i440fx_finish(x);
	return -ENOMEM;
}

int i440fx_register(struct i440fx *x, const struct gamut_pci_bus_ops *bus, void *bus_self)
{
	const struct gamut_pci_desc desc = {
		.size = sizeof(desc),
		.devfn = 0,
		.vendor = 0x8086,
		.device = 0x1237,
		.subsystem_vendor = SUBSYSTEM_VENDOR,
		.subsystem = SUBSYSTEM,
		.class_revision = 0x06000002,
		.config_at = CONFIG_AT,
		.n_config = N_CONFIG,
		.config_value = config_value,
		.config_mask = config_mask,
		.config_written = config_written,
	};
	int rc;

	x->bus = bus;
	x->bus_self = bus_self;
	rc = bus->add(bus_self, &desc, x, &x->function);
	if (rc)
		return rc;
	/* Memory and mastering are always on. */
	pci_power_on(x->function, PCI_REG_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0x0140);
	return x->host->mmio_register(x->inst, I440FX_LOW, I440FX_END - I440FX_LOW, &i440fx_segment_ops, x);
}

void i440fx_set_rom(struct i440fx *x, const void *end_of_image, uint64_t bytes)
{
	uint64_t room = I440FX_ROM_PAGES * PAGE;

	if (bytes > room)
		bytes = room;
	memset(x->rom, 0xff, room);
	memcpy(x->rom + (room - bytes), (const uint8_t *)end_of_image - bytes, bytes);
	x->has_rom = bytes != 0;
}

/* RAM that chips and pages of ours hide on a PC. Where the domain has been reset it is there again. */
static int take_ram(struct i440fx *x)
{
	for (uint32_t i = 0; i < I440FX_PAGES; i++) {
		int rc = show(x, i, SHOWN_NOTHING);

		if (rc)
			return rc;
	}
	return x->host->mem_release(x->inst, I440FX_VGA, I440FX_END - I440FX_VGA);
}

int i440fx_reset(struct i440fx *x)
{
	int rc = take_ram(x);

	x->smram_locked = 0;
	memset(x->dram, 0, I440FX_PAGES * PAGE);
	return rc ? rc : apply(x);
}

int i440fx_open(struct i440fx *x)
{
	x->bus->config_set(x->bus_self, x->function, PAM0, 1, 0x30);
	for (uint32_t i = 1; i < PAM_BYTES; i++)
		x->bus->config_set(x->bus_self, x->function, PAM0 + i, 1, 0x33);
	return apply(x);
}

int i440fx_write(struct i440fx *x, uint64_t gpa, const void *buf, uint64_t len)
{
	if (gpa < I440FX_LOW || gpa > I440FX_END || len > I440FX_END - gpa)
		return -EINVAL;
	memcpy(x->dram + (gpa - I440FX_LOW), buf, len);
	x->host->mem_dirty(x->inst, gpa, len);
	return 0;
}

void i440fx_finish(struct i440fx *x)
{
	if (x->dram_pages)
		x->host->page_free(x->inst, x->dram_pages);
	if (x->rom_pages)
		x->host->page_free(x->inst, x->rom_pages);
	x->dram_pages = x->rom_pages = NULL;
}
