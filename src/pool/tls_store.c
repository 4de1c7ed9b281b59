#include "pool/pool_target.h"
#include "base/alloc.h"

struct stored_context {
	struct tls_context *ctx;
	char *text; /* server_tls_text() of its settings, the key of the entry */
	struct stored_context *next;
};

struct tls_store {
	struct stored_context *first;
	atomic_uint refs;
};

static enum tls_verify
verify_of(const struct server_tls *tls)
{
	return tls->mode == TLS_VERIFY_FULL ? TLS_CHECK_NAME
	       : tls->mode == TLS_VERIFY_CA ? TLS_CHECK_CHAIN
					    : TLS_CHECK_NOTHING;
}

/* A list suffices: it is short, and searched only at a reload and when a pool gets a target. */
static struct stored_context *
stored_find(const struct tls_store *store, const char *text)
{
	struct stored_context *s = store->first;

	while (s != NULL && strcmp(s->text, text) != 0)
		s = s->next;
	return s;
}

static void
stored_free(struct stored_context *s)
{
	tls_context_unref(s->ctx);
	free(s->text);
	free(s);
}

static int
stored_add(struct tls_store *store, const struct server_tls *tls, struct fail *why)
{
	struct tls_connect_settings settings = { .ca_file = tls->ca_file,
						 .certificate_file = tls->certificate_file,
						 .key_file = tls->key_file,
						 .min_version = tls->min_version,
						 .verify = verify_of(tls),
						 .hides_name = !tls->sends_sni };
	struct stored_context *s = xcalloc(1, sizeof(*s));

	s->text = alloc_check(server_tls_text(tls));
	if (tls->mode == TLS_OFF || stored_find(store, s->text) != NULL) {
		stored_free(s);
		return 0;
	}
	s->ctx = tls_context_for_connect(&settings, why);
	if (s->ctx == NULL) {
		stored_free(s);
		return -1;
	}
	s->next = store->first;
	store->first = s;
	return 0;
}

static int
add_scopes(struct tls_store *store, const struct config *config, const struct config_scope *scopes, size_t count,
	   struct fail *why)
{
	for (size_t i = 0; i < count; i++) {
		struct scope_settings settings;
		struct server_tls tls;

		config_compute_settings(config, &scopes[i], NULL, &settings);
		if (server_tls_resolve(scopes[i].upstream, &settings, &tls, why) < 0 ||
		    stored_add(store, &tls, why) < 0)
			return -1;
	}
	return 0;
}

struct tls_store *
tls_store_new(const struct config *config, struct fail *why)
{
	struct tls_store *store = xcalloc(1, sizeof(*store));

	atomic_init(&store->refs, 1);
	if (add_scopes(store, config, config->databases, config->database_count, why) < 0 ||
	    add_scopes(store, config, config->tenant_scopes, config->tenant_count, why) < 0) {
		tls_store_unref(store);
		return NULL;
	}
	return store;
}

struct tls_store *
tls_store_ref(struct tls_store *store)
{
	atomic_fetch_add_explicit(&store->refs, 1, memory_order_relaxed);
	return store;
}

void
tls_store_unref(struct tls_store *store)
{
	if (store == NULL || atomic_fetch_sub_explicit(&store->refs, 1, memory_order_acq_rel) > 1)
		return;
	while (store->first != NULL) {
		struct stored_context *s = store->first;

		store->first = s->next;
		stored_free(s);
	}
	free(store);
}

struct tls_context *
tls_store_get(const struct tls_store *store, const char *text)
{
	struct stored_context *s = store == NULL ? NULL : stored_find(store, text);

	return s == NULL ? NULL : tls_context_ref(s->ctx);
}
