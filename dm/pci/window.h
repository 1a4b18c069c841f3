/* SPDX-License-Identifier: MIT */
/*
 * What an address of a PCI bus leads to: the windows of one space (ports or
 * memory) that base address registers open.
 *
 * The guest moves windows while other vCPUs go through them. A map is a sorted
 * array that never changes; moving a window fills another map and swaps it in.
 * A reader says which map it looks at (one word of its own, a hazard pointer),
 * copies the one window it wants, and takes the word back before it calls the
 * function. There is one map for each reader and two more, so the writer always
 * finds one that nobody looks at: nothing is allocated after the last function
 * was added, and nobody waits.
 */
#ifndef DM_PCI_WINDOW_H
#define DM_PCI_WINDOW_H

#include <stdbool.h>

#include "gamut/host.h"

struct pci_window {
	uint64_t first, last; /* addresses, both included */
	uint64_t offset;      /* of `first` in the function's range */
	const struct gamut_io_ops *ops;
	void *opaque;
};

struct pci_map {
	uint32_t n;
	struct pci_window *window; /* ascending, without overlaps */
};

struct pci_reader {
	_Alignas(64) struct pci_map *in_use; /* atomic */
};

struct pci_windows {
	struct pci_map *now; /* atomic */
	struct pci_map *maps;
	uint32_t n_maps, room; /* windows that fit into each */
	struct pci_reader *readers;
	uint32_t n_readers;
};

/* For readers 0 to n_readers - 1, empty. 0 or -ENOMEM. [control] */
int pci_windows_init(struct pci_windows *w, uint32_t n_readers);
void pci_windows_finish(struct pci_windows *w);

/* Room for so many windows that overlap in any way. 0 or -ENOMEM. [control] */
int pci_windows_reserve(struct pci_windows *w, uint32_t n);

/* Begins a new map; one writer at a time. Never NULL. [vcpu] [control] */
struct pci_map *pci_windows_begin(struct pci_windows *w);
/*
 * Adds what of a window is not covered by those added before: where two
 * overlap, the first answers. last >= first.
 */
void pci_windows_add(struct pci_windows *w, struct pci_map *map, const struct pci_window *window);
void pci_windows_publish(struct pci_windows *w, struct pci_map *map);

/*
 * The window that holds `address`, copied. Reader numbers are used by one
 * thread at a time. [vcpu]
 */
bool pci_windows_find(struct pci_windows *w, uint32_t reader, uint64_t address, struct pci_window *found);

#endif
