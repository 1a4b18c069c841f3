/* SPDX-License-Identifier: MIT */
/*
 * The plugin ABI is as it was frozen. A failure here means that plugins which
 * exist would read the wrong bytes, or that something new is not frozen yet:
 * then run tests/abi/freeze, which adds it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "gamut/host.h"
#include "gamut/irq.h"
#include "gamut/pc.h"
#include "gamut/power.h"
#include "gamut/slots.h"
#include "gamut/pci.h"
#include "gamut/plugin.h"
#include "gamut/pv.h"
#include "gamut/xen.h"

#include "frozen.h"

struct frozen {
	const char *what;
	size_t now, frozen;
};

#define SIZE(type, number) {#type, sizeof(struct type), number}
#define AT(type, member, number) {#type "." #member, offsetof(struct type, member), number}
#define VALUE(name, number) {#name, (size_t)(name), number}

static const struct frozen layout[] = {FROZEN_LAYOUT};
static const struct frozen values[] = {FROZEN_VALUES};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void check(const struct frozen *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (f[i].now != f[i].frozen)
			fail_msg("%s is %zu, and was frozen at %zu", f[i].what, f[i].now, f[i].frozen);
}

static void layouts(void **state)
{
	(void)state;
	check(layout, COUNT(layout));
}

static void constants(void **state)
{
	(void)state;
	check(values, COUNT(values));
	assert_string_equal(GAMUT_PLUGIN_SYMBOL, "gamut_plugin");
	assert_string_equal(GAMUT_EVENT_CHANNELS, "event-channels");
	assert_string_equal(GAMUT_GRANTS, "grants");
	assert_string_equal(GAMUT_XENBUS, "xenbus");
	assert_string_equal(GAMUT_IRQ_LINES, "irq-lines");
	assert_string_equal(GAMUT_PCI_BUS, "pci-bus");
	assert_string_equal(GAMUT_SERIAL_PORTS, "serial-ports");
	assert_string_equal(GAMUT_TEXT_SCREEN, "text-screen");
	assert_string_equal(GAMUT_KEYBOARD, "keyboard");
	assert_string_equal(GAMUT_FIRMWARE_CONFIG, "firmware-config");
}

/* What goes over the boundary between two versions starts with its size. */
static void sized_structs_start_with_their_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(layout); i++) {
		const char *dot = strchr(layout[i].what, '.');

		if (dot && strcmp(dot, ".size") == 0 && strcmp(layout[i].what, "gamut_plugin.size") != 0 &&
		    strcmp(layout[i].what, "gamut_mem_range.size") != 0 &&
		    strcmp(layout[i].what, "gamut_pci_bar.size") != 0)
			assert_int_equal(layout[i].now, 0);
	}
}

static bool is_frozen(const char *name)
{
	for (size_t i = 0; i < COUNT(layout); i++)
		if (strcmp(layout[i].what, name) == 0)
			return true;
	return false;
}

static void check_header(const char *file)
{
	char path[512], line[256], name[64], brace;
	FILE *f;

	snprintf(path, sizeof(path), TEST_SOURCE_DIR "/plugin-api/gamut/%s", file);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "struct %63s %c", name, &brace) == 2 && brace == '{' && !is_frozen(name))
			fail_msg("%s: struct %s is not frozen; run tests/abi/freeze", file, name);
	fclose(f);
}

static void every_struct_is_frozen(void **state)
{
	DIR *dir = opendir(TEST_SOURCE_DIR "/plugin-api/gamut");
	struct dirent *e;

	(void)state;
	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL)
		if (strstr(e->d_name, ".h"))
			check_header(e->d_name);
	closedir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(layouts),
	        cmocka_unit_test(constants),
	        cmocka_unit_test(sized_structs_start_with_their_size),
	        cmocka_unit_test(every_struct_is_frozen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
