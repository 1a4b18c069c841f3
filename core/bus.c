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

int bus_add_fallback(struct bus *bus, uint32_t space, const struct gamut_io_ops *ops, void *opaque,
                     struct bus_owner owner, char *err, unsigned err_len)
{
	struct bus_range *rest = space == GAMUT_SPACE_PIO ? &bus->pio_rest : &bus->mmio_rest;
	const char *what = space == GAMUT_SPACE_PIO ? "ports" : "addresses";
	int rc = check_ops(io_ops_ok(ops), what, owner.name, err, err_len);

	if (rc)
		return rc;
	if (space != GAMUT_SPACE_PIO && space != GAMUT_SPACE_MMIO) {
		snprintf(err, err_len, "space %u of %s is none", space, owner.name);
		return -EINVAL;
	}
	if (bus->sealed) {
		snprintf(err, err_len, "all other %s of %s come after the domain was started", what, owner.name);
		return -EPERM;
	}
	if (rest->io) {
		snprintf(err, err_len, "all other %s are claimed by %s and by %s", what, rest->owner.name, owner.name);
		return -EBUSY;
	}
	*rest = (struct bus_range){ .len = UINT64_MAX, .io = ops, .opaque = opaque, .owner = owner };
	return 0;
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

int bus_add_hypercall_rest(struct bus *bus, gamut_hypercall_fn fn, void *opaque, struct bus_owner owner, char *err,
                           unsigned err_len)
{
	struct bus_hypercall *rest = &bus->hypercall_rest;

	if (bus->sealed) {
		snprintf(err, err_len, "all other hypercalls of %s come after the domain was started", owner.name);
		return -EPERM;
	}
	if (!fn || rest->fn) {
		snprintf(err, err_len, fn ? "all other hypercalls are claimed by %s and by %s" :
		                            "all other hypercalls come without a function of %s%s",
		         fn ? rest->owner.name : "", owner.name);
		return fn ? -EBUSY : -EINVAL;
	}
	*rest = (struct bus_hypercall){ .fn = fn, .opaque = opaque, .owner = owner };
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

/* Whose a byte is: the range's, or the fallback's. NULL: nobody's. */
static const struct bus_range *range_or(const struct bus_range *r, const struct bus_range *rest)
{
	return r ? r : rest->io ? rest : NULL;
}

/* One byte after the other, each to whom it belongs; wraps at the end of the port space. */
static uint32_t pio_bytes(const struct bus *bus, uint16_t port, uint32_t width, bool write, uint32_t *data)
{
	uint32_t owner = BUS_UNCLAIMED, value = 0;

	for (uint32_t i = 0; i < width; i++) {
		uint16_t at = (uint16_t)(port + i);
		const struct bus_range *r = range_or(port_find(bus, at), &bus->pio_rest);
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

/* No range claims any part of it. */
static bool ports_free(const struct bus *bus, uint16_t port, uint32_t width)
{
	for (uint32_t i = 0; i < width; i++)
		if (port + i >= BUS_PORTS || bus->port[port + i])
			return false;
	return true;
}

/* Who takes an access as a whole; NULL: it is a matter of its bytes. */
static const struct bus_range *pio_whole(const struct bus *bus, uint16_t port, uint32_t width)
{
	const struct bus_range *r = port_find(bus, port);

	if (r)
		return range_holds(r, port, width) ? r : NULL;
	return bus->pio_rest.io && ports_free(bus, port, width) ? &bus->pio_rest : NULL;
}

uint32_t bus_pio(const struct bus *bus, uint16_t port, uint32_t width, bool write, uint32_t *data)
{
	const struct bus_range *r = pio_whole(bus, port, width);
	uint64_t value = *data;

	if (!r)
		return pio_bytes(bus, port, width, write, data);
	range_access(r, port, width, write, &value);
	*data = (uint32_t)value;
	return r->owner.index;
}

/* Part of a run by a device that can; how many, 0 when it cannot. */
static uint32_t range_many(const struct bus_range *r, uint16_t port, uint32_t width, bool write, uint8_t *buf,
                           uint32_t count)
{
	uint32_t n = 0;

	if (write && GAMUT_HAS(r->io, struct gamut_io_ops, write_many) && r->io->write_many)
		n = r->io->write_many(r->opaque, port - r->base, width, buf, count);
	else if (!write && GAMUT_HAS(r->io, struct gamut_io_ops, read_many) && r->io->read_many)
		n = r->io->read_many(r->opaque, port - r->base, width, buf, count);
	return n < count ? n : count;
}

uint32_t bus_pio_many(const struct bus *bus, uint16_t port, uint32_t width, bool write, void *buf, uint32_t count)
{
	const struct bus_range *r = pio_whole(bus, port, width);
	uint32_t owner = r ? r->owner.index : BUS_UNCLAIMED;
	uint8_t *at = buf;

	for (uint32_t n; count; at += n * width, count -= n) {
		uint32_t data = 0;

		n = r ? range_many(r, port, width, write, at, count) : 0;
		if (n)
			continue;
		/* One by itself: its device has no more to say of many. */
		n = 1;
		memcpy(&data, at, width);
		owner = bus_pio(bus, port, width, write, &data);
		if (!write)
			memcpy(at, &data, width);
	}
	return owner;
}

static uint32_t mmio_bytes(const struct bus *bus, uint64_t gpa, uint32_t width, bool write, uint64_t *data)
{
	uint32_t owner = BUS_UNCLAIMED;
	uint64_t value = 0;

	for (uint32_t i = 0; i < width; i++) {
		const struct bus_range *r = range_or(table_find(&bus->mmio, gpa + i), &bus->mmio_rest);
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

/* Who takes an access as a whole; NULL: it is a matter of its bytes. */
static const struct bus_range *mmio_whole(const struct bus *bus, struct bus_cache *cache, uint64_t gpa, uint32_t width)
{
	const struct bus_table *t = &bus->mmio;
	uint32_t i = table_position(t, gpa);

	if (i < t->n && gpa >= t->ranges[i].base) {
		if (!range_holds(&t->ranges[i], gpa, width))
			return NULL;
		cache->mmio = &t->ranges[i];
		return cache->mmio;
	}
	/* The next range, if there is one, is above gpa. */
	if (!bus->mmio_rest.io || (i < t->n && t->ranges[i].base - gpa < width))
		return NULL;
	return &bus->mmio_rest;
}

uint32_t bus_mmio(const struct bus *bus, struct bus_cache *cache, uint64_t gpa, uint32_t width, bool write,
                  uint64_t *data)
{
	const struct bus_range *r = cache->mmio;

	if (!r || !range_holds(r, gpa, width))
		r = mmio_whole(bus, cache, gpa, width);
	if (!r)
		return mmio_bytes(bus, gpa, width, write, data);
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

	if (!h || !h->fn)
		h = &bus->hypercall_rest;
	if (!h->fn) {
		*result = -ENOSYS;
		return BUS_UNCLAIMED;
	}
	*result = h->fn(h->opaque, call);
	return h->owner.index;
}
