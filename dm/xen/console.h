/* SPDX-License-Identifier: MIT */
/*
 * Back end of a domain's first PV console (hvc0 in Linux): one shared page of
 * two byte rings and an event channel, announced by HVM params and by the
 * console directory of the store.
 */
#ifndef DM_XEN_CONSOLE_H
#define DM_XEN_CONSOLE_H

#include "gamut/host.h"
#include "gamut/xen.h"

struct xen_console;

/* NULL with errno set. [control] */
struct xen_console *xen_console_create(const struct gamut_host *host, struct gamut_inst *inst);
/* NULL is allowed. [control] */
void xen_console_destroy(struct xen_console *con);

/*
 * Allocates page, frame and port, maps the page, writes the store's console
 * directory and starts to listen to the terminal. 0, or what host->fail gave.
 * [control]
 */
int xen_console_start(struct xen_console *con, const struct gamut_xenbus_ops *bus, void *bus_self,
                      const struct gamut_evtchn_ops *evtchn, void *evtchn_self);
/* Guest reset: empty rings; the same frame and port, announced anew. [control] */
int xen_console_reset(struct xen_console *con);
/* Takes out what the guest has written so far, then disconnects. [control] */
void xen_console_stop(struct xen_console *con);

#endif
