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
 * --- clients of all workers; to be called on worker 0 while the others stand still ---
 *
 * client_envs has the env of each worker, followed by NULL. A walk begins with NULL, yields one element after the
 * other, and ends with NULL.
 */
struct client *clients_walk(struct client_env *const *client_envs, const struct client *before);
struct pool *clients_walk_pools(struct client_env *const *client_envs, const struct pool *before);
struct client *clients_find(struct client_env *const *client_envs, uint64_t id); /* or NULL */
/* Returns true if clients other than the console's are left, on any worker or moving to one. The other workers need not
 * stand still. */
bool clients_are_left(const struct client_env *main_worker);
uint32_t clients_count(const struct client_env *main_worker); /* counts those clients that have logged in */
/* Closes, with 53200, the client that takes up most memory, if it takes up more than RELIEF_MIN. Returns the bytes that
 * it took up, or 0 if no client was closed. */
size_t clients_close_largest(struct client_env *const *client_envs);
/* For SUSPEND: returns true if everything that was read before the SUSPEND has been sent. */
bool clients_are_flushed(struct client_env *const *client_envs);

/* --- clients of one worker --- */

struct client *client_find_id(struct client_env *env, uint64_t id); /* or NULL */
uint32_t clients_in_console(const struct client_env *env); /* returns how many clients the console has */
/* For SIGTERM: closes clients that are between transactions with 57P01 now, and the others when their transactions end.
 * is_gentle: see struct exchange_env. */
void clients_drain(struct client_env *env, bool is_gentle);
/* For SUSPEND (on is true) and RESUME: stops and resumes reading from clients and the servers that they use; the
 * console's clients are always read. */
void clients_suspend(struct client_env *env, bool on);

/* Called after a reload, once the pools have the new configuration: gives each client its new settings. */
void clients_configured(struct client_env *env, uint64_t now_us);

/* Called about every 100 ms: checks login, query, transaction and idle limits. */
void clients_tick(struct client_env *env, uint64_t now_us);
/* Does the part of clients_tick() that looks at clients with a server. */
void clients_end_late(struct client_env *env, uint64_t now_us);
/* Sets how many requests are counted for SHOW QUERIES until the next tick (query_stats). */
void clients_renew_query_budget(struct client_env *env);

/* Called after bytes of c were handled while memory is short: stops reading c if its unfinished message is large. */
void client_pause_if_large(struct client *c);
/* Reads clients again that client_pause_if_large() stopped; called once memory is no longer short. */
void clients_read_again(struct client_env *env);
