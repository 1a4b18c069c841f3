/* SPDX-License-Identifier: MIT */
/* Characters of a PC's screen as Unicode. */
#ifndef DM_TERM_CP437_H
#define DM_TERM_CP437_H

#include <stdint.h>

uint32_t cp437_unicode(uint8_t code);
/* The same as UTF-8; returns how many bytes. */
uint32_t cp437_utf8(uint8_t code, char out[3]);

#endif
