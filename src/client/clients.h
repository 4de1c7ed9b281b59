/*
 * src/client/clients.h - all clients of a worker, and of all workers.
 *
 *   clients.c          finds, counts, drains and suspends clients
 *   client_timeouts.c  enforces limits on time
 *   client_memory.c    limits clients while memory is short
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
 * --- clients of all workers. Functions with the parameter client_envs are called on worker 0, while the other workers
 * do not run. client_envs has the env of each worker, and ends with NULL. ---
 */
/* Returns the first client if `previous` is NULL, else the client after `previous`; NULL after the last one. */
struct client *clients_walk(struct client_env *const *client_envs, const struct client *previous);
/* Does for pools what clients_walk() does for clients. */
struct pool *clients_walk_pools(struct client_env *const *client_envs, const struct pool *previous);
struct client *clients_find(struct client_env *const *client_envs, uint64_t id); /* returns NULL if there is none */
/* Returns true if there are clients other than the console's, on any worker or on their way to one. */
bool clients_are_left(const struct client_env *main_env);
uint32_t clients_count(const struct client_env *main_env); /* returns how many clients have logged in */
/* Closes, with 53200, the client that takes up the most memory, if that is more than RELIEF_MIN. Returns how many bytes
 * the client took up; 0 if no client was closed. */
size_t clients_close_largest(struct client_env *const *client_envs);
/* Called during SUSPEND. Returns true if all bytes that were read before the SUSPEND have been sent. */
bool clients_are_flushed(struct client_env *const *client_envs);

/* --- clients of one worker --- */

struct client *client_find_by_id(struct client_env *env, uint64_t id); /* returns NULL if there is none */
uint32_t clients_in_console(const struct client_env *env); /* returns how many clients the console has */
/* Called for SIGTERM. From now on, new transactions are refused. Closes, with 57P01, clients that log in, or wait for a
 * server outside a transaction. If is_gentle, clients that wait only because pgweir itself runs queries on servers may
 * stay. If not, all other clients are closed, too, each once it has no transaction. */
void clients_drain(struct client_env *env, bool is_gentle);
/* on: true for SUSPEND, which stops reading from logged-in clients and from the servers that they use; false for
 * RESUME. Clients of the console are always read. */
void clients_suspend(struct client_env *env, bool on);

/* Called after a reload, once the pools have the new configuration. Gives each client its new settings. */
void clients_apply_config(struct client_env *env, uint64_t now_us);

/* Called about every 100 ms. Enforces the limits on logins, queries, transactions and idle clients. */
void clients_tick(struct client_env *env, uint64_t now_us);
/* Enforces limits on clients with a server. A part of clients_tick(), also called when a standby falls silent. */
void clients_enforce_server_limits(struct client_env *env, uint64_t now_us);
/* Sets which requests SHOW QUERIES counts until the next tick: none, all, or the first few and then a sample. */
void clients_renew_query_budget(struct client_env *env);

/* Called while memory is short, after bytes of c were handled. Stops reading from c if its unfinished message is
 * large. */
void client_stop_if_large(struct client *c);
/* Called once memory is no longer short. Reads again from the clients that client_stop_if_large() has stopped. */
void clients_read_again(struct client_env *env);
