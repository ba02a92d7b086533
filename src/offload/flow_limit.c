/* SPDX-License-Identifier: Apache-2.0 */
/* Bandwidth of allocations, in memory that the programs take from, too. */
#include "offload/flow.h"
#include "offload/flow_int.h"

/* A bucket is one time in either world. */
_Static_assert(sizeof(struct bucket) == sizeof(uint64_t), "struct offload_limit holds buckets");

uint32_t flow_limit_open(struct flow_table *table, const struct bucket from[OFFLOAD_WAYS],
                         struct bucket **out)
{
    const uint32_t limit = flow_pool_get(&table->limit_pool, flow_now_ms(table));

    if (limit == 0) {
        return 0;
    }
    __u64 *busy = table->limits[limit].busy_until_ns;
    for (int i = 0; i < OFFLOAD_WAYS; i++) {
        __atomic_store_n(&busy[i], from[i].busy_until_ns, __ATOMIC_RELAXED);
    }
    *out = (struct bucket *)busy;
    return limit;
}

void flow_limit_close(struct flow_table *table, uint32_t limit)
{
    flow_pool_put(&table->limit_pool, limit, flow_now_ms(table));
}
