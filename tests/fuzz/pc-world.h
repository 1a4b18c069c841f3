/* SPDX-License-Identifier: MIT */
/*
 * A whole PC for fuzz targets: the plugins intr-apic and platform-pc as they
 * are, IDE with two disks and a CD-ROM drive, an e1000, and a PCI function of
 * the test's own that does what its registers are told (so that MSI, MSI-X and
 * DMA of a function are in the guest's hands), on the core's bus over a fake
 * host. Everything is one thread: an I/O thread is what the input says it does.
 *
 * Checked all along: that what one action costs is bounded, that no lock is
 * taken twice or kept, that guest memory is held only while the host works on
 * it; and in pc_world_check that every register is what it was at power-on.
 */
#ifndef TESTS_FUZZ_PC_WORLD_H
#define TESTS_FUZZ_PC_WORLD_H

#include "bus.h"
#include "dm/ide/ide.h"
#include "dm/net/e1000.h"
#include "fake/block-fake.h"
#include "fake/host-fake.h"
#include "gamut/irq.h"
#include "gamut/pc.h"
#include "gamut/pci.h"

#define PC_RAM       0x140000u
#define PC_VCPUS     2u
#define PC_DISKS     3u
#define PC_LAST_DISK 2u /* the CD; its slot is the second channel's first */

/* Where pc_world_firmware puts things. */
#define PC_NIC        0xe0000000u
#define PC_NIC_ROM    0xe0040000u
#define PC_NIC_PORTS  0xc000u
#define PC_IDE_PORTS  0xc100u
#define PC_OWN        0x100000000ull
#define PC_OWN_MSIX   0xe0080000u
#define PC_OWN_PORTS  0xc200u
#define PC_PM_PORTS   0x600u
#define PC_SMB_PORTS  0x700u

#define PC_DEVFN_BRIDGE 0x00u
#define PC_DEVFN_ISA    0x08u
#define PC_DEVFN_IDE    0x09u
#define PC_DEVFN_PM     0x0bu
#define PC_DEVFN_NIC    0x10u
#define PC_DEVFN_OWN    0x18u

/* How it is put together. */
enum {
	PC_WITH_FIRMWARE = 1, /* as firmware leaves it: BARs, decoding, the first MiB */
	PC_WITH_TESTDEV = 2,
	PC_WITH_ONE_CPU = 4,
	PC_HOW = 7,
};

/* The other end of the cable. */
struct pc_net {
	struct netdev netdev; /* first */
	struct netdev_front front;
	uint32_t room; /* frames that it still takes */
};

struct pc_world {
	struct host_fake *f;
	struct bus bus;
	struct bus_cache cache[PC_VCPUS];
	uint32_t how;
	void *intr, *platform;
	const struct gamut_irq_lines_ops *lines;
	const struct gamut_pci_bus_ops *pci;
	const struct gamut_serial_ops *serial;
	const struct gamut_text_screen_ops *screen;
	const struct gamut_keyboard_ops *keyboard;

	struct block_fake disk[PC_DISKS];
	struct ide *ide;
	struct pc_net net;
	struct e1000 *nic;
	struct gamut_pci_function *own;
	uint64_t dma_at; /* of `own` */
	uint32_t serial_room;
	uint32_t calls;  /* of the host in this action */
	uint64_t moved;  /* bytes, too */
	uint64_t spent;  /* calls in all actions before */
};

struct pc_world *pc_world_begin(uint32_t how);
/* Ends it; checks that nothing is left behind. */
void pc_world_end(struct pc_world *w);

/* An action begins, and the last one is over: checks what it cost, and what it has left. */
void pc_world_action(struct pc_world *w);

/* As a guest does it. Ports: width 1, 2, 4; memory: 8, too, and what is RAM is RAM. */
uint32_t pc_in(struct pc_world *w, uint32_t port, uint32_t width);
void pc_out(struct pc_world *w, uint32_t port, uint32_t width, uint32_t value);
uint64_t pc_load(struct pc_world *w, uint64_t gpa, uint32_t width);
void pc_store(struct pc_world *w, uint64_t gpa, uint32_t width, uint64_t value);
uint32_t pc_config(struct pc_world *w, uint32_t devfn, uint32_t reg, uint32_t width);
void pc_set_config(struct pc_world *w, uint32_t devfn, uint32_t reg, uint32_t width, uint32_t value);
uint64_t pc_rdmsr(struct pc_world *w, uint32_t msr);
void pc_wrmsr(struct pc_world *w, uint32_t msr, uint64_t value);

/* What firmware does to the chip set before it starts anything. */
void pc_world_firmware(struct pc_world *w);
/* The I/O thread does what there is to do. */
void pc_world_run(struct pc_world *w);
void pc_world_pause(struct pc_world *w);
void pc_world_resume(struct pc_world *w);
/* Pause, reset, resume. */
void pc_world_reset(struct pc_world *w);
/* The same, and registers must be what they were at power-on. */
void pc_world_check(struct pc_world *w);

/* ---- pc-thread.c: the locks of the program, which has one thread ---- */

/* How many are held. */
uint32_t pc_thread_locks(void);
/* What a wait for a condition runs, the lock let go; NULL: nobody may wait. */
extern void (*pc_thread_turn)(void);
/* The host's wall clock stands at this. */
extern int64_t pc_thread_wall;

#endif
