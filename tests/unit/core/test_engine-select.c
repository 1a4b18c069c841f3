/* SPDX-License-Identifier: MIT */
/* Which engine runs a domain, from what the host has and the domain needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "engine-select.h"

static const struct engine_ops bt = { .name = "bt" }, kvm = { .name = "kvm" };

static const struct engine_needs pvh = { .mode = "pvh", .caps = { .hap = true, .max_vcpus = 1 } };
static const struct engine_needs pvh_smp = { .mode = "pvh", .caps = { .hap = true, .max_vcpus = 4 } };
static const struct engine_needs hvm = { .mode = "hvm", .caps = { .hap = true, .irqchip = true, .max_vcpus = 1 } };
static const struct engine_needs pv = { .mode = "pv", .caps = { .pv_ring3 = true, .max_vcpus = 1 } };

/* Words of a host, for the tables below. */
#define HARD   KVM_HARDWARE
#define SOFT   KVM_SOFTWARE
#define NONE   KVM_NONE
#define NO_PV  1u /* the engine kvm has no ring 3 */
#define NO_KVM 2u /* there is no engine kvm in this build */
#define BT_PV  4u /* the engine bt has ring 3 */
#define NO_BT  8u
#define BROKEN 16u /* the engine kvm says that it cannot */

static void make_host(struct engine_survey *s, enum kvm_kind kind, unsigned flags)
{
	static const char *const whys[] = { "there is no /dev/kvm", "/dev/kvm emulates ring 0: 640 ns an instruction",
		                            "kvm on AMD SVM" };

	memset(s, 0, sizeof(*s));
	s->kvm_probe.kind = kind;
	snprintf(s->kvm_probe.why, sizeof(s->kvm_probe.why), "%s", whys[kind]);
	s->kvm.ops = flags & NO_KVM ? NULL : &kvm;
	s->kvm.works = kind != NONE && !(flags & (NO_KVM | BROKEN));
	s->kvm.caps = (struct engine_caps){ .hap = true, .irqchip = true, .pv_ring3 = !(flags & NO_PV), .max_vcpus = 8 };
	snprintf(s->kvm.why, sizeof(s->kvm.why), "%s", flags & NO_KVM ? "this build has no engine kvm" : whys[kind]);
	if (flags & BROKEN)
		snprintf(s->kvm.why, sizeof(s->kvm.why), "this KVM lacks KVM_CAP_X");
	s->bt.ops = &bt;
	s->bt.works = !(flags & NO_BT);
	s->bt.caps = (struct engine_caps){ .hap = true, .pv_ring3 = flags & BT_PV, .max_vcpus = 1 };
	snprintf(s->bt.why, sizeof(s->bt.why), "the processor lacks fxsave");
}

static void what_auto_takes(void **state)
{
	static const struct {
		enum kvm_kind kind;
		unsigned flags;
		const struct engine_needs *needs;
		const char *engine; /* NULL: none */
		const char *why;
	} cases[] = {
		{ HARD, 0, &pvh, "kvm", "engine kvm (auto: kvm on AMD SVM)" },
		{ HARD, 0, &hvm, "kvm", "kvm on AMD SVM" },
		{ HARD, 0, &pv, "kvm", "kvm on AMD SVM" },
		{ HARD, NO_PV, &pv, "bt", "engine bt (auto: the engine kvm does not run kernels in ring 3)" },
		{ HARD, NO_KVM, &pvh, "bt", "engine bt (auto: this build has no engine kvm)" },
		{ HARD, BROKEN, &pvh, "bt", "engine bt (auto: this KVM lacks KVM_CAP_X)" },
		{ HARD, NO_BT, &pvh, "kvm", "kvm on AMD SVM" },
		{ HARD, 0, &pvh_smp, "kvm", "kvm on AMD SVM" },
		{ SOFT, 0, &pvh, "bt",
		  "engine bt (auto: /dev/kvm emulates ring 0: 640 ns an instruction, and mode pvh needs it)" },
		{ SOFT, NO_KVM, &pvh, "bt", "/dev/kvm emulates ring 0" },
		{ SOFT, 0, &hvm, "bt", "mode hvm needs it" },
		{ SOFT, 0, &pvh_smp, "bt", "mode pvh needs it" },
		{ SOFT, 0, &pv, "kvm",
		  "engine kvm (auto: /dev/kvm emulates ring 0: 640 ns an instruction, and mode pv does not need it)" },
		{ SOFT, BT_PV, &pv, "kvm", "mode pv does not need it" },
		{ SOFT, NO_PV | BT_PV, &pv, "bt", "the engine kvm does not run kernels in ring 3" },
		{ SOFT, NO_BT, &pvh, NULL, "no engine can run here: kvm: /dev/kvm emulates ring 0" },
		{ NONE, 0, &pvh, "bt", "engine bt (auto: there is no /dev/kvm)" },
		{ NONE, 0, &pv, "bt", "there is no /dev/kvm" },
		{ NONE, NO_BT, &pvh, NULL, "bt: the processor lacks fxsave" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct engine_survey host;
		struct engine_choice choice;

		make_host(&host, cases[i].kind, cases[i].flags);
		engine_decide(&host, CONF_ENGINE_AUTO, cases[i].needs, &choice);
		assert_string_equal(choice.ops ? choice.ops->name : "", cases[i].engine ? cases[i].engine : "");
		assert_non_null(strstr(choice.why, cases[i].why));
		assert_true(choice.by_auto);
		assert_false(choice.warn);
		if (choice.ops)
			assert_int_equal(choice.caps.max_vcpus, choice.ops == &kvm ? 8 : 1);
	}
}

static void what_a_setting_gets(void **state)
{
	static const struct {
		enum conf_engine want;
		enum kvm_kind kind;
		unsigned flags;
		const struct engine_needs *needs;
		const char *engine;  /* NULL: none */
		const char *instead; /* or NULL */
		bool warn;
		const char *why;
	} cases[] = {
		{ CONF_ENGINE_BT, NONE, 0, &pvh, "bt", NULL, false, "engine bt" },
		{ CONF_ENGINE_BT, HARD, 0, &pvh_smp, "bt", "kvm", false, "engine bt" },
		{ CONF_ENGINE_BT, SOFT, 0, &pvh_smp, "bt", NULL, false, "engine bt" },
		{ CONF_ENGINE_BT, SOFT, 0, &pv, "bt", "kvm", false, "engine bt" },
		{ CONF_ENGINE_BT, HARD, NO_BT, &pvh, NULL, NULL, false,
		  "engine bt cannot run here: the processor lacks fxsave; use engine = \"kvm\"" },
		{ CONF_ENGINE_BT, SOFT, NO_BT, &pvh, NULL, NULL, false, "lacks fxsave" },
		{ CONF_ENGINE_KVM, HARD, 0, &pvh, "kvm", NULL, false, "engine kvm" },
		{ CONF_ENGINE_KVM, SOFT, 0, &pvh, "kvm", NULL, true, "a stock kernel does not come up" },
		{ CONF_ENGINE_KVM, SOFT, 0, &pv, "kvm", NULL, false, "engine kvm" },
		{ CONF_ENGINE_KVM, SOFT, NO_PV | BT_PV, &pv, "kvm", "bt", false, "engine kvm" },
		{ CONF_ENGINE_KVM, HARD, NO_PV, &pv, "kvm", NULL, false, "engine kvm" },
		{ CONF_ENGINE_KVM, NONE, 0, &pvh, NULL, NULL, false,
		  "engine kvm cannot run here: there is no /dev/kvm; use engine = \"bt\"" },
		{ CONF_ENGINE_KVM, NONE, 0, &pvh_smp, NULL, NULL, false, "there is no /dev/kvm" },
		{ CONF_ENGINE_KVM, HARD, NO_KVM, &pvh, NULL, NULL, false, "this build has no engine kvm; use" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct engine_survey host;
		struct engine_choice choice;

		make_host(&host, cases[i].kind, cases[i].flags);
		engine_decide(&host, cases[i].want, cases[i].needs, &choice);
		assert_string_equal(choice.ops ? choice.ops->name : "", cases[i].engine ? cases[i].engine : "");
		assert_string_equal(choice.instead ? choice.instead : "", cases[i].instead ? cases[i].instead : "");
		assert_int_equal(choice.warn, cases[i].warn);
		assert_non_null(strstr(choice.why, cases[i].why));
		assert_false(choice.by_auto);
	}
}

/* No advice to use what would not work either. */
static void no_remedy_that_is_none(void **state)
{
	struct engine_survey host;
	struct engine_choice choice;

	(void)state;
	make_host(&host, NONE, 0);
	engine_decide(&host, CONF_ENGINE_KVM, &pvh_smp, &choice);
	assert_null(strstr(choice.why, "use engine"));
	make_host(&host, SOFT, NO_BT);
	engine_decide(&host, CONF_ENGINE_BT, &pvh, &choice);
	assert_null(strstr(choice.why, "use engine"));
}

static void names(void **state)
{
	(void)state;
	assert_int_equal(engine_from_name("auto"), CONF_ENGINE_AUTO);
	assert_int_equal(engine_from_name("bt"), CONF_ENGINE_BT);
	assert_int_equal(engine_from_name("kvm"), CONF_ENGINE_KVM);
	assert_int_equal(engine_from_name("KVM"), -1);
	assert_int_equal(engine_from_name(""), -1);
}

/* This program links no engine. */
static void a_build_without_engines(void **state)
{
	struct engine_choice choice;

	(void)state;
	assert_null(engine_select(CONF_ENGINE_AUTO, &pvh, &choice));
	assert_non_null(strstr(choice.why, "bt: this build has no engine bt"));
	assert_null(engine_select(CONF_ENGINE_BT, &pvh, &choice));
	assert_string_equal(choice.why, "engine bt cannot run here: this build has no engine bt");
	assert_null(engine_select(CONF_ENGINE_KVM, &pvh, &choice));
	assert_non_null(strstr(choice.why, "engine kvm cannot run here: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_auto_takes),
		cmocka_unit_test(what_a_setting_gets),
		cmocka_unit_test(no_remedy_that_is_none),
		cmocka_unit_test(names),
		cmocka_unit_test(a_build_without_engines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
