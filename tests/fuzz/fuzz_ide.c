/* SPDX-License-Identifier: MIT */
/*
 * A guest at the IDE controller: a disk and a CD-ROM drive on each channel. The
 * input is a list of actions: registers of any width, strings of data, bus
 * master registers, bytes of memory (descriptors among them), whole commands,
 * and what the host does meanwhile.
 *
 * The disk refuses what is out of range or read-only; that it is never asked so
 * is one of the checks. The other is that guest memory is held only while the
 * host works on it.
 */
#include "dm/ide/ide.h"
#include "fake/block-fake.h"
#include "fake/host-fake.h"
#include "fake/pci-fake.h"
#include "fuzz-input.h"

#define RAM   (1u << 20)
#define DISK  (256u << 10)
#define CD    (64u << 10)
#define TABLE 0x1000u

struct world {
	struct host_fake *f;
	struct pci_fake pci;
	struct block_fake disk[IDE_SLOTS];
	struct ide *ide;
	uint32_t channel;
};

static const struct host_fake_range *range_at(const struct world *w, uint32_t port)
{
	for (uint32_t i = 0; i < w->f->n_pio; i++)
		if (port - w->f->pio[i].base < w->f->pio[i].len)
			return &w->f->pio[i];
	abort();
}

static uint32_t command_port(const struct world *w)
{
	return w->channel ? 0x170 : 0x1f0;
}

static void port_write(struct world *w, uint32_t port, uint32_t width, uint32_t value)
{
	const struct host_fake_range *p = range_at(w, port);

	((const struct gamut_io_ops *)p->ops)->write(p->opaque, port - p->base, width, value);
}

static void port_read(struct world *w, uint32_t port, uint32_t width)
{
	const struct host_fake_range *p = range_at(w, port);

	((const struct gamut_io_ops *)p->ops)->read(p->opaque, port - p->base, width);
}

/* ---- actions ---- */

static void act_write(struct world *w, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);
	uint32_t width = 1u << (what >> 4) % 3, reg = (what & 7) / width * width;

	port_write(w, command_port(w) + reg, width, fuzz_u32(in));
}

static void act_read(struct world *w, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);
	uint32_t width = 1u << (what >> 4) % 3, reg = (what & 7) / width * width;

	port_read(w, what & 8 ? command_port(w) + 0x206 : command_port(w) + reg, what & 8 ? 1 : width);
}

static void act_strings(struct world *w, struct fuzz_input *in)
{
	const struct host_fake_range *p = range_at(w, command_port(w));
	const struct gamut_io_ops *ops = p->ops;
	uint8_t what = fuzz_u8(in), buf[4 * 1024];
	uint32_t width = 1u << what % 3, reg = what & 0x40 ? what >> 2 & 4 : 0, count = 1 + fuzz_u8(in) * 4u,
	         n;

	count = count < 1024 ? count : 1024;
	memset(buf, what, sizeof(buf));
	n = what & 0x80 ? ops->read_many(p->opaque, reg, width, buf, count)
	                : ops->write_many(p->opaque, reg, width, buf, count);
	FUZZ_CHECK(n >= 1 && n <= count);
}

static void act_control(struct world *w, struct fuzz_input *in)
{
	port_write(w, command_port(w) + 0x206, 1, fuzz_u8(in));
}

static void act_bus_master(struct world *w, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);
	uint32_t width = 1u << (what >> 4) % 3, reg = (what & 15) / width * width;

	if (what & 0x80)
		w->pci.desc.bar[4].ops->read(w->pci.opaque, reg, width);
	else
		w->pci.desc.bar[4].ops->write(w->pci.opaque, reg, width, fuzz_u32(in));
}

static void act_memory(struct world *w, struct fuzz_input *in)
{
	uint32_t at = fuzz_u8(in) % 2 ? TABLE : fuzz_u32(in) % (RAM - 256);
	size_t n;
	const uint8_t *p = fuzz_bytes(in, fuzz_u8(in), &n);

	memcpy(w->f->ram + at, p, n);
}

/* A descriptor that may well be right. */
static void act_region(struct world *w, struct fuzz_input *in)
{
	uint32_t n = fuzz_u8(in), base = (uint32_t)fuzz_u16(in) << 5, flags = fuzz_u16(in);

	flags |= n & 0x80 ? 0x80000000u : 0;
	memcpy(w->f->ram + TABLE + 8 * (n & 0x7f), &base, 4);
	memcpy(w->f->ram + TABLE + 8 * (n & 0x7f) + 4, &flags, 4);
}

static void act_command(struct world *w, struct fuzz_input *in)
{
	uint32_t port = command_port(w), address = fuzz_u16(in), count = fuzz_u8(in);
	uint8_t device = fuzz_u8(in);

	port_write(w, port + 6, 1, device);
	for (uint32_t i = 0; i < 2; i++) {
		port_write(w, port + 1, 1, device >> 5 & 1);
		port_write(w, port + 2, 1, i ? count : count >> 7);
		port_write(w, port + 3, 1, i ? address : 0);
		port_write(w, port + 4, 1, i ? address >> 8 : 0);
		port_write(w, port + 5, 1, 0);
	}
	port_write(w, port + 7, 1, fuzz_u8(in));
}

static void act_packet(struct world *w, struct fuzz_input *in)
{
	uint32_t port = command_port(w);
	uint8_t dma = fuzz_u8(in);

	port_write(w, port + 6, 1, 0x10);
	port_write(w, port + 1, 1, dma & 1);
	port_write(w, port + 4, 2, fuzz_u16(in));
	port_write(w, port + 7, 1, 0xa0);
	for (uint32_t i = 0; i < 6; i++)
		port_write(w, port, 2, fuzz_u16(in));
}

static void act_start(struct world *w, struct fuzz_input *in)
{
	const struct gamut_io_ops *ops = w->pci.desc.bar[4].ops;
	uint32_t at = w->channel * 8;

	ops->write(w->pci.opaque, at + 4, 4, TABLE);
	ops->write(w->pci.opaque, at, 1, 0);
	ops->write(w->pci.opaque, at, 1, fuzz_u8(in) & 1 ? 9 : 1);
}

static void act_channel(struct world *w, struct fuzz_input *in)
{
	w->channel = fuzz_u8(in) & 1;
}

static void act_config(struct world *w, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);

	if (what & 0x80)
		pci_fake_config(&w->pci, 4, 2, what & 7);
	else
		pci_fake_config(&w->pci, 0x40 + (what & 2), 2, (uint32_t)(what & 1) << 15);
}

static void act_host(struct world *w, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);
	struct block_fake *b = &w->disk[what & 3];

	switch (what >> 2 & 7) {
	case 0:
		b->hold = !b->hold;
		break;
	case 1:
		b->at_once = !b->at_once;
		break;
	case 2:
		b->bad_at = fuzz_u8(in) * 512u;
		b->bad_len = fuzz_u8(in);
		break;
	case 3:
		b->fail = b->fail ? 0 : -5;
		break;
	case 4:
		b->refuse = b->refuse ? 0 : -5;
		break;
	default:
		block_fake_complete(b);
		break;
	}
}

/* A vCPU that stops the bus master waits for the host, which here is nobody. */
static void let_go(struct world *w)
{
	bool flying = false;

	for (uint32_t i = 0; i < IDE_SLOTS; i++)
		flying |= w->disk[i].in_flight != 0;
	if (!flying)
		return;
	for (uint32_t i = 0; i < IDE_SLOTS; i++)
		block_fake_complete(&w->disk[i]);
}

/* A rare one, in the byte of another: what was found before stays what it is. */
static void unplug(struct world *w, uint8_t what)
{
	if ((what & 0xf0) != 0x50)
		return;
	let_go(w);
	ide_unplug(w->ide, what >> 1 & 3);
}

static void act_pause(struct world *w, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);

	for (uint32_t i = IDE_SLOTS; i--;)
		ide_pause(w->ide, i);
	for (uint32_t i = 0; i < IDE_SLOTS; i++)
		FUZZ_CHECK(!w->disk[i].in_flight);
	FUZZ_CHECK(!w->f->gets);
	if (what & 1)
		ide_reset(w->ide);
	for (uint32_t i = 0; i < IDE_SLOTS; i++)
		ide_resume(w->ide, i);
	unplug(w, what);
}

static void act_run(struct world *w, struct fuzz_input *in)
{
	(void)in;
	host_fake_run(w->f);
}

static void (*const actions[])(struct world *w, struct fuzz_input *in) = {
        act_write,  act_read,    act_strings, act_control, act_bus_master, act_memory,
        act_region, act_command, act_packet,  act_channel, act_start,      act_config,
        act_host,   act_pause,   act_run,     act_run,
};

/* ---- the target ---- */

static void check(const struct world *w)
{
	bool flying = false;

	for (uint32_t i = 0; i < IDE_SLOTS; i++) {
		FUZZ_CHECK(!w->disk[i].n_refused);
		flying |= w->disk[i].in_flight != 0;
	}
	FUZZ_CHECK(flying || !w->f->gets);
}

static void attach(struct world *w, uint32_t slot)
{
	struct ide_drive_config c = {.host = w->f->host, .inst = w->f->inst, .cdrom = slot & 1};

	block_fake_init(&w->disk[slot], slot & 1 ? CD : DISK);
	w->disk[slot].block.info.readonly = slot != 0;
	w->disk[slot].block.info.discard = slot == 0;
	c.block = &w->disk[slot].block;
	FUZZ_CHECK(!ide_attach(w->ide, slot, &c));
}

static struct world *begin(void)
{
	struct world *w = calloc(1, sizeof(*w));
	struct ide_config c = {
	        .pci = &pci_fake_ops, .pci_self = &w->pci, .irq = &pci_fake_lines, .irq_self = &w->pci};

	w->f = w->pci.host = host_fake_create(RAM, 1);
	c.host = w->f->host;
	c.inst = w->f->inst;
	pci_fake_config(&w->pci, 4, 2, 5);
	w->ide = ide_create(&c);
	FUZZ_CHECK(w->ide);
	for (uint32_t i = 0; i < IDE_SLOTS; i++)
		attach(w, i);
	return w;
}

static void end(struct world *w)
{
	for (uint32_t i = IDE_SLOTS; i--;)
		ide_pause(w->ide, i);
	for (uint32_t i = IDE_SLOTS; i--;)
		ide_detach(w->ide, i);
	ide_destroy(w->ide);
	FUZZ_CHECK(!w->pci.functions);
	FUZZ_CHECK(!host_fake_destroy(w->f));
	for (uint32_t i = 0; i < IDE_SLOTS; i++)
		block_fake_finish(&w->disk[i]);
	free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct world *w = begin();

	while (in.left) {
		uint8_t what = fuzz_u8(&in) % (sizeof(actions) / sizeof(actions[0]));

		host_fake_run(w->f);
		if (actions[what] == act_bus_master || actions[what] == act_start)
			let_go(w);
		actions[what](w, &in);
		host_fake_run(w->f);
		check(w);
	}
	end(w);
	return 0;
}
