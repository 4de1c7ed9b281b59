/*
 * src/client/clients.h - all clients of a worker, and of all workers.
 *
 *   clients.c          finds, counts, drains and suspends them
 *   client_timeouts.c  limits on time
 *   client_memory.c    what is done while memory is short
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct client_env;
struct exchange_env;
struct pool;

/*
 * --- of all workers; for worker 0, while the others stand still ---
 *
 * crew has the env of each worker, with a NULL behind them. The walks begin with NULL, yield all, one after the other,
 * and end with NULL.
 */
struct client *clients_walk(struct client_env *const *crew, const struct client *before);
struct pool *clients_walk_pools(struct client_env *const *crew, const struct pool *before);
struct client *clients_find(struct client_env *const *crew, uint64_t id); /* or NULL */
/* Without a halt: returns true if there are clients but the console's, on whatever worker or on their way there. */
bool clients_are_left(const struct client_env *main_worker);
uint32_t clients_count(const struct client_env *main_worker); /* of them, those that have logged in */
/* Closes the client that takes up most, if that is worth it, with 53200. Returns the bytes it took up, or 0. */
size_t clients_relieve(struct client_env *const *crew);
/* In SUSPEND: returns true if all that was read before it is sent. */
bool clients_are_flushed(struct client_env *const *crew);

/* --- of one worker --- */

struct client *client_find_id(struct client_env *env, uint64_t id); /* or NULL */
uint32_t clients_in_console(const struct client_env *env); /* how many */
/* SIGTERM: closes clients between transactions with 57P01 now, and others when their transaction ends. */
void clients_drain(struct client_env *env, bool is_gentle); /* is_gentle: see struct exchange_env */
/* SUSPEND, RESUME: nothing more is read from clients and the servers they use; the console's clients are read on. */
void clients_suspend(struct client_env *env, bool on);

/* Called after a reload, once the pools have the new configuration: each client's settings follow. */
void clients_configured(struct client_env *env, uint64_t now_us);

/* Called about every 100 ms: checks login, query, transaction and idle limits. */
void clients_tick(struct client_env *env, uint64_t now_us);
/* The part of it that looks at clients with a server. */
void clients_end_late(struct client_env *env, uint64_t now_us);
/* How many requests are counted for SHOW QUERIES until the next tick (query_stats). */
void clients_renew_query_budget(struct client_env *env);

void client_read_short(struct client *c); /* its bytes were handled while memory is short: is it to be read on? */
void clients_read_again(struct client_env *env); /* memory is not short any more */
