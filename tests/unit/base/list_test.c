/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"

#include "check.h"

static void shift__gives_nodes_in_the_order_they_were_pushed(void **state)
{
    struct list head;
    struct list nodes[3];

    (void)state;
    list_init(&head);
    assert_true(list_empty(&head));
    assert_null(list_shift(&head));
    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        list_push(&head, &nodes[i]);
    }
    assert_false(list_empty(&head));
    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        assert_ptr_equal(list_shift(&head), &nodes[i]);
        assert_true(list_empty(&nodes[i])); /* in no list */
    }
    assert_true(list_empty(&head));
}

static void remove__is_harmless_for_a_node_in_no_list(void **state)
{
    struct list node;

    (void)state;
    list_init(&node);
    list_remove(&node);
    assert_true(list_empty(&node));
}

static void remove__takes_a_node_out_of_the_middle(void **state)
{
    struct list head;
    struct list nodes[3];
    size_t count = 0;

    (void)state;
    list_init(&head);
    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        list_push(&head, &nodes[i]);
    }
    list_remove(&nodes[1]);
    LIST_EACH (node, &head) {
        assert_ptr_not_equal(node, &nodes[1]);
        count++;
    }
    assert_int_equal(count, 2);
}

static void each_safe__lets_the_body_remove(void **state)
{
    struct list head;
    struct list nodes[5];
    size_t count = 0;

    (void)state;
    list_init(&head);
    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        list_push(&head, &nodes[i]);
    }
    LIST_EACH_SAFE (node, &head) {
        list_remove(node);
        count++;
    }
    assert_int_equal(count, COUNT_OF(nodes));
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shift__gives_nodes_in_the_order_they_were_pushed),
        cmocka_unit_test(remove__is_harmless_for_a_node_in_no_list),
        cmocka_unit_test(remove__takes_a_node_out_of_the_middle),
        cmocka_unit_test(each_safe__lets_the_body_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
