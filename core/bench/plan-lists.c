/* SPDX-License-Identifier: MIT */
/* The plan's lists of modes, engines and peers. */
#include <stdio.h>
#include <string.h>

#include "bench/plan-internal.h"
#include "conf-internal.h"
#include "engine-select.h"

/* ---- engines ------------------------------------------------------------------------------ */

static const char *const engine_names[PLAN_ENGINES] = { "bt", "kvm" };

static const char *find_word(const char *word, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(words[i], word))
			return words[i];
	}
	return NULL;
}

/* Returns how many. */
static size_t read_engine_list(struct plan_reader *r, const config_setting_t *s, const char **engines)
{
	size_t n = 0;

	if (!plan_is_list(r, s))
		return 0;
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		const char *word = config_setting_get_string(e), *name;

		if (!word) {
			plan_complain(r, e, "engines: wants \"bt\" or \"kvm\", not %s", conf_type_name(e));
			continue;
		}
		name = find_word(word, engine_names, PLAN_ENGINES);
		if (!name)
			plan_unknown(r, e, "engines", word, engine_names, PLAN_ENGINES);
		else if (find_word(name, engines, n))
			plan_complain(r, e, "engines: \"%s\" is there twice; leave one out", name);
		else
			engines[n++] = name;
	}
	return n;
}

void plan_read_engines(struct plan_reader *r, const config_setting_t *s, void *into)
{
	struct plan *plan = into;

	plan->n_engines = read_engine_list(r, s, plan->engines);
	if (!config_setting_length(s))
		plan_complain(r, s, "engines: is empty; give \"bt\", \"kvm\" or both");
}

/* ---- modes --------------------------------------------------------------------------------- */

/* While a mode's group is read. */
struct mode_group {
	struct plan_mode mode;
	const char *name, *preset;
};

static void read_axes(struct plan_reader *r, const config_setting_t *s, void *into)
{
	struct mode_group *g = into;
	const char *names[GAMUT_AXIS_COUNT];

	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		names[axis] = axis_name((enum gamut_axis)axis);
	if (config_setting_type(s) != CONFIG_TYPE_GROUP) {
		plan_complain(r, s, "axes: wants a group { disk = \"...\"; }, not %s", conf_type_name(s));
		return;
	}
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		int axis = 0;

		while (axis < GAMUT_AXIS_COUNT && strcmp(names[axis], config_setting_name(e)) != 0)
			axis++;
		if (axis == GAMUT_AXIS_COUNT)
			plan_unknown(r, e, "axes", config_setting_name(e), names, GAMUT_AXIS_COUNT);
		else if (!config_setting_get_string(e))
			plan_complain(r, e, "axes.%s: wants a string, not %s", names[axis], conf_type_name(e));
		else
			g->mode.axis[axis] = config_setting_get_string(e);
	}
}

static void read_mode_engines(struct plan_reader *r, const config_setting_t *s, void *into)
{
	struct mode_group *g = into;

	g->mode.n_engines = read_engine_list(r, s, g->mode.engines);
}

#define FIELD(member) .offset = offsetof(struct mode_group, member)

/* clang-format off */
static const struct plan_key mode_keys[] = {
	{ "name", PLAN_TEXT, FIELD(name) },
	{ "mode", PLAN_TEXT, FIELD(preset) },
	{ "axes", PLAN_READER, .read = read_axes },
	{ "engines", PLAN_READER, .read = read_mode_engines },
	{ "memory", PLAN_INT, FIELD(mode.memory), .min = 16, .max = 1 << 20 },
	{ "vcpus", PLAN_INT, FIELD(mode.vcpus), .min = 1, .max = 64 },
	{ "cmdline", PLAN_TEXT, FIELD(mode.cmdline) },
	{ "options", PLAN_GROUP, FIELD(mode.options) },
	{ "bt", PLAN_GROUP, FIELD(mode.bt) },
	{ "sched", PLAN_GROUP, FIELD(mode.sched) },
};
/* clang-format on */

static const struct preset *read_preset(struct plan_reader *r, const config_setting_t *s, const char *word)
{
	const struct preset *preset = preset_find(word);
	const char *names[16];
	size_t n = 0;

	if (preset)
		return preset;
	for (; n < n_presets && n < 16; n++)
		names[n] = presets[n].name;
	plan_unknown(r, s, "modes", word, names, n);
	return NULL;
}

/* "pvh+disk=virtio", for who gives no name. */
static void derive_name(struct plan_mode *m)
{
	size_t at = (size_t)snprintf(m->name, sizeof(m->name), "%s", m->preset->name);

	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		if (m->axis[axis] && at < sizeof(m->name))
			at += (size_t)snprintf(m->name + at, sizeof(m->name) - at, "+%s=%s",
			                       axis_name((enum gamut_axis)axis), m->axis[axis]);
	}
}

static bool read_mode_group(struct plan_reader *r, const config_setting_t *s, struct plan_mode *m)
{
	struct mode_group g = { .mode = *m };
	size_t before = r->diag->n_errors;

	plan_read_keys(r, s, "modes", mode_keys, sizeof(mode_keys) / sizeof(mode_keys[0]), &g);
	*m = g.mode;
	if (!g.preset)
		plan_complain(r, s, "modes: a group wants the preset that it changes; add mode = \"pvh\";");
	else
		m->preset = read_preset(r, config_setting_get_member(s, "mode"), g.preset);
	if (g.name && !plan_word_ok(g.name))
		plan_complain(r, s, "modes: the name \"%s\" is no word; use letters, digits and -_.+=", g.name);
	if (r->diag->n_errors != before)
		return false;
	if (g.name)
		snprintf(m->name, sizeof(m->name), "%s", g.name);
	else
		derive_name(m);
	return true;
}

static bool read_mode(struct plan_reader *r, const config_setting_t *s, struct plan_mode *m)
{
	const char *word = config_setting_get_string(s);

	*m = (struct plan_mode){ .line = conf_setting_line(s), .plain = word };
	if (config_setting_type(s) == CONFIG_TYPE_GROUP)
		return read_mode_group(r, s, m);
	if (!word) {
		plan_complain(r, s, "modes: wants a preset or a group { }, not %s", conf_type_name(s));
		return false;
	}
	m->preset = read_preset(r, s, word);
	snprintf(m->name, sizeof(m->name), "%s", word);
	return m->preset;
}

void plan_read_modes(struct plan_reader *r, const config_setting_t *s, void *into)
{
	struct plan *plan = into;

	plan->n_modes = 0;
	if (!plan_is_list(r, s))
		return;
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		struct plan_mode *m = &plan->modes[plan->n_modes];
		size_t twin = 0;

		if (plan->n_modes == PLAN_MAX) {
			plan_complain(r, e, "modes: are more than %d; make two plans of it", PLAN_MAX);
			return;
		}
		if (!read_mode(r, e, m))
			continue;
		while (twin < plan->n_modes && strcmp(plan->modes[twin].name, m->name) != 0)
			twin++;
		if (twin < plan->n_modes)
			plan_complain(r, e, "modes: \"%s\" is there twice; give one of them another name", m->name);
		else
			plan->n_modes++;
	}
}

/* ---- peers ----------------------------------------------------------------------------------- */

static const char *const peer_names[] = { [PEER_QEMU_TCG] = "qemu-tcg", [PEER_QEMU_KVM] = "qemu-kvm" };

struct peer_group {
	const char *name, *csv, *qemu, *machine;
};

#undef FIELD
#define FIELD(member) .offset = offsetof(struct peer_group, member)

/* clang-format off */
static const struct plan_key peer_keys[] = {
	{ "name", PLAN_TEXT, FIELD(name) },
	{ "csv", PLAN_TEXT, FIELD(csv) },
	{ "qemu", PLAN_TEXT, FIELD(qemu) },
	{ "machine", PLAN_TEXT, FIELD(machine) },
};
/* clang-format on */

static bool peer_kind(struct plan_reader *r, const config_setting_t *s, const char *word, struct plan_peer *p)
{
	for (int kind = PEER_QEMU_TCG; kind <= PEER_QEMU_KVM; kind++) {
		if (!strcmp(peer_names[kind], word)) {
			p->kind = (enum plan_peer_kind)kind;
			return true;
		}
	}
	plan_unknown(r, s, "peers", word, peer_names, 2);
	return false;
}

static bool peer_machine(struct plan_reader *r, const config_setting_t *s, const char *word, struct plan_peer *p)
{
	static const char *const machines[] = { "pc", "microvm" };

	p->microvm = word && !strcmp(word, "microvm");
	if (!word || p->microvm || !strcmp(word, "pc"))
		return true;
	plan_unknown(r, s, "peers: machine", word, machines, 2);
	return false;
}

static bool read_peer_group(struct plan_reader *r, const config_setting_t *s, struct plan_peer *p)
{
	struct peer_group g = { .name = NULL };
	size_t before = r->diag->n_errors;

	plan_read_keys(r, s, "peers", peer_keys, sizeof(peer_keys) / sizeof(peer_keys[0]), &g);
	if (r->diag->n_errors != before)
		return false;
	p->name = g.name;
	p->csv_text = g.csv;
	if (!g.name || !plan_word_ok(g.name)) {
		plan_complain(r, s, "peers: a group wants a name of letters, digits and -_.+=; add name = \"xen\";");
		return false;
	}
	if (g.csv) {
		p->kind = PEER_CSV;
		return true;
	}
	return peer_kind(r, s, g.qemu ? g.qemu : g.name, p) && peer_machine(r, s, g.machine, p);
}

static bool read_peer(struct plan_reader *r, const config_setting_t *s, struct plan_peer *p)
{
	*p = (struct plan_peer){ .name = config_setting_get_string(s), .line = conf_setting_line(s) };
	if (config_setting_type(s) == CONFIG_TYPE_GROUP)
		return read_peer_group(r, s, p);
	if (p->name)
		return peer_kind(r, s, p->name, p);
	plan_complain(r, s, "peers: wants \"qemu-tcg\", \"qemu-kvm\" or a group { name = ...; csv = ...; }, not %s",
	              conf_type_name(s));
	return false;
}

void plan_read_peers(struct plan_reader *r, const config_setting_t *s, void *into)
{
	struct plan *plan = into;

	plan->n_peers = 0;
	if (!plan_is_list(r, s))
		return;
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		struct plan_peer *p = &plan->peers[plan->n_peers];
		size_t twin = 0;

		if (plan->n_peers == PLAN_MAX) {
			plan_complain(r, e, "peers: are more than %d; leave some out", PLAN_MAX);
			return;
		}
		if (!read_peer(r, e, p))
			continue;
		while (twin < plan->n_peers && strcmp(plan->peers[twin].name, p->name) != 0)
			twin++;
		if (twin < plan->n_peers)
			plan_complain(r, e, "peers: \"%s\" is there twice; give one of them another name", p->name);
		else
			plan->n_peers++;
	}
}
