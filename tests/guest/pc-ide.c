/* SPDX-License-Identifier: MIT */
/*
 * The first IDE disk: ATA-6 by PIO and by bus-master DMA. Its content is what
 * tests/guest/make-disk wrote. Writes happen on request alone.
 */
#include "io.h"
#include "pc.h"

#define DATA 0x1f0
#define STATUS 0x1f7
#define CONTROL 0x3f6

#define READ_PIO 0x20
#define READ_PIO_EXT 0x24
#define WRITE_PIO 0x30
#define READ_DMA 0xc8
#define WRITE_DMA 0xca
#define FLUSH 0xe7
#define IDENTIFY 0xec

#define BSY 0x80
#define DRQ 0x08
#define ERR 0x01

#define PRD_LAST 0x80000000u

static uint8_t page[PAGE_BYTES] PAGE_ALIGNED, saved[PAGE_BYTES] PAGE_ALIGNED;
static uint64_t prd[4] __attribute__((aligned(32)));
static uint32_t sectors;
static uint16_t bus_master;

static uint8_t settle(void)
{
	uint64_t end = pc_clock_ns() + 2000 * NS_PER_MS;
	uint8_t status;

	do
		status = inb(STATUS);
	while (status & BSY && pc_clock_ns() < end);
	return status;
}

static void issue(uint8_t command, uint32_t lba, uint8_t count)
{
	outb(0x1f6, (uint8_t)(0xe0 | (lba >> 24 & 0xf)));
	outb(0x1f2, count);
	outb(0x1f3, (uint8_t)lba);
	outb(0x1f4, (uint8_t)(lba >> 8));
	outb(0x1f5, (uint8_t)(lba >> 16));
	outb(STATUS, command);
}

/* 8 sectors in; the last status. */
static uint8_t pio_read(uint8_t command, uint32_t lba)
{
	void *to = page;

	issue(command, lba, 8);
	for (unsigned i = 0; i < 8; i++) {
		uint32_t words = 256;

		if ((settle() & (DRQ | ERR)) != DRQ)
			return inb(STATUS);
		__asm__ volatile("rep insw" : "+D"(to), "+c"(words) : "d"(DATA) : "memory");
	}
	return settle();
}

static uint8_t pio_write(uint32_t lba)
{
	const void *from = page;

	issue(WRITE_PIO, lba, 8);
	for (unsigned i = 0; i < 8; i++) {
		uint32_t words = 256;

		if ((settle() & (DRQ | ERR)) != DRQ)
			return inb(STATUS);
		__asm__ volatile("rep outsw" : "+S"(from), "+c"(words) : "d"(DATA) : "memory");
	}
	return settle();
}

/* What prd describes, by bus-master DMA. */
static void dma_start(uint8_t command, uint32_t lba, uint8_t count)
{
	uint8_t direction = command == READ_DMA ? 8 : 0;

	outb((uint16_t)(bus_master + 2), 6); /* clear interrupt and error */
	outl((uint16_t)(bus_master + 4), (uint32_t)(uint64_t)prd);
	outb(bus_master, direction);
	issue(command, lba, count);
	outb(bus_master, direction | 1);
}

/* The bus master's status. */
static uint8_t dma_stop(void)
{
	uint8_t status = inb((uint16_t)(bus_master + 2));

	outb(bus_master, 0);
	barrier();
	return status;
}

/* A page; the ATA status, with the bus master's in *bm. */
static uint8_t dma(uint8_t command, uint32_t lba, uint64_t address, uint8_t *bm)
{
	uint64_t end = pc_clock_ns() + 2000 * NS_PER_MS;

	prd[0] = (uint32_t)address | (uint64_t)(PAGE_BYTES | PRD_LAST) << 32;
	dma_start(command, lba, 8);
	while (!(inb((uint16_t)(bus_master + 2)) & 6) && pc_clock_ns() < end)
		;
	*bm = dma_stop();
	return settle();
}

/* What firmware does, if there was one: both channels are decoded (PIIX3, IDETIM), and the bus master registers are. */
static void enable_channels(void)
{
	int found = pci_find_class(0x0101);
	uint32_t devfn = (uint32_t)found;

	if (found < 0)
		return;
	pci_write(devfn, 0x40, pci_read(devfn, 0x40) | 0x80008000);
	pci_write(devfn, 0x20, 0xc000);
	pci_write(devfn, 4, pci_read(devfn, 4) | 5);
	bus_master = (uint16_t)(pci_read(devfn, 0x20) & 0xfffc);
}

static bool find_disk(void)
{
	uint16_t id[256];
	void *to = id;
	uint32_t words = 256;

	outb(0x1f6, 0xe0);
	if (inb(STATUS) == 0xff)
		return false;
	outb(CONTROL, 2);
	issue(IDENTIFY, 0, 0);
	if ((settle() & (DRQ | ERR)) != DRQ)
		return false;
	__asm__ volatile("rep insw" : "+D"(to), "+c"(words) : "d"(DATA) : "memory");
	sectors = id[60] | (uint32_t)id[61] << 16;
	return true;
}

static void check_pio(void)
{
	uint8_t status;

	for (uint32_t lba = 0; lba < sectors; lba += sectors / 2) {
		memset(page, 0, sizeof(page));
		check(!(pio_read(READ_PIO, lba) & (ERR | DRQ)) && names_sectors(page, lba, 8), "IDE: PIO read at sector %u", lba);
	}
	outb(0x1f2, 0), outb(0x1f3, 0), outb(0x1f4, 0), outb(0x1f5, 0); /* the upper halves of LBA48 */
	memset(page, 0, sizeof(page));
	check(!(pio_read(READ_PIO_EXT, 16) & (ERR | DRQ)) && names_sectors(page, 16, 8), "IDE: LBA48 PIO read");
	status = pio_read(READ_PIO, sectors - 4);
	check(status & ERR || !names_sectors(page, sectors - 4, 8), "IDE: a read past the end");
	issue(0xff, 0, 0);
	check((settle() & ERR) && inb(0x1f1) & 4, "IDE: a command that is not there is aborted");
}

static void check_dma(void)
{
	uint8_t bm;

	if (!check(bus_master != 0, "IDE: a PCI function"))
		return;
	outb(CONTROL, 0); /* the bus master shows the disk's interrupt; the 8259s let none through */
	memset(page, 0, sizeof(page));
	check(!(dma(READ_DMA, 8, (uint64_t)page, &bm) & ERR) && (bm & 7) == 4 && names_sectors(page, 8, 8), "IDE: DMA read");
	if ((bm & 7) != 4)
		print("# bus master status %x\n", bm);
	dma(READ_DMA, 8, 0xfffff000, &bm);
	outb(CONTROL, 4); /* nobody says what a disk does now: soft reset */
	pc_delay(10000);
	outb(CONTROL, 0);
	settle();
	memset(page, 0, sizeof(page));
	check(!(dma(READ_DMA, 16, (uint64_t)page, &bm) & ERR) && names_sectors(page, 16, 8), "IDE: DMA read after one to where no RAM is");
}

static void check_write(void)
{
	uint32_t last = sectors - 8;
	uint8_t bm;

	if (!probe.write) {
		skip("IDE: write", "not asked for");
		return;
	}
	pio_read(READ_PIO, last);
	memcpy(saved, page, sizeof(saved));
	for (unsigned i = 0; i < sizeof(page); i++)
		page[i] = (uint8_t)(i * 7);
	check(!(dma(WRITE_DMA, last, (uint64_t)page, &bm) & ERR), "IDE: DMA write");
	issue(FLUSH, 0, 0);
	check(!(settle() & ERR), "IDE: flush");
	memset(page, 0, sizeof(page));
	check(!(pio_read(READ_PIO, last) & ERR) && page[1] == 7 && page[4095] == (uint8_t)(4095 * 7), "IDE: read it back");
	memcpy(page, saved, sizeof(page));
	check(!(pio_write(last) & ERR), "IDE: PIO write puts back what was there");
}

void check_pc_ide(void)
{
	enable_channels();
	if (!find_disk()) {
		skip("IDE", "the domain has no first IDE disk");
		return;
	}
	check(sectors >= 16, "IDE: its size");
	check_pio();
	check_dma();
	check_write();
}

/* ---- as a disk that is measured ---------------------------------------------- */

#define PRD_BYTES 65536u
#define TRANSFER_MAX (256 * SECTOR)

static struct disk_request request;
static bool waiting, running;

static void submit(const struct disk_request *r)
{
	request = *r;
	waiting = true;
}

static void kick(void)
{
	uint64_t at = (uint64_t)request.data;
	uint32_t rest = request.bytes, n;

	if (!waiting)
		return;
	waiting = false;
	running = true;
	for (unsigned i = 0; rest; i++, at += n, rest -= n) {
		n = PRD_BYTES - (uint32_t)(at % PRD_BYTES); /* none crosses such a border */
		n = n < rest ? n : rest;
		prd[i] = (uint32_t)at | (uint64_t)(n % PRD_BYTES | (n == rest ? PRD_LAST : 0)) << 32;
	}
	dma_start(request.write ? WRITE_DMA : READ_DMA, (uint32_t)request.sector, (uint8_t)(request.bytes / SECTOR));
}

static bool reap(unsigned *tag, bool *ok)
{
	if (!running || !(inb((uint16_t)(bus_master + 2)) & 6))
		return false;
	running = false;
	*tag = request.tag;
	*ok = (dma_stop() & 7) == 4 && !(settle() & ERR);
	return true;
}

static void close(void)
{
	if (running)
		dma_stop();
	running = waiting = false;
	outb(CONTROL, 2);
}

/* An ATA disk does not tell that it is read-only: it aborts writes, this one of what was there. */
static bool aborts_writes(void)
{
	uint8_t bm;

	return probe.write && !(dma(READ_DMA, 0, (uint64_t)page, &bm) & ERR) && (bm & 7) == 4 &&
	       (dma(WRITE_DMA, 0, (uint64_t)page, &bm) & ERR);
}

enum io_found disk_ide_open(struct disk *d)
{
	if (!probe.pc)
		return IO_NONE;
	enable_channels();
	if (!bus_master || !find_disk())
		return IO_NONE;
	outb(CONTROL, 0); /* as for check_dma */
	*d = (struct disk){
		.driver = "IDE",
		.sectors = sectors,
		.readonly = aborts_writes(),
		.depth = 1,
		.bytes = TRANSFER_MAX,
		.submit = submit,
		.kick = kick,
		.reap = reap,
		.close = close,
	};
	return IO_OPEN;
}
