/* SPDX-License-Identifier: MIT */
/* Names of store nodes: validity and the guest's relative form. Pure functions. */
#ifndef DM_XEN_XS_PATH_H
#define DM_XEN_XS_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

/* Room for a canonical path and its NUL. */
#define XS_PATH_SIZE (XENSTORE_ABS_PATH_MAX + 1)
/* Room for "/local/domain/<domid>" and its NUL. */
#define XS_HOME_SIZE 32

/* Writes the directory under which a domain's relative paths lie; returns its length. */
uint32_t xs_path_home(uint32_t domid, char home[XS_HOME_SIZE]);

/*
 * True for an absolute path that may name a node: allowed characters, no
 * empty component, no slash at the end (but "/" itself), lengths within
 * XENSTORE_ABS_PATH_MAX, and XENSTORE_REL_PATH_MAX below a domain's home.
 */
bool xs_path_valid(const char *path);

/*
 * The absolute form of a path that domain domid gave. watch: the special
 * names "@..." are allowed too. 0 or -EINVAL.
 */
int xs_path_canonical(uint32_t domid, const char *path, bool watch, char out[XS_PATH_SIZE]);

/* True when path is dir or lies below it. */
bool xs_path_below(const char *path, const char *dir);

/*
 * The next component of a path: *pos points at a slash or the end. Returns
 * its start and length and moves *pos behind it; NULL at the end.
 */
const char *xs_path_next(const char **pos, uint32_t *len);

#endif
