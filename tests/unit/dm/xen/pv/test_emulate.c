/* SPDX-License-Identifier: MIT */
#include "trap-rig.h"

#include "dm/xen/pv/decode.h"

#define PAGE_BITMAP 0x20000ull

static bool refused(const struct rig *r)
{
	return rig_bounced(r, PV_GP) && rig_frame(r)[2] == 0;
}

/* What moved on, by how much. */
static uint64_t moved(const struct rig *r)
{
	return r->c->cpu.rip - CODE;
}

/* ---- the table: which instruction is whose ---- */

static const struct {
	const char *code;
	uint8_t len;
	bool kernel, user; /* carried out there, IOPL of the kernel being 1 */
} forms[] = {
	{ "\xe4\x80", 2, true, false },             /* in al, imm8 */
	{ "\xe5\x80", 2, true, false },             /* in eax, imm8 */
	{ "\x66\xe7\x80", 3, true, false },         /* out imm8, ax */
	{ "\xe6\x80", 2, true, false },             /* out imm8, al */
	{ "\xec", 1, true, false },                 /* in al, dx */
	{ "\x66\xed", 2, true, false },             /* in ax, dx */
	{ "\xee", 1, true, false },                 /* out dx, al */
	{ "\x48\xef", 2, true, false },             /* out dx, eax: REX.W is nothing here */
	{ "\x6c", 1, true, false },                 /* insb */
	{ "\x6f", 1, true, false },                 /* outsd */
	{ "\xfa", 1, true, false },                 /* cli */
	{ "\xfb", 1, true, false },                 /* sti */
	{ "\x0f\x06", 2, true, false },             /* clts */
	{ "\x0f\x09", 2, true, false },             /* wbinvd */
	{ "\xf3\x0f\x09", 3, true, false },         /* wbnoinvd */
	{ "\x0f\x20\xc0", 3, true, false },         /* mov rax, cr0 */
	{ "\x0f\x20\xd0", 3, true, false },         /* mov rax, cr2 */
	{ "\x0f\x20\xd8", 3, true, false },         /* mov rax, cr3 */
	{ "\x0f\x20\xe0", 3, true, false },         /* mov rax, cr4 */
	{ "\x0f\x22\xd0", 3, true, false },         /* mov cr2, rax */
	{ "\x0f\x22\xe0", 3, true, false },         /* mov cr4, rax */
	{ "\x0f\x21\xf8", 3, true, false },         /* mov rax, dr7 */
	{ "\x0f\x23\xc0", 3, true, false },         /* mov dr0, rax */
	{ "\x0f\x31", 2, true, false },             /* rdtsc */
	{ "\x0f\x01\xf9", 3, true, false },         /* rdtscp */
	{ "\x0f\xa2", 2, true, true },              /* cpuid */
	{ "\x44\x0f\x20\xc0", 4, false, false },    /* mov rax, cr8 */
	{ "\x44\x0f\x22\xc0", 4, false, false },    /* mov cr8, rax */
	{ "\x0f\x20\xc8", 3, false, false },        /* mov rax, cr1 */
	{ "\xf0\x0f\x20\xc0", 4, false, false },    /* lock */
	{ "\x0f\x08", 2, false, false },            /* invd */
	{ "\xf4", 1, false, false },                /* hlt */
	{ "\x0f\x01\x38", 3, false, false },        /* invlpg */
	{ "\x0f\x01\x10", 3, false, false },        /* lgdt */
	{ "\x0f\x01\xf0", 3, false, false },        /* lmsw ax */
	{ "\x0f\x01\xd0", 3, false, false },        /* xgetbv does not fault */
	{ "\x0f\x00\xd8", 3, false, false },        /* ltr ax */
	{ "\x0f\x33", 2, false, false },            /* rdpmc */
	{ "\x0f\x35", 2, false, false },            /* sysexit */
	{ "\x0f\x07", 2, false, false },            /* sysret */
	{ "\xcf", 1, false, false },                /* iret */
	{ "\x90", 1, false, false },                /* nop: a #GP of something else */
	{ "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\xec", 15, true, false },
	{ "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66", 15, false, false },
};

static void each_form(void **state)
{
	struct rig *r = *state;

	r->v->iopl = 1;
	for (uint32_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		r->c->gpr[PV_RAX] = 0x9000;
		r->c->gpr[PV_RDX] = 0x80;
		r->c->gpr[PV_RSI] = r->c->gpr[PV_RDI] = ARG;
		r->c->gpr[PV_RSP] = STACK;
		memset(rig_mem + CODE, 0xcc, 16);
		rig_run(r, forms[i].code, forms[i].len);
		assert_int_equal(forms[i].kernel ? forms[i].len : 0, refused(r) ? 0 : moved(r));
		rig_user(r);
		r->c->gpr[PV_RDX] = 0x80;
		rig_run(r, forms[i].code, forms[i].len);
		assert_int_equal(forms[i].user ? forms[i].len : 0, refused(r) ? 0 : moved(r));
		r->v->user = r->c->user = false;
	}
}

static void code_at_the_end_of_a_page(void **state)
{
	struct rig *r = *state;

	r->pages[CODE / 4096 + 1] = PAGE_NONE;
	memcpy(rig_mem + CODE + 0xffe, "\x0f\x06", 2);
	r->v->ts = true;
	r->c->cpu.rip = CODE + 0xffe;
	rig_trap(r, PV_GP, 0);
	assert_int_equal(moved(r), 0x1000);
	assert_false(r->v->ts);
	memcpy(rig_mem + CODE + 0xffe, "\x0f\x20", 2); /* ModRM would be on the next page */
	r->c->cpu.rip = CODE + 0xffe;
	rig_trap(r, PV_GP, 0);
	assert_true(refused(r));
	r->pages[CODE / 4096] = PAGE_NONE;
	r->c->cpu.rip = CODE;
	rig_trap(r, PV_GP, 0);
	assert_true(refused(r));
}

static void gp_with_an_error_is_not_looked_at(void **state)
{
	struct rig *r = *state;

	memcpy(rig_mem + CODE, "\x0f\x06", 2);
	rig_trap(r, PV_GP, 0x50);
	assert_true(rig_bounced(r, PV_GP));
	assert_int_equal(rig_frame(r)[2], 0x50);
}

static void single_step_ends_as_natively(void **state)
{
	struct rig *r = *state;

	r->c->cpu.rflags |= PV_FLAG_TF | PV_FLAG_RF;
	RUN(r, "\x0f\x06");
	assert_true(rig_bounced(r, PV_DB));
	assert_int_equal(rig_frame(r)[2], CODE + 2);
	assert_int_equal(rig_frame(r)[4], 0x302);
	assert_int_equal(r->c->dr[6], PV_DR6_FIXED | 0x4000);
}

/* ---- ports ---- */

static void ports_need_iopl(void **state)
{
	struct rig *r = *state;
	uint32_t iopl = 1, bad = 4;

	RUN(r, "\xec");
	assert_true(refused(r));
	RUN(r, "\xfa");
	assert_true(refused(r));
	r->c->cpu.rip = CODE;
	assert_int_equal(rig_op(r, __HYPERVISOR_physdev_op, 6, &bad, sizeof(bad)), -EINVAL);
	assert_int_equal(rig_op(r, __HYPERVISOR_physdev_op, 6, &iopl, sizeof(iopl)), 0);
	RUN(r, "\xfa");
	assert_int_equal(moved(r), 1);
	assert_int_equal(r->info[0][1], 0); /* without effect */
	r->v->iopl = 3;
	rig_user(r);
	RUN(r, "\xfb");
	assert_int_equal(moved(r), 1);
}

static void nothing_reads_as_ones(void **state)
{
	struct rig *r = *state;

	r->v->iopl = 1;
	r->c->gpr[PV_RDX] = 0x3f8;
	r->c->gpr[PV_RAX] = 0x1122334455667788ull;
	RUN(r, "\xec");
	assert_int_equal(r->c->gpr[PV_RAX], 0x11223344556677ffull);
	RUN(r, "\x66\xed");
	assert_int_equal(r->c->gpr[PV_RAX], 0x112233445566ffffull);
	RUN(r, "\xed");
	assert_int_equal(r->c->gpr[PV_RAX], 0xffffffffull);
}

/* physdev_set_iobitmap: a guest pointer and a number */
static int64_t set_bitmap(struct rig *r, uint64_t va, uint32_t ports)
{
	struct {
		uint64_t va;
		uint32_t n, pad;
	} arg = { va, ports, 0 };

	r->c->cpu.rip = CODE;
	return rig_op(r, __HYPERVISOR_physdev_op, 7, &arg, sizeof(arg));
}

static void in_ax(struct rig *r, uint16_t port)
{
	rig_user(r);
	r->c->gpr[PV_RDX] = port;
	RUN(r, "\x66\xed");
}

static void bitmap_lets_user_mode_in(void **state)
{
	struct rig *r = *state;

	memset(rig_mem + PAGE_BITMAP, 0xff, 0x100);
	rig_mem[PAGE_BITMAP + 8] = 0x7c; /* ports 0x40, 0x41, 0x47 */
	rig_mem[PAGE_BITMAP + 9] = 0xfe; /* port 0x48 */
	r->pages[PAGE_BITMAP / 4096] = PAGE_KERNEL;
	assert_int_equal(set_bitmap(r, PAGE_BITMAP, 65537), -EINVAL);
	assert_int_equal(set_bitmap(r, HYPERVISOR_VIRT_START, 1024), -EINVAL);
	assert_int_equal(set_bitmap(r, PAGE_BITMAP, 0x49), 0);
	in_ax(r, 0x40);
	assert_int_equal(moved(r), 2);
	assert_true(r->c->user); /* the look at the bitmap was in the kernel's space */
	in_ax(r, 0x41);
	assert_true(refused(r));
	in_ax(r, 0x47); /* two bytes of the map */
	assert_int_equal(moved(r), 2);
	in_ax(r, 0x48); /* ends behind the limit */
	assert_true(refused(r));
	in_ax(r, 0xffff);
	assert_true(refused(r));
	assert_int_equal(set_bitmap(r, 0x1fffff, 0x49), 0); /* unreadable */
	in_ax(r, 0x40);
	assert_true(refused(r));
	assert_int_equal(set_bitmap(r, 0, 0), 0);
	in_ax(r, 0x40);
	assert_true(refused(r));
}

/* ---- string instructions ---- */

static void string_in(void **state)
{
	struct rig *r = *state;

	r->v->iopl = 1;
	r->c->gpr[PV_RDX] = 0x3f8;
	r->c->gpr[PV_RCX] = 3;
	r->c->gpr[PV_RDI] = ARG;
	RUN(r, "\xf3\x66\x6d");
	assert_int_equal(moved(r), 3);
	assert_int_equal(r->c->gpr[PV_RCX], 0);
	assert_int_equal(r->c->gpr[PV_RDI], ARG + 6);
	assert_memory_equal(rig_mem + ARG, "\xff\xff\xff\xff\xff\xff\0", 7);
	RUN(r, "\xf3\x6c"); /* none left: nothing happens */
	assert_int_equal(moved(r), 2);
	assert_int_equal(r->c->gpr[PV_RDI], ARG + 6);
	r->c->cpu.rflags |= PV_FLAG_DF;
	RUN(r, "\x6c");
	assert_int_equal(r->c->gpr[PV_RDI], ARG + 5);
}

static void string_out(void **state)
{
	struct rig *r = *state;

	r->v->iopl = 1;
	memcpy(rig_mem + ARG, "\xb0\x34\x12", 3); /* channel 2, both bytes, mode 0 */
	r->c->gpr[PV_RDX] = 0x43;
	r->c->gpr[PV_RSI] = 0x10;
	r->c->base[GAMUT_GS] = ARG - 0x10;
	RUN(r, "\x65\x6e");
	assert_int_equal(r->d.pit.mode, 0);
	assert_int_equal(r->c->gpr[PV_RSI], 0x11);
	r->c->gpr[PV_RDX] = 0x42;
	r->c->gpr[PV_RCX] = 0xabcd00000002ull; /* a 32-bit address size sees 2 */
	RUN(r, "\xf3\x67\x65\x6e");
	assert_int_equal(r->d.pit.count, 0x1234);
	assert_int_equal(r->c->gpr[PV_RCX], 0);
}

static void string_faults_where_it_stands(void **state)
{
	struct rig *r = *state;

	r->v->iopl = 1;
	r->pages[ARG / 4096] = PAGE_READ_ONLY;
	r->c->gpr[PV_RDX] = 0x3f8;
	r->c->gpr[PV_RCX] = 8;
	r->c->gpr[PV_RDI] = ARG - 3;
	RUN(r, "\xf3\x6c");
	assert_true(rig_bounced(r, PV_PF));
	assert_int_equal(rig_frame(r)[2], 2);
	assert_int_equal(rig_frame(r)[3], CODE);
	assert_int_equal(r->v->cr2, ARG);
	assert_int_equal(r->c->gpr[PV_RCX], 5);
	assert_int_equal(r->c->gpr[PV_RDI], ARG);
	r->c->gpr[PV_RSI] = RIG_MEM - 1;
	RUN(r, "\x6f");
	assert_true(rig_bounced(r, PV_PF));
	assert_int_equal(rig_frame(r)[2], 0);
	assert_int_equal(r->v->cr2, RIG_MEM);
}

static void string_looks_up_now_and_then(void **state)
{
	struct rig *r = *state;

	r->v->iopl = 1;
	r->c->gpr[PV_RCX] = 300;
	r->c->gpr[PV_RDI] = ARG;
	RUN(r, "\xf3\x6c");
	assert_int_equal(moved(r), 0);
	assert_int_equal(r->c->gpr[PV_RCX], 44);
	RUN(r, "\xf3\x6c");
	assert_int_equal(moved(r), 2);
}

/* ---- control registers ---- */

static void cr0_is_ts_alone(void **state)
{
	struct rig *r = *state;

	RUN(r, "\x0f\x20\xc3");
	assert_int_equal(r->c->gpr[PV_RBX], 0x80050033);
	r->c->gpr[PV_RBX] |= 8;
	RUN(r, "\x0f\x22\xc3");
	assert_true(r->c->ts);
	RUN(r, "\x0f\x20\xc3");
	assert_int_equal(r->c->gpr[PV_RBX], 0x8005003b);
	r->c->gpr[PV_RBX] = 0x80050032;
	RUN(r, "\x0f\x22\xc3");
	assert_true(refused(r));
	assert_true(r->c->ts);
}

static void cr3_is_the_kernel_s_root(void **state)
{
	struct rig *r = *state;

	RUN(r, "\x0f\x20\xd8");
	assert_int_equal(r->c->gpr[PV_RAX], 0x11000);
	r->c->gpr[PV_RAX] = 0x33000;
	RUN(r, "\x0f\x22\xd8");
	assert_int_equal(moved(r), 3);
	assert_int_equal(r->v->root[PV_KERNEL], 0x33);
	assert_int_equal(r->v->root[PV_USER], 0x22);
	r->roots_rc = -EINVAL;
	RUN(r, "\x0f\x22\xd8");
	assert_true(refused(r));
}

static void cr4_takes_what_cpuid_has(void **state)
{
	struct rig *r = *state;

	r->cpuid[3] = 1 << 4; /* TSC, no DE; no XSAVE, no FSGSBASE */
	r->c->gpr[PV_RAX] = UINT64_MAX;
	RUN(r, "\x0f\x22\xe0");
	assert_int_equal(moved(r), 3);
	assert_int_equal(r->c->cr4, 0x624);
	memset(r->cpuid, 0xff, sizeof(r->cpuid));
	RUN(r, "\x0f\x22\xe0");
	RUN(r, "\x0f\x20\xe1");
	assert_int_equal(r->c->gpr[PV_RCX], 0x5062c);
}

static void xcr0(void **state)
{
	struct rig *r = *state;

	r->c->gpr[PV_RAX] = 7;
	r->c->gpr[PV_RDX] = 0;
	RUN(r, "\x0f\x01\xd1");
	assert_int_equal(r->c->xcr0, 7);
	r->c->gpr[PV_RAX] = 6;
	RUN(r, "\x0f\x01\xd1");
	assert_true(refused(r));
	r->c->gpr[PV_RAX] = 7;
	r->c->gpr[PV_RCX] = 1;
	RUN(r, "\x0f\x01\xd1");
	assert_true(refused(r));
}

/* ---- debug registers, by instruction and by hypercall ---- */

static int64_t set_dr(struct rig *r, uint64_t n, uint64_t value)
{
	r->c->cpu.rip = CODE;
	return rig_call(r, __HYPERVISOR_set_debugreg, n, value, 0);
}

static void debug_registers(void **state)
{
	struct rig *r = *state;

	assert_int_equal(set_dr(r, 0, 0x401000), 0);
	assert_int_equal(r->c->dr[0], 0x401000);
	assert_int_equal(set_dr(r, 3, HYPERVISOR_VIRT_START), -EPERM);
	assert_int_equal(set_dr(r, 3, HYPERVISOR_VIRT_START - 4), -EPERM);
	assert_int_equal(set_dr(r, 3, HYPERVISOR_VIRT_END), 0);
	assert_int_equal(set_dr(r, 3, 1ull << 47), -EPERM);
	assert_int_equal(set_dr(r, 6, UINT64_MAX), 0);
	assert_int_equal(r->c->dr[6], 0xffffefff);
	assert_int_equal(set_dr(r, 7, 0xffffffff0000d855ull | 0x10000), 0);
	assert_int_equal(r->c->dr[7], 0x10455);
	assert_int_equal(set_dr(r, 7, 0x2000), -EPERM);
	assert_int_equal(set_dr(r, 7, 0x20001), -EPERM); /* I/O without CR4.DE */
	assert_int_equal(set_dr(r, 7, 0x40001), -EPERM); /* two bytes of an instruction */
	assert_int_equal(set_dr(r, 7, 0x40000), 0);      /* not enabled */
	assert_int_equal(set_dr(r, 8, 0), -ENODEV);
	assert_int_equal(rig_call(r, __HYPERVISOR_get_debugreg, 8, 0, 0), -ENODEV);
	assert_int_equal(rig_call(r, __HYPERVISOR_get_debugreg, 5, 0, 0), 0x40400);
	r->v->cr4 |= PV_CR4_DE;
	assert_int_equal(set_dr(r, 7, 0x20001), 0);
	assert_int_equal(set_dr(r, 5, 0), -ENODEV);
	RUN(r, "\x0f\x21\xe8"); /* mov rax, dr5 */
	assert_true(rig_bounced(r, PV_UD));
	RUN(r, "\x0f\x23\xe8");
	assert_true(rig_bounced(r, PV_UD));
	r->c->gpr[PV_RAX] = HYPERVISOR_VIRT_START;
	RUN(r, "\x0f\x23\xc8");
	assert_true(refused(r));
}

static void ports_have_breakpoints(void **state)
{
	struct rig *r = *state;

	r->v->iopl = 1;
	r->v->cr4 |= PV_CR4_DE;
	assert_int_equal(set_dr(r, 1, 0x3f9), 0);
	assert_int_equal(set_dr(r, 7, 0x600004), 0); /* DR1: I/O, two bytes: 0x3f8 and 0x3f9 */
	r->c->gpr[PV_RDX] = 0x3f7;
	RUN(r, "\xec");
	assert_int_equal(moved(r), 1);
	RUN(r, "\x66\xed");
	assert_true(rig_bounced(r, PV_DB));
	assert_int_equal(rig_frame(r)[2], CODE + 2);
	assert_int_equal(r->c->dr[6], PV_DR6_FIXED | 2);
	r->c->gpr[PV_RDX] = 0x3fa;
	RUN(r, "\xee");
	assert_int_equal(moved(r), 1);
	r->c->gpr[PV_RDX] = 0x3f9;
	RUN(r, "\xe6\x80"); /* the port is in the instruction */
	assert_int_equal(moved(r), 2);
	RUN(r, "\x0f\x06"); /* no port at all */
	assert_int_equal(moved(r), 2);
	r->v->cr4 &= ~PV_CR4_DE;
	RUN(r, "\xee");
	assert_int_equal(moved(r), 1);
}

/* ---- time and MSRs ---- */

static void tsc(void **state)
{
	struct rig *r = *state;

	r->c->msr = 0xc0000103;
	RUN(r, "\x0f\x01\xf9");
	assert_int_equal(r->c->gpr[PV_RAX], 0x55667788);
	assert_int_equal(r->c->gpr[PV_RDX], 0x11223344);
	assert_int_equal(r->c->gpr[PV_RCX], 0xa5a5);
	r->c->gpr[PV_RDX] = 0;
	RUN(r, "\x0f\x31");
	assert_int_equal(r->c->gpr[PV_RDX], 0x11223344);
}

static bool rdmsr(struct rig *r, uint32_t msr, uint64_t *value)
{
	r->c->gpr[PV_RCX] = 0xffffffff00000000ull | msr;
	RUN(r, "\x0f\x32");
	*value = (uint32_t)r->c->gpr[PV_RAX] | r->c->gpr[PV_RDX] << 32;
	return !refused(r);
}

static bool wrmsr(struct rig *r, uint32_t msr, uint64_t value)
{
	r->c->gpr[PV_RCX] = msr;
	r->c->gpr[PV_RAX] = 0xffffffff00000000ull | (uint32_t)value;
	r->c->gpr[PV_RDX] = value >> 32;
	RUN(r, "\x0f\x30");
	return !refused(r);
}

static void bases_are_msrs(void **state)
{
	struct rig *r = *state;
	uint64_t value;

	assert_true(wrmsr(r, 0xc0000100, 0x7f0000001000));
	assert_int_equal(r->c->base[GAMUT_FS], 0x7f0000001000);
	assert_true(wrmsr(r, 0xc0000101, 0xffff888000005000));
	assert_int_equal(r->c->base[GAMUT_GS], 0xffff888000005000);
	assert_true(wrmsr(r, 0xc0000102, 0x7f0000003000));
	assert_int_equal(r->v->other_gs, 0x7f0000003000);
	for (uint32_t msr = 0xc0000100; msr < 0xc0000103; msr++)
		assert_false(wrmsr(r, msr, 1ull << 47));
	assert_true(rdmsr(r, 0xc0000102, &value) && value == 0x7f0000003000);
	assert_true(rdmsr(r, 0xc0000101, &value) && value == 0xffff888000005000);
	assert_true(rdmsr(r, 0xc0000100, &value) && value == 0x7f0000001000);
}

static void msrs_that_are_constant(void **state)
{
	struct rig *r = *state;
	static const struct {
		uint32_t msr;
		uint64_t value;
	} list[] = { { 0xc0000080, 0xd01 }, { 0x277, 0x50100070406 }, { 0x1a0, 0x801801 }, { 0xce, 0 }, { 0x140, 0 } };
	uint64_t value;

	for (uint32_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		assert_true(rdmsr(r, list[i].msr, &value));
		assert_int_equal(value, list[i].value);
		assert_true(wrmsr(r, list[i].msr, list[i].value));
		assert_false(wrmsr(r, list[i].msr, list[i].value ^ 2));
	}
	assert_true(rdmsr(r, 0x1b, &value) && value == 0xfee00900);
	assert_false(wrmsr(r, 0x1b, value));
	assert_true(rdmsr(r, 0x10, &value) && value == 0x1122334455667788ull);
	assert_false(wrmsr(r, 0x10, 0));
	assert_true(wrmsr(r, 0x8b, 0));
	assert_true(rdmsr(r, 0x8b, &value) && value == 0);
}

static void msrs_of_the_engine(void **state)
{
	struct rig *r = *state;
	uint64_t value;

	assert_false(rdmsr(r, 0x10a, &value));
	assert_false(wrmsr(r, 0x48, 1));
	r->c->msr = 0x10a;
	assert_true(rdmsr(r, 0x10a, &value) && value == 0xa5a5);
	r->c->msr = 0x48;
	assert_true(wrmsr(r, 0x48, 0x123456789));
	assert_int_equal(r->c->msr_value, 0x123456789);
	r->c->msr = 0xc0000082; /* LSTAR is no guest's, whatever the engine thinks */
	assert_false(wrmsr(r, 0xc0000082, 0));
	assert_false(rdmsr(r, 0xc0000082, &value));
}

static void msrs_of_amd(void **state)
{
	struct rig *r = *state;
	uint64_t value = 1;

	assert_false(rdmsr(r, 0xc0010015, &value));
	memcpy(&r->cpuid[1], "Auth", 4);
	assert_true(rdmsr(r, 0xc0010015, &value) && value == 0);
	assert_true(rdmsr(r, 0xc0010010, &value) && value == 0);
	assert_false(wrmsr(r, 0xc0010015, 0));
}

static void hypercall_page(void **state)
{
	struct rig *r = *state;
	uint64_t value = 1;

	assert_true(rdmsr(r, 0x40000000, &value) && value == 0);
	assert_false(wrmsr(r, 0x40000000, 0x5001)); /* there is no second page */
	assert_false(wrmsr(r, 0x40000000, 0x6000)); /* a table, or no memory: see pv_page_free */
	assert_true(wrmsr(r, 0x40000000, 0x5000));
	assert_memory_equal(r->f->ram + 0x5000 + 32 * 26, "\x51\x41\x53\xb8\x1a\0\0\0\x0f\x05", 10);
	assert_false(wrmsr(r, 0x40000001, 0x5000));
}

static void unknown_msrs(void **state)
{
	struct rig *r = *state;
	uint64_t value = 1;

	assert_false(rdmsr(r, 0x12345, &value));
	assert_false(wrmsr(r, 0x12345, 0));
	r->v->trap[PV_GP].rip = 0; /* too early for a #GP: reads are 0 */
	assert_true(rdmsr(r, 0x12345, &value));
	assert_int_equal(value, 0);
	assert_int_equal(moved(r), 2);
}

static void first_instruction_may_be_a_wrmsr(void **state)
{
	struct rig *r = *state;

	memset(r->v->trap, 0, sizeof(r->v->trap));
	r->c->gpr[PV_RCX] = 0xc0000101;
	r->c->gpr[PV_RAX] = 0x83000000;
	r->c->gpr[PV_RDX] = 0xffffffff;
	RUN(r, "\x0f\x30");
	assert_int_equal(moved(r), 2);
	assert_int_equal(r->c->base[GAMUT_GS], 0xffffffff83000000ull);
	assert_false(rig_crashed(r));
}

/* ---- ud2; .ascii "xen" ---- */

static void ud(struct rig *r, const char *code, uint32_t len)
{
	memset(rig_mem + CODE, 0, 16);
	memcpy(rig_mem + CODE, code, len);
	r->c->cpu.rip = CODE;
	rig_trap(r, PV_UD, -1);
}

static void forced_cpuid(void **state)
{
	struct rig *r = *state;

	memcpy(r->cpuid, (const uint32_t[4]){ 1, 2, 1u << 26, 4 }, sizeof(r->cpuid));
	r->c->gpr[PV_RAX] = 0xffffffff00000001ull;
	ud(r, "\x0f\x0bxen\x0f\xa2", 7);
	assert_int_equal(moved(r), 7);
	assert_int_equal(r->c->gpr[PV_RAX], 1);
	assert_int_equal(r->c->gpr[PV_RBX], 2);
	assert_int_equal(r->c->gpr[PV_RCX], 3u << 26); /* OSXSAVE goes with XSAVE */
	assert_int_equal(r->c->gpr[PV_RDX], 4);
	rig_user(r);
	r->c->gpr[PV_RAX] = 1;
	ud(r, "\x0f\x0bxen\x0f\xa2", 7);
	assert_int_equal(r->c->gpr[PV_RCX], 1u << 26); /* but with CR4 in user mode */
	r->v->cr4 |= PV_CR4_OSXSAVE;
	r->c->gpr[PV_RAX] = 1;
	ud(r, "\x0f\x0bxen\x0f\xa2", 7);
	assert_int_equal(r->c->gpr[PV_RCX], 3u << 26);
	r->c->gpr[PV_RAX] = 2;
	ud(r, "\x0f\x0bxen\x0f\xa2", 7);
	assert_int_equal(r->c->gpr[PV_RCX], 1u << 26);
}

static void other_undefined_instructions(void **state)
{
	struct rig *r = *state;
	static const struct {
		const char *code;
		uint8_t len;
	} list[] = { { "\x0f\x0b", 2 }, { "\x0f\x0bxen\x0f\x0b", 7 }, { "\x0f\x0bxeo\x0f\xa2", 7 }, { "\x0f\xff", 2 } };

	for (uint32_t i = 0; i < 4; i++) {
		ud(r, list[i].code, list[i].len);
		assert_true(rig_bounced(r, PV_UD));
		assert_int_equal(rig_frame(r)[2], CODE);
	}
	r->pages[CODE / 4096 + 1] = PAGE_NONE;
	memcpy(rig_mem + CODE + 0xffd, "\x0f\x0bx", 3);
	r->c->cpu.rip = CODE + 0xffd;
	rig_trap(r, PV_UD, -1);
	assert_true(rig_bounced(r, PV_PF));
	assert_int_equal(r->v->cr2, CODE + 0x1000);
	memcpy(rig_mem + CODE + 0xffd, "\x0f\x0b\x90", 3); /* no prefix as far as it goes */
	r->c->cpu.rip = CODE + 0xffd;
	rig_trap(r, PV_UD, -1);
	assert_true(rig_bounced(r, PV_UD));
}

/* ---- the decoder alone ---- */

static void decoder_survives_anything(void **state)
{
	struct pv_insn in;
	uint64_t seed = 1;

	(void)state;
	for (uint32_t i = 0; i < 200000; i++) {
		uint8_t code[PV_INSN_MAX];

		for (uint32_t k = 0; k < sizeof(code); k++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			code[k] = (uint8_t)(seed >> 56);
		}
		if (!pv_decode(code, i % 16, i & 16, &in))
			continue;
		assert_in_range(in.len, 1, i % 16);
		assert_true(in.opcode < 0x100 || in.opcode >> 8 == 0x0f);
		assert_true(in.reg < 16 && in.rm < 16);
	}
}

static void decoder_knows_prefixes(void **state)
{
	struct pv_insn in;

	(void)state;
	assert_true(pv_decode((const uint8_t *)"\x41\x66\xef", 3, true, &in)); /* REX before a prefix counts for nothing */
	assert_int_equal(in.opsize, 2);
	assert_true(pv_decode((const uint8_t *)"\x45\x0f\x22\xff", 4, true, &in));
	assert_int_equal(in.reg, 15);
	assert_int_equal(in.rm, 15);
	assert_false(pv_decode((const uint8_t *)"\x45\x0f\x22\xff", 4, false, &in)); /* inc ebp */
	assert_true(pv_decode((const uint8_t *)"\x67\x6e", 2, false, &in));
	assert_int_equal(in.addrsize, 2);
	assert_true(pv_decode((const uint8_t *)"\x2e\x64\x6e", 3, true, &in));
	assert_int_equal(in.segment, GAMUT_FS);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_form),
		T(code_at_the_end_of_a_page),
		T(gp_with_an_error_is_not_looked_at),
		T(single_step_ends_as_natively),
		T(ports_need_iopl),
		T(nothing_reads_as_ones),
		T(bitmap_lets_user_mode_in),
		T(string_in),
		T(string_out),
		T(string_faults_where_it_stands),
		T(string_looks_up_now_and_then),
		T(cr0_is_ts_alone),
		T(cr3_is_the_kernel_s_root),
		T(cr4_takes_what_cpuid_has),
		T(xcr0),
		T(debug_registers),
		T(ports_have_breakpoints),
		T(tsc),
		T(bases_are_msrs),
		T(msrs_that_are_constant),
		T(msrs_of_the_engine),
		T(msrs_of_amd),
		T(hypercall_page),
		T(unknown_msrs),
		T(first_instruction_may_be_a_wrmsr),
		T(forced_cpuid),
		T(other_undefined_instructions),
		cmocka_unit_test(decoder_survives_anything),
		cmocka_unit_test(decoder_knows_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
