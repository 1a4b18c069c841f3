/* SPDX-License-Identifier: MIT */
/*
 * How a vCPU reaches its APIC: IA32_APIC_BASE and the modes that it selects,
 * the register page, the x2APIC MSRs, the deadline MSR, CPUID.
 *
 *   off --EN--> xAPIC --EXTD--> x2APIC     and from both back to off.
 *
 * All other changes of mode fault. Turning it on starts from a cleared APIC.
 */
#include "dm/pc/lapic-internal.h"

#include <cpuid.h>
#include <errno.h>

#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC 0x800u
#define X2APIC_MSRS 0x40u

#define CPUID1_EBX_ID 0xff000000u
#define CPUID1_ECX_X2APIC (1u << 21)
#define CPUID1_ECX_TSC_DEADLINE (1u << 24)
#define CPUID1_EDX_APIC (1u << 9)
#define CPUID1_EBX_LOGICAL_SHIFT 16 /* logical processors of the package, 8 bits; valid with HTT */
#define CPUID1_EDX_HTT (1u << 28)
#define CPUID4_EAX_CORES_SHIFT 26   /* ids for cores in the package, less one, 6 bits */
#define CPUID4_SUBLEAVES 8u
#define HYGON_EBX 0x6f677948u       /* "Hygo" of HygonGenuine, in leaf 0 */
#define CPUID8_ECX_CORES 0xffu      /* AMD: cores of the package, less one */
#define CPUID8_ECX_ID_SHIFT 12      /* AMD: bits of an APIC id that tell cores of a package apart, 4 bits */
#define CPUID8_ECX_EXTAPIC (1u << 3)

#define MODE(base) ((base) & (BASE_ENABLE | BASE_X2APIC))

/* ---- IA32_APIC_BASE ---- */

static bool mode_may_follow(uint64_t old, uint64_t new)
{
	if (MODE(new) == BASE_X2APIC)
		return false;
	switch (MODE(old)) {
	case 0:
		return !(new & BASE_X2APIC);
	case BASE_ENABLE | BASE_X2APIC:
		return MODE(new) != BASE_ENABLE;
	default:
		return true;
	}
}

int lapic_write_base(struct lapic *a, uint64_t value)
{
	uint64_t old = lapic_base(a);

	if (value & (a->set->reserved_base | (a->set->no_x2apic ? BASE_X2APIC : 0) | ~(BASE_ADDRESS | BASE_ENABLE | BASE_X2APIC | BASE_BSP)) ||
	    !mode_may_follow(old, value))
		return -EPERM;
	if ((value ^ old) & BASE_ADDRESS && (value & BASE_ADDRESS) != LAPIC_BASE)
		lapic_count(a->set->moved);
	pthread_mutex_lock(&a->lock);
	__atomic_store_n(&a->base, value, __ATOMIC_SEQ_CST);
	if ((value ^ old) & BASE_ENABLE) {
		lapic_clear(a);
		lapic_reset_id(a);
	}
	/* The two modes have another idea of a destination. */
	if ((value ^ old) & BASE_X2APIC)
		a->icr = (uint32_t)a->icr;
	pthread_mutex_unlock(&a->lock);
	lapic_recheck(a);
	return 0;
}

/* ---- the page ---- */

/* The calling vCPU's, if its page is there; else NULL, and nobody answers. */
static struct lapic *page_of_caller(struct lapics *s, uint64_t page)
{
	uint32_t vcpu = s->host->vcpu_current(s->inst);
	uint64_t base;

	if (vcpu >= s->n)
		return NULL;
	base = lapic_base(&s->apic[vcpu]);
	if (MODE(base) != BASE_ENABLE || (base & BASE_ADDRESS) != page)
		return NULL;
	return &s->apic[vcpu];
}

/* Parts of a register can be read; what lies between two registers is zero. */
static uint64_t read_at(struct lapic *a, uint64_t offset)
{
	uint64_t value = 0;

	if (offset % 16 >= 4 || lapic_read_reg(a, (uint32_t)(offset / 16), false, &value))
		return 0;
	return value >> offset % 16 * 8;
}

/* Whole registers alone can be written: anything else would be an EOI or a message by half. */
static void write_at(struct lapic *a, uint64_t offset, uint32_t width, uint64_t value)
{
	if (offset % 16 == 0 && width == 4)
		lapic_write_reg(a, (uint32_t)(offset / 16), false, value);
}

static uint64_t page_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct lapic *a = page_of_caller(opaque, LAPIC_BASE);

	(void)width;
	return a ? read_at(a, offset) : UINT64_MAX;
}

static void page_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct lapic *a = page_of_caller(opaque, LAPIC_BASE);

	if (a)
		write_at(a, offset, width, value);
}

bool lapics_page(struct lapics *s, uint64_t gpa, uint32_t width, bool write, uint64_t *value)
{
	struct lapic *a = page_of_caller(s, gpa & ~(uint64_t)(LAPIC_SIZE - 1));

	if (a && write)
		write_at(a, gpa & (LAPIC_SIZE - 1), width, *value);
	else if (a)
		*value = read_at(a, gpa & (LAPIC_SIZE - 1));
	return a != NULL;
}

static const struct gamut_io_ops page_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = page_read,
	.write = page_write,
};

/* ---- MSRs ---- */

static int x2_read(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t *value)
{
	struct lapic *a = &((struct lapics *)opaque)->apic[vcpu];

	return lapic_x2(a) ? lapic_read_reg(a, msr - MSR_X2APIC, true, value) : -EPERM;
}

static int x2_write(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t value)
{
	struct lapic *a = &((struct lapics *)opaque)->apic[vcpu];

	return lapic_x2(a) ? lapic_write_reg(a, msr - MSR_X2APIC, true, value) : -EPERM;
}

static int base_read(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = lapic_base(&((struct lapics *)opaque)->apic[vcpu]);
	return 0;
}

static int base_write(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t value)
{
	(void)msr;
	return lapic_write_base(&((struct lapics *)opaque)->apic[vcpu], value);
}

static int deadline_read(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t *value)
{
	struct lapic *a = &((struct lapics *)opaque)->apic[vcpu];

	(void)msr;
	pthread_mutex_lock(&a->lock);
	*value = lapic_timer_deadline(a);
	pthread_mutex_unlock(&a->lock);
	return 0;
}

static int deadline_write(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t value)
{
	struct lapic *a = &((struct lapics *)opaque)->apic[vcpu];

	(void)msr;
	pthread_mutex_lock(&a->lock);
	lapic_timer_set_deadline(a, value);
	pthread_mutex_unlock(&a->lock);
	return 0;
}

static const struct gamut_msr_ops x2_ops = { sizeof(x2_ops), x2_read, x2_write };
static const struct gamut_msr_ops base_ops = { sizeof(base_ops), base_read, base_write };
static const struct gamut_msr_ops deadline_ops = { sizeof(deadline_ops), deadline_read, deadline_write };

/* ---- CPUID ---- */

/*
 * The ids by which software knows processors. Leaf 0xb is as on Xen: the id,
 * and no levels, which says that nothing is known of the topology.
 */
static int set_ids(const struct lapics *s, uint32_t vcpu)
{
	const uint32_t id = vcpu << s->id_shift, leaf_b[4] = { 0, 0, 0, id };
	const uint32_t clear[4] = { 0, CPUID1_EBX_ID, 0, 0 }, set[4] = { 0, id << 24, 0, 0 };
	int rc = s->host->cpuid_mask(s->inst, vcpu, 1, 0, clear, set);

	return rc ? rc : s->host->cpuid_set(s->inst, vcpu, 0xb, 0, leaf_b);
}

static bool vendor_amd(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(0, &a, &b, &c, &d) && (b == signature_AMD_ebx || b == HYGON_EBX);
}

/* How many low bits of an APIC id tell the vCPUs apart. */
static unsigned id_bits(const struct lapics *s)
{
	unsigned bits = 0;

	while ((s->n - 1) << s->id_shift >> bits)
		bits++;
	return bits;
}

static uint32_t at_most(uint32_t value, uint32_t most)
{
	return value < most ? value : most;
}

/*
 * Several vCPUs are cores of one package, as on Xen: ids in between belong to
 * cores that are not there. One vCPU is what the engine says.
 */
static int set_package(const struct lapics *s)
{
	const unsigned bits = id_bits(s);
	const uint32_t none[4] = { 0 }, ids = 1u << bits;
	const uint32_t clear4[4] = { 0x3fu << CPUID4_EAX_CORES_SHIFT, 0, 0, 0 };
	const uint32_t set4[4] = { at_most(ids - 1, 0x3f) << CPUID4_EAX_CORES_SHIFT, 0, 0, 0 };
	const uint32_t set8[4] = { 0, 0, at_most(ids - 1, CPUID8_ECX_CORES) | bits << CPUID8_ECX_ID_SHIFT, 0 };
	int rc = 0;

	for (uint32_t i = 0; i < CPUID4_SUBLEAVES && !rc; i++)
		rc = s->host->cpuid_mask(s->inst, UINT32_MAX, 4, i, clear4, set4);
	if (!rc && vendor_amd())
		rc = s->host->cpuid_mask(s->inst, UINT32_MAX, 0x80000008u, 0, none, set8);
	return rc;
}

int lapics_cpuid(const struct lapics *s)
{
	const uint32_t none[4] = { 0 }, ext_clear[4] = { 0, 0, CPUID8_ECX_EXTAPIC, 0 };
	const uint32_t deadline = s->tsc_deadline ? CPUID1_ECX_TSC_DEADLINE : 0;
	const bool many = s->n > 1;
	const uint32_t logical = many ? at_most(1u << id_bits(s), 0xff) << CPUID1_EBX_LOGICAL_SHIFT : 0;
	const uint32_t clear[4] = { 0, many ? 0xffu << CPUID1_EBX_LOGICAL_SHIFT : 0,
	                            CPUID1_ECX_X2APIC | CPUID1_ECX_TSC_DEADLINE, 0 };
	const uint32_t set[4] = { 0, logical, (s->no_x2apic ? 0 : CPUID1_ECX_X2APIC) | deadline,
	                          CPUID1_EDX_APIC | (many ? CPUID1_EDX_HTT : 0) };
	int rc = s->host->cpuid_mask(s->inst, UINT32_MAX, 1, 0, clear, set);

	if (!rc)
		rc = s->host->cpuid_mask(s->inst, UINT32_MAX, 0x80000001u, 0, ext_clear, none);
	if (!rc && many)
		rc = set_package(s);
	for (uint32_t i = 0; i < s->n && !rc; i++)
		rc = set_ids(s, i);
	return rc;
}

/* ---- CR8: the upper half of TPR ---- */

static uint64_t cr8_read(void *opaque, uint32_t vcpu)
{
	return __atomic_load_n(&((struct lapics *)opaque)->apic[vcpu].tpr, __ATOMIC_SEQ_CST) >> 4 & 0xf;
}

static void cr8_write(void *opaque, uint32_t vcpu, uint64_t value)
{
	struct lapic *a = &((struct lapics *)opaque)->apic[vcpu];

	__atomic_store_n(&a->tpr, (uint32_t)(value & 0xf) << 4, __ATOMIC_SEQ_CST);
	lapic_recheck(a);
}

/* A host without the service keeps CR8 as a register of its own, which no guest before has missed. */
static int register_cr8(struct lapics *s)
{
	const struct gamut_host *host = s->host;

	if (!GAMUT_HAS(host, struct gamut_host, cr8_register) || !host->cr8_register)
		return 0;
	return host->cr8_register(s->inst, cr8_read, cr8_write, s);
}

/* ---- registration ---- */

static bool host_scales_tsc(const struct lapics *s)
{
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;

	s->host->time_scale(s->inst, 0, &tsc, &ns, &mul, &shift);
	return mul != 0;
}

/* The width of the host's addresses; an engine that shows its guests less refuses the rest itself. */
static uint64_t beyond_physical(void)
{
	unsigned a, b, c, d, bits = 36;

	if (__get_cpuid(0x80000008u, &a, &b, &c, &d) && (a & 0xff) >= 36)
		bits = a & 0xff;
	return bits < 52 ? BASE_ADDRESS & ~((1ull << bits) - 1) : 0;
}

int lapics_register(struct lapics *s)
{
	const struct gamut_host *host = s->host;
	int rc;

	if (!GAMUT_HAS(host, struct gamut_host, vcpu_current))
		return -ENOSYS;
	s->tsc_deadline = host_scales_tsc(s);
	s->reserved_base = beyond_physical();
	for (uint32_t i = 0; i < s->n; i++)
		lapic_reset_id(&s->apic[i]); /* id_shift is known since init */
	rc = host->mmio_register(s->inst, LAPIC_BASE, LAPIC_SIZE, &page_ops, s);
	if (!rc)
		rc = host->msr_register(s->inst, MSR_APIC_BASE, 1, &base_ops, s);
	if (!rc)
		rc = host->msr_register(s->inst, MSR_X2APIC, X2APIC_MSRS, &x2_ops, s);
	if (!rc && s->tsc_deadline)
		rc = host->msr_register(s->inst, MSR_TSC_DEADLINE, 1, &deadline_ops, s);
	if (!rc)
		rc = register_cr8(s);
	return rc ? rc : lapics_cpuid(s);
}
