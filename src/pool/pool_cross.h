/* src/pool/pool_cross.h - servers on their way to a worker that does not answer. */
#pragma once

struct pool_set;

/* Closes those that were sent to the worker of silent and have not arrived, and gives their places back. On the thread
 * of set. */
void pool_cross_take_back(const struct pool_set *set, const struct pool_set *silent);
