/* SPDX-License-Identifier: MIT */
/*
 * Differential fuzzer of the bt engine.
 *
 *     bt-diff [-m user|user32|user16|system] [-n cases] [-t seconds] [-s seed] [-d bt.debug] [-S] [-v]
 *
 * user, user32, user16: random sequences of user-mode instructions run twice from the
 * same state at the same virtual addresses, on the processor and in the
 * engine. General registers, arithmetic flags, x87 and vector state, memory,
 * and how it ended (the exception, its error code, CR2, instruction) must be
 * equal. system: kernel code, translator against interpreter. -S: with shadow
 * page tables; in mode system for the translator alone.
 *
 * At an exception other than #DE, flags that the code would have overwritten
 * before reading are exempt (see trans.h), unless bt.debug has "alllive".
 *
 * A failure prints the seed of its case, the bytes and the differences, and
 * the program exits with 1.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "diff.h"

#define SKIPPED 77

struct run {
	struct guest guest;
	struct gen gen;
	struct state start, native, end;
	bool exact; /* all flags count at exceptions */
};

/* ---- comparing -------------------------------------------------------------------------- */

/* What may differ, zeroed; components in their initial state spelled out. */
static void plain_fx(uint8_t *p, const struct state *s)
{
	uint64_t bv;

	memcpy(p, s->fx, FX_SIZE);
	memcpy(&bv, s->fx + 512, 8);
	memset(p + 6, 0, 18); /* opcode and pointers */
	memset(p + 28, 0, 4);
	memset(p + 416, 0, 160); /* reserved, header */
	if (!(bv & 1)) {
		memset(p, 0, 6);
		p[0] = 0x7f;
		p[1] = 0x03;
		memset(p + 32, 0, 128);
	}
	if (!(bv & 2))
		memset(p + 160, 0, 256);
	if (!(bv & 4))
		memset(p + 576, 0, 256);
	for (unsigned r = 0; r < 8; r++)
		memset(p + 32 + 16 * r + 10, 0, 6);
}

bool same_fx(const struct state *a, const struct state *b)
{
	uint8_t x[FX_SIZE], y[FX_SIZE];

	plain_fx(x, a);
	plain_fx(y, b);
	return !memcmp(x, y, FX_SIZE);
}

void print_fx(const struct state *a, const struct state *b)
{
	uint8_t x[FX_SIZE], y[FX_SIZE];

	plain_fx(x, a);
	plain_fx(y, b);
	fprintf(stderr, "  vector or x87 state:");
	for (unsigned i = 0; i < FX_SIZE; i++) {
		if (x[i] != y[i])
			fprintf(stderr, " [%u] %02x/%02x", i, x[i], y[i]);
	}
	fprintf(stderr, "\n");
}

/* VA of the first byte that differs, or 0. */
static uint64_t memory_difference(const struct run *r)
{
	for (unsigned page = 0; page < DATA_PAGES + CODE_SIZE / 4096; page++) {
		bool code = page >= DATA_PAGES;
		uint64_t va = code ? CODE_VA + 4096 * (page - DATA_PAGES) : DATA_VA + 4096 * page;
		const uint8_t *n = (const uint8_t *)va;
		const uint8_t *g = r->guest.mem.base + (code ? CODE_GPA + (va - CODE_VA) : data_gpa(page));

		if (!memcmp(n, g, 4096))
			continue;
		for (unsigned i = 0; i < 4096; i++) {
			if (n[i] != g[i])
				return va + i;
		}
	}
	return 0;
}

static uint64_t flags_compared(const struct run *r)
{
	uint64_t others = FL_DF | FL_TF | FL_NT | FL_AC | FL_ID;

	if (r->gen.decimal && r->native.vector != EXC_BP) /* before the test that defines them */
		return others;
	if (r->exact || r->native.vector == EXC_BP || r->native.vector == EXC_DE)
		return FL_ARITH | others;
	return others;
}

static bool tword_at(const struct gen *g, uint64_t off)
{
	struct insn in;

	return off < CODE_SIZE && insn_decode(&in, g->code + off, INSN_MAX, g->mode) && in.mem_size == 10;
}

/*
 * What is each processor's own affair: vector operands under alignment
 * checking, whether #AC comes before #PF, and how an 80-bit operand that ends
 * beyond the canonical addresses, or its segment, faults. The process lacks the guest's
 * system pages and the second mapping of the code.
 */
static bool own_affair(const struct run *r)
{
	const struct state *n = &r->native;

	if (n->vector == EXC_PF && (n->cr2 - SYS_VA < TABLE_VA + TABLE_SIZE - SYS_VA || n->cr2 - ALIAS_VA < CODE_SIZE))
		return true;
	if (n->vector == EXC_PF && n->cr2 >= 0x7ffffffffff0ull && (r->end.vector == EXC_GP || r->end.vector == EXC_SS))
		return true;
	if (r->gen.mode == MODE_16 && (r->end.vector == EXC_SS || r->end.vector == EXC_GP) && tword_at(&r->gen, r->end.rip))
		return true;
	/* Some processors raise #GP at a branch that is the last instruction within the limit, when it is taken again. */
	if (r->gen.mode == MODE_16 && n->vector == EXC_GP && r->end.vector == EXC_GP && r->end.rip == CODE_SIZE &&
	    n->rip >= CODE_SIZE - INSN_MAX)
		return true;
	return r->native.vector == EXC_AC && (r->end.vector != EXC_AC || r->end.rip != r->native.rip);
}

static bool equal(const struct run *r)
{
	const struct state *n = &r->native, *g = &r->end;

	if (n->vector != g->vector || n->rip != g->rip || ((n->rflags ^ g->rflags) & flags_compared(r)))
		return false;
	if (memcmp(n->gpr, g->gpr, r->gen.mode == MODE_64 ? sizeof(n->gpr) : sizeof(n->gpr) / 2) || !same_fx(n, g))
		return false;
	if (n->vector == EXC_PF && n->cr2 != g->cr2)
		return false;
	return n->error == g->error;
}

static void report(const struct run *r, uint64_t seed, uint64_t at)
{
	static const char *const name[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
	const struct state *n = &r->native, *g = &r->end;

	fprintf(stderr, "bt-diff: difference, seed %#" PRIx64 "\n", seed);
	print_code(&r->gen);
	fprintf(stderr, "  ended: native vector %d.%" PRIx64 " at %#" PRIx64 ", guest vector %d.%" PRIx64 " at %#" PRIx64 "\n",
		n->vector, n->error, (uint64_t)(n->rip - CODE_VA), g->vector, g->error, (uint64_t)(g->rip - CODE_VA));
	if (n->vector == EXC_PF)
		fprintf(stderr, "  cr2: native %#" PRIx64 ", guest %#" PRIx64 "\n", n->cr2, g->cr2);
	for (unsigned i = 0; i < (r->gen.mode == MODE_64 ? 16 : 8); i++) {
		if (n->gpr[i] != g->gpr[i])
			fprintf(stderr, "  %-3s start %016" PRIx64 " native %016" PRIx64 " guest %016" PRIx64 "\n", name[i],
				r->start.gpr[i], n->gpr[i], g->gpr[i]);
	}
	fprintf(stderr, "  flags start %03x native %03x guest %03x\n", (unsigned)r->start.rflags, (unsigned)n->rflags,
		(unsigned)g->rflags);
	if (!same_fx(n, g))
		print_fx(n, g);
	if (at)
		fprintf(stderr, "  memory at %#" PRIx64 ": native %02x guest\n", at, *(const uint8_t *)at);
}

/* ---- user cases ------------------------------------------------------------------------------ */

static void fill_memory(struct run *r)
{
	uint8_t *code = r->guest.mem.base + CODE_GPA;

	for (unsigned i = 0; i < DATA_SIZE; i += 8) {
		uint64_t value = rng(&r->gen);

		memcpy((uint8_t *)DATA_VA + i, &value, 8);
		memcpy(r->guest.mem.base + data_gpa(i / 4096) + i % 4096, &value, 8);
	}
	memcpy((void *)CODE_VA, r->gen.code, CODE_SIZE);
	memcpy(code, r->gen.code, CODE_SIZE);
	mem_dirty(&r->guest.mem, CODE_GPA, CODE_SIZE);
}

static bool user_case(struct run *r, uint64_t seed)
{
	uint64_t at;

	r->gen.rng = seed;
	generate(&r->gen);
	r->gen.code[r->gen.len] = 0xcc;
	random_state(&r->gen, &r->start);
	fill_memory(r);
	processor_run(&r->gen, &r->start, &r->native);
	if (!guest_run(&r->guest, &r->gen, &r->start, &r->end)) {
		fprintf(stderr, "bt-diff: seed %#" PRIx64 "\n", seed);
		print_code(&r->gen);
		return false;
	}
	at = memory_difference(r);
	if ((equal(r) && !at) || own_affair(r))
		return true;
	report(r, seed, at);
	return false;
}

/* ---- command line -------------------------------------------------------------------------- */

struct options {
	const char *mode, *debug;
	uint64_t n, seed;
	double seconds;
	unsigned max_bad;
	bool verbose, shadow;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int finish(uint64_t cases, unsigned bad)
{
	printf("%" PRIu64 " cases, %u differences\n", cases, bad);
	return bad ? 1 : 0;
}

static int run_user(const struct options *o)
{
	static struct run r;
	double start = now();
	uint64_t cases = 0;
	unsigned bad = 0;

	r.gen.mode = !strcmp(o->mode, "user32") ? MODE_32 : !strcmp(o->mode, "user16") ? MODE_16 : MODE_64;
	r.exact = r.gen.mode == MODE_16 || strstr(o->debug, "alllive") || strstr(o->debug, "interp");
	if (!processor_init() || !guest_init(&r.guest, o->debug, o->shadow))
		return 1;
	if (r.gen.mode == MODE_16 && !processor_init16()) {
		printf("no modify_ldt here, and so no 16-bit code\n");
		return SKIPPED;
	}
	for (; cases < o->n && now() - start < o->seconds && bad < o->max_bad; cases++) {
		if (o->verbose)
			fprintf(stderr, "seed %#" PRIx64 "\n", o->seed + cases);
		bad += !user_case(&r, o->seed + cases);
	}
	guest_finish(&r.guest);
	return finish(cases, bad);
}

static int run_system(const struct options *o)
{
	static struct system_pair p;
	double start = now();
	uint64_t cases = 0;
	unsigned bad = 0;

	if (!system_init(&p, o->debug, o->shadow))
		return 1;
	for (; cases < o->n && now() - start < o->seconds && bad < o->max_bad; cases++)
		bad += !system_case(&p, o->seed + cases, o->verbose);
	system_finish(&p);
	return finish(cases, bad);
}

int main(int argc, char **argv)
{
	struct options o = { .mode = "user", .debug = "", .n = UINT64_MAX, .seed = 1, .seconds = 10, .max_bad = 5 };
	int opt;

	while ((opt = getopt(argc, argv, "m:n:t:s:d:b:Sv")) != -1) {
		switch (opt) {
		case 'm': o.mode = optarg; break;
		case 'n': o.n = strtoull(optarg, NULL, 0); break;
		case 't': o.seconds = atof(optarg); break;
		case 's': o.seed = strtoull(optarg, NULL, 0); break;
		case 'd': o.debug = optarg; break;
		case 'b': o.max_bad = (unsigned)atoi(optarg); break;
		case 'S': o.shadow = true; break;
		case 'v': o.verbose = true; break;
		default: return 2;
		}
	}
	return strcmp(o.mode, "system") ? run_user(&o) : run_system(&o);
}
