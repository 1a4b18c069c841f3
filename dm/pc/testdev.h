/* SPDX-License-Identifier: MIT */
/*
 * Devices that kvm-unit-tests drives, for a domain that is a test: an exit
 * port, ports that echo what was written, interrupt lines set by hand, and
 * scratch memory that is not RAM. What they do follows from the tests
 * (lib/x86/vm.c, x86/emulator.c, x86/ioapic.c, x86/vmexit.c).
 */
#ifndef DM_PC_TESTDEV_H
#define DM_PC_TESTDEV_H

#include "gamut/host.h"
#include "gamut/irq.h"

#define TESTDEV_ECHO 0xe0u  /* four ports: bytes, words, long words */
#define TESTDEV_FLUSH 0xe4u /* the page at the address written there comes anew */
#define TESTDEV_EXIT 0xf4u
#define TESTDEV_LINES 0x2000u /* a port for each input of the interrupt controllers */
#define TESTDEV_MEMORY 0xff000000ull
#define TESTDEV_MEMORY_SIZE 0x10000u

struct testdev {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_irq_lines_ops *lines;
	void *lines_self;
	uint32_t echo; /* atomic */
	uint8_t memory[TESTDEV_MEMORY_SIZE];
};

extern const struct gamut_io_ops testdev_echo_ops, testdev_flush_ops, testdev_exit_ops, testdev_lines_ops,
	testdev_memory_ops; /* opaque is the device */

void testdev_init(struct testdev *t, const struct gamut_host *host, struct gamut_inst *inst);
int testdev_register(struct testdev *t, const struct gamut_irq_lines_ops *lines, void *lines_self);
void testdev_reset(struct testdev *t);

#endif
