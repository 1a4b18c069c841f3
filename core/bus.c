/* SPDX-License-Identifier: MIT */
#include "bus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bus_init(struct bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	bus->port = calloc(BUS_PORTS, sizeof(*bus->port));
	return bus->port ? 0 : -ENOMEM;
}

void bus_finish(struct bus *bus)
{
	free(bus->pio.ranges);
	free(bus->mmio.ranges);
	free(bus->msr.ranges);
	free(bus->port);
	memset(bus, 0, sizeof(*bus));
}

/* ---- registration -------------------------------------------------------------- */

/* Index of the first range that ends after base. */
static uint32_t table_position(const struct bus_table *t, uint64_t base)
{
	uint32_t lo = 0, hi = t->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (base >= t->ranges[mid].base && base - t->ranges[mid].base >= t->ranges[mid].len)
			lo = mid + 1;
		else if (base < t->ranges[mid].base)
			hi = mid;
		else
			return mid;
	}
	return lo;
}

static const struct bus_range *table_find(const struct bus_table *t, uint64_t at)
{
	uint32_t i = table_position(t, at);

	return i < t->n && at >= t->ranges[i].base ? &t->ranges[i] : NULL;
}

static int table_grow(struct bus_table *t)
{
	uint32_t room = t->room ? t->room * 2 : 16;
	struct bus_range *ranges;

	if (t->n < t->room)
		return 0;
	ranges = realloc(t->ranges, room * sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	t->ranges = ranges;
	t->room = room;
	return 0;
}

static int refuse_overlap(const char *what, const struct bus_range *new, const struct bus_range *old, char *err,
                          unsigned err_len)
{
	snprintf(err, err_len, "%s 0x%llx-0x%llx of %s overlap 0x%llx-0x%llx of %s", what,
	         (unsigned long long)new->base, (unsigned long long)(new->base + new->len - 1), new->owner.name,
	         (unsigned long long)old->base, (unsigned long long)(old->base + old->len - 1), old->owner.name);
	return -EBUSY;
}

/* limit is the highest value that an address of this kind can have. */
static int table_add(struct bus *bus, struct bus_table *t, const char *what, uint64_t limit,
                     const struct bus_range *new, char *err, unsigned err_len)
{
	uint32_t at;

	if (bus->sealed) {
		snprintf(err, err_len, "%s of %s come after the domain was started", what, new->owner.name);
		return -EPERM;
	}
	if (!new->len || new->base > limit || new->len - 1 > limit - new->base) {
		snprintf(err, err_len, "%s 0x%llx of %s, %llu of them, cannot be", what,
		         (unsigned long long)new->base, new->owner.name, (unsigned long long)new->len);
		return -EINVAL;
	}
	at = table_position(t, new->base);
	if (at < t->n && t->ranges[at].base <= new->base + (new->len - 1))
		return refuse_overlap(what, new, &t->ranges[at], err, err_len);
	if (table_grow(t)) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	memmove(&t->ranges[at + 1], &t->ranges[at], (t->n - at) * sizeof(*t->ranges));
	t->ranges[at] = *new;
	t->n++;
	return 0;
}

static int check_ops(bool ok, const char *what, const char *name, char *err, unsigned err_len)
{
	if (ok)
		return 0;
	snprintf(err, err_len, "%s of %s come without a read and a write function", what, name);
	return -EINVAL;
}

static bool io_ops_ok(const struct gamut_io_ops *ops)
{
	return ops && GAMUT_HAS(ops, struct gamut_io_ops, write) && ops->read && ops->write;
}

int bus_add_pio(struct bus *bus, uint16_t base, uint32_t len, const struct gamut_io_ops *ops, void *opaque,
                struct bus_owner owner, char *err, unsigned err_len)
{
	const struct bus_range new = { .base = base, .len = len, .io = ops, .opaque = opaque, .owner = owner };
	int rc = check_ops(io_ops_ok(ops), "ports", owner.name, err, err_len);

	return rc ? rc : table_add(bus, &bus->pio, "ports", BUS_PORTS - 1, &new, err, err_len);
}

int bus_add_mmio(struct bus *bus, uint64_t gpa, uint64_t len, const struct gamut_io_ops *ops, void *opaque,
                 struct bus_owner owner, char *err, unsigned err_len)
{
	const struct bus_range new = { .base = gpa, .len = len, .io = ops, .opaque = opaque, .owner = owner };
	int rc = check_ops(io_ops_ok(ops), "addresses", owner.name, err, err_len);

	/* 52 bits are the most that an x86 physical address can have. */
	return rc ? rc : table_add(bus, &bus->mmio, "addresses", (1ull << 52) - 1, &new, err, err_len);
}

int bus_add_msr(struct bus *bus, uint32_t first, uint32_t count, const struct gamut_msr_ops *ops, void *opaque,
                struct bus_owner owner, char *err, unsigned err_len)
{
	const struct bus_range new = { .base = first, .len = count, .msr = ops, .opaque = opaque, .owner = owner };
	bool ok = ops && GAMUT_HAS(ops, struct gamut_msr_ops, write) && ops->read && ops->write;
	int rc = check_ops(ok, "MSRs", owner.name, err, err_len);

	return rc ? rc : table_add(bus, &bus->msr, "MSRs", UINT32_MAX, &new, err, err_len);
}

int bus_add_hypercall(struct bus *bus, uint32_t nr, gamut_hypercall_fn fn, void *opaque, struct bus_owner owner,
                      char *err, unsigned err_len)
{
	if (bus->sealed) {
		snprintf(err, err_len, "hypercall %u of %s comes after the domain was started", nr, owner.name);
		return -EPERM;
	}
	if (nr >= BUS_HYPERCALLS || !fn) {
		snprintf(err, err_len, "hypercall %u of %s cannot be", nr, owner.name);
		return -EINVAL;
	}
	if (bus->hypercall[nr].fn) {
		snprintf(err, err_len, "hypercall %u is claimed by %s and by %s", nr, bus->hypercall[nr].owner.name,
		         owner.name);
		return -EBUSY;
	}
	bus->hypercall[nr] = (struct bus_hypercall){ .fn = fn, .opaque = opaque, .owner = owner };
	bus->n_hypercalls++;
	return 0;
}

int bus_seal(struct bus *bus)
{
	for (uint32_t i = 0; i < bus->pio.n; i++) {
		const struct bus_range *r = &bus->pio.ranges[i];

		/* 65536 ranges of one port would need index 65536, which does not fit. */
		if (i + 1 > UINT16_MAX)
			return -ENOSPC;
		for (uint64_t port = r->base; port < r->base + r->len; port++)
			bus->port[port] = (uint16_t)(i + 1);
	}
	bus->sealed = true;
	return 0;
}

/* ---- dispatch ---------------------------------------------------------------------- */

static inline uint64_t ones(uint32_t width)
{
	return width >= 8 ? UINT64_MAX : (1ull << (8 * width)) - 1;
}

static inline void range_access(const struct bus_range *r, uint64_t at, uint32_t width, bool write, uint64_t *data)
{
	if (write)
		r->io->write(r->opaque, at - r->base, width, *data & ones(width));
	else
		*data = r->io->read(r->opaque, at - r->base, width) & ones(width);
}

static inline bool range_holds(const struct bus_range *r, uint64_t at, uint32_t width)
{
	return at >= r->base && at - r->base < r->len && width <= r->len - (at - r->base);
}

static const struct bus_range *port_find(const struct bus *bus, uint16_t port)
{
	uint16_t i = bus->port[port];

	return i ? &bus->pio.ranges[i - 1] : NULL;
}

/* One byte after the other, each to whom it belongs; wraps at the end of the port space. */
static uint32_t pio_bytes(const struct bus *bus, uint16_t port, uint32_t width, bool write, uint32_t *data)
{
	uint32_t owner = BUS_UNCLAIMED, value = 0;

	for (uint32_t i = 0; i < width; i++) {
		uint16_t at = (uint16_t)(port + i);
		const struct bus_range *r = port_find(bus, at);
		uint64_t byte = write ? *data >> (8 * i) & 0xff : 0xff;

		if (r)
			range_access(r, at, 1, write, &byte);
		if (r && owner == BUS_UNCLAIMED)
			owner = r->owner.index;
		value |= (uint32_t)byte << (8 * i);
	}
	if (!write)
		*data = value;
	return owner;
}

uint32_t bus_pio(const struct bus *bus, uint16_t port, uint32_t width, bool write, uint32_t *data)
{
	const struct bus_range *r = port_find(bus, port);
	uint64_t value = *data;

	if (!r || !range_holds(r, port, width))
		return pio_bytes(bus, port, width, write, data);
	range_access(r, port, width, write, &value);
	*data = (uint32_t)value;
	return r->owner.index;
}

static uint32_t mmio_bytes(const struct bus *bus, uint64_t gpa, uint32_t width, bool write, uint64_t *data)
{
	uint32_t owner = BUS_UNCLAIMED;
	uint64_t value = 0;

	for (uint32_t i = 0; i < width; i++) {
		const struct bus_range *r = table_find(&bus->mmio, gpa + i);
		uint64_t byte = write ? *data >> (8 * i) & 0xff : 0xff;

		if (r)
			range_access(r, gpa + i, 1, write, &byte);
		if (r && owner == BUS_UNCLAIMED)
			owner = r->owner.index;
		value |= byte << (8 * i);
	}
	if (!write)
		*data = value;
	return owner;
}

uint32_t bus_mmio(const struct bus *bus, struct bus_cache *cache, uint64_t gpa, uint32_t width, bool write,
                  uint64_t *data)
{
	const struct bus_range *r = cache->mmio;

	if (!r || !range_holds(r, gpa, width)) {
		r = table_find(&bus->mmio, gpa);
		if (!r || !range_holds(r, gpa, width))
			return mmio_bytes(bus, gpa, width, write, data);
		cache->mmio = r;
	}
	range_access(r, gpa, width, write, data);
	return r->owner.index;
}

uint32_t bus_msr(const struct bus *bus, uint32_t vcpu, uint32_t msr, bool write, uint64_t *value, int *err)
{
	const struct bus_range *r = table_find(&bus->msr, msr);

	if (!r) {
		*err = -EPERM;
		return BUS_UNCLAIMED;
	}
	*err = write ? r->msr->write(r->opaque, vcpu, msr, *value) : r->msr->read(r->opaque, vcpu, msr, value);
	return r->owner.index;
}

uint32_t bus_hypercall(const struct bus *bus, struct gamut_hypercall *call, int64_t *result)
{
	const struct bus_hypercall *h = call->nr < BUS_HYPERCALLS ? &bus->hypercall[call->nr] : NULL;

	if (!h || !h->fn) {
		*result = -ENOSYS;
		return BUS_UNCLAIMED;
	}
	*result = h->fn(h->opaque, call);
	return h->owner.index;
}
