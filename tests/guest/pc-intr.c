/* SPDX-License-Identifier: MIT */
/* Interrupt controllers: 8259A pair, I/O APIC (82093AA), local APIC (Intel SDM volume 3, chapter 11). */
#include "pc.h"

#define LAPIC(reg) (LAPIC_BASE + (reg))

static bool x2apic; /* no page, but MSRs */

void pic_init(uint16_t mask)
{
	static const uint8_t words[2][4] = {
		{ 0x11, PIC_VECTOR, 4, 1 },
		{ 0x11, PIC_VECTOR + 8, 2, 1 },
	};

	for (unsigned chip = 0; chip < 2; chip++) {
		uint16_t port = chip ? 0xa0 : 0x20;

		outb(port, words[chip][0]);
		for (unsigned i = 1; i < 4; i++)
			outb((uint16_t)(port + 1), words[chip][i]);
		outb((uint16_t)(port + 1), (uint8_t)(mask >> 8 * chip));
	}
}

void lapic_enable(void)
{
	mmio_write(LAPIC(0xf0), 0x100 | SPURIOUS_VECTOR);
	mmio_write(LAPIC(0x80), 0);
}

void lapic_eoi(void)
{
	if (x2apic)
		wrmsr(0x80b, 0);
	else
		mmio_write(LAPIC(0xb0), 0);
}

static uint32_t ioapic_read(uint32_t reg)
{
	mmio_write(IOAPIC_BASE, reg);
	return mmio_read(IOAPIC_BASE + 0x10);
}

uint32_t ioapic_version(void)
{
	return ioapic_read(1);
}

static void ioapic_write(uint32_t reg, uint32_t value)
{
	mmio_write(IOAPIC_BASE, reg);
	mmio_write(IOAPIC_BASE + 0x10, value);
}

static void ioapic_pin(uint32_t pin, uint32_t low)
{
	ioapic_write(0x11 + 2 * pin, (mmio_read(LAPIC(0x20)) >> 24) << 24);
	ioapic_write(0x10 + 2 * pin, low);
}

/* Counter 0, rate generator, about 1 kHz. */
static void pit_start(void)
{
	outb(0x43, 0x34);
	outb(0x40, 1193 & 0xff);
	outb(0x40, 1193 >> 8);
}

/* Whether any of these lines of the master is asking before a second has gone; IRR is what it reads as. */
static bool pic_asks(uint8_t lines)
{
	uint64_t end = pc_clock_ns() + 1000 * NS_PER_MS;

	while (!(inb(0x20) & lines))
		if (pc_clock_ns() > end)
			return false;
	return true;
}

static void check_pic(void)
{
	outb(0x21, 0xa5);
	check(inb(0x21) == 0xa5, "8259: the mask reads back");
	pit_start();
	/* To the processor through the local APIC's LINT0, as after reset, or past an APIC that is off. */
	mmio_write(LAPIC(0xf0), 0x100 | SPURIOUS_VECTOR);
	mmio_write(LAPIC(0x350), 0x700);
	pic_init(0xfffe);
	check(pc_wait_interrupts(PIC_VECTOR, 3), "8259: interrupts of the 8254");
	pic_init(0xffff);
	outb(0x20, 0x0a);
	check(pic_asks(1), "8259: a masked request shows in IRR");
	mmio_write(LAPIC(0x350), 0x10000);
}

void ioapic_line(uint32_t line, uint8_t vector)
{
	ioapic_pin(line, 0x8000 | vector);
}

static void check_ioapic(void)
{
	uint32_t version = ioapic_version();

	check((version >> 16 & 0xff) >= 23, "I/O APIC: 24 inputs");
	ioapic_pin(2, 0x10000 | IOAPIC_VECTOR);
	check((ioapic_read(0x14) & 0x100ff) == (0x10000 | IOAPIC_VECTOR), "I/O APIC: an entry reads back");
	ioapic_pin(2, IOAPIC_VECTOR);
	check(pc_wait_interrupts(IOAPIC_VECTOR, 3), "I/O APIC: interrupts of the 8254 on input 2");
	ioapic_pin(2, 0x10000);
	pc.interrupts[IOAPIC_VECTOR] = 0;
	pc_delay(5 * NS_PER_MS);
	__asm__ volatile("sti; nop; nop; cli");
	check(pc.interrupts[IOAPIC_VECTOR] <= 1, "I/O APIC: a masked input is silent");
}

static void check_lapic_ipi(void)
{
	uint32_t before = pc.interrupts[LAPIC_VECTOR];

	mmio_write(LAPIC(0x300), 0x40000 | LAPIC_VECTOR);
	check(mmio_read(LAPIC(0x200 + LAPIC_VECTOR / 32 * 16)) & 1u << LAPIC_VECTOR % 32, "local APIC: a request shows in IRR");
	check(pc_wait_interrupts(LAPIC_VECTOR, before + 1), "local APIC: IPI to self");
	mmio_write(LAPIC(0x80), 0x70);
	mmio_write(LAPIC(0x300), 0x40000 | LAPIC_VECTOR);
	__asm__ volatile("sti; nop; nop; cli");
	check(pc.interrupts[LAPIC_VECTOR] == before + 1, "local APIC: the task priority holds it back");
	check((mmio_read(LAPIC(0xa0)) & 0xf0) == 0x70, "local APIC: PPR follows TPR");
	__asm__ volatile("movq %0, %%cr8" ::"r"(0ull));
	check(mmio_read(LAPIC(0x80)) == 0, "local APIC: CR8 is TPR's upper half");
	check(pc_wait_interrupts(LAPIC_VECTOR, before + 2), "local APIC: and it comes then");
}

static void check_lapic_timer(void)
{
	uint32_t before = pc.interrupts[LAPIC_VECTOR + 1];

	mmio_write(LAPIC(0x3e0), 0xb); /* by 1 */
	mmio_write(LAPIC(0x320), 0x20000 | (LAPIC_VECTOR + 1));
	mmio_write(LAPIC(0x380), 200000);
	check(mmio_read(LAPIC(0x390)) <= 200000, "local APIC: the count goes down");
	check(pc_wait_interrupts(LAPIC_VECTOR + 1, before + 3), "local APIC: periodic timer");
	mmio_write(LAPIC(0x320), 0x10000);
	mmio_write(LAPIC(0x380), 0);
}

static void check_tsc_deadline(void)
{
	uint32_t before = pc.interrupts[LAPIC_VECTOR + 2], r[4];

	cpuid(1, 0, r);
	if (!(r[2] >> 24 & 1)) {
		skip("local APIC: TSC deadline", "not offered");
		return;
	}
	mmio_write(LAPIC(0x320), 0x40000 | (LAPIC_VECTOR + 2));
	wrmsr(0x6e0, rdtsc() + 1000000);
	check(pc_wait_interrupts(LAPIC_VECTOR + 2, before + 1), "local APIC: TSC deadline");
	check(rdmsr(0x6e0) == 0, "local APIC: the deadline is 0 when it has come");
	mmio_write(LAPIC(0x320), 0x10000);
}

static void check_x2apic(void)
{
	uint64_t base = rdmsr(0x1b);
	uint32_t r[4], id = mmio_read(LAPIC(0x20)) >> 24, before = pc.interrupts[LAPIC_VECTOR];

	check((base & ~0xfffull) == LAPIC_BASE && base & 0x800, "local APIC: APIC_BASE");
	cpuid(1, 0, r);
	if (!(r[2] >> 21 & 1)) {
		skip("x2APIC", "not offered");
		return;
	}
	wrmsr(0x1b, base | 0x400);
	x2apic = true;
	check(rdmsr(0x802) == id, "x2APIC: the same id");
	wrmsr(0x83f, LAPIC_VECTOR);
	check(pc_wait_interrupts(LAPIC_VECTOR, before + 1), "x2APIC: IPI to self");
	x2apic = false;
	wrmsr(0x1b, base & ~0xc00ull);
	wrmsr(0x1b, base);
	lapic_enable();
}

void check_pc_interrupts(void)
{
	check_pic();
	lapic_enable();
	check_ioapic();
	check_lapic_ipi();
	check_lapic_timer();
	check_tsc_deadline();
	check_x2apic();
}
