/* SPDX-License-Identifier: MIT */
/* Finding Xen, hypercalls, HVM params, and checks of what the hypervisor says. */
#include "pv.h"

#include <xen/errno.h>

static struct shared_info shared_page PAGE_ALIGNED;
static char physmap_page[PAGE_BYTES] PAGE_ALIGNED;

static uint32_t xen_leaves(void)
{
	uint32_t r[4];

	for (uint32_t base = 0x40000000; base < 0x40010000; base += 0x100) {
		cpuid(base, 0, r);
		if (memcmp(&r[1], "XenVMMXenVMM", 12) == 0 && r[0] >= base + 2)
			return base;
	}
	return 0;
}

bool vendor_is_amd(void)
{
	uint32_t r[4];

	cpuid(0, 0, r);
	return r[1] == 0x68747541 /* Auth */ || r[1] == 0x6f677948 /* Hygo */;
}

long physmap_add(unsigned space, unsigned long index, const void *page)
{
	struct xen_add_to_physmap arg = {
		.domid = DOMID_SELF,
		.space = space,
		.idx = index,
		.gpfn = (unsigned long)page / PAGE_BYTES,
	};

	return HYPERCALL2(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &arg);
}

bool hvm_param_get(uint32_t index, uint64_t *value)
{
	struct xen_hvm_param arg = { .domid = DOMID_SELF, .index = index };

	if (HYPERCALL2(__HYPERVISOR_hvm_op, HVMOP_get_param, &arg) != 0)
		return false;
	*value = arg.value;
	return true;
}

bool xen_init(void)
{
	struct xen_feature_info info = { .submap_idx = 0 };
	uint32_t r[4];

	probe.xen_base = xen_leaves();
	if (!probe.xen_base)
		return false;
	probe.amd = vendor_is_amd();
	if (probe.pv)
		return true;
	probe.hypercall = probe.amd ? hypercall_vmmcall : hypercall_vmcall;
	cpuid(probe.xen_base + 2, 0, r);
	if (r[0])
		wrmsr(r[1], (uint64_t)hypercall_page);
	if (physmap_add(XENMAPSPACE_shared_info, 0, &shared_page) == 0) {
		probe.shared = &shared_page;
		probe.vcpu = &shared_page.vcpu_info[0];
		probe.xen_clock = probe.vcpu->time.tsc_to_system_mul != 0;
		probe.clock = probe.xen_clock || probe.pc;
	}
	HYPERCALL2(__HYPERVISOR_xen_version, XENVER_get_features, &info);
	probe.by_line = probe.pc && !(info.submap >> XENFEAT_hvm_callback_vector & 1);
	return true;
}

/* ---- checks ----------------------------------------------------------- */

static void check_identity(void)
{
	uint32_t r[4];
	long version = HYPERCALL2(__HYPERVISOR_xen_version, XENVER_version, 0);
	char extra[XEN_EXTRAVERSION_LEN] = { 0 };

	cpuid(probe.xen_base + 1, 0, r);
	check(version >= 4 << 16 && (uint32_t)version == r[0], "version: hypercall and CPUID agree");
	check(HYPERCALL2(__HYPERVISOR_xen_version, XENVER_extraversion, extra) == 0, "version: extra version");
	print("# Xen %d.%d%s at CPUID %x\n", (int)(version >> 16), (int)(version & 0xffff), extra, probe.xen_base);
}

static void check_features(void)
{
	struct {
		unsigned bit;
		bool pvh, pv;
		const char *name;
	} wanted[] = {
		{ XENFEAT_auto_translated_physmap, true, false, "auto_translated_physmap" },
		{ XENFEAT_hvm_callback_vector, true, false, "hvm_callback_vector" },
		{ XENFEAT_hvm_safe_pvclock, true, false, "hvm_safe_pvclock" },
		{ XENFEAT_mmu_pt_update_preserve_ad, false, true, "mmu_pt_update_preserve_ad" },
	};
	struct xen_feature_info info = { .submap_idx = 0 };

	check(HYPERCALL2(__HYPERVISOR_xen_version, XENVER_get_features, &info) == 0, "features: word 0");
	if (probe.by_line) {
		check(!(info.submap >> XENFEAT_hvm_safe_pvclock & 1), "features: no vectors, and no PV time");
		wanted[1].pvh = wanted[2].pvh = false;
	}
	for (unsigned i = 0; i < ARRAY_LEN(wanted); i++)
		if (probe.pv ? wanted[i].pv : wanted[i].pvh)
			check(info.submap >> wanted[i].bit & 1, "features: %s", wanted[i].name);
		else if (probe.pv)
			check(!(info.submap >> wanted[i].bit & 1), "features: no %s", wanted[i].name);
	info.submap_idx = XENFEAT_NR_SUBMAPS;
	check(HYPERCALL2(__HYPERVISOR_xen_version, XENVER_get_features, &info) == -XEN_EINVAL,
	      "features: a word that is not there");
}

/* A PV image's page is filled when a note of it asks for that, and only then. */
static void check_pv_page(long direct)
{
	bool filled = false;

	for (unsigned i = 0; i < PAGE_BYTES; i++)
		filled |= hypercall_page[i] != 0;
	if (filled)
		check(hypercall_by_page(__HYPERVISOR_xen_version, 0ull, 0ull, 0ull, 0ull, 0ull) == direct,
		      "hypercall: by the page");
	else
		skip("hypercall: by the page", "no note asks for it");
	check(filled == probe_wants_hypercall_page, "hypercall: the page is filled when asked for");
}

static void check_calling(void)
{
	uint32_t r[4];
	long direct = HYPERCALL2(__HYPERVISOR_xen_version, XENVER_version, 0);

	check(HYPERCALL2(63, 0, 0) == -XEN_ENOSYS, "hypercall: a number that is not there");
	check(HYPERCALL2(0xffffffff, 0, 0) == -XEN_ENOSYS, "hypercall: the highest number");
	check(HYPERCALL2(__HYPERVISOR_xen_version, 9999, 0) == -XEN_ENOSYS, "hypercall: a subcommand that is not there");
	check(HYPERCALL2(__HYPERVISOR_xen_version, XENVER_extraversion, 0x123456789000) == -XEN_EFAULT,
	      "hypercall: a pointer to nothing");
	if (probe.pv) {
		check_pv_page(direct);
		return;
	}
	check((int32_t)user_run(user_vmcall, probe.amd) == -XEN_EPERM, "hypercall: refused from ring 3");
	cpuid(probe.xen_base + 2, 0, r);
	if (r[0])
		check(hypercall_by_page(__HYPERVISOR_xen_version, 0ull, 0ull, 0ull, 0ull, 0ull) == direct,
		      "hypercall: by the page");
	else
		skip("hypercall: by the page", "CPUID offers no page");
}

static void check_params(void)
{
	struct xen_hvm_param bad = { .domid = DOMID_SELF, .index = HVM_NR_PARAMS };
	uint64_t value;

	check(hvm_param_get(HVM_PARAM_STORE_PFN, &value) && value, "HVM params: xenstore page");
	check(hvm_param_get(HVM_PARAM_STORE_EVTCHN, &value) && value, "HVM params: xenstore port");
	/* A PC's console may be another, of which its guest is not told. */
	if (probe.pc)
		probe.no_console = !probe.console;
	check(hvm_param_get(HVM_PARAM_CONSOLE_PFN, &value) && !value == probe.no_console, "HVM params: console page, if any");
	check(hvm_param_get(HVM_PARAM_CONSOLE_EVTCHN, &value) && !value == probe.no_console,
	      "HVM params: console port, if any");
	check(HYPERCALL2(__HYPERVISOR_hvm_op, HVMOP_get_param, &bad) == -XEN_EINVAL, "HVM params: an index too high");
}

static void check_physmap(void)
{
	struct xen_add_to_physmap far = {
		.domid = DOMID_SELF,
		.space = XENMAPSPACE_shared_info,
		.gpfn = ~0ul,
	};

	check(probe.shared != NULL, "physmap: shared_info on a page of RAM");
	check(physmap_add(99, 0, physmap_page) < 0, "physmap: a space that is not there");
	check(physmap_add(XENMAPSPACE_grant_table, 1u << 20, physmap_page) < 0, "physmap: a grant frame too far");
	check(HYPERCALL2(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &far) < 0, "physmap: a frame beyond all");
}

void check_xen(void)
{
	check_identity();
	check_features();
	check_calling();
	if (probe.pv)
		return;
	check_params();
	check_physmap();
}
