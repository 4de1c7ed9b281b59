/*
 * src/login/login_asked.h - what HBA rules and maps ask about a client that takes time to find out: the name of its
 * address, and whether its user is a member of a role.
 *
 * A name counts as in PostgreSQL (hba.c: check_hostname): the address is looked up, and if the name fits a rule, its
 * addresses are, of which the client's must be one. So a login costs two lookups at most, whatever the number of rules;
 * they have five seconds together. Whoever has no such name fits no rule with a name. A role that can't be asked about
 * is no such case: the login is refused, as the rule might be the one that rejects it.
 *
 * Each answer is kept until the login has its rule and its user, for the rules are asked from the first one again.
 */
#pragma once

#include "login/login_steps.h"

/* Questions of hba_match() and ident_allows(), whose arg is the struct client. */
enum hba_fit login_has_name(const char *word, void *client);
enum hba_fit login_is_member(const char *role, void *client);
/* An answer is to come later. Returns 1, and again is called when it is there, to ask everything once more; or -1 with
 * *why set if none can come. */
int login_await(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why);
/* Called about every 100 ms. Returns true if name servers were too slow: the login went on, and c may be closed. */
bool login_names_are_late(struct client *c, uint64_t now_us);
void login_asked_free(struct client_login *l); /* nothing may be under way */
