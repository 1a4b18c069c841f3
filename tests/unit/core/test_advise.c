/* SPDX-License-Identifier: MIT */
/* What is advised, from fabricated hosts, kernels and builds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "advise.h"
#include "image/image.h"

static const struct engine_ops bt = { .name = "bt" }, kvm = { .name = "kvm" };
static struct advise_facts facts;
static struct advice advice;

/* In the order of presets. */
static const char *const modes[] = { "hvm", "hvm-pv-drivers", "pvhvm", "pvh", "pv", "kvm" };
#define N_MODES (sizeof(modes) / sizeof(modes[0]))

enum { HVM, PV_DRIVERS, PVHVM, PVH, PV, KVM };

#define ALL_ENTRIES (IMAGE_MODE_PVH | IMAGE_MODE_PV | IMAGE_MODE_DIRECT)

/* A host of this kind, a build that has everything, and a kernel that can everything. */
static void make(enum kvm_kind kind)
{
	static const char *const whys[] = { "there is no /dev/kvm", "/dev/kvm emulates ring 0: 640 ns an instruction",
		                            "kvm on Intel VMX" };
	const struct engine_caps all = { .hap = true, .shadow = true, .pv_ring3 = true, .irqchip = true, .max_vcpus = 4 };

	memset(&facts, 0, sizeof(facts));
	facts.engines.kvm_probe.kind = kind;
	snprintf(facts.engines.kvm_probe.why, sizeof(facts.engines.kvm_probe.why), "%s", whys[kind]);
	facts.engines.kvm = (struct engine_state){ .ops = &kvm, .works = kind != KVM_NONE, .caps = all };
	facts.engines.bt = (struct engine_state){ .ops = &bt, .works = true, .caps = all };
	facts.kernel.path = "vmlinuz";
	facts.kernel.modes = ALL_ENTRIES;
	for (size_t i = 0; i < N_MODES; i++) {
		facts.builds[i].mode = modes[i];
		facts.builds[i].needs = (struct engine_caps){ .hap = i != PV, .pv_ring3 = i == PV, .max_vcpus = 1 };
	}
	facts.n_builds = N_MODES;
}

static void expect_row(unsigned row, enum advise_state state, const char *engine, const char *reason)
{
	const struct advise_row *r = &advice.rows[row];

	assert_string_equal(r->mode, modes[row]);
	assert_int_equal(r->state, state);
	assert_string_equal(r->engine ? r->engine : "", engine);
	assert_non_null(strstr(r->reason, reason));
}

/* The order of modes, by taking away the best again and again. */
static void the_order(void **state)
{
	static const struct {
		enum kvm_kind kind;
		struct {
			int mode;
			const char *engine;
		} order[N_MODES];
	} cases[] = {
		{ KVM_HARDWARE,
		  { { PVH, "kvm" }, { PVHVM, "kvm" }, { KVM, "kvm" }, { PV_DRIVERS, "kvm" }, { HVM, "kvm" }, { PV, "kvm" } } },
		{ KVM_SOFTWARE,
		  { { PV, "kvm" }, { PVH, "bt" }, { PVHVM, "bt" }, { KVM, "bt" }, { PV_DRIVERS, "bt" }, { HVM, "bt" } } },
		{ KVM_NONE,
		  { { PVH, "bt" }, { PVHVM, "bt" }, { KVM, "bt" }, { PV_DRIVERS, "bt" }, { HVM, "bt" }, { PV, "bt" } } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make(cases[i].kind);
		for (size_t n = 0; n < N_MODES; n++) {
			advise(&facts, &advice);
			assert_non_null(advice.best);
			assert_string_equal(advice.best->mode, modes[cases[i].order[n].mode]);
			assert_string_equal(advice.best->engine, cases[i].order[n].engine);
			assert_string_not_equal(advice.why, "");
			snprintf(facts.builds[cases[i].order[n].mode].missing, 32, "some-plugin.so");
		}
		advise(&facts, &advice);
		assert_null(advice.best);
		assert_non_null(strstr(advice.why, "no mode can run here"));
	}
}

static void why_it_is_the_best(void **state)
{
	(void)state;
	make(KVM_HARDWARE);
	advise(&facts, &advice);
	assert_non_null(strstr(advice.why, "hardware virtualization (kvm on Intel VMX), and pvh is the latest"));
	facts.engines.kvm.works = false;
	snprintf(facts.engines.kvm.why, sizeof(facts.engines.kvm.why), "this build has no engine kvm");
	advise(&facts, &advice);
	assert_string_equal(advice.best->engine, "bt");
	assert_non_null(strstr(advice.why, "but this build has no engine kvm"));
	make(KVM_SOFTWARE);
	advise(&facts, &advice);
	assert_non_null(strstr(advice.why, "640 ns an instruction, but it runs ring 3 on the processor"));
	make(KVM_NONE);
	advise(&facts, &advice);
	assert_non_null(strstr(advice.why, "no hardware virtualization (there is no /dev/kvm)"));
	assert_non_null(strstr(advice.why, "this kernel and build"));
	facts.kernel.path = NULL;
	advise(&facts, &advice);
	assert_null(strstr(advice.why, "this kernel"));
}

/* On a software KVM, PV is the best only where engine kvm runs it. */
static void pv_on_bt_is_no_bargain(void **state)
{
	(void)state;
	make(KVM_SOFTWARE);
	facts.engines.kvm.caps.pv_ring3 = false;
	advise(&facts, &advice);
	expect_row(PV, ADVISE_YES, "bt", "the kernel has a PV entry");
	assert_string_equal(advice.best->mode, "pvh");
	facts.engines.bt.caps.pv_ring3 = false;
	advise(&facts, &advice);
	expect_row(PV, ADVISE_NO, "", "which does not run kernels in ring 3");
}

static void the_kernels_entries(void **state)
{
	static const struct {
		uint32_t entries;
		enum advise_state pc, pvh, pv;
	} cases[] = {
		{ 0, ADVISE_NO, ADVISE_NO, ADVISE_NO },
		{ IMAGE_MODE_DIRECT, ADVISE_YES, ADVISE_NO, ADVISE_NO },
		{ IMAGE_MODE_PVH, ADVISE_NO, ADVISE_YES, ADVISE_NO },
		{ IMAGE_MODE_PV, ADVISE_NO, ADVISE_NO, ADVISE_YES },
		{ ALL_ENTRIES, ADVISE_YES, ADVISE_YES, ADVISE_YES },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make(KVM_HARDWARE);
		facts.kernel.modes = cases[i].entries;
		advise(&facts, &advice);
		for (size_t n = 0; n < N_MODES; n++)
			assert_int_equal(advice.rows[n].state, n == PVH ? cases[i].pvh : n == PV ? cases[i].pv : cases[i].pc);
	}
	facts.kernel.modes = IMAGE_MODE_DIRECT;
	advise(&facts, &advice);
	expect_row(PVH, ADVISE_NO, "", "PHYS32_ENTRY");
	expect_row(PV, ADVISE_NO, "", "no 64-bit PV entry");
	assert_string_equal(advice.best->mode, "pvhvm");
}

/* Options count against a kernel when they are known to be off, and not before. */
static void the_kernels_options(void **state)
{
	(void)state;
	make(KVM_NONE);
	facts.kernel.options[CONFIG_KVM_GUEST] = OPTION_NO;
	facts.kernel.options[CONFIG_XEN_PVHVM] = OPTION_YES;
	facts.kernel.options[CONFIG_XEN_BLKDEV_FRONTEND] = OPTION_MODULE;
	advise(&facts, &advice);
	expect_row(KVM, ADVISE_NO, "", "built without CONFIG_KVM_GUEST");
	expect_row(PVHVM, ADVISE_YES, "bt", "");
	facts.kernel.options[CONFIG_XEN_PVHVM] = OPTION_NO;
	advise(&facts, &advice);
	expect_row(PVHVM, ADVISE_NO, "", "built without CONFIG_XEN_PVHVM");
	expect_row(HVM, ADVISE_YES, "bt", "");
}

/* The kernel's reason comes first: no later version of ours changes it. */
static void reasons_in_order(void **state)
{
	(void)state;
	make(KVM_NONE);
	snprintf(facts.builds[PVH].missing, sizeof(facts.builds[PVH].missing), "platform-pvh.so");
	snprintf(facts.builds[PVH].broken, sizeof(facts.builds[PVH].broken), "another ABI");
	facts.engines.bt.works = false;
	snprintf(facts.engines.bt.why, sizeof(facts.engines.bt.why), "the processor lacks fxsave");
	facts.kernel.modes = 0;
	advise(&facts, &advice);
	expect_row(PVH, ADVISE_NO, "", "the kernel has no PVH entry");
	facts.kernel.modes = ALL_ENTRIES;
	advise(&facts, &advice);
	expect_row(PVH, ADVISE_NOT_BUILT, "", "missing: platform-pvh.so");
	facts.builds[PVH].missing[0] = 0;
	advise(&facts, &advice);
	expect_row(PVH, ADVISE_NO, "", "another ABI");
	facts.builds[PVH].broken[0] = 0;
	advise(&facts, &advice);
	expect_row(PVH, ADVISE_NO, "", "the processor lacks fxsave");
	assert_null(advice.best);
}

static void no_kernel_and_no_network(void **state)
{
	(void)state;
	make(KVM_NONE);
	facts.kernel = (struct advise_kernel){ .path = NULL };
	snprintf(facts.builds[PVH].missing_net, sizeof(facts.builds[PVH].missing_net), "net-xen.so");
	advise(&facts, &advice);
	expect_row(PVH, ADVISE_YES, "bt", "for kernels with a PVH entry; without a network, for net-xen.so is missing");
	expect_row(HVM, ADVISE_YES, "bt", "for any system that boots on a PC");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_order),
		cmocka_unit_test(why_it_is_the_best),
		cmocka_unit_test(pv_on_bt_is_no_bargain),
		cmocka_unit_test(the_kernels_entries),
		cmocka_unit_test(the_kernels_options),
		cmocka_unit_test(reasons_in_order),
		cmocka_unit_test(no_kernel_and_no_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
