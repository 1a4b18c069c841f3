/* SPDX-License-Identifier: MIT */
#include "engine-select.h"

#include <stdio.h>
#include <string.h>

/* Weak, so that parts of the core can be built and tested without an engine. */
extern const struct engine_ops engine_bt __attribute__((weak));
extern const struct engine_ops engine_kvm __attribute__((weak));
extern const struct engine_ops *engine_kvm_pv(void) __attribute__((weak));

static const struct {
	enum conf_engine setting;
	const char *name;
} settings[] = {
	{ CONF_ENGINE_AUTO, "auto" },
	{ CONF_ENGINE_BT, "bt" },
	{ CONF_ENGINE_KVM, "kvm" },
};

int engine_from_name(const char *name)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (!strcmp(name, settings[i].name))
			return settings[i].setting;
	}
	return -1;
}

/* ---- the host ------------------------------------------------------------------------ */

static void look_at(struct engine_state *state, const char *name, const struct engine_ops *ops)
{
	*state = (struct engine_state){ .ops = ops };
	if (!ops)
		snprintf(state->why, sizeof(state->why), "this build has no engine %s", name);
	else
		state->works = ops->probe(&state->caps, state->why, sizeof(state->why));
}

static void no_kvm(struct engine_state *state, const char *why)
{
	if (!state->ops)
		return;
	state->works = false;
	snprintf(state->why, sizeof(state->why), "%s", why);
}

static void look_at_kvm(struct engine_survey *survey)
{
	look_at(&survey->kvm, "kvm", &engine_kvm);
	look_at(&survey->kvm_pv, "kvm", engine_kvm_pv ? engine_kvm_pv() : NULL);
	if (kvm_probe_kind(&survey->kvm_probe) != KVM_NONE)
		return;
	no_kvm(&survey->kvm, survey->kvm_probe.why);
	no_kvm(&survey->kvm_pv, survey->kvm_probe.why);
}

/* The half of engine kvm that runs this kind of guest. */
static const struct engine_state *kvm_for(const struct engine_survey *survey, const struct engine_needs *needs)
{
	return needs->caps.pv_ring3 && survey->kvm_pv.ops ? &survey->kvm_pv : &survey->kvm;
}

void engine_survey(struct engine_survey *survey)
{
	memset(survey, 0, sizeof(*survey));
	look_at_kvm(survey);
	look_at(&survey->bt, "bt", &engine_bt);
}

/* ---- the decision --------------------------------------------------------------------- */

/* What an engine lacks of what is asked, as a phrase; NULL: nothing. */
static const char *lacks(const struct engine_caps *have, const struct engine_caps *needs)
{
	if (needs->pv_ring3 && !have->pv_ring3)
		return "does not run kernels in ring 3";
	if (needs->hap && !have->hap)
		return "has no HAP";
	if (needs->shadow && !have->shadow)
		return "has no shadow paging";
	if (needs->irqchip && !have->irqchip)
		return "has no interrupt controllers of its own";
	if (needs->max_vcpus > have->max_vcpus)
		return "has not that many vCPUs";
	return NULL;
}

/* A kernel in ring 0 does not come up where ring 0 is emulated. */
static bool ring0_is_emulated(const struct engine_survey *survey, const struct engine_needs *needs)
{
	return survey->kvm_probe.kind == KVM_SOFTWARE && !needs->caps.pv_ring3;
}

/* Why "auto" leaves kvm alone; false: it does not, and buf says what speaks for it. */
static bool against_kvm(const struct engine_survey *survey, const struct engine_needs *needs, char *buf, size_t len)
{
	const struct engine_state *kvm = kvm_for(survey, needs);
	const char *lack = lacks(&kvm->caps, &needs->caps);

	if (survey->kvm_probe.kind == KVM_NONE)
		snprintf(buf, len, "%s", survey->kvm_probe.why);
	else if (ring0_is_emulated(survey, needs))
		snprintf(buf, len, "%s, and mode %s needs it", survey->kvm_probe.why, needs->mode);
	else if (!kvm->works)
		snprintf(buf, len, "%s", kvm->why);
	else if (lack)
		snprintf(buf, len, "the engine kvm %s", lack);
	else
		snprintf(buf, len, "%s%s", survey->kvm_probe.why,
		         survey->kvm_probe.kind == KVM_SOFTWARE ? ", and mode pv does not need it" : "");
	return survey->kvm_probe.kind == KVM_NONE || ring0_is_emulated(survey, needs) || !kvm->works || lack;
}

static void take(struct engine_choice *choice, const struct engine_state *state, const struct engine_needs *needs)
{
	choice->ops = state->ops;
	choice->caps = state->caps;
	choice->lack = lacks(&state->caps, &needs->caps);
}

static void decide_auto(const struct engine_survey *survey, const struct engine_needs *needs,
                        struct engine_choice *choice)
{
	char reason[200];
	bool against = against_kvm(survey, needs, reason, sizeof(reason));

	if (!against)
		take(choice, kvm_for(survey, needs), needs);
	else if (survey->bt.works)
		take(choice, &survey->bt, needs);
	if (choice->ops)
		snprintf(choice->why, sizeof(choice->why), "engine %s (auto: %s)", choice->ops->name, reason);
	else
		snprintf(choice->why, sizeof(choice->why), "no engine can run here: kvm: %.100s; bt: %.100s", reason,
		         survey->bt.why);
}

static bool suits(const struct engine_state *state, const struct engine_needs *needs)
{
	return state->works && !lacks(&state->caps, &needs->caps);
}

/* The other engine, when it would do. */
static const char *other(const struct engine_survey *survey, enum conf_engine want, const struct engine_needs *needs)
{
	if (want == CONF_ENGINE_BT)
		return suits(kvm_for(survey, needs), needs) && !ring0_is_emulated(survey, needs) ? "kvm" : NULL;
	return suits(&survey->bt, needs) ? "bt" : NULL;
}

static void decide_named(const struct engine_survey *survey, enum conf_engine want, const struct engine_needs *needs,
                         struct engine_choice *choice)
{
	const struct engine_state *state = want == CONF_ENGINE_BT ? &survey->bt : kvm_for(survey, needs);
	const char *name = want == CONF_ENGINE_BT ? "bt" : "kvm", *use = other(survey, want, needs);

	if (!state->works) {
		snprintf(choice->why, sizeof(choice->why), "engine %s cannot run here: %s%s%s%s", name, state->why,
		         use ? "; use engine = \"" : "", use ? use : "", use ? "\"" : "");
		return;
	}
	take(choice, state, needs);
	choice->instead = choice->lack ? use : NULL;
	choice->warn = want == CONF_ENGINE_KVM && ring0_is_emulated(survey, needs);
	if (choice->warn)
		snprintf(choice->why, sizeof(choice->why),
		         "engine kvm: %s, and mode %s needs it: a stock kernel does not come up; use engine = \"bt\"",
		         survey->kvm_probe.why, needs->mode);
	else
		snprintf(choice->why, sizeof(choice->why), "engine %s", name);
}

const struct engine_ops *engine_decide(const struct engine_survey *survey, enum conf_engine want,
                                       const struct engine_needs *needs, struct engine_choice *choice)
{
	*choice = (struct engine_choice){ .by_auto = want == CONF_ENGINE_AUTO };
	if (choice->by_auto)
		decide_auto(survey, needs, choice);
	else
		decide_named(survey, want, needs, choice);
	return choice->ops;
}

const struct engine_ops *engine_select(enum conf_engine want, const struct engine_needs *needs,
                                       struct engine_choice *choice)
{
	struct engine_survey survey = { .kvm.ops = NULL };

	look_at(&survey.bt, "bt", &engine_bt);
	if (want != CONF_ENGINE_BT || !suits(&survey.bt, needs))
		look_at_kvm(&survey);
	return engine_decide(&survey, want, needs, choice);
}
