/* src/base/shared_count.h - a counter that any thread may increment, and any thread may read. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct shared_count {
	_Atomic uint64_t value; /* 0 at first */
};

/* Adds one. This is no memory barrier, so it does not order other memory accesses. */
static inline void
shared_count_increment(struct shared_count *c)
{
	atomic_fetch_add_explicit(&c->value, 1, memory_order_relaxed);
}

static inline uint64_t
shared_count_get(const struct shared_count *c)
{
	return atomic_load_explicit(&((struct shared_count *)c)->value, memory_order_relaxed);
}
