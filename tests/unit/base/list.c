#include "base/list.h"

#include <criterion/criterion.h>

struct item {
	int number;
	struct list link;
};

static int digits(struct list *head)
{
	struct item *i;
	int n = 0;

	list_each(i, head, link)
		n = n * 10 + i->number;
	return n;
}

Test(list, members_come_in_the_order_they_were_put)
{
	struct list head = LIST_INIT(head);
	struct item items[4] = {
		{ .number = 1 }, { .number = 2 }, { .number = 3 }, { .number = 4 }
	};

	cr_expect(list_empty(&head));
	cr_expect_null(list_first(&head, struct item, link));
	list_append(&head, &items[1].link);
	list_append(&head, &items[3].link);
	list_prepend(&head, &items[0].link);
	list_insert_before(&items[3].link, &items[2].link);
	cr_expect_eq(digits(&head), 1234);
	cr_expect_eq(list_first(&head, struct item, link)->number, 1);
}

Test(list, a_member_removed_twice_does_no_harm)
{
	struct list head = LIST_INIT(head);
	struct item a = { .number = 1 }, b = { .number = 2 }, never = { .number = 3 };

	list_append(&head, &a.link);
	list_append(&head, &b.link);
	list_remove(&a.link);
	list_remove(&a.link);
	list_remove(&never.link);
	cr_expect(!list_linked(&a.link) && list_linked(&b.link) && !list_linked(&never.link));
	cr_expect_eq(digits(&head), 2);
	list_append(&head, &a.link);
	cr_expect_eq(digits(&head), 21);
}

Test(list, members_may_be_removed_while_walking)
{
	struct list head = LIST_INIT(head);
	struct item items[5];
	struct item *i, *next;

	for (int n = 0; n < 5; n++) {
		items[n].number = n + 1;
		list_append(&head, &items[n].link);
	}
	list_each_safe(i, next, &head, link)
		if (i->number % 2)
			list_remove(&i->link);
	cr_expect_eq(digits(&head), 24);
	list_each_safe(i, next, &head, link)
		list_remove(&i->link);
	cr_expect(list_empty(&head));
}
