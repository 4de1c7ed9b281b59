/* src/admission/admission.c - connections counted by address and user, and rates of logins. See admission/admission.h.
 */
#include "admission/admission_state.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * So many connections above the limit may say what they want before they are refused: one may be a cancel of what an
 * address that is at its limit runs, and drivers show an error best that follows their startup packet.
 */
#define ADDRESS_SPARE 16u
#define QUIET_US US_PER_S
#define LINES_PER_SECOND 20u

struct door *
door_new(struct event_base *base, struct fail *why)
{
	struct door *door = calloc(1, sizeof(*door));
	uint64_t seeds[4];

	if (door == NULL || RAND_bytes((unsigned char *)seeds, sizeof(seeds)) != 1) {
		free(door);
		fail_set(why, "53200", "no memory or no randomness for the limits on logins");
		return NULL;
	}
	door->base = base;
	for (unsigned i = 0; i < DOOR_LINES; i++)
		TAILQ_INIT(&door->lines[i]);
	door->addresses = door_table_new(seeds[0], DOOR_IDLE_MAX);
	door->users = door_table_new(seeds[1], DOOR_IDLE_MAX);
	door->databases = door_table_new(seeds[2], DOOR_IDLE_MAX);
	door->guesses = door_table_new(seeds[3], DOOR_IDLE_MAX);
	if (door->addresses == NULL || door->users == NULL || door->databases == NULL || door->guesses == NULL) {
		door_free(door);
		fail_set(why, "53200", "no memory for the limits on logins");
		return NULL;
	}
	return door;
}

void
door_free(struct door *door)
{
	if (door == NULL)
		return;
	door_table_free(door->addresses);
	door_table_free(door->users);
	door_table_free(door->databases);
	door_table_free(door->guesses);
	free(door);
}

void
door_set_descriptors(struct door *door, uint64_t descriptors)
{
	door->descriptors = descriptors;
}

uint32_t
door_user_clients(const struct door *door, const char *user)
{
	const struct door_entry *e = door_table_find(door->users, user, strlen(user));

	return e == NULL ? 0 : e->held;
}

/* --- refusals --- */

static void
log_refusal(struct client *c, const char *text, enum reject_reason reason)
{
	struct door_quiet *quiet = &c->env->door->quiet[reason];
	uint64_t now = *c->env->x.now_us;
	char peer[80];

	if (quiet->written_us != 0 && now - quiet->written_us < QUIET_US) {
		quiet->kept_back++;
		c->is_unlogged = true;
		return;
	}
	quiet->written_us = now;
	client_peer_text(c, peer, sizeof(peer));
	log_warning(c->env->x.log, "client %llu (%s): login refused: %s", (unsigned long long)c->x.id, peer, text);
}

bool
door_may_log(struct client *c)
{
	struct door *door = c->env->door;
	uint64_t now = *c->env->x.now_us;

	if (c->is_unlogged)
		return false;
	if (door->log_kept_back == 0 && now - door->log_since_us >= QUIET_US) {
		door->log_since_us = now;
		door->log_count = 0;
	}
	if (door->log_count < LINES_PER_SECOND) {
		door->log_count++;
		return true;
	}
	door->log_kept_back++;
	c->is_unlogged = true;
	return false;
}

static void
report_kept_back(struct client_env *env, uint64_t now_us)
{
	struct door *door = env->door;

	if (door->log_kept_back == 0 || now_us - door->log_since_us < QUIET_US)
		return;
	log_warning(env->x.log, "%llu more logins refused", (unsigned long long)door->log_kept_back);
	door->log_since_us = now_us;
	door->log_kept_back = 0;
	door->log_count = 0;
}

void
door_tick(struct client_env *env, uint64_t now_us)
{
	struct door *door = env->door;

	report_kept_back(env, now_us);
	for (unsigned i = 0; i < RJ_COUNT; i++) {
		struct door_quiet *quiet = &door->quiet[i];

		if (quiet->kept_back == 0 || now_us - quiet->written_us < QUIET_US)
			continue;
		log_warning(env->x.log, "%llu more logins refused (%s)", (unsigned long long)quiet->kept_back,
			    reject_reason_names[i]);
		quiet->kept_back = 0;
		quiet->written_us = now_us;
	}
	door_table_sweep(door->addresses, now_us);
	door_table_sweep(door->users, now_us);
	door_table_sweep(door->databases, now_us);
	door_table_sweep(door->guesses, now_us);
}

void
door_refuse(struct client *c, const struct fail *why, enum reject_reason reason)
{
	c->env->x.counters->rejected[reason]++;
	c->env->x.counters->logins[LR_ERROR][c->x.state == CL_STARTUP ? LM_NONE : c->login->method]++;
	log_refusal(c, why->text, reason);
	if (c->login->out.len > 0)
		login_flush(c);
	client_close(c, why);
}

/* --- addresses --- */

/* An IPv6 network of 64 bits is what one customer has, at least: its addresses are as many as he likes. */
size_t
door_address_key(const struct client *c, uint8_t key[static DOOR_ADDRESS_KEY_MAX])
{
	const uint8_t *in6 = c->peer.in6.sin6_addr.s6_addr;

	if (c->is_unix)
		return 0;
	if (c->peer.any.sa_family != AF_INET6) {
		memcpy(key, &c->peer.in.sin_addr, 4);
		return 4;
	}
	if (IN6_IS_ADDR_V4MAPPED(&c->peer.in6.sin6_addr)) {
		memcpy(key, in6 + 12, 4);
		return 4;
	}
	memcpy(key, in6, 8);
	return 8;
}

void
door_address_text(const struct client *c, char out[static DOOR_ADDRESS_TEXT_MAX])
{
	uint8_t key[DOOR_ADDRESS_KEY_MAX], in6[16] = { 0 };
	char text[INET6_ADDRSTRLEN] = "";

	if (c->is_unix) {
		snprintf(out, DOOR_ADDRESS_TEXT_MAX, "unix");
		return;
	}
	if (door_address_key(c, key) == 4) {
		inet_ntop(AF_INET, key, text, sizeof(text));
		snprintf(out, DOOR_ADDRESS_TEXT_MAX, "%s", text);
		return;
	}
	memcpy(in6, key, sizeof(key));
	inet_ntop(AF_INET6, in6, text, sizeof(text));
	snprintf(out, DOOR_ADDRESS_TEXT_MAX, "%s/64", text);
}

static void
refuse_address(struct client *c)
{
	uint32_t limit = c->env->x.config->max_address_client_connections;
	char address[DOOR_ADDRESS_TEXT_MAX];
	struct fail why;

	door_address_text(c, address);
	fail_set(&why, "53300", "too many connections from %s: more than %u (max_address_client_connections)", address,
		 limit);
	fail_hint(&why, "Close some, or raise max_address_client_connections in section [limits] of pgweir.ini.");
	door_refuse(c, &why, RJ_MAX_ADDRESS);
}

static bool
is_address_over(const struct client *c, uint32_t spare)
{
	uint32_t limit = c->env->x.config->max_address_client_connections;

	return limit != 0 && c->address != NULL && c->address->held > (uint64_t)limit + spare;
}

bool
door_enter(struct client *c)
{
	struct door *door = c->env->door;
	uint8_t key[DOOR_ADDRESS_KEY_MAX];

	if (!door_line_make_room(c))
		return false;
	door_line_join(c, DOOR_SILENT);
	if (c->is_unix)
		return true;
	c->address = door_table_get(door->addresses, key, door_address_key(c, key), *c->env->x.now_us);
	if (c->address == NULL) {
		client_close(c, NULL); /* no memory */
		return false;
	}
	door_entry_hold(door->addresses, c->address);
	if (is_address_over(c, ADDRESS_SPARE)) {
		refuse_address(c);
		return false;
	}
	c->login->is_above_limit = is_address_over(c, 0);
	return true;
}

void
door_leave(struct client *c)
{
	struct door *door = c->env->door;

	if (c->address != NULL)
		door_entry_release(door->addresses, c->address, *c->env->x.now_us);
	if (c->who != NULL)
		door_entry_release(door->users, c->who, *c->env->x.now_us);
	c->address = c->who = NULL;
}

/* --- rates --- */

/* What a login must pay; those with an entry of NULL are not asked. */
struct due {
	struct door_entry *entry;
	uint32_t rate;
	const char *whose, *name, *setting;
	enum reject_reason reason;
};

static void
refuse_rate(struct client *c, const struct due *due)
{
	struct fail why;

	fail_set(&why, "53300", "too many logins %s \"%.63s\": more than %u in a second (%s)", due->whose, due->name,
		 due->rate, due->setting);
	fail_hint(&why, "Keep connections open rather than log in for each request, or raise %s in pgweir.ini.",
		  due->setting);
	door_refuse(c, &why, due->reason);
}

/* Databases of one tenant count together, by what they have in common: "tenant/". */
static size_t
counted_len(const struct config *config, const char *database)
{
	size_t tenant_len = config_tenant_len(config, database);

	return tenant_len > 0 ? tenant_len + 1 : strlen(database);
}

/* All pay or none does: what one refuses costs the others nothing. */
static bool
pay(struct client *c)
{
	struct client_env *env = c->env;
	const struct config *config = env->x.config;
	const char *database = replication_database(c), *user = c->login->user;
	uint64_t now = *env->x.now_us;
	struct scope_settings of_database, of_user;
	char address[DOOR_ADDRESS_TEXT_MAX];

	config_effective(config, config_find_database(config, database), NULL, &of_database);
	config_effective(config, NULL, config_find_user(config, user), &of_user);
	door_address_text(c, address);
	struct due dues[] = {
		{ c->address, config->address_login_rate, "from", address, "address_login_rate", RJ_ADDRESS_RATE },
		{ NULL, of_user.user_login_rate, "of user", user, "user_login_rate", RJ_USER_RATE },
		{ NULL, of_database.db_login_rate, "to database", database, "db_login_rate", RJ_DATABASE_RATE },
	};
	if (of_user.user_login_rate != 0)
		dues[1].entry = door_table_get(env->door->users, user, strlen(user), now);
	/* The console has no rate of its own as a database: it is needed when others storm in. */
	if (of_database.db_login_rate != 0 && !login_is_console_name(database))
		dues[2].entry = door_table_get(env->door->databases, database, counted_len(config, database), now);
	for (size_t i = 0; i < sizeof(dues) / sizeof(dues[0]); i++)
		if (dues[i].entry != NULL && !door_entry_has_credit(dues[i].entry, dues[i].rate, now)) {
			refuse_rate(c, &dues[i]);
			return false;
		}
	for (size_t i = 0; i < sizeof(dues) / sizeof(dues[0]); i++)
		if (dues[i].entry != NULL)
			door_entry_take_credit(dues[i].entry, dues[i].rate, now);
	return true;
}

/* --- the steps --- */

bool
door_knock(struct client *c)
{
	struct fail why;

	door_line_join(c, DOOR_PROVING);
	if (c->login->is_above_limit && is_address_over(c, 0)) {
		refuse_address(c);
		return false;
	}
	if (c->address != NULL && c->address->waiting >= DOOR_WAITING_MAX) {
		char address[DOOR_ADDRESS_TEXT_MAX];

		door_address_text(c, address);
		fail_set(&why, "53300", "too many failed logins from %s wait for their answers", address);
		fail_hint(&why, "Try again a few seconds later (login_failure_delay).");
		door_refuse(c, &why, RJ_FAILED_LOGINS);
		return false;
	}
	return pay(c);
}

static bool
is_database_full(struct client *c, const struct pool_entry *entry)
{
	uint32_t limit = entry->settings.max_db_client_connections;
	const struct pool_database *d = entry->database;
	uint32_t clients = limit == 0 ? 0 : pool_database_clients(d);
	struct fail why;

	if (limit == 0 || clients < limit)
		return false;
	fail_set(&why, "53300", "too many clients of %s \"%.*s\": %u of %u (max_db_client_connections)",
		 d->is_of_tenant ? "tenant" : "database",
		 (int)(d->is_of_tenant ? strcspn(d->name, "/") : strlen(d->name)), d->name, clients, limit);
	fail_hint(&why, "Raise max_db_client_connections, or look for clients that never leave with SHOW CLIENTS.");
	door_refuse(c, &why, RJ_MAX_DATABASE);
	return true;
}

bool
door_admit(struct client *c, const struct pool_entry *entry)
{
	struct client_env *env = c->env;
	const char *user = c->login->user;
	struct scope_settings s;
	struct door_entry *who;
	struct fail why;
	uint32_t limit;

	if (is_database_full(c, entry))
		return false;
	who = door_table_get(env->door->users, user, strlen(user), *env->x.now_us);
	if (who == NULL) {
		fail_set(&why, "53200", "out of memory");
		login_refuse(c, &why, LR_ERROR);
		return false;
	}
	config_effective(env->x.config, NULL, config_find_user(env->x.config, user), &s);
	limit = s.max_user_client_connections;
	if (limit != 0 && who->held >= limit) {
		fail_set(&why, "53300", "too many clients of user \"%.63s\": %u of %u (max_user_client_connections)",
			 user, who->held, limit);
		fail_hint(&why,
			  "Raise max_user_client_connections, or look for clients that never leave with SHOW CLIENTS.");
		door_refuse(c, &why, RJ_MAX_USER);
		return false;
	}
	door_entry_hold(env->door->users, who);
	c->who = who;
	return true;
}
