/*
 * src/client/clients.h - all clients of one loop.
 *
 *   clients.c          finds, counts, drains and suspends them
 *   client_timeouts.c  limits on time
 *   client_memory.c    what is done while memory is short
 */
#ifndef PGWEIR_CLIENT_CLIENTS_H
#define PGWEIR_CLIENT_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct client_env;
struct exchange_env;

struct client *client_find_id(struct client_env *env, uint64_t id); /* or NULL */
uint32_t clients_in_console(const struct client_env *env); /* how many */
/* SIGTERM: closes clients between transactions with 57P01 now, and others when their transaction ends. */
void clients_drain(struct client_env *env, bool is_gentle); /* is_gentle: see struct exchange_env */
/* SUSPEND, RESUME: nothing more is read from clients and the servers they use; the console's clients are read on. */
void clients_suspend(struct client_env *env, bool on);
bool clients_are_flushed(const struct client_env *env); /* returns true if all that was read before is sent */

/* Called after a reload, once the pools have the new configuration: each client's settings follow. */
void clients_configured(struct client_env *env, uint64_t now_us);

/* Called about every 100 ms: checks login, query, transaction and idle limits. */
void clients_tick(struct client_env *env, uint64_t now_us);
/* How many requests are counted for SHOW QUERIES until the next tick (query_stats). */
void clients_renew_query_budget(struct exchange_env *env);

void client_read_short(struct client *c); /* its bytes were handled while memory is short: is it to be read on? */
void clients_read_again(struct client_env *env); /* memory is not short any more */
/* Closes the client that takes up most, if that is worth it, with 53200. Returns the bytes it took up, or 0. */
size_t clients_relieve(struct client_env *env);

#endif
