/* SPDX-License-Identifier: MIT */
#include "dm/xen/shinfo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gamut/xen.h"

static const struct shinfo_layout layout64 = {
	.word_bits = 64,
	.n_ports = 4096,
	.pending = offsetof(struct shared_info, evtchn_pending),
	.mask = offsetof(struct shared_info, evtchn_mask),
	.wc_version = offsetof(struct shared_info, wc_version),
	.wc_sec = offsetof(struct shared_info, wc_sec),
	.wc_nsec = offsetof(struct shared_info, wc_nsec),
	.wc_sec_hi = offsetof(struct shared_info, wc_sec_hi),
	.vcpu_info_size = sizeof(struct vcpu_info),
	.sel = offsetof(struct vcpu_info, evtchn_pending_sel),
	.time = offsetof(struct vcpu_info, time),
};

static const struct shinfo_layout layout32 = {
	.word_bits = 32,
	.n_ports = 1024,
	.pending = offsetof(struct shared_info_x86_32, evtchn_pending),
	.mask = offsetof(struct shared_info_x86_32, evtchn_mask),
	.wc_version = offsetof(struct shared_info_x86_32, wc_version),
	.wc_sec = offsetof(struct shared_info_x86_32, wc_sec),
	.wc_nsec = offsetof(struct shared_info_x86_32, wc_nsec),
	.wc_sec_hi = offsetof(struct shared_info_x86_32, arch.wc_sec_hi),
	.vcpu_info_size = sizeof(struct vcpu_info_x86_32),
	.sel = offsetof(struct vcpu_info_x86_32, evtchn_pending_sel),
	.time = offsetof(struct vcpu_info_x86_32, time),
};

_Static_assert(sizeof(struct vcpu_info) == 64 && sizeof(struct vcpu_info_x86_32) == 64,
               "a vcpu_info is found at 64 * id in both layouts");
_Static_assert(sizeof(struct shared_info) <= XEN_PAGE_SIZE, "shared_info is one page");

#define VCPU_INFO_SIZE 64u

static uint8_t *legacy_info(const struct shinfo *si, uint32_t vcpu)
{
	return vcpu < XEN_LEGACY_MAX_VCPUS ? si->shared + vcpu * VCPU_INFO_SIZE : NULL;
}

static void set_info(struct shinfo *si, uint32_t vcpu, uint8_t *info)
{
	__atomic_store_n(&si->vcpu[vcpu].info, info, __ATOMIC_RELEASE);
}

int shinfo_init(struct shinfo *si, const struct xen_env *env)
{
	void *host;

	*si = (struct shinfo){ .env = env, .layout = &layout64, .where = GAMUT_GPA_NONE };
	si->vcpu = calloc(env->n_vcpus, sizeof(*si->vcpu));
	if (!si->vcpu)
		return -ENOMEM;
	si->page = env->host->page_alloc(env->inst, 1, &host);
	if (!si->page) {
		free(si->vcpu);
		return -ENOMEM;
	}
	si->shared = host;
	pthread_mutex_init(&si->lock, NULL);
	for (uint32_t i = 0; i < env->n_vcpus; i++) {
		si->vcpu[i].registered = GAMUT_GPA_NONE;
		set_info(si, i, legacy_info(si, i));
	}
	return 0;
}

/* Lets go of a registered vcpu_info's page; the place stays known. */
static void put_registered(struct shinfo *si, uint32_t vcpu)
{
	uint8_t *info = shinfo_vcpu_info(si, vcpu);

	if (si->vcpu[vcpu].registered == GAMUT_GPA_NONE || !info)
		return;
	set_info(si, vcpu, NULL);
	si->env->host->mem_put(si->env->inst, info, VCPU_INFO_SIZE);
}

void shinfo_finish(struct shinfo *si)
{
	for (uint32_t i = 0; i < si->env->n_vcpus; i++)
		put_registered(si, i);
	si->env->host->page_free(si->env->inst, si->page);
	pthread_mutex_destroy(&si->lock);
	free(si->vcpu);
}

void shinfo_reset(struct shinfo *si)
{
	for (uint32_t i = 0; i < si->env->n_vcpus; i++) {
		put_registered(si, i);
		si->vcpu[i].registered = GAMUT_GPA_NONE;
		set_info(si, i, legacy_info(si, i));
	}
	if (!si->stays)
		shinfo_place(si, GAMUT_GPA_NONE);
	memset(si->shared, 0, XEN_PAGE_SIZE);
	__atomic_store_n(&si->layout, &layout64, __ATOMIC_RELEASE);
}

void shinfo_pause(struct shinfo *si)
{
	pthread_mutex_lock(&si->lock);
	si->paused = true;
	for (uint32_t i = 0; i < si->env->n_vcpus; i++)
		put_registered(si, i);
	pthread_mutex_unlock(&si->lock);
}

void shinfo_resume(struct shinfo *si)
{
	const struct gamut_host *host = si->env->host;

	pthread_mutex_lock(&si->lock);
	si->paused = false;
	for (uint32_t i = 0; i < si->env->n_vcpus; i++) {
		struct shinfo_vcpu *v = &si->vcpu[i];

		if (v->registered != GAMUT_GPA_NONE && !shinfo_vcpu_info(si, i))
			set_info(si, i, host->mem_get(si->env->inst, v->registered, VCPU_INFO_SIZE));
	}
	pthread_mutex_unlock(&si->lock);
}

int shinfo_place(struct shinfo *si, uint64_t gpa)
{
	const struct gamut_host *host = si->env->host;
	int rc = 0;

	pthread_mutex_lock(&si->lock);
	if (gpa == si->where)
		goto out;
	if (si->where != GAMUT_GPA_NONE)
		host->page_unmap(si->env->inst, si->page, 0);
	si->where = GAMUT_GPA_NONE;
	if (gpa != GAMUT_GPA_NONE)
		rc = host->page_map(si->env->inst, si->page, 0, gpa);
	if (!rc)
		si->where = gpa;
out:
	pthread_mutex_unlock(&si->lock);
	return rc;
}

uint64_t shinfo_where(struct shinfo *si)
{
	uint64_t where;

	pthread_mutex_lock(&si->lock);
	where = si->where;
	pthread_mutex_unlock(&si->lock);
	return where;
}

void shinfo_latch(struct shinfo *si, bool long_mode)
{
	__atomic_store_n(&si->layout, long_mode ? &layout64 : &layout32, __ATOMIC_RELEASE);
}

int shinfo_register(struct shinfo *si, uint32_t vcpu, uint64_t gpa)
{
	const struct gamut_host *host = si->env->host;
	struct shinfo_vcpu *v = &si->vcpu[vcpu];
	const uint8_t *old;
	uint8_t *info = NULL;

	pthread_mutex_lock(&si->lock);
	if (v->registered == GAMUT_GPA_NONE)
		info = host->mem_get(si->env->inst, gpa, VCPU_INFO_SIZE);
	if (info) {
		static const uint8_t none[VCPU_INFO_SIZE] = { [SHINFO_MASK] = 1 };

		old = legacy_info(si, vcpu);
		memcpy(info, old ? old : none, VCPU_INFO_SIZE);
		v->registered = gpa;
		set_info(si, vcpu, info);
	}
	pthread_mutex_unlock(&si->lock);
	if (!info)
		return -EINVAL;
	shinfo_dirty(si, vcpu);
	return 0;
}

void shinfo_dirty(struct shinfo *si, uint32_t vcpu)
{
	uint64_t gpa = __atomic_load_n(&si->vcpu[vcpu].registered, __ATOMIC_RELAXED);

	if (gpa != GAMUT_GPA_NONE)
		si->env->host->mem_dirty(si->env->inst, gpa, VCPU_INFO_SIZE);
}
