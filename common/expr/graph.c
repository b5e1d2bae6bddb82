/*
 * Kahn's algorithm with a heap of the nodes that are ready (Kahn 1962, "Topological
 * sorting of large networks"); what it leaves over holds every cycle, and walking from
 * any left-over node to one that it needs must come round.
 */
#include "expr/graph.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

struct edge {
	size_t to;
	size_t next; /* the next edge of the same node + 1; 0: none */
};

struct graph {
	size_t n;
	size_t *first; /* per node: its first edge + 1 */
	size_t *waits; /* per node: how many it needs that are not in the order yet */
	struct edge *edges;
	size_t n_edges, cap_edges;
};

struct heap {
	size_t *items, n;
};

struct graph *graph_new(size_t nodes)
{
	struct graph *g = xcalloc(1, sizeof *g);

	g->n = nodes;
	g->first = xcalloc(nodes + 1, sizeof *g->first);
	g->waits = xcalloc(nodes + 1, sizeof *g->waits);
	return g;
}

void graph_free(struct graph *g)
{
	if (!g)
		return;
	free(g->first);
	free(g->waits);
	free(g->edges);
	free(g);
}

void graph_edge(struct graph *g, size_t before, size_t after)
{
	assert(before < g->n && after < g->n);
	if (g->n_edges == g->cap_edges) {
		g->cap_edges = g->cap_edges ? 2 * g->cap_edges : 64;
		g->edges = xreallocarray(g->edges, g->cap_edges, sizeof *g->edges);
	}
	g->edges[g->n_edges] = (struct edge){ after, g->first[before] };
	g->first[before] = ++g->n_edges;
}

static void heap_push(struct heap *h, size_t item)
{
	size_t i = h->n++;

	for (; i && h->items[(i - 1) / 2] > item; i = (i - 1) / 2)
		h->items[i] = h->items[(i - 1) / 2];
	h->items[i] = item;
}

static size_t heap_pop(struct heap *h)
{
	size_t top = h->items[0], last = h->items[--h->n], i = 0, child;

	while ((child = 2 * i + 1) < h->n) {
		if (child + 1 < h->n && h->items[child + 1] < h->items[child])
			child++;
		if (h->items[child] >= last)
			break;
		h->items[i] = h->items[child];
		i = child;
	}
	h->items[i] = last;
	return top;
}

int graph_sort(struct graph *g, size_t *ret_order)
{
	cleanup(freep) size_t *items = xcalloc(g->n + 1, sizeof *items);
	struct heap ready = { items, 0 };
	size_t done = 0;

	for (size_t i = 0; i < g->n; i++)
		g->waits[i] = 0;
	for (size_t i = 0; i < g->n_edges; i++)
		g->waits[g->edges[i].to]++;
	for (size_t i = 0; i < g->n; i++)
		if (!g->waits[i])
			heap_push(&ready, i);
	while (ready.n) {
		size_t node = heap_pop(&ready);

		ret_order[done++] = node;
		for (size_t e = g->first[node]; e; e = g->edges[e - 1].next)
			if (--g->waits[g->edges[e - 1].to] == 0)
				heap_push(&ready, g->edges[e - 1].to);
	}
	return done == g->n ? 0 : -1;
}

size_t graph_cycle(struct graph *g, size_t *ret_path)
{
	cleanup(freep) size_t *needs = xcalloc(g->n + 1, sizeof *needs); /* + 1; 0: none left */
	cleanup(freep) bool *seen = xcalloc(g->n + 1, sizeof *seen);
	size_t node = g->n, len = 0, lowest;

	for (size_t from = 0; from < g->n; from++)
		for (size_t e = g->waits[from] ? g->first[from] : 0; e; e = g->edges[e - 1].next)
			if (!needs[g->edges[e - 1].to])
				needs[g->edges[e - 1].to] = from + 1;
	for (size_t i = g->n; i-- > 0;)
		if (g->waits[i])
			node = i;
	assert(node < g->n);
	for (; !seen[node]; node = needs[node] - 1) {
		assert(needs[node]);
		seen[node] = true;
	}
	lowest = node;
	for (size_t i = needs[node] - 1; i != node; i = needs[i] - 1)
		lowest = MIN(lowest, i);
	/* Backwards along "needs", so that the path reads in the order of work. */
	node = lowest;
	do {
		len++;
		node = needs[node] - 1;
	} while (node != lowest);
	for (size_t i = 0; i < len; i++, node = needs[node] - 1)
		ret_path[(len - i) % len] = node;
	return len;
}
