/* SPDX-License-Identifier: MIT */
/*
 * The probe on a PC: what it finds there by the specifications of the chips
 * and ACPI, without a BIOS (Multiboot, interrupts of the 8259s masked or not
 * set up at all), and what it checks.
 */
#ifndef PC_H
#define PC_H

#include "probe.h"

/* Vectors: the 8259s' sixteen, the I/O APIC's, the local APIC's. */
#define PIC_VECTOR 0x20
#define IOAPIC_VECTOR 0x40
#define LAPIC_VECTOR 0x60
#define SPURIOUS_VECTOR 0x6f

#define LAPIC_BASE 0xfee00000ul
#define IOAPIC_BASE 0xfec00000ul

struct pc {
	uint64_t memory_top; /* of RAM below 4 GiB, by the memory map */
	bool map_holds_image;
	uint64_t ns_per_tsc_32; /* times 2^32; on a board without Xen as well */
	uint64_t tsc_start;
	/* ACPI; 0 where it was not found. */
	uint64_t rsdp;
	uint32_t processors, ioapic, pm1_control, pm_timer, reset_port;
	uint8_t s5_type, reset_value;
	uint16_t sleep_control; /* a port of hardware-reduced ACPI */
	bool pm_timer_32;
	volatile uint32_t interrupts[256]; /* taken, by vector */
};

extern struct pc pc;

static inline void outw(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t mmio_read(uint64_t address)
{
	return *(volatile uint32_t *)address;
}

static inline void mmio_write(uint64_t address, uint32_t value)
{
	*(volatile uint32_t *)address = value;
}

/* ---- pc.c ---- */
struct multiboot_info;
void pc_init(const struct multiboot_info *info);
void pc_interrupt(uint8_t vector); /* counts it, and ends it */
/* Comes back when there is no ACPI to do it by. */
void pc_power_off(void);
/* Waits, with interrupts on, for `count` of a vector; false after 1 s. */
bool pc_wait_interrupts(uint8_t vector, uint32_t count);
void check_pc(void);

/* ---- tsc-clock.c ---- */
bool pit_there(void);
bool kvm_there(void);
bool kvm_clock_start(void); /* false: KVM has none */
uint64_t kvm_clock_ns(void);
/* probe.clock says whether there is a clock now. */
void tsc_clock_init(void);
uint64_t pc_clock_ns(void);
void pc_delay(uint64_t ns);

/* ---- one file each ---- */
void pc_acpi_find(void);
void bare_acpi_find(void);
void check_pc_acpi(void);
void check_pc_interrupts(void);
void check_pc_timers(void);
void check_pc_isa(void);
void check_pc_pci(void);
void check_pc_ide(void);

/* ---- pc-pci.c ---- */
uint32_t pci_read(uint32_t devfn, uint32_t reg);
void pci_write(uint32_t devfn, uint32_t reg, uint32_t value);
/* The function of this class and subclass on bus 0, or -1. */
int pci_find_class(uint32_t class_subclass);
/* The function whose first register is this, or -1. */
int pci_find_id(uint32_t device_vendor);
/* Where a memory BAR is: if nobody placed it, or above 4 GiB, it goes to `otherwise`. */
uint64_t pci_bar(uint32_t devfn, uint32_t bar, uint32_t otherwise);

/* ---- pc-intr.c ---- */
void pic_init(uint16_t mask);
void lapic_enable(void);
uint32_t ioapic_version(void);
/* Sends a level-triggered line of the I/O APIC to this processor. */
void ioapic_line(uint32_t line, uint8_t vector);
void lapic_eoi(void);

#endif
