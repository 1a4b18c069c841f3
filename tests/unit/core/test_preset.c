/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "preset.h"

#define FAKE TEST_BUILD_DIR "/tests/abi/fake"

static const char *const dirs[] = {FAKE};

static int setup(void **state)
{
	static struct plugin_set set;

	*state = &set;
	return plugin_set_init_dirs(&set, dirs, 1);
}

static int teardown(void **state)
{
	plugin_set_finish(*state);
	return 0;
}

static const struct preset_wish all = {.mode_line = 1, .has_kernel = true, .has_disk = true, .has_net = true};

static void every_preset_obeys_the_rules(void **state)
{
	(void)state;
	assert_int_equal(n_presets, 6);
	for (size_t i = 0; i < n_presets; i++) {
		struct axis_choices choices;
		struct diag diag = {0};

		preset_apply(&presets[i], &all, &choices);
		assert_int_equal(preset_check_rules(&choices, "f", &diag), 0);
		for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
			assert_non_null(choices.axis[axis].choice);
		assert_ptr_equal(preset_find(presets[i].name), &presets[i]);
		diag_finish(&diag);
	}
	assert_null(preset_find("xen"));
}

static void overrides_and_absent_devices(void **state)
{
	struct preset_wish wish = {
	        .mode_line = 3, .override = {[GAMUT_AXIS_NET] = "vfio"}, .line = {[GAMUT_AXIS_NET] = 7}};
	struct axis_choices choices;

	(void)state;
	preset_apply(preset_find("pvh"), &wish, &choices);
	assert_string_equal(choices.axis[GAMUT_AXIS_DISK].choice, "none");
	assert_string_equal(choices.axis[GAMUT_AXIS_NET].choice, "vfio");
	assert_int_equal(choices.axis[GAMUT_AXIS_NET].line, 7);
	assert_int_equal(choices.axis[GAMUT_AXIS_MMU].line, 3);
	assert_true(preset_needs_kernel(&choices));
	preset_apply(preset_find("hvm"), &wish, &choices);
	assert_false(preset_needs_kernel(&choices));
}

/* clang-format off */
/* A preset with overrides, and what the refusal must say. */
static const struct {
	const char *preset;
	const char *override[GAMUT_AXIS_COUNT];
	const char *parts[4];
	unsigned line;
} illegal[] = {
	{ "hvm", { [GAMUT_AXIS_MMU] = "pv" },
	  { "mmu = \"pv\"", "platform = \"pc\" (of mode \"hvm\")", "ring 3", "use mmu = \"hap\"" }, 14 },
	{ "pvh", { [GAMUT_AXIS_MMU] = "pv" }, { "mmu = \"pv\"", "platform = \"pvh\"", "ring 3", "platform = \"pv\"" }, 14 },
	{ "pvh", { [GAMUT_AXIS_PLATFORM] = "pv" },
	  { "platform = \"pv\"", "mmu = \"hap\" (of mode \"pvh\")", "ring 3", "use mmu = \"pv\"" }, 13 },
	{ "pv", { [GAMUT_AXIS_MMU] = "shadow" }, { "platform = \"pv\"", "mmu = \"shadow\"", "hypercalls", "use" }, 14 },
	{ "pvh", { [GAMUT_AXIS_INTERRUPTS] = "apic" },
	  { "interrupts = \"apic\"", "disk = \"xen\" (of mode \"pvh\")", "by a vector", "use interrupts = \"xen\"" }, 12 },
	{ "pv", { [GAMUT_AXIS_INTERRUPTS] = "kvmclock" },
	  { "interrupts = \"kvmclock\"", "platform = \"pv\"", "ring 3", "use interrupts = \"xen\"" }, 12 },
	{ "pv", { [GAMUT_AXIS_CONSOLE] = "serial" },
	  { "console = \"serial\"", "platform = \"pv\"", "interrupt controller", "use console = \"xen\"" },
	  10 + GAMUT_AXIS_CONSOLE },
	{ "pvh", { [GAMUT_AXIS_DISK] = "ide" }, { "disk = \"ide\"", "platform = \"pvh\"", "chip set", "use disk" }, 10 },
	{ "pv", { [GAMUT_AXIS_DISK] = "virtio" }, { "disk = \"virtio\"", "platform = \"pv\"", "PCI", "use disk" }, 10 },
	{ "pvh", { [GAMUT_AXIS_NET] = "rtl8139" }, { "net = \"rtl8139\"", "platform", "PCI", "use net" }, 11 },
	{ "pvh", { [GAMUT_AXIS_CONSOLE] = "vga" }, { "console = \"vga\"", "platform = \"pvh\"", "PC", "use console" },
	  10 + GAMUT_AXIS_CONSOLE },
	{ "kvm", { [GAMUT_AXIS_DISK] = "xen" }, { "disk = \"xen\"", "interrupts = \"kvmclock\"", "KVM", "use disk" }, 10 },
	{ "pvhvm", { [GAMUT_AXIS_INTERRUPTS] = "kvmclock" }, { "disk = \"xen\"", "kvmclock", "KVM", "virtio" }, 12 },
	{ "pvh", { [GAMUT_AXIS_PLATFORM] = "none" }, { "axes.platform", "no domain", "pvh", "use" }, 13 },
};
/* clang-format on */

static void illegal_combinations_name_both_settings(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(illegal) / sizeof(illegal[0]); i++) {
		struct preset_wish wish = all;
		struct axis_choices choices;
		struct diag diag = {0};

		for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
			wish.override[axis] = illegal[i].override[axis];
			wish.line[axis] = 10 + (unsigned)axis;
		}
		preset_apply(preset_find(illegal[i].preset), &wish, &choices);
		assert_int_equal(preset_check_rules(&choices, "f", &diag), -1);
		for (int j = 0; j < 4; j++)
			if (!strstr(diag.entries[0].text, illegal[i].parts[j]))
				fail_msg("case %zu: no \"%s\" in \"%s\"", i, illegal[i].parts[j],
				         diag.entries[0].text);
		assert_int_equal(diag.entries[0].line, illegal[i].line);
		diag_finish(&diag);
	}
}

/* clang-format off */
/* A device in the place of its axis' choice. */
static const struct {
	const char *preset, *interrupts;
	enum gamut_axis axis;
	const char *type, *wrong; /* wrong: NULL when it can work */
} devices[] = {
	{ "hvm", "apic", GAMUT_AXIS_DISK, "xen", NULL },
	{ "hvm", "apic", GAMUT_AXIS_NET, "virtio", NULL },
	{ "pvh", "xen", GAMUT_AXIS_DISK, "virtio", NULL },
	{ "pvh", "xen", GAMUT_AXIS_DISK, "ide", "disk = \"ide\" cannot work with platform = \"pvh\"" },
	{ "pvh", "xen", GAMUT_AXIS_NET, "e1000", "net = \"e1000\" cannot work with platform = \"pvh\"" },
	{ "pv", "xen", GAMUT_AXIS_DISK, "virtio", "disk = \"virtio\" cannot work with platform = \"pv\"" },
	{ "kvm", "kvmclock", GAMUT_AXIS_NET, "xen", "net = \"xen\" cannot work with interrupts = \"kvmclock\"" },
	{ "pv", "xen", GAMUT_AXIS_CONSOLE, "serial", "console = \"serial\" cannot work with platform = \"pv\"" },
};
/* clang-format on */

static void devices_are_judged_in_their_axis_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		const struct device_choice device = {
		        devices[i].axis, 1, {.choice = devices[i].type, .line = 9, .overridden = true, .where = "disks[1].type"}};
		struct preset_wish wish = all;
		struct axis_choices choices;
		struct diag diag = {0};

		wish.devices = &device;
		wish.n_devices = 1;
		preset_apply(preset_find(devices[i].preset), &wish, &choices);
		assert_string_equal(choices.axis[GAMUT_AXIS_INTERRUPTS].choice, devices[i].interrupts);
		assert_int_equal(preset_check_rules(&choices, "f", &diag), devices[i].wrong ? -1 : 0);
		assert_int_equal(preset_rules_hold(&choices), !devices[i].wrong);
		assert_int_equal(diag.n, devices[i].wrong ? 1 : 0);
		if (devices[i].wrong) {
			assert_non_null(strstr(diag.entries[0].text, devices[i].wrong));
			assert_int_equal(strncmp(diag.entries[0].text, "disks[1].type: ", 15), 0);
			assert_int_equal(diag.entries[0].line, 9);
		}
		diag_finish(&diag);
	}
}

/* A platform without a chip set, and not Xen's. */
static void a_bare_platform_goes_with_virtio(void **state)
{
	static const char *const interrupts[] = { "kvmclock", "apic", "xen" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct preset_wish wish = { .has_kernel = true, .has_disk = true, .has_net = true };
		struct axis_choices choices;
		struct diag diag = {0};

		wish.override[GAMUT_AXIS_INTERRUPTS] = interrupts[i];
		wish.override[GAMUT_AXIS_DISK] = wish.override[GAMUT_AXIS_NET] = "virtio";
		wish.override[GAMUT_AXIS_CONSOLE] = "serial";
		preset_apply(preset_find("pvh"), &wish, &choices);
		if (preset_check_rules(&choices, "f", &diag))
			fail_msg("%s: %s", interrupts[i], diag.entries[0].text);
		diag_finish(&diag);
	}
}

static void missing_plugins_are_named_with_what_is_there(void **state)
{
	struct axis_choices choices;
	struct diag diag = {0};

	preset_apply(preset_find("hvm"), &all, &choices);
	assert_int_equal(preset_load(&choices, &all, *state, "f", &diag), -1);
	assert_int_equal(diag.n, 1);
	assert_int_equal(diag.entries[0].line, 1);
	assert_non_null(
	        strstr(diag.entries[0].text, "disk-ide.so, net-e1000.so, intr-apic.so, platform-pc.so"));
	assert_null(strstr(diag.entries[0].text, "mmu-hap"));
	assert_non_null(strstr(diag.entries[0].text, "modes that are: pvh"));
	diag_finish(&diag);
}

static void needs_are_matched_with_gives(void **state)
{
	struct preset_wish wish = all;
	struct axis_choices choices;
	struct diag diag = {0};

	preset_apply(preset_find("pvh"), &wish, &choices);
	assert_int_equal(preset_load(&choices, &wish, *state, "f", &diag), 0);
	assert_int_equal(preset_check_needs(&choices, *state, "f", &diag), 0);

	wish.override[GAMUT_AXIS_INTERRUPTS] = "quiet";
	preset_apply(preset_find("pvh"), &wish, &choices);
	assert_int_equal(preset_check_rules(&choices, "f", &diag), 0);
	assert_int_equal(preset_load(&choices, &wish, *state, "f", &diag), 0);
	assert_int_equal(diag.n, 0);
	assert_int_equal(preset_check_needs(&choices, *state, "f", &diag), -1);
	assert_int_equal(diag.n, 2); /* disk and console */
	assert_non_null(strstr(diag.entries[0].text, "disk = \"xen\" needs \"event-channels\""));
	assert_non_null(strstr(diag.entries[0].text, "it comes with interrupts = \"xen\""));
	diag_finish(&diag);
}

static void auto_takes_what_can_work(void **state)
{
	struct preset_wish wish = all;
	char why[1024], available[64];

	assert_ptr_equal(preset_auto(*state, &wish, why, sizeof(why)), preset_find("pvh"));
	assert_non_null(strstr(why, "only mode"));
	preset_available(*state, &wish, available, sizeof(available));
	assert_string_equal(available, "pvh");

	wish.has_kernel = false;
	assert_null(preset_auto(*state, &wish, why, sizeof(why)));
	assert_non_null(strstr(why, "pvh boots a kernel directly"));
	assert_non_null(strstr(why, "hvm lacks disk-ide.so, net-e1000.so"));
}

/* hvm-pv-drivers and pvhvm come within reach when the overrides name what is there. */
static void auto_compares_scores(void **state)
{
	struct preset_wish wish = all;
	char why[1024];

	wish.override[GAMUT_AXIS_PLATFORM] = "pvh";
	wish.override[GAMUT_AXIS_CONSOLE] = "none";
	assert_non_null(preset_auto(*state, &wish, why, sizeof(why)));
	assert_non_null(strstr(why, "best of those"));
	wish.override[GAMUT_AXIS_INTERRUPTS] = "quiet";
	wish.has_disk = false;
	assert_non_null(preset_auto(*state, &wish, why, sizeof(why)));
	assert_non_null(strstr(why, "score 61"));
}

static void engine_needs_by_word(void **state)
{
	static const char *const words[] = {"engine:hap", "engine:shadow", "engine:pv-ring3", "engine:irqchip"};
	struct engine_caps caps = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		bool *cap = preset_engine_cap(&caps, words[i]);

		assert_non_null(cap);
		assert_false(*cap);
		*cap = true;
	}
	assert_true(caps.hap && caps.shadow && caps.pv_ring3 && caps.irqchip);
	assert_null(preset_engine_cap(&caps, "engine:warp"));
	assert_null(preset_engine_cap(&caps, "hap"));
	assert_null(preset_engine_cap(&caps, "event-channels"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	        T(every_preset_obeys_the_rules),
	        T(overrides_and_absent_devices),
	        T(illegal_combinations_name_both_settings),
	        T(devices_are_judged_in_their_axis_place),
	        T(a_bare_platform_goes_with_virtio),
	        T(missing_plugins_are_named_with_what_is_there),
	        T(needs_are_matched_with_gives),
	        T(engine_needs_by_word),
	        T(auto_takes_what_can_work),
	        T(auto_compares_scores),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
