/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "option.h"
#include "plugin.h"

#define FAKE TEST_BUILD_DIR "/tests/abi/fake"
#define BAD  TEST_BUILD_DIR "/tests/abi/bad"

static const char *const dirs[] = {"/nonexistent", FAKE, BAD};

static int setup(void **state)
{
	static struct plugin_set set;

	*state = &set;
	return plugin_set_init_dirs(&set, dirs, 3);
}

static int teardown(void **state)
{
	plugin_set_finish(*state);
	return 0;
}

static void finds_and_loads_once(void **state)
{
	struct plugin_set *set = *state;
	const struct plugin *plugin, *again;
	char err[512];
	const struct gamut_descriptor *d =
	        plugin_find(set, GAMUT_AXIS_DISK, "xen", &plugin, err, sizeof(err));

	assert_non_null(d);
	assert_string_equal(d->choice, "xen");
	assert_int_equal(d->n_options, 6);
	assert_string_equal(plugin->info.name, "disk-xen");
	assert_int_equal(set->n_plugins, 1);
	assert_ptr_equal(plugin_find(set, GAMUT_AXIS_DISK, "xen", &again, err, sizeof(err)), d);
	assert_ptr_equal(plugin, again);
	assert_int_equal(set->n_plugins, 1);
}

static void axis_prefixes_name_the_files(void **state)
{
	struct plugin_set *set = *state;

	assert_true(plugin_exists(set, GAMUT_AXIS_INTERRUPTS, "xen"));
	assert_true(plugin_exists(set, GAMUT_AXIS_PLATFORM, "pvh"));
	assert_true(plugin_exists(set, GAMUT_AXIS_MMU, "hap"));
	assert_true(plugin_exists(set, GAMUT_AXIS_CONSOLE, "xen"));
	assert_false(plugin_exists(set, GAMUT_AXIS_MMU, "xen"));
	assert_false(plugin_exists(set, GAMUT_AXIS_DISK, "../fake/disk-xen"));
	assert_int_equal(set->n_plugins, 0);
}

static void missing_names_files_folders_and_near_misses(void **state)
{
	char err[1024];

	assert_null(plugin_find(*state, GAMUT_AXIS_DISK, "xem", NULL, err, sizeof(err)));
	assert_non_null(strstr(err, "disk-xem.so"));
	assert_non_null(strstr(err, FAKE));
	assert_non_null(strstr(err, "did you mean \"xen\"?"));
	assert_non_null(strstr(err, "Installed for disk:"));
	assert_null(plugin_find(*state, GAMUT_AXIS_MMU, "shadow", NULL, err, sizeof(err)));
	assert_non_null(strstr(err, "installed for mmu: hap"));
	/* A short buffer is cut, not overrun. */
	assert_null(plugin_find(*state, GAMUT_AXIS_DISK, "xem", NULL, err, 10));
	assert_int_equal(strlen(err), 9);
}

static void refused(struct plugin_set *set, const char *choice, const char *part)
{
	char err[1024];

	assert_null(plugin_find(set, GAMUT_AXIS_DISK, choice, NULL, err, sizeof(err)));
	if (!strstr(err, part) || strchr(err, '\n') || !strstr(err, choice))
		fail_msg("%s: \"%s\" is not in \"%s\"", choice, part, err);
	assert_int_equal(set->n_plugins, 0);
}

static void bad_plugins_are_refused_with_one_line(void **state)
{
	refused(*state, "other-major", "ABI 2.7, and this is ABI 1.0");
	refused(*state, "no-symbol", "exports no symbol gamut_plugin");
	refused(*state, "wrong-magic", "0x12345678");
	refused(*state, "bad-signature", "build signature");
	refused(*state, "truncated", "ABI 1.0 has");
	refused(*state, "undefined", "undefined symbol: core_");
	refused(*state, "many-faults", "has no version");
}

static void not_a_shared_object(void **state)
{
	char err[512], path[] = "/tmp/gamut-test-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_null(plugin_open(path, err, sizeof(err)));
	assert_non_null(strstr(err, "cannot be loaded"));
	assert_int_equal(write(fd, "rubbish, and more of it\n", 24), 24);
	assert_null(plugin_open(path, err, sizeof(err)));
	assert_non_null(strstr(err, path));
	assert_null(strstr(strstr(err, path) + 1, path));
	close(fd);
	unlink(path);
	assert_null(plugin_open(path, err, sizeof(err)));
	assert_null(plugin_open("/tmp", err, sizeof(err)));
}

static void fails_in_create_is_valid_until_then(void **state)
{
	char err[512];

	assert_non_null(plugin_find(*state, GAMUT_AXIS_DISK, "fails-in-create", NULL, err, sizeof(err)));
}

/* Longer structs of a later minor: strides are the plugin's, copies are ours. */
static void later_minor_is_clamped(void **state)
{
	char err[512];
	const struct gamut_descriptor *d =
	        plugin_find(*state, GAMUT_AXIS_DISK, "future", NULL, err, sizeof(err));
	const char *str;
	int64_t num;

	assert_non_null(d);
	assert_int_equal(d->n_options, 2);
	assert_string_equal(d->options[1].name, "depth");
	assert_true(option_default(&d->options[1], &num, &str));
	assert_int_equal(num, 7);
	assert_non_null(d->ops->destroy);
	assert_non_null(d->needs);
	assert_null(d->needs[0]);
	assert_null(d->gives[0]);
}

/* A struct of exactly the size of 1.0 next to bytes that are not its own. */
static void size_decides_what_is_read(void **state)
{
	static const struct gamut_ops ops = {.size = sizeof(ops)};
	static const struct gamut_descriptor desc = {.size = offsetof(struct gamut_descriptor, ops),
	                                             .ops = &ops,
	                                             .choice = "short",
	                                             .description = "short"};
	static const struct gamut_descriptor *const descs[] = {&desc};
	const struct gamut_plugin plugin = {GAMUT_PLUGIN_HEADER, .name = "x",        .version = "1",
	                                    .licence = "MIT",    .n_descriptors = 1, .descriptors = descs};
	struct diag diag = {0};

	(void)state;
	assert_int_equal(plugin_validate(&plugin, "x.so", false, &diag), -1);
	assert_int_equal(diag.n, 1);
	assert_non_null(strstr(diag.entries[0].text, "too short"));
	diag_finish(&diag);
}

static bool says(const struct diag *diag, const char *part)
{
	for (size_t i = 0; i < diag->n; i++)
		if (strstr(diag->entries[i].text, part))
			return true;
	return false;
}

static void check_says(const char *file, const char *const *parts, size_t n)
{
	struct diag diag = {0};

	assert_int_equal(plugin_check(file, &diag), n ? -1 : 0);
	for (size_t i = 0; i < n; i++)
		if (!says(&diag, parts[i])) {
			diag_print(&diag, stderr, "");
			fail_msg("%s: nothing said of \"%s\"", file, parts[i]);
		}
	if (n == 0)
		assert_int_equal(diag.n, 0);
	diag_finish(&diag);
}

#define CHECK_SAYS(file, ...)                                                                                \
	do {                                                                                                 \
		const char *const parts_[] = {__VA_ARGS__};                                                  \
		check_says(file, parts_, sizeof(parts_) / sizeof(parts_[0]));                                \
	} while (0)

static void check_names_everything(void **state)
{
	(void)state;
	check_says(FAKE "/disk-xen.so", NULL, 0);
	check_says(FAKE "/disk-future.so", NULL, 0);
	CHECK_SAYS(BAD "/disk-reserved-key.so", "reserved-key: option \"type\" cannot be given");
	CHECK_SAYS(BAD "/disk-undefined.so", "undefined symbol core_secret",
	           "undefined symbol core_other_secret");
	CHECK_SAYS(BAD "/disk-extra-export.so", "exports leaked_function");
	CHECK_SAYS(BAD "/disk-no-symbol.so", "exports no symbol gamut_plugin", "exports something_else");
	CHECK_SAYS(BAD "/disk-other-major.so", "ABI 2.7");
	CHECK_SAYS(BAD "/disk-truncated.so", "ABI 1.0 has");
	CHECK_SAYS(BAD "/disk-many-faults.so", "has no version", "has no licence", "axis 6", "colour 3",
	           "many-faults: has no description", "empty word in needs",
	           "\"65\" is not an integer from 1 to 64", "empty range", "no choices", "type 99",
	           "option \"depth\" is there twice", "no help text", "ops->destroy is missing",
	           "descriptor 1: its choice is no word", "third: its struct gamut_ops", "third: has no ops",
	           "third: is there twice", "descriptor 4 is missing or too short",
	           "descriptor 5 is missing");
	CHECK_SAYS("/nonexistent.so", "No such file");
	CHECK_SAYS("/tmp", "no regular file");
	CHECK_SAYS(TEST_SOURCE_DIR "/CMakeLists.txt", "no ELF file");
}

static void check_wants_the_files_name(void **state)
{
	char dir[] = "/tmp/gamut-test-XXXXXX", link[64], copy[64], cmd[512];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(link, sizeof(link), "%s/disk-other.so", dir);
	snprintf(copy, sizeof(copy), "%s/disk-copy.so", dir);
	assert_int_equal(symlink(FAKE "/disk-xen.so", link), 0);
	check_says(link, NULL, 0);
	snprintf(cmd, sizeof(cmd), "cp %s %s", FAKE "/disk-xen.so", copy);
	assert_int_equal(system(cmd), 0);
	CHECK_SAYS(copy, "should be called disk-xen.so");
	unlink(link);
	unlink(copy);
	rmdir(dir);
}

static void files_are_sorted_and_earlier_folders_hide(void **state)
{
	static const char *const twice[] = {FAKE, FAKE};
	struct plugin_set set;
	char **files;
	int n, once;

	once = plugin_files(*state, &files);
	assert_true(once > 10);
	for (int i = 1; i < once; i++)
		assert_true(strcmp(strrchr(files[i - 1], '/'), strrchr(files[i], '/')) < 0);
	plugin_files_free(files, once);
	assert_int_equal(plugin_set_init_dirs(&set, twice, 1), 0);
	n = plugin_files(&set, &files);
	plugin_files_free(files, n);
	plugin_set_finish(&set);
	assert_int_equal(plugin_set_init_dirs(&set, twice, 2), 0);
	assert_int_equal(plugin_files(&set, &files), n);
	plugin_files_free(files, n);
	plugin_set_finish(&set);
}

static void path_comes_from_the_environment_first(void **state)
{
	struct plugin_set set;

	(void)state;
	setenv("GAMUT_PLUGIN_PATH", "/one::/two", 1);
	assert_int_equal(plugin_set_init(&set), 0);
	assert_int_equal(set.n_dirs, 4);
	assert_string_equal(set.dirs[0], "/one");
	assert_string_equal(set.dirs[1], "/two");
	assert_string_equal(set.dirs[2], TEST_BUILD_DIR "/tests/plugins");
	plugin_set_finish(&set);
	unsetenv("GAMUT_PLUGIN_PATH");
	assert_int_equal(plugin_set_init(&set), 0);
	assert_int_equal(set.n_dirs, 2);
	plugin_set_finish(&set);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	        T(finds_and_loads_once),
	        T(axis_prefixes_name_the_files),
	        T(missing_names_files_folders_and_near_misses),
	        T(bad_plugins_are_refused_with_one_line),
	        T(not_a_shared_object),
	        T(fails_in_create_is_valid_until_then),
	        T(later_minor_is_clamped),
	        T(size_decides_what_is_read),
	        T(check_names_everything),
	        T(check_wants_the_files_name),
	        T(files_are_sorted_and_earlier_folders_hide),
	        T(path_comes_from_the_environment_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
