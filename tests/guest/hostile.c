/* SPDX-License-Identifier: MIT */
/*
 * Guests that misbehave, by name. Those that can end it themselves are expected
 * to crash their domain; the others must come out at the end and power off,
 * the hypervisor being none the worse. Everything is from a fixed random
 * sequence, so a failure repeats itself.
 */
#include "probe.h"

#define xen_mb() __sync_synchronize()
#define xen_rmb() barrier()
#define xen_wmb() barrier()
#include <xen/io/blkif.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>

static uint64_t seed = 0x9e3779b97f4a7c15ull;

static uint64_t rnd(void)
{
	return random_next(&seed);
}

/* What a hypercall may write to without hurting this program. */
static uint8_t scratch[2 * PAGE_BYTES] PAGE_ALIGNED;

/* A value that range checks like to get wrong. */
static uint64_t nasty(void)
{
	static const uint64_t values[] = {
		0, 1, 0xfff, 0x1000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000ull,
		0x7fffffffffffffffull, 0x8000000000000000ull, ~0ull, ~0ull - 0xfff, 0xffff800000000000ull,
	};
	uint64_t r = rnd();

	switch (r % 4) {
	case 0:
		return rnd();
	case 1:
		return (uint64_t)scratch + (rnd() & 0xff8);
	default:
		return values[(r >> 8) % ARRAY_LEN(values)];
	}
}

static void kick_and_yield(uint32_t port)
{
	event_send(port);
	for (unsigned i = 0; i < 20; i++)
		HYPERCALL2(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
}

static void fill_random(void *p, size_t n)
{
	uint8_t *bytes = p;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)rnd();
}

/* ---- those that end themselves ------------------------------------------ */

static void load_empty_idt(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = { 0, 0 };

	__asm__ volatile("lidt %0" ::"m"(none));
}

static void triple_fault(void)
{
	load_empty_idt();
	__asm__ volatile("ud2");
}

static void jump_unmapped(void)
{
	load_empty_idt();
	__asm__ volatile("jmp *%0" ::"r"(0x123456789000ull));
}

/* Mapped by the guest, but no RAM is there. */
static void jump_hole(void)
{
	__asm__ volatile("jmp *%0" ::"r"(0xf0000000ull));
}

static void stack_nowhere(void)
{
	__asm__ volatile("movq %0, %%rsp; pushq %%rax" ::"r"(0x123456789000ull));
}

static void cr3_nowhere(void)
{
	__asm__ volatile("movq %0, %%cr3" ::"r"(0x7ffffff000ull) : "memory");
}

/* Page tables that lead to frames that are not there. */
static void tables_nowhere(void)
{
	extern uint64_t pml4[512];

	for (unsigned i = 0; i < 512; i++)
		pml4[i] = 0x000ffffffffff007ull;
	__asm__ volatile("movq %%cr3, %%rax; movq %%rax, %%cr3; movq (%%rax), %%rax" ::: "rax", "memory");
}

static void shutdown_odd(void)
{
	struct sched_shutdown arg = { .reason = 0xdeadbeef };

	HYPERCALL2(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &arg);
}

/* ---- those that are told so and go on -------------------------------------- */

static void console_rubbish(void)
{
	struct xencons_interface *c = probe.console;
	struct xencons_interface kept;

	memcpy(&kept, c, sizeof(kept));
	for (unsigned i = 0; i < 200; i++) {
		fill_random((char *)c + i % 2 * sizeof(c->in), i % 2 ? sizeof(*c) - sizeof(c->in) : sizeof(c->in));
		c->out_prod = (uint32_t)nasty();
		c->out_cons = (uint32_t)nasty();
		c->in_prod = (uint32_t)nasty();
		c->in_cons = (uint32_t)nasty();
		kick_and_yield(probe.console_port);
	}
	memcpy(c, &kept, sizeof(kept));
}

static void store_rubbish(void)
{
	struct xenstore_domain_interface *s = probe.store;

	for (unsigned i = 0; i < 200; i++) {
		fill_random(s->req, sizeof(s->req));
		s->req_prod = i % 3 ? s->req_cons + (uint32_t)(rnd() % 1025) : (uint32_t)nasty();
		if (i % 5 == 0)
			s->rsp_cons = (uint32_t)nasty();
		kick_and_yield(probe.store_port);
	}
}

/* Well-formed headers, malformed payloads. */
static void store_requests(void)
{
	char payload[600], buf[64];

	for (unsigned i = 0; i < 2000; i++) {
		fill_random(payload, sizeof(payload));
		if (i % 2)
			memcpy(payload, "data/x", 7);
		store_request((uint32_t)(rnd() % 24), payload, (uint32_t)(rnd() % sizeof(payload)), buf, sizeof(buf));
	}
}

static void block_rubbish(void)
{
	static char page[PAGE_BYTES] PAGE_ALIGNED;
	struct blk b = { 0 };
	struct blkif_request req;

	if (!blk_open(&b)) {
		print("# no disk to misuse\n");
		return;
	}
	for (unsigned i = 0; i < 500; i++) {
		fill_random(&req, sizeof(req));
		req.operation = (uint8_t)(rnd() % 8); /* writes too: the disk must be a copy */
		req.nr_segments = (uint8_t)(rnd() % 16);
		req.sector_number = nasty();
		req.seg[0].gref = i % 2 ? grant_page(page, i % 4 == 1) : req.seg[0].gref;
		blk_raw(&b, &req);
		if (i % 2)
			grant_end(req.seg[0].gref);
	}
	/* More requests than the ring holds: the back end has to give it up. */
	b.ring->sring->req_prod += 0x80000000u;
	kick_and_yield(b.port);
	fill_random(b.ring->sring, PAGE_BYTES);
	kick_and_yield(b.port);
}

/* Rings and ports that are not what the store says. */
static void block_connect_rubbish(void)
{
	static const char *const keys[] = { "ring-ref", "event-channel", "protocol", "state", "ring-page-order",
		                            "num-ring-pages", "multi-queue-num-queues" };
	static const char *const values[] = { "0", "1", "4", "6", "-1", "4294967295", "99999999999999999999", "x", "",
		                              "3" };
	char list[64], path[96];

	if (store_request(XS_DIRECTORY, "device/vbd", 11, list, sizeof(list)) <= 0)
		return;
	for (unsigned i = 0; i < 500; i++) {
		format_to(path, sizeof(path), "device/vbd/%s/%s", list, keys[rnd() % ARRAY_LEN(keys)]);
		store_write(path, values[rnd() % ARRAY_LEN(values)]);
	}
}

static void grants_rubbish(void)
{
	fill_random(probe.grants, PAGE_BYTES);
	block_rubbish();
}

static bool ends_or_blocks(unsigned nr, uint64_t op)
{
	return nr == __HYPERVISOR_sched_op && ((uint32_t)op == SCHEDOP_shutdown || (uint32_t)op == SCHEDOP_block ||
	                                       (uint32_t)op == SCHEDOP_poll ||
	                                       (uint32_t)op == SCHEDOP_remote_shutdown || (uint32_t)op == SCHEDOP_watchdog);
}

/* A PV guest's way out of the kernel, by whatever is on the stack. */
static bool returns_nowhere(unsigned nr)
{
	return probe.pv && nr == __HYPERVISOR_iret;
}

static void hypercalls_rubbish(void)
{
	for (unsigned i = 0; i < 20000; i++) {
		unsigned nr = (unsigned)(rnd() % 64);
		uint64_t op = rnd() % 4 ? rnd() % 48 : nasty();

		/* The kernel's own image must stay: no balloon, no page put over it. */
		if (ends_or_blocks(nr, op) || nr == __HYPERVISOR_memory_op || returns_nowhere(nr))
			continue;
		probe.hypercall(nr, op, nasty(), nasty(), nasty(), nasty());
	}
}

static void memory_rubbish(void)
{
	struct xen_add_to_physmap arg;

	for (unsigned i = 0; i < 5000; i++) {
		fill_random(&arg, sizeof(arg));
		arg.domid = DOMID_SELF;
		arg.space = (unsigned)(rnd() % 6);
		arg.gpfn = nasty();
		if (arg.gpfn < 0x100000) /* not over this program */
			arg.gpfn |= 0xffffff0000000ull;
		HYPERCALL2(__HYPERVISOR_memory_op, i % 2 ? XENMEM_add_to_physmap : XENMEM_remove_from_physmap, &arg);
	}
}

static void all_ones(void)
{
	for (unsigned nr = 0; nr < 64; nr++)
		if (!returns_nowhere(nr))
			probe.hypercall(nr, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull);
}

static void events_rubbish(void)
{
	for (unsigned i = 0; i < 200; i++) {
		fill_random(probe.shared->evtchn_pending, sizeof(probe.shared->evtchn_pending));
		fill_random(probe.shared->evtchn_mask, sizeof(probe.shared->evtchn_mask));
		probe.vcpu->evtchn_pending_sel = rnd();
		event_send((uint32_t)(rnd() % 64));
		HYPERCALL2(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
	}
	memset(probe.shared->evtchn_mask, 0xff, sizeof(probe.shared->evtchn_mask));
}

static void msrs_rubbish(void)
{
	for (unsigned i = 0; i < 5000; i++) {
		uint32_t msr = (uint32_t)(rnd() % 3 == 0 ? rnd() : 0xc0000000u * (rnd() % 2) + rnd() % 0x1000);

		(void)TRAPS("movl %k[m], %%ecx; rdmsr", [m] "r"(msr));
	}
}

static void ports_rubbish(void)
{
	for (unsigned i = 0; i < 20000; i++) {
		uint16_t port = (uint16_t)rnd();

		__asm__ volatile("outl %0, %1" ::"a"((uint32_t)rnd()), "Nd"(port));
		__asm__ volatile("inl %1, %%eax" : "=&a"(port) : "Nd"(port));
	}
}

/* Reads and writes all over the first 4 GiB where there is no RAM. */
static void holes_rubbish(void)
{
	for (unsigned i = 0; i < 5000; i++) {
		volatile uint64_t *p = (volatile uint64_t *)(0xc0000000ull + rnd() % 0x3ffffff0);

		*p = *p + 1;
	}
}

/* Code that rewrites itself without end, which translators must bound. */
static void code_storm(void)
{
	static uint8_t code[16 * PAGE_BYTES] PAGE_ALIGNED;
	void (*run)(void);

	for (unsigned i = 0; i < 20000; i++) {
		uint8_t *at = code + rnd() % (sizeof(code) - 8);

		at[0] = (uint8_t)(0x50 + rnd() % 4); /* push, pop, ret */
		at[1] = 0x59;
		at[2] = 0xc3;
		run = (void (*)(void))(uintptr_t)at;
		__asm__ volatile("call *%0" ::"r"(run) : "rcx", "memory");
	}
}

/* Random bytes as instructions, with every trap caught. */
static void opcodes_rubbish(void)
{
	static uint8_t code[64] PAGE_ALIGNED;

	for (unsigned i = 0; i < 3000; i++) {
		memset(code, 0xcc, sizeof(code));
		fill_random(code, 2);
		/* Run in ring 3, where nothing privileged works; a trap brings it back. */
		user_run((void (*)(void))(uintptr_t)code, 0);
	}
}

static const struct hostile_mode modes[] = {
	{ "triple-fault", triple_fault },
	{ "jump-unmapped", jump_unmapped },
	{ "jump-hole", jump_hole },
	{ "stack-nowhere", stack_nowhere },
	{ "cr3-nowhere", cr3_nowhere },
	{ "tables-nowhere", tables_nowhere },
	{ "shutdown-odd", shutdown_odd },
	{ "console", console_rubbish },
	{ "store-ring", store_rubbish },
	{ "store-requests", store_requests },
	{ "block-ring", block_rubbish },
	{ "block-connect", block_connect_rubbish },
	{ "grants", grants_rubbish },
	{ "hypercalls", hypercalls_rubbish },
	{ "hypercalls-all-ones", all_ones },
	{ "memory-ops", memory_rubbish },
	{ "events", events_rubbish },
	{ "msrs", msrs_rubbish },
	{ "ports", ports_rubbish },
	{ "holes", holes_rubbish },
	{ "code-storm", code_storm },
	{ "opcodes", opcodes_rubbish },
	{ NULL, NULL },
};

static const struct hostile_mode *find(const struct hostile_mode *mode, const char *name)
{
	for (; mode->name; mode++) {
		size_t len = strlen(mode->name);

		if (has_prefix(name, mode->name) && (name[len] == ' ' || name[len] == 0))
			return mode;
	}
	return NULL;
}

void hostile_run(const char *name)
{
	const struct hostile_mode *mode = find(modes, name);

	if (!mode && probe.pv)
		mode = find(hostile_pv_modes, name);
	if (!mode) {
		print("# hostile: no such mode\n");
		probe_end(SHUTDOWN_crash);
	}
	print("# hostile: %s\n", mode->name);
	mode->run();
	print("# hostile: %s survived\n", mode->name);
}
