#include <criterion/criterion.h>
#include <stdlib.h>

#include "expr/graph.h"

Test(graph, the_order_keeps_the_files_order_where_it_may)
{
	cleanup(graph_freep) struct graph *g = graph_new(5);
	size_t order[5], want[] = { 1, 2, 0, 3, 4 };

	graph_edge(g, 2, 0);
	graph_edge(g, 1, 2);
	graph_edge(g, 1, 2); /* twice does no harm */
	graph_edge(g, 1, 3);
	cr_assert_eq(graph_sort(g, order), 0);
	cr_expect_arr_eq(order, want, sizeof want);
}

Test(graph, a_cycle_is_told_as_a_path_from_its_lowest_node)
{
	cleanup(graph_freep) struct graph *g = graph_new(6);
	size_t order[6], path[6];

	graph_edge(g, 0, 1);
	graph_edge(g, 1, 4);
	graph_edge(g, 4, 2);
	graph_edge(g, 2, 1);
	graph_edge(g, 2, 5); /* behind the cycle, not in it */
	cr_assert_eq(graph_sort(g, order), -1);
	cr_assert_eq(graph_cycle(g, path), 3);
	cr_expect_eq(path[0], 1);
	cr_expect_eq(path[1], 4);
	cr_expect_eq(path[2], 2);
}

Test(graph, a_node_that_needs_itself_is_a_cycle_of_one)
{
	cleanup(graph_freep) struct graph *g = graph_new(2);
	size_t order[2], path[2];

	graph_edge(g, 1, 1);
	cr_assert_eq(graph_sort(g, order), -1);
	cr_assert_eq(graph_cycle(g, path), 1);
	cr_expect_eq(path[0], 1);
}

Test(graph, no_nodes_are_an_order_of_nothing)
{
	cleanup(graph_freep) struct graph *g = graph_new(0);
	size_t order[1];

	cr_expect_eq(graph_sort(g, order), 0);
}

/* Against the definition: every edge forward, or the path told is made of edges. */
Test(graph, random_graphs_are_ordered_or_a_real_cycle_is_told)
{
	int ordered = 0, cyclic = 0;

	srand(7);
	for (int round = 0; round < 2000; round++) {
		enum { N = 12 };
		bool edge[N][N] = { 0 };
		struct graph *g = graph_new(N);
		size_t order[N], at[N], path[N], len;

		for (int i = 0; i < 14; i++) {
			size_t from = (size_t)rand() % N, to = (size_t)rand() % N;

			edge[from][to] = true;
			graph_edge(g, from, to);
		}
		if (graph_sort(g, order) == 0) {
			ordered++;
			for (size_t i = 0; i < N; i++)
				at[order[i]] = i;
			for (size_t i = 0; i < N * N; i++)
				cr_assert(!edge[i / N][i % N] || at[i / N] < at[i % N]);
		} else {
			cyclic++;
			len = graph_cycle(g, path);
			cr_assert(len > 0);
			for (size_t i = 0; i < len; i++) {
				cr_assert(edge[path[i]][path[(i + 1) % len]]);
				cr_assert(path[i] >= path[0]);
			}
		}
		graph_free(g);
	}
	cr_expect(ordered > 100 && cyclic > 100);
}
