/* SPDX-License-Identifier: MIT */
#include "dm/pci/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pci_windows_init(struct pci_windows *w, uint32_t n_readers)
{
	*w = (struct pci_windows){ .n_readers = n_readers, .n_maps = n_readers + 2 };
	w->maps = calloc(w->n_maps, sizeof(*w->maps));
	w->readers = aligned_alloc(_Alignof(struct pci_reader), n_readers * sizeof(*w->readers));
	if (!w->maps || !w->readers) {
		pci_windows_finish(w);
		return -ENOMEM;
	}
	memset(w->readers, 0, n_readers * sizeof(*w->readers));
	w->now = &w->maps[0];
	return 0;
}

void pci_windows_finish(struct pci_windows *w)
{
	for (uint32_t i = 0; w->maps && i < w->n_maps; i++)
		free(w->maps[i].window);
	free(w->maps);
	free(w->readers);
	*w = (struct pci_windows){ 0 };
}

/* Each of n windows can cut another in two, so there are at most 2n - 1 pieces. */
int pci_windows_reserve(struct pci_windows *w, uint32_t n)
{
	uint32_t room = 2 * n;

	if (room <= w->room)
		return 0;
	for (uint32_t i = 0; i < w->n_maps; i++) {
		struct pci_window *p = realloc(w->maps[i].window, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		w->maps[i].window = p;
	}
	w->room = room;
	return 0;
}

static bool looked_at(const struct pci_windows *w, const struct pci_map *map)
{
	for (uint32_t i = 0; i < w->n_readers; i++) {
		if (__atomic_load_n(&w->readers[i].in_use, __ATOMIC_SEQ_CST) == map)
			return true;
	}
	return false;
}

/*
 * A reader that names a map after this has looked finds that it is not the
 * current one and takes it back, see pci_windows_find. So at most n_readers
 * maps are taken and one is current; the loop ends.
 */
struct pci_map *pci_windows_begin(struct pci_windows *w)
{
	for (uint32_t i = 0;; i = (i + 1) % w->n_maps) {
		struct pci_map *map = &w->maps[i];

		if (map == w->now || looked_at(w, map))
			continue;
		map->n = 0;
		return map;
	}
}

static void insert(struct pci_windows *w, struct pci_map *map, uint32_t at, const struct pci_window *piece)
{
	if (map->n >= w->room)
		return;
	memmove(&map->window[at + 1], &map->window[at], (map->n - at) * sizeof(*piece));
	map->window[at] = *piece;
	map->n++;
}

void pci_windows_add(struct pci_windows *w, struct pci_map *map, const struct pci_window *window)
{
	uint64_t first = window->first;
	uint32_t i = 0;

	for (;; i++) {
		struct pci_window piece = *window;
		bool end = i == map->n || map->window[i].first > window->last;

		if (!end && map->window[i].last < first)
			continue;
		piece.offset += first - window->first;
		piece.first = first;
		piece.last = end ? window->last : map->window[i].first - 1;
		if (end || map->window[i].first > first)
			insert(w, map, i++, &piece);
		if (end || map->window[i].last >= window->last)
			return;
		first = map->window[i].last + 1;
	}
}

void pci_windows_publish(struct pci_windows *w, struct pci_map *map)
{
	__atomic_store_n(&w->now, map, __ATOMIC_SEQ_CST);
}

static const struct pci_window *search(const struct pci_map *map, uint64_t address)
{
	uint32_t lo = 0, hi = map->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (address > map->window[mid].last)
			lo = mid + 1;
		else if (address < map->window[mid].first)
			hi = mid;
		else
			return &map->window[mid];
	}
	return NULL;
}

bool pci_windows_find(struct pci_windows *w, uint32_t reader, uint64_t address, struct pci_window *found)
{
	struct pci_map **in_use = &w->readers[reader].in_use;
	const struct pci_window *p;
	struct pci_map *map;

	do {
		map = __atomic_load_n(&w->now, __ATOMIC_SEQ_CST);
		__atomic_store_n(in_use, map, __ATOMIC_SEQ_CST);
	} while (__atomic_load_n(&w->now, __ATOMIC_SEQ_CST) != map);
	p = search(map, address);
	if (p)
		*found = *p;
	__atomic_store_n(in_use, NULL, __ATOMIC_RELEASE);
	return p;
}
