/* SPDX-License-Identifier: MIT */
/*
 * The first disk, by the best driver that there is for it: pages at random with
 * some requests under way, and 128 KiB after 128 KiB. "disk-read-4k-qd4" is what
 * a request takes, from its submission until its answer is seen, and how many
 * are answered in a second; "disk-read-seq" is bytes in a second.
 *
 * First, not measured, come some that are looked at: what make-disk wrote
 * has to be in them. Writes are permitted by the word `write` alone, and write
 * what was there.
 */
#include "io.h"

#define SEQ_BYTES (128u << 10)
#define SEQ_DEPTH (IO_BYTES / SEQ_BYTES)
#define BATCHES 101u
#define QUICK_BATCHES 21u
#define BATCH_MAX 128u
/* Of one name; the batch that it ends in is the last. */
#define BUDGET_NS (probe.quick || probe.lean ? 100 * NS_PER_MS : 500 * NS_PER_MS)

struct pattern {
	const char *name;
	bool write, sequential;
	unsigned depth, per_batch;
};

static const struct pattern patterns[] = {
	{ "disk-read-4k-qd1", false, false, 1, 64 },
	{ "disk-read-4k-qd4", false, false, 4, 64 },
	{ "disk-read-4k-qd16", false, false, 16, 128 },
	{ "disk-read-4k-qd32", false, false, 32, 128 },
	{ "disk-read-seq", false, true, SEQ_DEPTH, 16 },
	{ "disk-write-4k-qd1", true, false, 1, 64 },
	{ "disk-write-4k-qd32", true, false, 32, 128 },
	{ "disk-write-seq", true, true, SEQ_DEPTH, 16 },
};

/* One pattern on one disk. */
struct run {
	const struct disk *disk;
	const struct pattern *pattern;
	unsigned depth;
	uint32_t bytes;
	uint64_t places; /* of `bytes` on the disk */
	uint64_t next, random;
	bool look; /* at what was read */
	bool under_way[DISK_DEPTH];
	struct disk_request request[DISK_DEPTH];
	uint64_t since[DISK_DEPTH];
	const char *failure;
};

static uint64_t latency[BATCHES * BATCH_MAX];

/* A tag always writes to its own place, and what it has read there. */
static uint64_t place(struct run *r, unsigned tag)
{
	if (r->pattern->write)
		return tag * (r->places / r->depth);
	return (r->pattern->sequential ? r->next++ : random_next(&r->random)) % r->places;
}

static void submit(struct run *r, unsigned tag, bool write)
{
	r->request[tag] = (struct disk_request){
		.tag = tag,
		.write = write,
		.sector = place(r, tag) * (r->bytes / SECTOR),
		.data = io_buffer + tag * r->bytes,
		.bytes = r->bytes,
	};
	if (r->look)
		memset(r->request[tag].data, 0, r->bytes);
	r->under_way[tag] = true;
	r->since[tag] = clock_ns();
	r->disk->submit(&r->request[tag]);
}

static bool failed(struct run *r, const char *why)
{
	r->failure = why;
	return false;
}

static bool answered(struct run *r, unsigned tag, bool ok)
{
	const struct disk_request *q = &r->request[tag % DISK_DEPTH];

	if (tag >= r->depth || !r->under_way[tag])
		return failed(r, "an answer to no request");
	r->under_way[tag] = false;
	if (!ok)
		return failed(r, "a request failed");
	if (r->look && !names_sectors(q->data, q->sector, q->bytes / SECTOR))
		return failed(r, "wrong data");
	return true;
}

/* So many requests, as many of them under way as may be; what each took goes to `took`, unless that is NULL. */
static bool batch(struct run *r, unsigned count, bool write, uint64_t *took)
{
	unsigned sent = 0, done = 0, tag;
	uint64_t deadline = clock_ns() + IO_WAIT;
	bool ok;

	while (sent < r->depth && sent < count)
		submit(r, sent++, write);
	r->disk->kick();
	while (done < count) {
		if (!r->disk->reap(&tag, &ok)) {
			if (clock_ns() >= deadline)
				return failed(r, "no answer within 2 s");
			__asm__ volatile("pause");
			continue;
		}
		do {
			if (!answered(r, tag, ok))
				return false;
			if (took)
				took[done] = clock_ns() - r->since[tag];
			done++;
			if (sent < count)
				submit(r, tag, write), sent++;
		} while (done < count && r->disk->reap(&tag, &ok));
		r->disk->kick();
		deadline = clock_ns() + IO_WAIT;
	}
	return true;
}

static void report(const struct run *r, uint64_t *rates, unsigned batches)
{
	const struct pattern *p = r->pattern;

	if (p->sequential) {
		measure_rate_per(p->name, "MB/s", rates, batches, 1000000);
		return;
	}
	measure_values(p->name, latency, batches * p->per_batch, 1);
	if (clock_ns_per_tsc_32())
		measure_rate(p->name, "ops/s", rates, batches);
}

/* How much of a thing in a second, as far as the clock knows seconds. */
static uint64_t per_second(uint64_t amount, uint64_t ns)
{
	return amount * 1000000000 / (ns ? ns : 1);
}

static bool measure_batches(struct run *r)
{
	const struct pattern *p = r->pattern;
	unsigned batches = probe.quick ? QUICK_BATCHES : BATCHES, done = 0;
	uint64_t amount = p->sequential ? (uint64_t)p->per_batch * r->bytes : p->per_batch, rates[BATCHES];
	uint64_t begin = clock_ns(), start;

	while (done < batches && (done == 0 || clock_ns() - begin < BUDGET_NS)) {
		start = clock_ns();
		if (!batch(r, p->per_batch, p->write, p->sequential ? NULL : &latency[done * p->per_batch]))
			return false;
		rates[done++] = per_second(amount, clock_ns() - start);
	}
	report(r, rates, done);
	return true;
}

/* What is in the way of a pattern; NULL: nothing. */
static const char *obstacle(const struct disk *d, const struct pattern *p, const struct run *r)
{
	if (p->write && d->readonly)
		return "the disk is read-only";
	if (p->write && !probe.write)
		return "no word of the command line permits it";
	if (p->depth > d->depth && !p->sequential)
		return d->depth == 1 ? "the device takes one request at a time" : "the device takes fewer at a time";
	if (r->places < r->depth)
		return "the disk is too small";
	if (p->sequential && !clock_ns_per_tsc_32())
		return "no clock tells how long a second is";
	return NULL;
}

/* Why no more can be measured on this disk; NULL: nothing is wrong. */
static const char *measure_pattern(const struct disk *d, const struct pattern *p, bool named)
{
	struct run r = {
		.disk = d,
		.pattern = p,
		.depth = p->depth < d->depth ? p->depth : d->depth,
		.bytes = !p->sequential ? PAGE_BYTES : SEQ_BYTES < d->bytes ? SEQ_BYTES : d->bytes,
		.random = 0x9e3779b97f4a7c15,
		.look = named,
	};
	const char *why;

	r.places = d->sectors / (r.bytes / SECTOR);
	why = obstacle(d, p, &r);
	if (why) {
		measure_skip(p->name, why);
		return NULL;
	}
	/* What is written is what this reads. */
	if (batch(&r, p->write ? r.depth : 2 * r.depth, false, NULL)) {
		r.look = false;
		if (measure_batches(&r))
			return NULL;
	}
	check(false, "disk by %s: %s: %s", d->driver, p->name, r.failure);
	measure_skip(p->name, r.failure);
	return "the disk failed before";
}

/* Whether make-disk made it. */
static bool is_named(const struct disk *d)
{
	static const struct pattern first = { "disk", false, true, 1, 1 };
	struct run r = { .disk = d, .pattern = &first, .depth = 1, .bytes = PAGE_BYTES, .places = 1 };

	return d->sectors >= PAGE_BYTES / SECTOR && batch(&r, 1, false, NULL) && names_sectors(io_buffer, 0, 1);
}

static const char *open_first(struct disk *d)
{
	enum io_found (*const open[])(struct disk *) = { disk_xen_open, disk_virtio_open, disk_ide_open };

	for (unsigned i = 0; i < ARRAY_LEN(open); i++)
		switch (open[i](d)) {
		case IO_NONE:
			continue;
		case IO_OPEN:
			return NULL;
		case IO_FAILED:
			check(false, "disk: connect");
			return "the disk does not answer";
		}
	return "no disk, or none that the probe has a driver for";
}

void measure_disk(void)
{
	struct disk d;
	const char *why = open_first(&d);
	bool open = !why, named = false;

	if (open) {
		print("# disk by %s, %lu sectors\n", d.driver, d.sectors);
		named = is_named(&d);
	}
	for (unsigned i = 0; i < ARRAY_LEN(patterns); i++)
		if (why)
			measure_skip(patterns[i].name, why);
		else
			why = measure_pattern(&d, &patterns[i], named);
	if (open)
		d.close();
}
