/* SPDX-License-Identifier: MIT */
/* What the parameters of KVM's modules say of its paging. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine/kvm/paging.h"

/* A sysfs with one parameter, or none. */
static struct engine_caps with(const char *module, const char *name, const char *value)
{
	char sys[] = "/tmp/gamut-paging-XXXXXX", path[3][128], file[192];
	struct engine_caps caps = { .paging = "left over" };
	FILE *f;

	assert_non_null(mkdtemp(sys));
	snprintf(path[0], sizeof(path[0]), "%s/module", sys);
	snprintf(path[1], sizeof(path[1]), "%s/module/%s", sys, module ? module : "");
	snprintf(path[2], sizeof(path[2]), "%s/module/%s/parameters", sys, module ? module : "");
	for (int i = 0; module && i < 3; i++)
		assert_int_equal(mkdir(path[i], 0700), 0);
	if (module) {
		snprintf(file, sizeof(file), "%s/%s", path[2], name);
		f = fopen(file, "w");
		assert_non_null(f);
		fputs(value, f);
		fclose(f);
	}
	kvm_paging(sys, &caps);
	if (module)
		unlink(file);
	for (int i = 2; module && i >= 0; i--)
		rmdir(path[i]);
	assert_int_equal(rmdir(sys), 0);
	return caps;
}

static void nested(void **state)
{
	static const char *const values[] = { "Y\n", "1\n" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct engine_caps intel = with("kvm_intel", "ept", values[i]), amd = with("kvm_amd", "npt", values[i]);

		assert_true(intel.hap && !intel.shadow && amd.hap && !amd.shadow);
		assert_non_null(strstr(intel.paging, "EPT"));
		assert_non_null(strstr(amd.paging, "NPT"));
	}
}

static void shadowed(void **state)
{
	static const char *const values[] = { "N\n", "0\n" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct engine_caps intel = with("kvm_intel", "ept", values[i]), amd = with("kvm_amd", "npt", values[i]);

		assert_true(!intel.hap && intel.shadow && !amd.hap && amd.shadow);
		assert_non_null(strstr(intel.paging, "kvm_intel.ept=0"));
		assert_non_null(strstr(amd.paging, "kvm_amd.npt=0"));
	}
}

/* Neither module, or one that says something else: nothing is known, and nothing refused. */
static void unknown(void **state)
{
	struct engine_caps none = with(NULL, NULL, NULL), odd = with("kvm_intel", "ept", "?\n");

	(void)state;
	assert_true(none.hap && none.shadow && odd.hap && odd.shadow);
	assert_null(none.paging);
	assert_null(odd.paging);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nested), cmocka_unit_test(shadowed), cmocka_unit_test(unknown) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
