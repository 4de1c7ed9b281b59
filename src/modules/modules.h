/*
 * src/modules/modules.h - the list of modules, which are what the core does not know by name: a row each. A module is
 * not built if configure was told so, or did not find its library: its row is empty then.
 *
 * Always: of all that is in modules/, the core includes this header alone, which includes nothing but build.h.
 */
#pragma once

#include "build.h"

/*
 * X(NAME, KEY, TYPE, DEFAULT, DOCUMENTATION): methods of authentication by which somebody else judges a client's
 * password (auth/auth_module.h). NAME is the method's name; the rest is its setting in [auth] (config/config_keys.h).
 */
/* clang-format off */
#ifdef WITH_LDAP
#define LDAP_ROW(X) \
	X(ldap, "ldap_options", KEY_SECRET, "", \
	  "for method = ldap: the LDAP server and what it is asked, in pg_hba.conf's options (ldapserver=..., ldapurl=...)")
#else
#define LDAP_ROW(X)
#endif
#ifdef WITH_PAM
#define PAM_ROW(X) \
	X(pam, "pam_service", KEY_TEXT, "pgweir", \
	  "for method = pam, and rules without pamservice: the file in /etc/pam.d")
#else
#define PAM_ROW(X)
#endif
#define AUTH_MODULES(X) LDAP_ROW(X) PAM_ROW(X)
/* clang-format on */

#define AUTH_MODULE_NUMBER(name, ...) AUTH_MODULE_##name,
#define MODULE_WORD(name, ...) #name,
#define MODULE_KEY(name, key, ...) key,
enum auth_module_number { AUTH_MODULES(AUTH_MODULE_NUMBER) AUTH_MODULE_COUNT };
