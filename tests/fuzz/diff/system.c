/* SPDX-License-Identifier: MIT */
/*
 * Kernel-mode cases: the same guest runs once translated and once by the
 * interpreter alone; everything architectural must be equal afterwards, and
 * so must the exits on the way.
 *
 * Every exception is logged in memory with its frame, error code, CR2 and DR6.
 * Traps return; a fault goes on at the address that the case has stored at
 * RESUME (the end of the template that faulted); int 0x30 goes back to kernel
 * mode there. Frames may differ in dead flags (trans.h): FLAG_MASK says which
 * flags of a frame count.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "diff.h"

#define LOG_LIMIT 60
#define SYSCALL_OFF 0x4800u

/* Absolute addresses in the blob below. */
_Static_assert(LOG_VA == 0x60008000ull, "addresses in the handlers");

extern const uint8_t system_handlers[], system_handlers_end[], system_syscall[], system_syscall_end[];
__asm__(".section .rodata\n"
	"system_handlers:\n" /* vector and error (or 0) have been pushed */
	"  push %rax; push %rcx; push %rdx\n"
	"  mov $0x60008000, %ecx\n"
	"  mov 16(%rcx), %rax; and %rax, 56(%rsp)\n"
	"  mov (%rcx), %rax; cmp $60, %eax; ja 9f\n"
	"  incq (%rcx)\n"
	"  shl $6, %eax; lea 64(%rcx,%rax), %rcx\n"
	"  mov 24(%rsp), %rax; mov %rax, (%rcx)\n"
	"  mov 32(%rsp), %rax; mov %rax, 8(%rcx)\n"
	"  mov 40(%rsp), %rax; mov %rax, 16(%rcx)\n"
	"  mov 48(%rsp), %rax; mov %eax, 24(%rcx); mov 72(%rsp), %rax; mov %eax, 28(%rcx)\n"
	"  mov 56(%rsp), %rax; mov %rax, 32(%rcx)\n"
	"  mov 64(%rsp), %rax; mov %rax, 40(%rcx)\n"
	"  mov %cr2, %rax; mov %rax, 48(%rcx)\n"
	"  mov %dr6, %rax; mov %rax, 56(%rcx)\n"
	"  mov 24(%rsp), %eax\n"
	"  cmp $1, %eax; je 2f; cmp $3, %eax; je 2f; cmp $4, %eax; je 2f; cmp $0x31, %eax; je 2f\n"
	"  mov 0x60008008, %rcx; mov %rcx, 40(%rsp)\n"
	"  cmp $0x30, %eax; jne 2f\n"
	"  movq $0x10, 48(%rsp); movq $0x18, 72(%rsp)\n"
	"  mov 0x60008018, %rcx; mov %rcx, 64(%rsp)\n"
	"  mov 0x60008020, %rcx; mov %rcx, 40(%rsp)\n"
	"2: btrq $16, 56(%rsp)\n" /* RF has been logged */
	"  pop %rdx; pop %rcx; pop %rax; add $16, %rsp; iretq\n"
	"9: vmcall\n"
	"system_handlers_end:\n"
	"system_syscall:\n"
	"  mov 0x60008018, %rsp; jmp *0x60008020\n"
	"system_syscall_end:\n"
	".text\n");

/* ---- running ---------------------------------------------------------------------------------- */

struct outcome {
	struct gamut_vcpu_state s;
	struct state fx;
	uint64_t exits; /* hash of all that the guest asked for */
	bool timed_out;
	int reason;
};

static struct guest *watched;
static volatile sig_atomic_t timed_out;

static void on_alarm(int sig)
{
	(void)sig;
	timed_out = 1;
	if (!watched)
		return;
	atomic_fetch_or(&watched->attention, ATTN_PAUSE);
	engine_bt.vcpu_kick(watched->vcpu);
}

static void mix(uint64_t *hash, uint64_t value)
{
	*hash = (*hash ^ value) * 0x9e3779b97f4a7c15ull;
	*hash ^= *hash >> 29;
}

/* True when the guest goes on. */
static bool answer(struct vcpu_exit *e, struct outcome *o)
{
	mix(&o->exits, e->reason);
	switch (e->reason) {
	case EXIT_PIO:
		mix(&o->exits, e->pio.port | e->pio.width << 16 | e->pio.write << 24);
		if (e->pio.write)
			mix(&o->exits, e->pio.data);
		else
			e->pio.data = (uint32_t)o->exits;
		return true;
	case EXIT_MMIO:
		mix(&o->exits, e->mmio.gpa);
		mix(&o->exits, e->mmio.width | e->mmio.write << 8);
		if (e->mmio.write)
			mix(&o->exits, e->mmio.data);
		else
			e->mmio.data = o->exits;
		return true;
	case EXIT_RDMSR:
	case EXIT_WRMSR:
		mix(&o->exits, e->msr.index);
		e->msr.fault = true;
		return true;
	case EXIT_INTR:
		return !timed_out;
	default:
		return false;
	}
}

static void start_state(struct gamut_vcpu_state *s, const struct state *start)
{
	guest_state(s, start, MODE_64);
	s->seg[GAMUT_CS] = (struct gamut_segment){ .limit = UINT32_MAX, .selector = SEL_KCS, .attr = 0xa09b };
	s->seg[GAMUT_SS] = (struct gamut_segment){ .limit = UINT32_MAX, .selector = SEL_KDS, .attr = 0xc093 };
	s->rflags = start->rflags;
	s->cr4 |= CR4_PGE | CR4_DE;
}

static bool run_one(struct guest *g, const struct state *start, int irq, struct outcome *o)
{
	const struct itimerval limit = { .it_value = { .tv_sec = 2 } }, off = { 0 };
	struct bt_vcpu *v = (struct bt_vcpu *)g->vcpu;
	struct vcpu_exit exit = { .reason = EXIT_INTR };
	unsigned n = 0;

	memset(o, 0, sizeof(*o));
	start_state(&o->s, start);
	if (!guest_load(g, &o->s, start))
		return false;
	v->star = 0x0023001000000000ull | (uint64_t)0x10 << 32;
	v->lstar = SYS_VA + SYSCALL_OFF;
	v->cstar = v->lstar;
	v->sfmask = 0x700;
	v->kernel_gs_base = 0;
	g->irq = irq;
	atomic_fetch_and(&g->attention, ATTN_INVAL);
	atomic_fetch_or(&g->attention, irq >= 0 ? ATTN_IRQ : 0);
	timed_out = 0;
	watched = g;
	setitimer(ITIMER_REAL, &limit, NULL);
	do {
		engine_bt.vcpu_run(g->vcpu, &exit);
	} while (answer(&exit, o) && ++n < 20000);
	setitimer(ITIMER_REAL, &off, NULL);
	watched = NULL;
	o->timed_out = timed_out || n == 20000;
	o->reason = exit.reason;
	memset(&o->s, 0, sizeof(o->s));
	o->s.size = sizeof(o->s);
	engine_bt.vcpu_get(g->vcpu, &o->s);
	memcpy(o->fx.fx, v->fpu_area, FX_SIZE);
	o->fx.gpr[0] = v->star;
	o->fx.gpr[1] = v->kernel_gs_base;
	o->fx.gpr[2] = v->shadow;
	o->fx.gpr[3] = (uint64_t)g->irq;
	return true;
}

/* ---- comparing ---------------------------------------------------------------------------------- */

static const struct {
	uint64_t gpa, size;
	const char *name;
} regions[] = {
	{ TABLE_GPA, TABLE_SIZE, "page tables" },
	{ DATA_GPA, DATA_SIZE, "data" },
	{ RO_GPA, 4096, "read-only page" },
	{ CODE_GPA, CODE_SIZE, "code" },
	{ SYS_GPA, SYS_SIZE, "system" },
};
#define N_REGIONS (sizeof(regions) / sizeof(regions[0]))

static uint64_t memory_difference(const struct system_pair *p, const char **name)
{
	for (unsigned r = 0; r < N_REGIONS; r++) {
		/* Translated code walks before it finds that a vector operand is not aligned: A and D may be set early. */
		uint8_t early = regions[r].gpa == TABLE_GPA ? 0x60 : 0;
		const uint8_t *a = p->trans.mem.base + regions[r].gpa, *b = p->interp.mem.base + regions[r].gpa;

		if (!memcmp(a, b, regions[r].size))
			continue;
		for (uint64_t i = 0; i < regions[r].size; i++) {
			if (a[i] != (b[i] | (i & 7 ? 0 : a[i] & early))) {
				*name = regions[r].name;
				return regions[r].gpa + i;
			}
		}
	}
	return 0;
}

static void print_log(struct guest *g, const char *name)
{
	const uint64_t *log = (const uint64_t *)(const void *)(g->mem.base + SYS_GPA + LOG_OFF);

	for (unsigned i = 0; i < log[0] && i <= LOG_LIMIT; i++) {
		const uint64_t *e = log + 8 + 8 * i;

		fprintf(stderr,
			"  %s %2" PRIu64 ".%04" PRIx64 " rip %" PRIx64 " cs:ss %" PRIx64 " flags %" PRIx64 " rsp %" PRIx64
			" cr2 %" PRIx64 " dr6 %" PRIx64 "\n",
			name, e[0], e[1], e[2], e[3], e[4], e[5], e[6], e[7]);
	}
}

static void report(struct system_pair *p, const struct gen *g, const struct outcome *t, const struct outcome *i, uint64_t seed)
{
	const uint64_t *a = (const uint64_t *)&t->s, *b = (const uint64_t *)&i->s;
	const char *name = "";
	uint64_t at = memory_difference(p, &name);

	fprintf(stderr, "bt-diff: difference, seed %#" PRIx64 "; exits %d %d, timed out %d %d\n", seed, t->reason, i->reason,
		t->timed_out, i->timed_out);
	print_code(g);
	if (t->timed_out || i->timed_out)
		return;
	print_log(&p->trans, "trans ");
	print_log(&p->interp, "interp");
	for (unsigned k = 0; k < sizeof(t->s) / 8; k++) {
		if (a[k] != b[k])
			fprintf(stderr, "  state word %u: translated %016" PRIx64 " interpreted %016" PRIx64 "\n", k, a[k], b[k]);
	}
	for (unsigned k = 0; k < 4; k++) {
		if (t->fx.gpr[k] != i->fx.gpr[k])
			fprintf(stderr, "  hidden state %u: %" PRIx64 " %" PRIx64 "\n", k, t->fx.gpr[k], i->fx.gpr[k]);
	}
	if (!same_fx(&t->fx, &i->fx))
		print_fx(&t->fx, &i->fx);
	if (t->exits != i->exits)
		fprintf(stderr, "  exits differ\n");
	if (at)
		fprintf(stderr, "  memory at gpa %#" PRIx64 " (%s): translated %02x interpreted %02x\n", at, name,
			p->trans.mem.base[at], p->interp.mem.base[at]);
}

/* Dead flags may differ when the case ends in the middle: only then. */
static bool same(struct system_pair *p, const struct outcome *t, const struct outcome *i)
{
	const char *name;

	return !t->timed_out && !i->timed_out && t->reason == i->reason && !memcmp(&t->s, &i->s, sizeof(t->s)) &&
	       !memcmp(t->fx.gpr, i->fx.gpr, sizeof(t->fx.gpr)) && same_fx(&t->fx, &i->fx) && t->exits == i->exits &&
	       !memory_difference(p, &name);
}

/* ---- a case ----------------------------------------------------------------------------------------- */

static void install(struct guest *g, bool alllive)
{
	uint64_t common = SYS_VA + 0x4000;

	guest_layout(g);
	for (unsigned v = 0; v < 0x32; v++) {
		uint64_t at = SYS_GPA + STUB_OFF + 16 * v;
		bool error = v == 8 || (v >= 10 && v <= 14) || v == 17;
		uint8_t stub[16] = { 0x6a, 0 };
		unsigned n = error ? 0 : 2;
		int32_t rel;

		stub[n++] = 0x6a;
		stub[n++] = (uint8_t)v;
		stub[n++] = 0xe9;
		rel = (int32_t)(common - (SYS_VA + STUB_OFF + 16 * v + n + 4));
		memcpy(stub + n, &rel, 4);
		memcpy(g->mem.base + at, stub, 16);
	}
	memcpy(g->mem.base + SYS_GPA + 0x4000, system_handlers, (size_t)(system_handlers_end - system_handlers));
	memcpy(g->mem.base + SYS_GPA + SYSCALL_OFF, system_syscall, (size_t)(system_syscall_end - system_syscall));
	guest_put64(g, SYS_GPA + LOG_OFF + 16, alllive ? ~0ull : ~(uint64_t)FL_ARITH);
	mem_dirty(&g->mem, SYS_GPA, SYS_SIZE);
}

static void prepare(struct guest *g, const struct gen *gen, const uint8_t *data, bool alllive)
{
	install(g, alllive);
	memcpy(g->mem.base + DATA_GPA, data, DATA_SIZE);
	memcpy(g->mem.base + CODE_GPA, gen->code, CODE_SIZE);
	mem_dirty(&g->mem, DATA_GPA, DATA_SIZE);
	mem_dirty(&g->mem, CODE_GPA, CODE_SIZE);
}

bool system_case(struct system_pair *p, uint64_t seed, bool verbose)
{
	static struct gen g;
	static uint8_t data[DATA_SIZE];
	static struct outcome t, i;
	struct state start;
	int irq;

	if (verbose)
		fprintf(stderr, "seed %#" PRIx64 "\n", seed);
	g.rng = seed;
	generate_system(&g);
	random_state(&g, &start);
	start.gpr[RSP] = DATA_VA + 0x7f00 - 8 * pick(&g, 100);
	start.rflags = 2 | (start.rflags & FL_ARITH);
	irq = pick(&g, 3) ? -1 : 0x31;
	for (unsigned k = 0; k < DATA_SIZE; k += 8) {
		uint64_t value = rng(&g);

		memcpy(data + k, &value, 8);
	}
	prepare(&p->trans, &g, data, p->alllive);
	prepare(&p->interp, &g, data, p->alllive);
	if (!run_one(&p->trans, &start, irq, &t) || !run_one(&p->interp, &start, irq, &i))
		return false;
	if (same(p, &t, &i))
		return true;
	report(p, &g, &t, &i, seed);
	return false;
}

bool system_init(struct system_pair *p, const char *debug, bool shadow)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_ONSTACK | SA_RESTART };

	p->alllive = strstr(debug, "alllive") != NULL;
	sigemptyset(&sa.sa_mask);
	return !sigaction(SIGALRM, &sa, NULL) && guest_init(&p->trans, debug, shadow) &&
	       guest_init(&p->interp, "interp", false);
}

void system_finish(struct system_pair *p)
{
	guest_finish(&p->trans);
	guest_finish(&p->interp);
}
