/*
 * src/auth/auth_module.h - a method of authentication in which another service judges the client's proof: an LDAP
 * server, PAM, Kerberos. Each method is a module (modules/modules.h). The core asks the client for its password, in
 * clear text, or for tokens; it runs prove() on a thread of net/jobs.h, and enforces external_timeout.
 *
 * A rule of hba_file may have options for its module. The options belong to the module, are immutable once
 * finish_options() has returned 0, and live as long as the rules.
 */
#pragma once

#include "auth/delegation.h"
#include "base/buf.h"
#include "base/fail.h"
#include "modules/modules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* PROOF_FAILED: the proof could not be judged. PROOF_MORE: another token is to come. */
enum proof { PROOF_RIGHT, PROOF_WRONG, PROOF_FAILED, PROOF_MORE };

/* The state in which a client, or PostgreSQL, and a module exchange tokens in turn; each login has its own. */
struct auth_tokens {
	const uint8_t *token; /* the other side's token; NULL if none has come */
	size_t token_len;
	struct buf reply; /* sent to the other side unless it is empty, even if the token is refused */
	void *context; /* the module's state between tokens; NULL at first */
	/* For PROOF_RIGHT, prove() stores a counted reference to the delegated credentials in *delegated; NULL if
	 * delegation is not accepted. */
	struct delegated **delegated;
	char name[AUTH_NAME_MAX + 1]; /* for PROOF_RIGHT: the client's name, for map= */
};

struct auth_question {
	const void *options; /* the options of the rule */
	const char *setting; /* the module's setting in [auth] */
	const char *user, *password; /* password is never empty; it is NULL if there are tokens */
	struct auth_tokens *tokens; /* NULL if there is a password */
	const char *address; /* the client's address: "192.0.2.1", "::1" or "[local]" */
	uint64_t deadline_us;
};

/* A PostgreSQL that pgweir itself logs in to. */
struct auth_server {
	const char *host; /* as in upstream */
	const char *service; /* krbsrvname of upstream; NULL stands for "postgres" */
	/* the credentials to log in with, which must be present (not DELEGATED_NONE); NULL for pgweir's own */
	const struct delegated *delegated;
};

struct auth_module {
	const char *title; /* the name in messages */
	const char *wrong_reason; /* the log's reason for PROOF_WRONG; NULL stands for a wrong password */
	/* the method and options of the rule that "method = NAME" stands for; %s is the setting's value */
	const char *rule;
	/* The code of the AuthenticationRequest that asks for tokens; the tokens then yield the client's name, and
	 * rules may have map=. 0 if the client is asked for its password. */
	uint32_t token_request;
	/* Options of a rule. option() returns 0, or -1 with *why set if the option is unknown or its value is wrong.
	 * finish_options() is called after the last option; it returns 0, or -1 with *why set. warn() calls `say` for
	 * each option that looks wrong. */
	void *(*options_new)(void);
	int (*option)(void *options, const char *name, const char *value, struct fail *why);
	int (*finish_options)(void *options, struct fail *why); /* NULL if nothing can be wrong */
	/* NULL if nothing ever looks wrong */
	void (*warn)(const void *options, void (*say)(void *arg, const char *text), void *arg);
	void (*options_free)(void *options); /* wipes and frees the options; NULL is fine */
	/* Returns true if the setting's value has a secret in it; NULL if it never has. */
	bool (*holds_secret)(const char *setting);
	/* Returns the name of the service that is asked, for the log; the name lives as long as both arguments. Calls
	 * for the same service share their threads. */
	const char *(*service_name)(const void *options, const char *setting);
	/* Judges a proof; blocks, on a thread. *why is set if PROOF_WRONG or PROOF_FAILED is returned. */
	enum proof (*prove)(const struct auth_question *q, struct fail *why);
	/* Makes pgweir's own token for a PostgreSQL that has sent token_request, or t->token. The first call, when
	 * t->context is NULL, may block, and is made on a thread; later calls do not block. PROOF_RIGHT: PostgreSQL has
	 * proved its identity. PROOF_FAILED: a retry may succeed. The pointer is NULL if pgweir can't log in by this
	 * method. */
	enum proof (*make_token)(const struct auth_server *to, struct auth_tokens *t, struct fail *why);
	/* frees auth_tokens.context, which may be NULL; called on any thread, while no other thread uses the context */
	void (*context_free)(void *context);
};

extern const struct auth_module *const auth_modules[AUTH_MODULE_COUNT + 1]; /* modules/modules.c; ends with NULL */
