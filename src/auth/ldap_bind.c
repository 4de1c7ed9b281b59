/* src/auth/ldap_bind.c - asks an LDAP server whether a password is right. See proof.h. */
#include "auth/proof.h"

#include "build.h"

#ifdef HAVE_LIBLDAP
#include "base/clock.h"
#include "base/text.h"

#include <ldap.h>

/* A connection, and until when it may take. */
struct asking {
	const struct ldap_settings *s;
	LDAP *ld; /* NULL: none yet */
	uint64_t deadline_us;
	struct fail *why;
	bool has_password; /* what is sent now */
};

/* --- What was sent, wiped: libldap frees its buffers as they are. --- */

static int
wiper_setup(Sockbuf_IO_Desc *io, void *asking)
{
	io->sbiod_pvt = asking;
	return 0;
}

static int
wiper_ctrl(Sockbuf_IO_Desc *io, int option, void *arg)
{
	return LBER_SBIOD_CTRL_NEXT(io, option, arg);
}

static ber_slen_t
wiper_read(Sockbuf_IO_Desc *io, void *bytes, ber_len_t len)
{
	return LBER_SBIOD_READ_NEXT(io, bytes, len);
}

static ber_slen_t
wiper_write(Sockbuf_IO_Desc *io, void *bytes, ber_len_t len)
{
	const struct asking *a = io->sbiod_pvt;
	ber_slen_t sent = LBER_SBIOD_WRITE_NEXT(io, bytes, len);

	if (sent > 0 && a->has_password)
		explicit_bzero(bytes, (size_t)sent);
	return sent;
}

static const Sockbuf_IO wiper = { wiper_setup, NULL, wiper_ctrl, wiper_read, wiper_write, NULL };

static void
add_wiper(struct asking *a)
{
	Sockbuf *socket = NULL;

	if (ldap_get_option(a->ld, LDAP_OPT_SOCKBUF, &socket) == LDAP_OPT_SUCCESS && socket != NULL)
		ber_sockbuf_add_io(socket, (Sockbuf_IO *)(uintptr_t)&wiper, LBER_SBIOD_LEVEL_APPLICATION, a);
}

/* --- Asking. --- */

static enum proof
failed(const struct asking *a, const char *doing, int result)
{
	char *diagnosis = NULL;

	fail_set(a->why, "57P03", "LDAP: could not %s at %.100s: %s", doing, a->s->uris, ldap_err2string(result));
	if (a->ld != NULL && ldap_get_option(a->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &diagnosis) == LDAP_OPT_SUCCESS &&
	    diagnosis != NULL && *diagnosis != '\0')
		fail_detail(a->why, "%.200s", diagnosis);
	ldap_memfree(diagnosis);
	return PROOF_FAILED;
}

/* Gives the next operation the time that is left. Returns false if none is. */
static bool
set_time(const struct asking *a)
{
	uint64_t now_us = clock_now_us(), left_us = now_us < a->deadline_us ? a->deadline_us - now_us : 0;
	const struct timeval left = { (time_t)(left_us / US_PER_S), (suseconds_t)(left_us % US_PER_S) };

	return left_us > 0 && ldap_set_option(a->ld, LDAP_OPT_NETWORK_TIMEOUT, &left) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(a->ld, LDAP_OPT_TIMEOUT, &left) == LDAP_OPT_SUCCESS;
}

/* Without ldapserver, DNS names the servers of the domain in base_dn. Returns what ldap_initialize() does. */
static int
initialize(struct asking *a)
{
	char *domain = NULL, *hosts = NULL;
	struct buf uris = { 0 };
	int r;

	if (a->s->server != NULL)
		return ldap_initialize(&a->ld, a->s->uris);
	r = ldap_dn2domain(a->s->base_dn, &domain);
	if (r == LDAP_SUCCESS)
		r = ldap_domain2hostlist(domain, &hosts);
	if (r == LDAP_SUCCESS) {
		for (char *rest = hosts, *host; (host = strsep(&rest, " ")) != NULL;)
			buf_printf(&uris, "%s%.*s://%s", uris.len > 0 ? " " : "", (int)strcspn(a->s->uris, ":"),
				   a->s->uris, host);
		buf_put_u8(&uris, '\0');
		r = buf_ok(&uris) ? ldap_initialize(&a->ld, (const char *)uris.bytes) : LDAP_NO_MEMORY;
	}
	buf_fini(&uris);
	ldap_memfree(domain);
	ldap_memfree(hosts);
	return r;
}

/* Makes the connection; nothing is sent yet, unless it is TLS. */
static enum proof
begin(struct asking *a)
{
	const int version = LDAP_VERSION3;
	int r = initialize(a);

	if (r == LDAP_SUCCESS)
		r = ldap_set_option(a->ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	if (r != LDAP_SUCCESS)
		return failed(a, "begin", r);
	add_wiper(a);
	if (a->s->starts_tls) {
		if (!set_time(a))
			return failed(a, "start TLS", LDAP_TIMEOUT);
		r = ldap_start_tls_s(a->ld, NULL, NULL);
		if (r != LDAP_SUCCESS)
			return failed(a, "start TLS", r);
	}
	return PROOF_RIGHT;
}

/* Returns the code of a bind. */
static int
bind_as(struct asking *a, const char *name, const char *password)
{
	struct berval credentials = { strlen(password), (char *)(uintptr_t)password };
	int r;

	if (!set_time(a))
		return LDAP_TIMEOUT;
	a->has_password = true;
	r = ldap_sasl_bind_s(a->ld, name, LDAP_SASL_SIMPLE, &credentials, NULL, NULL, NULL);
	a->has_password = false;
	return r;
}

/* Takes the only entry's name from the result of a search. */
static enum proof
take_entry(const struct asking *a, LDAPMessage *found, bool has_more, struct buf *name)
{
	int count = ldap_count_entries(a->ld, found);
	char *dn;

	if (count != 1 || has_more) {
		fail_set(a->why, "28000", "LDAP: the search at %.100s found %s", a->s->uris,
			 count < 1 ? "no entry" : "more than one entry");
		return PROOF_WRONG;
	}
	dn = ldap_get_dn(a->ld, ldap_first_entry(a->ld, found));
	if (dn == NULL)
		return failed(a, "read the entry", LDAP_DECODING_ERROR);
	buf_printf(name, "%s", dn);
	ldap_memfree(dn);
	return PROOF_RIGHT;
}

/* Searches the user's entry, and writes its name. */
static enum proof
search(struct asking *a, const char *user, struct buf *name)
{
	char *attributes[] = { (char *)(uintptr_t)LDAP_NO_ATTRS, NULL };
	const struct ldap_settings *s = a->s;
	LDAPMessage *found = NULL;
	struct buf filter = { 0 };
	enum proof proof;
	int r = bind_as(a, s->bind_dn != NULL ? s->bind_dn : "", s->bind_password != NULL ? s->bind_password : "");

	if (r != LDAP_SUCCESS)
		return failed(a, "bind for a search", r);
	ldap_put_filter(s, user, &filter);
	buf_put_u8(&filter, '\0');
	r = !buf_ok(&filter) ? LDAP_NO_MEMORY
	    : !set_time(a)   ? LDAP_TIMEOUT
			     : ldap_search_ext_s(a->ld, s->base_dn, s->scope, (const char *)filter.bytes, attributes, 0,
						 NULL, NULL, NULL, 2, &found);
	buf_fini(&filter);
	proof = r == LDAP_SUCCESS || r == LDAP_SIZELIMIT_EXCEEDED
		    ? take_entry(a, found, r == LDAP_SIZELIMIT_EXCEEDED, name)
		    : failed(a, "search", r);
	ldap_msgfree(found);
	return proof;
}

/* Returns true if the server has not judged the password at all. */
static bool
is_failure(int result)
{
	return result < 0 || result == LDAP_OPERATIONS_ERROR || result == LDAP_PROTOCOL_ERROR ||
	       result == LDAP_STRONG_AUTH_REQUIRED || result == LDAP_CONFIDENTIALITY_REQUIRED ||
	       result == LDAP_AUTH_METHOD_NOT_SUPPORTED || result == LDAP_BUSY || result == LDAP_UNAVAILABLE;
}

/* Finds the user's name, and binds with it. */
static enum proof
ask(struct asking *a, const char *user, const char *password, struct buf *name)
{
	enum proof proof = PROOF_RIGHT;
	int r;

	if (a->s->base_dn != NULL)
		proof = search(a, user, name);
	else
		ldap_put_name(a->s, user, name);
	if (proof != PROOF_RIGHT)
		return proof;
	buf_put_u8(name, '\0');
	r = buf_ok(name) ? bind_as(a, (const char *)name->bytes, password) : LDAP_NO_MEMORY;
	if (is_failure(r))
		return failed(a, "bind", r);
	if (r == LDAP_SUCCESS)
		return PROOF_RIGHT;
	fail_set(a->why, "28000", "LDAP: bind refused at %.100s: %s", a->s->uris, ldap_err2string(r));
	return PROOF_WRONG;
}

enum proof
ldap_prove(const struct ldap_settings *s, const char *user, const char *password, uint64_t deadline_us,
	   struct fail *why)
{
	struct asking a = { .s = s, .deadline_us = deadline_us, .why = why };
	struct buf name = { 0 };
	enum proof proof = begin(&a);

	if (proof == PROOF_RIGHT)
		proof = ask(&a, user, password, &name);
	if (a.ld != NULL)
		ldap_unbind_ext_s(a.ld, NULL, NULL);
	buf_fini(&name);
	return proof;
}

#else

enum proof
ldap_prove(const struct ldap_settings *s, const char *user, const char *password, uint64_t deadline_us,
	   struct fail *why)
{
	(void)s;
	(void)user;
	(void)password;
	(void)deadline_us;
	fail_set(why, "0A000", "%s", proof_unavailable("ldap"));
	return PROOF_FAILED;
}

#endif
