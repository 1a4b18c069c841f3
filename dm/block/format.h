/* SPDX-License-Identifier: MIT */
/*
 * Which format a disk image has.
 *
 * The name decides, not the content: a guest can write whatever it likes to
 * the first sectors of a raw disk, and a monitor that looked there would take
 * its word for what the image is, and for which files of the host back it.
 * Content is only looked at to warn of a name that promises something else.
 */
#ifndef BLOCK_FORMAT_H
#define BLOCK_FORMAT_H

#include <stddef.h>

/* The values of the option "format": "auto", "raw", "qcow2", ...; NULL-terminated. */
extern const char *const block_format_choices[];

/*
 * What "auto" is for a file of that name: one of the choices but "auto". A
 * name that tells nothing is "raw". Pure.
 */
const char *block_format_of_name(const char *path);

/*
 * The format whose mark the first bytes (len of them) and the last 512 (tail,
 * NULL: not known) bear: one of the choices, or NULL. Pure.
 */
const char *block_format_of_content(const void *head, size_t len, const void *tail);

/* qemu-nbd's name for a choice. */
const char *block_format_driver(const char *choice);

#endif
