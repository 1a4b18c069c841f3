/* SPDX-License-Identifier: MIT */
#include "pc-world.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dm/net/e1000-reg.h"
#include "dm/pc/piix3.h"
#include "fuzz-input.h"

#define DISK     (64u << 10)
#define CD       (32u << 10)
#define FIRMWARE (16u << 10)
#define NIC_ROM  4096u
#define WALL     1700000000ll
/*
 * What one access, one deferred call's worth of work or one step of time may
 * ask of the host: calls, and bytes that are moved. The most that any of the
 * devices has a reason for is a ring of descriptors walked once.
 */
#define CALLS_MAX 8192u
#define MOVED_MAX (16u << 20)
#define LOGS_MAX  64u

/* The plugins' symbols, renamed when they are compiled for this. */
extern const struct gamut_plugin fuzz_intr_apic, fuzz_platform_pc;

static struct gamut_host fake; /* the fake host's own table */
static struct pc_world *world;

static const struct gamut_ops *ops_of(const struct gamut_plugin *plugin)
{
	return plugin->descriptors[0]->ops;
}

/* ---- what is asked of the host ---- */

static void spend(uint64_t bytes)
{
	world->moved += bytes;
	FUZZ_CHECK(++world->calls <= CALLS_MAX && world->moved <= MOVED_MAX);
}

/* Each piece of work is bounded by itself: a guest may ask for many, one after the other. */
static void spend_anew(void *opaque)
{
	struct pc_world *w = opaque;

	w->spent += w->calls;
	w->calls = 0;
	w->moved = 0;
}

static int spend_read(struct gamut_inst *inst, uint64_t gpa, void *buf, uint64_t len)
{
	spend(len);
	return fake.mem_read(inst, gpa, buf, len);
}

static int spend_write(struct gamut_inst *inst, uint64_t gpa, const void *buf, uint64_t len)
{
	spend(len);
	return fake.mem_write(inst, gpa, buf, len);
}

static void *spend_get(struct gamut_inst *inst, uint64_t gpa, uint64_t len)
{
	spend(len);
	return fake.mem_get(inst, gpa, len);
}

static void spend_timer(struct gamut_inst *inst, struct gamut_timer *timer, uint64_t ns)
{
	spend(0);
	fake.timer_set(inst, timer, ns);
}

static void spend_defer(struct gamut_inst *inst, struct gamut_defer *defer)
{
	spend(0);
	fake.defer_run(inst, defer);
}

static void spend_raise(struct gamut_inst *inst, uint32_t vcpu)
{
	spend(0);
	FUZZ_CHECK(vcpu < world->f->vcpus);
	fake.irq_raise(inst, vcpu);
}

/* The fake's memory ends long before 4 GiB; that firmware is there nobody here needs to see. */
static int put_page(struct gamut_inst *inst, struct gamut_page *pages, uint32_t index, uint64_t gpa, uint32_t how)
{
	spend(0);
	return gpa >= world->f->space ? 0 : fake.page_map_as(inst, pages, index, gpa, how);
}

static int put_io(struct gamut_inst *inst, uint16_t base, uint32_t len, const struct gamut_io_ops *ops, void *opaque)
{
	char err[256];

	(void)inst;
	return bus_add_pio(&world->bus, base, len, ops, opaque, (struct bus_owner){ 1, "a chip" }, err, sizeof(err));
}

static int put_mmio(struct gamut_inst *inst, uint64_t gpa, uint64_t len, const struct gamut_io_ops *ops, void *opaque)
{
	char err[256];

	(void)inst;
	return bus_add_mmio(&world->bus, gpa, len, ops, opaque, (struct bus_owner){ 1, "a chip" }, err, sizeof(err));
}

static int put_msr(struct gamut_inst *inst, uint32_t first, uint32_t n, const struct gamut_msr_ops *ops, void *opaque)
{
	char err[256];

	(void)inst;
	return bus_add_msr(&world->bus, first, n, ops, opaque, (struct bus_owner){ 1, "a chip" }, err, sizeof(err));
}

static int put_rest(struct gamut_inst *inst, uint32_t space, const struct gamut_io_ops *ops, void *opaque)
{
	char err[256];

	(void)inst;
	return bus_add_fallback(&world->bus, space, ops, opaque, (struct bus_owner){ 1, "a chip" }, err, sizeof(err));
}

static void make_host(struct pc_world *w)
{
	static int firmware = -1;
	static char path[32];

	w->f = host_fake_create(PC_RAM, w->how & PC_WITH_ONE_CPU ? 1 : PC_VCPUS);
	w->f->before_work = spend_anew;
	w->f->before_work_opaque = w;
	fake = w->f->table;
	w->f->table.mem_read = spend_read;
	w->f->table.mem_write = spend_write;
	w->f->table.mem_get = spend_get;
	w->f->table.timer_set = spend_timer;
	w->f->table.defer_run = spend_defer;
	w->f->table.irq_raise = spend_raise;
	w->f->table.page_map_as = put_page;
	w->f->table.pio_register = put_io;
	w->f->table.mmio_register = put_mmio;
	w->f->table.msr_register = put_msr;
	w->f->table.bus_fallback = put_rest;
	if (firmware < 0) {
		firmware = memfd_create("firmware", MFD_CLOEXEC);
		FUZZ_CHECK(firmware >= 0 && !ftruncate(firmware, FIRMWARE));
		snprintf(path, sizeof(path), "/proc/self/fd/%d", firmware);
	}
	host_fake_option(w->f, "irqchip", 0, "own");
	host_fake_option(w->f, "firmware", 0, path);
	host_fake_option(w->f, "vgabios", 0, "");
	host_fake_option(w->f, "testdev", w->how & PC_WITH_TESTDEV, NULL);
	FUZZ_CHECK(!bus_init(&w->bus));
}

/* ---- a function that does as it is told ---- */

enum { OWN_IRQ = 0, OWN_MESSAGE = 4, OWN_AT = 8, OWN_READ = 16, OWN_WRITE = 20, OWN_REGS = 32 };

static uint64_t own_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct pc_world *w = opaque;

	FUZZ_CHECK(offset + width <= 4096);
	return offset < 8 ? (uint64_t)w->pci->bus_master(w->platform, w->own) : w->dma_at;
}

static void own_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct pc_world *w = opaque;
	uint8_t buf[64] = { 0 };
	uint64_t len = value % sizeof(buf);

	FUZZ_CHECK(offset + width <= 4096);
	switch (offset % OWN_REGS & ~3u) {
	case OWN_IRQ:
		w->pci->irq(w->platform, w->own, value & 1);
		break;
	case OWN_MESSAGE:
		w->pci->message(w->platform, w->own, (uint32_t)value);
		break;
	case OWN_AT:
		w->dma_at = value;
		break;
	case OWN_READ:
		w->pci->dma_read(w->platform, w->own, w->dma_at, buf, len);
		break;
	case OWN_WRITE:
		w->pci->dma_write(w->platform, w->own, w->dma_at, buf, len);
		break;
	default:
		break;
	}
}

static const struct gamut_io_ops own_ops = { .size = sizeof(own_ops), .read = own_read, .write = own_write };
static const uint8_t own_value[16] = { 1, 2, 3, 4 }, own_mask[16] = { 0xff, 0xff, 0, 0xf0, 0xff };

static void own_written(void *opaque, uint32_t offset, uint32_t width)
{
	(void)opaque;
	FUZZ_CHECK(offset + width <= 256);
}

static uint32_t own_shown(void *opaque, uint32_t offset, uint32_t width, uint32_t held)
{
	(void)opaque;
	FUZZ_CHECK(offset + width <= 256);
	return held;
}

static void add_own(struct pc_world *w)
{
	const struct gamut_pci_desc desc = {
		.size = sizeof(desc),
		.devfn = PC_DEVFN_OWN,
		.vendor = 0x1af4,
		.device = 0x10f0,
		.class_revision = 0xff000000,
		.pin = 3,
		.bar = { { GAMUT_PCI_BAR_MEM64, 1, 4096, &own_ops },
		         { 0 },
		         { GAMUT_PCI_BAR_MEM32, 0, 4096, NULL },
		         { GAMUT_PCI_BAR_IO, 0, 32, &own_ops } },
		.msix_vectors = 12,
		.msix_bar = 2,
		.msi_vectors = 8,
		.config_at = 0xf0,
		.n_config = sizeof(own_value),
		.config_value = own_value,
		.config_mask = own_mask,
		.config_written = own_written,
		.config_read = own_shown,
	};

	FUZZ_CHECK(!w->pci->add(w->platform, &desc, w, &w->own));
}

/* ---- putting it together ---- */

static uint32_t take_serial(void *opaque, const void *buf, uint32_t len)
{
	struct pc_world *w = opaque;
	uint32_t n = len < w->serial_room ? len : w->serial_room;
	volatile uint8_t last = n ? ((const uint8_t *)buf)[n - 1] : 0;

	(void)last;
	w->serial_room -= n;
	return n;
}

static void serial_room(void *opaque)
{
	(void)opaque;
}

static void make_chip_set(struct pc_world *w)
{
	static const struct gamut_serial_peer peer = { .size = sizeof(peer), .receive = take_serial, .room = serial_room };
	const struct gamut_ops *intr = ops_of(&fuzz_intr_apic), *platform = ops_of(&fuzz_platform_pc);

	FUZZ_CHECK(!intr->create(w->f->host, w->f->inst, &w->intr));
	FUZZ_CHECK(!platform->create(w->f->host, w->f->inst, &w->platform));
	w->lines = intr->interface(w->intr, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION);
	host_fake_give(w->f, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION, w->lines, w->intr);
	w->pci = platform->interface(w->platform, GAMUT_PCI_BUS, GAMUT_PCI_REVISION);
	w->serial = platform->interface(w->platform, GAMUT_SERIAL_PORTS, GAMUT_PC_REVISION);
	w->screen = platform->interface(w->platform, GAMUT_TEXT_SCREEN, GAMUT_PC_REVISION);
	w->keyboard = platform->interface(w->platform, GAMUT_KEYBOARD, GAMUT_PC_REVISION);
	FUZZ_CHECK(!intr->start(w->intr));
	FUZZ_CHECK(!platform->start(w->platform));
	FUZZ_CHECK(!w->serial->attach(w->platform, 0, &peer, w));
}

static void make_disks(struct pc_world *w)
{
	struct ide_config c = { .host = w->f->host, .inst = w->f->inst, .pci = w->pci, .pci_self = w->platform };

	c.irq = w->lines;
	c.irq_self = w->intr;
	w->ide = ide_create(&c);
	FUZZ_CHECK(w->ide);
	for (uint32_t i = 0; i < PC_DISKS; i++) {
		struct ide_drive_config d = { .host = w->f->host, .inst = w->f->inst, .cdrom = i == PC_LAST_DISK };

		block_fake_init(&w->disk[i], d.cdrom ? CD : DISK);
		w->disk[i].block.info.readonly = i != 0;
		w->disk[i].block.info.discard = i == 0;
		d.block = &w->disk[i].block;
		FUZZ_CHECK(!ide_attach(w->ide, i, &d));
	}
}

/* Looks at every byte, so that a sanitizer sees one that should not be there. */
static uint32_t net_send(struct netdev *dev, const struct netdev_frame *frames, uint32_t n)
{
	struct pc_net *net = (struct pc_net *)dev;
	uint32_t taken = n < net->room ? n : net->room;

	for (uint32_t i = 0; i < taken; i++) {
		static uint8_t frame[NETDEV_FRAME_MAX];
		uint32_t at = 0;

		for (uint32_t k = 0; k < frames[i].n_iov; at += (uint32_t)frames[i].iov[k++].iov_len) {
			FUZZ_CHECK(frames[i].iov[k].iov_len <= sizeof(frame) - at);
			memcpy(frame + at, frames[i].iov[k].iov_base, frames[i].iov[k].iov_len);
		}
		FUZZ_CHECK(at == frames[i].length && at >= NETDEV_HEADER);
		spend(at);
	}
	net->room -= taken;
	return taken;
}

static void net_nothing(struct netdev *dev)
{
	(void)dev;
}

static const struct netdev_ops net_ops = { .send = net_send, .ready = net_nothing, .flush = net_nothing,
	                                   .close = net_nothing };

static void make_nic(struct pc_world *w)
{
	static const uint8_t rom[NIC_ROM] = { 0x55, 0xaa, NIC_ROM / 512 };
	const struct e1000_config c = { .host = w->f->host, .inst = w->f->inst, .mac = { 0, 0x16, 0x3e, 1, 2, 3 },
		                        .rom = rom, .rom_size = NIC_ROM };

	w->nic = e1000_create(&c);
	FUZZ_CHECK(w->nic);
	w->net = (struct pc_net){ .netdev.ops = &net_ops, .netdev.info.name = "fuzz", .room = UINT32_MAX };
	e1000_front(w->nic, &w->net.front);
	e1000_connect(w->nic, &w->net.netdev);
	FUZZ_CHECK(!e1000_start(w->nic, w->pci, w->platform));
}

/* A vCPU waits for the disks. */
static void turn(void)
{
	for (uint32_t i = 0; i < PC_DISKS; i++)
		block_fake_complete(&world->disk[i]);
	host_fake_run(world->f);
}

static struct pc_world *make(uint32_t how)
{
	struct pc_world *w = calloc(1, sizeof(*w));

	FUZZ_CHECK(w);
	setenv("TZ", "UTC", 1);
	world = w;
	pc_thread_turn = turn;
	pc_thread_wall = WALL * 1000000000;
	w->how = how;
	make_host(w);
	make_chip_set(w);
	make_disks(w);
	make_nic(w);
	add_own(w);
	FUZZ_CHECK(!bus_seal(&w->bus));
	/* That the peer came is the modem lines' change: read, it is over. */
	pc_in(w, 0x3fe, 1);
	pc_world_run(w);
	return w;
}

void pc_world_end(struct pc_world *w)
{
	const struct gamut_ops *intr = ops_of(&fuzz_intr_apic), *platform = ops_of(&fuzz_platform_pc);

	pc_world_pause(w);
	e1000_stop(w->nic);
	for (uint32_t i = PC_DISKS; i--;)
		ide_detach(w->ide, i);
	platform->stop(w->platform);
	if (intr->stop)
		intr->stop(w->intr);
	w->pci->remove(w->platform, w->own);
	e1000_destroy(w->nic);
	ide_destroy(w->ide);
	platform->destroy(w->platform);
	intr->destroy(w->intr);
	bus_finish(&w->bus);
	FUZZ_CHECK(!pc_thread_locks());
	FUZZ_CHECK(!host_fake_destroy(w->f));
	pc_thread_turn = NULL;
	for (uint32_t i = 0; i < PC_DISKS; i++)
		block_fake_finish(&w->disk[i]);
	free(w);
}

/* ---- accesses ---- */

uint32_t pc_in(struct pc_world *w, uint32_t port, uint32_t width)
{
	uint32_t value = 0;

	bus_pio(&w->bus, (uint16_t)port, width, false, &value);
	return value;
}

void pc_out(struct pc_world *w, uint32_t port, uint32_t width, uint32_t value)
{
	bus_pio(&w->bus, (uint16_t)port, width, true, &value);
}

/* An access that crosses a page is two to the processor, and here one a byte. */
static bool in_page(uint64_t gpa, uint32_t width)
{
	return gpa % 4096 + width <= 4096;
}

uint64_t pc_load(struct pc_world *w, uint64_t gpa, uint32_t width)
{
	uint64_t value = 0;

	if (!in_page(gpa, width)) {
		for (uint32_t i = 0; i < width; i++)
			value |= pc_load(w, gpa + i, 1) << 8 * i;
		return value;
	}
	if (fake.mem_read(w->f->inst, gpa, &value, width))
		bus_mmio(&w->bus, &w->cache[w->f->current], gpa, width, false, &value);
	return value;
}

void pc_store(struct pc_world *w, uint64_t gpa, uint32_t width, uint64_t value)
{
	for (uint32_t i = 0; i < width && !in_page(gpa, width); i++)
		pc_store(w, gpa + i, 1, value >> 8 * i & 0xff);
	if (in_page(gpa, width) && fake.mem_write(w->f->inst, gpa, &value, width))
		bus_mmio(&w->bus, &w->cache[w->f->current], gpa, width, true, &value);
}

uint32_t pc_config(struct pc_world *w, uint32_t devfn, uint32_t reg, uint32_t width)
{
	pc_out(w, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
	return pc_in(w, 0xcfc + (reg & 3), width);
}

void pc_set_config(struct pc_world *w, uint32_t devfn, uint32_t reg, uint32_t width, uint32_t value)
{
	pc_out(w, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
	pc_out(w, 0xcfc + (reg & 3), width, value);
}

uint64_t pc_rdmsr(struct pc_world *w, uint32_t msr)
{
	uint64_t value = 0;
	int err;

	bus_msr(&w->bus, w->f->current, msr, false, &value, &err);
	FUZZ_CHECK(!err || err == -EPERM);
	return err ? UINT64_MAX : value;
}

void pc_wrmsr(struct pc_world *w, uint32_t msr, uint64_t value)
{
	int err;

	bus_msr(&w->bus, w->f->current, msr, true, &value, &err);
	FUZZ_CHECK(!err || err == -EPERM);
}

/* ---- as firmware leaves it ---- */

void pc_world_firmware(struct pc_world *w)
{
	static const struct {
		uint8_t devfn, reg;
		uint32_t value;
	} set[] = {
		{ PC_DEVFN_NIC, 0x10, PC_NIC },       { PC_DEVFN_NIC, 0x14, PC_NIC_PORTS },
		{ PC_DEVFN_NIC, 0x30, PC_NIC_ROM | 1 }, { PC_DEVFN_NIC, 0x04, 0x107 },
		{ PC_DEVFN_IDE, 0x20, PC_IDE_PORTS }, { PC_DEVFN_IDE, 0x40, 0x80008000 },
		{ PC_DEVFN_IDE, 0x04, 0x5 },          { PC_DEVFN_PM, 0x40, PC_PM_PORTS },
		{ PC_DEVFN_PM, 0x80, 1 },             { PC_DEVFN_PM, 0x90, PC_SMB_PORTS },
		{ PC_DEVFN_PM, 0xd0, 0x00090000 },    { PC_DEVFN_PM, 0x04, 0x1 },
		{ PC_DEVFN_OWN, 0x10, 0 },            { PC_DEVFN_OWN, 0x14, 1 },
		{ PC_DEVFN_OWN, 0x18, PC_OWN_MSIX },  { PC_DEVFN_OWN, 0x1c, PC_OWN_PORTS },
		{ PC_DEVFN_OWN, 0x04, 0x7 },          { PC_DEVFN_ISA, 0x60, 0x0b0a0b0a },
	};

	for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++)
		pc_set_config(w, set[i].devfn, set[i].reg, 4, set[i].value);
}

/* ---- a life in pieces ---- */

void pc_world_run(struct pc_world *w)
{
	host_fake_run(w->f);
}

void pc_world_pause(struct pc_world *w)
{
	ops_of(&fuzz_platform_pc)->pause(w->platform);
	for (uint32_t i = PC_DISKS; i--;)
		ide_pause(w->ide, i);
	for (uint32_t i = 0; i < PC_DISKS; i++)
		FUZZ_CHECK(!w->disk[i].in_flight);
	FUZZ_CHECK(!w->f->gets && !pc_thread_locks());
}

void pc_world_resume(struct pc_world *w)
{
	ops_of(&fuzz_intr_apic)->resume(w->intr);
	ops_of(&fuzz_platform_pc)->resume(w->platform);
	for (uint32_t i = 0; i < PC_DISKS; i++)
		ide_resume(w->ide, i);
}

static bool flying(const struct pc_world *w)
{
	bool some = false;

	for (uint32_t i = 0; i < PC_DISKS; i++) {
		FUZZ_CHECK(!w->disk[i].n_refused);
		some |= w->disk[i].in_flight != 0;
	}
	return some;
}

void pc_world_action(struct pc_world *w)
{
	/* A request that waits for the I/O thread has its memory already. */
	if (!flying(w) && w->f->gets)
		pc_world_run(w);
	FUZZ_CHECK(flying(w) || !w->f->gets);
	FUZZ_CHECK(!pc_thread_locks());
	/* A guest cannot fill the log; the test device says how the test ended. */
	for (uint32_t i = 0; i < 4 && !(w->how & PC_WITH_TESTDEV); i++)
		FUZZ_CHECK(w->f->logs[i] < LOGS_MAX);
	spend_anew(w);
}

/* ---- power-on ---- */

/* Registers as they are read, each with what it is, in the order of reading. */
struct shown {
	uint32_t n;
	struct {
		char space;
		uint32_t at;
		uint64_t value;
	} reg[4096];
};

static void note(struct shown *s, char space, uint32_t at, uint64_t value)
{
	FUZZ_CHECK(s->n < sizeof(s->reg) / sizeof(s->reg[0]));
	s->reg[s->n].space = space;
	s->reg[s->n].at = at;
	s->reg[s->n++].value = value;
}

/* Goes with time, or is kept: by a battery, or because the reset pin does not lead there. */
static bool not_reset(uint32_t port)
{
	static const uint16_t list[] = { 0x40, 0x41, 0x42, 0x61, 0x71, 0x73, 0x2ff, 0x3ff, 0x3ba, 0x3da };

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (list[i] == port)
			return true;
	return false;
}

static void show_ports(struct pc_world *w, struct shown *s)
{
	for (uint32_t i = 0; i < w->bus.pio.n; i++) {
		const struct bus_range *r = &w->bus.pio.ranges[i];

		for (uint64_t at = r->base; at < r->base + r->len; at++)
			if (!not_reset((uint32_t)at))
				note(s, 'p', (uint32_t)at, pc_in(w, (uint32_t)at, 1));
	}
}

static void show_config(struct pc_world *w, struct shown *s)
{
	static const uint8_t functions[] = { PC_DEVFN_BRIDGE, PC_DEVFN_ISA, PC_DEVFN_IDE,
		                             PC_DEVFN_PM,     PC_DEVFN_NIC, PC_DEVFN_OWN };

	for (uint32_t i = 0; i < sizeof(functions); i++)
		for (uint32_t reg = 0; reg < 256; reg += 4)
			note(s, 'c', (uint32_t)functions[i] << 8 | reg, pc_config(w, functions[i], reg, 4));
}

static void show_apics(struct pc_world *w, struct shown *s)
{
	for (w->f->current = w->f->vcpus; w->f->current--;) {
		note(s, 'm', 0x1b, pc_rdmsr(w, 0x1b));
		note(s, 'm', 0x6e0, pc_rdmsr(w, 0x6e0));
		for (uint32_t reg = 0x20; reg < 0x400; reg += 0x10)
			note(s, 'l', w->f->current << 16 | reg, pc_load(w, 0xfee00000 + reg, 4));
		if (!w->f->current)
			break;
	}
	for (uint32_t i = 0; i < 64; i++) {
		pc_store(w, GAMUT_IOAPIC_BASE, 4, i);
		note(s, 'i', i, pc_load(w, GAMUT_IOAPIC_BASE + 0x10, 4));
	}
}

/* Without the station address and what else comes from the EEPROM, which keeps what it is told. */
static void show_nic(struct pc_world *w, struct shown *s)
{
	static const struct {
		uint32_t from, to;
	} ranges[] = {
		{ E1000_STATUS, E1000_EECD },   { E1000_CTRL_EXT, E1000_RCTL + 4 },   { E1000_FCTTV, E1000_RXCW + 4 },
		{ E1000_TCTL, E1000_AIT + 4 },  { E1000_LEDCTL, E1000_LEDCTL + 4 },   { E1000_PBA, E1000_PBA + 4 },
		{ E1000_FCRTL, E1000_FCRTH + 4 }, { E1000_RDFH, E1000_RDFPC + 4 },    { E1000_RDBAL, E1000_RADV + 4 },
		{ E1000_RSRPD, E1000_RSRPD + 4 }, { E1000_TXDMAC, E1000_TXDMAC + 4 }, { E1000_TDFH, E1000_TDFPC + 4 },
		{ E1000_TDBAL, E1000_TSPMT + 4 }, { E1000_STATS, E1000_STATS_END },   { E1000_RXCSUM, E1000_RXCSUM + 4 },
		{ E1000_MTA, E1000_MTA + 16 },  { E1000_VFTA, E1000_VFTA + 16 },      { E1000_WUC, E1000_IP4AT },
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		for (uint32_t at = ranges[i].from; at < ranges[i].to; at += 4)
			note(s, 'n', at, pc_load(w, PC_NIC + at, 4));
}

static void show(struct pc_world *w, struct shown *s)
{
	s->n = 0;
	show_ports(w, s);
	show_config(w, s);
	show_apics(w, s);
	pc_world_firmware(w);
	show_nic(w, s);
}

static void reset(struct pc_world *w)
{
	pc_world_pause(w);
	for (uint32_t i = 0; i < w->f->vcpus; i++) {
		memset(&w->f->vcpu[i].state, 0, sizeof(w->f->vcpu[i].state));
		w->f->vcpu[i].up = i == 0;
	}
	w->f->current = 0;
	w->dma_at = 0;
	w->net.front.link(w->net.front.opaque, true);
	FUZZ_CHECK(!ops_of(&fuzz_intr_apic)->reset(w->intr));
	FUZZ_CHECK(!ops_of(&fuzz_platform_pc)->reset(w->platform));
	ide_reset(w->ide);
	e1000_reset(w->nic);
	w->f->ended = -1;
	pc_world_resume(w);
}

static void compare(const struct shown *a, const struct shown *b)
{
	FUZZ_CHECK(a->n == b->n);
	for (uint32_t i = 0; i < a->n; i++) {
		if (a->reg[i].value == b->reg[i].value)
			continue;
		fprintf(stderr, "after reset, %c:0x%x is 0x%llx; at power-on it was 0x%llx\n", a->reg[i].space,
		        a->reg[i].at, (unsigned long long)b->reg[i].value, (unsigned long long)a->reg[i].value);
		abort();
	}
}

void pc_world_reset(struct pc_world *w)
{
	reset(w);
	pc_world_action(w);
	if (w->how & PC_WITH_FIRMWARE)
		pc_world_firmware(w);
}

void pc_world_check(struct pc_world *w)
{
	static struct shown power_on[PC_HOW + 1], now;
	struct shown *s = &power_on[w->how];

	if (!s->n) {
		int64_t wall = pc_thread_wall;
		struct pc_world *other = make(w->how);

		show(other, s);
		pc_world_end(other);
		world = w;
		pc_thread_turn = turn;
		pc_thread_wall = wall;
	}
	reset(w);
	show(w, &now);
	compare(s, &now);
	pc_world_action(w);
}

struct pc_world *pc_world_begin(uint32_t how)
{
	struct pc_world *w = make(how & PC_HOW);

	if (w->how & PC_WITH_FIRMWARE)
		pc_world_firmware(w);
	pc_world_action(w);
	return w;
}
