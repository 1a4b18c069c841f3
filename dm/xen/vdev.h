/* SPDX-License-Identifier: MIT */
/* Names and numbers of virtual block devices, as docs/misc/vbd-interface of Xen has them. */
#ifndef DM_XEN_VDEV_H
#define DM_XEN_VDEV_H

#include <stdint.h>

/*
 * The number of a name such as "xvda", "xvdaa", "xvdb2", "hdc" or "sdp". 0, or
 * -EINVAL for what is no such name or has no number.
 */
int vdev_number(const char *name, uint32_t *number);

#endif
