/* SPDX-License-Identifier: MIT */
#include "dm/xen/xenbus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/hvm/params.h>
#include <xen/io/xenbus.h>

#include "dm/xen/xenstore.h"
#include "dm/xen/xs-path.h"

/* Ranges of RAM asked of the host at a time; only their sum matters. */
#define RANGES 64

struct xenbus {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct xenstore *xs;
	uint32_t domid;
	char home[XS_HOME_SIZE];
	char uuid[40];
	uint64_t special_gfn;
	uint32_t special_count, special_used;
	struct gamut_page *page;
	void *page_host;
	uint64_t store_gfn;
	uint32_t store_port;
	bool attached;
	uint64_t params[HVM_NR_PARAMS]; /* relaxed atomics */
	int (*param_set)(void *opaque, uint32_t index, uint64_t value);
	void *param_opaque;
};

/* ---- writing the tree --------------------------------------------------------------- */

/* Who may do what with a node, as libxl has it. */
enum rights {
	RIGHTS_NONE, /* domain 0's, nobody else's */
	RIGHTS_RO,   /* domain 0's, read by the guest */
	RIGHTS_RW,   /* the guest's own */
	RIGHTS_FRONT /* the guest's own, read by domain 0 */
};

static int set_rights(struct xenbus *bus, const char *path, enum rights rights)
{
	const struct xs_perm table[][2] = {
	        [RIGHTS_NONE] = {{0, 'n'}},
	        [RIGHTS_RO] = {{0, 'n'}, {bus->domid, 'r'}},
	        [RIGHTS_RW] = {{bus->domid, 'n'}},
	        [RIGHTS_FRONT] = {{bus->domid, 'n'}, {0, 'r'}},
	};
	uint32_t n = rights == RIGHTS_RO || rights == RIGHTS_FRONT ? 2 : 1;

	return xenstore_set_perms(bus->xs, path, table[rights], n);
}

static int put(struct xenbus *bus, enum rights rights, const char *path, const char *value)
{
	int err = xenstore_write(bus->xs, path, value, (uint32_t)strlen(value));

	return err ? err : set_rights(bus, path, rights);
}

/* dir/name = the formatted value, with the rights that dir has. */
static int GAMUT_PRINTF(4, 5)
        putf(struct xenbus *bus, const char *dir, const char *name, const char *fmt, ...)
{
	char path[XS_PATH_SIZE], value[256];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(value, sizeof(value), fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(value))
		return -E2BIG;
	n = snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -EINVAL;
	return xenstore_write(bus->xs, path, value, (uint32_t)strlen(value));
}

static const struct {
	const char *name;
	const char *value;
	enum rights rights;
} domain_nodes[] = {
        {"cpu", "", RIGHTS_RO},
        {"memory", "", RIGHTS_RO},
        {"device", "", RIGHTS_RO},
        {"device/suspend", "", RIGHTS_RO},
        {"device/suspend/event-channel", "", RIGHTS_RW},
        {"store", "", RIGHTS_RO},
        {"console", "", RIGHTS_RO},
        {"control", "", RIGHTS_RO},
        {"control/shutdown", "", RIGHTS_RW},
        {"control/feature-suspend", "", RIGHTS_RW},
        {"control/feature-poweroff", "", RIGHTS_RW},
        {"control/feature-reboot", "", RIGHTS_RW},
        {"control/feature-s3", "", RIGHTS_RW},
        {"control/feature-s4", "", RIGHTS_RW},
        {"control/feature-balloon", "", RIGHTS_RW},
        {"control/sysrq", "", RIGHTS_RW},
        {"control/platform-feature-multiprocessor-suspend", "1", RIGHTS_RO},
        {"control/platform-feature-xs_reset_watches", "1", RIGHTS_RO},
        {"hvmloader", "", RIGHTS_RO},
        {"data", "", RIGHTS_RW},
        {"drivers", "", RIGHTS_RW},
        {"feature", "", RIGHTS_RW},
        {"attr", "", RIGHTS_RW},
        {"error", "", RIGHTS_RW},
        {"backend", "", RIGHTS_RO},
};

static int fill_nodes(struct xenbus *bus)
{
	char path[XS_PATH_SIZE];
	int err = put(bus, RIGHTS_RO, bus->home, "");

	for (size_t i = 0; !err && i < sizeof(domain_nodes) / sizeof(domain_nodes[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", bus->home, domain_nodes[i].name);
		err = put(bus, domain_nodes[i].rights, path, domain_nodes[i].value);
	}
	return err;
}

static int fill_names(struct xenbus *bus)
{
	const char *name = bus->host->domain_name(bus->inst);
	char vm[64];
	int err;

	snprintf(vm, sizeof(vm), "/vm/%s", bus->uuid);
	err = put(bus, RIGHTS_RO, vm, "");
	if (!err)
		err = putf(bus, vm, "uuid", "%s", bus->uuid);
	if (!err)
		err = putf(bus, vm, "name", "%s", name);
	if (!err)
		err = putf(bus, bus->home, "vm", "%s", vm);
	if (!err)
		err = putf(bus, bus->home, "name", "%s", name);
	return err ? err : putf(bus, bus->home, "domid", "%u", bus->domid);
}

static uint64_t ram_kib(struct xenbus *bus)
{
	struct gamut_mem_range ranges[RANGES];
	uint32_t n = bus->host->mem_ranges(bus->inst, ranges, RANGES);
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < n && i < RANGES; i++)
		bytes += ranges[i].size;
	return bytes >> 10;
}

static int fill_resources(struct xenbus *bus)
{
	uint64_t kib = ram_kib(bus);
	uint32_t vcpus = bus->host->vcpu_count(bus->inst);
	char name[48];
	int err = putf(bus, bus->home, "memory/static-max", "%" PRIu64, kib);

	if (!err)
		err = putf(bus, bus->home, "memory/target", "%" PRIu64, kib);
	if (!err)
		err = putf(bus, bus->home, "memory/videoram", "0");
	if (!err)
		err = putf(bus, bus->home, "store/port", "%u", bus->store_port);
	if (!err)
		err = putf(bus, bus->home, "store/ring-ref", "%" PRIu64, bus->store_gfn);
	for (uint32_t i = 0; !err && i < vcpus; i++) {
		snprintf(name, sizeof(name), "cpu/%u/availability", i);
		err = putf(bus, bus->home, name, "online");
	}
	return err;
}

static int fill_dom0(struct xenbus *bus)
{
	static const char dom0[] = "/local/domain/0";
	int err = put(bus, RIGHTS_NONE, dom0, "");

	if (!err)
		err = putf(bus, dom0, "name", "Domain-0");
	if (!err)
		err = putf(bus, dom0, "domid", "0");
	return err ? err : put(bus, RIGHTS_NONE, "/local/domain/0/backend", "");
}

static int fill(struct xenbus *bus)
{
	int err = fill_dom0(bus);

	if (!err)
		err = fill_nodes(bus);
	if (!err)
		err = fill_names(bus);
	return err ? err : fill_resources(bus);
}

/* ---- params and frames ----------------------------------------------------------------- */

int xenbus_hvm_param_set(struct xenbus *bus, uint32_t index, uint64_t value)
{
	if (index >= HVM_NR_PARAMS)
		return -EINVAL;
	__atomic_store_n(&bus->params[index], value, __ATOMIC_RELAXED);
	return 0;
}

int xenbus_hvm_param_get(struct xenbus *bus, uint32_t index, uint64_t *value)
{
	if (index >= HVM_NR_PARAMS)
		return -EINVAL;
	*value = __atomic_load_n(&bus->params[index], __ATOMIC_RELAXED);
	return 0;
}

static uint64_t special_gfn(struct xenbus *bus)
{
	if (bus->special_used >= bus->special_count)
		return 0;
	return bus->special_gfn + bus->special_used++;
}

static void params_reset(struct xenbus *bus)
{
	for (uint32_t i = 0; i < HVM_NR_PARAMS; i++)
		xenbus_hvm_param_set(bus, i, 0);
	xenbus_hvm_param_set(bus, HVM_PARAM_STORE_PFN, bus->store_gfn);
	xenbus_hvm_param_set(bus, HVM_PARAM_STORE_EVTCHN, bus->store_port);
}

/* ---- life --------------------------------------------------------------------------------- */

static void format_uuid(const uint8_t *u, char *text, size_t size)
{
	snprintf(text, size, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
	         u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
	         u[15]);
}

struct xenbus *xenbus_create(const struct xenbus_config *config)
{
	const struct gamut_host *host = config->host;
	struct xenbus *bus = calloc(1, sizeof(*bus));

	if (!bus) {
		errno = ENOMEM;
		return NULL;
	}
	bus->host = host;
	bus->inst = config->inst;
	bus->domid = host->domain_id(config->inst);
	bus->special_gfn = config->special_gfn;
	bus->special_count = config->special_count;
	bus->param_set = config->param_set;
	bus->param_opaque = config->opaque;
	xs_path_home(bus->domid, bus->home);
	format_uuid(host->domain_uuid(config->inst), bus->uuid, sizeof(bus->uuid));
	bus->xs = xenstore_create(host, config->inst, bus->domid);
	if (!bus->xs)
		goto fail;
	bus->page = host->page_alloc(config->inst, 1, &bus->page_host);
	bus->store_gfn = special_gfn(bus);
	if (!bus->page || !bus->store_gfn)
		goto fail;
	return bus;
fail:
	xenbus_destroy(bus);
	errno = ENOMEM;
	return NULL;
}

void xenbus_destroy(struct xenbus *bus)
{
	if (!bus)
		return;
	xenbus_stop(bus);
	if (bus->page)
		bus->host->page_free(bus->inst, bus->page);
	xenstore_destroy(bus->xs);
	free(bus);
}

int xenbus_start(struct xenbus *bus, const struct gamut_evtchn_ops *evtchn, void *evtchn_self)
{
	int port = xenstore_attach(bus->xs, bus->page_host, evtchn, evtchn_self);
	int err;

	if (port < 0)
		return port;
	bus->attached = true;
	bus->store_port = (uint32_t)port;
	err = xenbus_reset(bus);
	if (err)
		xenbus_stop(bus);
	return err;
}

/* Whatever the guest has done to its map, the page is where the param says. */
static int place_page(struct xenbus *bus)
{
	bus->host->page_unmap(bus->inst, bus->page, 0);
	return bus->host->page_map(bus->inst, bus->page, 0, bus->store_gfn << 12);
}

int xenbus_reset(struct xenbus *bus)
{
	int err = place_page(bus);

	if (err)
		return err;
	memset(bus->page_host, 0, 4096);
	err = xenstore_reset(bus->xs);
	params_reset(bus);
	return err ? err : fill(bus);
}

void xenbus_stop(struct xenbus *bus)
{
	if (!bus->attached)
		return;
	bus->attached = false;
	xenstore_detach(bus->xs);
	bus->host->page_unmap(bus->inst, bus->page, 0);
}

struct xenstore *xenbus_store(struct xenbus *bus)
{
	return bus->xs;
}

const char *xenbus_home(const struct xenbus *bus)
{
	return bus->home;
}

/* ---- devices ------------------------------------------------------------------------------ */

struct device_paths {
	char front[96], back[96];
};

static int device_paths(struct xenbus *bus, const char *type, uint32_t devid, struct device_paths *p)
{
	int f = snprintf(p->front, sizeof(p->front), "%s/device/%s/%u", bus->home, type, devid);
	int b = snprintf(p->back, sizeof(p->back), "/local/domain/0/backend/%s/%u/%u", type, bus->domid,
	                 devid);

	if (f < 0 || b < 0 || (size_t)f >= sizeof(p->front) || (size_t)b >= sizeof(p->back))
		return -EINVAL;
	return xs_path_valid(p->front) && xs_path_valid(p->back) ? 0 : -EINVAL;
}

static int rm_if_there(struct xenbus *bus, const char *path)
{
	int err = xenstore_rm(bus->xs, path);

	return err == -ENOENT ? 0 : err;
}

static int device_clear(struct xenbus *bus, const struct device_paths *p)
{
	int err = rm_if_there(bus, p->front);

	return err ? err : rm_if_there(bus, p->back);
}

/*
 * The back end's directory first: a guest that sees its own may look at once.
 * (It does not run yet at start; it does when a device is added later.)
 */
static int device_fill(struct xenbus *bus, const struct device_paths *p)
{
	int err = put(bus, RIGHTS_RO, p->back, "");

	if (!err)
		err = putf(bus, p->back, "frontend", "%s", p->front);
	if (!err)
		err = putf(bus, p->back, "frontend-id", "%u", bus->domid);
	if (!err)
		err = putf(bus, p->back, "online", "1");
	if (!err)
		err = putf(bus, p->back, "state", "%d", XenbusStateInitialising);
	if (!err)
		err = put(bus, RIGHTS_FRONT, p->front, "");
	if (!err)
		err = putf(bus, p->front, "backend", "%s", p->back);
	if (!err)
		err = putf(bus, p->front, "backend-id", "0");
	return err ? err : putf(bus, p->front, "state", "%d", XenbusStateInitialising);
}

static bool exists(struct xenbus *bus, const char *path)
{
	char *value = xenstore_read(bus->xs, path, NULL);
	bool found = value != NULL;

	free(value);
	return found;
}

static int ops_device_add(void *self, const char *type, uint32_t devid, char *frontend, uint32_t frontend_len,
                          char *backend, uint32_t backend_len)
{
	struct xenbus *bus = self;
	struct device_paths p;
	int err = device_paths(bus, type, devid, &p);

	if (err)
		return err;
	if (strlen(p.front) >= frontend_len || strlen(p.back) >= backend_len)
		return -ENAMETOOLONG;
	if (exists(bus, p.back))
		return -EEXIST;
	/* The guest may have made something where its half goes. */
	err = device_clear(bus, &p);
	if (!err)
		err = device_fill(bus, &p);
	if (err)
		return err;
	memcpy(frontend, p.front, strlen(p.front) + 1);
	memcpy(backend, p.back, strlen(p.back) + 1);
	return 0;
}

static int ops_device_remove(void *self, const char *type, uint32_t devid)
{
	struct device_paths p;
	int err = device_paths(self, type, devid, &p);

	return err ? err : device_clear(self, &p);
}

/* ---- the table ------------------------------------------------------------------------------ */

static char *ops_read(void *self, const char *path, uint32_t *len)
{
	return xenstore_read(xenbus_store(self), path, len);
}

static int ops_write(void *self, const char *path, const void *value, uint32_t len)
{
	return xenstore_write(xenbus_store(self), path, value, len);
}

static int ops_rm(void *self, const char *path)
{
	return xenstore_rm(xenbus_store(self), path);
}

static struct gamut_xs_watch *ops_watch(void *self, const char *path, gamut_xs_watch_fn fn, void *opaque)
{
	return xenstore_watch(xenbus_store(self), path, fn, opaque);
}

static void ops_unwatch(void *self, struct gamut_xs_watch *watch)
{
	xenstore_unwatch(xenbus_store(self), watch);
}

static int ops_param_set(void *self, uint32_t index, uint64_t value)
{
	struct xenbus *bus = self;
	int rc = xenbus_hvm_param_set(bus, index, value);

	return rc || !bus->param_set ? rc : bus->param_set(bus->param_opaque, index, value);
}

static int ops_param_get(void *self, uint32_t index, uint64_t *value)
{
	return xenbus_hvm_param_get(self, index, value);
}

static uint64_t ops_special_gfn(void *self)
{
	return special_gfn(self);
}

const struct gamut_xenbus_ops xenbus_ops = {
        .size = sizeof(struct gamut_xenbus_ops),
        .read = ops_read,
        .write = ops_write,
        .rm = ops_rm,
        .watch = ops_watch,
        .unwatch = ops_unwatch,
        .device_add = ops_device_add,
        .device_remove = ops_device_remove,
        .hvm_param_set = ops_param_set,
        .hvm_param_get = ops_param_get,
        .special_gfn = ops_special_gfn,
};
