/*
 * graph.h - a directed graph of n nodes that must have no cycle
 *
 * Nodes are 0..n-1. The order is the same for the same graph: of the nodes that
 * are ready the lowest comes first, so a file's own order is kept where it may be.
 * Nothing recurses. One thread at a time.
 */
#ifndef EXPR_GRAPH_H
#define EXPR_GRAPH_H

#include <stddef.h>
#include "base/mem.h"

struct graph;

struct graph *graph_new(size_t nodes);
void graph_free(struct graph *g);
DEFINE_CLEANUP(struct graph *, graph_free)

/* `after` needs `before`. The same edge twice does no harm; one to itself is a cycle. */
void graph_edge(struct graph *g, size_t before, size_t after);
/* 0 and all n nodes in ret_order (n places), each after what it needs; -1: there is a cycle. */
int graph_sort(struct graph *g, size_t *ret_order);
/* After a failed sort: a cycle in ret_path (n places), each node needed by the next and the
 * last by the first, beginning with the lowest. Returns its length. */
size_t graph_cycle(struct graph *g, size_t *ret_path);

#endif
