/* SPDX-License-Identifier: MIT */
#include "dm/xen/hypercall.h"

#include <errno.h>
#include <string.h>

void xen_env_init(struct xen_env *env, const struct gamut_host *host, struct gamut_inst *inst)
{
	*env = (struct xen_env){
		.host = host,
		.inst = inst,
		.domid = host->domain_id(inst),
		.n_vcpus = host->vcpu_count(inst),
		.unimplemented = host->counter(inst, "hypercalls-not-implemented"),
	};
}

bool xen_env_self(const struct xen_env *env, uint32_t domid)
{
	return domid == DOMID_SELF || domid == env->domid;
}

int64_t xen_unimplemented(const struct xen_env *env)
{
	xen_count(env->unimplemented);
	return -ENOSYS;
}

int xen_get_raw(const struct xen_env *env, const struct gamut_hypercall *call, uint64_t va, void *buf, uint64_t len)
{
	return env->host->guest_read(env->inst, call->vcpu, va, buf, len) ? -EFAULT : 0;
}

int xen_put_raw(const struct xen_env *env, const struct gamut_hypercall *call, uint64_t va, const void *buf,
                uint64_t len)
{
	return env->host->guest_write(env->inst, call->vcpu, va, buf, len) ? -EFAULT : 0;
}

int xen_get(const struct xen_env *env, const struct gamut_hypercall *call, uint64_t va, void *buf,
            const struct xen_layout *layout)
{
	uint8_t narrow[XEN_LAYOUT_MAX];
	uint8_t *wide = buf;

	if (call->long_mode)
		return xen_get_raw(env, call, va, buf, layout->size64);
	if (xen_get_raw(env, call, va, narrow, layout->size32))
		return -EFAULT;
	memset(wide, 0, layout->size64);
	for (uint32_t i = 0; i < layout->n; i++) {
		const struct xen_field *f = &layout->field[i];

		memcpy(wide + f->at64, narrow + f->at32, f->len32);
	}
	return 0;
}

int xen_put(const struct xen_env *env, const struct gamut_hypercall *call, uint64_t va, const void *buf,
            const struct xen_layout *layout)
{
	uint8_t narrow[XEN_LAYOUT_MAX] = { 0 };
	const uint8_t *wide = buf;

	if (call->long_mode)
		return xen_put_raw(env, call, va, buf, layout->size64);
	for (uint32_t i = 0; i < layout->n; i++) {
		const struct xen_field *f = &layout->field[i];

		memcpy(narrow + f->at32, wide + f->at64, f->len32);
	}
	return xen_put_raw(env, call, va, narrow, layout->size32);
}

uint64_t xen_stride(const struct gamut_hypercall *call, const struct xen_layout *layout)
{
	return call->long_mode ? layout->size64 : layout->size32;
}

int xen_get_long(const struct xen_env *env, const struct gamut_hypercall *call, uint64_t array, uint64_t i,
                 uint64_t *value)
{
	uint32_t narrow;

	if (call->long_mode)
		return xen_get_raw(env, call, array + i * 8, value, 8);
	if (xen_get_raw(env, call, array + i * 4, &narrow, 4))
		return -EFAULT;
	*value = narrow == UINT32_MAX ? UINT64_MAX : narrow;
	return 0;
}

int xen_put_long(const struct xen_env *env, const struct gamut_hypercall *call, uint64_t array, uint64_t i,
                 uint64_t value)
{
	uint64_t width = call->long_mode ? 8 : 4;

	return xen_put_raw(env, call, array + i * width, &value, width);
}

int64_t xen_dispatch(const struct xen_env *env, const xen_subop_fn *table, uint32_t n, void *self,
                     struct gamut_hypercall *call, uint64_t cmd, uint64_t arg)
{
	if (call->cpl)
		return -EPERM;
	if (cmd >= n || !table[cmd])
		return xen_unimplemented(env);
	return table[cmd](self, call, arg);
}

int xen_hypercalls_register(const struct xen_env *env, const struct xen_hypercall *table, uint32_t n, void *opaque)
{
	for (uint32_t i = 0; i < n; i++) {
		int rc = env->host->hypercall_register(env->inst, table[i].nr, table[i].fn, opaque);

		if (rc)
			return rc;
	}
	return 0;
}
