#include "admission/admission_state.h"
#include "base/alloc.h"
#include "base/text.h"

#include <assert.h>
#include <arpa/inet.h>
#include <openssl/rand.h>

/* This many connections beyond max_address_client_connections get as far as their startup packet: one of them may be a
 * CancelRequest, and most drivers report an error only after they have sent that packet. */
#define ADDRESS_SPARE 16u
#define ADDRESS_TEXT_MAX 64

struct admission *
admission_new(const struct admission_settings *settings, struct fail *why)
{
	struct admission *a;
	uint64_t seeds[4];

	if (RAND_bytes((unsigned char *)seeds, sizeof(seeds)) != 1) {
		fail_set(why, "58000", "could not get random bytes for the limits on logins");
		return NULL;
	}
	a = xcalloc(1, sizeof(*a));
	a->settings = *settings;
	for (unsigned i = 0; i < ADMISSION_QUEUES; i++)
		TAILQ_INIT(&a->queues[i]);
	TAILQ_INIT(&a->holds);
	a->addresses = admission_table_new(seeds[0], ADMISSION_IDLE_MAX);
	a->users = admission_table_new(seeds[1], ADMISSION_IDLE_MAX);
	a->databases = admission_table_new(seeds[2], ADMISSION_IDLE_MAX);
	a->wrong_proofs = admission_table_new(seeds[3], ADMISSION_IDLE_MAX);
	return a;
}

void
admission_free(struct admission *a)
{
	if (a == NULL)
		return;
	admission_table_free(a->addresses);
	admission_table_free(a->users);
	admission_table_free(a->databases);
	admission_table_free(a->wrong_proofs);
	free(a);
}

void
admission_set_descriptors(struct admission *a, uint64_t descriptors)
{
	a->descriptors = descriptors;
}

void
admission_set_memory(struct admission *a, bool is_full)
{
	a->is_memory_full = is_full;
}

uint32_t
admission_user_clients(const struct admission *a, const char *user)
{
	const struct admission_entry *e = admission_table_find(a->users, user, strlen(user));

	return e == NULL ? 0 : e->held;
}

void
admission_tick(struct admission *a, uint64_t now_us)
{
	admission_log_tick(a, now_us);
	admission_table_sweep(a->addresses, now_us);
	admission_table_sweep(a->users, now_us);
	admission_table_sweep(a->databases, now_us);
	admission_table_sweep(a->wrong_proofs, now_us);
}

/* Calls ops->refuse. Always returns false, which the caller can return. */
static bool
refuse(struct admission *a, struct admission_place *t, const struct fail *why, enum reject_reason reason)
{
	a->settings.ops->refuse(t, why, reason);
	return false;
}

static bool
refuse_without_memory(struct admission *a, struct admission_place *t)
{
	a->settings.ops->out_of_memory(t);
	return false;
}

/* --- Addresses. --- */

/* Writes "10.0.0.7", "2001:db8:0:1::/64" or "unix". */
static void
write_address(const struct admission_place *t, char out[static ADDRESS_TEXT_MAX])
{
	uint8_t in6[16] = { 0 };
	char text[INET6_ADDRSTRLEN] = "";

	if (t->address == NULL) {
		snprintf(out, ADDRESS_TEXT_MAX, "unix");
		return;
	}
	if (t->address->key_len == 4) {
		inet_ntop(AF_INET, t->address->key, text, sizeof(text));
		snprintf(out, ADDRESS_TEXT_MAX, "%s", text);
		return;
	}
	memcpy(in6, t->address->key, ADMISSION_ADDRESS_KEY_MAX);
	inet_ntop(AF_INET6, in6, text, sizeof(text));
	snprintf(out, ADDRESS_TEXT_MAX, "%s/64", text);
}

static bool
refuse_address(struct admission *a, struct admission_place *t)
{
	char address[ADDRESS_TEXT_MAX];
	struct fail why;

	write_address(t, address);
	fail_set(&why, "53300", "too many connections from %s: more than %u (max_address_client_connections)", address,
		 admission_config(a)->max_address_client_connections);
	fail_hint(&why, "Close some, or raise max_address_client_connections in section [limits] of pgweir.ini.");
	return refuse(a, t, &why, RJ_MAX_ADDRESS);
}

/* Connections that wait for the answer to a wrong password don't count here: they have a limit of their own. */
static bool
is_over_address_limit(const struct admission *a, const struct admission_place *t, uint32_t spare)
{
	uint32_t limit = admission_config(a)->max_address_client_connections;

	return limit != 0 && t->address != NULL && t->standing == ADMISSION_SHARED_LIMITS &&
	       t->address->held - t->address->waiting > (uint64_t)limit + spare;
}

static bool
is_exempt(const struct admission *a, const struct sockaddr *peer)
{
	char *const *name = admission_config(a)->exempt_addresses;
	struct network n;

	for (; name != NULL && *name != NULL; name++)
		if (network_parse(*name, &n) && network_contains(&n, peer))
			return true;
	return false;
}

/* Counts the connection in its address, and finds out if the address is exempt. Returns false without memory. */
static bool
count_address(struct admission *a, struct admission_place *t, const struct sockaddr *peer)
{
	uint8_t key[ADMISSION_ADDRESS_KEY_MAX];

	assert(t->address == NULL);
	if (peer == NULL)
		return true;
	t->address =
	    admission_table_find_or_add(a->addresses, key, admission_address_key(peer, key), *a->settings.now_us);
	if (t->address == NULL)
		return false;
	admission_entry_hold(a->addresses, t->address);
	t->standing = is_exempt(a, peer) ? ADMISSION_EXEMPT : ADMISSION_SHARED_LIMITS;
	return true;
}

bool
admission_enter(struct admission *a, struct admission_place *t, const struct sockaddr *peer)
{
	admission_queue_make_room(a);
	admission_queue_join(a, t, ADMISSION_SILENT);
	if (!count_address(a, t, peer))
		return refuse_without_memory(a, t);
	if (is_over_address_limit(a, t, ADDRESS_SPARE))
		return refuse_address(a, t);
	t->is_above_limit = is_over_address_limit(a, t, 0);
	return true;
}

void
admission_leave(struct admission *a, struct admission_place *t)
{
	uint64_t now_us = *a->settings.now_us;

	admission_leave_queue(a, t);
	if (t->address != NULL)
		admission_entry_release(a->addresses, t->address, now_us);
	if (t->user_entry != NULL)
		admission_entry_release(a->users, t->user_entry, now_us);
	if (t->database_entry != NULL)
		admission_entry_release(a->databases, t->database_entry, now_us);
	t->address = t->user_entry = t->database_entry = NULL;
	t->standing = ADMISSION_SHARED_LIMITS;
}

/* --- Rates. --- */

/* A rate that limits a login, unless entry is NULL. */
struct rate {
	struct admission_entry *entry;
	uint32_t per_second;
	const char *whose, *name, *setting;
	enum reject_reason reason;
};

/* Returns how many bytes of a database's name are its key, which is "tenant/" for all databases of a tenant. */
static size_t
key_len_of(const struct config *config, const char *database)
{
	size_t tenant_len = config_tenant_len(config, database);

	return tenant_len > 0 ? tenant_len + 1 : strlen(database);
}

/* Takes a token from each rate. If a rate has no token left, takes none, refuses the login, and returns false. */
static bool
take_tokens(struct admission *a, struct admission_place *t, const struct rate *rates, size_t count)
{
	uint64_t now_us = *a->settings.now_us;

	for (size_t i = 0; i < count; i++)
		if (rates[i].entry != NULL && !admission_entry_has_token(rates[i].entry, rates[i].per_second, now_us)) {
			struct fail why;

			fail_set(&why, "53300", "too many logins %s \"%.63s\": more than %u in a second (%s)",
				 rates[i].whose, rates[i].name, rates[i].per_second, rates[i].setting);
			fail_hint(
			    &why,
			    "Keep connections open rather than log in for each request, or raise %s in pgweir.ini.",
			    rates[i].setting);
			return refuse(a, t, &why, rates[i].reason);
		}
	for (size_t i = 0; i < count; i++)
		if (rates[i].entry != NULL)
			admission_entry_take_token(rates[i].entry, rates[i].per_second, now_us);
	return true;
}

static bool
take_tokens_for_login(struct admission *a, struct admission_place *t, const char *user, const char *database)
{
	const struct config *config = admission_config(a);
	uint64_t now_us = *a->settings.now_us;
	struct scope_settings of_database = { 0 }, of_user;
	struct admission_entry *by_address = t->address;
	char address[ADDRESS_TEXT_MAX];

	if (database != NULL)
		config_compute_settings(config, config_find_database(config, database), NULL, &of_database);
	config_compute_settings(config, NULL, config_find_user(config, user), &of_user);
	write_address(t, address);
	if (t->standing == ADMISSION_EXEMPT)
		by_address = NULL;
	else if (t->standing == ADMISSION_OWN_LIMITS && t->address != NULL && config->address_login_rate != 0)
		by_address = admission_find_or_add_guess(a, t, user);
	struct rate rates[] = {
		{ by_address, config->address_login_rate, "from", address, "address_login_rate", RJ_ADDRESS_RATE },
		{ NULL, of_user.user_login_rate, "of user", user, "user_login_rate", RJ_USER_RATE },
		{ NULL, of_database.db_login_rate, "to database", database, "db_login_rate", RJ_DATABASE_RATE },
	};
	if (of_user.user_login_rate != 0)
		rates[1].entry = admission_table_find_or_add(a->users, user, strlen(user), now_us);
	if (of_database.db_login_rate != 0)
		rates[2].entry =
		    admission_table_find_or_add(a->databases, database, key_len_of(config, database), now_us);
	return take_tokens(a, t, rates, sizeof(rates) / sizeof(rates[0]));
}

/* --- The steps of a login. --- */

bool
admission_check_startup(struct admission *a, struct admission_place *t, const char *user, const char *database)
{
	const struct admission_entry *e = t->address;
	struct fail why;

	admission_queue_join(a, t, ADMISSION_PROVING);
	if (t->standing != ADMISSION_EXEMPT)
		t->standing = database == NULL && config_is_stats_user(admission_config(a), user)
				  ? ADMISSION_OWN_LIMITS
				  : ADMISSION_SHARED_LIMITS;
	if (a->is_memory_full && (database != NULL || !config_is_stats_user(admission_config(a), user))) {
		fail_set(&why, "53200", "pgweir is out of memory (max_memory): no new clients for now");
		fail_hint(&why, "Try again later, or raise max_memory in section [limits] of pgweir.ini.");
		return refuse(a, t, &why, RJ_MAX_MEMORY);
	}
	if (t->is_above_limit && is_over_address_limit(a, t, 0))
		return refuse_address(a, t);
	if (e != NULL && t->standing != ADMISSION_SHARED_LIMITS)
		e = admission_find_or_add_guess(a, t, user);
	if (e != NULL && e->waiting >= ADMISSION_WAITING_MAX) {
		char address[ADDRESS_TEXT_MAX];

		write_address(t, address);
		fail_set(&why, "53300", "too many failed logins from %s are waiting for their answers", address);
		fail_hint(&why, "Try again a few seconds later (login_failure_delay).");
		return refuse(a, t, &why, RJ_FAILED_LOGINS);
	}
	return take_tokens_for_login(a, t, user, database);
}

/* Finds or makes the entry of the database, or of all databases of its tenant. Returns NULL without memory. */
static struct admission_entry *
find_or_add_database_entry(struct admission *a, const char *database)
{
	return admission_table_find_or_add(a->databases, database, key_len_of(admission_config(a), database),
					   *a->settings.now_us);
}

/* Refuses the client and returns false if held >= limit; 0 stands for no limit. `whose` is for the error. */
static bool
enforce_client_limit(struct admission *a, struct admission_place *t, uint32_t held, uint32_t limit, const char *whose,
		     enum reject_reason reason)
{
	const char *setting = reason == RJ_MAX_USER ? "max_user_client_connections" : "max_db_client_connections";
	struct fail why;

	if (limit == 0 || held < limit)
		return true;
	fail_set(&why, "53300", "too many clients of %s: %u of %u (%s)", whose, held, limit, setting);
	fail_pgbouncer_text(&why, "client connections exceeded (%s)", setting);
	fail_hint(&why, "Raise %s, or use SHOW CLIENTS to find clients that never leave.", setting);
	return refuse(a, t, &why, reason);
}

static bool
enforce_database_limit(struct admission *a, struct admission_place *t, const char *database,
		       const struct admission_entry *entry)
{
	const struct config *config = admission_config(a);
	size_t tenant_len = config_tenant_len(config, database);
	char whose[CONFIG_DATABASE_MAX + 16];
	struct scope_settings s;

	config_compute_settings(config, config_find_database(config, database), NULL, &s);
	snprintf(whose, sizeof(whose), "%s \"%.*s\"", tenant_len > 0 ? "tenant" : "database",
		 (int)(tenant_len > 0 ? tenant_len : strlen(database)), database);
	return enforce_client_limit(a, t, entry->held, s.max_db_client_connections, whose, RJ_MAX_DATABASE);
}

static bool
enforce_user_limit(struct admission *a, struct admission_place *t, const char *user,
		   const struct admission_entry *entry)
{
	const struct config *config = admission_config(a);
	char whose[CONFIG_DATABASE_MAX + 16];
	struct scope_settings s;

	config_compute_settings(config, NULL, config_find_user(config, user), &s);
	snprintf(whose, sizeof(whose), "user \"%.63s\"", user);
	return enforce_client_limit(a, t, entry->held, s.max_user_client_connections, whose, RJ_MAX_USER);
}

static void
count_admitted(struct admission *a, struct admission_place *t, struct admission_entry *user,
	       struct admission_entry *database)
{
	admission_leave_queue(a, t);
	assert(t->user_entry == NULL && t->database_entry == NULL);
	admission_entry_hold(a->users, user);
	t->user_entry = user;
	t->database_entry = database;
	if (database != NULL)
		admission_entry_hold(a->databases, database);
}

bool
admission_admit_console(struct admission *a, struct admission_place *t, const char *user, bool is_admin,
			uint32_t clients)
{
	struct admission_entry *user_entry =
	    admission_table_find_or_add(a->users, user, strlen(user), *a->settings.now_us);

	if (user_entry == NULL)
		return refuse_without_memory(a, t);
	if (!is_admin && !(enforce_client_limit(a, t, clients, admission_config(a)->defaults.max_db_client_connections,
						"the console", RJ_MAX_DATABASE) &&
			   enforce_user_limit(a, t, user, user_entry)))
		return false;
	count_admitted(a, t, user_entry, NULL);
	return true;
}

bool
admission_admit(struct admission *a, struct admission_place *t, const char *user, const char *database)
{
	struct admission_entry *entry = find_or_add_database_entry(a, database),
			       *user_entry =
				   admission_table_find_or_add(a->users, user, strlen(user), *a->settings.now_us);

	if (entry == NULL || user_entry == NULL)
		return refuse_without_memory(a, t);
	if (!enforce_database_limit(a, t, database, entry) || !enforce_user_limit(a, t, user, user_entry))
		return false;
	count_admitted(a, t, user_entry, entry);
	return true;
}

int
admission_restore(struct admission *a, struct admission_place *t, const struct sockaddr *peer, const char *user,
		  const char *database)
{
	struct admission_entry *user_entry, *entry = find_or_add_database_entry(a, database);

	if (!count_address(a, t, peer))
		return -1;
	user_entry = admission_table_find_or_add(a->users, user, strlen(user), *a->settings.now_us);
	if (entry == NULL || user_entry == NULL)
		return -1;
	count_admitted(a, t, user_entry, entry);
	return 0;
}
