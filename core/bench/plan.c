/* SPDX-License-Identifier: MIT */
#include "bench/plan-internal.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf-internal.h"
#include "suggest.h"

#define MAX_WORDS 64

extern const char bench_default_plan[]; /* default-plan.S: conf/matrix.cfg */

/* ---- problems --------------------------------------------------------------------------- */

static int complain(const struct plan *plan, struct diag *diag, unsigned line, const char *fmt, va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, args);
	return diag_error(diag, plan->file, line, "%s", text);
}

int plan_error(const struct plan *plan, struct diag *diag, unsigned line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain(plan, diag, line, fmt, args);
	va_end(args);
	return -1;
}

int plan_complain(struct plan_reader *r, const config_setting_t *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain(r->plan, r->diag, s ? conf_setting_line(s) : 0, fmt, args);
	va_end(args);
	return -1;
}

static void join(const char *const *words, size_t n, char *buf, size_t len)
{
	size_t at = 0;

	*buf = 0;
	for (size_t i = 0; i < n && at < len; i++)
		at += (size_t)snprintf(buf + at, len - at, "%s%s", i ? ", " : "", words[i]);
}

int plan_unknown(struct plan_reader *r, const config_setting_t *s, const char *what, const char *word,
                 const char *const *words, size_t n)
{
	const char *near = suggest_nearest(word, words, n);
	char all[512];

	join(words, n, all, sizeof(all));
	return plan_complain(r, s, "%s: there is no \"%s\"%s%s%s; there are: %s", what, word,
	                     near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "", all);
}

bool plan_is_list(struct plan_reader *r, const config_setting_t *s)
{
	int type = config_setting_type(s);

	if (type == CONFIG_TYPE_LIST || type == CONFIG_TYPE_ARRAY)
		return true;
	plan_complain(r, s, "%s: wants a list ( \"...\", ... ), not %s", config_setting_name(s), conf_type_name(s));
	return false;
}

bool plan_word_ok(const char *word)
{
	size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+=");

	return len > 0 && len < 64 && !word[len];
}

/* ---- keys --------------------------------------------------------------------------------- */

static void read_int(struct plan_reader *r, const config_setting_t *s, const char *where, const struct plan_key *key,
                     int64_t *into)
{
	int64_t value = config_setting_get_int64(s);
	int type = config_setting_type(s);

	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
		plan_complain(r, s, "%s%s: wants an integer from %" PRId64 " to %" PRId64 ", not %s", where, key->name,
		              key->min, key->max, conf_type_name(s));
	else if (value < key->min || value > key->max)
		plan_complain(r, s, "%s%s: wants an integer from %" PRId64 " to %" PRId64 ", not %" PRId64, where,
		              key->name, key->min, key->max, value);
	else
		*into = value;
}

static void read_key(struct plan_reader *r, const config_setting_t *s, const char *where, const struct plan_key *key,
                     void *into)
{
	static const int types[] = { [PLAN_TEXT] = CONFIG_TYPE_STRING, [PLAN_BOOL] = CONFIG_TYPE_BOOL,
		                     [PLAN_GROUP] = CONFIG_TYPE_GROUP };
	static const char *const wants[] = { [PLAN_TEXT] = "a string", [PLAN_BOOL] = "true or false",
		                             [PLAN_GROUP] = "a group { }" };
	void *field = (char *)into + key->offset;

	if (key->type == PLAN_READER) {
		key->read(r, s, into);
	} else if (key->type == PLAN_INT) {
		read_int(r, s, where, key, field);
	} else if (config_setting_type(s) != types[key->type]) {
		plan_complain(r, s, "%s%s: wants %s, not %s", where, key->name, wants[key->type], conf_type_name(s));
	} else if (key->type == PLAN_TEXT) {
		*(const char **)field = config_setting_get_string(s);
	} else if (key->type == PLAN_BOOL) {
		*(bool *)field = config_setting_get_bool(s);
	} else {
		*(const config_setting_t **)field = s;
	}
}

void plan_read_keys(struct plan_reader *r, const config_setting_t *group, const char *where,
                    const struct plan_key *keys, size_t n, void *into)
{
	const char *names[MAX_WORDS];

	for (size_t i = 0; i < n; i++)
		names[i] = keys[i].name;
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const char *name = config_setting_name(s);
		size_t k = 0;

		while (k < n && strcmp(keys[k].name, name) != 0)
			k++;
		if (k < n)
			read_key(r, s, where, &keys[k], into);
		else
			plan_unknown(r, s, *where ? where : "keys of a plan", name, names, n);
	}
}

/* ---- the top of the file ------------------------------------------------------------------- */

static void read_quick(struct plan_reader *r, const config_setting_t *s, void *into);

static void read_folder(struct plan_reader *r, const config_setting_t *s, char **into)
{
	if (config_setting_type(s) != CONFIG_TYPE_STRING) {
		plan_complain(r, s, "%s: wants a folder as a string, not %s", config_setting_name(s), conf_type_name(s));
		return;
	}
	free(*into);
	*into = plan_resolve(r->plan, config_setting_get_string(s));
}

static void read_guests(struct plan_reader *r, const config_setting_t *s, void *into)
{
	(void)into;
	read_folder(r, s, &r->plan->guests);
}

static void read_scratch(struct plan_reader *r, const config_setting_t *s, void *into)
{
	(void)into;
	read_folder(r, s, &r->plan->scratch);
	if (r->plan->scratch && access(r->plan->scratch, W_OK | X_OK))
		plan_complain(r, s, "scratch: %s: %s; name a folder that can be written to", r->plan->scratch,
		              strerror(errno));
}

#define FIELD(member) .offset = offsetof(struct plan, member)

/* clang-format off */
static const struct plan_key top_keys[] = {
	{ "modes", PLAN_READER, .read = plan_read_modes },
	{ "engines", PLAN_READER, .read = plan_read_engines },
	{ "workloads", PLAN_READER, .read = plan_read_workloads },
	{ "peers", PLAN_READER, .read = plan_read_peers },
	{ "repetitions", PLAN_INT, FIELD(repetitions), .min = 1, .max = PLAN_ROUNDS_MAX },
	{ "warmup", PLAN_INT, FIELD(warmup), .min = 0, .max = PLAN_ROUNDS_MAX },
	{ "memory", PLAN_INT, FIELD(memory), .min = 16, .max = 1 << 20 },
	{ "vcpus", PLAN_INT, FIELD(vcpus), .min = 1, .max = 64 },
	{ "timeout", PLAN_INT, FIELD(timeout), .min = 1, .max = 86400 },
	{ "disk", PLAN_INT, FIELD(disk), .min = 1, .max = 1 << 20 },
	{ "guests", PLAN_READER, .read = read_guests },
	{ "scratch", PLAN_READER, .read = read_scratch },
	{ "quick", PLAN_READER, .read = read_quick },
};
/* clang-format on */

#define N_TOP (sizeof(top_keys) / sizeof(top_keys[0]))

/* Without --quick it is read into a plan that is thrown away: what is wrong in it is wrong always. */
static void read_quick(struct plan_reader *r, const config_setting_t *s, void *into)
{
	struct plan *scrap;

	if (config_setting_type(s) != CONFIG_TYPE_GROUP) {
		plan_complain(r, s, "quick: wants a group { }, not %s", conf_type_name(s));
		return;
	}
	scrap = r->plan->quick ? NULL : malloc(sizeof(*scrap));
	if (!scrap)
		return;
	*scrap = *r->plan;
	scrap->guests = scrap->scratch = NULL;
	r->plan = scrap;
	plan_read_keys(r, s, "quick.", top_keys, N_TOP - 1, scrap);
	free(scrap->guests);
	free(scrap->scratch);
	r->plan = into;
	free(scrap);
}

/* `quick` comes last, wherever it stands; above it was only passed. */
static void read_top(struct plan_reader *r)
{
	const config_setting_t *root = config_root_setting(&r->plan->cfg);
	config_setting_t *quick = config_setting_get_member((config_setting_t *)root, "quick");

	if (config_setting_length(root) == 0)
		plan_complain(r, NULL, "is empty; conf/matrix.cfg is a plan to start from");
	plan_read_keys(r, root, "", top_keys, N_TOP, r->plan);
	if (quick && r->plan->quick && config_setting_type(quick) == CONFIG_TYPE_GROUP)
		plan_read_keys(r, quick, "quick.", top_keys, N_TOP - 1, r->plan);
}

/* ---- loading ---------------------------------------------------------------------------------- */

static char *folder_of(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

char *plan_resolve(const struct plan *plan, const char *path)
{
	char *out = NULL;

	if (*path == '/')
		return strdup(path);
	return asprintf(&out, "%s/%s", plan->dir, path) < 0 ? NULL : out;
}

static int parse(struct plan_reader *r, const char *path)
{
	struct plan *plan = r->plan;
	char *text = path ? conf_read_text(path, r->diag) : NULL;
	int ok;

	if (path && !text)
		return -1;
	ok = config_read_string(&plan->cfg, path ? text : bench_default_plan);
	free(text);
	if (ok)
		return 0;
	return plan_error(plan, r->diag, (unsigned)config_error_line(&plan->cfg), "%s; every setting is: key = value;",
	                  config_error_text(&plan->cfg) ? config_error_text(&plan->cfg) : "syntax error");
}

/* Where the build has them, beside the program; else where they are installed. */
static char *default_guests(void)
{
	char exe[PATH_MAX], *out = NULL, *slash;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[n > 0 ? n : 0] = 0;
	slash = strrchr(exe, '/');
	if (slash && asprintf(&out, "%.*s/guests", (int)(slash - exe), exe) > 0) {
		if (!access(out, X_OK))
			return out;
		free(out);
	}
	return strdup(GAMUT_INSTALL_PLUGIN_DIR "/../guests");
}

static void check_lists(struct plan_reader *r)
{
	struct plan *plan = r->plan;

	if (!plan->n_modes && !plan->n_peers && !r->diag->n_errors)
		plan_complain(r, NULL, "modes: are missing; add modes = ( \"pvh\", \"pv\" );");
	if (!plan->n_workloads && !r->diag->n_errors)
		plan_complain(r, NULL, "workloads: are missing; add workloads = ( \"probe\" );");
}

static void read_all(struct plan_reader *r, const char *path)
{
	struct plan *plan = r->plan;
	static const char *const engines[] = { "bt", "kvm" };
	const char *tmp = getenv("TMPDIR");

	plan->repetitions = 5;
	plan->warmup = 1;
	plan->memory = 512;
	plan->vcpus = 1;
	plan->timeout = 300;
	plan->disk = 256;
	memcpy(plan->engines, engines, sizeof(engines));
	plan->n_engines = 2;
	if (parse(r, path))
		return;
	read_top(r);
	if (!plan->guests)
		plan->guests = default_guests();
	if (!plan->scratch)
		plan->scratch = strdup(tmp && *tmp ? tmp : "/tmp");
	if (r->options->repetitions)
		plan->repetitions = r->options->repetitions;
	check_lists(r);
	plan_resolve_files(r);
}

int plan_load(struct plan *plan, const char *path, const struct plan_options *options, struct diag *diag)
{
	struct plan_reader r = { .plan = plan, .options = options, .diag = diag };

	memset(plan, 0, sizeof(*plan));
	config_init(&plan->cfg);
	plan->quick = options->quick;
	plan->file = path ? path : "conf/matrix.cfg";
	plan->dir = folder_of(path);
	if (options->burn_ns)
		memcpy(plan->burn_ns, options->burn_ns, sizeof(plan->burn_ns));
	if (!plan->dir)
		return diag_error(diag, plan->file, 0, "out of memory");
	read_all(&r, path);
	return diag->n_errors ? -1 : 0;
}

void plan_finish(struct plan *plan)
{
	plan_free_files(plan);
	free(plan->guests);
	free(plan->scratch);
	free(plan->dir);
	config_destroy(&plan->cfg);
}

bool plan_listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		if (!strncmp(p, name, len) && (!p[len] || p[len] == ','))
			return true;
	}
	return !list;
}
