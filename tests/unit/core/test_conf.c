/* SPDX-License-Identifier: MIT */
/* Domain files against fake plugins: what is read, and what every mistake is answered with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "console-end.h"

/* libconfig 1.5 leaks a string that stands where its grammar wants none; that is not for us to fix. */
GAMUT_EXPORT const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\n";
}

#define FAKE  TEST_BUILD_DIR "/tests/abi/fake"
#define BAD   TEST_BUILD_DIR "/tests/abi/bad"
#define ROOMY 8192

struct fixture {
	char dir[64];
	char cfg[80];
	struct plugin_set plugins;
	struct diag diag;
	struct domain_config *c;
};

/* ---- a folder with a kernel, disks and a place for the domain file ---- */

static void make_file(const struct fixture *f, const char *name, const char *text, size_t size, mode_t mode)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	if (size)
		assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int setup(void **state)
{
	static const char *const dirs[] = {FAKE, BAD};
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/gamut-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->cfg, sizeof(f->cfg), "%s/d.cfg", f->dir);
	make_file(f, "vmlinuz", "kernel", 0, 0600);
	make_file(f, "empty", "", 0, 0600);
	make_file(f, "a.img", "", 4096, 0600);
	make_file(f, "b.img", "", 4096, 0600);
	make_file(f, "ro.img", "", 4096, 0400);
	*state = f;
	return plugin_set_init_dirs(&f->plugins, dirs, 2);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char cmd[128];

	conf_destroy(f->c);
	diag_finish(&f->diag);
	plugin_set_finish(&f->plugins);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	assert_int_equal(system(cmd), 0);
	free(f);
	return 0;
}

static int load(struct fixture *f, const char *text)
{
	conf_destroy(f->c);
	f->c = NULL;
	diag_finish(&f->diag);
	make_file(f, "d.cfg", text, 0, 0600);
	return conf_load(&f->c, f->cfg, &f->plugins, &f->diag);
}

static void print_diag(struct fixture *f)
{
	diag_print(&f->diag, stderr, "");
}

static void good(struct fixture *f, const char *text)
{
	if (load(f, text)) {
		print_diag(f);
		fail_msg("refused: %s", text);
	}
	assert_non_null(f->c);
	assert_int_equal(f->diag.n_errors, 0);
}

/* The text is refused, with exactly one problem, at that line, that has that part. */
static void bad(struct fixture *f, const char *text, unsigned line, const char *part)
{
	if (load(f, text) == 0)
		fail_msg("accepted: %s", text);
	assert_null(f->c);
	if (f->diag.n_errors == 1 && f->diag.entries[0].line == line &&
	    strstr(f->diag.entries[0].text, part) && strcmp(f->diag.entries[0].file, f->cfg) == 0)
		return;
	print_diag(f);
	fail_msg("for line %u, \"%s\" of: %s", line, part, text);
}

/* A good file to which one line is added: line 1 has all that is needed. */
#define BASE "name = \"d\"; mode = \"pvh\"; boot = { kernel = \"vmlinuz\"; };\n"

static void bad_line(struct fixture *f, const char *line, const char *part)
{
	char text[ROOMY];

	snprintf(text, sizeof(text), BASE "%s\n", line);
	bad(f, text, 2, part);
}

/* ---- what is read ---- */

static void defaults(void **state)
{
	static const uint8_t no_uuid[16];
	struct fixture *f = *state;
	char path[96];

	good(f, BASE);
	assert_string_equal(f->c->name, "d");
	assert_int_equal(f->c->memory, 512);
	assert_int_equal(f->c->vcpus, 1);
	assert_int_equal(f->c->engine, CONF_ENGINE_AUTO);
	assert_int_equal(f->c->n_consoles, 1);
	assert_int_equal(f->c->consoles[0].n_to, 1);
	assert_int_equal(f->c->consoles[0].to[0].kind, CONSOLE_TO_STDIO);
	assert_string_equal(f->c->consoles[0].name, "xen");
	assert_int_equal(f->c->on_reboot, CONF_END_RESTART);
	assert_int_equal(f->c->on_crash, CONF_END_DESTROY);
	assert_int_equal(f->c->weight, 256);
	assert_int_equal(f->c->cap, 0);
	assert_int_equal(f->c->n_affinity, 0);
	assert_int_equal(f->c->bt_code_cache, 32);
	assert_string_equal(f->c->bt_debug, "");
	assert_string_equal(f->c->cmdline, "");
	assert_null(f->c->ramdisk);
	snprintf(path, sizeof(path), "%s/vmlinuz", f->dir);
	assert_string_equal(f->c->kernel, path);
	assert_memory_not_equal(f->c->uuid, no_uuid, 16);
	assert_int_equal(conf_line(f->c, "boot.kernel"), 1);
	assert_int_equal(conf_line(f->c, "memory"), 0);
	assert_int_equal(conf_line(f->c, "no.such.key"), 0);
}

static void everything_given(void **state)
{
	static const uint8_t uuid[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
	                                 0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10};
	struct fixture *f = *state;

	good(f,
	     "name = \"web-1.x\";\nmode = \"pvh\";\nmemory = 64;\nvcpus = 2;\nengine = \"bt\";\n"
	     "boot = { kernel = \"vmlinuz\"; ramdisk = \"vmlinuz\"; cmdline = \"console=hvc0 "
	     "\"\n\"root=/dev/xvda\"; };\n"
	     "axes = { interrupts = \"xen\"; platform = \"pvh\"; mmu = \"hap\"; };\n"
	     "console = \"none\"; sched = { weight = 65535; cap = 50; affinity = [ 0 ]; };\n"
	     "uuid = \"01234567-89ab-cdef-FEDC-BA9876543210\"; on_reboot = \"destroy\"; on_crash = "
	     "\"restart\";\n"
	     "bt = { code_cache = 8; debug = \"nochain\"; };\noptions = { platform = { frames = 7; }; };\n");
	assert_int_equal(f->c->memory, 64);
	assert_int_equal(f->c->vcpus, 2);
	assert_int_equal(f->c->engine, CONF_ENGINE_BT);
	assert_string_equal(f->c->cmdline, "console=hvc0 root=/dev/xvda");
	assert_int_equal(f->c->consoles[0].n_to, 0);
	assert_int_equal(f->c->weight, 65535);
	assert_int_equal(f->c->cap, 50);
	assert_int_equal(f->c->n_affinity, 1);
	assert_memory_equal(f->c->uuid, uuid, 16);
	assert_int_equal(f->c->on_reboot, CONF_END_DESTROY);
	assert_int_equal(f->c->on_crash, CONF_END_RESTART);
	assert_int_equal(f->c->bt_code_cache, 8);
	assert_string_equal(f->c->bt_debug, "nochain");
	assert_int_equal(conf_line(f->c, "memory"), 3);
	assert_int_equal(conf_option(&f->c->instances[2], "frames")->num, 7);
}

static void instances_in_order_of_start(void **state)
{
	static const enum gamut_axis order[] = {GAMUT_AXIS_MMU,     GAMUT_AXIS_INTERRUPTS, GAMUT_AXIS_PLATFORM,
	                                        GAMUT_AXIS_CONSOLE, GAMUT_AXIS_DISK,       GAMUT_AXIS_DISK};
	struct fixture *f = *state;
	const struct instance_config *inst;
	char path[96];

	good(f, BASE "disks = (\n"
	             "{ dev = \"xvda\"; path = \"a.img\"; depth = 8; cache = \"writeback\"; },\n"
	             "{ dev = \"xvdb\"; path = \"ro.img\"; readonly = true; serial = \"s\"; } );\n");
	assert_int_equal(f->c->n_instances, 6);
	for (int i = 0; i < 6; i++)
		assert_int_equal(f->c->instances[i].axis, order[i]);
	inst = &f->c->instances[4];
	assert_int_equal(inst->unit, 0);
	assert_int_equal(inst->line, 3);
	assert_string_equal(inst->choice, "xen");
	snprintf(path, sizeof(path), "%s/a.img", f->dir);
	assert_string_equal(conf_option(inst, "path")->str, path);
	assert_string_equal(conf_option(inst, "dev")->str, "xvda");
	assert_int_equal(conf_option(inst, "dev")->line, 3);
	assert_int_equal(conf_option(inst, "depth")->num, 8);
	assert_string_equal(conf_option(inst, "cache")->str, "writeback");
	assert_int_equal(conf_option(inst, "readonly")->num, 0);
	assert_int_equal(conf_option(inst, "readonly")->line, 0);
	assert_null(conf_option(inst, "serial"));
	inst = &f->c->instances[5];
	assert_int_equal(inst->unit, 1);
	assert_int_equal(conf_option(inst, "readonly")->num, 1);
	assert_int_equal(conf_option(inst, "depth")->num, 32);
	/* A default in hexadecimal. */
	assert_int_equal(conf_option(&f->c->instances[2], "frames")->num, 0x40);
}

static void options_with_many_values(void **state)
{
	struct fixture *f = *state;
	const struct instance_config *nic;
	char path[ROOMY];

	good(f, BASE "axes = { net = \"xen\"; };\n"
	             "nics = ( { forward = ( \"one\", \"two\" ); tftp = \".\"; }, { forward = \"three\"; search = []; } );");
	nic = &f->c->instances[f->c->n_instances - 2];
	assert_int_equal(nic->axis, GAMUT_AXIS_NET);
	assert_int_equal(conf_option(nic, "forward")->n_list, 2);
	assert_string_equal(conf_option(nic, "forward")->list[0], "one");
	assert_string_equal(conf_option(nic, "forward")->list[1], "two");
	assert_int_equal(conf_option(nic, "search")->n_list, 1);
	assert_string_equal(conf_option(nic, "search")->list[0], "lan");
	snprintf(path, sizeof(path), "%s/.", f->dir);
	assert_string_equal(conf_option(nic, "tftp")->str, path);
	nic++;
	assert_int_equal(conf_option(nic, "forward")->n_list, 1);
	assert_string_equal(conf_option(nic, "forward")->list[0], "three");
	assert_int_equal(conf_option(nic, "search")->n_list, 0);
	assert_string_equal(conf_option(nic, "tftp")->str, "/nowhere/at/all");
}

static void axes_without_devices_are_none(void **state)
{
	struct fixture *f = *state;

	good(f, BASE);
	assert_int_equal(f->c->n_instances, 4);
	assert_string_equal(f->c->axes.axis[GAMUT_AXIS_DISK].choice, "none");
	assert_string_equal(f->c->axes.axis[GAMUT_AXIS_NET].choice, "none");
	assert_string_equal(f->c->axes.axis[GAMUT_AXIS_MMU].choice, "hap");
	/* The words outlive the parsed file. */
	good(f, BASE "axes = { console = \"none\"; net = \"xen\"; };\n");
	assert_string_equal(f->c->axes.axis[GAMUT_AXIS_CONSOLE].choice, "none");
	assert_string_equal(f->c->axes.axis[GAMUT_AXIS_NET].choice, "xen");
	assert_int_equal(f->c->n_instances, 3);
}

/* ---- devices with a type of their own ---- */

#define XVDA  "{ dev = \"xvda\"; path = \"a.img\"; }"
#define PLAIN "{ type = \"plain\"; path = \"b.img\"; }"

static const struct instance_config *disk(const struct fixture *f, uint32_t unit)
{
	for (uint32_t i = 0; i < f->c->n_instances; i++)
		if (f->c->instances[i].axis == GAMUT_AXIS_DISK && f->c->instances[i].unit == unit)
			return &f->c->instances[i];
	return NULL;
}

static void a_disk_may_have_a_type_of_its_own(void **state)
{
	struct engine_caps needs = {0};
	struct fixture *f = *state;

	good(f, BASE "disks = ( " PLAIN ", " XVDA " );\n");
	assert_string_equal(f->c->axes.axis[GAMUT_AXIS_DISK].choice, "xen");
	assert_int_equal(f->c->n_devices, 1);
	assert_string_equal(disk(f, 0)->choice, "plain");
	assert_string_equal(disk(f, 0)->plugin->info.name, "disk-plain");
	assert_null(conf_option(disk(f, 0), "type"));
	assert_non_null(conf_option(disk(f, 0), "path"));
	assert_string_equal(disk(f, 1)->choice, "xen");
	/* What the device needs of the engine counts, and is told with its line. */
	preset_engine_needs(&f->c->axes, &needs);
	assert_true(needs.shadow && needs.hap);
	assert_int_equal(conf_check_engine(f->c, "bt", &(struct engine_caps){.hap = true, .max_vcpus = 1}, NULL, &f->diag),
	                 -1);
	assert_non_null(strstr(f->diag.entries[0].text, "disks[0].type: disk = \"plain\" needs \"engine:shadow\""));
	assert_int_equal(f->diag.entries[0].line, 2);

	/* The axis' word is a type, too; then nobody takes the axis' choice. */
	good(f, BASE "disks = ( " PLAIN ", { type = \"xen\"; dev = \"xvda\"; path = \"a.img\"; } );\n");
	assert_string_equal(f->c->axes.axis[GAMUT_AXIS_DISK].choice, "none");
	assert_string_equal(disk(f, 1)->choice, "xen");
	good(f, BASE "axes = { disk = \"none\"; }; disks = ( { type = \"xen\"; dev = \"xvda\"; path = \"a.img\"; } );\n");
	assert_string_equal(disk(f, 0)->choice, "xen");
	good(f, BASE "nics = ( { type = \"xen\"; mac = \"00:16:3e:00:00:01\"; }, { } );\n");
	assert_int_equal(f->c->n_instances, 6);

	/* A name is one of its type, an address is not. */
	good(f, BASE "disks = ( { type = \"plain\"; dev = \"xvda\"; path = \"b.img\"; }, " XVDA " );\n");
	bad(f, BASE "nics = ( { type = \"xen\"; mac = \"00:16:3e:00:00:01\"; }, { mac = \"00:16:3E:00:00:01\"; } );\n", 2,
	    "nics[1].mac:");
}

/* "plain" alone has a higher score than everything else together. */
static void types_leave_auto_alone(void **state)
{
	struct fixture *f = *state;

	good(f, "name = \"d\"; boot = { kernel = \"vmlinuz\"; }; disks = ( " XVDA ", " PLAIN " );\n");
	assert_string_equal(f->c->axes.preset->name, "pvh");
	assert_null(strstr(f->diag.entries[0].text, "score 5"));
}

static void auto_mode_says_why(void **state)
{
	struct fixture *f = *state;

	good(f, "name = \"d\"; boot = { kernel = \"vmlinuz\"; };\n");
	assert_string_equal(f->c->axes.preset->name, "pvh");
	assert_int_equal(f->diag.n, 1);
	assert_true(f->diag.entries[0].note);
	assert_non_null(strstr(f->diag.entries[0].text, "\"auto\" is \"pvh\""));
	bad(f, "name = \"d\";\nmode = \"auto\";\n", 2, "no mode can work here");
}

static void same_name_same_uuid(void **state)
{
	struct fixture *f = *state;
	uint8_t first[16];

	good(f, BASE);
	memcpy(first, f->c->uuid, 16);
	assert_int_equal(first[6] >> 4, 8);
	assert_int_equal(first[8] >> 6, 2);
	good(f, BASE "memory = 32;\n");
	assert_memory_equal(f->c->uuid, first, 16);
	good(f, "name = \"e\"; mode = \"pvh\"; boot = { kernel = \"vmlinuz\"; };\n");
	assert_memory_not_equal(f->c->uuid, first, 16);
}

/* ---- mistakes: a line added to a good file, and what is said of it ---- */

/* clang-format off */
static const struct {
	const char *line, *part;
} mistakes[] = {
	/* unknown keys */
	{ "memmory = 512;", "memmory: unknown key; did you mean \"memory\"?" },
	{ "kernel = \"vmlinuz\";", "kernel: unknown key here; did you mean \"boot.kernel\"?" },
	{ "xyzzy = 1;", "xyzzy: unknown key; `gamut check --help`" },
	{ "sched = { wieght = 1; };", "sched.wieght: unknown key; did you mean \"weight\"?" },
	{ "axes = { dsik = \"xen\"; };", "axes.dsik: unknown key; did you mean \"disk\"?" },
	{ "options = { disk = { }; };", "options.disk: unknown key" },
	{ "options = { platform = { frame = 1; }; };", "options.platform.frame: unknown key; did you mean \"frames\"?" },
	{ "options = { mmu = { xyzzy = 1; }; };", "`gamut plugin info mmu-hap`" },
	/* wrong types */
	{ "memory = \"512\";", "memory: wants an integer, not a string; write memory = 512" },
	{ "memory = 1.5;", "memory: wants an integer, not a fraction" },
	{ "vcpus = true;", "vcpus: wants an integer, not true or false" },
	{ "uuid = 5;", "uuid: wants a string, not an integer" },
	{ "engine = 1;", "engine: wants one of \"auto\", \"bt\", \"kvm\", not an integer" },
	{ "sched = 1;", "sched: wants a group, not an integer; write sched = { weight = 256; }" },
	{ "sched = { weight = \"a\"; };", "sched.weight: wants an integer, not a string; write weight = 256" },
	{ "sched = { affinity = 0; };", "wants an array" },
	{ "sched = { affinity = [ ]; };", "wants an array" },
	{ "sched = { affinity = [ -1 ]; };", "sched.affinity: entry 0 is no processor number" },
	{ "sched = { affinity = ( \"a\" ); };", "sched.affinity: entry 0 is no processor number" },
	{ "disks = { };", "disks: wants a list of groups, not a group" },
	{ "disks = ( 1 );", "disks[0]: wants a group, not an integer" },
	{ "options = { platform = 1; };", "options.platform: wants a group" },
	{ "options = { platform = { frames = \"1\"; }; };", "frames: wants an integer from 1 to 4096, not a string" },
	/* ranges */
	{ "memory = 0;", "memory: 0 MiB is too little; give at least 16" },
	{ "memory = 3;", "memory: 3 MiB is too little; give at least 16" },
	{ "memory = -1;", "memory: -1 MiB is too little" },
	{ "memory = 1000000000;", "memory: 1000000000 MiB is more than this host has" },
	{ "memory = 9000000000000000000L;", "is too much" },
	/* These wrap to 512 in 32 and in 64 bits. */
	{ "memory = 4294967808;", "4294967808 is a larger number" },
	{ "memory = 0x100000200;", "0x100000200 is a larger number" },
	{ "memory = 18446744073709552128L;", "is a larger number" },
	{ "/* 4294967808 */ boot_ = \"4294967808 \\\" // 4294967808\"; // 4294967808", "boot_: unknown key" },
	{ "vcpus = 0;", "vcpus: 0 is too little; give at least 1" },
	{ "vcpus = 5000;", "vcpus: 5000 is too much; give at most 4096" },
	{ "sched = { weight = 0; };", "sched.weight: 0 is too little" },
	{ "sched = { weight = 65536; };", "sched.weight: 65536 is too much; give at most 65535" },
	{ "sched = { cap = -1; };", "sched.cap: -1 % is too little" },
	{ "sched = { affinity = [ 0, 0 ]; };", "processor 0 is there twice" },
	{ "sched = { affinity = [ 1000000 ]; };", "there is no processor 1000000" },
	{ "bt = { code_cache = 0; };", "bt.code_cache: 0 MiB is too little" },
	{ "options = { platform = { frames = 0; }; };", "frames: wants an integer from 1 to 4096, not 0" },
	/* words */
	{ "engine = \"bts\";", "engine: there is no \"bts\"; did you mean \"bt\"? It is one of" },
	{ "console = \"vga\";", "console: there is no \"vga\"; give \"stdio\", \"pty\", \"socket\"" },
	{ "console = \"ptty\";", "console: there is no \"ptty\"; did you mean \"pty\"? Else give \"stdio\"" },
	{ "console = 1;", "console: wants a string, not an integer" },
	{ "console = ( \"stdio\", 2 );", "console: wants a string, not an integer" },
	{ "console = ( \"stdio\", \"none\" );", "console: \"none\" stands alone" },
	{ "console = ( \"pty\", \"pty\" );", "console: \"pty\" is there twice" },
	{ "console = \"file\";", "console: there is no \"file\"" },
	{ "console = \"file:\";", "console: there is no \"file:\"" },
	{ "console = \"pty:x\";", "console: there is no \"pty:x\"" },
	{ "console = \"file:no/such/folder/log\";", "console: cannot make " },
	{ "consoles = ( { to = \"pty\"; } );", "consoles[0].type: wants the console's kind" },
	{ "consoles = ( { type = \"xen\"; } );", "consoles[0].type: a domain can have one console of type \"xen\"" },
	{ "consoles = ( { type = \"xenn\"; } );", "consoles[0].type: " },
	{ "consoles = { };", "consoles: wants a list of groups, not a group" },
	{ "consoles = ( \"pty\" );", "consoles[0]: wants a group, not a string" },
	{ "on_crash = \"preserve\";", "on_crash: there is no \"preserve\"" },
	{ "uuid = \"01234567-89ab-cdef-0123-456789abcdeg\";", "is no UUID" },
	{ "uuid = \"0123456789abcdef0123456789abcdef\";", "is no UUID" },
	{ "axes = { disk = \"../../evil\"; };", "axes.disk: \"../../evil\" is no word" },
	/* axes */
	{ "axes = { disk = \"xem\"; };", "axes.disk: there is no plugin disk-xem.so in" },
	{ "axes = { mmu = \"pv\"; };", "mmu = \"pv\" cannot work with platform = \"pvh\" (of mode \"pvh\")" },
	{ "axes = { disk = \"other-major\"; };", "ABI 2.7, and this is ABI 1.0" },
	{ "axes = { disk = \"no-symbol\"; };", "exports no symbol gamut_plugin" },
	{ "axes = { console = \"none\"; }; options = { console = { }; };", NULL },
	{ "axes = { disk = \"none\"; }; disks = ( { dev = \"xvda\"; path = \"a.img\"; } );", "disks: axes.disk is \"none\"" },
	/* disks */
	{ "disks = ( { dev = \"xvda\"; } );", "disks[0].path: is missing; add path" },
	{ "disks = ( { path = \"a.img\"; } );", "disks[0].dev: is missing" },
	{ "disks = ( { dev = \"xvda\"; pth = \"a.img\"; path = \"a.img\"; } );",
	  "disks[0].pth: unknown key; did you mean \"path\"?" },
	{ "disks = ( { dev = \"xvda\"; path = \"gone.img\"; } );", "gone.img: no such file" },
	{ "disks = ( { dev = \"xvda\"; path = \".\"; } );", "is a directory" },
	{ "disks = ( { dev = \"xvda\"; path = \"\"; } );", "disks[0].path: is empty" },
	{ "disks = ( { dev = \"xvda\"; path = \"empty\"; } );", "less than one sector" },
	{ "disks = ( { dev = \"xvda\"; path = \"ro.img\"; } );", "is write-protected; give readonly = true" },
	{ "disks = ( { dev = \"xvda\"; path = \"/dev/null\"; } );", "neither a regular file nor a block device" },
	{ "disks = ( { dev = 1; path = \"a.img\"; } );", "disks[0].dev: wants a string, not an integer" },
	{ "disks = ( { dev = \"xvda\"; path = \"a.img\"; depth = 65; } );", "depth: wants an integer from 1 to 64, not 65" },
	{ "disks = ( { dev = \"xvda\"; path = \"a.img\"; readonly = 1; } );", "readonly: wants true or false, not an" },
	{ "disks = ( { dev = \"xvda\"; path = \"a.img\"; cache = \"non\"; } );", "did you mean \"none\"?" },
	{ "disks = ( { dev = \"xvda\"; path = \"a.img\"; cache = [ 1 ]; } );", "not an array" },
	{ "disks = ( { dev = \"xvda\"; path = \"a.img\"; }, { dev = \"xvda\"; path = \"b.img\"; } );",
	  "disks[1].dev: \"xvda\" is disks[0]'s already" },
	{ "disks = ( { dev = \"xvda\"; path = \"a.img\"; }, { dev = \"xvdb\"; path = \"./a.img\"; } );", "disks[0]'s already" },
	/* types of their own */
	{ "disks = ( { type = \"xem\"; dev = \"xvda\"; path = \"a.img\"; } );",
	  "disks[0].type: there is no plugin disk-xem.so in" },
	{ "disks = ( " XVDA ", { type = \"xeen\"; path = \"gone\"; } );", "did you mean \"xen\"?" },
	{ "disks = ( { type = 5; dev = \"xvda\"; path = \"a.img\"; } );", "disks[0].type: wants the disk's kind" },
	{ "disks = ( { type = \"none\"; } );", "disks[0].type: wants the disk's kind" },
	{ "disks = ( { type = \"../xen\"; } );", "disks[0].type: wants the disk's kind" },
	{ "nics = ( { type = \"\"; } );", "nics[0].type: wants the network card's kind; write type = \"xen\"" },
	{ "nics = ( { type = \"e1001\"; } );", "nics[0].type: there is no plugin net-e1001.so in" },
	{ "disks = ( " PLAIN " );", "disks[0].type: disk = \"plain\" needs \"block\", which nothing else chosen gives; "
	  "it comes with disk = " },
	{ "disks = ( " XVDA ", { type = \"plain\"; path = \"b.img\"; pth = 1; } );",
	  "disks[1].pth: unknown key; did you mean \"path\"?" },
	{ "disks = ( " XVDA ", { type = \"plain\"; path = \"a.img\"; } );", "disks[0]'s already" },
	{ "axes = { disk = \"none\"; }; disks = ( { type = \"xen\"; dev = \"xvda\"; path = \"a.img\"; }, "
	  "{ path = \"b.img\"; } );", "disks: axes.disk is \"none\"; choose one that has a device, give each its type" },
	{ "axes = { interrupts = \"quiet\"; console = \"none\"; }; disks = ( { type = \"xen\"; dev = \"xvda\"; "
	  "path = \"a.img\"; } );", "disks[0].type: disk = \"xen\" needs \"event-channels\"" },
	{ "nics = ( { mac = \"00:16:3E:00:00:01\"; }, { mac = \"00:16:3e:00:00:01\"; } );", "nics[1].mac:" },
	{ "nics = ( { forward = 1; } );", "nics[0].forward: wants a list of strings, not an integer" },
	{ "nics = ( { forward = ( \"a\", 2 ); } );", "nics[0].forward[1]: wants a string, not an integer" },
	{ "nics = ( { mac = ( \"a\" ); } );", "nics[0].mac: wants a string, not a list" },
	{ "nics = ( { tftp = \"gone\"; } );", "gone: no such file" },
	{ "nics = ( { tftp = 1; } );", "nics[0].tftp: wants a path, not an integer" },
	/* libconfig's own */
	{ "memory = 1; memory = 2;", "duplicate setting name" },
	{ "memory = ;", "syntax error" },
	{ "bt = { debug = \"a; };", "the string that begins here is never closed" },
	{ "memory = 32; /* no end *", "the comment that begins here is never closed" },
	{ " \t@include \"other.cfg\"", "@include: a domain is one file" },
};
/* clang-format on */

static void each_mistake_has_one_answer(void **state)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		char text[ROOMY];

		if (mistakes[i].part) {
			bad_line(*state, mistakes[i].line, mistakes[i].part);
			continue;
		}
		snprintf(text, sizeof(text), BASE "%s\n", mistakes[i].line);
		good(*state, text);
	}
}

static void mistakes_in_what_every_file_has(void **state)
{
	struct fixture *f = *state;

	bad(f, "mode = \"pvh\"; boot = { kernel = \"vmlinuz\"; };", 0, "name: is missing; add name = ");
	bad(f, "name = \"\"; mode = \"pvh\"; boot = { kernel = \"vmlinuz\"; };", 1, "name: has 0 characters");
	bad(f, "name = \"a/b\"; mode = \"pvh\"; boot = { kernel = \"vmlinuz\"; };", 1, "at its place 2");
	bad(f, "name = \".a\"; mode = \"pvh\"; boot = { kernel = \"vmlinuz\"; };", 1, "at its place 1");
	bad(f, "name = \"d\"; mode = \"pvh\";\n", 0, "boot.kernel: is missing, and platform \"pvh\"");
	bad(f, "name = \"d\";\nmode = \"phv\";\nboot = { kernel = \"vmlinuz\"; };", 2,
	    "did you mean \"pvh\"?");
	bad(f, "name = \"d\";\nmode = \"zzz\";\nboot = { kernel = \"vmlinuz\"; };", 2,
	    "modes whose plugins are installed: pvh");
	bad(f, "name = \"d\";\nmode = \"kvm\";\n", 2,
	    "intr-kvmclock.so, platform-pc.so, console-serial.so; modes that are: pvh");
	bad(f, "name = \"d\"; mode = \"pvh\";\nboot = {\nkernel = \"gone\"; };", 3, "gone: no such file");
	bad(f, "name = \"d\"; mode = \"pvh\";\nboot = {\nkernel = \"empty\"; };", 3, "is empty");
	bad(f, "name = \"d\"; mode = \"pvh\";\nboot = {\nkernel = \".\"; };", 3, "is a directory");
	bad(f, "name = \"d\"; mode = \"pvh\";\nboot = { kernel = \"vmlinuz\";\nramdisk = \"/dev/zero\"; };",
	    3, "no regular file");
	bad(f,
	    "name = \"d\";\nmode = \"pvh\"; boot = { kernel = \"vmlinuz\"; };\naxes = { interrupts = "
	    "\"quiet\"; };",
	    2,
	    "console = \"xen\" needs \"event-channels\", which nothing else chosen gives; it comes with "
	    "interrupts = \"xen\"");
	bad(f, "name = \"d\"; mode = \"pvh\";\nboot = { kernel = 5; };", 2,
	    "boot.kernel: wants a string, not an integer");
	bad(f, "name = \"d\"; mode = \"pvh\";\nboot = { kernel = \"\"; };", 2, "boot.kernel: is empty");
	bad(f, "", 0, "is empty");
	bad(f, "// nothing\n", 0, "is empty");
}

static void all_problems_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load(f, BASE "memory = 0;\nvcpu = 1;\nengine = 3;\n"
	                              "disks = ( { dev = \"xvda\"; path = \"gone\"; depth = 0; } );\n"),
	                 -1);
	assert_int_equal(f->diag.n_errors, 5);
	assert_null(f->c);
}

/* Nothing is made, cut or touched, whatever is wrong or right. */
static void no_side_effects(void **state)
{
	struct fixture *f = *state;
	char path[96];
	struct stat before, after;

	snprintf(path, sizeof(path), "%s/a.img", f->dir);
	assert_int_equal(stat(path, &before), 0);
	good(f, BASE "disks = ( { dev = \"xvda\"; path = \"a.img\"; } );\n");
	bad_line(f, "disks = ( { dev = \"xvda\"; path = \"new.img\"; } );", "no such file");
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	snprintf(path, sizeof(path), "%s/new.img", f->dir);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void files_that_are_no_domain_files(void **state)
{
	static const char nul[] = "name = \"d\";\n\0memory = 1;\n";
	struct fixture *f = *state;
	int fd;

	assert_int_equal(conf_load(&f->c, "/nonexistent.cfg", &f->plugins, &f->diag), -1);
	assert_non_null(strstr(f->diag.entries[0].text, "No such file"));
	assert_int_equal(conf_load(&f->c, f->dir, &f->plugins, &f->diag), -1);
	assert_non_null(strstr(f->diag.entries[1].text, "is a directory"));
	assert_int_equal(conf_load(&f->c, "/dev/zero", &f->plugins, &f->diag), -1);
	assert_non_null(strstr(f->diag.entries[2].text, "is longer than"));
	assert_int_equal(conf_load(&f->c, "/dev/null", &f->plugins, &f->diag), -1);
	assert_non_null(strstr(f->diag.entries[3].text, "is empty"));
	fd = open(f->cfg, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, nul, sizeof(nul) - 1), sizeof(nul) - 1);
	close(fd);
	assert_int_equal(conf_load(&f->c, f->cfg, &f->plugins, &f->diag), -1);
	assert_non_null(strstr(f->diag.entries[4].text, "NUL byte"));
	assert_int_equal(f->diag.entries[4].line, 2);
}

static void engine_needs_and_vcpus(void **state)
{
	const struct engine_caps none = {.max_vcpus = 1}, hap = {.hap = true, .max_vcpus = 1};
	struct fixture *f = *state;

	good(f, BASE "vcpus = 2;\n");
	assert_int_equal(conf_check_engine(f->c, "bt", &none, "kvm", &f->diag), -1);
	assert_int_equal(f->diag.n_errors, 2);
	assert_non_null(strstr(f->diag.entries[0].text, "mmu = \"hap\" needs \"engine:hap\""));
	assert_non_null(strstr(f->diag.entries[0].text, "; use engine = \"kvm\""));
	assert_non_null(strstr(f->diag.entries[1].text, "vcpus: 2 are too many for the engine bt"));
	assert_non_null(strstr(f->diag.entries[1].text, "or use engine = \"kvm\""));
	assert_int_equal(f->diag.entries[1].line, 2);
	assert_int_equal(conf_check_engine(f->c, "bt", &none, NULL, &f->diag), -1);
	assert_non_null(strstr(f->diag.entries[2].text, "; choose another mmu"));
	good(f, BASE);
	assert_int_equal(conf_check_engine(f->c, "bt", &hap, NULL, &f->diag), 0);
}

/* Where an engine says why, so does the message. */
static void engine_without_paging(void **state)
{
	const struct engine_caps caps = {.max_vcpus = 1, .paging = "this host's KVM does it otherwise"};
	struct fixture *f = *state;

	good(f, BASE);
	assert_int_equal(conf_check_engine(f->c, "kvm", &caps, "bt", &f->diag), -1);
	assert_non_null(strstr(f->diag.entries[0].text,
	                       "does not have on this host: this host's KVM does it otherwise; use engine = \"bt\""));
}

/* ---- rubbish ---- */

static const char whole[] =
        "name = \"web\"; mode = \"pvh\"; memory = 64; vcpus = 1; engine = \"auto\";\n"
        "boot = { kernel = \"vmlinuz\"; ramdisk = \"vmlinuz\"; cmdline = \"a\" \"b\"; };\n"
        "axes = { disk = \"xen\"; net = \"xen\"; interrupts = \"xen\"; platform = \"pvh\"; mmu = \"hap\"; "
        "};\n"
        "disks = ( { dev = \"xvda\"; path = \"a.img\"; readonly = false; depth = 0x10; } );\n"
        "nics = ( { mac = \"00:16:3e:01:02:03\"; } ); /* x */ console = \"stdio\";\n"
        "sched = { weight = 256; cap = 0; affinity = [ 0 ]; }; # y\n"
        "options = { platform = { frames = 5; }; };\n";

/* Writes n bytes as the domain file, loads it and throws away what comes. */
static void survive(struct fixture *f, const char *bytes, size_t n)
{
	int fd = open(f->cfg, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
	close(fd);
	conf_destroy(f->c);
	conf_load(&f->c, f->cfg, &f->plugins, &f->diag);
	assert_true((f->c == NULL) == (f->diag.n_errors != 0));
	conf_destroy(f->c);
	f->c = NULL;
	diag_finish(&f->diag);
}

static void every_truncation(void **state)
{
	good(*state, whole);
	for (size_t n = 0; n < sizeof(whole); n++)
		survive(*state, whole, n);
}

/* A small generator of our own, so that a failure can be repeated. */
static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	return *seed ^= *seed << 5;
}

static void mutations(void **state)
{
	static const char alphabet[] = "{}()[]=;,:\"\\/*#@.0x9-aL \n\t\xff";
	uint32_t seed = 20240601;

	for (int round = 0; round < 3000; round++) {
		char text[sizeof(whole)];
		unsigned n = 1 + next_random(&seed) % 6;

		memcpy(text, whole, sizeof(whole));
		while (n--)
			text[next_random(&seed) % (sizeof(whole) - 1)] =
			        alphabet[next_random(&seed) % (sizeof(alphabet) - 1)];
		survive(*state, text, sizeof(whole) - 1);
	}
}

static void noise_and_deep_nesting(void **state)
{
	static char text[100000];
	uint32_t seed = 7;

	for (int round = 0; round < 200; round++) {
		size_t n = next_random(&seed) % 4096;

		for (size_t i = 0; i < n; i++)
			text[i] = (char)next_random(&seed);
		survive(*state, text, n);
	}
	memset(text, '(', sizeof(text));
	memcpy(text, "a = ", 4);
	survive(*state, text, sizeof(text));
	for (size_t i = 0; i + 4 <= sizeof(text); i += 4)
		memcpy(text + i, "a={ ", 4);
	survive(*state, text, sizeof(text));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	        T(defaults),
	        T(everything_given),
	        T(instances_in_order_of_start),
	        T(options_with_many_values),
	        T(axes_without_devices_are_none),
	        T(a_disk_may_have_a_type_of_its_own),
	        T(types_leave_auto_alone),
	        T(auto_mode_says_why),
	        T(same_name_same_uuid),
	        T(each_mistake_has_one_answer),
	        T(mistakes_in_what_every_file_has),
	        T(all_problems_at_once),
	        T(no_side_effects),
	        T(files_that_are_no_domain_files),
	        T(engine_needs_and_vcpus),
	        T(engine_without_paging),
	        T(every_truncation),
	        T(mutations),
	        T(noise_and_deep_nesting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
