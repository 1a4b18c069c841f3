/* SPDX-License-Identifier: MIT */
/*
 * The keys of a domain file, as one table: it validates a file, fills in
 * defaults, frees values, and is what `gamut check --help` prints. A new key
 * is a member of struct domain_config and a line here.
 *
 * The keys inside disks, nics and options are not here: they are the options
 * of the plugins that the domain's axes choose (conf-instances.c).
 */
#include "conf-internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "option.h"
#include "suggest.h"

enum key_type {
	KEY_STRING,    /* char *; min and max are lengths */
	KEY_NAME,      /* char *, a word that can be a file's name */
	KEY_PATH,      /* char *, resolved */
	KEY_UUID,      /* char *, and c->uuid */
	KEY_INT,       /* int64_t */
	KEY_ENUM,      /* int: index in words */
	KEY_CPUS,      /* c->affinity: an array of integers */
	KEY_GROUP,     /* other keys of the table */
	KEY_AXIS,      /* a choice for the axis `axis` */
	KEY_INSTANCES, /* a list of groups: the instances on `axis` */
	KEY_OPTIONS,   /* a group of options of the instance on `axis` */
	KEY_CONSOLE,   /* l->console: conf-console.c */
	KEY_TYPE_COUNT
};

struct key {
	const char *path;
	enum key_type type;
	enum gamut_axis axis;
	size_t offset; /* in struct domain_config */
	int64_t min, max;
	const char *unit;
	const char *def; /* as text; NULL: none */
	const char *const *words;
	bool required;
	const char *example; /* the right-hand side */
	const char *help;
};

static const char *const engine_words[] = {"auto", "bt", "kvm", NULL}; /* enum conf_engine */
static const char *const end_words[] = {"restart", "destroy", NULL};   /* enum conf_end */

#define FIELD(member) .offset = offsetof(struct domain_config, member)

/* clang-format off */
static const struct key keys[] = {
	{ "name", KEY_NAME, FIELD(name), .min = 1, .max = CONF_NAME_MAX, .required = true, .example = "\"web\"",
	  .help = "what the domain is called; letters, digits and -_.+" },
	{ "mode", KEY_STRING, FIELD(mode), .min = 1, .max = 63, .def = "auto", .example = "\"pvh\"",
	  .help = "a preset: hvm, hvm-pv-drivers, pvhvm, pvh, pv, kvm; auto takes the best that can work and says why" },
	{ "memory", KEY_INT, FIELD(memory), .min = CONF_MEMORY_MIN, .max = INT64_MAX >> 20, .unit = "MiB",
	  .def = "512", .example = "512", .help = "the guest's RAM" },
	{ "vcpus", KEY_INT, FIELD(vcpus), .min = 1, .max = 4096, .def = "1", .example = "2",
	  .help = "virtual processors; the engine may allow fewer" },
	{ "engine", KEY_ENUM, FIELD(engine), .words = engine_words, .def = "auto", .example = "\"auto\"",
	  .help = "what runs the virtual processors" },
	{ "boot", KEY_GROUP, .example = "{ kernel = \"vmlinuz\"; }", .help = "what is booted" },
	{ "boot.kernel", KEY_PATH, FIELD(kernel), .example = "\"vmlinuz\"",
	  .help = "kernel image: ELF, or a distribution's vmlinuz" },
	{ "boot.ramdisk", KEY_PATH, FIELD(ramdisk), .example = "\"initrd.img\"", .help = "initial ramdisk" },
	{ "boot.cmdline", KEY_STRING, FIELD(cmdline), .min = 0, .max = 65535, .def = "",
	  .example = "\"console=hvc0\"", .help = "the kernel's command line" },
	{ "axes", KEY_GROUP, .example = "{ disk = \"xen\"; }", .help = "overrides of the mode, axis by axis" },
	{ "axes.disk", KEY_AXIS, .axis = GAMUT_AXIS_DISK, .example = "\"xen\"", .help = "the disks' interface" },
	{ "axes.net", KEY_AXIS, .axis = GAMUT_AXIS_NET, .example = "\"xen\"", .help = "the network cards' interface" },
	{ "axes.interrupts", KEY_AXIS, .axis = GAMUT_AXIS_INTERRUPTS, .example = "\"xen\"",
	  .help = "interrupts and timers" },
	{ "axes.platform", KEY_AXIS, .axis = GAMUT_AXIS_PLATFORM, .example = "\"pvh\"",
	  .help = "chipset, firmware, way of booting" },
	{ "axes.mmu", KEY_AXIS, .axis = GAMUT_AXIS_MMU, .example = "\"hap\"",
	  .help = "privileged instructions and page tables" },
	{ "axes.console", KEY_AXIS, .axis = GAMUT_AXIS_CONSOLE, .example = "\"xen\"", .help = "the console device" },
	{ "disks", KEY_INSTANCES, .axis = GAMUT_AXIS_DISK, .example = "( { dev = \"xvda\"; path = \"disk.img\"; } )",
	  .help = "a list of groups: type (as axes.disk, which it is without), and the keys of gamut plugin info disk-..." },
	{ "nics", KEY_INSTANCES, .axis = GAMUT_AXIS_NET, .example = "( { mac = \"00:16:3e:01:02:03\"; } )",
	  .help = "a list of groups: type (as axes.net, which it is without), and the keys of gamut plugin info net-..." },
	{ "options", KEY_GROUP, .example = "{ platform = { }; }",
	  .help = "options of the plugins on the other axes: gamut plugin info NAME" },
	{ "options.interrupts", KEY_OPTIONS, .axis = GAMUT_AXIS_INTERRUPTS, .example = "{ }", .help = "" },
	{ "options.platform", KEY_OPTIONS, .axis = GAMUT_AXIS_PLATFORM, .example = "{ }", .help = "" },
	{ "options.mmu", KEY_OPTIONS, .axis = GAMUT_AXIS_MMU, .example = "{ }", .help = "" },
	{ "options.console", KEY_OPTIONS, .axis = GAMUT_AXIS_CONSOLE, .example = "{ }", .help = "" },
	{ "console", KEY_CONSOLE, .example = "( \"stdio\", \"pty\" )",
	  .help = "where the guest's console goes on the host: stdio, pty, socket[:PATH], file:PATH, none; one or a list (stdio)" },
	{ "consoles", KEY_INSTANCES, .axis = GAMUT_AXIS_CONSOLE, .example = "( { type = \"serial\"; port = 1; to = \"pty\"; } )",
	  .help = "further consoles: a list of groups with type (as axes.console), to (as console), and the plugin's options" },
	{ "sched", KEY_GROUP, .example = "{ weight = 256; }", .help = "the domain's share of the processors" },
	{ "sched.weight", KEY_INT, FIELD(weight), .min = 1, .max = 65535, .def = "256", .example = "256",
	  .help = "share relative to other domains" },
	{ "sched.cap", KEY_INT, FIELD(cap), .min = 0, .max = 65535, .unit = "%", .def = "0", .example = "50",
	  .help = "most of a processor's time in percent; 0: no cap" },
	{ "sched.affinity", KEY_CPUS, .example = "[ 0, 1 ]", .help = "host processors to run on; all when not given" },
	{ "uuid", KEY_UUID, FIELD(uuid_text), .example = "\"01234567-89ab-cdef-0123-456789abcdef\"",
	  .help = "made from the name when not given" },
	{ "on_reboot", KEY_ENUM, FIELD(on_reboot), .words = end_words, .def = "restart", .example = "\"restart\"",
	  .help = "what to do when the guest reboots" },
	{ "on_crash", KEY_ENUM, FIELD(on_crash), .words = end_words, .def = "destroy", .example = "\"destroy\"",
	  .help = "what to do when the guest crashes" },
	{ "bt", KEY_GROUP, .example = "{ code_cache = 32; }", .help = "settings of the engine bt" },
	{ "bt.code_cache", KEY_INT, FIELD(bt_code_cache), .min = 1, .max = 2047, .unit = "MiB", .def = "32",
	  .example = "32", .help = "bound of the memory for translated code" },
	{ "bt.debug", KEY_STRING, FIELD(bt_debug), .min = 0, .max = 255, .def = "", .example = "\"\"",
	  .help = "switches for bisecting faults of the translator" },
};
/* clang-format on */

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

size_t conf_key_count(void)
{
	return N_KEYS;
}

int conf_key_index(const char *path)
{
	for (size_t i = 0; i < N_KEYS; i++)
		if (strcmp(keys[i].path, path) == 0)
			return (int)i;
	return -1;
}

static void *field(struct domain_config *c, const struct key *key)
{
	return (char *)c + key->offset;
}

/* ---- one reader for each type ------------------------------------------------ */

static int wrong_type(struct conf_loader *l, const struct key *key, const config_setting_t *s,
                      const char *wanted)
{
	const char *leaf = strrchr(key->path, '.');

	return conf_error(l, conf_setting_line(s), "%s: wants %s, not %s; write %s = %s", key->path, wanted,
	                  conf_type_name(s), leaf ? leaf + 1 : key->path, key->example);
}

static int set_string(struct conf_loader *l, const struct key *key, const char *text)
{
	char **p = field(l->c, key);
	char *copy = strdup(text);

	if (!copy)
		return conf_no_memory(l);
	free(*p);
	*p = copy;
	return 0;
}

static int read_string(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	const char *text = config_setting_get_string(s);
	size_t len;

	if (config_setting_type(s) != CONFIG_TYPE_STRING || !text)
		return wrong_type(l, key, s, "a string");
	len = strlen(text);
	if (len < (size_t)key->min || len > (size_t)key->max)
		return conf_error(l, conf_setting_line(s),
		                  "%s: has %zu characters; give %" PRId64 " to %" PRId64 ", as in %s",
		                  key->path, len, key->min, key->max, key->example);
	return set_string(l, key, text);
}

static int read_name(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	const char *name;
	int rc = read_string(l, key, s);

	if (rc)
		return rc;
	name = l->c->name;
	for (size_t i = 0; name[i]; i++)
		if (!isalnum((unsigned char)name[i]) && (i == 0 || !strchr("-_.+", name[i])))
			return conf_error(
			        l, conf_setting_line(s),
			        "%s: \"%s\" has a character that no name may have at its place %zu; use "
			        "letters, digits and, after the first, -_.+",
			        key->path, name, i + 1);
	return 0;
}

static int read_path(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	const char *text = config_setting_get_string(s);
	char *path, why[512];

	if (config_setting_type(s) != CONFIG_TYPE_STRING || !text)
		return wrong_type(l, key, s, "a string");
	if (!*text)
		return conf_error(l, conf_setting_line(s), "%s: is empty; name a file or leave the key out",
		                  key->path);
	path = conf_resolve(l->c->dir, text);
	if (!path)
		return conf_no_memory(l);
	*(char **)field(l->c, key) = path;
	if (!conf_file_readable(path, why, sizeof(why)))
		return conf_error(l, conf_setting_line(s), "%s: %s", key->path, why);
	return 0;
}

static int hex(char c)
{
	return isdigit((unsigned char)c)    ? c - '0'
	       : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
	                                    : -1;
}

/* 8-4-4-4-12 hexadecimal digits. */
static bool parse_uuid(const char *text, uint8_t uuid[16])
{
	size_t n = 0;

	if (strlen(text) != 36)
		return false;
	for (size_t i = 0; i < 36;) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i++] != '-')
				return false;
			continue;
		}
		if (hex(text[i]) < 0 || hex(text[i + 1]) < 0)
			return false;
		uuid[n++] = (uint8_t)(hex(text[i]) << 4 | hex(text[i + 1]));
		i += 2;
	}
	return true;
}

static int read_uuid(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	const char *text = config_setting_get_string(s);

	if (config_setting_type(s) != CONFIG_TYPE_STRING || !text)
		return wrong_type(l, key, s, "a string");
	if (!parse_uuid(text, l->c->uuid))
		return conf_error(l, conf_setting_line(s), "%s: \"%s\" is no UUID; write one like %s",
		                  key->path, text, key->example);
	return set_string(l, key, text);
}

static bool is_int(const config_setting_t *s)
{
	return config_setting_type(s) == CONFIG_TYPE_INT || config_setting_type(s) == CONFIG_TYPE_INT64;
}

static int read_int(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	const char *space = key->unit ? " " : "", *unit = key->unit ? key->unit : "";
	int64_t value;

	if (!is_int(s))
		return wrong_type(l, key, s, "an integer");
	value = config_setting_get_int64(s);
	if (value < key->min)
		return conf_error(l, conf_setting_line(s),
		                  "%s: %" PRId64 "%s%s is too little; give at least %" PRId64, key->path,
		                  value, space, unit, key->min);
	if (value > key->max)
		return conf_error(l, conf_setting_line(s),
		                  "%s: %" PRId64 "%s%s is too much; give at most %" PRId64, key->path, value,
		                  space, unit, key->max);
	*(int64_t *)field(l->c, key) = value;
	return 0;
}

static size_t count_words(const char *const *words)
{
	size_t n = 0;

	while (words[n])
		n++;
	return n;
}

static int word_index(const char *const *words, const char *word)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	return -1;
}

/* "one of "a", "b"" */
static const char *words_text(const char *const *words, char *buf, size_t len)
{
	const struct gamut_option o = {.type = GAMUT_OPTION_CHOICE, .choices = words};

	return option_wants(&o, buf, len);
}

static int read_enum(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	const char *text = config_setting_get_string(s), *near;
	char wants[256];
	int index;

	words_text(key->words, wants, sizeof(wants));
	if (config_setting_type(s) != CONFIG_TYPE_STRING || !text)
		return wrong_type(l, key, s, wants);
	index = word_index(key->words, text);
	if (index >= 0) {
		*(int *)field(l->c, key) = index;
		return 0;
	}
	near = suggest_nearest(text, key->words, count_words(key->words));
	return conf_error(l, conf_setting_line(s), "%s: there is no \"%s\"%s%s%s%s", key->path, text,
	                  near ? "; did you mean \"" : "", near ? near : "", near ? "\"? It is " : "; give ",
	                  wants);
}

static bool has_cpu(const struct domain_config *c, uint32_t cpu)
{
	for (uint32_t i = 0; i < c->n_affinity; i++)
		if (c->affinity[i] == cpu)
			return true;
	return false;
}

static int read_cpus(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	int n = config_setting_length(s);

	if ((config_setting_type(s) != CONFIG_TYPE_ARRAY && config_setting_type(s) != CONFIG_TYPE_LIST) ||
	    n == 0)
		return wrong_type(l, key, s, "an array of processor numbers");
	l->c->affinity = calloc((size_t)n, sizeof(*l->c->affinity));
	if (!l->c->affinity)
		return conf_no_memory(l);
	for (int i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		long long cpu = is_int(e) ? config_setting_get_int64(e) : -1;

		if (cpu < 0 || cpu > INT32_MAX)
			return conf_error(l, conf_setting_line(e),
			                  "%s: entry %d is no processor number; write %s", key->path, i,
			                  key->example);
		if (has_cpu(l->c, (uint32_t)cpu))
			return conf_error(l, conf_setting_line(e),
			                  "%s: processor %lld is there twice; leave one out", key->path, cpu);
		l->c->affinity[l->c->n_affinity++] = (uint32_t)cpu;
	}
	return 0;
}

static int read_axis(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	const char *text = config_setting_get_string(s);

	if (config_setting_type(s) != CONFIG_TYPE_STRING || !text)
		return wrong_type(l, key, s, "a string");
	if (!option_word_ok(text))
		return conf_error(l, conf_setting_line(s), "%s: \"%s\" is no word; write one like %s",
		                  key->path, text, key->example);
	l->wish.override[key->axis] = text;
	l->wish.line[key->axis] = conf_setting_line(s);
	return 0;
}

static int check_groups(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	if (config_setting_type(s) != CONFIG_TYPE_LIST)
		return wrong_type(l, key, s, "a list of groups");
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);

		if (config_setting_type(e) != CONFIG_TYPE_GROUP)
			return conf_error(l, conf_setting_line(e),
			                  "%s[%d]: wants a group, not %s; write %s = %s", key->path, i,
			                  conf_type_name(e), key->path, key->example);
	}
	return 0;
}

static int read_instances(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	if (config_setting_type(s) == CONFIG_TYPE_LIST)
		l->lists[key->axis] = s;
	return check_groups(l, key, s);
}

static int read_console(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	(void)key;
	l->console = s;
	return 0;
}

static int read_options(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	if (config_setting_type(s) != CONFIG_TYPE_GROUP)
		return wrong_type(l, key, s, "a group");
	l->options[key->axis] = s;
	return 0;
}

static int read_group(struct conf_loader *l, const struct key *key, const config_setting_t *s);

typedef int (*key_reader)(struct conf_loader *l, const struct key *key, const config_setting_t *s);

static const key_reader readers[KEY_TYPE_COUNT] = {
        [KEY_STRING] = read_string,       [KEY_NAME] = read_name,       [KEY_PATH] = read_path,
        [KEY_UUID] = read_uuid,           [KEY_INT] = read_int,         [KEY_ENUM] = read_enum,
        [KEY_CPUS] = read_cpus,           [KEY_GROUP] = read_group,     [KEY_AXIS] = read_axis,
        [KEY_INSTANCES] = read_instances, [KEY_OPTIONS] = read_options, [KEY_CONSOLE] = read_console,
};

/* ---- groups, and the file as the outermost ------------------------------------- */

/* The part of a key's path after `group`, or NULL when the key is not directly inside it. */
static const char *leaf_in(const struct key *key, const char *group)
{
	size_t len = strlen(group);
	const char *leaf = key->path;

	if (len) {
		if (strncmp(key->path, group, len) != 0 || key->path[len] != '.')
			return NULL;
		leaf += len + 1;
	}
	return strchr(leaf, '.') ? NULL : leaf;
}

/* The same word in another group: "kernel" at the top for "boot.kernel". */
static const char *elsewhere(const char *name)
{
	for (size_t i = 0; i < N_KEYS; i++) {
		const char *dot = strrchr(keys[i].path, '.');

		if (strcmp(dot ? dot + 1 : keys[i].path, name) == 0)
			return keys[i].path;
	}
	return NULL;
}

static const char *nearest_key(const char *group, const char *name)
{
	const char *leaves[N_KEYS];
	size_t n = 0;

	for (size_t i = 0; i < N_KEYS; i++) {
		leaves[n] = leaf_in(&keys[i], group);
		n += leaves[n] != NULL;
	}
	return suggest_nearest(name, leaves, n);
}

static void unknown_key(struct conf_loader *l, const char *group, const config_setting_t *s)
{
	const char *name = config_setting_name(s), *dot = *group ? "." : "";
	const char *near = nearest_key(group, name), *other = near ? NULL : elsewhere(name);

	if (near)
		conf_error(l, conf_setting_line(s), "%s%s%s: unknown key; did you mean \"%s\"?", group, dot,
		           name, near);
	else if (other)
		conf_error(l, conf_setting_line(s), "%s%s%s: unknown key here; did you mean \"%s\"?", group,
		           dot, name, other);
	else
		conf_error(l, conf_setting_line(s), "%s%s%s: unknown key; `gamut check --help` lists them",
		           group, dot, name);
}

static const struct key *key_in(const char *group, const char *name)
{
	for (size_t i = 0; i < N_KEYS; i++) {
		const char *leaf = leaf_in(&keys[i], group);

		if (leaf && strcmp(leaf, name) == 0)
			return &keys[i];
	}
	return NULL;
}

static void read_members(struct conf_loader *l, const char *group, const config_setting_t *s)
{
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		const struct key *key = key_in(group, config_setting_name(e));

		if (!key) {
			unknown_key(l, group, e);
			continue;
		}
		l->c->lines[key - keys] = conf_setting_line(e);
		readers[key->type](l, key, e);
	}
}

static int read_group(struct conf_loader *l, const struct key *key, const config_setting_t *s)
{
	if (config_setting_type(s) != CONFIG_TYPE_GROUP)
		return wrong_type(l, key, s, "a group");
	read_members(l, key->path, s);
	return 0;
}

void conf_keys_read(struct conf_loader *l)
{
	read_members(l, "", config_root_setting(&l->cfg));
	for (size_t i = 0; i < N_KEYS; i++)
		if (keys[i].required && !l->c->lines[i])
			conf_error(l, 0, "%s: is missing; add %s = %s;", keys[i].path, keys[i].path,
			           keys[i].example);
}

/* ---- defaults, end, help ----------------------------------------------------------- */

static int set_default(struct conf_loader *l, const struct key *key)
{
	switch (key->type) {
	case KEY_INT:
		*(int64_t *)field(l->c, key) = strtoll(key->def, NULL, 0);
		return 0;
	case KEY_ENUM:
		*(int *)field(l->c, key) = word_index(key->words, key->def);
		return 0;
	default:
		return set_string(l, key, key->def);
	}
}

int conf_keys_defaults(struct conf_loader *l)
{
	for (size_t i = 0; i < N_KEYS; i++)
		if (keys[i].def && set_default(l, &keys[i]))
			return -1;
	return 0;
}

void conf_keys_finish(struct domain_config *c)
{
	for (size_t i = 0; i < N_KEYS; i++)
		if (keys[i].type <= KEY_UUID)
			free(*(char **)field(c, &keys[i]));
	free(c->affinity);
}

static void print_key(FILE *out, const struct key *key)
{
	char wants[256] = "";

	if (key->type == KEY_INT && key->max < INT32_MAX)
		snprintf(wants, sizeof(wants), "; %" PRId64 " to %" PRId64, key->min, key->max);
	else if (key->type == KEY_INT)
		snprintf(wants, sizeof(wants), "; at least %" PRId64, key->min);
	else if (key->type == KEY_ENUM)
		words_text(key->words, wants + snprintf(wants, sizeof(wants), "; "), sizeof(wants) - 2);
	fprintf(out, "  %-20s %s%s%s", key->path, key->help, wants,
	        key->type == KEY_INT && key->unit ? " " : "");
	if (key->type == KEY_INT && key->unit)
		fprintf(out, "%s", key->unit);
	if (key->def && *key->def)
		fprintf(out, " (%s)", key->def);
	fprintf(out, "%s\n", key->required ? " (required)" : "");
}

void conf_print_keys(FILE *out)
{
	for (size_t i = 0; i < N_KEYS; i++)
		if (keys[i].type != KEY_OPTIONS)
			print_key(out, &keys[i]);
}
