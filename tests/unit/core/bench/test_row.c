/* SPDX-License-Identifier: MIT */
/* What rows become: domain files and QEMU's command lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bench/row.h"

static struct plan plan;
static struct plan_mode mode;
static struct plan_workload workload;
static struct rows rows;
static config_t cfg;

static int setup(void **state)
{
	(void)state;
	memset(&plan, 0, sizeof(plan));
	plan.memory = 128;
	plan.vcpus = 2;
	mode = (struct plan_mode){ .name = "m" };
	workload = (struct plan_workload){ .name = "w", .kernel = (char *)(uintptr_t)"/k", .cmdline = "do=\"a \\\"b\\\"\"",
		                           .linux_guest = true };
	rows = (struct rows){ .disk = (char *)(uintptr_t)"/tmp/a \"disk\"", .qemu = "qemu-system-x86_64" };
	config_init(&cfg);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	config_destroy(&cfg);
	return 0;
}

static void write_it(const char *preset)
{
	struct row row = { .kind = ROW_GAMUT, .mode = &mode, .engine = "bt" };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	mode.preset = preset_find(preset);
	assert_non_null(mode.preset);
	assert_int_equal(row_write_domain(&rows, &row, &plan, &workload, out), 0);
	fclose(out);
	config_destroy(&cfg);
	config_init(&cfg);
	if (!config_read_string(&cfg, text))
		fail_msg("%s in: %s", config_error_text(&cfg), text);
	free(text);
}

static const char *word(const char *path)
{
	const char *value = NULL;

	config_lookup_string(&cfg, path, &value);
	return value ? value : "";
}

static void presets_have_their_devices(void **state)
{
	static const struct {
		const char *preset, *dev, *cmdline;
	} modes[] = {
		{ "hvm", "hda", "console=ttyS0 quiet do=\"a \\\"b\\\"\"" },
		{ "kvm", "vda", "console=ttyS0 quiet do=\"a \\\"b\\\"\"" },
		{ "pvhvm", "xvda", "console=ttyS0 quiet do=\"a \\\"b\\\"\"" },
		{ "pv", "xvda", "console=hvc0 quiet do=\"a \\\"b\\\"\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		write_it(modes[i].preset);
		assert_string_equal(word("mode"), modes[i].preset);
		assert_string_equal(word("engine"), "bt");
		assert_string_equal(word("disks.[0].dev"), modes[i].dev);
		assert_string_equal(word("disks.[0].path"), "/tmp/a \"disk\"");
		assert_string_equal(word("nics.[0].backend"), "user");
		assert_string_equal(word("boot.cmdline"), modes[i].cmdline);
		assert_string_equal(word("boot.kernel"), "/k");
		assert_string_equal(word("on_reboot"), "destroy");
	}
}

static void a_mode_can_change_its_preset(void **state)
{
	config_t source;
	int value = 0;

	(void)state;
	config_init(&source);
	assert_true(config_read_string(&source, "o = { platform = { boot = \"bios\"; l = ( 1, { a = true; } ); }; };"));
	mode.axis[GAMUT_AXIS_DISK] = "virtio";
	mode.axis[GAMUT_AXIS_NET] = CHOICE_NONE;
	mode.axis[GAMUT_AXIS_CONSOLE] = "serial";
	mode.memory = 64;
	mode.vcpus = 1;
	mode.cmdline = "more words";
	mode.options = config_lookup(&source, "o");
	workload.linux_guest = false;
	workload.peer = true;
	rows.peer_port = 77;
	write_it("pvh");
	assert_string_equal(word("axes.disk"), "virtio");
	assert_string_equal(word("disks.[0].dev"), "vda");
	assert_null(config_lookup(&cfg, "nics"));
	assert_string_equal(word("boot.cmdline"), "do=\"a \\\"b\\\"\" bench_peer=10.0.2.2:77 more words");
	assert_string_equal(word("options.platform.boot"), "bios");
	assert_true(config_lookup_bool(&cfg, "options.platform.l.[1].a", &value) && value);
	assert_true(config_lookup_int(&cfg, "memory", &value) && value == 64);
	assert_true(config_lookup_int(&cfg, "vcpus", &value) && value == 1);
	/* A workload has as many as it takes. */
	workload.vcpus = 2;
	write_it("pvh");
	assert_true(config_lookup_int(&cfg, "vcpus", &value) && value == 2);
	config_destroy(&source);
}

static bool has(const json_t *argv, const char *text)
{
	for (size_t i = 0; i < json_array_size(argv); i++) {
		if (!strcmp(json_string_value(json_array_get(argv, i)), text))
			return true;
	}
	return false;
}

static void peers(void **state)
{
	struct plan_peer peer = { .name = "qemu-tcg", .kind = PEER_QEMU_TCG };
	struct row row = { .kind = ROW_QEMU, .peer = &peer };
	json_t *argv = row_qemu_command(&rows, &row, &plan, &workload), *axes;

	(void)state;
	assert_true(has(argv, "tcg") && has(argv, "pc") && has(argv, "max") && has(argv, "128") && has(argv, "2"));
	assert_true(has(argv, "/k") && !has(argv, "-initrd"));
	assert_true(has(argv, "virtio-blk-pci,drive=disk") && has(argv, "console=ttyS0 quiet do=\"a \\\"b\\\"\""));
	json_decref(argv);
	peer.kind = PEER_QEMU_KVM;
	peer.microvm = true;
	workload.ramdisk = (char *)(uintptr_t)"/r";
	argv = row_qemu_command(&rows, &row, &plan, &workload);
	assert_true(has(argv, "kvm") && has(argv, "microvm") && has(argv, "host") && has(argv, "/r"));
	assert_true(has(argv, "virtio-blk-device,drive=disk"));
	json_decref(argv);
	axes = row_qemu_axes(&row);
	assert_int_equal(json_object_size(axes), GAMUT_AXIS_COUNT);
	json_decref(axes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(presets_have_their_devices, setup, teardown),
		cmocka_unit_test_setup_teardown(a_mode_can_change_its_preset, setup, teardown),
		cmocka_unit_test_setup_teardown(peers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
