/* SPDX-License-Identifier: MIT */
/* Timers and the chips behind the ISA bridge: 8254, MC146818, 16550A, 8042, VGA. */
#include "pc.h"

#define COM2 0x2f8

static uint32_t pit_read(unsigned counter)
{
	uint32_t low;

	outb(0x43, (uint8_t)(counter << 6));
	low = inb((uint16_t)(0x40 + counter));
	return low | (uint32_t)inb((uint16_t)(0x40 + counter)) << 8;
}

static uint8_t cmos_read(uint8_t reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void cmos_write(uint8_t reg, uint8_t value)
{
	outb(0x70, reg);
	outb(0x71, value);
}

/* A counter, when its reading began, and how long that took: microseconds, unless the processor was taken away. */
struct pit_reading {
	uint32_t count;
	uint64_t at, took;
};

static struct pit_reading pit_read_at(unsigned counter)
{
	struct pit_reading r = { .at = clock_ns() };

	r.count = pit_read(counter);
	r.took = clock_ns() - r.at;
	return r;
}

/* Over 10 ms or more: 1 where it counts as it should, 0 where not, -1 where it cannot be told. */
static int pit_counts(void)
{
	struct pit_reading a = pit_read_at(0), b;
	uint64_t want, slack;
	uint32_t ticks;

	pc_delay(10 * NS_PER_MS);
	b = pit_read_at(0);
	if (a.took + b.took > 3 * NS_PER_MS || b.at + b.took - a.at > 50 * NS_PER_MS)
		return -1;
	want = (b.at - a.at) * 1193 / 1000000;
	slack = want / 20 + (a.took + b.took) * 1193 / 1000000;
	ticks = (a.count - b.count + 0xffff) % 0xffff; /* it goes from 1 to 0xffff */
	return ticks + slack >= want && ticks <= want + slack;
}

static void check_pit(void)
{
	int counts = -1;
	uint32_t a, b;

	outb(0x43, 0x34);
	outb(0x40, 0xff);
	outb(0x40, 0xff);
	pc_delay(100000);
	for (unsigned i = 0; i < 100 && counts < 0; i++)
		counts = pit_counts();
	check(counts == 1, "8254: counts at 1.19 MHz");
	outb(0x43, 0xe2); /* read back the status of counter 0 */
	check((inb(0x40) & 0x3f) == 0x34, "8254: read-back gives the mode");
	outb(0x61, inb(0x61) & 0xfc);
	outb(0x43, 0xb0);
	outb(0x42, 100);
	outb(0x42, 0);
	pc_delay(1 * NS_PER_MS);
	check(!(inb(0x61) & 0x20), "8254: counter 2 stands while its gate is low");
	outb(0x61, inb(0x61) | 1);
	pc_delay(1 * NS_PER_MS);
	check(inb(0x61) & 0x20, "8254: counter 2 comes to its end with the gate high");
	a = inb(0x61) & 0x10;
	for (b = 0; b < 100000 && (inb(0x61) & 0x10) == a; b++)
		;
	check(b < 100000, "port 61: the refresh bit toggles");
}

static void check_rtc(void)
{
	uint32_t before = pc.interrupts[PIC_VECTOR + 8];
	uint8_t year = cmos_read(9), month = cmos_read(8), b = cmos_read(0xb);

	check(cmos_read(0xd) & 0x80, "RTC: valid");
	check(month >= 1 && month <= 0x12 && year >= 0x24, "RTC: a date of our time");
	cmos_write(0xa, 0x26);
	cmos_write(0xb, (uint8_t)(b | 0x40)); /* periodic, 1024 Hz */
	mmio_write(LAPIC_BASE + 0x350, 0x700);
	pic_init(0xfefb);
	/* After it: to have been initialized, an 8259 must see the line rise. */
	cmos_read(0xc);
	for (unsigned i = 1; i <= 3; i++) {
		if (!pc_wait_interrupts(PIC_VECTOR + 8, before + i))
			break;
		cmos_read(0xc);
	}
	check(pc.interrupts[PIC_VECTOR + 8] >= before + 3, "RTC: periodic interrupts");
	pic_init(0xffff);
	mmio_write(LAPIC_BASE + 0x350, 0x10000);
	cmos_write(0xb, b);
	cmos_read(0xc);
	cmos_write(0x50, 0x5a);
	check(cmos_read(0x50) == 0x5a, "CMOS: holds a byte");
}

void check_pc_timers(void)
{
	check_pit();
	check_rtc();
}

static void check_uart(void)
{
	bool ok = true;

	outb(COM2 + 7, 0x5a);
	if (!check(inb(COM2 + 7) == 0x5a, "UART 2: scratch register"))
		return;
	outb(COM2 + 4, 0x1a); /* loop back: RTS, OUT2 */
	check((inb(COM2 + 6) & 0xf0) == 0x90, "UART 2: modem lines loop back");
	outb(COM2 + 2, 7);
	check((inb(COM2 + 2) & 0xc0) == 0xc0, "UART 2: FIFOs");
	for (unsigned i = 0; i < 16; i++)
		outb(COM2, (uint8_t)(i * 17));
	pc_delay(2 * NS_PER_MS);
	for (unsigned i = 0; i < 16; i++)
		ok &= (inb(COM2 + 5) & 1) && inb(COM2) == i * 17;
	check(ok && !(inb(COM2 + 5) & 1), "UART 2: 16 bytes through the loop");
	outb(COM2 + 4, 0);
}

static bool i8042_wait(uint8_t mask, uint8_t value)
{
	uint64_t end = pc_clock_ns() + 1000 * NS_PER_MS;

	do {
		if ((inb(0x64) & mask) == value)
			return true;
	} while (pc_clock_ns() < end);
	return false;
}

static int i8042_answer(void)
{
	return i8042_wait(1, 1) ? inb(0x60) : -1;
}

static void check_i8042(void)
{
	for (unsigned i = 0; i < 32 && inb(0x64) & 1; i++)
		inb(0x60);
	outb(0x64, 0xaa);
	check(i8042_answer() == 0x55, "8042: self-test");
	outb(0x64, 0xab);
	check(i8042_answer() == 0, "8042: keyboard interface test");
	i8042_wait(2, 0);
	outb(0x60, 0xff);
	check(i8042_answer() == 0xfa && i8042_answer() == 0xaa, "keyboard: reset and self-test");
}

static void check_vga(void)
{
	volatile uint16_t *cell = (volatile uint16_t *)0xb8000;

	/* What a VGA BIOS would have set: mode 3's memory map. */
	outb(0x3c2, 0x67);
	outb(0x3c4, 2), outb(0x3c5, 3);
	outb(0x3c4, 4), outb(0x3c5, 2);
	outb(0x3ce, 5), outb(0x3cf, 0x10);
	outb(0x3ce, 6), outb(0x3cf, 0x0e);
	outb(0x3ce, 8), outb(0x3cf, 0xff);
	cell[0] = 0x0741;
	cell[1999] = 0x1f42;
	check(cell[0] == 0x0741 && cell[1999] == 0x1f42, "VGA: text memory");
	outb(0x3d4, 0x0e), outb(0x3d5, 0x03);
	check(inb(0x3d5) == 3, "VGA: a CRTC register reads back");
	cell[0] = cell[1999] = 0x0720;
}

static void check_dma_pages(void)
{
	outb(0x83, 0x42);
	check(inb(0x83) == 0x42, "DMA page register reads back");
}

void check_pc_isa(void)
{
	check_uart();
	check_i8042();
	check_vga();
	check_dma_pages();
}
