/* SPDX-License-Identifier: MIT */
/* Plans: what is read, and what every mistake is answered with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bench/plan.h"

/* libconfig 1.5 leaks a string that stands where its grammar wants none; that is not for us to fix. */
GAMUT_EXPORT const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\n";
}

static char dir[64], file[96];
static struct plan plan;
static struct diag diag;
static struct plan_options options;
static bool loaded;

static void make_file(const char *name, const char *text)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/gamut-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/plan.cfg", dir);
	make_file("probe", "x");
	make_file("vmlinuz", "x");
	make_file("initramfs.img", "x");
	make_file("xen.csv", "row,workload,name,unit,value\n");
	options = (struct plan_options){ .quick = false };
	return 0;
}

static void forget(void)
{
	if (loaded)
		plan_finish(&plan);
	loaded = false;
	diag_finish(&diag);
}

static int teardown(void **state)
{
	char cmd[96];

	(void)state;
	forget();
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static int load(const char *text)
{
	forget();
	diag_init(&diag);
	make_file("plan.cfg", text);
	loaded = true;
	return plan_load(&plan, file, &options, &diag);
}

static void good(const char *text)
{
	if (load(text)) {
		diag_print(&diag, stderr, "");
		fail_msg("refused: %s", text);
	}
}

#define GUESTS "guests = \".\";\n"

static void whole_plan(void **state)
{
	(void)state;
	good(GUESTS "modes = ( \"pvh\", { mode = \"pvh\"; name = \"mixed\"; axes = { disk = \"virtio\"; }; engines = [ \"kvm\" ];\n"
	            "memory = 64; options = { platform = { }; }; }, { mode = \"hvm\"; axes = { mmu = \"shadow\"; }; } );\n"
	            "engines = ( \"bt\" ); workloads = ( \"probe\", { name = \"mine\"; kernel = \"vmlinuz\"; repetitions = 2; } );\n"
	            "peers = ( \"qemu-tcg\", { name = \"xen\"; csv = \"xen.csv\"; },\n"
	            "{ name = \"fast\"; qemu = \"qemu-tcg\"; machine = \"microvm\"; } );\n"
	            "repetitions = 7; warmup = 2; memory = 128; vcpus = 2; timeout = 9; quick = { repetitions = 1; };");
	assert_int_equal(plan.n_modes, 3);
	assert_string_equal(plan.modes[0].name, "pvh");
	assert_true(plan.modes[0].plain);
	assert_string_equal(plan.modes[1].name, "mixed");
	assert_string_equal(plan.modes[1].axis[GAMUT_AXIS_DISK], "virtio");
	assert_string_equal(plan.modes[1].engines[0], "kvm");
	assert_int_equal(plan.modes[1].memory, 64);
	assert_non_null(plan.modes[1].options);
	assert_string_equal(plan.modes[2].name, "hvm+mmu=shadow");
	assert_int_equal(plan.n_engines, 1);
	assert_int_equal(plan.n_workloads, 2);
	assert_int_equal(plan.workloads[0].repetitions, 7);
	assert_int_equal(plan.workloads[0].warmup, 2);
	assert_int_equal(plan.workloads[0].timeout, 9);
	assert_int_equal(plan.workloads[1].repetitions, 2);
	assert_int_equal(plan.n_peers, 3);
	assert_int_equal(plan.peers[1].kind, PEER_CSV);
	assert_true(plan.peers[2].microvm);
	assert_int_equal(plan.repetitions, 7);
}

static void quick_is_last(void **state)
{
	(void)state;
	options.quick = true;
	good("quick = { repetitions = 1; modes = ( \"pv\" ); };\n" GUESTS
	     "repetitions = 5; modes = ( \"pvh\", \"hvm\" ); workloads = ( \"probe\" );");
	assert_int_equal(plan.repetitions, 1);
	assert_int_equal(plan.n_modes, 1);
	assert_string_equal(plan.modes[0].name, "pv");
}

static void the_command_line_is_above_the_file(void **state)
{
	(void)state;
	options.repetitions = 3;
	options.workloads = "probe";
	good(GUESTS "modes = ( \"pvh\" ); workloads = ( \"linux\", { name = \"probe\"; repetitions = 9; } );");
	assert_int_equal(plan.n_workloads, 1);
	assert_int_equal(plan.workloads[0].repetitions, 3);
}

static void built_in_plan(void **state)
{
	size_t missing = 0;

	(void)state;
	loaded = true;
	plan_load(&plan, NULL, &options, &diag);
	/* The guests may not have been made here; nothing else may be wrong. */
	for (size_t i = 0; i < diag.n; i++)
		missing += strstr(diag.entries[i].text, "`guests` names another folder") != NULL;
	assert_int_equal(missing, diag.n);
	assert_int_equal(plan.n_modes, n_presets);
	assert_int_equal(plan.n_workloads, 5);
}

#define REST GUESTS "workloads = ( \"probe\" );\n"

static const struct {
	const char *text;
	unsigned line;
	const char *part;
} wrong[] = {
	{ "modes = ( \"pvh\" ;", 1, "syntax error" },
	{ REST "modes = ( \"pvhvn\" );", 3, "did you mean \"pvhvm\"?" },
	{ REST "modes = ( \"pvh\" );\nmode = 3;", 4, "did you mean \"modes\"?" },
	{ REST "modes = \"pvh\";", 3, "modes: wants a list" },
	{ REST "modes = ( 3 );", 3, "wants a preset or a group" },
	{ REST "modes = ( \"pvh\", \"pvh\" );", 3, "\"pvh\" is there twice" },
	{ REST "modes = ( { name = \"x\"; } );", 3, "wants the preset that it changes" },
	{ REST "modes = ( { mode = \"pvh\"; name = \"a/b\"; } );", 3, "is no word" },
	{ REST "modes = ( { mode = \"pvh\";\nnmae = \"x\"; } );", 4, "did you mean \"name\"?" },
	{ REST "modes = ( { mode = \"pvh\"; axes = {\ndsik = \"xen\"; }; } );", 4, "did you mean \"disk\"?" },
	{ REST "modes = ( { mode = \"pvh\"; axes = { disk = 3; }; } );", 3, "axes.disk: wants a string" },
	{ REST "modes = ( { mode = \"pvh\"; memory = 3; } );", 3, "memory: wants an integer from 16" },
	{ REST "modes = ( \"pvh\" ); engines = ( \"tb\" );", 3, "did you mean \"bt\"?" },
	{ REST "modes = ( \"pvh\" ); engines = ( );", 3, "engines: is empty" },
	{ REST "modes = ( \"pvh\" ); engines = ( \"bt\", \"bt\" );", 3, "is there twice" },
	{ REST "modes = ( \"pvh\" ); repetitions = 0;", 3, "repetitions: wants an integer from 1" },
	{ REST "modes = ( \"pvh\" ); timeout = \"long\";", 3, "timeout: wants an integer" },
	{ REST "modes = ( \"pvh\" ); peers = ( \"qemu-tgc\" );", 3, "did you mean \"qemu-tcg\"?" },
	{ REST "modes = ( \"pvh\" ); peers = ( { csv = \"xen.csv\"; } );", 3, "wants a name" },
	{ REST "modes = ( \"pvh\" ); peers = ( { name = \"x\"; csv = \"no.csv\"; } );", 3, "no.csv: No such file" },
	{ REST "modes = ( \"pvh\" ); peers = ( { name = \"qemu-tcg\"; machine = \"q35\"; } );", 3, "there are: pc, microvm" },
	{ REST "modes = ( \"pvh\" );\nquick = { repetitions = 0; };", 4, "quick.repetitions: wants" },
	{ REST "modes = ( \"pvh\" );\nquick = { quick = { }; };", 4, "quick" },
	{ REST "modes = ( \"pvh\" );\nquick = 3;", 4, "quick: wants a group" },
	{ REST "modes = ( \"pvh\" );\nscratch = \"no/where\";", 4, "scratch:" },
	{ REST "", 0, "modes: are missing" },
	{ "", 0, "is empty" },
	{ GUESTS "modes = ( \"pvh\" );", 0, "workloads: are missing" },
	{ GUESTS "modes = ( \"pvh\" );\nworkloads = ( \"porbe\" );", 3, "did you mean \"probe\"?" },
	{ GUESTS "modes = ( \"pvh\" );\nworkloads = ( { kernel = \"vmlinuz\"; } );", 3, "wants a name" },
	{ GUESTS "modes = ( \"pvh\" );\nworkloads = ( { name = \"mine\"; } );", 3, "\"mine\" has no kernel" },
	{ GUESTS "modes = ( \"pvh\" );\nworkloads = ( { name = \"mine\"; kernel = \"none\"; } );", 3, "none: No such file" },
	{ GUESTS "modes = ( \"pvh\" );\nworkloads = ( \"probe\", \"probe\" );", 3, "is there twice" },
};

static bool has(unsigned line, const char *part)
{
	for (size_t i = 0; i < diag.n; i++) {
		if (diag.entries[i].line == line && strstr(diag.entries[i].text, part))
			return true;
	}
	return false;
}

static void mistakes(void **state)
{
	(void)state;
	for (int quick = 0; quick < 2; quick++) {
		options.quick = quick;
		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			if (!load(wrong[i].text))
				fail_msg("taken: %s", wrong[i].text);
			if (diag.n_errors == 1 && has(wrong[i].line, wrong[i].part))
				continue;
			diag_print(&diag, stderr, "");
			fail_msg("not one problem, line %u, \"%s\", of: %s", wrong[i].line, wrong[i].part, wrong[i].text);
		}
	}
}

static void all_mistakes_at_once(void **state)
{
	(void)state;
	assert_int_equal(load(GUESTS "modes = ( \"pvx\",\n{ mode = \"hvm\"; axes = { dusk = \"a\"; }; } );\nwarmup = -1;"), -1);
	assert_int_equal(diag.n_errors, 3);
	assert_true(has(2, "pvx") && has(3, "dusk") && has(4, "warmup"));
}

static void lists_of_names(void **state)
{
	(void)state;
	assert_true(plan_listed(NULL, "a"));
	assert_true(plan_listed("a", "a"));
	assert_true(plan_listed("b,a,c", "a"));
	assert_false(plan_listed("b,aa,c", "a"));
	assert_false(plan_listed("", "a"));
	assert_false(plan_listed("ab", "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole_plan, setup, teardown),
		cmocka_unit_test_setup_teardown(quick_is_last, setup, teardown),
		cmocka_unit_test_setup_teardown(the_command_line_is_above_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(built_in_plan, setup, teardown),
		cmocka_unit_test_setup_teardown(mistakes, setup, teardown),
		cmocka_unit_test_setup_teardown(all_mistakes_at_once, setup, teardown),
		cmocka_unit_test(lists_of_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
