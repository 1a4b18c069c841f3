/* SPDX-License-Identifier: MIT */
#include "engine-select.h"

#include <stdio.h>
#include <string.h>

/* Weak, so that parts of the core can be built and tested without an engine. */
extern const struct engine_ops engine_bt __attribute__((weak));
extern const struct engine_ops engine_kvm __attribute__((weak));

/* In the order in which "auto" prefers them. */
static const struct {
	enum conf_engine setting;
	const char *name;
	const struct engine_ops *ops; /* NULL: not built in */
	bool asked_for; /* never chosen by itself */
} engines[] = {
	{ CONF_ENGINE_KVM, "kvm", &engine_kvm, true },
	{ CONF_ENGINE_BT, "bt", &engine_bt, false },
};

#define N_ENGINES (sizeof(engines) / sizeof(engines[0]))

int engine_from_name(const char *name)
{
	if (!strcmp(name, "auto"))
		return CONF_ENGINE_AUTO;
	for (unsigned i = 0; i < N_ENGINES; i++) {
		if (!strcmp(name, engines[i].name))
			return engines[i].setting;
	}
	return -1;
}

static const struct engine_ops *probe(unsigned i, struct engine_caps *caps, char *why, unsigned why_len)
{
	char reason[160] = "";

	memset(caps, 0, sizeof(*caps));
	if (!engines[i].ops) {
		snprintf(why, why_len, "engine %s is not built in", engines[i].name);
		return NULL;
	}
	if (!engines[i].ops->probe(caps, reason, sizeof(reason))) {
		snprintf(why, why_len, "engine %s cannot run here: %s", engines[i].name, reason);
		return NULL;
	}
	snprintf(why, why_len, "engine %s", engines[i].name);
	return engines[i].ops;
}

static const struct engine_ops *choose(struct engine_caps *caps, char *why, unsigned why_len)
{
	char passed[256] = "", reason[200];

	for (unsigned i = 0; i < N_ENGINES; i++) {
		size_t used = strlen(passed);
		const struct engine_ops *ops;

		if (engines[i].asked_for)
			continue;
		ops = probe(i, caps, reason, sizeof(reason));
		if (ops) {
			snprintf(why, why_len, "engine %s chosen%s%s", ops->name, passed[0] ? ": " : "", passed);
			return ops;
		}
		snprintf(passed + used, sizeof(passed) - used, "%s%s", used ? "; " : "", reason);
	}
	snprintf(why, why_len, "no engine can run here: %s", passed);
	return NULL;
}

const struct engine_ops *engine_select(enum conf_engine want, struct engine_caps *caps, char *why, unsigned why_len)
{
	if (want == CONF_ENGINE_AUTO)
		return choose(caps, why, why_len);
	for (unsigned i = 0; i < N_ENGINES; i++) {
		if (engines[i].setting == want)
			return probe(i, caps, why, why_len);
	}
	snprintf(why, why_len, "no such engine");
	return NULL;
}
