/* SPDX-License-Identifier: MIT */
/*
 * Privileged instructions of a guest that has no ring 0. Each came as #GP(0);
 * which of them are carried out, and for whom, is what Xen does. The others
 * stay a #GP: hlt, invlpg, lgdt and their like have hypercalls in their place.
 *
 * Code segments are taken to have base 0, as everywhere in 64-bit mode.
 */
#include "dm/xen/pv/monitor.h"

#include <errno.h>
#include <string.h>

#include "dm/xen/pv/decode.h"

/* What became of an instruction. */
enum result {
	REFUSED, /* #GP(0) as it came */
	DONE,    /* rip is to move on */
	AGAIN,   /* rip stays: part of a repetition is done */
	FAULTED, /* an exception of its own was bounced */
};

/* Elements of a string instruction before the vCPU looks up. */
#define STRING_BATCH 256u

/* ---- rights ------------------------------------------------------------------------------ */

/* The kernel counts as ring 1, or as ring 0 where it asked for that. */
static bool iopl_ok(const struct pv_vcpu *v)
{
	uint32_t cpl = v->user ? 3 : pv_assist(v->domain, VMASST_TYPE_architectural_iopl) ? 0 : 1;

	return cpl <= v->iopl;
}

/* The bitmap is at an address of the kernel's space. What cannot be read is forbidden. */
static bool bitmap_ok(struct pv_vcpu *v, uint32_t port, uint32_t bytes)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	uint8_t map[2] = { 0xff, 0xff };
	uint32_t want = ((1u << bytes) - 1) << (port & 7);

	if (port + bytes > v->iobitmap_ports)
		return false;
	if (v->user)
		cpu->ops->enter(cpu, 0);
	if (cpu->ops->read(cpu, v->iobitmap + port / 8, &map[0], 1, NULL))
		map[0] = 0xff;
	if (want > 0xff && cpu->ops->read(cpu, v->iobitmap + port / 8 + 1, &map[1], 1, NULL))
		map[1] = 0xff;
	if (v->user)
		cpu->ops->enter(cpu, 1);
	return !((map[0] | (uint32_t)map[1] << 8) & want);
}

static bool port_ok(struct pv_vcpu *v, uint32_t port, uint32_t bytes)
{
	return iopl_ok(v) || bitmap_ok(v, port, bytes);
}

/* ---- ports ---------------------------------------------------------------------------------- */

static uint32_t port_bytes(const struct pv_insn *in)
{
	return in->opcode & 1 ? (in->opsize == 2 ? 2 : 4) : 1;
}

static void merge(uint64_t *reg, uint64_t value, uint32_t bytes)
{
	if (bytes >= 4)
		*reg = bytes == 4 ? (uint32_t)value : value;
	else
		*reg = (*reg & ~((1ull << bytes * 8) - 1)) | (value & ((1ull << bytes * 8) - 1));
}

static enum result op_in_out(struct pv_vcpu *v, const struct pv_insn *in)
{
	uint64_t *gpr = v->cpu->gpr;
	uint32_t port = in->opcode & 8 ? (uint16_t)gpr[PV_RDX] : in->imm8, bytes = port_bytes(in);

	if (!port_ok(v, port, bytes))
		return REFUSED;
	if (in->opcode & 2)
		pv_port_write(v->domain, port, bytes, (uint32_t)gpr[PV_RAX]);
	else
		merge(&gpr[PV_RAX], pv_port_read(v->domain, port, bytes), bytes);
	return DONE;
}

static uint64_t truncated(uint64_t value, const struct pv_insn *in)
{
	return in->addrsize == 8 ? value : value & ((1ull << in->addrsize * 8) - 1);
}

/* Only FS and GS have bases; outs takes an override, ins does not. */
static uint64_t string_base(struct pv_vcpu *v, const struct pv_insn *in, bool out)
{
	if (out && (in->segment == GAMUT_FS || in->segment == GAMUT_GS))
		return v->cpu->ops->base(v->cpu, in->segment);
	return 0;
}

/* One element. False: the access faulted, and was bounced. */
static bool string_element(struct pv_vcpu *v, const struct pv_insn *in, bool out, uint32_t port, uint32_t bytes)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	uint64_t *index = &cpu->gpr[out ? PV_RSI : PV_RDI], fault = 0;
	uint64_t va = string_base(v, in, out) + truncated(*index, in);
	uint32_t value = 0;
	int rc;

	if (out) {
		rc = cpu->ops->read(cpu, va, &value, bytes, &fault);
	} else {
		/* A port is read once: whether the value has a place is known before. */
		rc = cpu->ops->read(cpu, va, &value, bytes, &fault);
		value = rc ? 0 : pv_port_read(v->domain, port, bytes);
		rc = rc ? rc : cpu->ops->write(cpu, va, &value, bytes, &fault);
	}
	if (rc) {
		pv_inject_pf(v, fault, out ? 0 : 2);
		return false;
	}
	if (out)
		pv_port_write(v->domain, port, bytes, value);
	merge(index, *index + (cpu->rflags & PV_FLAG_DF ? -(uint64_t)bytes : bytes), in->addrsize);
	return true;
}

static enum result op_string(struct pv_vcpu *v, const struct pv_insn *in)
{
	uint64_t *gpr = v->cpu->gpr;
	uint32_t port = (uint16_t)gpr[PV_RDX], bytes = port_bytes(in);
	bool out = in->opcode & 2;

	if (!port_ok(v, port, bytes))
		return REFUSED;
	if (!in->rep)
		return string_element(v, in, out, port, bytes) ? DONE : FAULTED;
	for (uint32_t i = 0; i < STRING_BATCH && truncated(gpr[PV_RCX], in); i++) {
		if (!string_element(v, in, out, port, bytes))
			return FAULTED;
		merge(&gpr[PV_RCX], gpr[PV_RCX] - 1, in->addrsize);
	}
	return truncated(gpr[PV_RCX], in) ? AGAIN : DONE;
}

/* Allowed, and without effect: the kernel masks its events in vcpu_info. */
static enum result op_interrupt_flag(struct pv_vcpu *v, const struct pv_insn *in)
{
	(void)in;
	return iopl_ok(v) ? DONE : REFUSED;
}

/* ---- control and debug registers ------------------------------------------------------------ */

static enum result op_clts(struct pv_vcpu *v, const struct pv_insn *in)
{
	(void)in;
	pv_fpu_taskswitch(v, 0);
	return DONE;
}

static enum result op_nothing(struct pv_vcpu *v, const struct pv_insn *in)
{
	(void)v;
	(void)in;
	return DONE;
}

static uint64_t cr0(const struct pv_vcpu *v)
{
	return PV_CR0 | (v->ts ? PV_CR0_TS : 0);
}

static enum result op_read_cr(struct pv_vcpu *v, const struct pv_insn *in)
{
	uint64_t *to = &v->cpu->gpr[in->rm];

	switch (in->reg) {
	case 0:
		*to = cr0(v);
		return DONE;
	case 2:
		*to = v->cr2;
		return DONE;
	case 3:
		*to = v->root[PV_KERNEL] << XEN_PAGE_SHIFT;
		return DONE;
	case 4:
		*to = v->cr4;
		return DONE;
	default:
		return REFUSED;
	}
}

/* Never a #GP for what the guest may not choose: it is ignored. */
static enum result write_cr4(struct pv_vcpu *v, uint64_t value)
{
	v->cr4 = PV_CR4_FIXED | (value & pv_cr4_choice(v));
	return v->cpu->ops->set_cr4(v->cpu, v->cr4) ? REFUSED : DONE;
}

static enum result op_write_cr(struct pv_vcpu *v, const struct pv_insn *in)
{
	uint64_t value = v->cpu->gpr[in->rm];

	switch (in->reg) {
	case 0:
		if ((value ^ cr0(v)) & ~PV_CR0_TS)
			return REFUSED;
		pv_fpu_taskswitch(v, (value & PV_CR0_TS) != 0);
		return DONE;
	case 2:
		v->cr2 = v->arch->cr2 = value;
		return DONE;
	case 3:
		return pv_set_roots(v, xen_cr3_to_pfn(value), v->root[PV_USER]) ? REFUSED : DONE;
	case 4:
		return write_cr4(v, value);
	default:
		return REFUSED;
	}
}

/* What a processor without the register says. */
static enum result undefined(struct pv_vcpu *v)
{
	pv_inject(v, PV_UD, false, 0);
	return FAULTED;
}

static enum result op_read_dr(struct pv_vcpu *v, const struct pv_insn *in)
{
	return pv_debugreg_get(v, in->reg, &v->cpu->gpr[in->rm]) ? undefined(v) : DONE;
}

static enum result op_write_dr(struct pv_vcpu *v, const struct pv_insn *in)
{
	int rc = pv_debugreg_set(v, in->reg, v->cpu->gpr[in->rm]);

	return rc == -ENODEV ? undefined(v) : rc ? REFUSED : DONE;
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void put_pair(struct pv_vcpu *v, uint64_t value)
{
	v->cpu->gpr[PV_RAX] = (uint32_t)value;
	v->cpu->gpr[PV_RDX] = value >> 32;
}

static uint64_t get_pair(const struct pv_vcpu *v)
{
	return (uint32_t)v->cpu->gpr[PV_RAX] | v->cpu->gpr[PV_RDX] << 32;
}

/* A kernel that could not survive the #GP yet reads 0: xen.h, at set_trap_table. */
static enum result op_rdmsr(struct pv_vcpu *v, const struct pv_insn *in)
{
	uint64_t value = 0;

	(void)in;
	if (pv_msr_read(v, (uint32_t)v->cpu->gpr[PV_RCX], &value) && v->trap[PV_GP].rip)
		return REFUSED;
	put_pair(v, value);
	return DONE;
}

static enum result op_wrmsr(struct pv_vcpu *v, const struct pv_insn *in)
{
	(void)in;
	return pv_msr_write(v, (uint32_t)v->cpu->gpr[PV_RCX], get_pair(v)) ? REFUSED : DONE;
}

static enum result op_rdtsc(struct pv_vcpu *v, const struct pv_insn *in)
{
	(void)in;
	put_pair(v, v->cpu->ops->tsc(v->cpu));
	return DONE;
}

static void cpuid(struct pv_vcpu *v, bool forced)
{
	uint64_t *gpr = v->cpu->gpr;
	uint32_t regs[4];

	pv_cpuid(v, forced, (uint32_t)gpr[PV_RAX], (uint32_t)gpr[PV_RCX], regs);
	gpr[PV_RAX] = regs[0];
	gpr[PV_RBX] = regs[1];
	gpr[PV_RCX] = regs[2];
	gpr[PV_RDX] = regs[3];
}

static enum result op_cpuid(struct pv_vcpu *v, const struct pv_insn *in)
{
	(void)in;
	cpuid(v, false);
	return DONE;
}

static enum result op_group7(struct pv_vcpu *v, const struct pv_insn *in)
{
	uint64_t aux = 0;

	if (in->modrm == 0xd1) /* xsetbv */
		return (uint32_t)v->cpu->gpr[PV_RCX] || v->cpu->ops->set_xcr0(v->cpu, get_pair(v)) ? REFUSED : DONE;
	if (in->modrm != 0xf9) /* rdtscp */
		return REFUSED;
	pv_msr_read(v, 0xc0000103, &aux);
	put_pair(v, v->cpu->ops->tsc(v->cpu));
	v->cpu->gpr[PV_RCX] = (uint32_t)aux;
	return DONE;
}

static const struct {
	uint16_t first, last; /* opcodes */
	bool user;            /* not for the kernel alone: rights are looked at further on */
	enum result (*fn)(struct pv_vcpu *v, const struct pv_insn *in);
} table[] = {
	{ 0x6c, 0x6f, true, op_string },
	{ 0xe4, 0xe7, true, op_in_out },
	{ 0xec, 0xef, true, op_in_out },
	{ 0xfa, 0xfb, true, op_interrupt_flag },
	{ 0x0f01, 0x0f01, false, op_group7 },
	{ 0x0f06, 0x0f06, false, op_clts },
	{ 0x0f09, 0x0f09, false, op_nothing }, /* caches of a guest without devices are nobody's business */
	{ 0x0f20, 0x0f20, false, op_read_cr },
	{ 0x0f21, 0x0f21, false, op_read_dr },
	{ 0x0f22, 0x0f22, false, op_write_cr },
	{ 0x0f23, 0x0f23, false, op_write_dr },
	{ 0x0f30, 0x0f30, false, op_wrmsr },
	{ 0x0f31, 0x0f31, false, op_rdtsc }, /* came here because of CR4.TSD */
	{ 0x0f32, 0x0f32, false, op_rdmsr },
	{ 0x0fa2, 0x0fa2, true, op_cpuid },
};

static enum result run(struct pv_vcpu *v, const struct pv_insn *in)
{
	for (uint32_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (in->opcode >= table[i].first && in->opcode <= table[i].last)
			return v->user && !table[i].user ? REFUSED : table[i].fn(v, in);
	return REFUSED;
}

/* How many bytes of code there are at rip; the page behind may not be mapped. */
static uint32_t fetch(struct pv_vcpu *v, uint8_t code[PV_INSN_MAX])
{
	struct gamut_pv_cpu *cpu = v->cpu;
	uint32_t here = (uint32_t)(XEN_PAGE_SIZE - cpu->rip % XEN_PAGE_SIZE);

	here = here < PV_INSN_MAX ? here : PV_INSN_MAX;
	if (cpu->ops->read(cpu, cpu->rip, code, here, NULL))
		return 0;
	if (here < PV_INSN_MAX && !cpu->ops->read(cpu, cpu->rip + here, code + here, PV_INSN_MAX - here, NULL))
		here = PV_INSN_MAX;
	return here;
}

/* Of an instruction that was an access to a port: which breakpoints watch it, as bits of DR6. */
static uint64_t port_breakpoints(struct pv_vcpu *v, const struct pv_insn *in)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	uint64_t dr7 = cpu->ops->dr(cpu, 7), hit = 0;
	uint32_t port = in->opcode >= 0xe4 && in->opcode <= 0xe7 ? in->imm8 : (uint16_t)cpu->gpr[PV_RDX];

	if (!(v->cr4 & PV_CR4_DE) || in->opcode > 0xef)
		return 0;
	for (uint32_t i = 0; i < 4; i++) {
		uint64_t len = (dr7 >> (18 + 4 * i) & 3) + 1, at = cpu->ops->dr(cpu, i) & ~(len - 1);
		bool watched = dr7 >> 2 * i & 3 && (dr7 >> (16 + 4 * i) & 3) == 2;

		if (watched && at < port + port_bytes(in) && port < at + len)
			hit |= 1ull << i;
	}
	return hit;
}

/* Behind the instruction; a single step and a breakpoint end here as they would after a native one. */
static void retire(struct pv_vcpu *v, uint32_t len, uint64_t dr6)
{
	struct gamut_pv_cpu *cpu = v->cpu;

	cpu->rip += len;
	cpu->rflags &= ~PV_FLAG_RF;
	if (cpu->rflags & PV_FLAG_TF)
		dr6 |= PV_DR6_BS;
	if (!dr6)
		return;
	cpu->ops->set_dr(cpu, 6, cpu->ops->dr(cpu, 6) | dr6);
	pv_inject(v, PV_DB, false, 0);
}

int pv_emulate(struct pv_vcpu *v)
{
	uint8_t code[PV_INSN_MAX];
	struct pv_insn in;
	enum result result;

	if (!pv_decode(code, fetch(v, code), v->cpu->ops->code64(v->cpu), &in))
		return PV_NOT_MINE;
	result = run(v, &in);
	if (result == REFUSED)
		return PV_NOT_MINE;
	xen_count(v->domain->emulated);
	if (result == DONE)
		retire(v, in.len, port_breakpoints(v, &in));
	return PV_DONE;
}

/* ---- ud2; .ascii "xen" ------------------------------------------------------------------------- */

static const uint8_t forced[] = { 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2 };

int pv_emulate_forced(struct pv_vcpu *v)
{
	struct gamut_pv_cpu *cpu = v->cpu;
	uint8_t byte;

	for (uint32_t i = 0; i < sizeof(forced); i++) {
		if (cpu->ops->read(cpu, cpu->rip + i, &byte, 1, NULL)) {
			pv_inject_pf(v, cpu->rip + i, 0);
			return PV_DONE;
		}
		if (byte != forced[i])
			return PV_NOT_MINE;
	}
	xen_count(v->domain->emulated);
	cpuid(v, true);
	retire(v, sizeof(forced), 0);
	return PV_DONE;
}
