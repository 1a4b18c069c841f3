/* SPDX-License-Identifier: MIT */
/*
 * What answers an access: port, MMIO, MSR and hypercall registrations of one
 * domain, and the dispatch to them.
 *
 * Registrations come in while the domain is built, on the control thread.
 * bus_seal ends that; from then on nothing in here changes, so that vCPUs look
 * things up without locks. Ports and hypercalls are found by index, MMIO and
 * MSRs by binary search, MMIO after a look at the range that the same vCPU hit
 * last.
 *
 * A device sees offsets from the start of its range. An access that crosses
 * the end of a range is split into bytes, as a bus would. An access, or a
 * byte of one, that nobody claims goes to the space's fallback, which sees
 * addresses; without one it reads as all ones and is ignored when written. An
 * MSR gives #GP, a hypercall -ENOSYS. The dispatch functions say whose range it
 * was, so that the caller can keep account.
 */
#ifndef BUS_H
#define BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "gamut/host.h"

#define BUS_PORTS 65536u
#define BUS_HYPERCALLS 64u

/* Owner 0 stands for nobody: unclaimed accesses. */
#define BUS_UNCLAIMED 0u

struct bus_owner {
	uint32_t index;   /* 1 and up */
	const char *name; /* for messages; lives as long as the bus */
};

struct bus_range {
	uint64_t base, len; /* bytes, ports or MSRs */
	const struct gamut_io_ops *io;
	const struct gamut_msr_ops *msr;
	void *opaque;
	struct bus_owner owner;
};

/* Ascending, without overlaps. */
struct bus_table {
	struct bus_range *ranges;
	uint32_t n, room;
};

struct bus_hypercall {
	gamut_hypercall_fn fn;
	void *opaque;
	struct bus_owner owner;
};

struct bus {
	struct bus_table pio, mmio, msr;
	struct bus_range pio_rest, mmio_rest; /* the fallbacks; io is NULL: none */
	uint16_t *port; /* index + 1 into pio.ranges for every port; made by bus_seal */
	struct bus_hypercall hypercall[BUS_HYPERCALLS];
	struct bus_hypercall hypercall_rest; /* the fallback; fn is NULL: none */
	uint32_t n_hypercalls; /* the fallback among them */
	bool sealed;
};

/* Of one vCPU: the MMIO range it hit last. Zeroed is valid. */
struct bus_cache {
	const struct bus_range *mmio;
};

int bus_init(struct bus *bus);
void bus_finish(struct bus *bus);

/*
 * 0 or -errno with one line in err: -EINVAL for a range that cannot be,
 * -EBUSY for one that overlaps (the line names both owners), -EPERM after
 * bus_seal. ops and opaque must stay valid as long as the bus. [control]
 */
int bus_add_pio(struct bus *bus, uint16_t base, uint32_t len, const struct gamut_io_ops *ops, void *opaque,
                struct bus_owner owner, char *err, unsigned err_len);
int bus_add_mmio(struct bus *bus, uint64_t gpa, uint64_t len, const struct gamut_io_ops *ops, void *opaque,
                 struct bus_owner owner, char *err, unsigned err_len);
int bus_add_msr(struct bus *bus, uint32_t first, uint32_t count, const struct gamut_msr_ops *ops, void *opaque,
                struct bus_owner owner, char *err, unsigned err_len);
/* For what no range of the space (enum gamut_space) claims; one a space. */
int bus_add_fallback(struct bus *bus, uint32_t space, const struct gamut_io_ops *ops, void *opaque,
                     struct bus_owner owner, char *err, unsigned err_len);
int bus_add_hypercall(struct bus *bus, uint32_t nr, gamut_hypercall_fn fn, void *opaque, struct bus_owner owner,
                      char *err, unsigned err_len);
/* For the numbers that nobody has registered; one. */
int bus_add_hypercall_rest(struct bus *bus, gamut_hypercall_fn fn, void *opaque, struct bus_owner owner, char *err,
                           unsigned err_len);
/* No more registrations; builds the port table. 0 or -ENOMEM. [control] */
int bus_seal(struct bus *bus);

/*
 * Dispatch, after bus_seal. width is 1, 2, 4 or 8. Each returns the index of
 * the owner, BUS_UNCLAIMED when nobody answered. [vcpu]
 */
uint32_t bus_pio(const struct bus *bus, uint16_t port, uint32_t width, bool write, uint32_t *data);
/* count accesses of that width to the same port; buf holds count * width bytes, little endian. */
uint32_t bus_pio_many(const struct bus *bus, uint16_t port, uint32_t width, bool write, void *buf, uint32_t count);
uint32_t bus_mmio(const struct bus *bus, struct bus_cache *cache, uint64_t gpa, uint32_t width, bool write,
                  uint64_t *data);
/* *err is 0, or -EPERM for #GP. */
uint32_t bus_msr(const struct bus *bus, uint32_t vcpu, uint32_t msr, bool write, uint64_t *value, int *err);
uint32_t bus_hypercall(const struct bus *bus, struct gamut_hypercall *call, int64_t *result);

#endif
